//! shmkv itself. The only file of this package that touches it.

use std::fmt;
use std::fs;
use std::hint::black_box;
use std::process;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use shmkv::{Map, Segment};

use crate::subject::{Attach, BATCH, Subject};
use crate::types::Plain;

/// What the map asks of keys and values.
pub trait Storable: shmkv::Key {}

impl<T: shmkv::Key> Storable for T {}

/// A handle to a map in a segment of POSIX shared memory.
pub struct Ours<K: Storable, V: Storable> {
    map: Map<K, V>,
    segment: Rc<Named>,
}

/// The name of a segment. Its creator removes it.
struct Named {
    name: String,
    is_creator: bool,
}

impl Drop for Named {
    fn drop(&mut self) {
        if self.is_creator {
            let segment: Segment = self.name.parse().expect("a name of our own making");
            segment.remove().expect("the segment is ours");
        }
    }
}

impl<K: Storable, V: Storable> fmt::Debug for Ours<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ours")
            .field("segment", &self.segment.name)
            .finish_non_exhaustive()
    }
}

impl<K: Storable, V: Storable> Ours<K, V> {
    /// A new map with `capacity(entries)`.
    ///
    /// # Panics
    /// If the segment cannot be created.
    pub fn create(entries: usize) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only uniqueness matters.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("shm:shmkv-benches-{}-{number}", process::id());
        let map = Map::builder()
            .capacity(entries)
            .create(&name)
            .expect("the segment is created");
        Ours {
            map,
            segment: Rc::new(Named {
                name,
                is_creator: true,
            }),
        }
    }

    /// The map, for benches of operations that only this one has.
    pub fn map(&self) -> &Map<K, V> {
        &self.map
    }

    /// Atomic read-modify-write of one value.
    #[inline]
    pub fn update(&self, key: &K, change: impl Fn(V) -> V) {
        black_box(&self.map.update(key, change).expect("the segment is sound"));
    }

    /// Visits every entry and counts them.
    #[inline]
    pub fn count_by_iteration(&self) -> usize {
        self.map
            .iter()
            .map(|entry| {
                black_box(&entry.expect("nobody writes meanwhile"));
            })
            .count()
    }
}

impl<K: Storable> Ours<K, u64> {
    /// Adds to a number.
    #[inline]
    pub fn fetch_add(&self, key: &K, by: u64) {
        black_box(&self.map.fetch_add(key, by).expect("the segment is sound"));
    }

    /// Replaces a number by itself, if it is still `value`.
    #[inline]
    pub fn compare_exchange(&self, key: &K, value: u64) {
        black_box(
            &self
                .map
                .compare_exchange(key, &value, value)
                .expect("the segment is sound"),
        );
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Ours<K, V> {
    #[inline(always)]
    fn get(&mut self, key: &K) -> Option<V> {
        self.map.get(key).expect("the segment is sound")
    }

    // What a call returns is kept alive where the call has put it: in a `Result`, which other maps of
    // a process do not return. To take the value out of that is another copy, which nobody needs
    // who looks at it.

    #[inline(always)]
    fn get_chunk(&mut self, keys: &[K]) -> usize {
        let mut hits = 0;
        for key in keys {
            let value = self.map.get(key);
            hits += usize::from(value.as_ref().expect("the segment is sound").is_some());
            black_box(&value);
        }
        hits
    }

    #[inline(always)]
    fn insert(&mut self, key: &K, value: &V) {
        let previous = self.map.insert(*key, *value);
        black_box(&previous);
        assert!(previous.is_ok(), "the segment is sound");
    }

    #[inline(always)]
    fn remove(&mut self, key: &K) -> bool {
        let value = self.map.remove(key);
        black_box(&value);
        value.as_ref().expect("the segment is sound").is_some()
    }

    #[inline(always)]
    fn get_batch(&mut self, keys: &[K; BATCH], values: &mut [Option<V>; BATCH]) {
        self.map
            .get_many(keys, values)
            .expect("the segment is sound");
    }

    fn footprint(&self) -> Option<u64> {
        let name = self.segment.name.strip_prefix("shm:")?;
        fs::metadata(format!("/dev/shm/{name}"))
            .ok()
            .map(|file| file.len())
    }
}

impl<K: Plain, V: Plain> Attach for Ours<K, V> {
    fn location(&self) -> String {
        self.segment.name.clone()
    }

    fn attach(location: &str) -> Self {
        let map = Map::builder().open(location).expect("the creator lives");
        Ours {
            map,
            segment: Rc::new(Named {
                name: location.to_owned(),
                is_creator: false,
            }),
        }
    }
}
