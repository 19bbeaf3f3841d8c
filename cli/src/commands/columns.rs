//! Entries as rows of cells: what CSV holds.
//!
//! Each field of a struct is a column of its own (`key.from`, `value.side`); structs inside structs
//! likewise. Arrays, and all that is in them, are one cell of JSON. Parts without bytes, such as
//! the `()` of a set, have no column.

use serde_json::Value;
use shmkv::schema::{Type, from_json, to_json};

use super::defaults::Defaults;
use super::limits::{clipped, excerpt};
use crate::failure::{Failure, Outcome};

/// What an entry of a cache has left, in milliseconds; empty if it never expires.
pub(crate) const TTL_COLUMN: &str = "ttl_ms";

/// Empty but in one row of a dump, which has the number of entries here and nothing else.
pub(crate) const END_COLUMN: &str = "#end";

/// Where the columns of a segment are in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// For each of our columns; `None`: it is not there, and has a default.
    pub(crate) ours: Vec<Option<usize>>,
    pub(crate) ttl: Option<usize>,
    pub(crate) end: Option<usize>,
}

/// The columns of a segment.
pub(crate) struct Columns<'t> {
    columns: Vec<Column<'t>>,
    key_len: usize,
    value_len: usize,
}

struct Column<'t> {
    name: String,
    is_key: bool,
    offset: usize,
    ty: &'t Type,
}

impl<'t> Columns<'t> {
    pub(crate) fn of(key: &'t Type, value: &'t Type) -> Self {
        let mut columns = Vec::new();
        for (name, ty, is_key) in [("key", key, true), ("value", value, false)] {
            flatten(name.to_owned(), ty, 0, is_key, &mut columns);
        }
        Self {
            columns,
            key_len: key.size(),
            value_len: value.size(),
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| &*column.name)
    }

    /// The cells of an entry.
    pub(crate) fn cells(&self, key: &[u8], value: &[u8]) -> impl Iterator<Item = Outcome<String>> {
        self.columns.iter().map(move |column| {
            let image = if column.is_key { key } else { value };
            let bytes = &image[column.offset..][..column.ty.size()];
            match to_json(column.ty, bytes) {
                Ok(Value::String(text)) => Ok(text),
                Ok(other) => Ok(other.to_string()),
                Err(error) => Err(Failure::new(error.to_string())),
            }
        })
    }

    /// Where our columns are in a file with these column names. Those in `optional` may be missing.
    pub(crate) fn places<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        optional: impl Fn(&str) -> bool,
    ) -> Result<Places, String> {
        let names: Vec<&str> = names.collect();
        let is_ours = |name: &str| {
            name == TTL_COLUMN || name == END_COLUMN || self.names().any(|ours| ours == name)
        };
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return Err(format!("there are two columns {}", excerpt(name)));
            }
            if !is_ours(name) {
                let ours: Vec<_> = self.names().collect();
                return Err(clipped(format!(
                    "there is a column {}; the columns of this segment are {}",
                    excerpt(name),
                    ours.join(", ")
                )));
            }
        }
        let place = |name: &str| names.iter().position(|theirs| *theirs == name);
        let ours = self.names().map(|name| match place(name) {
            None if !optional(name) => Err(format!("there is no column {name:?}")),
            found => Ok(found),
        });
        Ok(Places {
            ours: ours.collect::<Result<_, _>>()?,
            ttl: place(TTL_COLUMN),
            end: place(END_COLUMN),
        })
    }

    /// Key and value from the cells of a row, given in the order of our columns; those that the file does
    /// not have are left at their defaults.
    pub(crate) fn entry<'c>(
        &self,
        cells: impl Iterator<Item = Option<&'c str>>,
        defaults: &Defaults,
    ) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (mut key, mut value) = (vec![0; self.key_len], vec![0; self.value_len]);
        defaults.put_into(&mut value);
        for (column, cell) in self.columns.iter().zip(cells) {
            let Some(cell) = cell else { continue };
            let image = if column.is_key { &mut key } else { &mut value };
            let json = match column.ty {
                Type::Bool | Type::Array { .. } | Type::Unit => serde_json::from_str(cell)
                    .map_err(|error| {
                        format!("column {}: {}: {error}", column.name, excerpt(cell))
                    })?,
                _ => Value::String(cell.to_owned()),
            };
            let bytes = from_json(column.ty, &json)
                .map_err(|error| clipped(format!("column {}: {}", column.name, error.reason())))?;
            image[column.offset..][..bytes.len()].copy_from_slice(&bytes);
        }
        Ok((key, value))
    }
}

fn flatten<'t>(
    name: String,
    ty: &'t Type,
    offset: usize,
    is_key: bool,
    columns: &mut Vec<Column<'t>>,
) {
    match ty {
        _ if ty.size() == 0 => {}
        Type::Struct(it) => {
            for field in it.fields() {
                let name = format!("{name}.{}", field.name());
                flatten(name, field.ty(), offset + field.offset(), is_key, columns);
            }
        }
        _ => columns.push(Column {
            name,
            is_key,
            offset,
            ty,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_goes_through_cells_and_comes_back() {
        let key = Type::parse("struct { name: Str<8>, side: enum: u8 { Bid, Ask }, c: char }");
        let value = Type::parse(
            "struct { a: struct { x: f32, y: [i8; 3] }, b: bool, n: NonZero<u128>, e: (), \
             z: Bytes<4>, f: f64, s: struct {} }",
        );
        let (key, value) = (key.unwrap(), value.unwrap());
        let columns = Columns::of(&key, &value);
        let names: Vec<_> = columns.names().collect();
        assert_eq!(
            names,
            [
                "key.name",
                "key.side",
                "key.c",
                "value.a.x",
                "value.a.y",
                "value.b",
                "value.n",
                "value.z",
                "value.f"
            ]
        );
        let json = |ty, text| from_json(ty, &serde_json::from_str(text).unwrap()).unwrap();
        let key_bytes = json(&key, r#"{"name": "\"a,\n\"", "side": "Ask", "c": "\""}"#);
        let value_bytes = json(
            &value,
            r#"{"a": {"x": 0.1, "y": [1, -2, 3]}, "b": true,
                "n": "340282366920938463463374607431768211455", "e": null, "z": "00ff",
                "f": "-inf", "s": {}}"#,
        );
        let cells: Vec<_> = columns
            .cells(&key_bytes, &value_bytes)
            .map(Result::unwrap)
            .collect();
        assert_eq!(cells[0], "\"a,\n\"");
        let cells = cells.iter().map(|cell| Some(cell.as_str()));
        let back = columns.entry(cells, &Defaults::default()).unwrap();
        assert_eq!(back, (key_bytes, value_bytes));
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let (key, value) = (Type::parse("u8").unwrap(), Type::parse("bool").unwrap());
        let columns = Columns::of(&key, &value);
        let places =
            |names: &[&'static str]| columns.places(names.iter().copied(), |name| name == "value");
        let found = places(&["value", TTL_COLUMN, "key", END_COLUMN]).unwrap();
        assert_eq!(found.ours, [Some(2), Some(0)]);
        assert_eq!((found.ttl, found.end), (Some(1), Some(3)));
        let defaulted = places(&["key"]).unwrap();
        assert_eq!(defaulted.ours, [Some(0), None]);
        assert!(places(&["value"]).unwrap_err().contains("\"key\""));
        assert!(
            places(&["key", "key", "value"])
                .unwrap_err()
                .contains("two")
        );
        assert!(
            places(&["key", "value", "x"])
                .unwrap_err()
                .contains("\"x\"")
        );
    }
}
