//! What fuzz targets reach that programs do not.

use std::sync::Arc;

use crate::format;
use crate::map::ReadOnlyMap;
use crate::store::Store;
use crate::sys::sync::{AtomicU64, Ordering};
use crate::sys::words::index_of;
use crate::types::{Key, Value};

pub use crate::testing::bounds::StepBounds;

/// Validates a header, as opening a segment does, and checks the promise of that function.
/// Says whether the bytes were a header.
pub fn validate(bytes: &[u8], mapped_len: u64) -> bool {
    match format::validate(bytes, mapped_len) {
        Ok(layout) => {
            let places = layout.places;
            assert!(places.end as u64 * 8 <= mapped_len);
            assert!(places.shared <= places.participants && places.participants <= places.moves);
            assert!(places.moves <= places.moves_end && places.moves_end <= places.leases);
            assert!(places.leases <= places.statistics);
            assert!(places.statistics <= places.estimator && places.estimator <= places.ghosts);
            assert!(places.ghosts <= places.ghosts_end && places.ghosts_end <= places.buckets);
            let buckets = (places.end - places.buckets) as u64;
            assert_eq!(
                buckets,
                layout.counts.buckets * layout.counts.bucket_words()
            );
            assert!(layout.capacity <= layout.counts.buckets * u64::from(layout.counts.usable()));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// Lets bytes pass the first checks, which no fuzzer would find its way through: magic,
/// endianness, version and checksum.
pub fn seal(bytes: &mut [u8]) {
    format::seal(bytes);
}

/// The words of a valid header, if it had been written before the machine was booted.
pub fn of_another_boot(header: &[u64]) -> Vec<u64> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).collect();
    bytes[184] ^= 0x55;
    seal(&mut bytes);
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u64::from_ne_bytes(*word)).collect()
}

/// The words of a segment through one mapping, as a peer has them who keeps to no protocol.
#[derive(Clone, Debug)]
pub struct Words(Arc<Store>);

/// A handle whose segment can be attacked.
pub trait Handle {
    /// Its words, through its own mapping.
    fn words(&self) -> Words;
}

impl<K: Key, V: Value> Handle for ReadOnlyMap<K, V> {
    fn words(&self) -> Words {
        Words(self.clone_shared())
    }
}

impl<K: Key, V: Value> Handle for crate::ReadOnlyCache<K, V> {
    fn words(&self) -> Words {
        Words(self.clone_shared())
    }
}

impl Words {
    fn all(&self) -> &[AtomicU64] {
        self.0.mapping.words()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// What a word holds; beyond the end there are zeros.
    pub fn load(&self, index: usize) -> u64 {
        let word = self.all().get(index);
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Rewrites a word, if there is one. The handle is one that may write.
    pub fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.all().get(index) {
            word.store(value, Ordering::Release);
        }
    }

    /// Gives up all locks of the handle, as its death would.
    pub fn give_up_locks(&self) {
        if let Some(owners) = &self.0.owners {
            owners.release(self.0.participants());
            owners.hide_writer();
        }
    }

    /// The bounds of steps that are stated for the segment.
    pub fn step_bounds(&self) -> StepBounds {
        StepBounds::of(&self.0)
    }
}

/// Runs `work`. Before each access that it makes, through one of the mappings, to a word of their
/// segment, `before` is told which word that is.
pub fn watch<T>(
    mappings: Vec<Words>,
    mut before: impl FnMut(usize) + 'static,
    work: impl FnOnce() -> T,
) -> T {
    let watcher = move |word: &AtomicU64| {
        let place = mappings
            .iter()
            .find_map(|words| index_of(words.all(), word));
        if let Some(index) = place {
            before(index);
        }
    };
    crate::sys::watched::watch(watcher, work)
}
