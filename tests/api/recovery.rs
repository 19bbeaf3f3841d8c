//! What `recover`, `check` and `participants` say.

use shmkv::check::{Problem, Severity};
use shmkv::{Map, Segment};

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
fn a_sound_map_has_nothing_to_recover_and_nothing_wrong() {
    let scratch = Scratch::new("sound");
    let map: Map<u64, [u64; 3]> = Map::builder()
        .capacity(1000)
        .create(scratch.0.clone())
        .unwrap();
    for key in 0..1100 {
        let _ = map.insert(key, [key; 3]);
    }
    let recovery = map.recover().unwrap();
    assert!(recovery.is_clean(), "{recovery}");
    for check in [map.check(), map.read_only().check()] {
        assert!(check.is_sound() && check.problems.is_empty(), "{check}");
        assert!(check.is_quiet && check.overflow > 0, "{check}");
        assert_eq!(check.entries, map.len() as u64);
    }
    let participants = map.participants();
    assert_eq!(participants.len(), 1);
    assert!(participants[0].is_self);
}

#[test]
fn invalid_bytes_in_a_bucket_are_reported_and_not_believed() {
    use std::os::unix::fs::FileExt;
    let scratch = Scratch::new("invalid");
    let map: Map<u64, [u64; 3]> = Map::builder()
        .capacity(20)
        .create(scratch.0.clone())
        .unwrap();
    for key in 0..20 {
        map.insert(key, [key; 3]).unwrap();
    }
    let file = std::fs::File::from(map.fd().unwrap().try_clone_to_owned().unwrap());
    let bucket_len = (8 + 16 * 4) * 8;
    let buckets = map.stats().bytes - 3 * bucket_len;
    // Keys fall where the segment's secret says: the fullest bucket has several.
    let occupied = |bucket: &u64| {
        let mut state = [0; 8];
        file.read_exact_at(&mut state, buckets + bucket * bucket_len)
            .unwrap();
        (u64::from_ne_bytes(state) & 0xFFFF).count_ones()
    };
    let full = (0..3).max_by_key(occupied).unwrap();
    // Its tags, its reserved word, its lock, its counts.
    for (word, value) in [(2, !0u64), (3, !0), (5, 1), (1, 0x10_0002), (6, 3)] {
        let at = buckets + full * bucket_len + word * 8;
        file.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
    let check = map.check();
    let has = |wanted: &dyn Fn(&Problem) -> bool| check.problems.iter().any(wanted);
    assert!(
        has(&|p| matches!(p, Problem::WrongTag { bucket, .. } if *bucket == full)),
        "{check}"
    );
    assert!(
        has(&|p| matches!(p, Problem::Reserved { found: 1, .. })),
        "{check}"
    );
    assert!(
        has(&|p| matches!(p, Problem::Locked { bucket, .. } if *bucket == full)),
        "{check}"
    );
    assert!(
        has(&|p| matches!(p, Problem::CountTooHigh { counted: 3, .. })),
        "{check}"
    );
    assert!(
        check
            .problems
            .iter()
            .any(|p| p.severity() == Severity::Error)
    );
    // Nobody has slot 0 under that generation.
    let recovery = map.recover().unwrap();
    assert_eq!((recovery.released, recovery.busy), (1, 0), "{recovery}");
    assert!(
        map.check()
            .problems
            .iter()
            .all(|p| !matches!(p, Problem::Locked { .. }))
    );
}
