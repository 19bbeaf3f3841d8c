//! A value as it was given: on the command line, in a file (`@FILE`), or on stdin (`-`).
//!
//! The text is the same wherever it stands. `@@` begins a text with an `@`, and `"-"` in quotes is that
//! text.

use std::fs::File;
use std::io::{self, Read};

use shmkv::ReadOnlyDynMap;
use shmkv::schema::Type;

use crate::commands::limits::longest_text;
use crate::failure::{Failure, Outcome};
use crate::open;

/// Where the text of a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Here(String),
    File(String),
    Stdin,
}

/// For clap.
pub(crate) fn given(text: &str) -> Result<Given, String> {
    match text.strip_prefix('@') {
        _ if text == "-" => Ok(Given::Stdin),
        None => Ok(Given::Here(text.to_owned())),
        Some("") => Err(
            "expected the name of a file after @ (a text that begins with @ is written @@)"
                .to_owned(),
        ),
        Some(rest) if rest.starts_with('@') => Ok(Given::Here(rest.to_owned())),
        Some(path) => Ok(Given::File(path.to_owned())),
    }
}

impl Given {
    /// The bytes of the value.
    pub(crate) fn value(&self, map: &ReadOnlyDynMap) -> Outcome<Vec<u8>> {
        let (from, text) = match self {
            Self::Here(text) => return open::value(map, text),
            Self::File(path) => {
                let read = File::open(path).and_then(|file| text(file, map.value_type()));
                (path.as_str(), read)
            }
            Self::Stdin => ("stdin", text(io::stdin().lock(), map.value_type())),
        };
        let text = text.map_err(|error| Failure::new(format!("cannot read {from}: {error}")))?;
        open::value(map, &text).map_err(|failure| match failure {
            Failure::Message(message) => Failure::Message(format!("{from}: {message}")),
            other => other,
        })
    }
}

/// The text of one value. What editors and other systems put around it is no part of it: a byte order
/// mark, and the end of its last line.
fn text(reader: impl Read, ty: &Type) -> io::Result<String> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let limit = longest_text(ty);
    let mut bytes = Vec::new();
    // One byte more tells a text that is too long, whatever its length: a file can be endless.
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(invalid(format!(
            "it is longer than {limit} bytes, which no value of this segment needs"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        invalid(format!(
            "expected text in UTF-8, as on the command line, found other bytes from byte {} on",
            error.utf8_error().valid_up_to()
        ))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_where_the_value_is() {
        let here = |text: &str| Ok(Given::Here(text.to_owned()));
        for text in ["", "5", "-5", "--", "a@b", "{\"a\": \"@b\"}", "\"-\""] {
            assert_eq!(given(text), here(text));
        }
        assert_eq!(given("@@"), here("@"));
        assert_eq!(given("@@file"), here("@file"));
        assert_eq!(given("@@@"), here("@@"));
        assert_eq!(given("@file"), Ok(Given::File("file".to_owned())));
        assert_eq!(given("@-"), Ok(Given::File("-".to_owned())));
        assert_eq!(given("-"), Ok(Given::Stdin));
        assert!(given("@").unwrap_err().contains("@@"));
    }

    #[test]
    fn only_what_surrounds_a_text_is_taken_off() {
        let ty = Type::parse("Str<8>").unwrap();
        for (bytes, expected) in [
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            (" a \n", " a "),
            ("\u{feff}a\n", "a"),
            ("a\nb\n", "a\nb"),
            ("", ""),
        ] {
            assert_eq!(text(bytes.as_bytes(), &ty).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn an_endless_file_is_refused_when_it_is_longer_than_any_value() {
        let ty = Type::parse("[u8; 100]").unwrap();
        let limit = longest_text(&ty);
        let fits = vec![b' '; limit];
        assert_eq!(text(&fits[..], &ty).unwrap().len(), limit);
        let error = text(io::repeat(b' '), &ty).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        let error = text(&b"ab\xff"[..], &ty).unwrap_err();
        assert!(error.to_string().contains("from byte 2 on"), "{error}");
    }
}
