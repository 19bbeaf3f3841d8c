//! `--default FIELD=VALUE`: what fields have that a dump does not know yet.

use serde_json::Value;
use shmkv::schema::{Type, parse_value, to_json};

use super::limits::{clipped, excerpt};

/// The defaults that were given, checked against the type of the values.
#[derive(Debug, Default)]
pub(crate) struct Defaults(Vec<FieldDefault>);

#[derive(Debug)]
struct FieldDefault {
    /// The names on the way to the field.
    path: Vec<String>,
    offset: usize,
    bytes: Vec<u8>,
    json: Value,
}

impl Defaults {
    /// Reads `FIELD=VALUE`, or `OUTER.FIELD=VALUE`, for fields of values of this type.
    pub(crate) fn parse(given: &[String], value: &Type) -> Result<Self, String> {
        given
            .iter()
            .map(|given| {
                one(given, value).map_err(|problem| format!("--default {given}: {problem}"))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the column of this name, such as `value.a.b`, has a default.
    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.0
            .iter()
            .any(|it| name.strip_prefix("value.") == Some(&*it.path.join(".")))
    }

    /// Puts into a value, as JSON, the fields that are missing there.
    pub(crate) fn complete(&self, value: &mut Value) {
        for FieldDefault { path, json, .. } in &self.0 {
            let Some((name, outer)) = path.split_last() else {
                continue;
            };
            let outer = outer
                .iter()
                .try_fold(&mut *value, |at, name| at.get_mut(name.as_str()));
            if let Some(Value::Object(fields)) = outer {
                fields.entry(name.as_str()).or_insert_with(|| json.clone());
            }
        }
    }

    /// The bytes of a value in which nothing but the defaults is set.
    pub(crate) fn put_into(&self, image: &mut [u8]) {
        for FieldDefault { offset, bytes, .. } in &self.0 {
            image[*offset..][..bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn one(given: &str, value: &Type) -> Result<FieldDefault, String> {
    let Some((path, text)) = given.split_once('=') else {
        return Err("expected FIELD=VALUE".to_owned());
    };
    let path: Vec<String> = path
        .strip_prefix("value.")
        .unwrap_or(path)
        .split('.')
        .map(str::to_owned)
        .collect();
    let (mut ty, mut offset) = (value, 0);
    for name in &path {
        let Type::Struct(fields) = ty else {
            return Err(format!(
                "{} is no struct, so it has no field {}",
                ty,
                excerpt(name)
            ));
        };
        let Some(field) = fields.field(name) else {
            let names = fields.fields().iter().map(|field| field.name());
            return Err(unknown("field", name, names));
        };
        offset += field.offset();
        ty = field.ty();
    }
    let bytes = parse_value(ty, text).map_err(|error| clipped(error.reason().to_string()))?;
    let json = to_json(ty, &bytes).map_err(|error| error.to_string())?;
    Ok(FieldDefault {
        path,
        offset,
        bytes,
        json,
    })
}

/// That there is no such thing, with the name that was probably meant.
pub(crate) fn unknown<'n>(
    what: &str,
    found: &str,
    known: impl Iterator<Item = &'n str> + Clone,
) -> String {
    let nearest = known
        .clone()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&found.chars().take(64).collect::<String>(), name),
                name,
            )
        })
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 3);
    let found = excerpt(found);
    match nearest {
        Some((_, name)) => format!("there is no {what} {found}: did you mean {name:?}?"),
        None => {
            let known: Vec<String> = known.map(|name| format!("{name:?}")).collect();
            clipped(format!(
                "there is no {what} {found}, only {}",
                known.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use shmkv::schema::from_json;

    use super::*;

    #[test]
    fn missing_fields_are_filled_in_and_others_are_left() {
        let ty = Type::parse("struct { a: u32, b: struct { c: Str<4>, d: u8 } }").unwrap();
        let given = ["a=7".to_owned(), "value.b.c=hi".to_owned()];
        let defaults = Defaults::parse(&given, &ty).unwrap();
        let mut value = serde_json::json!({"b": {"d": 3}});
        defaults.complete(&mut value);
        let bytes = from_json(&ty, &value).unwrap();
        assert_eq!(value, serde_json::json!({"b": {"d": 3, "c": "hi"}, "a": 7}));
        let mut image = vec![0; ty.size()];
        defaults.put_into(&mut image);
        assert_eq!(image[..6], bytes[..6]);
        let mut whole = serde_json::json!({"a": 1, "b": {"c": "x", "d": 2}});
        defaults.complete(&mut whole);
        assert_eq!(whole, serde_json::json!({"a": 1, "b": {"c": "x", "d": 2}}));
        assert!(defaults.has_column("value.b.c") && !defaults.has_column("value.b.d"));
    }

    #[test]
    fn a_default_that_does_not_fit_is_refused_before_anything_is_loaded() {
        let ty = Type::parse("struct { count: u8, name: Str<4> }").unwrap();
        for (given, told) in [
            ("count", "FIELD=VALUE"),
            ("cuont=1", "did you mean \"count\"?"),
            ("else=1", "only \"count\", \"name\""),
            ("count=256", "256"),
            ("count.x=1", "no struct"),
            ("name=toolong", "at most 4"),
        ] {
            let error = Defaults::parse(&[given.to_owned()], &ty).unwrap_err();
            assert!(error.contains(told), "{given}: {error}");
        }
    }
}
