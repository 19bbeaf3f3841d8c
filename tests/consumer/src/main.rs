//! What a user of `shmkv` writes who renames the dependency and does not know zerocopy.
#![forbid(unsafe_code)]
#![deny(warnings)]

use kv::schema;
use kv::types::{Key, Value};

#[kv::record(crate = kv)]
#[derive(Debug, PartialEq)]
pub struct Quote {
    pub bid: f64,
    pub ask: f64,
    pub venue: Venue,
    pub side: Side,
    pub symbol: kv::Str<9>,
}

#[kv::record(crate = kv)]
#[derive(Debug, PartialEq, Eq)]
pub struct Venue {
    pub id: u16,
    pub open: bool,
    pub lanes: [u8; 1],
}

#[kv::record(crate = kv)]
#[derive(Debug, PartialEq, Eq)]
pub enum Side {
    Bid = 1,
    Ask,
}

fn describe<K: Key, V: Value>() -> Result<String, schema::Unfit> {
    Ok(format!("{} -> {}", schema::of::<K>()?, schema::of::<V>()?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let quote = Quote {
        bid: 1.0,
        ask: 2.0,
        venue: Venue { id: 7, open: true, lanes: [0] },
        side: Side::Ask,
        symbol: kv::Str::new("ACME")?,
    };
    let copy = quote;
    assert_eq!(quote, copy);
    println!("{}", describe::<Venue, Quote>()?);
    Ok(())
}
