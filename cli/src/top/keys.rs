//! Which key does what.
//!
//! What a terminal sends is read here and not by a library: those that were tried read a terminal
//! that is gone over and over and never come back.

use std::time::{Duration, Instant};

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Hides the help, or quits.
    Back,
    SortByNext,
    Reverse,
    Up,
    Down,
    Pause,
    Faster,
    Slower,
    /// Shows what the keys do, or hides it.
    Help,
    /// Draw everything again.
    Redraw,
}

/// The keys, for the help.
pub(super) const HELP: [(&str, &str); 9] = [
    ("q, Esc, Ctrl-C", "quit"),
    ("up, down, k, j", "select a segment"),
    ("s", "sort by the next column"),
    ("r", "reverse the order"),
    ("p, space", "pause, and go on"),
    ("+", "look twice as often"),
    ("-", "look half as often"),
    ("Ctrl-L", "draw everything again"),
    ("?", "this help"),
];

/// An Esc that begins no sequence within this time is the key itself.
const LONE_ESCAPE: Duration = Duration::from_millis(50);

/// Makes actions of the bytes that a terminal sends.
#[derive(Debug, Default)]
pub(super) struct Keys(State);

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Ground,
    /// After an Esc, which came then.
    Escape(Instant),
    /// Inside `Esc [ ... X`.
    Control,
    /// Inside `Esc O X`.
    Single,
}

impl Keys {
    /// The actions that these bytes complete.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Action> {
        bytes.iter().filter_map(|&byte| self.next(byte)).collect()
    }

    /// The action that is complete because nothing follows.
    pub(super) fn rest(&mut self) -> Option<Action> {
        match self.0 {
            State::Escape(since) if since.elapsed() >= LONE_ESCAPE => {
                self.0 = State::Ground;
                Some(Action::Back)
            }
            _ => None,
        }
    }

    fn next(&mut self, byte: u8) -> Option<Action> {
        let state = std::mem::take(&mut self.0);
        match (state, byte) {
            (State::Escape(_), b'[') => self.0 = State::Control,
            (State::Escape(_), b'O') => self.0 = State::Single,
            (State::Escape(_), 0x1B) => return Some(Action::Back),
            // Alt and a key.
            (State::Escape(_), _) => {}
            (State::Control | State::Single, b'A') => return Some(Action::Up),
            (State::Control | State::Single, b'B') => return Some(Action::Down),
            // Parameters, until a final byte.
            (State::Control, 0x20..=0x3F) => self.0 = State::Control,
            (State::Control | State::Single, _) => {}
            (State::Ground, 0x1B) => self.0 = State::Escape(Instant::now()),
            (State::Ground, byte) => return action(byte),
        }
        None
    }
}

fn action(byte: u8) -> Option<Action> {
    const fn control(key: u8) -> u8 {
        key & 0x1F
    }
    const C: u8 = control(b'c');
    const D: u8 = control(b'd');
    const L: u8 = control(b'l');
    match byte {
        b'q' | C | D => Some(Action::Quit),
        b's' => Some(Action::SortByNext),
        b'r' => Some(Action::Reverse),
        b'p' | b' ' => Some(Action::Pause),
        b'+' => Some(Action::Faster),
        b'-' => Some(Action::Slower),
        b'k' => Some(Action::Up),
        b'j' => Some(Action::Down),
        b'?' | b'h' => Some(Action::Help),
        L => Some(Action::Redraw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_understood_however_they_are_split() {
        let all = b"sr\x1b[A\x1b[1;5B\x1bOAk\xc3\xbc\x1b[5~?\x03";
        let expected = [
            Action::SortByNext,
            Action::Reverse,
            Action::Up,
            Action::Down,
            Action::Up,
            Action::Up,
            Action::Help,
            Action::Quit,
        ];
        assert_eq!(Keys::default().read(all), expected);
        let mut keys = Keys::default();
        let one_by_one: Vec<Action> = all.iter().flat_map(|&byte| keys.read(&[byte])).collect();
        assert_eq!(one_by_one, expected);
    }

    #[test]
    fn a_lone_escape_is_a_key_and_one_that_begins_a_sequence_is_none() {
        let mut keys = Keys::default();
        assert!(keys.read(b"\x1b").is_empty());
        assert_eq!(keys.rest(), None, "something may follow");
        std::thread::sleep(LONE_ESCAPE);
        assert_eq!(keys.rest(), Some(Action::Back));
        assert_eq!(keys.rest(), None);
        assert!(keys.read(b"\x1b[").is_empty());
        std::thread::sleep(LONE_ESCAPE);
        assert_eq!(keys.rest(), None);
        assert_eq!(keys.read(b"A"), [Action::Up]);
    }
}
