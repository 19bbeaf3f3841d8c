//! Values as JSON, in the other direction: from the bytes of a segment to a tree or to text.
//!
//! One description of a value ([`Shown`]) makes both, so they cannot differ. The table of what
//! becomes what is in `json.rs`.

use serde_core::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use super::ty::{Int, Type};
use super::valid::{InvalidValue, bytes_of, char_of, str_of};

/// The value that `bytes` are.
///
/// A schema with long names in a large array could make much of few bytes; what
/// would take more than some 64 MiB to hold is refused.
pub fn to_json(ty: &Type, bytes: &[u8]) -> Result<Value, InvalidValue> {
    serde_json::to_value(checked(ty, bytes)?).map_err(not_shown)
}

/// Appends the value that `bytes` are to `text`, as one line of JSON without blanks: what
/// [`to_json`] gives, without a tree in between. For many entries.
///
/// What is refused there is refused here, and then nothing is appended.
pub fn write_json(ty: &Type, bytes: &[u8], text: &mut Vec<u8>) -> Result<(), InvalidValue> {
    let shown = checked(ty, bytes)?;
    let before = text.len();
    serde_json::to_writer(&mut *text, &shown).map_err(|error| {
        text.truncate(before);
        not_shown(error)
    })
}

fn checked<'a>(ty: &'a Type, bytes: &'a [u8]) -> Result<Shown<'a>, InvalidValue> {
    const MAX: usize = 64 << 20;
    ty.validate(bytes)?;
    if cost(ty) > MAX {
        return Err(InvalidValue::new("a value that prints in 64 MiB", "more"));
    }
    Ok(Shown { ty, bytes })
}

fn not_shown(error: serde_json::Error) -> InvalidValue {
    InvalidValue::new("a value that can be written as JSON", error.to_string())
}

/// About how many bytes of memory a value takes as JSON.
fn cost(ty: &Type) -> usize {
    match ty {
        Type::Array { element, len } => cost(element).saturating_mul(*len).saturating_add(64),
        Type::Struct(it) => it.fields().iter().fold(64, |sum: usize, field| {
            sum.saturating_add(field.name().len() + 64)
                .saturating_add(cost(field.ty()))
        }),
        Type::Enum(_) => 64,
        leaf => leaf.size().saturating_mul(2).saturating_add(32),
    }
}

/// Bytes that are valid, with their type.
struct Shown<'a> {
    ty: &'a Type,
    bytes: &'a [u8],
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { ty, bytes } = *self;
        match ty {
            Type::Unit => to.serialize_unit(),
            Type::Bool => to.serialize_bool(bytes[0] != 0),
            Type::Char => to.serialize_char(char_of(bytes).map_err(Error::custom)?),
            Type::Int(int) | Type::NonZero(int) => show_int(*int, bytes, to),
            Type::F32 => show_f32(f32::from_ne_bytes(exact(bytes)), to),
            Type::F64 => show_f64(f64::from_ne_bytes(exact(bytes)), to),
            Type::Str(max) => to.serialize_str(str_of(*max, bytes).map_err(Error::custom)?),
            Type::Bytes(max) => {
                to.serialize_str(&hex(bytes_of(*max, bytes).map_err(Error::custom)?))
            }
            Type::Enum(it) => {
                let number = it.repr().read(bytes).as_i128();
                match number.and_then(|number| it.by_discriminant(number)) {
                    Some(variant) => to.serialize_str(variant.name()),
                    None => unreachable!("validated"),
                }
            }
            Type::Array { element, len } => {
                let mut array = to.serialize_seq(Some(*len))?;
                for bytes in ty.elements(element, bytes) {
                    array.serialize_element(&Shown { ty: element, bytes })?;
                }
                array.end()
            }
            Type::Struct(it) => {
                let mut object = to.serialize_map(Some(it.fields().len()))?;
                for field in it.fields() {
                    let bytes = &bytes[field.offset()..][..field.ty().size()];
                    let ty = field.ty();
                    object.serialize_entry(field.name(), &Shown { ty, bytes })?;
                }
                object.end()
            }
        }
    }
}

/// Beyond 64 bits as a string: no JSON reader would keep such a number exact.
fn show_int<S: Serializer>(int: Int, bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    let number = int.read(bytes);
    if let Some(it) = number.as_i128() {
        if let Ok(it) = u64::try_from(it) {
            return to.serialize_u64(it);
        }
        if let Ok(it) = i64::try_from(it) {
            return to.serialize_i64(it);
        }
    }
    to.collect_str(&number)
}

fn show_f64<S: Serializer>(float: f64, to: S) -> Result<S::Ok, S::Error> {
    match float {
        _ if float.is_finite() => to.serialize_f64(float),
        _ if float.is_infinite() => to.collect_str(&float),
        _ if float.to_bits() == f64::NAN.to_bits() => to.serialize_str("NaN"),
        _ => to.collect_str(&format_args!("NaN:0x{:016x}", float.to_bits())),
    }
}

fn show_f32<S: Serializer>(float: f32, to: S) -> Result<S::Ok, S::Error> {
    if float.is_nan() {
        return match float.to_bits() == f32::NAN.to_bits() {
            true => to.serialize_str("NaN"),
            false => to.collect_str(&format_args!("NaN:0x{:08x}", float.to_bits())),
        };
    }
    // 0.1, not 0.10000000149011612: the double nearest to the shortest decimal, unless
    // that would round to another float.
    let short = float.to_string().parse().unwrap_or(f64::from(float));
    let float = match short as f32 == float {
        true => short,
        false => f64::from(float),
    };
    show_f64(float, to)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|nibble| DIGITS[usize::from(nibble)])
        .collect()
}

/// The bytes of a float; only called with as many as it has.
fn exact<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut exact = [0; N];
    exact.copy_from_slice(bytes);
    exact
}
