//! Entries as rows of cells: what CSV holds.
//!
//! Each field of a struct is a column of its own (`key.from`, `value.side`); structs inside structs
//! likewise. Arrays, and all that is in them, are one cell of JSON. Parts without bytes, such as
//! the `()` of a set, have no column.

use serde_json::Value;
use shmkv::schema::{Type, from_json, to_json};

use crate::failure::{Failure, Outcome};

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

    /// For each of our columns, its place in a file with these column names.
    pub(crate) fn places<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Result<Vec<usize>, String> {
        let names: Vec<&str> = names.collect();
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                return Err(format!("there are two columns {name:?}"));
            }
            if !self.names().any(|ours| ours == *name) {
                let ours: Vec<_> = self.names().collect();
                return Err(format!(
                    "there is a column {name:?}; the columns of this segment are {}",
                    ours.join(", ")
                ));
            }
        }
        let place = |name: &str| {
            let found = names.iter().position(|theirs| *theirs == name);
            found.ok_or_else(|| format!("there is no column {name:?}"))
        };
        self.names().map(place).collect()
    }

    /// Key and value from the cells of a row, given in the order of our columns.
    pub(crate) fn entry<'c>(
        &self,
        cells: impl Iterator<Item = &'c str>,
    ) -> Result<(Vec<u8>, Vec<u8>), String> {
        let (mut key, mut value) = (vec![0; self.key_len], vec![0; self.value_len]);
        for (column, cell) in self.columns.iter().zip(cells) {
            let image = if column.is_key { &mut key } else { &mut value };
            let json = match column.ty {
                Type::Bool | Type::Array { .. } | Type::Unit => serde_json::from_str(cell)
                    .map_err(|error| format!("column {}: {cell:?}: {error}", column.name))?,
                _ => Value::String(cell.to_owned()),
            };
            let bytes = from_json(column.ty, &json)
                .map_err(|error| format!("column {}: {}", column.name, error.reason()))?;
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
        let back = columns.entry(cells.iter().map(String::as_str)).unwrap();
        assert_eq!(back, (key_bytes, value_bytes));
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let (key, value) = (Type::parse("u8").unwrap(), Type::parse("bool").unwrap());
        let columns = Columns::of(&key, &value);
        let places = |names: &[&'static str]| columns.places(names.iter().copied());
        assert_eq!(places(&["value", "key"]), Ok(vec![1, 0]));
        assert!(places(&["key"]).unwrap_err().contains("\"value\""));
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
