//! The typed map, as a user sees it.

use std::collections::HashMap;

use shmkv::map::{CompareExchange, TryInsert};
use shmkv::{Map, OpenError, Segment, Str, WriteError};

/// A name in /dev/shm that is removed when the test ends, however it ends.
struct Scratch(Segment);

impl Scratch {
    fn new(test: &str) -> Self {
        Self(Segment::shm(&format!("shmkv-test-{test}-{}", std::process::id())).unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.0.remove();
    }
}

#[test]
fn a_second_handle_sees_what_the_first_one_wrote() {
    let scratch = Scratch::new("two-handles");
    let writer: Map<u64, u64> = Map::builder()
        .capacity(100)
        .create(scratch.0.clone())
        .unwrap();
    let reader = Map::<u64, u64>::builder()
        .open_read_only(scratch.0.clone())
        .unwrap();
    assert_eq!(reader.get(&1).unwrap(), None);
    assert_eq!(writer.insert(1, 10).unwrap(), None);
    assert_eq!(reader.get(&1).unwrap(), Some(10));
    assert_eq!(writer.insert(1, 11).unwrap(), Some(10));
    assert_eq!(reader.get(&1).unwrap(), Some(11));
    assert_eq!(writer.remove(&1).unwrap(), Some(11));
    assert_eq!(reader.get(&1).unwrap(), None);
    assert!(reader.is_empty());
}

#[test]
fn every_operation_does_what_its_name_says() {
    let scratch = Scratch::new("operations");
    let map: Map<Str<16>, i64> = Map::builder()
        .capacity(100)
        .create(scratch.0.clone())
        .unwrap();
    let key = |text: &str| Str::new(text).unwrap();
    let a = key("a");
    assert_eq!(map.try_insert(a, 1).unwrap(), TryInsert::Inserted);
    assert_eq!(map.try_insert(a, 2).unwrap(), TryInsert::Occupied(1));
    assert!(map.contains_key(&a).unwrap() && !map.contains_key(&key("b")).unwrap());
    assert_eq!(
        map.compare_exchange(&a, &5, 6).unwrap(),
        CompareExchange::Mismatch(1)
    );
    assert_eq!(
        map.compare_exchange(&a, &1, 6).unwrap(),
        CompareExchange::Exchanged
    );
    assert_eq!(
        map.compare_exchange(&key("b"), &1, 6).unwrap(),
        CompareExchange::Absent
    );
    assert_eq!(map.fetch_add(&a, -10).unwrap(), Some(6));
    assert_eq!(map.fetch_add(&key("n"), 3).unwrap(), None);
    assert_eq!(map.get(&key("n")).unwrap(), Some(3));
    assert_eq!(map.update(&a, |value| value * 2).unwrap(), Some(-4));
    assert_eq!(map.get(&a).unwrap(), Some(-8));
    assert_eq!(map.update(&key("b"), |value| value * 2).unwrap(), None);
    assert_eq!(
        map.fetch_update(&key("b"), |value| value.or(Some(7)))
            .unwrap(),
        None
    );
    assert_eq!(map.fetch_update(&key("b"), |_| None).unwrap(), Some(7));
    assert_eq!(
        map.remove_if(&key("b"), |value| *value > 100).unwrap(),
        None
    );
    assert_eq!(
        map.remove_if(&key("b"), |value| *value == 7).unwrap(),
        Some(7)
    );
    let mut into = 0;
    assert!(map.get_into(&a, &mut into).unwrap());
    assert_eq!(into, -8);
    assert!(!map.get_into(&key("zz"), &mut into).unwrap());
    assert_eq!(into, -8);
    let mut values = [None; 3];
    assert_eq!(
        map.get_many(&[a, key("zz"), key("n")], &mut values)
            .unwrap(),
        2
    );
    assert_eq!(values, [Some(-8), None, Some(3)]);
    assert_eq!(
        map.insert_many(&[(key("x"), 1), (a, 2), (key("y"), 3)])
            .unwrap(),
        2
    );
    assert_eq!(map.len(), 4);
    let all: HashMap<Str<16>, i64> = map.iter().map(Result::unwrap).collect();
    assert_eq!(
        all,
        HashMap::from([(a, 2), (key("n"), 3), (key("x"), 1), (key("y"), 3)])
    );
    assert_eq!(map.retain(|_, value| *value == 3).unwrap(), 2);
    assert_eq!(map.len(), 2);
    assert_eq!(map.clear().unwrap(), 2);
    assert!(map.is_empty());
}

#[test]
fn capacity_is_a_promise_and_full_is_an_error() {
    for capacity in [1usize, 10, 100, 1000] {
        let scratch = Scratch::new(&format!("capacity-{capacity}"));
        let map: Map<u64, [u64; 3]> = Map::builder()
            .capacity(capacity)
            .create(scratch.0.clone())
            .unwrap();
        let promised = capacity as u64;
        for key in 0..promised {
            map.insert(key, [key; 3]).unwrap();
        }
        assert_eq!(map.len(), capacity);
        let mut refused = None;
        for key in promised..promised * 4 + 100 {
            match map.insert(key, [key; 3]) {
                Ok(previous) => assert_eq!(previous, None),
                Err(error) => {
                    refused = Some((key, error));
                    break;
                }
            }
        }
        let (key, error) = refused.expect("a bounded segment gets full");
        assert_eq!(error, WriteError::Full { capacity: promised });
        assert_eq!(map.get(&key).unwrap(), None);
        assert_eq!(map.len() as u64, key);
        for key in 0..key {
            assert_eq!(map.get(&key).unwrap(), Some([key; 3]));
        }
    }
}

#[test]
fn opening_with_other_types_says_what_differs() {
    let scratch = Scratch::new("types");
    let _map: Map<u64, u64> = Map::builder()
        .capacity(10)
        .create(scratch.0.clone())
        .unwrap();
    let error = Map::<u32, u64>::builder()
        .open(scratch.0.clone())
        .unwrap_err();
    assert!(matches!(error, OpenError::KeyType(_)), "{error}");
    let error = Map::<u64, i64>::builder()
        .open(scratch.0.clone())
        .unwrap_err();
    assert!(matches!(error, OpenError::ValueType(_)), "{error}");
    assert!(
        error.to_string().contains("u64") && error.to_string().contains("i64"),
        "{error}"
    );
}

#[test]
fn removing_a_system_v_segment_takes_its_lock_file_along() {
    let lock_files = || {
        let files = std::fs::read_dir("/dev/shm").unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap_or_default());
        names
            .filter(|name| name.starts_with(".shmkv-") && name.ends_with(".lock"))
            .collect::<Vec<_>>()
    };
    let key = 0x5300_0000 | (std::process::id() & 0xFF_FFFF);
    let segment = Segment::sysv_key(key.cast_signed()).unwrap();
    let before = lock_files();
    let map: Map<u64, u64> = Map::builder().capacity(10).create(segment.clone()).unwrap();
    map.insert(1, 1).unwrap();
    let new: Vec<_> = lock_files()
        .into_iter()
        .filter(|name| !before.contains(name))
        .collect();
    assert!(
        !new.is_empty(),
        "a writer of a System V segment has a lock file"
    );
    segment.remove().unwrap();
    let left = lock_files();
    // Other tests may have made lock files of their own meanwhile; ours was among the new ones.
    assert!(new.iter().any(|name| !left.contains(name)), "{left:?}");
}

#[test]
fn a_wish_for_the_memory_that_cannot_be_had_leaves_no_segment() {
    use shmkv::segment::{HugePages, SegmentError};
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let segment = Segment::file(directory.path().join("wish")).unwrap();
    let wish = || {
        Map::<u64, u64>::builder()
            .capacity(500_000)
            .huge_pages(HugePages::Require)
    };
    for result in [
        wish().create(segment.clone()),
        wish().open_or_create(segment.clone()),
    ] {
        match result {
            Ok(_) => {
                eprintln!("skipped: this file system has huge pages");
                assert!(segment.exists().unwrap());
                return;
            }
            Err(error) => {
                assert!(
                    matches!(error, OpenError::Segment(SegmentError::Memory { .. })),
                    "{error}"
                );
                assert!(!segment.exists().unwrap(), "left behind after: {error}");
            }
        }
    }
    let entries = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(entries, 0, "temporary files");
}
