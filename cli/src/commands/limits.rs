//! How long a line of input can be that describes an entry.
//!
//! What is longer is refused when that is seen: an input of megabytes that is no dump at all must not
//! take memory by the gigabyte.

use std::io::{self, BufRead, Read};

use shmkv::schema::Type;

/// Bytes of a line beside key and value: names of members, a time to live, white space.
const BESIDE: usize = 64 << 10;

/// Most bytes of a line of JSON, or of a row of CSV, that says an entry of these types. Generous: each
/// character may be escaped, and there may be as much white space again.
pub(crate) fn longest_line(key: &Type, value: &Type) -> usize {
    let entry = longest(key).saturating_add(longest(value));
    entry.saturating_mul(2).saturating_add(BESIDE)
}

/// Most bytes of a text that stands for a value of this type by itself.
pub(crate) fn longest_text(ty: &Type) -> usize {
    longest(ty).saturating_mul(2).saturating_add(BESIDE)
}

/// Most bytes of the line that describes a segment: two texts of types, escaped.
pub(crate) const LONGEST_DESCRIPTION: usize = 1 << 20;

fn longest(ty: &Type) -> usize {
    // Six bytes for a character: \u0000.
    const ESCAPED: usize = 6;
    match ty {
        Type::Unit | Type::Bool => 5,
        Type::Char => 2 + 2 * ESCAPED,
        // The longest is an integer of 128 bits, with its sign and in quotes.
        Type::Int(_) | Type::NonZero(_) | Type::F32 | Type::F64 => 48,
        Type::Str(len) => 2 + ESCAPED * len,
        Type::Bytes(len) => 16 + 2 * len,
        Type::Enum(it) => {
            let names = it.variants().iter().map(|variant| variant.name().len());
            2 + ESCAPED * names.max().unwrap_or(0)
        }
        Type::Struct(it) => it.fields().iter().fold(2, |sum: usize, field| {
            sum.saturating_add(ESCAPED * field.name().len() + 4)
                .saturating_add(longest(field.ty()))
        }),
        Type::Array { element, len } => longest(element)
            .saturating_add(1)
            .saturating_mul(*len)
            .saturating_add(2),
        // A type that this program does not know yet.
        other => 64 * (1 + other.size()),
    }
}

/// Reads one line, its end included, into `line`. Says whether there was one.
///
/// # Errors
/// Those of the reader; `InvalidData` if the line is longer than `limit`.
pub(crate) fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<bool> {
    line.clear();
    let most = limit as u64 + 1;
    let read = reader.take(most).read_until(b'\n', line)?;
    if read > limit {
        return Err(too_long(limit));
    }
    Ok(read > 0)
}

/// That a line, or a row, is longer than any that could be meant.
pub(crate) fn too_long(limit: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it is longer than {limit} bytes, which no entry of this segment needs"),
    )
}

/// A message that may quote any amount of other people's text, cut where it is too long to be read.
pub(crate) fn clipped(mut message: String) -> String {
    const SHOWN: usize = 600;
    if let Some((end, _)) = message.char_indices().nth(SHOWN) {
        message.truncate(end);
        message.push('…');
    }
    message
}

/// The beginning of other people's text, for a message.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use shmkv::schema::to_json;

    use super::*;

    #[test]
    fn no_entry_is_longer_than_the_limit_for_its_types() {
        for (text, fill) in [
            ("[u8; 4096]", 255),
            ("[i8; 4096]", 128),
            ("[f32; 64]", 0xFF),
            ("[f64; 64]", 0x81),
            ("[char; 512]", 0),
            ("[bool; 999]", 1),
            ("u128", 255),
            (
                "enum: u8 { AVeryLongNameOfAVariantIndeedItIsVeryLongAndLonger = 7 }",
                7,
            ),
            (
                "[struct { a_long_name: u8, another_long_name: struct { inner: u8 } }; 300]",
                200,
            ),
        ] {
            let ty = Type::parse(text).unwrap();
            let bytes = vec![fill; ty.size()];
            let json = to_json(&ty, &bytes).unwrap().to_string();
            assert!(json.len() <= longest(&ty), "{text}: {}", json.len());
        }
        let text = Type::parse("Str<1000>").unwrap();
        let mut bytes = vec![1; text.size()];
        bytes[..2].copy_from_slice(&1000_u16.to_le_bytes());
        let json = to_json(&text, &bytes).unwrap().to_string();
        assert_eq!(json.len(), 6002);
        assert!(json.len() <= longest(&text));
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_when_that_is_seen() {
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        let mut line = Vec::new();
        let error = read_line(&mut endless, &mut line, 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(line.len(), 1001);
        let mut two = io::Cursor::new(b"ab\ncd".to_vec());
        assert!(read_line(&mut two, &mut line, 3).unwrap());
        assert_eq!(line, b"ab\n");
        assert!(read_line(&mut two, &mut line, 3).unwrap());
        assert!(!read_line(&mut two, &mut line, 3).unwrap());
    }

    #[test]
    fn an_excerpt_is_short_whatever_the_text() {
        assert_eq!(excerpt("short"), "\"short\"");
        assert!(excerpt(&"ü".repeat(1 << 20)).len() < 200);
        assert!(excerpt(&"\u{1}".repeat(1 << 20)).len() < 500);
    }
}
