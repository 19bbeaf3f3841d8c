//! Whether bytes are a value of a type: for tools that have the schema only.

use std::fmt;

use super::ty::{Int, Type};

/// Bytes that are no value of their type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    path: String,
    expected: String,
    found: String,
}

impl InvalidValue {
    /// The field, such as `quotes[3].side`; empty if it is the value itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What could have stood there.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What stands there.
    pub fn found(&self) -> &str {
        &self.found
    }

    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The same error, seen from the struct whose field it is in.
    pub(super) fn in_field(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    /// The same error, seen from the array whose element it is in.
    pub(super) fn in_element(self, index: usize) -> Self {
        self.in_field(&format!("[{index}]"))
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            found,
        } = self;
        match path.as_str() {
            "" => write!(f, "invalid value: expected {expected}, found {found}"),
            path => write!(
                f,
                "invalid value in `{path}`: expected {expected}, found {found}"
            ),
        }
    }
}

impl std::error::Error for InvalidValue {}

impl Type {
    /// Whether `bytes` are a value of this type: the right number of them, every
    /// `bool`, `char` and enum one that exists, text well formed.
    pub fn validate(&self, bytes: &[u8]) -> Result<(), InvalidValue> {
        if bytes.len() != self.size() {
            return Err(InvalidValue::new(
                format!("{} bytes", self.size()),
                format!("{} bytes", bytes.len()),
            ));
        }
        self.validate_sized(bytes)
    }

    /// As [`Type::validate`], for bytes of the right number.
    fn validate_sized(&self, bytes: &[u8]) -> Result<(), InvalidValue> {
        match self {
            Type::Unit | Type::Int(_) | Type::F32 | Type::F64 => Ok(()),
            Type::Bool if bytes[0] > 1 => {
                Err(InvalidValue::new("bool (0 or 1)", bytes[0].to_string()))
            }
            Type::Bool => Ok(()),
            Type::Char => char_of(bytes).map(drop),
            Type::NonZero(int) if bytes.iter().all(|&b| b == 0) => {
                Err(InvalidValue::new(format!("a {int} other than zero"), "0"))
            }
            Type::NonZero(_) => Ok(()),
            Type::Str(max) => str_of(*max, bytes).map(drop),
            Type::Bytes(max) => bytes_of(*max, bytes).map(drop),
            Type::Enum(it) => {
                let number = it.repr().read(bytes);
                match number
                    .as_i128()
                    .and_then(|number| it.by_discriminant(number))
                {
                    Some(_) => Ok(()),
                    None => Err(InvalidValue::new(
                        self.brief(),
                        format!("discriminant {number}"),
                    )),
                }
            }
            Type::Array { element, .. } => self
                .elements(element, bytes)
                .enumerate()
                .try_for_each(|(i, it)| element.validate_sized(it).map_err(|e| e.in_element(i))),
            Type::Struct(it) => it.fields().iter().try_for_each(|field| {
                let part = &bytes[field.offset()..][..field.ty().size()];
                field
                    .ty()
                    .validate_sized(part)
                    .map_err(|e| e.in_field(field.name()))
            }),
        }
    }

    /// The elements of an array of this type, also where they have no bytes.
    pub(super) fn elements<'a>(
        &self,
        element: &Type,
        bytes: &'a [u8],
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let len = if let Type::Array { len, .. } = self {
            *len
        } else {
            0
        };
        let size = element.size();
        (0..len).map(move |i| &bytes[i * size..][..size])
    }
}

pub(super) fn char_of(bytes: &[u8]) -> Result<char, InvalidValue> {
    let code = Int::U32.read(bytes).bits as u32;
    char::from_u32(code)
        .ok_or_else(|| InvalidValue::new("char (a Unicode scalar value)", format!("0x{code:x}")))
}

/// The text of a `Str`, of which every rule is checked.
pub(super) fn str_of(max: usize, bytes: &[u8]) -> Result<&str, InvalidValue> {
    str::from_utf8(content("Str", max, bytes)?).map_err(|e| {
        let found = format!("other bytes at {}", e.valid_up_to());
        InvalidValue::new(format!("Str<{max}> of UTF-8"), found)
    })
}

/// The content of a `Bytes`, of which every rule is checked.
pub(super) fn bytes_of(max: usize, bytes: &[u8]) -> Result<&[u8], InvalidValue> {
    content("Bytes", max, bytes)
}

fn content<'a>(ty: &str, max: usize, bytes: &'a [u8]) -> Result<&'a [u8], InvalidValue> {
    let (len, room) = bytes.split_at(2);
    let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
    match room.split_at_checked(len) {
        None => Err(InvalidValue::new(
            format!("{ty}<{max}>"),
            format!("a length of {len}"),
        )),
        Some((_, unused)) if unused.iter().any(|&b| b != 0) => {
            let expected = format!("{ty}<{max}> with zeros behind its content");
            Err(InvalidValue::new(expected, "other bytes"))
        }
        Some((content, _)) => Ok(content),
    }
}

/// An integer of any type, as its bits extended to 128 (with the sign, if it has one).
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) bits: u128,
    pub(super) signed: bool,
}

impl Number {
    /// `None` only for a `u128` that is out of range.
    pub(super) fn as_i128(self) -> Option<i128> {
        if self.signed {
            Some(self.bits as i128)
        } else {
            self.bits.try_into().ok()
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.signed {
            write!(f, "{}", self.bits as i128)
        } else {
            write!(f, "{}", self.bits)
        }
    }
}

impl Int {
    /// The number in `bytes`, of which there are [`Int::size`].
    pub(super) fn read(self, bytes: &[u8]) -> Number {
        let mut wide = [0; 16];
        let at = if cfg!(target_endian = "little") {
            0
        } else {
            16 - self.size()
        };
        wide[at..][..self.size()].copy_from_slice(bytes);
        let unused = 128 - self.bits();
        let bits = u128::from_ne_bytes(wide) << unused;
        let bits = if self.is_signed() {
            (bits as i128 >> unused) as u128
        } else {
            bits >> unused
        };
        Number {
            bits,
            signed: self.is_signed(),
        }
    }
}
