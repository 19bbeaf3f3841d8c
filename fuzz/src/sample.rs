//! Keys and values, each made of one number.

use std::hint::black_box;

use shmkv::{Key, Map, Str, Value};

/// A key or a value, of one number.
pub trait Sample {
    fn sample(number: u16) -> Self;

    /// `fetch_add`, for the types that have it. Says what the call answered.
    fn fetch_add<K: Key>(
        _: &Map<K, Self>,
        _: K,
        _: u16,
    ) -> Option<Result<Option<Self>, shmkv::WriteError>>
    where
        Self: Sized,
    {
        None
    }
}

/// Asserts that a value which the library handed out is one of its type: that its bytes, taken
/// for themselves, make such a value.
pub fn assert_valid<V: Value>(value: &V) {
    // Out of the compiler's sight, for whom a `bool` of 7 cannot be.
    let bytes: Vec<u8> = black_box(black_box(value).as_bytes()).to_vec();
    let valid = V::try_read_from_bytes(black_box(&bytes)).is_ok();
    assert!(valid, "no {}: {bytes:?}", std::any::type_name::<V>());
}

/// The same for a key.
pub fn assert_valid_key<K: Key>(key: &K) {
    let bytes = black_box(black_box(key).as_bytes()).to_vec();
    let valid = K::try_read_from_bytes(black_box(&bytes)).is_ok();
    assert!(valid, "no {}: {bytes:?}", std::any::type_name::<K>());
}

impl Sample for () {
    fn sample(_: u16) {}
}

impl Sample for bool {
    fn sample(number: u16) -> Self {
        number % 2 == 1
    }
}

impl Sample for u8 {
    fn sample(number: u16) -> Self {
        number as u8
    }
}

impl Sample for u64 {
    fn sample(number: u16) -> Self {
        number.into()
    }

    fn fetch_add<K: Key>(
        map: &Map<K, u64>,
        key: K,
        delta: u16,
    ) -> Option<Result<Option<u64>, shmkv::WriteError>> {
        Some(map.fetch_add(&key, delta.into()))
    }
}

impl Sample for [u8; 5] {
    fn sample(number: u16) -> Self {
        let [low, high] = number.to_le_bytes();
        [low, high, 1, 2, 3]
    }
}

impl<const N: usize> Sample for [u64; N] {
    fn sample(number: u16) -> Self {
        [number.into(); N]
    }
}

impl<const N: usize> Sample for [bool; N] {
    fn sample(number: u16) -> Self {
        std::array::from_fn(|i| number >> (i % 16) & 1 == 1)
    }
}

impl<const N: usize> Sample for Str<N> {
    fn sample(number: u16) -> Self {
        Self::truncated(&number.to_string())
    }
}
