//! The written form of a schema, on one line (`{}`) or like a Rust item (`{:#}`).

use std::fmt::{self, Display, Formatter, Write};

use super::ty::{Enum, Struct, Type};

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        print(self, f, f.alternate().then_some(0))
    }
}

/// Writes `ty`; with an `indent`, over several lines that are indented by it.
fn print(ty: &Type, f: &mut Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    match ty {
        Type::Unit => f.write_str("()"),
        Type::Bool => f.write_str("bool"),
        Type::Char => f.write_str("char"),
        Type::F32 => f.write_str("f32"),
        Type::F64 => f.write_str("f64"),
        Type::Int(int) => f.write_str(int.name()),
        Type::NonZero(int) => write!(f, "NonZero<{int}>"),
        Type::Str(max) => write!(f, "Str<{max}>"),
        Type::Bytes(max) => write!(f, "Bytes<{max}>"),
        Type::Array { element, len } => {
            f.write_char('[')?;
            print(element, f, indent)?;
            write!(f, "; {len}]")
        }
        Type::Struct(it) => print_struct(it, f, indent),
        Type::Enum(it) => print_enum(it, f, indent),
    }
}

fn print_struct(it: &Struct, f: &mut Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    f.write_str("struct ")?;
    if let Some(name) = it.name() {
        write!(f, "{name} ")?;
    }
    braces(f, indent, it.fields(), |f, field, indent| {
        write!(f, "{}: ", field.name())?;
        print(field.ty(), f, indent)
    })
}

fn print_enum(it: &Enum, f: &mut Formatter<'_>, indent: Option<usize>) -> fmt::Result {
    f.write_str("enum")?;
    if let Some(name) = it.name() {
        write!(f, " {name}")?;
    }
    write!(f, ": {} ", it.repr())?;
    braces(f, indent, it.variants(), |f, variant, _| {
        write!(f, "{} = {}", variant.name(), variant.discriminant())
    })
}

/// `{ a, b }`, or one item a line, each followed by a comma.
fn braces<T>(
    f: &mut Formatter<'_>,
    indent: Option<usize>,
    items: &[T],
    mut item: impl FnMut(&mut Formatter<'_>, &T, Option<usize>) -> fmt::Result,
) -> fmt::Result {
    if items.is_empty() {
        return f.write_str("{}");
    }
    f.write_char('{')?;
    let inner = indent.map(|indent| indent + 4);
    for (i, it) in items.iter().enumerate() {
        match inner {
            Some(inner) => write!(f, "\n{:inner$}", "")?,
            None => f.write_str(if i == 0 { " " } else { ", " })?,
        }
        item(f, it, inner)?;
        if inner.is_some() {
            f.write_char(',')?;
        }
    }
    match indent {
        Some(indent) => write!(f, "\n{:indent$}}}", ""),
        None => f.write_str(" }"),
    }
}
