//! From the bytes of a key to the places where its entry can live.
//!
//! The hash is part of the format: two processes, or two versions of this crate,
//! must find the same entry, so only functions with a fixed specification are used,
//! keyed with a secret of 64 random bytes that each segment draws at its creation.
//! Which function it is stands in the header.
//!
//! | id | function | secret | for |
//! |----|----------|--------|-----|
//! | 1 | rapidhash V3 ([Nicoshev/rapidhash]), `seed` = word 0, `secret[0..7]` = words 1 to 7 | 8 words | the default |
//! | 2 | SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF") | words 0 and 1 | keys chosen by an adversary who can also watch timings |
//!
//! The input is the key's bytes, exactly `key_len` of them, as they lie in memory.
//! From the 64 bits of the result:
//!
//! ```text
//!  63         41 40    36 35     32 31                       0
//! ┌─────────────┬────────┬─────────┬──────────────────────────┐
//! │             │ class  │ choice  │ tag: 4 bytes             │
//! │ primary bucket ...             │ secondary bucket         │
//! └────────────────────────────────┴──────────────────────────┘
//! ```
//!
//! The tag of an entry is one byte, and which of the four it is depends on the slot (module
//! `tags`): so the four, twice over, are what a search compares with a whole bucket.
//!
//! (Leaving out the last mixing step of rapidhash would save a nanosecond of a `get` and break
//! the promise of capacity for keys in sequences: seen, and now tested below.)
//!
//! A bucket is chosen by multiply and shift (Lemire, "Fast random integer generation in an
//! interval"), of whose half of the hash the *upper* bits decide. So class and choice stay
//! independent of the primary bucket until a table has more than 2^23 buckets (a hundred million
//! entries), and degrade gently above. Of the few entries that are in their secondary bucket in a
//! bucket, every fourth has a tag that shares bits with the bucket's number and distinguishes less.
//!
//! [Nicoshev/rapidhash]: https://github.com/Nicoshev/rapidhash

use std::fmt;
use std::hash::Hasher;

use crate::sys::tags::Tag;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};
use siphasher::sip::SipHasher13;

/// Number of 64-bit words in a segment's secret.
pub(crate) const SECRET_WORDS: usize = 8;

/// The hash function of a segment, recorded in its header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashFunction {
    /// rapidhash V3 under a 64-byte secret: about a nanosecond for eight bytes. Keys
    /// that collide for everybody are not known, and an outsider who does not know
    /// the secret cannot look for them offline.
    #[default]
    Rapid,
    /// SipHash-1-3, a keyed pseudo-random function: several times slower, for keys that
    /// come from an adversary who can measure how long operations take. (A collision
    /// costs little here anyway: an operation never looks into more than two buckets.)
    Sip,
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rapid => "rapidhash",
            Self::Sip => "SipHash-1-3",
        })
    }
}

impl HashFunction {
    /// The number that stands for the function in the header.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Self::Rapid => 1,
            Self::Sip => 2,
        }
    }

    /// The function that the header's number stands for.
    pub(crate) const fn from_id(id: u32) -> Option<Self> {
        match id {
            1 => Some(Self::Rapid),
            2 => Some(Self::Sip),
            _ => None,
        }
    }
}

/// The secret of a segment.
pub(crate) struct Secret(RapidSecrets);

impl Secret {
    pub(crate) fn new([seed, secrets @ ..]: [u64; SECRET_WORDS]) -> Self {
        Self(RapidSecrets { seed, secrets })
    }
}

/// The keyed hash of one segment. Its function is part of it and not of the secret, so that it is
/// a constant where the caller knows it.
#[derive(Clone, Copy)]
pub(crate) struct KeyHasher<'s> {
    kind: HashFunction,
    secret: &'s Secret,
}

impl<'s> KeyHasher<'s> {
    #[inline(always)]
    pub(crate) fn new(kind: HashFunction, secret: &'s Secret) -> Self {
        Self { kind, secret }
    }

    /// Hash of the bytes of a key.
    #[inline(always)]
    pub(crate) fn hash(&self, key: &[u8]) -> KeyHash {
        let Secret(secret) = self.secret;
        match self.kind {
            HashFunction::Rapid => KeyHash(rapidhash_v3_inline::<true, true, false>(key, secret)),
            HashFunction::Sip => {
                core::hint::cold_path();
                self.sip(key)
            }
        }
    }

    #[inline(never)]
    fn sip(&self, key: &[u8]) -> KeyHash {
        let Secret(RapidSecrets { seed, secrets }) = self.secret;
        let mut hasher = SipHasher13::new_with_keys(*seed, secrets[0]);
        hasher.write(key);
        KeyHash(hasher.finish())
    }
}

/// Hash of a key under its segment's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(pub(crate) u64);

impl KeyHash {
    /// The bucket that a key prefers, of `buckets` (1 to 2^32): below that number for every hash,
    /// which memory safety depends on in [`crate::protocol::buckets`]. For `h` < 2^32, `h * buckets / 2^32` is
    /// below `buckets`; the product of two factors up to 2^32, not both that large, has 64 bits.
    #[inline(always)]
    pub(crate) fn primary(self, buckets: u64) -> u64 {
        ((self.0 >> 32) * buckets) >> 32
    }

    /// The secondary bucket where a key may live: never its primary bucket, so `buckets` is at
    /// least 2. Below `buckets` as well: one of the `buckets - 1` others, counted on from the
    /// primary bucket.
    #[inline(always)]
    pub(crate) fn secondary(self, buckets: u64) -> u64 {
        let among_the_rest = ((self.0 & 0xFFFF_FFFF) * (buckets - 1)) >> 32;
        among_the_rest + u64::from(among_the_rest >= self.primary(buckets))
    }

    /// The fingerprint that is compared before the key is.
    #[inline(always)]
    pub(crate) fn tag(self) -> Tag {
        Tag(self.0 as u32)
    }

    /// Where in a bucket a key prefers to be.
    #[inline(always)]
    pub(crate) fn preferred_slot(self) -> u32 {
        (self.0 >> 32) as u32 & 15
    }

    /// Which of a bucket's 32 counters counts this key while it is in its secondary bucket.
    #[inline(always)]
    pub(crate) fn class(self) -> u32 {
        (self.0 >> 36) as u32 & 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(seed: u64) -> [u64; SECRET_WORDS] {
        std::array::from_fn(|i| (seed + i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    #[test]
    fn hash_functions_match_their_published_vectors() {
        // SipHash-1-3 with key 00..0f of the bytes 00..07, from the reference implementation.
        let secret = Secret::new([
            0x0706_0504_0302_0100,
            0x0f0e_0d0c_0b0a_0908,
            0,
            0,
            0,
            0,
            0,
            0,
        ]);
        let sip = KeyHasher::new(HashFunction::Sip, &secret);
        assert_eq!(sip.hash(&[]).0, 0xabac_0158_050f_c4dc);
        assert_eq!(sip.hash(&[0]).0, 0xc9f4_9bf3_7d57_ca93);
    }

    proptest::proptest! {
        /// Memory safety depends on it, see [`crate::protocol::buckets`].
        #[test]
        fn both_buckets_of_every_hash_are_in_the_table(hash: u64, buckets in 2..=1u64 << 32) {
            let (primary, secondary) = (KeyHash(hash).primary(buckets), KeyHash(hash).secondary(buckets));
            proptest::prop_assert!(primary < buckets && secondary < buckets && primary != secondary);
        }
    }

    #[test]
    fn primary_and_secondary_are_two_different_buckets_of_the_table() {
        for buckets in [2u64, 3, 7, 1 << 20, (1 << 32) - 1, 1 << 32] {
            for i in 0..2000u64 {
                let hash = KeyHash(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                let (primary, secondary) = (hash.primary(buckets), hash.secondary(buckets));
                assert!(primary < buckets && secondary < buckets && primary != secondary);
            }
            for hash in [
                KeyHash(0),
                KeyHash(u64::MAX),
                KeyHash(0xFFFF_FFFF),
                KeyHash(!0xFFFF_FFFF),
            ] {
                let (primary, secondary) = (hash.primary(buckets), hash.secondary(buckets));
                assert!(primary < buckets && secondary < buckets && primary != secondary);
            }
        }
    }

    /// How much more the counts of `cells` cells vary than those of random throws would: 1 is
    /// random, 0 all equal, more is clustered.
    fn clustering(cells: usize, throws: impl Iterator<Item = usize>) -> f64 {
        let mut counts = vec![0f64; cells];
        let mut total = 0f64;
        for cell in throws {
            counts[cell] += 1.0;
            total += 1.0;
        }
        let mean = total / cells as f64;
        let variance = counts
            .iter()
            .map(|count| (count - mean).powi(2))
            .sum::<f64>()
            / cells as f64;
        variance / (mean * (1.0 - 1.0 / cells as f64))
    }

    #[test]
    fn keys_with_a_pattern_are_spread_like_random_ones() {
        const KEYS: u64 = 1 << 16;
        type Family = fn(u64) -> u64;
        let families: [(&str, Family); 8] = [
            ("sequence", |i| i),
            ("multiples of 4096", |i| i << 12),
            ("high bits", |i| i << 48),
            ("middle bits", |i| i << 24),
            ("multiples of 10^9", |i| i * 1_000_000_000),
            ("floats", |i| (i as f64).to_bits()),
            ("reversed", |i| i.reverse_bits()),
            ("both halves", |i| i << 32 | i),
        ];
        for seed in 0..3 {
            let secret = Secret::new(secret(seed * 77 + 5));
            let hasher = KeyHasher::new(HashFunction::Rapid, &secret);
            for (family, key) in families {
                let hashes: Vec<KeyHash> = (0..KEYS)
                    .map(|i| hasher.hash(&key(i).to_ne_bytes()))
                    .collect();
                let buckets = KEYS / 13;
                let cells = |name: &str, cells: u64, field: &dyn Fn(KeyHash) -> u64| {
                    let clustering = clustering(
                        cells as usize,
                        hashes.iter().map(|hash| field(*hash) as usize),
                    );
                    assert!(
                        clustering < 1.25,
                        "{family}, {name}: clustering {clustering:.2}"
                    );
                };
                cells("primary", buckets, &|hash| hash.primary(buckets));
                cells("other", buckets, &|hash| hash.secondary(buckets));
                cells("primary bucket and tag", 64 << 8, &|hash| {
                    hash.primary(64) << 8 | u64::from(hash.tag().in_slot(0))
                });
                cells(
                    "primary bucket and tag, in another slot",
                    64 << 8,
                    &|hash| hash.primary(64) << 8 | u64::from(hash.tag().in_slot(15)),
                );
                cells("primary bucket and class", 512 * 32, &|hash| {
                    hash.primary(512) << 5 | u64::from(hash.class())
                });
                cells("primary bucket and choice", 512 * 16, &|hash| {
                    hash.primary(512) << 4 | u64::from(hash.preferred_slot())
                });
                // The two are never equal, so by how far they are apart.
                cells("primary bucket and distance", 64 * 63, &|hash| {
                    let apart = (64 + hash.secondary(64) - hash.primary(64)) % 64;
                    hash.primary(64) * 63 + apart - 1
                });
            }
        }
    }

    #[test]
    fn no_pair_of_near_keys_collides_under_every_secret() {
        // Keys that differ in few bits, or are built around the constants of the
        // function, are where seed-independent collisions of multiplicative hashes live.
        let mut keys: Vec<[u8; 16]> = vec![[0; 16], [0xFF; 16]];
        for bit in 0..128 {
            let mut key = [0u8; 16];
            key[bit / 8] |= 1 << (bit % 8);
            keys.push(key);
        }
        let default = rapidhash::v3::DEFAULT_RAPID_SECRETS;
        for constant in default.secrets {
            for secondary in [0u64, 1, u64::MAX, constant] {
                let mut key = [0u8; 16];
                key[..8].copy_from_slice(&constant.to_le_bytes());
                key[8..].copy_from_slice(&secondary.to_le_bytes());
                keys.push(key);
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let mut always: Option<std::collections::HashSet<(usize, usize)>> = None;
        for seed in 0..4 {
            let secret = Secret::new(secret(seed * 1000));
            let hasher = KeyHasher::new(HashFunction::Rapid, &secret);
            let mut colliding = std::collections::HashSet::new();
            for a in 0..keys.len() {
                for b in 0..a {
                    if hasher.hash(&keys[a]) == hasher.hash(&keys[b]) {
                        colliding.insert((a, b));
                    }
                }
            }
            always = Some(match always {
                None => colliding,
                Some(before) => before.intersection(&colliding).copied().collect(),
            });
        }
        assert!(always.is_some_and(|pairs| pairs.is_empty()));
    }
}
