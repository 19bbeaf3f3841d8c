//! Results go to stdout through here: buffered, and safe on a terminal.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde_json::Value;

use crate::failure::Outcome;
use crate::text::{escape, is_unprintable, wrap};

/// Standard output.
pub(crate) struct Output {
    to: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
}

impl Output {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout().lock();
        Self {
            is_terminal: stdout.is_terminal(),
            to: BufWriter::with_capacity(1 << 16, stdout),
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// How many columns the terminal has. `None` if it is none, or does not know.
    pub(crate) fn columns(&self) -> Option<usize> {
        if !self.is_terminal {
            return None;
        }
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(size.ws_col.into()).filter(|&columns| columns > 0)
    }

    /// Text of ours, in which other people's text has been escaped.
    pub(crate) fn text(&mut self, text: &str) -> Outcome<()> {
        Ok(self.put(text.as_bytes())?)
    }

    /// As [`text`](Self::text), for sentences: on a terminal, long lines are broken between words.
    pub(crate) fn prose(&mut self, text: &str) -> Outcome<()> {
        let columns = self.columns().unwrap_or(0);
        let end = if text.ends_with('\n') { "\n" } else { "" };
        let text = wrap(text.trim_end_matches('\n'), columns);
        self.text(&text)?;
        self.text(end)
    }

    /// Other people's text: as it is for a program, escaped for a terminal.
    pub(crate) fn content(&mut self, text: &str) -> Outcome<()> {
        match self.is_terminal {
            true => self.text(&escape(text)),
            false => self.text(text),
        }
    }

    /// Other people's bytes, likewise.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.write_all(bytes)?)
    }

    /// A value as JSON on one line.
    pub(crate) fn json(&mut self, value: &Value) -> Outcome<()> {
        self.text(&harmless(format!("{value}\n")))
    }

    /// Text that is JSON already.
    pub(crate) fn json_text(&mut self, text: &[u8]) -> Outcome<()> {
        if text.is_ascii() && !text.contains(&0x7f) {
            // JSON itself escapes what is below U+0020.
            return Ok(self.put(text)?);
        }
        self.text(&harmless(String::from_utf8_lossy(text).into_owned()))
    }

    /// A document as JSON, for programs and for people.
    pub(crate) fn document(&mut self, value: &Value) -> Outcome<()> {
        self.text(&harmless(format!("{value:#}\n")))
    }

    /// Writes what is buffered. Must be called at the end: errors in a drop are lost.
    pub(crate) fn flush(&mut self) -> Outcome<()> {
        Ok(Write::flush(self)?)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes).map_err(named)
    }
}

/// An error that says what could not be done. A broken pipe is left as it is: it is none.
fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => error,
        kind => io::Error::new(kind, format!("cannot write to stdout: {error}")),
    }
}

/// Other people's bytes, as [`bytes`](Output::bytes) prints them.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.is_terminal {
            true => {
                let text = String::from_utf8_lossy(bytes);
                self.put(escape(&text).as_bytes())?;
            }
            false => self.put(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(named)
    }
}

/// JSON with everything escaped that a terminal would act on. Such characters occur only in
/// strings, and JSON itself escapes only those below U+0020.
pub(crate) fn harmless(json: String) -> String {
    // Line ends are white space between the values of a document.
    let is_bad = |c: char| is_unprintable(c) && c != '\n';
    if !json.contains(is_bad) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_bad(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_harmless_and_means_the_same() {
        let value = Value::String("\u{9b}31m \u{202e} \u{e0001} \u{7f} \x1b ü".into());
        let text = harmless(value.to_string());
        assert!(!text.contains(is_unprintable), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
