//! Comparing every bucket with what the protocol promises, while others read and write.
//!
//! The problems, how each is told, and the look for it stand in one file, which makes it a long one: who
//! adds a problem changes all three.

use std::collections::BTreeMap;
use std::fmt;

use crate::format::shared_page;
use crate::liveness::OwnerInfo;
use crate::liveness::token::LockWord;
use crate::protocol::bucket::{Bucket, Search, Slot, State};
use crate::protocol::hash::KeyHash;
use crate::protocol::shape::Shape;
use crate::protocol::table::Table;
use crate::store::{ParticipantView, Store};
use crate::sys::copy::Buffer;
use crate::sys::sync::{Ordering, READ_TRIES_READ_ONLY, fence, spin_hint};

/// Most problems that are listed one by one; the rest is counted.
const MAX_LISTED: usize = 1000;

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It costs time or room, or will be put right by the next writer that comes along.
    Warning,
    /// No process that follows the protocol leaves this behind: some entry may be hidden,
    /// doubled or invalid.
    Error,
}

/// Something in a segment that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// An entry is in both of its buckets, neither of them being locked by who moves it.
    Duplicate {
        /// The bucket that its key prefers.
        primary: u64,
        /// The other one.
        secondary: u64,
        /// The hash of its key.
        key_hash: u64,
    },
    /// An entry is in both of its buckets, which are locked: a displacement is under way, or died
    /// half-way, which the next writer that needs one of the locks will repair.
    InterruptedMove {
        /// The bucket that its key prefers.
        primary: u64,
        /// The other one.
        secondary: u64,
        /// The hash of its key.
        key_hash: u64,
    },
    /// A key is twice in one bucket.
    Twice {
        /// The bucket.
        bucket: u64,
        /// The hash of the key.
        key_hash: u64,
    },
    /// An entry is in a bucket that is none of its key's two: nobody finds it.
    Misplaced {
        /// Where it is.
        bucket: u64,
        /// The hash of its key.
        key_hash: u64,
    },
    /// The fingerprint of an entry is not that of its key: nobody finds it.
    WrongTag {
        /// Where it is.
        bucket: u64,
        /// The hash of its key.
        key_hash: u64,
        /// The fingerprint that stands there.
        found: u8,
    },
    /// The bytes that fill up a key to whole words are not zero: nobody finds it.
    BadPadding {
        /// Where it is.
        bucket: u64,
    },
    /// More keys of a class are in their secondary bucket than it has counted: some are not found.
    CountTooLow {
        /// The primary bucket.
        bucket: u64,
        /// The class, one of 32.
        class: u32,
        /// What is counted.
        counted: u64,
        /// How many there are.
        found: u64,
    },
    /// Fewer keys of a class are in their secondary bucket than it has counted: misses of such
    /// keys look into a second bucket for nothing. A writer that died leaves this behind.
    CountTooHigh {
        /// The primary bucket.
        bucket: u64,
        /// The class, one of 32.
        class: u32,
        /// What is counted.
        counted: u64,
        /// How many there are.
        found: u64,
    },
    /// A lock is held. That is no fault, unless the owner is dead or never goes on.
    Locked {
        /// Which bucket.
        bucket: u64,
        /// Who holds it.
        owner: OwnerInfo,
    },
    /// More slots are in use than may be.
    Overfull {
        /// Which bucket.
        bucket: u64,
        /// How many are in use.
        found: u32,
        /// How many may be.
        usable: u32,
    },
    /// A reserved word is not zero.
    Reserved {
        /// The number of the word, from the start of the segment.
        word: u64,
        /// What stands there.
        found: u64,
    },
    /// A bucket was rewritten each time that it was looked at, so it was not checked.
    NeverStable {
        /// Which bucket.
        bucket: u64,
    },
}

impl Problem {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::InterruptedMove { .. }
            | Self::CountTooHigh { .. }
            | Self::Locked { .. }
            | Self::NeverStable { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

/// What a check found; see [`ReadOnlyMap::check`](crate::ReadOnlyMap::check).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Buckets that were looked at: all.
    pub buckets: u64,
    /// Entries that were looked at.
    pub entries: u64,
    /// Entries that are in their secondary bucket.
    pub overflow: u64,
    /// Whether nobody wrote meanwhile. Only then can it be said that a count is wrong; that it
    /// hides an entry which is there can always be said.
    pub is_quiet: bool,
    /// How many errors there are.
    pub errors: u64,
    /// How many notes there are.
    pub warnings: u64,
    /// The single problems, the first thousand.
    pub problems: Vec<Problem>,
}

impl CheckReport {
    /// Whether there is no error.
    pub fn is_sound(&self) -> bool {
        self.errors == 0
    }

    fn add(&mut self, problem: Problem) {
        match problem.severity() {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.problems.len() < MAX_LISTED {
            self.problems.push(problem);
        }
    }
}

/// [`ReadOnlyMap::check`](crate::ReadOnlyMap::check), for entries of any shape.
pub(crate) fn check<S: Shape>(shared: &Store, shape: S) -> CheckReport {
    Inspector::new(shared, shared.table(shape)).run()
}

/// A check under way.
struct Inspector<'a, S> {
    shared: &'a Store,
    participant_view: ParticipantView<'a>,
    table: Table<'a, S>,
    /// Keys that are in their secondary bucket, by primary bucket and class.
    overflow: BTreeMap<(u64, u32), u64>,
    check: CheckReport,
}

impl<'a, S: Shape> Inspector<'a, S> {
    fn new(shared: &'a Store, table: Table<'a, S>) -> Self {
        Self {
            shared,
            participant_view: shared.participant_view(),
            table,
            overflow: BTreeMap::new(),
            check: CheckReport::default(),
        }
    }

    fn run(mut self) -> CheckReport {
        let before = self.digest();
        self.check.buckets = self.table.buckets();
        for bucket in 0..self.table.buckets() {
            self.bucket(bucket);
        }
        self.reserved();
        self.check.is_quiet = self.digest() == before;
        if self.check.is_quiet {
            self.counts();
        }
        self.check
    }

    /// A number that is another one after any publication.
    fn digest(&self) -> u64 {
        // Versions only grow, so their sum does.
        let sum = (0..self.table.buckets())
            .map(|bucket| self.table.bucket(bucket).read_begin().version())
            .fold(0, u64::wrapping_add);
        fence(Ordering::Acquire);
        sum
    }

    fn bucket(&mut self, index: u64) {
        let bucket = self.table.bucket(index);
        self.lock(index, bucket);
        for _ in 0..READ_TRIES_READ_ONLY {
            let state = bucket.read_begin();
            let checked = self.entries(index, bucket, state);
            if let Some((found, entries, overflow)) = checked
                && bucket.validate(state)
            {
                let (occupied, usable) = (state.occupied().len(), self.table.shape().limit(index));
                if occupied > usable {
                    self.check.add(Problem::Overfull {
                        bucket: index,
                        found: occupied,
                        usable,
                    });
                }
                self.check.entries += entries;
                self.check.overflow += overflow.len() as u64;
                found
                    .into_iter()
                    .for_each(|problem| self.check.add(problem));
                for place in overflow {
                    *self.overflow.entry(place).or_default() += 1;
                }
                return;
            }
            spin_hint();
        }
        self.check.add(Problem::NeverStable { bucket: index });
    }

    fn lock(&mut self, index: u64, bucket: Bucket<'_, S>) {
        let word = LockWord(bucket.lock_word().load(Ordering::Relaxed));
        if let Some(token) = word.owner() {
            let table = self.shared.participants();
            self.check.add(Problem::Locked {
                bucket: index,
                owner: self.participant_view.get().describe(table, token),
            });
        }
    }

    /// What is wrong with the entries of a bucket, how many there are, and the homes and classes
    /// of those that are in their secondary bucket. `None` if somebody wrote meanwhile.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn entries(
        &self,
        index: u64,
        bucket: Bucket<'_, S>,
        state: State,
    ) -> Option<(Vec<Problem>, u64, Vec<(u64, u32)>)> {
        let mut buffer = self.table.shape().key_buffer();
        let (mut problems, mut entries, mut overflow) = (Vec::new(), 0, Vec::new());
        for slot in state.occupied() {
            entries += 1;
            let key = bucket.load_key(slot, buffer.words());
            let hash = self.table.hash_of(key);
            let KeyHash(key_hash) = hash;
            if !self.is_padded(key) {
                problems.push(Problem::BadPadding { bucket: index });
            }
            let found = bucket.tag(slot);
            if found != hash.tag().in_slot(slot.index()) {
                problems.push(Problem::WrongTag {
                    bucket: index,
                    key_hash,
                    found,
                });
            }
            if self.is_twice(bucket, state, slot, hash, key) {
                problems.push(Problem::Twice {
                    bucket: index,
                    key_hash,
                });
            }
            let Some(alternate) = self.table.alternate(hash, index) else {
                problems.push(Problem::Misplaced {
                    bucket: index,
                    key_hash,
                });
                continue;
            };
            let primary = hash.primary(self.table.buckets());
            if index == alternate || index == primary {
                continue; // A doubled entry is reported where it is in its secondary bucket.
            }
            overflow.push((primary, hash.class()));
            // A count is raised before the key is published and lowered after it is gone.
            if self.table.bucket(primary).overflow(hash.class()) == 0 {
                problems.push(Problem::CountTooLow {
                    bucket: primary,
                    class: hash.class(),
                    counted: 0,
                    found: 1,
                });
            }
            problems.extend(self.second_copy(bucket, index, primary, hash, key)?);
        }
        Some((problems, entries, overflow))
    }

    fn is_padded(&self, key: &[u64]) -> bool {
        use zerocopy::IntoBytes;
        let bytes = key.as_bytes();
        bytes[self.table.shape().key_len().min(bytes.len())..]
            .iter()
            .all(|&byte| byte == 0)
    }

    fn is_twice(
        &self,
        bucket: Bucket<'_, S>,
        state: State,
        slot: Slot,
        hash: KeyHash,
        key: &[u64],
    ) -> bool {
        matches!(bucket.search(state, hash.tag(), key), Search::Found(first) if first != slot)
    }

    /// The entry that is in its secondary bucket in the bucket `index`, if its primary bucket has
    /// it too. `None` if the primary bucket did not come to rest.
    fn second_copy(
        &self,
        bucket: Bucket<'_, S>,
        index: u64,
        primary: u64,
        hash: KeyHash,
        key: &[u64],
    ) -> Option<Option<Problem>> {
        let view = self.table.bucket(primary);
        let state = view.read_begin();
        let found = view.search(state, hash.tag(), key);
        // The locks as they were while the two states stood, which both of their `validate`
        // see to: who moves an entry has both.
        let is_locked = [bucket, view].iter().any(|bucket| {
            LockWord(bucket.lock_word().load(Ordering::Relaxed))
                .owner()
                .is_some()
        });
        if !view.validate(state) {
            return None;
        }
        let KeyHash(key_hash) = hash;
        let secondary = index;
        Some(match found {
            Search::Absent => None,
            Search::Found(_) if is_locked => Some(Problem::InterruptedMove {
                primary,
                secondary,
                key_hash,
            }),
            Search::Found(_) => Some(Problem::Duplicate {
                primary,
                secondary,
                key_hash,
            }),
        })
    }

    /// Compares the counts of keys in their secondary bucket with the keys, if nobody wrote.
    fn counts(&mut self) {
        for bucket in 0..self.table.buckets() {
            for class in 0..CLASSES {
                let counted = self.table.bucket(bucket).overflow(class);
                let found = self.overflow.get(&(bucket, class)).copied().unwrap_or(0);
                // Zero was reported with the entry.
                if counted < found.min(COUNT_MAX) && counted > 0 {
                    self.check.add(Problem::CountTooLow {
                        bucket,
                        class,
                        counted,
                        found,
                    });
                } else if counted > found && counted < COUNT_MAX {
                    self.check.add(Problem::CountTooHigh {
                        bucket,
                        class,
                        counted,
                        found,
                    });
                }
            }
        }
    }

    fn reserved(&mut self) {
        let places = &self.shared.layout.places;
        let words = self.shared.mapping.words();
        let is_cache = self.table.shape().meta_words() != 0;
        let in_use = |at: &usize| {
            let at = at - places.shared;
            shared_page::is_in_use(at, is_cache)
        };
        let shared = (places.shared..places.participants).filter(|at| !in_use(at));
        let rounding = places.moves_end..places.leases;
        let padding = rounding.chain(places.ghosts_end..places.buckets);
        let step = self.table.shape().bucket_words();
        let in_buckets = (0..self.table.buckets() as usize)
            .flat_map(|bucket| [4, 5].map(|word| places.buckets + bucket * step + word))
            // There a cache has what its policy remembers.
            .filter(|_| !is_cache);
        for word in shared.chain(padding).chain(in_buckets) {
            let found = words
                .get(word)
                .map_or(0, |word| word.load(Ordering::Relaxed));
            if found != 0 {
                self.check.add(Problem::Reserved {
                    word: word as u64,
                    found,
                });
            }
        }
    }
}

/// Classes of keys that a bucket counts.
const CLASSES: u32 = 32;
/// A count that says "so many or more, for ever".
const COUNT_MAX: u64 = 15;

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate {
                primary,
                secondary,
                key_hash,
            } => write!(
                f,
                "the entry with hash {key_hash:#018x} is in bucket {primary} and in bucket {secondary}"
            ),
            Self::InterruptedMove {
                primary,
                secondary,
                key_hash,
            } => write!(
                f,
                "the entry with hash {key_hash:#018x} is on its way between buckets {primary} and {secondary}, both locked"
            ),
            Self::Twice { bucket, key_hash } => write!(
                f,
                "bucket {bucket} has the entry with hash {key_hash:#018x} twice"
            ),
            Self::Misplaced { bucket, key_hash } => write!(
                f,
                "the entry with hash {key_hash:#018x} does not belong into bucket {bucket}"
            ),
            Self::WrongTag {
                bucket,
                key_hash,
                found,
            } => write!(
                f,
                "bucket {bucket} has tag {found:#04x} for the entry with hash {key_hash:#018x}"
            ),
            Self::BadPadding { bucket } => {
                write!(f, "bucket {bucket} has a key whose padding is not zero")
            }
            Self::CountTooLow {
                bucket,
                class,
                counted,
                found,
            } => write!(
                f,
                "bucket {bucket} counts {counted} keys of class {class} in overflow, there are at least {found}"
            ),
            Self::CountTooHigh {
                bucket,
                class,
                counted,
                found,
            } => write!(
                f,
                "bucket {bucket} counts {counted} keys of class {class} in overflow, there are {found}"
            ),
            Self::Locked { bucket, owner } => write!(f, "bucket {bucket} is locked by {owner}"),
            Self::Overfull {
                bucket,
                found,
                usable,
            } => write!(
                f,
                "bucket {bucket} has {found} slots in use, {usable} may be"
            ),
            Self::Reserved { word, found } => {
                write!(f, "word {word} is {found:#x}, which should be zero")
            }
            Self::NeverStable { bucket } => write!(
                f,
                "bucket {bucket} was rewritten each time that it was looked at"
            ),
        }
    }
}

/// A line of counts, then a line for each problem.
impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} buckets, {} entries ({} in overflow): {} errors, {} warnings",
            self.buckets, self.entries, self.overflow, self.errors, self.warnings
        )?;
        if !self.is_quiet {
            f.write_str("; others wrote meanwhile")?;
        }
        for problem in &self.problems {
            write!(f, "\n{}: {problem}", problem.severity())?;
        }
        Ok(())
    }
}
