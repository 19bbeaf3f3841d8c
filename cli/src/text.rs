//! Text for people: nothing that a terminal would act on, numbers with units.
//!
//! Names of segments, names of processes and the content of entries are other people's text.
//! A control sequence among them could move the cursor, set the title of the window, or make
//! one line look like another; so all of it is escaped before it is shown.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

/// Whether a terminal could act on it, or it changes the order or the look of its neighbours.
pub(crate) fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Text as it may be shown: everything unprintable escaped, except line ends.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    escape_but(text, |c| c == '\n')
}

/// As [`escape`], for what must stay on one line.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    escape_but(text, |_| false)
}

fn escape_but(text: &str, is_allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_bad = |c: char| is_unprintable(c) && !is_allowed(c);
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    for c in text.chars() {
        match is_bad(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

/// Text with its lines broken between words, so that they fit into so many columns of a terminal. 0
/// stands for no limit. A word that does not fit stays whole.
pub(crate) fn wrap(text: &str, columns: usize) -> Cow<'_, str> {
    let width = unicode_width::UnicodeWidthStr::width;
    if columns == 0 || text.lines().all(|line| width(line) <= columns) {
        return Cow::Borrowed(text);
    }
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && width(&current) + 1 + width(word) > columns {
                lines.push(std::mem::take(&mut current));
            } else if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    Cow::Owned(lines.join("\n"))
}

/// Bytes with a binary unit: `24.3 MiB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut scaled = count as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1023.95 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// A rate or a large number: `1.2 M`.
pub(crate) fn count(number: f64) -> String {
    for (limit, unit) in [(1e9, " G"), (1e6, " M"), (1e4, " k")] {
        if number >= limit {
            let scale = if unit == " k" { 1e3 } else { limit };
            return format!("{:.1}{unit}", number / scale);
        }
    }
    match number >= 100.0 || number == 0.0 {
        true => format!("{number:.0}"),
        false => format!("{number:.1}"),
    }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A number with separators between its thousands: `1,000,000`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How long something lasted or is ago, in its largest unit: `5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// How long ago that was; a clock that was set back makes it "just now".
pub(crate) fn age(then: SystemTime) -> Duration {
    SystemTime::now().duration_since(then).unwrap_or_default()
}

/// Permission bits as `ls -l` shows them.
pub(crate) fn mode(bits: u32) -> String {
    (0..9)
        .map(|bit| match bits >> (8 - bit) & 1 {
            0 => '-',
            _ => ['r', 'w', 'x'][bit % 3],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_acts_on_passes() {
        let hostile = "a\x1b]0;title\x07\u{9b}31m\u{202e}b\u{200b}\r\n\u{7f}";
        let shown = one_line(hostile);
        assert_eq!(
            shown,
            "a\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{202e}b\\u{200b}\\r\\n\\u{7f}"
        );
        assert!(!shown.contains(is_unprintable));
        assert!(escape(hostile).contains('\n'));
        assert!(matches!(escape("Grüße, 世界"), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_are_broken_between_words() {
        let text = "one two three\nfour 世界世界 five-and-a-half";
        assert_eq!(wrap(text, 0), text);
        assert_eq!(wrap(text, 40), text);
        assert_eq!(
            wrap(text, 10),
            "one two\nthree\nfour\n世界世界\nfive-and-a-half"
        );
    }

    #[test]
    fn numbers_have_units() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
        assert_eq!(count(0.0), "0");
        assert_eq!(count(9999.0), "9999");
        assert_eq!(count(12_300.0), "12.3 k");
        assert_eq!(count(1_230_000.0), "1.2 M");
        assert_eq!(thousands(1_000_000), "1,000,000");
        assert_eq!(thousands(12), "12");
        assert_eq!(duration(Duration::from_secs(7199)), "119 min");
        assert_eq!(mode(0o640), "rw-r-----");
    }
}
