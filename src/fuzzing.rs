//! What fuzz targets reach that programs do not.

use std::sync::Arc;

use crate::layout;
use crate::map::ReadOnlyMap;
use crate::mapping::index_of;
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};
use crate::types::{Key, Value};

pub use crate::bounds::Stated;

/// Validates a header, as opening a segment does, and checks the promise of that function.
/// Says whether the bytes were a header.
pub fn validate(bytes: &[u8], mapped_len: u64) -> bool {
    match layout::validate(bytes, mapped_len) {
        Ok(layout) => {
            let places = layout.places;
            assert!(places.end as u64 * 8 <= mapped_len);
            assert!(places.shared <= places.participants && places.participants <= places.moves);
            assert!(places.moves <= places.moves_end && places.moves_end <= places.leases);
            assert!(places.leases <= places.statistics);
            assert!(places.statistics <= places.learner && places.learner <= places.ghosts);
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
    layout::seal(bytes);
}

/// The words of a segment, as a peer has them who does not keep to any protocol.
#[derive(Debug)]
pub struct Words(Arc<Shared>);

impl Words {
    /// Those of a writable handle.
    pub fn of<K: Key, V: Value>(map: &crate::Map<K, V>) -> Self {
        Self(map.clone_shared())
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        self.0.mapping.words().get(index)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.mapping.words().len()
    }

    /// What a word holds; beyond the end there are zeros.
    pub fn load(&self, index: usize) -> u64 {
        self.word(index)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Rewrites a word, if there is one.
    pub fn store(&self, index: usize, value: u64) {
        if let Some(word) = self.word(index) {
            word.store(value, Ordering::Release);
        }
    }
}

/// Runs `work`. Before each access that it makes, through one of the handles, to a word of their
/// segment, `before` is told which word that is.
pub fn watch<K: Key, V: Value, T>(
    handles: &[&ReadOnlyMap<K, V>],
    mut before: impl FnMut(usize) + 'static,
    work: impl FnOnce() -> T,
) -> T {
    let mappings: Vec<Arc<Shared>> = handles.iter().map(|handle| handle.clone_shared()).collect();
    let watcher = move |word: &AtomicU64| {
        let place = mappings
            .iter()
            .find_map(|shared| index_of(shared.mapping.words(), word));
        if let Some(index) = place {
            before(index);
        }
    };
    crate::watched::watch(watcher, work)
}

/// The stated bounds of steps for a handle's segment.
pub fn stated<K: Key, V: Value>(map: &ReadOnlyMap<K, V>) -> Stated {
    Stated::of(map.shared())
}
