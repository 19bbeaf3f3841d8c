//! Reading the written form. The text may come from a hostile segment: every
//! loop consumes text, recursion is counted, and no number in the text sizes an
//! allocation.

use std::collections::HashSet;

use super::ty::{Enum, Int, Struct, Type, continues_name, limits, starts_name};

/// Where a text stops being a schema, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a schema: at byte {position}, expected {expected}, found {found}")]
pub struct ParseError {
    position: usize,
    expected: String,
    found: String,
}

impl ParseError {
    /// Byte of the text at which it goes wrong.
    pub fn position(&self) -> usize {
        self.position
    }

    /// What could have stood there.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What stands there.
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl std::str::FromStr for Type {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Type::parse(text)
    }
}

impl Type {
    /// Reads the [written form](super); never panics, whatever the text.
    pub fn parse(text: &str) -> Result<Type, ParseError> {
        let mut parser = Parser {
            text,
            at: 0,
            nodes: 0,
        };
        if text.len() > limits::TEXT {
            let expected = format!("at most {} bytes of text", limits::TEXT);
            return Err(parser.error_at(limits::TEXT, expected, format!("{} bytes", text.len())));
        }
        let ty = parser.ty(1)?;
        parser.skip_space();
        if parser.at < text.len() {
            return Err(parser.unexpected("the end of the text"));
        }
        // What is short to write may be long to print: `{A,B}` against `{ A = 0, B = 1 }`.
        match ty.check() {
            Ok(()) => Ok(ty),
            Err(unfit) => Err(parser.error_at(0, "a schema within the limits", unfit.to_string())),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Always at a character's start, at most `text.len()`.
    at: usize,
    nodes: usize,
}

impl<'a> Parser<'a> {
    fn ty(&mut self, depth: usize) -> Result<Type, ParseError> {
        self.skip_space();
        let start = self.at;
        self.count_node()?;
        if depth > limits::DEPTH {
            let expected = format!("at most {} types inside each other", limits::DEPTH);
            return Err(self.error_at(start, expected, "one more"));
        }
        let ty = if self.take("(") {
            self.expect(")")?;
            Type::Unit
        } else if self.take("[") {
            self.array(depth)?
        } else {
            match self.word() {
                "bool" => Type::Bool,
                "char" => Type::Char,
                "f32" => Type::F32,
                "f64" => Type::F64,
                "struct" => self.structure(depth)?,
                "enum" => self.enumeration()?,
                "Str" => Type::Str(self.inline_len()?),
                "Bytes" => Type::Bytes(self.inline_len()?),
                "NonZero" => {
                    self.expect("<")?;
                    let int = self.int()?;
                    self.expect(">")?;
                    Type::NonZero(int)
                }
                word @ ("usize" | "isize") => {
                    let expected =
                        "an integer of a fixed width (its width differs between programs)";
                    return Err(self.error_at(start, expected, format!("`{word}`")));
                }
                word => match int_named(word) {
                    Some(int) => Type::Int(int),
                    None => {
                        self.at = start;
                        return Err(self.unexpected("a type"));
                    }
                },
            }
        };
        if ty.weight() > limits::SIZE {
            let expected = format!("a type of at most {} bytes", limits::SIZE);
            return Err(self.error_at(start, expected, "a larger one"));
        }
        Ok(ty)
    }

    fn array(&mut self, depth: usize) -> Result<Type, ParseError> {
        let element = Box::new(self.ty(depth + 1)?);
        self.expect(";")?;
        let len = self.number(limits::SIZE)?;
        self.expect("]")?;
        Ok(Type::Array { element, len })
    }

    fn inline_len(&mut self) -> Result<usize, ParseError> {
        self.expect("<")?;
        let len = self.number(limits::INLINE)?;
        self.expect(">")?;
        Ok(len)
    }

    fn structure(&mut self, depth: usize) -> Result<Type, ParseError> {
        let name = self.optional_name()?;
        self.expect("{")?;
        let (mut fields, mut seen) = (Vec::new(), HashSet::new());
        while !self.take("}") {
            self.skip_space();
            let start = self.at;
            let field = self.field_name()?;
            if !seen.insert(field) {
                return Err(self.twice(start, "field", field));
            }
            self.expect(":")?;
            fields.push((field, self.ty(depth + 1)?));
            if !self.take(",") {
                self.expect_one_of("}", "`,` or `}`")?;
                break;
            }
        }
        Ok(Type::Struct(Struct::new(name, fields)))
    }

    fn enumeration(&mut self) -> Result<Type, ParseError> {
        let name = self.optional_name()?;
        self.expect(":")?;
        self.skip_space();
        let start = self.at;
        let repr = self.int()?;
        if repr.bits() > 64 {
            return Err(self.error_at(start, "an integer of at most 64 bits", format!("`{repr}`")));
        }
        self.expect("{")?;
        let mut variants: Vec<(&str, i128)> = Vec::new();
        let (mut names, mut discriminants) = (HashSet::new(), HashSet::new());
        let mut next = 0;
        loop {
            self.skip_space();
            let start = self.at;
            self.count_node()?;
            let variant = self.name("the name of a variant")?;
            if !names.insert(variant) {
                return Err(self.twice(start, "variant", variant));
            }
            let mut start = start;
            if self.take("=") {
                self.skip_space();
                start = self.at;
                next = self.discriminant()?;
            }
            if !repr.holds(next) {
                return Err(self.error_at(
                    start,
                    format!("a discriminant that fits into {repr}"),
                    next.to_string(),
                ));
            }
            if !discriminants.insert(next) {
                return Err(self.twice(start, "discriminant", &next.to_string()));
            }
            variants.push((variant, next));
            // Cannot overflow: `next` fits into 64 bits.
            next += 1;
            let comma = self.take(",");
            if self.take("}") {
                return Ok(Type::Enum(Enum::new(name, repr, variants)));
            }
            if !comma {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn int(&mut self) -> Result<Int, ParseError> {
        self.skip_space();
        let start = self.at;
        int_named(self.word()).ok_or_else(|| {
            self.at = start;
            self.unexpected("an integer type such as `u32`")
        })
    }

    fn discriminant(&mut self) -> Result<i128, ParseError> {
        let sign = if self.take("-") { -1 } else { 1 };
        // Sixty-four bits are enough for every enum.
        Ok(sign * i128::from(self.number_up_to(u64::MAX)?))
    }

    fn number(&mut self, max: usize) -> Result<usize, ParseError> {
        // Lossless: the limits are far below the width of either type.
        Ok(self.number_up_to(max as u64)? as usize)
    }

    fn number_up_to(&mut self, max: u64) -> Result<u64, ParseError> {
        self.skip_space();
        let (start, digits) = (self.at, self.word());
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.at = start;
            return Err(self.unexpected("a number"));
        }
        match digits.parse() {
            Ok(number) if number <= max => Ok(number),
            _ => Err(self.error_at(start, format!("a number up to {max}"), excerpt(digits))),
        }
    }

    /// The name of a struct or an enum, if there is one.
    fn optional_name(&mut self) -> Result<Option<&'a str>, ParseError> {
        self.skip_space();
        match self.rest().starts_with(['{', ':']) {
            true => Ok(None),
            false => self.name("a name, `{` or `:`").map(Some),
        }
    }

    fn field_name(&mut self) -> Result<&'a str, ParseError> {
        self.skip_space();
        if !self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            return self.name("the name of a field");
        }
        let (start, digits) = (self.at, self.word());
        match digits.parse::<u16>() {
            Ok(number) if number.to_string() == digits => Ok(digits),
            _ => Err(self.error_at(start, "the number of a field", excerpt(digits))),
        }
    }

    fn name(&mut self, expected: &str) -> Result<&'a str, ParseError> {
        self.skip_space();
        let start = self.at;
        let name = self.word();
        if !name.starts_with(starts_name) {
            self.at = start;
            return Err(self.unexpected(expected));
        }
        if name.len() > limits::NAME {
            let expected = format!("a name of at most {} bytes", limits::NAME);
            return Err(self.error_at(start, expected, excerpt(name)));
        }
        Ok(name)
    }

    /// Letters, digits and underscores from here on; may be empty.
    fn word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        let end = rest.find(|c| !continues_name(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn expect(&mut self, punctuation: &str) -> Result<(), ParseError> {
        self.expect_one_of(punctuation, &format!("`{punctuation}`"))
    }

    fn expect_one_of(&mut self, punctuation: &str, expected: &str) -> Result<(), ParseError> {
        if self.take(punctuation) {
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    fn take(&mut self, punctuation: &str) -> bool {
        self.skip_space();
        let found = self.rest().starts_with(punctuation);
        if found {
            self.at += punctuation.len();
        }
        found
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_ascii_start().len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn count_node(&mut self) -> Result<(), ParseError> {
        self.nodes += 1;
        if self.nodes <= limits::NODES {
            return Ok(());
        }
        let expected = format!("at most {} types and variants", limits::NODES);
        Err(self.error_at(self.at, expected, "one more"))
    }

    fn twice(&self, position: usize, what: &str, name: &str) -> ParseError {
        self.error_at(
            position,
            format!("another {what}"),
            format!("`{name}` again"),
        )
    }

    /// The text from here on is not what was expected.
    fn unexpected(&self, expected: impl Into<String>) -> ParseError {
        let rest = self.rest();
        let word = rest.find(|c| !continues_name(c)).unwrap_or(rest.len());
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let found = match &rest[..word.max(first)] {
            "" => "the end of the text".to_owned(),
            found => excerpt(found),
        };
        self.error_at(self.at, expected, found)
    }

    fn error_at(
        &self,
        position: usize,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> ParseError {
        ParseError {
            position,
            expected: expected.into(),
            found: found.into(),
        }
    }
}

fn int_named(word: &str) -> Option<Int> {
    Int::ALL.into_iter().find(|int| int.name() == word)
}

/// Quotes text that nobody has vetted: short, and with control characters escaped.
fn excerpt(text: &str) -> String {
    const MAX: usize = 32;
    let mut quoted: String = text
        .chars()
        .take(MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(MAX).is_some() {
        quoted.push('…');
    }
    format!("`{quoted}`")
}
