//! What is fuzzed, and how: a parser whose branches are marked, and a mutator of inputs.

/// Which branches a run has taken, in sixteen classes: there are 65,536 signatures at most, some of
/// which take long to find.
struct Trace {
    taken: u16,
}

impl Trace {
    fn mark(&mut self, branch: usize) {
        self.taken |= 1 << (branch % 16);
    }
}

/// Runs the parser on an input.
pub(crate) fn signature_of(input: &[u8]) -> u64 {
    let mut parser = Parser {
        rest: input,
        trace: Trace { taken: 0 },
    };
    parser.value(0);
    parser
        .trace
        .mark(if parser.rest.is_empty() { 0 } else { 1 });
    // The set itself: as many signatures as there are sets that occur.
    parser.trace.taken.into()
}

/// Lists, texts, numbers and names: `[12, "a\n", (x y)]`.
struct Parser<'i> {
    rest: &'i [u8],
    trace: Trace,
}

impl Parser<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn value(&mut self, depth: usize) {
        self.trace.mark(2 + depth.min(6));
        match self.take() {
            Some(b'[') if depth < 12 => self.list(b']', depth),
            Some(b'(') if depth < 12 => self.list(b')', depth),
            Some(b'"') => self.text(),
            Some(b'-') => {
                self.trace.mark(10);
                self.number();
            }
            Some(b'0'..=b'9') => self.number(),
            Some(b' ' | b'\n') => {
                self.trace.mark(11);
                self.value(depth);
            }
            Some(b'a'..=b'z' | b'_') => self.trace.mark(12),
            Some(other) => self.trace.mark(13 + usize::from(other >> 5)),
            None => self.trace.mark(21),
        }
    }

    fn list(&mut self, end: u8, depth: usize) {
        self.trace.mark(if end == b']' { 22 } else { 23 });
        while let Some(next) = self.rest.first().copied() {
            match next {
                next if next == end => {
                    self.trace.mark(24);
                    self.take();
                    return;
                }
                b',' => {
                    self.trace.mark(25);
                    self.take();
                }
                b']' | b')' => {
                    self.trace.mark(26);
                    return;
                }
                _ => self.value(depth + 1),
            }
        }
        self.trace.mark(27);
    }

    fn text(&mut self) {
        self.trace.mark(28);
        while let Some(next) = self.take() {
            match next {
                b'"' => return self.trace.mark(29),
                b'\\' => match self.take() {
                    Some(b'n') => self.trace.mark(30),
                    Some(b'x') => self.trace.mark(31),
                    Some(_) => self.trace.mark(32),
                    None => self.trace.mark(33),
                },
                0..32 => self.trace.mark(34),
                128.. => self.trace.mark(35),
                _ => self.trace.mark(36),
            }
        }
        self.trace.mark(37);
    }

    fn number(&mut self) {
        let mut digits = 0;
        while let Some(b'0'..=b'9' | b'.' | b'e') = self.rest.first() {
            match self.take() {
                Some(b'.') => self.trace.mark(38),
                Some(b'e') => self.trace.mark(39),
                _ => digits += 1,
            }
        }
        self.trace.mark(40 + digits.min(9));
    }
}

/// Makes inputs out of those that were worth keeping.
pub(crate) struct Mutator {
    state: u64,
    kept: Vec<Vec<u8>>,
    input: Vec<u8>,
}

/// Inputs that a fuzzer keeps at most, and the longest one.
const KEPT_MAX: usize = 500;
const INPUT_MAX: usize = 48;

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: seed,
            kept: vec![b"[12, \"a\\n\", (x y)]".to_vec()],
            input: Vec::new(),
        }
    }

    /// splitmix64 (Steele, Lea and Flood).
    fn random(&mut self, end: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as usize % end
    }

    /// Another input.
    pub(crate) fn next(&mut self) -> &[u8] {
        const TOKENS: &[u8] = b"[](),\"\\nx-0123456789.e az_\n\x01\xFF";
        let base = self.random(self.kept.len());
        self.input.clear();
        self.input.extend_from_slice(&self.kept[base]);
        for _ in 0..=self.random(4) {
            let at = self.random(self.input.len() + 1);
            let token = TOKENS[self.random(TOKENS.len())];
            match self.random(3) {
                0 if at < self.input.len() => self.input[at] = token,
                1 if at < self.input.len() => drop(self.input.remove(at)),
                _ if self.input.len() < INPUT_MAX => self.input.insert(at, token),
                _ => self.input.truncate(at),
            }
        }
        &self.input
    }

    /// The last input was worth keeping.
    pub(crate) fn keep(&mut self) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(self.input.clone());
        } else {
            let place = self.random(KEPT_MAX);
            self.kept[place].clone_from(&self.input);
        }
    }
}
