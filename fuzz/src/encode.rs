//! Bytes that `arbitrary` decodes to a given plan: what makes seeds of attacks that somebody thought
//! of. The seeds are decoded again when they are made, so this cannot fall behind that crate unseen.

use std::fmt::Debug;

use arbitrary::{Arbitrary, Unstructured};

use crate::op::{CacheOp, Op};
use crate::plan::{
    Attack, CachePlan, CacheStep, CorruptPlan, CorruptStep, Scribble, ScribblePlan, Strike, Target,
    Times, ForgedWord,
};

/// The opposite of [`Arbitrary`], for what the plans are made of.
pub trait Encode {
    fn encode(&self, out: &mut Vec<u8>);
}

/// The bytes of a plan.
///
/// # Panics
/// If they are not decoded to that plan.
pub fn encoded<T: Encode + Debug + for<'a> Arbitrary<'a>>(plan: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    plan.encode(&mut bytes);
    let decoded = T::arbitrary_take_rest(Unstructured::new(&bytes)).expect("bytes enough");
    assert_eq!(format!("{decoded:?}"), format!("{plan:?}"));
    bytes
}

macro_rules! integers {
    ($($type:ty),*) => {
        $(impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend(self.to_le_bytes());
            }
        })*
    };
}

integers!(u8, i8, u16, u32, u64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push((*self).into());
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        self.iter().for_each(|value| value.encode(out));
    }
}

/// Before each element there is a byte that says that there is one.
impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        for element in self {
            true.encode(out);
            element.encode(out);
        }
        false.encode(out);
    }
}

/// A variant is chosen by 32 bits, of which each has an equal share.
fn variant(name: &str, of: &[&str], out: &mut Vec<u8>) {
    let number = of.iter().position(|other| *other == name);
    let number = number.expect("one of the names") as u64;
    let first = (number << 32).div_ceil(of.len() as u64);
    (first as u32).encode(out);
}

/// The variants of an enum in their order.
macro_rules! variants {
    ($type:ident: $($name:ident $(($($field:ident),*))? $({$($named:ident),*})?,)*) => {
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                let names = [$(stringify!($name)),*];
                match self {
                    $(Self::$name $(($($field),*))? $({$($named),*})? => {
                        variant(stringify!($name), &names, out);
                        $($($field.encode(out);)*)?
                        $($($named.encode(out);)*)?
                    })*
                }
            }
        }
    };
}

/// The fields of a struct in their order.
macro_rules! fields {
    ($type:ident: $($field:ident,)*) => {
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($field.encode(out);)*
            }
        }
    };
}

variants! { ForgedWord: Zero, Ones, Small(value), AllSlots(version), Any(value), }

variants! {
    Scribble:
    Geometry { word, value },
    Store { word, value },
    Header { bucket, word, value },
    Slot { bucket, word, value },
    Moves { word, value },
    Participant { word, value },
    LockOfTheLiving { bucket, slot, waiters },
    Copy { from, to },
    Flip { word, bits },
}

variants! {
    Target:
    This(value),
    Near(distance, value),
    Line(word, value),
    Publish { commits, occupied },
    Restore,
    Somewhere(scribble),
}

variants! {
    Op:
    Insert(key, value),
    Fill(from, count, value),
    TryInsert(key, value),
    Remove(key),
    RemoveMany(from, count),
    RemoveIf(key, yes),
    Update(key, value),
    FetchUpdate(key, value),
    FetchAdd(key, delta),
    CompareExchange(key, expected, new),
    Get(key),
    GetInto(key),
    GetMany(from, count),
    Iterate,
    IterateMeanwhile(from, count),
    Retain(least),
    Clear,
    Stats,
    CheckReport,
    Recover,
}

variants! {
    CacheOp:
    Insert(key, value),
    Fill(from, count, value),
    InsertWithTtl(key, value, ttl),
    Get(key),
    Load(key, value),
    TryLoad(key, value),
    LoadOption(key, value),
    Remove(key),
    Iterate,
    Retain(least),
    Clear,
    InvalidateAll,
    RemoveExpired,
    Stats,
    CheckReport,
    Recover,
}

variants! { CorruptStep: Scribble(scribble), Use(op), Reopen, Reboot, }

variants! {
    CacheStep:
    Scribble(scribble),
    Use(op),
    Attack { op, strikes, again },
    Wait(ms),
    Reopen,
}

fields! { Strike: pause, target, }
fields! { Attack: op, strikes, again, }
fields! { Times: live, idle, stale, negative, statistics, }
fields! { ScribblePlan: types, capacity, entries, before, attacks, }
fields! { CorruptPlan: types, capacity, entries, steps, }
fields! { CachePlan: types, capacity, times, steps, }
