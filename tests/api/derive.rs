//! The macros: what they make of structs and enums, and that the schema they derive
//! agrees with what zerocopy accepts, for random bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use shmkv::schema::{self, Schema, Type};
use shmkv::types::{Key, Value};
use shmkv::zerocopy::{FromBytes, IntoBytes, TryFromBytes};
use shmkv::{Bytes, Str};

#[shmkv::record]
#[derive(Debug, PartialEq)]
struct Quote {
    bid: f64,
    ask: f64,
    seen: u32,
    side: Side,
    open: bool,
    tags: [u8; 4],
    name: Str<20>,
    inner: Inner,
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq, Hash)]
enum Side {
    Bid,
    Ask = 7,
}

#[shmkv::record]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
enum Wide {
    Low = -300,
    High,
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
struct Inner(char, Bytes<2>);

#[shmkv::record]
#[derive(Debug, Default, PartialEq, Eq)]
struct Nothing;

#[shmkv::record]
#[derive(Debug)]
struct Pair<A, B>
where
    A: PartialEq,
{
    a: A,
    b: B,
}

#[shmkv::record]
#[derive(Debug)]
#[repr(C, packed)]
struct Tight {
    flag: bool,
    wide: u64,
    text: Str<3>,
}

#[shmkv::record]
#[derive(Debug, FromBytes)]
struct Grid<const N: usize> {
    rows: [[u8; N]; 2],
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
#[shmkv(rename = "Trade")]
struct TradeV1 {
    r#type: u16,
    #[shmkv(rename = "cents")]
    price: u16,
    kind: Kind,
}

#[shmkv::record]
#[derive(Debug, PartialEq, Eq)]
#[repr(u16)]
enum Kind {
    #[shmkv(rename = "Limit")]
    LimitOrder = 1000,
    Market,
}

/// Derives one at a time, by someone who has zerocopy anyway.
#[derive(
    Clone, Copy, TryFromBytes, IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, shmkv::Schema,
)]
#[repr(transparent)]
struct Id(u64);

fn text<T: Schema>() -> String {
    let ty = schema::of::<T>().unwrap();
    assert_eq!(Type::parse(&ty.to_string()).unwrap(), ty);
    ty.to_string()
}

#[test]
fn schema_is_written_as_the_type_is_declared() {
    assert_eq!(
        text::<Quote>(),
        "struct Quote { bid: f64, ask: f64, seen: u32, side: enum Side: u8 { Bid = 0, Ask = 7 }, open: bool, \
         tags: [u8; 4], name: Str<20>, inner: struct Inner { 0: char, 1: Bytes<2> } }",
    );
    assert_eq!(text::<Wide>(), "enum Wide: i16 { Low = -300, High = -299 }");
    assert_eq!(text::<Nothing>(), "struct Nothing {}");
    assert_eq!(
        text::<Pair<u8, Str<1>>>(),
        "struct Pair { a: u8, b: Str<1> }"
    );
    assert_eq!(
        text::<Tight>(),
        "struct Tight { flag: bool, wide: u64, text: Str<3> }"
    );
    assert_eq!(text::<Grid<3>>(), "struct Grid { rows: [[u8; 3]; 2] }");
    assert_eq!(text::<Id>(), "struct Id { 0: u64 }");
}

#[test]
fn names_in_the_schema_can_be_chosen() {
    assert_eq!(
        text::<TradeV1>(),
        "struct Trade { type: u16, cents: u16, kind: enum Kind: u16 { Limit = 1000, Market = 1001 } }",
    );
}

#[test]
fn records_are_values_and_those_with_equality_keys() {
    fn value<V: Value>() {}
    fn key<K: Key>() {}
    value::<Quote>();
    value::<Tight>();
    value::<Id>();
    value::<Pair<u8, bool>>();
    key::<Side>();
    key::<Inner>();
    key::<Nothing>();
    key::<TradeV1>();
}

#[test]
fn invalid_bytes_inside_a_struct_are_found_by_both_sides() {
    let good = Inner('x', Bytes::new(b"a").unwrap());
    let mut bytes = [0; 8];
    good.write_to(&mut bytes).unwrap();
    assert!(Inner::try_read_from_bytes(&bytes).unwrap().is_valid());
    bytes[7] = 1;
    let bad = Inner::try_read_from_bytes(&bytes).unwrap();
    assert!(!bad.is_valid());
    let error = Inner::schema().validate(&bytes).unwrap_err();
    assert_eq!(error.path(), "1");
}

/// What a map does with bytes from a segment.
fn accepts<T: Value>(bytes: &[u8]) -> bool {
    T::try_read_from_bytes(bytes).is_ok_and(|value| value.is_valid())
}

fn agree<T: Value>(seed: &[u8]) -> Result<(), TestCaseError> {
    let bytes: Vec<u8> = seed.iter().copied().cycle().take(size_of::<T>()).collect();
    prop_assert_eq!(
        accepts::<T>(&bytes),
        T::schema().validate(&bytes).is_ok(),
        "{:?}",
        bytes
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn rust_and_schema_agree_on_what_is_a_value(
        seed in prop_oneof![vec(0..8u8, 1..70), vec(any::<u8>(), 1..70)],
    ) {
        agree::<Quote>(&seed)?;
        agree::<Side>(&seed)?;
        agree::<Wide>(&seed)?;
        agree::<Inner>(&seed)?;
        agree::<Tight>(&seed)?;
        agree::<TradeV1>(&seed)?;
        agree::<Pair<bool, Str<2>>>(&seed)?;
        agree::<[Side; 3]>(&seed)?;
        agree::<std::num::NonZero<u16>>(&seed)?;
        agree::<char>(&seed)?;
    }
}
