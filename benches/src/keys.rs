//! The entries of a table, and the streams of keys that every peer is asked for.

use std::sync::OnceLock;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use crate::types::Plain;

/// Operations between two looks at the clock; also the depth of a pipeline.
pub const CHUNK: usize = 256;

/// Where the seeds of keys that are never inserted begin.
const ABSENT: u64 = 1 << 40;

/// Values written by updates: few enough to stay in the first-level cache, so
/// that an update is charged for the table and not for its argument.
const VALUES: usize = 16;

/// Entries `0..n` of a table and streams of accesses to them, the same for all
/// peers: made once, kept in arrays, long enough that no branch predictor
/// learns them.
#[derive(Debug)]
pub struct Keys<K, V> {
    entries: usize,
    uniform: OnceLock<Vec<K>>,
    zipf: OnceLock<Vec<K>>,
    absent: OnceLock<Vec<K>>,
    writes: OnceLock<[Vec<bool>; 2]>,
    values: Vec<V>,
}

impl<K: Plain, V: Plain> Keys<K, V> {
    /// Streams for a table of `entries`. Each is made when it is first asked for.
    pub fn new(entries: usize) -> Self {
        let values = (0..VALUES as u64)
            .map(|i| V::from_seed(scatter(i)))
            .collect();
        Keys {
            entries,
            uniform: OnceLock::new(),
            zipf: OnceLock::new(),
            absent: OnceLock::new(),
            writes: OnceLock::new(),
            values,
        }
    }

    /// Number of entries in the table.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Length of every stream, a multiple of [`CHUNK`]. Short for small tables:
    /// the stream must not push them out of the cache.
    pub fn stream_len(&self) -> usize {
        (4 * self.entries)
            .next_power_of_two()
            .clamp(1 << 16, 1 << 20)
    }

    /// The key with this number; `0..entries` are in the table at first.
    #[inline]
    pub fn key(index: u64) -> K {
        K::from_seed(scatter(index))
    }

    /// Every entry of the table. The value names the next key of one cycle
    /// through all of them.
    pub fn population(&self) -> impl Iterator<Item = (K, V)> + use<K, V> {
        let n = self.entries as u64;
        let stride = stride(n);
        (0..n).map(move |i| (Self::key(i), V::from_seed(scatter((i + stride) % n))))
    }

    /// Present keys, all equally likely.
    pub fn uniform(&self) -> &[K] {
        self.uniform.get_or_init(|| {
            let mut rng = SmallRng::seed_from_u64(1);
            self.stream(|| rng.random_range(0..self.entries as u64))
        })
    }

    /// Present keys, the one of rank r with a likelihood of 1 / r^0.99.
    pub fn zipf(&self) -> &[K] {
        self.zipf.get_or_init(|| {
            let mut rng = SmallRng::seed_from_u64(2);
            let zipf = Zipf::new(self.entries as f64, 0.99).expect("a table has an entry");
            self.stream(|| (zipf.sample(&mut rng) as u64).clamp(1, self.entries as u64) - 1)
        })
    }

    /// Keys that are not in the table.
    pub fn absent(&self) -> &[K] {
        self.absent.get_or_init(|| {
            let mut rng = SmallRng::seed_from_u64(3);
            self.stream(|| ABSENT + rng.random_range(0..1 << 32))
        })
    }

    /// For each operation of a mix: is it a write?
    pub fn writes(&self, percent: u32) -> &[bool] {
        let streams = self.writes.get_or_init(|| {
            [5, 50].map(|percent| {
                let mut rng = SmallRng::seed_from_u64(4);
                (0..self.stream_len())
                    .map(|_| rng.random_range(0..100) < percent)
                    .collect()
            })
        });
        match percent {
            5 => &streams[0],
            50 => &streams[1],
            other => unreachable!("no mix with {other} % writes"),
        }
    }

    /// The value that the n-th write of a chunk stores.
    #[inline]
    pub fn value(&self, n: usize) -> &V {
        &self.values[n % VALUES]
    }

    /// The values that writes store, one after the other.
    pub fn values(&self) -> &[V] {
        &self.values
    }

    fn stream(&self, mut index: impl FnMut() -> u64) -> Vec<K> {
        (0..self.stream_len()).map(|_| Self::key(index())).collect()
    }
}

/// A bijection that makes numbers look random (splitmix64), so that keys are
/// distinct without being remembered.
#[inline]
fn scatter(index: u64) -> u64 {
    let mut z = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A step near the golden section that has no divisor in common with `n`, so
/// that `i -> i + step mod n` is one cycle.
fn stride(n: u64) -> u64 {
    fn gcd(a: u64, b: u64) -> u64 {
        if b == 0 { a } else { gcd(b, a % b) }
    }
    let mut step = (n as f64 * 0.618_034) as u64;
    while gcd(step.max(1), n) != 1 {
        step += 1;
    }
    step.max(1)
}
