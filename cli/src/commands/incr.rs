//! `shmkv incr`: adds to a number.

use clap::Args;
use shmkv::schema::{Datum, Int, Type};
use shmkv::{DynMap, ReadOnlyDynMap, Segment};

use crate::failure::{ExitStatus, Failure, Outcome};
use crate::number::signed;
use crate::open::{self, Global};
use crate::output::Output;

/// Adds to an integer, in one step for all processes, and prints the new value.
///
/// A key that is not there counts as zero. A sum that the type cannot hold is an error, and
/// changes nothing.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  shmkv incr shm:hits /index.html\n  shmkv incr shm:stats 7 --field bytes --by 512"
)]
pub(crate) struct Incr {
    /// Such as shm:NAME or file:PATH.
    segment: Segment,
    #[command(flatten)]
    what: What,
}

/// What to add to.
#[derive(Args, Debug)]
pub(crate) struct What {
    /// As JSON; text needs no quotes.
    #[arg(allow_negative_numbers = true)]
    key: String,
    /// How much to add; may be negative.
    #[arg(long, value_name = "N", default_value_t = 1, allow_hyphen_values = true, value_parser = signed)]
    by: i128,
    /// The field of a struct to add to (`a.b` for a field of a field). The key must be there.
    #[arg(long)]
    field: Option<String>,
}

/// Where the number is in the bytes of a value.
struct Place<'t> {
    at: usize,
    int: Int,
    ty: &'t Type,
}

impl Incr {
    pub(crate) fn run(self, global: Global) -> Outcome {
        let map = global.write(&self.segment)?;
        let mut output = Output::new();
        let status = self.what.run(&map, &mut output)?;
        output.flush()?;
        Ok(status)
    }
}

impl What {
    pub(super) fn run(&self, map: &DynMap, output: &mut Output) -> Outcome {
        let key = open::key(map, &self.key)?;
        let place = self.place(map)?;
        let mut problem = None;
        let mut sum = None;
        map.fetch_update(&key, |current| match self.add(&place, map, current) {
            Ok((value, new)) => {
                (sum, problem) = (Some(new), None);
                Some(value)
            }
            Err(error) => {
                problem = Some(error);
                None
            }
        })
        .map_err(|error| Failure::about(map.segment(), error))?;
        if let Some(problem) = problem {
            return Err(problem);
        }
        if let Some(sum) = sum {
            output.text(&format!("{sum}\n"))?;
        }
        Ok(ExitStatus::Fine)
    }

    fn place<'t>(&self, map: &'t ReadOnlyDynMap) -> Outcome<Place<'t>> {
        let whole = map.value_type();
        let mut ty = whole;
        let mut at = 0;
        for name in self.field.iter().flat_map(|path| path.split('.')) {
            let field = match ty {
                Type::Struct(it) => it.field(name),
                _ => None,
            };
            let Some(field) = field else {
                return Err(Failure::new(format!(
                    "{}: there is no field {name:?} in its value type:\n{whole:#}",
                    map.segment()
                )));
            };
            at += field.offset();
            ty = field.ty();
        }
        match ty {
            Type::Int(int) | Type::NonZero(int) => Ok(Place { at, int: *int, ty }),
            other => Err(Failure::new(format!(
                "{}: this is no integer that could be added to: {other}; the value type is:\n{whole:#}",
                map.segment()
            ))),
        }
    }

    /// The value after the addition, and the sum.
    fn add(
        &self,
        place: &Place<'_>,
        map: &ReadOnlyDynMap,
        current: Option<&[u8]>,
    ) -> Outcome<(Vec<u8>, String)> {
        let mut value = match current {
            Some(current) => current.to_vec(),
            // All-zero bytes are a value of every integer, and the sum is checked below.
            None if self.field.is_none() => vec![0; map.value_type().size()],
            None => {
                return Err(Failure::new(format!(
                    "{} has no key {}: set it first",
                    map.segment(),
                    self.key
                )));
            }
        };
        let bytes = &mut value[place.at..][..place.int.size()];
        let overflow = |old: &dyn std::fmt::Display| {
            Failure::new(format!(
                "{}: key {} is {old}, and {} more is no {}",
                map.segment(),
                self.key,
                self.by,
                place.ty
            ))
        };
        // As the bare integer: a NonZero that is absent starts at zero.
        let old = Datum::decode(&Type::Int(place.int), bytes)
            .map_err(|error| Failure::about(map.segment(), error))?;
        let sum = match &old {
            Datum::Int(old) => match old.checked_add(self.by) {
                Some(sum) => Some(Datum::Int(sum)),
                None => u128::try_from(*old)
                    .ok()
                    .and_then(|old| old.checked_add_signed(self.by))
                    .map(Datum::Uint),
            },
            Datum::Uint(old) => old
                .checked_add_signed(self.by)
                .map(|sum| i128::try_from(sum).map_or(Datum::Uint(sum), Datum::Int)),
            _ => None,
        };
        let sum = sum.ok_or_else(|| overflow(&old))?;
        let encoded = sum.encode(place.ty).map_err(|_| overflow(&old))?;
        bytes.copy_from_slice(&encoded);
        Ok((value, sum.to_string()))
    }
}
