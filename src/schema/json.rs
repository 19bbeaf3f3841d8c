//! Values as JSON, by their schema: what the command line prints and reads.
//!
//! | type | JSON |
//! |---|---|
//! | integers | numbers; those of 128 bits that no JSON reader would keep exact, as strings |
//! | floats | numbers; `"inf"`, `"-inf"`, `"NaN"`, and other NaNs with their bits: `"NaN:0x7ff8000000000001"` |
//! | `bool` | `true`, `false` |
//! | `char` | a string of one character |
//! | `()` | `null` |
//! | enums | the variant's name as a string |
//! | arrays | arrays |
//! | `Str<N>` | a string |
//! | `Bytes<N>` | a string of hexadecimal digits; read also behind `0x`, and as base64 behind `base64:` |
//! | structs | objects with exactly the fields of the struct |
//!
//! Reading back what was printed gives the same bytes.

use std::fmt;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine, alphabet};
use serde_json::{Map, Value};

use super::datum::inline;
use super::ty::{Int, Struct, Type};
use super::valid::InvalidValue;

/// A value that does not fit its schema, which the message shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    schema: Box<Type>,
    reason: InvalidValue,
}

impl ValueError {
    /// The schema that the value does not fit.
    pub fn schema(&self) -> &Type {
        &self.schema
    }

    /// Which part of the value does not fit, and why.
    pub fn reason(&self) -> &InvalidValue {
        &self.reason
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; the schema is:\n{:#}", self.reason, self.schema)
    }
}

impl std::error::Error for ValueError {}

/// The bytes of a value.
///
/// Unknown and missing fields, and everything else that does not fit, are errors.
pub fn from_json(ty: &Type, value: &Value) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::new();
    match read(ty, value, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(reason) => Err(ValueError {
            schema: Box::new(ty.clone()),
            reason,
        }),
    }
}

/// The bytes of a value as a human writes it on a command line.
///
/// JSON as in [`from_json`]; without quotes where the type is text, bytes, a `char` or
/// an enum; integers also in hexadecimal (`0x51`), bytes also as base64 (`base64:AP8=`); a struct also as `field=value`
/// pairs, separated by commas or white space, whose values are written likewise
/// (in quotes if they contain a separator).
pub fn parse_value(ty: &Type, text: &str) -> Result<Vec<u8>, ValueError> {
    let error = |reason| ValueError {
        schema: Box::new(ty.clone()),
        reason,
    };
    let value = parse_bare(ty, text).map_err(error)?;
    from_json(ty, &value)
}

fn parse_bare(ty: &Type, text: &str) -> Result<Value, InvalidValue> {
    let trimmed = text.trim();
    let quoted = trimmed.len() >= 2 && trimmed.starts_with('"') && trimmed.ends_with('"');
    match ty {
        _ if quoted => parse_json(trimmed),
        Type::Str(_) => Ok(Value::String(text.to_owned())),
        // A space is a character.
        Type::Char if text.chars().count() == 1 => Ok(Value::String(text.to_owned())),
        Type::Char | Type::Bytes(_) | Type::Enum(_) | Type::Int(_) | Type::NonZero(_) => {
            Ok(Value::String(trimmed.to_owned()))
        }
        Type::F32 | Type::F64 => {
            parse_json(trimmed).or_else(|_| Ok(Value::String(trimmed.to_owned())))
        }
        Type::Unit if matches!(trimmed, "" | "()") => Ok(Value::Null),
        Type::Struct(it) if !trimmed.starts_with('{') => parse_pairs(it, trimmed),
        Type::Array { element, .. }
            if !trimmed.starts_with('[') && **element == Type::Int(Int::U8) =>
        {
            Ok(Value::String(trimmed.to_owned()))
        }
        _ => parse_json(trimmed),
    }
}

fn parse_json(text: &str) -> Result<Value, InvalidValue> {
    serde_json::from_str(text)
        .map_err(|e| InvalidValue::new("JSON", format!("{} ({e})", shorten(text))))
}

fn parse_pairs(it: &Struct, text: &str) -> Result<Value, InvalidValue> {
    const SEPARATORS: [char; 6] = [',', ' ', '\t', '\n', '\r', '\u{c}'];
    let mut object = Map::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(SEPARATORS);
        if rest.is_empty() {
            return Ok(Value::Object(object));
        }
        let Some((name, tail)) = rest.split_once('=') else {
            return Err(InvalidValue::new(
                "field=value pairs or a JSON object",
                shorten(rest),
            ));
        };
        let name = name.trim();
        let Some(field) = it.field(name) else {
            return Err(unknown_field(it, name));
        };
        let value;
        if tail.starts_with(['"', '{', '[']) {
            let mut values = serde_json::Deserializer::from_str(tail).into_iter();
            value = match values.next() {
                Some(Ok(value)) => value,
                _ => return Err(InvalidValue::new("JSON", shorten(tail)).in_field(name)),
            };
            rest = &tail[values.byte_offset()..];
        } else {
            let end = tail.find(SEPARATORS).unwrap_or(tail.len());
            value = parse_bare(field.ty(), &tail[..end]).map_err(|e| e.in_field(name))?;
            rest = &tail[end..];
        }
        if object.insert(name.to_owned(), value).is_some() {
            return Err(InvalidValue::new("one value", "another one").in_field(name));
        }
    }
}

fn read(ty: &Type, value: &Value, bytes: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let expected = |what: String| InvalidValue::new(what, shorten(&value.to_string()));
    match (ty, value) {
        (Type::Unit, Value::Null) => {}
        (Type::Bool, Value::Bool(it)) => bytes.push(u8::from(*it)),
        (Type::Char, Value::String(text)) => {
            let mut chars = text.chars();
            match (chars.next(), chars.next()) {
                (Some(c), None) => bytes.extend(u32::from(c).to_ne_bytes()),
                _ => return Err(expected("one character".into())),
            }
        }
        (Type::Int(int), _) => bytes.extend(read_int(*int, value)?),
        (Type::NonZero(int), _) => {
            let number = read_int(*int, value)?;
            if number.iter().all(|&b| b == 0) {
                return Err(expected(format!("a {int} other than zero")));
            }
            bytes.extend(number);
        }
        (Type::F32, _) => match read_f32(value) {
            Some(it) => bytes.extend(it.to_ne_bytes()),
            None => {
                return Err(expected(
                    "a number in the range of f32, inf, -inf or NaN".into(),
                ));
            }
        },
        (Type::F64, _) => match read_f64(value) {
            Some(it) => bytes.extend(it.to_ne_bytes()),
            None => return Err(expected("a number, inf, -inf or NaN".into())),
        },
        (Type::Str(max), Value::String(text)) => {
            inline(*max, text.as_bytes(), bytes)
                .ok_or_else(|| expected(format!("text of at most {max} bytes")))?;
        }
        (Type::Bytes(max), Value::String(text)) => read_bytes(text)
            .and_then(|content| inline(*max, &content, bytes))
            .ok_or_else(|| {
                expected(format!(
                    "at most {max} bytes as hexadecimal digits, or as base64 behind `base64:`"
                ))
            })?,
        (Type::Enum(it), Value::String(name)) => match it.variant(name) {
            Some(variant) => bytes.extend(it.repr().narrow(variant.discriminant() as u128)),
            None => {
                let names: Vec<_> = it.variants().iter().take(16).map(|v| v.name()).collect();
                let more = if it.variants().len() > names.len() {
                    ", ..."
                } else {
                    ""
                };
                return Err(expected(format!("one of {}{more}", names.join(", "))));
            }
        },
        (Type::Array { element, len }, Value::Array(values)) => {
            if values.len() != *len {
                let found = format!("{}", values.len());
                return Err(InvalidValue::new(format!("{len} elements"), found));
            }
            for (i, value) in values.iter().enumerate() {
                read(element, value, bytes).map_err(|e| e.in_element(i))?;
            }
        }
        (Type::Array { element, len }, Value::String(text)) if **element == Type::Int(Int::U8) => {
            match read_bytes(text) {
                Some(content) if content.len() == *len => bytes.extend(content),
                _ => {
                    return Err(expected(format!(
                        "{} hexadecimal digits, or {len} bytes as base64 behind `base64:`",
                        len.saturating_mul(2)
                    )));
                }
            }
        }
        (Type::Struct(it), Value::Object(object)) => {
            if let Some(name) = object.keys().find(|name| it.field(name).is_none()) {
                return Err(unknown_field(it, name));
            }
            for field in it.fields() {
                let value = object.get(field.name()).ok_or_else(|| {
                    let expected = format!("a field `{}`: {}", field.name(), field.ty().brief());
                    InvalidValue::new(expected, "none")
                })?;
                read(field.ty(), value, bytes).map_err(|e| e.in_field(field.name()))?;
            }
        }
        (ty, _) => return Err(expected(ty.brief())),
    }
    Ok(())
}

fn unknown_field(it: &Struct, name: &str) -> InvalidValue {
    let names: Vec<_> = it
        .fields()
        .iter()
        .take(16)
        .map(|field| field.name())
        .collect();
    let more = if it.fields().len() > names.len() {
        ", ..."
    } else {
        ""
    };
    let expected = format!("only the fields {}{more}", names.join(", "));
    InvalidValue::new(expected, format!("field {}", shorten(name)))
}

fn read_int(int: Int, value: &Value) -> Result<Vec<u8>, InvalidValue> {
    let number = match value {
        Value::Number(number) => number
            .as_u64()
            .map(u128::from)
            .or_else(|| number.as_i64().map(|it| i128::from(it) as u128))
            .map(|bits| (bits, number.as_u64().is_none())),
        Value::String(text) => parse_int(text),
        _ => None,
    };
    match number {
        Some((bits, negative)) if int.takes(bits, negative) => Ok(int.narrow(bits)),
        _ => Err(InvalidValue::new(int.name(), shorten(&value.to_string()))),
    }
}

/// Decimal or `0x` hexadecimal: the bits, and whether the number is negative.
fn parse_int(text: &str) -> Option<(u128, bool)> {
    if let Some(digits) = text.strip_prefix("0x") {
        // `from_str_radix` would take a sign.
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        return u128::from_str_radix(digits, 16)
            .ok()
            .filter(|_| plain)
            .map(|it| (it, false));
    }
    match text.strip_prefix('-') {
        Some(_) => text.parse().ok().map(|it: i128| (it as u128, it < 0)),
        None => text.parse().ok().map(|it| (it, false)),
    }
}

impl Int {
    /// Whether the number with these bits fits.
    fn takes(self, bits: u128, negative: bool) -> bool {
        match self {
            Int::U128 => !negative,
            _ => (negative || bits <= i128::MAX as u128) && self.holds(bits as i128),
        }
    }
}

fn read_f64(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.strip_prefix("NaN:0x") {
            Some(bits) => u64::from_str_radix(bits, 16)
                .ok()
                .map(f64::from_bits)
                .filter(|it| it.is_nan()),
            None => text
                .parse()
                .ok()
                .filter(|it: &f64| it.is_finite() || is_word(text)),
        },
        _ => None,
    }
}

/// `inf` and `NaN` are written so; `1e400` is no way to write infinity.
fn is_word(text: &str) -> bool {
    !text.contains(|c: char| c.is_ascii_digit())
}

fn read_f32(value: &Value) -> Option<f32> {
    match value {
        Value::Number(number) => {
            let float = number.as_f64()? as f32;
            float.is_finite().then_some(float)
        }
        Value::String(text) => match text.strip_prefix("NaN:0x") {
            Some(bits) => u32::from_str_radix(bits, 16)
                .ok()
                .map(f32::from_bits)
                .filter(|it| it.is_nan()),
            None => text
                .parse()
                .ok()
                .filter(|it: &f32| it.is_finite() || is_word(text)),
        },
        _ => None,
    }
}

/// Bytes as a human or another program writes them.
fn read_bytes(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix("base64:") {
        Some(text) => unbase64(text),
        None => unhex(text.strip_prefix("0x").unwrap_or(text)),
    }
}

/// Base64 of RFC 4648, of either alphabet, padded or not. Bits that belong to no byte must be
/// zero: otherwise two texts would be the same bytes, one of them by a mistake.
fn unbase64(text: &str) -> Option<Vec<u8>> {
    let padding = match text.contains('=') {
        true => DecodePaddingMode::RequireCanonical,
        false => DecodePaddingMode::RequireNone,
    };
    let alphabet = match text.contains(['-', '_']) {
        true => &alphabet::URL_SAFE,
        false => &alphabet::STANDARD,
    };
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding);
    GeneralPurpose::new(alphabet, config).decode(text).ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|it| it as u8);
    let pairs = text.as_bytes().chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

/// Quotes what a user wrote, shortened and without control characters.
fn shorten(text: &str) -> String {
    const MAX: usize = 60;
    let mut quoted: String = text.chars().take(MAX).filter(|c| !c.is_control()).collect();
    if text.chars().nth(MAX).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}
