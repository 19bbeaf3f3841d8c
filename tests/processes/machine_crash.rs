//! What a crash of the machine leaves of a `file:` segment, and what becomes of it.
//!
//! The crash is played on a copy: each page of the copy is one that the segment had at some time
//! since the last sync (which is all that the kernel promises), the boot id in the header is
//! another one, and the checksum is right again. Locks of the file stay behind, as they do.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::support::Parts;
use proptest::prelude::*;
use shmkv::restart::{CrashPolicy, SyncOutcome};
use shmkv::{Map, OpenError, ReadOnlyMap, Segment, WriteError};

const PAGE: usize = 4096;

/// A value that shows whether it is whole, and whose.
type Whole = [u64; 4];

fn whole(key: u64, version: u64) -> Whole {
    [key, version, key ^ version.rotate_left(32), !key]
}

fn is_whole(key: u64, value: Whole) -> bool {
    value == whole(key, value[1])
}

/// A directory with a segment in it, and copies of it.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn segment(&self, name: &str) -> Segment {
        Segment::file(self.path(name)).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.path("live")).unwrap()
    }

    /// The segment as the next boot finds it, with these bytes, in the file that it was made in.
    fn after_a_crash(&self, name: &str, mut bytes: Vec<u8>) -> Segment {
        another_boot(&mut bytes);
        self.in_its_own_file(name, bytes)
    }

    /// Puts bytes into a new file, and lets them say that they were made there. What a segment says
    /// about its file is taken from one that the library makes.
    fn in_its_own_file(&self, name: &str, mut bytes: Vec<u8>) -> Segment {
        let segment = self.segment(name);
        let _ = segment.remove();
        drop(create_at(&segment, 1));
        let record = |bytes: &[u8]| {
            let header_len = u64::from_ne_bytes(bytes[24..32].try_into().unwrap()) as usize;
            header_len + 8 * 8..header_len + 13 * 8
        };
        let made = std::fs::read(self.path(name)).unwrap();
        let made = &made[record(&made)];
        assert!(made.iter().any(|&byte| byte != 0), "it says nothing");
        let at = record(&bytes);
        bytes[at].copy_from_slice(made);
        // In place: the file stays the same.
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        segment
    }
}

/// Changes the boot id, and makes the checksum right again: as the format's documentation says.
fn another_boot(bytes: &mut [u8]) {
    for byte in &mut bytes[184..200] {
        *byte ^= 0x5A;
    }
    let header_len = u64::from_ne_bytes(bytes[24..32].try_into().unwrap()) as usize;
    let mut header = bytes[..header_len].to_vec();
    header[..8].fill(0);
    header[16..24].fill(0);
    let sum = rapidhash::v3::rapidhash_v3(&header);
    bytes[16..24].copy_from_slice(&sum.to_ne_bytes());
}

fn create(disk: &Disk, capacity: usize) -> Map<u64, Whole> {
    create_at(&disk.segment("live"), capacity)
}

fn create_at(segment: &Segment, capacity: usize) -> Map<u64, Whole> {
    Map::builder()
        .capacity(capacity)
        .max_writers(4)
        .create(segment.clone())
        .unwrap()
}

fn open(segment: &Segment, choice: CrashPolicy) -> Result<Map<u64, Whole>, OpenError> {
    Map::builder()
        .after_machine_crash(choice)
        .open(segment.clone())
}

fn open_read_only(segment: &Segment) -> Result<ReadOnlyMap<u64, Whole>, OpenError> {
    Map::builder().open_read_only(segment.clone())
}

fn is_refused<T>(result: &Result<T, OpenError>) -> bool {
    matches!(result, Err(OpenError::MachineCrash { .. }))
}

fn entries(map: &ReadOnlyMap<u64, Whole>) -> BTreeMap<u64, Whole> {
    map.iter().map(Result::unwrap).collect()
}

/// Everything must work on what is left.
fn assert_works(map: &Map<u64, Whole>) {
    let check = map.check();
    assert!(check.is_sound() && check.warnings == 0, "{check}");
    assert!(map.recover().unwrap().is_clean());
    for key in 5000..5020 {
        match map.insert(key, whole(key, 1)) {
            Ok(_) | Err(WriteError::Full { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let all = entries(map);
    for (key, value) in &all {
        assert_eq!(map.get(key).unwrap(), Some(*value));
        assert_eq!(map.remove(key).unwrap(), Some(*value));
        assert_eq!(map.get(key).unwrap(), None, "it came back");
    }
    assert!(map.is_empty());
    assert_eq!(map.participants().len(), 1);
}

#[test]
fn cleanly_closed_segment_is_trusted_after_a_crash_of_the_machine() {
    let disk = Disk::new();
    let map = create(&disk, 200);
    for key in 0..200 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let before = entries(&map);
    drop(map);
    let segment = disk.after_a_crash("next", disk.bytes());
    assert_eq!(entries(&open_read_only(&segment).unwrap()), before);
    let map = open(&segment, CrashPolicy::Refuse).unwrap();
    assert!(map.salvage().is_none(), "nothing had to be looked over");
    assert_eq!(entries(&map), before);
    // It is of this boot now, whatever is written.
    map.insert(0, whole(0, 2)).unwrap();
    let another = open(&segment, CrashPolicy::Refuse).unwrap();
    assert_eq!(another.get(&0).unwrap(), Some(whole(0, 2)));
    open_read_only(&segment).unwrap();
    drop(another);
    assert_works(&map);
}

#[test]
fn synced_segment_is_trusted_until_somebody_writes() {
    let disk = Disk::new();
    let map = create(&disk, 100);
    for key in 0..100 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let before = entries(&map);
    assert!(is_refused(&open(
        &disk.after_a_crash("never", disk.bytes()),
        CrashPolicy::Refuse
    )));
    assert_eq!(map.sync().unwrap(), SyncOutcome::Clean);
    // The writer still has it open, and a slot.
    let segment = disk.after_a_crash("synced", disk.bytes());
    let next = open(&segment, CrashPolicy::Refuse).unwrap();
    assert_eq!(entries(&next), before);
    assert_works(&next);

    map.insert(3, whole(3, 2)).unwrap();
    let segment = disk.after_a_crash("written", disk.bytes());
    let refused = open(&segment, CrashPolicy::Refuse);
    match refused {
        Err(OpenError::MachineCrash {
            synced_at,
            read_only,
            ..
        }) => {
            assert!(synced_at.is_some() && !read_only);
        }
        other => panic!("{other:?}"),
    }
    let message = open(&segment, CrashPolicy::Refuse).unwrap_err().to_string();
    assert!(message.contains("after_machine_crash"), "{message}");
    assert!(message.contains("written to since"), "{message}");
    assert!(matches!(
        open_read_only(&segment),
        Err(OpenError::MachineCrash {
            read_only: true,
            ..
        })
    ));
    // Refusing changes nothing, so the choice remains.
    let kept = open(&segment, CrashPolicy::Salvage).unwrap();
    let salvage = kept.salvage().unwrap();
    assert_eq!((salvage.kept, salvage.dropped), (100, 0), "{salvage}");
    assert_eq!(kept.get(&3).unwrap(), Some(whole(3, 2)));
    open_read_only(&segment).unwrap();
    assert_works(&kept);
}

#[test]
fn discarded_segment_is_as_new() {
    let disk = Disk::new();
    let map = create(&disk, 100);
    for key in 0..100 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let segment = disk.after_a_crash("next", disk.bytes());
    let map = open(&segment, CrashPolicy::Discard).unwrap();
    assert_eq!(map.salvage().unwrap().dropped, 100);
    assert!(map.is_empty());
    for key in 0..100 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    // Admitted once: nobody discards it again.
    let again = open(&segment, CrashPolicy::Discard).unwrap();
    assert!(again.salvage().is_none());
    assert_eq!(again.len(), 100);
    drop(again);
    assert_works(&map);
}

#[test]
fn last_writer_to_leave_seals_and_others_do_not() {
    let disk = Disk::new();
    let first = create(&disk, 100);
    let second = open(&disk.segment("live"), CrashPolicy::Refuse).unwrap();
    first.insert(1, whole(1, 1)).unwrap();
    second.insert(2, whole(2, 1)).unwrap();
    drop(first);
    let crashed = |name: &str| open(&disk.after_a_crash(name, disk.bytes()), CrashPolicy::Refuse);
    assert!(is_refused(&crashed("one-left")));
    drop(second);
    assert_eq!(crashed("none-left").unwrap().len(), 2);
    // Who has not written has nothing to seal, and who reads disturbs nobody.
    let idle = open(&disk.segment("live"), CrashPolicy::Refuse).unwrap();
    let reader = open_read_only(&disk.segment("live")).unwrap();
    let sealed = disk.bytes();
    drop(idle);
    assert!(sealed == disk.bytes());
    let writer = open(&disk.segment("live"), CrashPolicy::Refuse).unwrap();
    writer.insert(3, whole(3, 1)).unwrap();
    drop(writer);
    assert_eq!(crashed("beside-a-reader").unwrap().len(), 3);
    drop(reader);
    let unsealed: Map<u64, Whole> = Map::builder()
        .sync_on_close(false)
        .open(disk.segment("live"))
        .unwrap();
    unsealed.insert(4, whole(4, 1)).unwrap();
    drop(unsealed);
    assert!(is_refused(&crashed("not-asked-for")));
}

#[test]
fn segments_without_a_disk_have_nothing_to_sync() {
    let name = format!("shm:shmkv-test-sync-{}", std::process::id());
    let map: Map<u64, u64> = Map::builder().capacity(10).create(name.as_str()).unwrap();
    map.insert(1, 1).unwrap();
    assert_eq!(map.sync().unwrap(), SyncOutcome::InMemory);
    map.segment().remove().unwrap();
}

#[test]
fn sync_while_others_write_says_so_and_seals_nothing_false() {
    let disk = Disk::new();
    let map = create(&disk, 200);
    for key in 0..200 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut version = 2;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for key in 0..200 {
                    map.insert(key, whole(key, version)).unwrap();
                }
                version += 1;
            }
        });
        for number in 0..30 {
            map.sync().unwrap();
            // Copied while it is written: pages of different times. If it is trusted by any
            // chance, then it must be whole.
            let segment = disk.after_a_crash(&number.to_string(), disk.bytes());
            if let Ok(next) = open(&segment, CrashPolicy::Refuse) {
                let found = entries(&next);
                assert_eq!(found.len(), 200);
                assert!(found.iter().all(|(key, value)| is_whole(*key, *value)));
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(map.sync().unwrap(), SyncOutcome::Clean);
}

#[test]
fn locks_and_slots_of_the_former_boot_hold_nobody_up() {
    let disk = Disk::new();
    let map = create(&disk, 100);
    for key in 0..100 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    map.sync().unwrap();
    let mut bytes = disk.bytes();
    std::fs::write(disk.path("parts"), &bytes).unwrap();
    let parts = Parts::of(&File::open(disk.path("parts")).unwrap());
    let mut put = |at: u64, word: u64| {
        bytes[at as usize..at as usize + 8].copy_from_slice(&word.to_ne_bytes());
    };
    for bucket in 0..parts.bucket_count {
        // Slot 0 under a generation that the next holder of the slot will have, and others.
        put(
            parts.bucket(bucket) + 8,
            (2 + bucket % 3) << 17 | 2 | (bucket % 2),
        );
    }
    for word in 8..32 {
        put(parts.participants + word * 8, !word);
    }
    for choice in [CrashPolicy::Refuse, CrashPolicy::Salvage] {
        let segment = disk.after_a_crash("next", bytes.clone());
        let map = open(&segment, choice).unwrap();
        assert_eq!(map.len(), 100);
        for key in 0..100 {
            map.insert(key, whole(key, 2)).unwrap();
        }
        assert_works(&map);
        map.segment().remove().unwrap();
    }
}

#[test]
fn one_of_many_openers_looks_the_segment_over_and_the_others_wait() {
    let disk = Disk::new();
    let map = create(&disk, 3000);
    for key in 0..3000 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let segment = disk.after_a_crash("next", disk.bytes());
    let salvaged: usize = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..8)
            .map(|number| {
                let segment = &segment;
                scope.spawn(move || {
                    let map = open(segment, CrashPolicy::Salvage).unwrap();
                    // Nobody removes what was written after the admission.
                    map.insert(9000 + number, whole(9000 + number, 1)).unwrap();
                    assert_eq!(
                        map.get(&(9000 + number)).unwrap(),
                        Some(whole(9000 + number, 1))
                    );
                    usize::from(map.salvage().is_some())
                })
            })
            .collect();
        openers
            .into_iter()
            .map(|opener| opener.join().unwrap())
            .sum()
    });
    assert_eq!(salvaged, 1);
    let map = open(&segment, CrashPolicy::Refuse).unwrap();
    assert_eq!(map.len(), 3008);
}

#[test]
fn opener_that_died_while_it_looked_the_segment_over_leaves_that_to_the_next() {
    let disk = Disk::new();
    let map = create(&disk, 100);
    for key in 0..100 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let bytes = disk.bytes();
    let segment = disk.after_a_crash("next", bytes.clone());
    drop(open(&segment, CrashPolicy::Discard).unwrap());
    let done = std::fs::read(disk.path("next")).unwrap();
    let parts = Parts::of(&File::open(disk.path("next")).unwrap());
    // What it would have left, had it died after any of its pages: the shared part, with the
    // record of the admission, comes last of all.
    let start = parts.participants as usize / PAGE;
    let end = bytes.len().div_ceil(PAGE);
    for pages in start..=end {
        let mut half = done[..(pages * PAGE).min(done.len())].to_vec();
        half.extend_from_slice(&bytes[half.len()..]);
        let before = ..parts.participants as usize;
        half[before].copy_from_slice(&bytes[before]);
        let segment = disk.after_a_crash("half", half);
        let map = open(&segment, CrashPolicy::Salvage).unwrap();
        assert!(map.salvage().is_some());
        assert_works(&map);
        map.segment().remove().unwrap();
    }
}

/// Invalid bytes of each kind that the check knows, and a `bool` that is none.
#[test]
fn each_kind_of_damage_is_dropped_and_reported() {
    use shmkv::restart::DropReason;
    let disk = Disk::new();
    let map: Map<[u8; 5], bool> = Map::builder()
        .capacity(20)
        .create(disk.segment("live"))
        .unwrap();
    let key = |number: u64| -> [u8; 5] { number.to_le_bytes()[..5].try_into().unwrap() };
    for number in 0..20 {
        map.insert(key(number), true).unwrap();
    }
    let bytes = disk.bytes();
    let parts = Parts::of(&File::open(disk.path("live")).unwrap());
    let word =
        |at: u64| u64::from_ne_bytes(bytes[at as usize..at as usize + 8].try_into().unwrap());
    let (bucket, slots) = (0..parts.bucket_count)
        .map(|bucket| (parts.bucket(bucket), word(parts.bucket(bucket))))
        .map(|(at, state)| {
            (
                at,
                (0..16)
                    .filter(|slot| state >> slot & 1 == 1)
                    .collect::<Vec<u64>>(),
            )
        })
        .max_by_key(|(_, slots)| slots.len())
        .unwrap();
    // Tags differ from slot to slot, but not between these two.
    let twin = (1..slots.len())
        .find(|&other| slots[other] % 4 == slots[0] % 4)
        .unwrap();
    let slot = |number: usize| bucket + 64 + slots[number] * 16;
    let damage: [(DropReason, u64, u64); 5] = [
        (DropReason::BadPadding, slot(0), word(slot(0)) | 1 << 60),
        (DropReason::Misplaced, slot(1), 0x77_7777),
        (
            DropReason::WrongTag,
            bucket + 16,
            word(bucket + 16) ^ 0xFF << (slots[0] % 8 * 8),
        ),
        (DropReason::Twice, slot(0), word(slot(twin))),
        (DropReason::InvalidValue, slot(2) + 8, 7),
    ];
    for (reason, at, value) in damage {
        let mut bytes = bytes.clone();
        bytes[at as usize..at as usize + 8].copy_from_slice(&value.to_ne_bytes());
        if reason == DropReason::Twice {
            // With the tag that belongs to it.
            let tag = |slot: u64| bytes[(bucket + 16 + slot) as usize];
            let tag = tag(slots[twin]);
            bytes[(bucket + 16 + slots[0]) as usize] = tag;
        }
        let segment = disk.after_a_crash("next", bytes);
        let map: Map<[u8; 5], bool> = Map::builder()
            .after_machine_crash(CrashPolicy::Salvage)
            .open(segment)
            .unwrap();
        let salvage = map.salvage().unwrap().clone();
        assert_eq!(
            (salvage.kept, salvage.dropped),
            (19, 1),
            "{reason:?}: {salvage}"
        );
        let found = salvage.entries[0].reason;
        // A key that is changed at random is nearly always misplaced, but in a table of two
        // or three buckets it may be told by its tag alone.
        let is_it = found == reason
            || reason == DropReason::Misplaced && found == DropReason::WrongTag
            || reason == DropReason::WrongTag && slots[0] >= 8;
        assert!(is_it, "{reason:?}: {salvage}");
        assert!(map.check().is_sound(), "{}", map.check());
        map.segment().remove().unwrap();
    }
}

/// What a map went through: keys are written again and again, so that slots are used again.
#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Remove(u64),
    Snapshot,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..90_u64).prop_map(Step::Insert),
        3 => (0..90_u64).prop_map(Step::Remove),
        1 => Just(Step::Snapshot),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if crate::support::long() { 4000 } else { 250 }))]

    /// Pages of different times: never trusted, unless it is what was synced; and what is kept
    /// is a table in which everything works, and in which each key has a value of its own.
    #[test]
    fn torn_pages_are_never_trusted_and_what_is_kept_is_sound(
        filled in 0..80_u64,
        steps in steps(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 64),
    ) {
        let disk = Disk::new();
        let map = create(&disk, 60);
        for key in 0..filled {
            let _ = map.insert(key, whole(key, 0));
        }
        prop_assert_eq!(map.sync().unwrap(), SyncOutcome::Clean);
        let synced = entries(&map);
        let mut snapshots = vec![disk.bytes()];
        let mut touched = false;
        for (version, step) in steps.iter().enumerate() {
            match step {
                Step::Insert(key) => {
                    if map.insert(*key, whole(*key, 1 + version as u64)).is_ok() {
                        touched = true;
                    }
                }
                Step::Remove(key) => touched |= map.remove(key).unwrap().is_some(),
                Step::Snapshot => snapshots.push(disk.bytes()),
            }
        }
        snapshots.push(disk.bytes());
        let mut torn = Vec::new();
        for page in 0..snapshots[0].len().div_ceil(PAGE) {
            let choice = &snapshots[choices[page % choices.len()].index(snapshots.len())];
            torn.extend_from_slice(&choice[page * PAGE..(page * PAGE + PAGE).min(choice.len())]);
        }
        let segment = disk.after_a_crash("torn", torn);
        match open(&segment, CrashPolicy::Refuse) {
            Ok(trusted) => prop_assert_eq!(entries(&trusted), synced, "{}", touched),
            Err(OpenError::MachineCrash { .. }) => {
                let kept = open(&segment, CrashPolicy::Salvage).unwrap();
                let salvage = kept.salvage().unwrap().clone();
                let found = entries(&kept);
                prop_assert_eq!(salvage.kept as usize, found.len(), "{}", salvage);
                prop_assert_eq!(salvage.dropped as usize, salvage.entries.len());
                assert_works(&kept);
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Any bytes at all behind the header: opening ends, and what is kept works.
    #[test]
    fn invalid_bytes_behind_the_header_are_dropped(
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..300),
    ) {
        let disk = Disk::new();
        let map = create(&disk, 60);
        for key in 0..60 {
            map.insert(key, whole(key, 0)).unwrap();
        }
        let mut bytes = disk.bytes();
        let header_len = u64::from_ne_bytes(bytes[24..32].try_into().unwrap()) as usize;
        let words = (bytes.len() - header_len) / 8;
        for (at, word) in noise {
            let at = header_len + at.index(words) * 8;
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        }
        let segment = disk.after_a_crash("noise", bytes);
        let kept = open(&segment, CrashPolicy::Salvage).unwrap();
        assert_works(&kept);
    }
}

/// A copy of a live file that was made while nobody wrote is as good as a sync.
#[test]
fn file_that_was_closed_and_copied_to_another_machine_is_trusted() {
    let disk = Disk::new();
    let map = create(&disk, 50);
    for key in 0..50 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    drop(map);
    let file = File::open(disk.path("live")).unwrap();
    let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let segment = disk.after_a_crash("copy", bytes);
    assert_eq!(open_read_only(&segment).unwrap().len(), 50);
}

fn adopt(segment: &Segment, choice: CrashPolicy) -> Result<Map<u64, Whole>, OpenError> {
    Map::builder()
        .adopt_copy(true)
        .after_machine_crash(choice)
        .open(segment.clone())
}

fn is_told_as_a_copy<T>(result: &Result<T, OpenError>, whole: bool) -> bool {
    matches!(result, Err(OpenError::Copy { is_whole, .. }) if *is_whole == whole)
}

#[test]
fn whole_copy_is_told_and_becomes_a_segment_of_its_own_when_adopted() {
    let disk = Disk::new();
    let map = create(&disk, 200);
    for key in 0..200 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    let before = entries(&map);
    drop(map);
    std::fs::copy(disk.path("live"), disk.path("copy")).unwrap();
    let copy = disk.segment("copy");
    assert!(is_told_as_a_copy(&open(&copy, CrashPolicy::Discard), true));
    assert!(is_told_as_a_copy(&open_read_only(&copy), true));
    let reader = Map::builder().adopt_copy(true).open_read_only(copy.clone());
    let reader: ReadOnlyMap<u64, Whole> = reader.unwrap();
    assert_eq!(entries(&reader), before);
    let adopted = adopt(&copy, CrashPolicy::Refuse).unwrap();
    assert!(adopted.salvage().is_none(), "it was whole");
    assert_eq!(entries(&adopted), before);
    adopted.insert(0, whole(0, 2)).unwrap();
    // From here on it is nobody's copy, whether it is open or not.
    drop(open(&copy, CrashPolicy::Refuse).unwrap());
    drop(adopted);
    let again = open(&copy, CrashPolicy::Refuse).unwrap();
    assert_eq!(again.get(&0).unwrap(), Some(whole(0, 2)));
    assert_works(&again);
    let original = open(&disk.segment("live"), CrashPolicy::Refuse).unwrap();
    assert_eq!(entries(&original), before);
}

/// Its locks and participants are strangers: nobody waits for them, and nobody is silent.
#[test]
fn copy_of_a_segment_in_use_is_told_and_checked_when_adopted() {
    let disk = Disk::new();
    let map = create(&disk, 200);
    for key in 0..200 {
        map.insert(key, whole(key, 1)).unwrap();
    }
    for name in ["copy", "renamed over"] {
        std::fs::copy(disk.path("live"), disk.path(name)).unwrap();
        let copy = disk.segment(name);
        let bytes = std::fs::read(disk.path(name)).unwrap();
        for choice in [CrashPolicy::Refuse, CrashPolicy::Salvage] {
            assert!(is_told_as_a_copy(&open(&copy, choice), false));
        }
        assert!(is_told_as_a_copy(&open_read_only(&copy), false));
        assert!(is_told_as_a_copy(&adopt(&copy, CrashPolicy::Refuse), false));
        let unchanged = std::fs::read(disk.path(name)).unwrap();
        assert!(bytes == unchanged, "what failed has changed something");
        let adopted = adopt(&copy, CrashPolicy::Salvage).unwrap();
        assert_eq!(adopted.salvage().unwrap().kept, 200);
        assert_works(&adopted);
    }
    // A hard link is the same file.
    std::fs::hard_link(disk.path("live"), disk.path("link")).unwrap();
    drop(map);
    drop(open(&disk.segment("link"), CrashPolicy::Refuse).unwrap());
}

/// The same in memory, where nothing is ever sealed.
#[test]
fn copy_in_memory_is_told() {
    let name = format!("shmkv-copy-{}", std::process::id());
    let segment = Segment::shm(&name).unwrap();
    let copy = Segment::shm(&format!("{name}-2")).unwrap();
    let map = create_at(&segment, 100);
    map.insert(1, whole(1, 1)).unwrap();
    std::fs::copy(format!("/dev/shm/{name}"), format!("/dev/shm/{name}-2")).unwrap();
    let told = is_told_as_a_copy(&open(&copy, CrashPolicy::Salvage), false);
    let kept = adopt(&copy, CrashPolicy::Salvage).map(|map| map.len());
    segment.remove().unwrap();
    copy.remove().unwrap();
    assert!(told);
    assert_eq!(kept.unwrap(), 1);
}

/// Boot A, then B, then A again, as containers with a boot id of their own have it: who comes
/// back is told of the one in between.
#[test]
fn admission_for_another_boot_in_between_is_noticed() {
    let disk = Disk::new();
    let map = create(&disk, 100);
    map.insert(1, whole(1, 1)).unwrap();
    drop(map);
    // B admits it, writes, and is killed: neither synced nor closed.
    let mut bytes = disk.bytes();
    let header_len = u64::from_ne_bytes(bytes[24..32].try_into().unwrap()) as usize;
    let other = [0x1111_u64, 0x2222];
    let digest = rapidhash::v3::rapidhash_v3(zerocopy_bytes(&other)).max(1);
    for (index, word) in [digest, other[0], other[1]].into_iter().enumerate() {
        let at = header_len + (16 + index) * 8;
        bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
    }
    let whole_again = disk.in_its_own_file("closed", bytes.clone());
    // An entry's first word changes, as any later write would change it.
    let parts = Parts::of(&File::open(disk.path("live")).unwrap());
    let at = parts.bucket(0) as usize;
    bytes[at] ^= 1;
    let torn = disk.in_its_own_file("torn", bytes);
    assert!(is_refused(&open(&torn, CrashPolicy::Refuse)));
    assert!(is_refused(&open_read_only(&torn)));
    // Twice: the refusal has changed nothing.
    assert!(is_refused(&open(&torn, CrashPolicy::Refuse)));
    let map = open(&whole_again, CrashPolicy::Refuse).unwrap();
    assert_eq!(map.get(&1).unwrap(), Some(whole(1, 1)));
}

fn zerocopy_bytes(words: &[u64; 2]) -> &[u8] {
    zerocopy::IntoBytes::as_bytes(words)
}

/// A handle that may write shows that the machine has not crashed, also before its first write.
#[test]
fn open_handle_disproves_a_crash_of_the_machine() {
    let disk = Disk::new();
    let map = create(&disk, 100);
    map.insert(1, whole(1, 1)).unwrap();
    let segment = disk.after_a_crash("next", disk.bytes());
    let first = open(&segment, CrashPolicy::Salvage).unwrap();
    assert!(first.salvage().is_some());
    // As if it were another boot, while `first` is open and has not written.
    let mut bytes = std::fs::read(disk.path("next")).unwrap();
    let header_len = u64::from_ne_bytes(bytes[24..32].try_into().unwrap()) as usize;
    bytes[header_len + 16 * 8..header_len + 19 * 8].fill(0x7E);
    let file = File::options().write(true).open(disk.path("next"));
    file.unwrap().write_all_at(&bytes, 0).unwrap();
    let second = open(&segment, CrashPolicy::Discard).unwrap();
    assert!(second.salvage().is_none(), "nothing was discarded");
    assert_eq!(second.len(), 1);
    second.insert(2, whole(2, 1)).unwrap();
    drop(first);
    drop(second);
}
