//! Whether the schema in a segment is that of this program, and what differs.

use std::fmt;

use super::ty::{Enum, Field, Struct, Type};

/// One point in which two schemas differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    subject: String,
    stored: String,
    program: String,
}

impl Difference {
    /// What differs: ``field `ask` ``, `size`, ...
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What it is in the segment.
    pub fn stored(&self) -> &str {
        &self.stored
    }

    /// What it is in this program.
    pub fn program(&self) -> &str {
        &self.program
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            subject,
            stored,
            program,
        } = self;
        write!(
            f,
            "{subject}: {stored} in the segment, {program} in this program"
        )
    }
}

/// The schema in a segment is not that of this program.
///
/// Prints both and lists what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    stored: Type,
    program: Type,
    differences: Vec<Difference>,
}

impl Mismatch {
    /// The schema in the segment.
    pub fn stored(&self) -> &Type {
        &self.stored
    }

    /// The schema of this program.
    pub fn program(&self) -> &Type {
        &self.program
    }

    /// What differs; never empty.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A segment can differ in a thousand points; nobody reads that many.
        const SHOWN: usize = 12;
        let Self {
            stored,
            program,
            differences,
        } = self;
        writeln!(f, "segment holds `{stored}`, {} bytes;", stored.size())?;
        writeln!(
            f,
            "this program uses `{program}`, {} bytes;",
            program.size()
        )?;
        f.write_str("they differ in:")?;
        for difference in differences.iter().take(SHOWN) {
            write!(f, "\n  {difference}")?;
        }
        match differences.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl std::error::Error for Mismatch {}

impl Type {
    /// Compares the schema in a segment (`self`) with that of this program.
    ///
    /// Two types match if their bytes mean the same: same shape, same names. A
    /// struct or enum without a name matches any name.
    pub fn differences(&self, program: &Type) -> Vec<Difference> {
        let mut walk = Walk {
            found: Vec::new(),
            path: Vec::new(),
        };
        walk.compare(self, program);
        if !walk.found.is_empty() && self.size() != program.size() {
            walk.found.insert(
                0,
                Difference {
                    subject: "size".into(),
                    stored: format!("{} bytes", self.size()),
                    program: format!("{} bytes", program.size()),
                },
            );
        }
        walk.found
    }

    /// `None` if the schema in a segment (`self`) is that of this program.
    pub fn mismatch(&self, program: &Type) -> Option<Mismatch> {
        let differences = self.differences(program);
        (!differences.is_empty()).then(|| Mismatch {
            stored: self.clone(),
            program: program.clone(),
            differences,
        })
    }
}

const ABSENT: &str = "absent";

struct Walk<'a> {
    found: Vec<Difference>,
    /// Fields from the root to where we are; an array's element is `[]`.
    path: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    fn compare(&mut self, stored: &'a Type, program: &'a Type) {
        match (stored, program) {
            (Type::Struct(a), Type::Struct(b)) => {
                self.names((a.name(), stored), (b.name(), program));
                self.structs(a, b);
            }
            (Type::Enum(a), Type::Enum(b)) => {
                self.names((a.name(), stored), (b.name(), program));
                self.enums(a, b);
            }
            (Type::Array { element: a, len: m }, Type::Array { element: b, len: n }) => {
                if m != n {
                    self.report("", format!("{m} elements"), format!("{n}"));
                }
                self.path.push("[]");
                self.compare(a, b);
                self.path.pop();
            }
            (stored, program) if stored == program => {}
            (stored, program) => self.report("", stored.brief(), program.brief()),
        }
    }

    fn structs(&mut self, stored: &'a Struct, program: &'a Struct) {
        for field in stored.fields() {
            self.path.push(field.name());
            match program.field(field.name()) {
                None => self.report("", field.ty().brief(), ABSENT),
                Some(other) => {
                    let before = self.found.len();
                    self.compare(field.ty(), other.ty());
                    // Offsets also differ when an earlier field grew, which is that one's
                    // fault; what remains is another order.
                    let places = (place(stored, program, field), place(program, stored, field));
                    if before == self.found.len() && places.0 != places.1 {
                        let (a, b) = (format!("in place {}", places.0), format!("{}", places.1));
                        self.report("", a, b);
                    }
                }
            }
            self.path.pop();
        }
        for field in program
            .fields()
            .iter()
            .filter(|f| stored.field(f.name()).is_none())
        {
            self.path.push(field.name());
            self.report("", ABSENT, field.ty().brief());
            self.path.pop();
        }
    }

    fn enums(&mut self, stored: &Enum, program: &Enum) {
        if stored.repr() != program.repr() {
            self.report("", stored.repr().name(), program.repr().name());
        }
        for variant in stored.variants() {
            let number = variant.discriminant().to_string();
            match program.variant(variant.name()) {
                None => self.report(variant.name(), number, ABSENT),
                Some(other) if other.discriminant() != variant.discriminant() => {
                    self.report(variant.name(), number, other.discriminant().to_string());
                }
                Some(_) => {}
            }
        }
        for variant in program
            .variants()
            .iter()
            .filter(|v| stored.variant(v.name()).is_none())
        {
            self.report(variant.name(), ABSENT, variant.discriminant().to_string());
        }
    }

    fn names(&mut self, stored: (Option<&str>, &Type), program: (Option<&str>, &Type)) {
        if stored.0.is_some() && program.0.is_some() && stored.0 != program.0 {
            self.report("", stored.1.brief(), program.1.brief());
        }
    }

    fn report(&mut self, variant: &str, stored: impl Into<String>, program: impl Into<String>) {
        let mut path = String::new();
        for step in &self.path {
            if !path.is_empty() && *step != "[]" {
                path.push('.');
            }
            path.push_str(step);
        }
        let subject = match (path.as_str(), variant) {
            ("", "") => "type".to_owned(),
            ("", variant) => format!("variant `{variant}`"),
            ("[]", "") => "element".to_owned(),
            (path, "") => format!("field `{path}`"),
            (path, variant) => format!("field `{path}`, variant `{variant}`"),
        };
        self.found.push(Difference {
            subject,
            stored: stored.into(),
            program: program.into(),
        });
    }
}

/// The place of `field` among the fields of `one` that `other` has too, from 1.
fn place(one: &Struct, other: &Struct, field: &Field) -> usize {
    let before = one
        .fields()
        .iter()
        .take_while(|it| it.name() != field.name());
    1 + before.filter(|it| other.field(it.name()).is_some()).count()
}
