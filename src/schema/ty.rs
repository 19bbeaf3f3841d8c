//! The tree of a schema, its size, and the limits that it must keep.
//!
//! One small type after the other, each with its checks: a long file, and no second idea.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

/// What no schema may exceed, so that a segment's own description can neither
/// exhaust memory nor the stack.
pub mod limits {
    /// Bytes of the canonical text.
    pub const TEXT: usize = 16 * 1024;
    /// Types inside types.
    pub const DEPTH: usize = 16;
    /// Types, fields' types and variants in one schema.
    pub const NODES: usize = 1024;
    /// Bytes of one value. A value without bytes counts as one, so that this also
    /// bounds the steps of whoever walks a value.
    pub const SIZE: usize = 1024 * 1024;
    /// Bytes of one name.
    pub const NAME: usize = 128;
    /// Bytes in a `Str<N>` or `Bytes<N>`.
    pub const INLINE: usize = u16::MAX as usize;
}

/// The description of a type's byte image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// `()`, no bytes.
    Unit,
    /// One byte, 0 or 1.
    Bool,
    /// A Unicode scalar value in four bytes.
    Char,
    /// An integer.
    Int(Int),
    /// An integer that is never zero.
    NonZero(Int),
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// `len` elements in a row.
    Array {
        /// What each element is.
        element: Box<Type>,
        /// How many there are.
        len: usize,
    },
    /// [`Str<N>`](crate::Str): two bytes of length (little-endian), then N bytes.
    Str(usize),
    /// [`Bytes<N>`](crate::Bytes): two bytes of length (little-endian), then N bytes.
    Bytes(usize),
    /// Fields in a row.
    Struct(Struct),
    /// A fieldless enum: one integer out of a list.
    Enum(Enum),
}

/// The integer types that have a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Int {
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
}

/// The fields of a struct, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Struct {
    name: Option<String>,
    fields: Vec<Field>,
}

/// One field of a struct.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    name: String,
    ty: Type,
    offset: usize,
}

/// A fieldless enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Enum {
    name: Option<String>,
    repr: Int,
    variants: Vec<Variant>,
}

/// One variant of a fieldless enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    name: String,
    discriminant: i128,
}

/// Why a schema cannot describe the entries of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The canonical text is longer than [`limits::TEXT`].
    #[error("schema text is longer than {} bytes", limits::TEXT)]
    TextTooLong,
    /// Nested deeper than [`limits::DEPTH`].
    #[error("schema is nested deeper than {} types", limits::DEPTH)]
    TooDeep,
    /// More than [`limits::NODES`] types and variants.
    #[error("schema has more than {} types and variants", limits::NODES)]
    TooManyNodes,
    /// A value larger than [`limits::SIZE`].
    #[error("values of this type are larger than {} bytes", limits::SIZE)]
    TooLarge,
    /// `Str<N>` or `Bytes<N>` with an N above [`limits::INLINE`].
    #[error("inline text of up to {0} bytes: at most {max} are possible", max = limits::INLINE)]
    InlineTooLong(usize),
    /// Not a name: see the [written form](super).
    #[error("{0:?} is no name of at most {max} letters, digits and underscores", max = limits::NAME)]
    BadName(String),
    /// Two fields or variants with one name.
    #[error("name `{0}` is used twice in one struct or enum")]
    DuplicateName(String),
    /// Two variants with one discriminant.
    #[error("discriminant {0} is used twice in one enum")]
    DuplicateDiscriminant(i128),
    /// A discriminant that the enum's integer cannot hold.
    #[error("discriminant {discriminant} does not fit into {repr}")]
    DiscriminantOutOfRange {
        /// The discriminant.
        discriminant: i128,
        /// The integer.
        repr: Int,
    },
    /// Rust has no enums of 128 bits.
    #[error("an enum cannot be stored as {0}: at most 64 bits are possible")]
    BadRepr(Int),
    /// An enum of which no value exists.
    #[error("enum has no variants")]
    NoVariants,
    /// A key that contains a float: `0.0 == -0.0`, but their bytes differ, and a map compares
    /// bytes.
    #[error(
        "floats are no keys, since their equality is not that of their bytes: store their bits, as u64 or u32"
    )]
    FloatKey,
    /// The schema belongs to another type: a wrong `impl Schema`.
    #[error(
        "schema describes {schema} bytes, the Rust type has {rust}: its `impl Schema` is wrong"
    )]
    WrongSize {
        /// Bytes by the schema.
        schema: usize,
        /// Bytes of the Rust type.
        rust: usize,
    },
}

impl Type {
    /// Bytes of a value of this type; `usize::MAX` where that overflows (which
    /// [`check`](Type::check) refuses).
    pub fn size(&self) -> usize {
        match self {
            Type::Unit => 0,
            Type::Bool => 1,
            Type::Char | Type::F32 => 4,
            Type::F64 => 8,
            Type::Int(int) | Type::NonZero(int) => int.size(),
            Type::Array { element, len } => element.size().saturating_mul(*len),
            Type::Str(max) | Type::Bytes(max) => max.saturating_add(2),
            Type::Struct(it) => it.size(),
            Type::Enum(it) => it.repr.size(),
        }
    }

    /// Whether a segment can be described by this schema and the description be
    /// read again: names and enums are well formed, [`limits`] are kept.
    ///
    /// What [`Type::parse`] returns has passed this already.
    pub fn check(&self) -> Result<(), Unfit> {
        let mut nodes = 0;
        self.check_node(1, &mut nodes)?;
        write!(Budget(limits::TEXT), "{self}").map_err(|_| Unfit::TextTooLong)
    }

    fn check_node(&self, depth: usize, nodes: &mut usize) -> Result<(), Unfit> {
        *nodes += 1;
        if depth > limits::DEPTH {
            return Err(Unfit::TooDeep);
        }
        if *nodes > limits::NODES {
            return Err(Unfit::TooManyNodes);
        }
        match self {
            Type::Array { element, .. } => element.check_node(depth + 1, nodes)?,
            Type::Str(max) | Type::Bytes(max) if *max > limits::INLINE => {
                return Err(Unfit::InlineTooLong(*max));
            }
            Type::Struct(it) => it.check(depth, nodes)?,
            Type::Enum(it) => it.check(nodes)?,
            _ => {}
        }
        if self.weight() <= limits::SIZE {
            Ok(())
        } else {
            Err(Unfit::TooLarge)
        }
    }

    /// The size, where a value without bytes counts as one: bounds the number of
    /// values that a walk over arrays of arrays of `()` visits.
    pub(super) fn weight(&self) -> usize {
        match self {
            Type::Array { element, len } => element.weight().saturating_mul(*len).max(1),
            Type::Struct(it) => it
                .fields
                .iter()
                .fold(0, |sum, f| f.ty.weight().saturating_add(sum))
                .max(1),
            leaf => leaf.size().max(1),
        }
    }

    /// Whether there is a float in it, which no key may have.
    pub fn has_floats(&self) -> bool {
        match self {
            Type::F32 | Type::F64 => true,
            Type::Array { element, .. } => element.has_floats(),
            Type::Struct(it) => it.fields.iter().any(|field| field.ty.has_floats()),
            _ => false,
        }
    }

    /// The type in a few words, for messages that must stay short.
    pub(super) fn brief(&self) -> String {
        match self {
            Type::Array { element, len } => format!("[{}; {len}]", element.brief()),
            Type::Struct(Struct {
                name: Some(name), ..
            }) => format!("struct {name}"),
            Type::Struct(it) => format!("struct of {} fields", it.fields.len()),
            Type::Enum(Enum {
                name: Some(name), ..
            }) => format!("enum {name}"),
            Type::Enum(it) => format!("enum of {} variants", it.variants.len()),
            leaf => leaf.to_string(),
        }
    }
}

impl Struct {
    /// A struct of these fields, each of which begins where the one before ends.
    ///
    /// Names are not looked at: [`Type::check`] does that.
    pub fn new(
        name: Option<&str>,
        fields: impl IntoIterator<Item = (impl Into<String>, Type)>,
    ) -> Self {
        let mut offset = 0usize;
        let fields = fields.into_iter().map(|(name, ty)| {
            let field = Field {
                name: name.into(),
                offset,
                ty,
            };
            offset = offset.saturating_add(field.ty.size());
            field
        });
        Self {
            fields: fields.collect(),
            name: name.map(str::to_owned),
        }
    }

    /// The name of the Rust type; a struct written by hand may have none.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The fields, in the order of their bytes.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn size(&self) -> usize {
        self.fields
            .last()
            .map_or(0, |last| last.offset.saturating_add(last.ty.size()))
    }

    fn check(&self, depth: usize, nodes: &mut usize) -> Result<(), Unfit> {
        check_type_name(self.name.as_deref())?;
        let mut seen = HashSet::new();
        for field in &self.fields {
            if !is_field_name(&field.name) {
                return Err(Unfit::BadName(field.name.clone()));
            }
            if !seen.insert(&field.name) {
                return Err(Unfit::DuplicateName(field.name.clone()));
            }
            field.ty.check_node(depth + 1, nodes)?;
        }
        Ok(())
    }
}

impl Field {
    /// The name; `0`, `1`, ... in a tuple struct.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type.
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// Bytes from the start of the struct to the start of the field.
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl Enum {
    /// An enum stored as `repr`, with names and discriminants of its variants.
    ///
    /// These are not looked at: [`Type::check`] does that.
    pub fn new(
        name: Option<&str>,
        repr: Int,
        variants: impl IntoIterator<Item = (impl Into<String>, i128)>,
    ) -> Self {
        let variants = variants.into_iter().map(|(name, discriminant)| Variant {
            name: name.into(),
            discriminant,
        });
        Self {
            variants: variants.collect(),
            name: name.map(str::to_owned),
            repr,
        }
    }

    /// The name of the Rust type; an enum written by hand may have none.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The integer that is stored.
    pub fn repr(&self) -> Int {
        self.repr
    }

    /// The variants, in the order in which they were declared.
    pub fn variants(&self) -> &[Variant] {
        &self.variants
    }

    /// The variant of this name.
    pub fn variant(&self, name: &str) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.name == name)
    }

    /// The variant that is stored as this number.
    pub fn by_discriminant(&self, discriminant: i128) -> Option<&Variant> {
        self.variants
            .iter()
            .find(|variant| variant.discriminant == discriminant)
    }

    fn check(&self, nodes: &mut usize) -> Result<(), Unfit> {
        check_type_name(self.name.as_deref())?;
        if self.repr.bits() > 64 {
            return Err(Unfit::BadRepr(self.repr));
        }
        if self.variants.is_empty() {
            return Err(Unfit::NoVariants);
        }
        *nodes += self.variants.len();
        if *nodes > limits::NODES {
            return Err(Unfit::TooManyNodes);
        }
        let (mut names, mut discriminants) = (HashSet::new(), HashSet::new());
        for &Variant {
            ref name,
            discriminant,
        } in &self.variants
        {
            if !is_name(name) {
                return Err(Unfit::BadName(name.clone()));
            }
            if !names.insert(name) {
                return Err(Unfit::DuplicateName(name.clone()));
            }
            if !self.repr.holds(discriminant) {
                return Err(Unfit::DiscriminantOutOfRange {
                    discriminant,
                    repr: self.repr,
                });
            }
            if !discriminants.insert(discriminant) {
                return Err(Unfit::DuplicateDiscriminant(discriminant));
            }
        }
        Ok(())
    }
}

impl Variant {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number that is stored.
    pub fn discriminant(&self) -> i128 {
        self.discriminant
    }
}

impl Int {
    /// All of them, unsigned ones first.
    pub const ALL: [Int; 10] = [
        Int::U8,
        Int::U16,
        Int::U32,
        Int::U64,
        Int::U128,
        Int::I8,
        Int::I16,
        Int::I32,
        Int::I64,
        Int::I128,
    ];

    /// The name in Rust.
    pub fn name(self) -> &'static str {
        match self {
            Int::U8 => "u8",
            Int::U16 => "u16",
            Int::U32 => "u32",
            Int::U64 => "u64",
            Int::U128 => "u128",
            Int::I8 => "i8",
            Int::I16 => "i16",
            Int::I32 => "i32",
            Int::I64 => "i64",
            Int::I128 => "i128",
        }
    }

    /// Width in bits.
    pub fn bits(self) -> u32 {
        match self {
            Int::U8 | Int::I8 => 8,
            Int::U16 | Int::I16 => 16,
            Int::U32 | Int::I32 => 32,
            Int::U64 | Int::I64 => 64,
            Int::U128 | Int::I128 => 128,
        }
    }

    /// Width in bytes.
    pub fn size(self) -> usize {
        self.bits() as usize / 8
    }

    /// Whether negative numbers exist.
    pub fn is_signed(self) -> bool {
        matches!(self, Int::I8 | Int::I16 | Int::I32 | Int::I64 | Int::I128)
    }

    /// Whether `number` fits.
    pub fn holds(self, number: i128) -> bool {
        match (self.is_signed(), self.bits()) {
            (false, 128) => number >= 0,
            (false, bits) => (0..1i128 << bits).contains(&number),
            (true, 128) => true,
            (true, bits) => (-(1i128 << (bits - 1))..1i128 << (bits - 1)).contains(&number),
        }
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// First character of a name.
///
/// Letters of all alphabets, but nothing that a terminal would act on or that
/// reorders the text around it: the names come from a segment.
pub(super) fn starts_name(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Any later character of a name.
pub(super) fn continues_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn is_name(text: &str) -> bool {
    text.len() <= limits::NAME && text.starts_with(starts_name) && text.chars().all(continues_name)
}

/// A name, or a number as it is printed (no leading zero).
fn is_field_name(text: &str) -> bool {
    is_name(text) || text.parse::<u16>().is_ok_and(|n| n.to_string() == text)
}

fn check_type_name(name: Option<&str>) -> Result<(), Unfit> {
    match name {
        Some(name) if !is_name(name) => Err(Unfit::BadName(name.to_owned())),
        _ => Ok(()),
    }
}

/// Counts what is written and stops at the limit.
struct Budget(usize);

impl fmt::Write for Budget {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
