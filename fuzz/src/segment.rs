//! Segments that nobody else can find.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::Duration;

use shmkv::{Cache, Key, Map, Segment, Value};
use shmkv::restart::SyncOutcome;

/// A new map in memory.
pub fn new_map<K: Key, V: Value>(capacity: usize) -> Map<K, V> {
    create(capacity, Segment::memfd("fuzz").unwrap())
}

/// A new map on a disk: what lies there can outlive the machine. Its name is gone.
///
/// # Panics
/// If the directory for temporary files is in memory only.
pub fn new_map_on_disk<K: Key, V: Value>(capacity: usize) -> Map<K, V> {
    // Not of the map itself: a sync would seal what is in it.
    static IS_DISK: LazyLock<bool> =
        LazyLock::new(|| nameless::<u8, ()>(1).sync().unwrap() != SyncOutcome::InMemory);
    assert!(
        *IS_DISK,
        "{} is in memory, where nothing outlives a crash: set TMPDIR to a directory on a disk",
        std::env::temp_dir().display()
    );
    nameless(capacity)
}

fn nameless<K: Key, V: Value>(capacity: usize) -> Map<K, V> {
    let path = std::env::temp_dir().join(format!("shmkv-fuzz-{}", std::process::id()));
    let map = create(capacity, Segment::file(&path).unwrap());
    std::fs::remove_file(&path).unwrap();
    map
}

fn create<K: Key, V: Value>(capacity: usize, segment: Segment) -> Map<K, V> {
    Map::builder()
        .capacity(capacity)
        .max_writers(2)
        // A lock word may name this very process: no need to wait for it.
        .lock_timeout(Duration::ZERO)
        .sync_on_close(false)
        .create(segment)
        .unwrap()
}

/// The file behind a map.
pub fn file_of<K: Key, V: Value>(map: &Map<K, V>) -> File {
    map.fd().unwrap().try_clone_to_owned().unwrap().into()
}

/// The file behind a cache.
pub fn file_of_cache<K: Key, V: Value>(cache: &Cache<K, V>) -> File {
    cache.fd().unwrap().try_clone_to_owned().unwrap().into()
}

/// A memfd with these bytes.
pub fn file_with(bytes: &[u8]) -> File {
    // One that the library made, with another content: no unsafe code here.
    let map: Map<u8, ()> = Map::builder()
        .capacity(1)
        .max_writers(1)
        .create(Segment::memfd("fuzz").unwrap())
        .unwrap();
    let file = file_of(&map);
    let len = file.metadata().unwrap().len() as usize;
    let mut content = vec![0; len];
    let copied = bytes.len().min(len);
    content[..copied].copy_from_slice(&bytes[..copied]);
    file.write_all_at(&content, 0).unwrap();
    file
}

/// The name of an open file.
pub fn name_of(file: &File) -> Segment {
    Segment::fd(file.as_fd().as_raw_fd()).unwrap()
}
