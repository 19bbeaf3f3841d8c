//! A value of a type that is known only by its schema, as a tree.
//!
//! For tools and bindings that have no Rust type: [`Datum::decode`] makes a tree of the bytes of
//! an entry, [`Datum::encode`] makes bytes of a tree. Both check everything that the schema says.

use std::fmt;

use super::ty::{Int, Struct, Type};
use super::valid::{InvalidValue, bytes_of, char_of, str_of};

/// A value whose type is described by a [`Type`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Datum {
    /// `()`.
    Unit,
    /// A `bool`.
    Bool(bool),
    /// A `char`.
    Char(char),
    /// Any integer, `NonZero` included, that an `i128` can hold.
    Int(i128),
    /// A `u128` beyond that.
    Uint(u128),
    /// An `f32`.
    F32(f32),
    /// An `f64`.
    F64(f64),
    /// The text of a `Str<N>`.
    Str(String),
    /// The content of a `Bytes<N>`.
    Bytes(Vec<u8>),
    /// The name of an enum's variant.
    Variant(String),
    /// The elements of an array.
    Array(Vec<Datum>),
    /// The fields of a struct, by name. Any order will do for encoding.
    Struct(Vec<(String, Datum)>),
}

impl Datum {
    /// The value that `bytes` are.
    ///
    /// # Errors
    /// If they are none.
    pub fn decode(ty: &Type, bytes: &[u8]) -> Result<Self, InvalidValue> {
        ty.validate(bytes)?;
        decode(ty, bytes)
    }

    /// The bytes of the value, as a segment with this type holds them.
    ///
    /// # Errors
    /// If it is no value of the type: unknown and missing fields are errors, as is everything
    /// that does not fit.
    pub fn encode(&self, ty: &Type) -> Result<Vec<u8>, InvalidValue> {
        let mut bytes = Vec::new();
        self.append(ty, &mut bytes)?;
        Ok(bytes)
    }

    fn append(&self, ty: &Type, bytes: &mut Vec<u8>) -> Result<(), InvalidValue> {
        let unfit = || InvalidValue::new(ty.brief(), self.brief());
        match (ty, self) {
            (Type::Unit, Self::Unit) => {}
            (Type::Bool, Self::Bool(it)) => bytes.push(u8::from(*it)),
            (Type::Char, Self::Char(it)) => bytes.extend(u32::from(*it).to_ne_bytes()),
            (Type::F32, Self::F32(it)) => bytes.extend(it.to_ne_bytes()),
            (Type::F64, Self::F64(it)) => bytes.extend(it.to_ne_bytes()),
            (Type::Int(int) | Type::NonZero(int), Self::Int(it)) if int.holds(*it) => {
                if *it == 0 && matches!(ty, Type::NonZero(_)) {
                    return Err(unfit());
                }
                bytes.extend(int.narrow(*it as u128));
            }
            (Type::Int(int @ Int::U128) | Type::NonZero(int @ Int::U128), Self::Uint(it)) => {
                if *it == 0 && matches!(ty, Type::NonZero(_)) {
                    return Err(unfit());
                }
                bytes.extend(int.narrow(*it));
            }
            (Type::Str(max), Self::Str(text)) => {
                inline(*max, text.as_bytes(), bytes).ok_or_else(unfit)?;
            }
            (Type::Bytes(max), Self::Bytes(content)) => {
                inline(*max, content, bytes).ok_or_else(unfit)?;
            }
            (Type::Enum(it), Self::Variant(name)) => {
                let variant = it.variant(name).ok_or_else(unfit)?;
                bytes.extend(it.repr().narrow(variant.discriminant() as u128));
            }
            (Type::Array { element, len }, Self::Array(elements)) if elements.len() == *len => {
                for (i, it) in elements.iter().enumerate() {
                    it.append(element, bytes).map_err(|e| e.in_element(i))?;
                }
            }
            (Type::Struct(it), Self::Struct(fields)) => append_fields(it, fields, bytes)?,
            _ => return Err(unfit()),
        }
        Ok(())
    }

    /// The value in a few words, for messages.
    fn brief(&self) -> String {
        const MAX: usize = 60;
        let text = self.to_string();
        match text.char_indices().nth(MAX) {
            Some((end, _)) => format!("`{}…`", &text[..end]),
            None => format!("`{text}`"),
        }
    }
}

fn decode(ty: &Type, bytes: &[u8]) -> Result<Datum, InvalidValue> {
    Ok(match ty {
        Type::Unit => Datum::Unit,
        Type::Bool => Datum::Bool(bytes.first().is_some_and(|&byte| byte != 0)),
        Type::Char => Datum::Char(char_of(bytes)?),
        Type::Int(int) | Type::NonZero(int) => {
            let number = int.read(bytes);
            number
                .as_i128()
                .map_or(Datum::Uint(number.bits), Datum::Int)
        }
        Type::F32 => Datum::F32(f32::from_bits(Int::U32.read(bytes).bits as u32)),
        Type::F64 => Datum::F64(f64::from_bits(Int::U64.read(bytes).bits as u64)),
        Type::Str(max) => Datum::Str(str_of(*max, bytes)?.to_owned()),
        Type::Bytes(max) => Datum::Bytes(bytes_of(*max, bytes)?.to_vec()),
        Type::Enum(it) => {
            let number = it.repr().read(bytes);
            let variant = number.as_i128().and_then(|it_is| it.by_discriminant(it_is));
            let variant = variant
                .ok_or_else(|| InvalidValue::new(ty.brief(), format!("discriminant {number}")))?;
            Datum::Variant(variant.name().to_owned())
        }
        Type::Array { element, .. } => Datum::Array(
            ty.elements(element, bytes)
                .map(|it| decode(element, it))
                .collect::<Result<_, _>>()?,
        ),
        Type::Struct(it) => {
            let field = |field: &super::Field| {
                let part = &bytes[field.offset()..][..field.ty().size()];
                Ok((field.name().to_owned(), decode(field.ty(), part)?))
            };
            Datum::Struct(it.fields().iter().map(field).collect::<Result<_, _>>()?)
        }
    })
}

fn append_fields(
    it: &Struct,
    fields: &[(String, Datum)],
    bytes: &mut Vec<u8>,
) -> Result<(), InvalidValue> {
    for (i, (name, _)) in fields.iter().enumerate() {
        if it.field(name).is_none() {
            return Err(InvalidValue::new(
                "a field of the struct",
                format!("`{name}`"),
            ));
        }
        if fields[..i].iter().any(|(earlier, _)| earlier == name) {
            return Err(InvalidValue::new("one value", "another one").in_field(name));
        }
    }
    for field in it.fields() {
        let (_, value) = fields
            .iter()
            .find(|(name, _)| name == field.name())
            .ok_or_else(|| InvalidValue::new(field.ty().brief(), "none").in_field(field.name()))?;
        value
            .append(field.ty(), bytes)
            .map_err(|e| e.in_field(field.name()))?;
    }
    Ok(())
}

/// Appends a `Str` or `Bytes` with this content; `None` if it is too long.
pub(super) fn inline(max: usize, content: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let len = u16::try_from(content.len())
        .ok()
        .filter(|_| content.len() <= max)?;
    bytes.extend(len.to_le_bytes());
    bytes.extend(content);
    bytes.resize(bytes.len() + max - content.len(), 0);
    Some(())
}

impl Int {
    /// The bytes of a number that fits, given by its bits.
    pub(super) fn narrow(self, bits: u128) -> Vec<u8> {
        let wide = bits.to_ne_bytes();
        let at = if cfg!(target_endian = "little") {
            0
        } else {
            16 - self.size()
        };
        wide[at..][..self.size()].to_vec()
    }
}

/// As Rust would write it; text is escaped.
impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, items: &[Datum]| {
            for (i, it) in items.iter().enumerate() {
                write!(f, "{}{it}", if i == 0 { "" } else { ", " })?;
            }
            Ok(())
        };
        match self {
            Self::Unit => f.write_str("()"),
            Self::Bool(it) => write!(f, "{it}"),
            Self::Char(it) => write!(f, "{it:?}"),
            Self::Int(it) => write!(f, "{it}"),
            Self::Uint(it) => write!(f, "{it}"),
            Self::F32(it) => write!(f, "{it:?}"),
            Self::F64(it) => write!(f, "{it:?}"),
            Self::Str(it) => write!(f, "{it:?}"),
            Self::Bytes(it) => write!(f, "b\"{}\"", it.escape_ascii()),
            Self::Variant(it) => f.write_str(it),
            Self::Array(items) => {
                f.write_str("[")?;
                list(f, items)?;
                f.write_str("]")
            }
            Self::Struct(fields) if fields.is_empty() => f.write_str("{}"),
            Self::Struct(fields) => {
                for (i, (name, it)) in fields.iter().enumerate() {
                    write!(f, "{}{name}: {it}", if i == 0 { "{ " } else { ", " })?;
                }
                f.write_str(" }")
            }
        }
    }
}
