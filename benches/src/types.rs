//! Keys and values of the comparison.

use std::fmt::Debug;
use std::hash::Hash;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use crate::ours::Storable;

/// Plain data that is made from, and gives back, one 64-bit seed.
///
/// The seed makes dependent chains possible for every pair of types: a value
/// carries the seed of the next key, and a key costs a nanosecond to make.
pub trait Plain:
    Storable
    + Copy
    + Eq
    + Hash
    + Debug
    + Send
    + Sync
    + FromBytes
    + IntoBytes
    + Immutable
    + KnownLayout
    + 'static
{
    /// Spreads the seed over all bytes.
    fn from_seed(seed: u64) -> Self;

    /// The seed that this was made from.
    fn seed(&self) -> u64;
}

impl Plain for u64 {
    #[inline]
    fn from_seed(seed: u64) -> Self {
        seed
    }

    #[inline]
    fn seed(&self) -> u64 {
        *self
    }
}

impl<const N: usize> Plain for [u8; N]
where
    [u8; N]: Storable + FromBytes + IntoBytes + Immutable + KnownLayout,
{
    #[inline]
    fn from_seed(seed: u64) -> Self {
        let mut bytes = [0; N];
        let mut word = seed;
        for chunk in bytes.as_chunks_mut::<8>().0 {
            *chunk = word.to_le_bytes();
            word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
        }
        bytes
    }

    #[inline]
    fn seed(&self) -> u64 {
        let (words, _) = self.as_chunks::<8>();
        u64::from_le_bytes(words[0])
    }
}

/// Which pair of types: the name on the command line and in `peers.json`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Types {
    /// `u64` to `u64`.
    #[value(name = "u64")]
    U64,
    /// 16 bytes to 64 bytes.
    #[value(name = "16-64")]
    B16B64,
    /// 32 bytes to 1 KiB.
    #[value(name = "32-1024")]
    B32K1,
}

impl Types {
    /// All pairs, in the order of the tables.
    pub const ALL: [Types; 3] = [Types::U64, Types::B16B64, Types::B32K1];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Types::U64 => "u64 -> u64",
            Types::B16B64 => "16 B -> 64 B",
            Types::B32K1 => "32 B -> 1 KiB",
        }
    }

    /// Bytes of a key and a value together.
    pub fn bytes(self) -> usize {
        match self {
            Types::U64 => 16,
            Types::B16B64 => 80,
            Types::B32K1 => 1056,
        }
    }

    /// The largest table of a full run; smaller where a value is 1 KiB.
    pub fn most_entries(self) -> usize {
        match self {
            Types::U64 | Types::B16B64 => 10_000_000,
            Types::B32K1 => 1_000_000,
        }
    }
}

/// Calls a function that is generic over key and value with the chosen pair.
#[macro_export]
macro_rules! with_types {
    ($types:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $types {
            $crate::types::Types::U64 => $function::<u64, u64>($($argument),*),
            $crate::types::Types::B16B64 => $function::<[u8; 16], [u8; 64]>($($argument),*),
            $crate::types::Types::B32K1 => $function::<[u8; 32], [u8; 1024]>($($argument),*),
        }
    };
}
