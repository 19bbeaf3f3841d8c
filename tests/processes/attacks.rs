//! What others may do to a segment's name and to its memory, and what comes of it: the rows of
//! the table in the documentation that `src/segment/tests` does not show already.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use rustix::fs::{FallocateFlags, MemfdFlags};
use shmkv::format::FormatError;
use shmkv::process::RegisterError;
use shmkv::segment::SegmentError;
use shmkv::{Map, OpenError, Segment, Value, WriteError};

const ENTRIES: u64 = 500;

fn filled(segment: &Segment) -> Map<u64, [u64; 3]> {
    let map = Map::builder()
        .capacity(ENTRIES as usize)
        .create(segment.clone())
        .unwrap();
    for key in 0..ENTRIES {
        map.insert(key, [key; 3]).unwrap();
    }
    map
}

fn file_at(scratch: &Scratch) -> File {
    File::options()
        .read(true)
        .write(true)
        .open(scratch.path())
        .unwrap()
}

fn open(segment: &Segment) -> Result<Map<u64, [u64; 3]>, OpenError> {
    Map::builder().open(segment.clone())
}

/// A copy of a segment, which is told as one unless it is asked for.
fn adopt(segment: &Segment) -> Result<Map<u64, [u64; 3]>, OpenError> {
    let told = open(segment).err();
    assert!(matches!(told, Some(OpenError::Copy { .. })), "{told:?}");
    Map::builder()
        .adopt_copy(true)
        .after_machine_crash(shmkv::restart::CrashPolicy::Salvage)
        .open(segment.clone())
}

/// The errors of all ways to open.
fn refusals(segment: &Segment) -> Vec<OpenError> {
    let builder = || Map::<u64, [u64; 3]>::builder().capacity(ENTRIES as usize);
    vec![
        builder().open(segment.clone()).unwrap_err(),
        builder().open_read_only(segment.clone()).unwrap_err(),
        builder().open_or_create(segment.clone()).unwrap_err(),
    ]
}

#[test]
fn a_segment_that_another_user_planted_is_refused_however_open_its_mode() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs to be root");
        return;
    }
    for scratch in [Scratch::shm(), Scratch::file()] {
        drop(filled(scratch.segment()));
        std::fs::set_permissions(scratch.path(), PermissionsExt::from_mode(0o666)).unwrap();
        chown(scratch.path(), Some(1), Some(1)).unwrap();
        for error in refusals(scratch.segment()) {
            assert!(
                matches!(
                    error,
                    OpenError::Segment(SegmentError::ForeignOwner { found: 1, .. })
                ),
                "{error}"
            );
        }
        // Who knows whose it is says so.
        let map: Map<u64, [u64; 3]> = Map::builder()
            .expect_owner(1)
            .open(scratch.segment().clone())
            .unwrap();
        assert_eq!(map.get(&3), Ok(Some([3; 3])));
    }
}

#[test]
fn a_copy_with_holes_has_its_space_again_once_it_is_opened_for_writing() {
    for scratch in [Scratch::shm(), Scratch::file()] {
        let map = filled(scratch.segment());
        let len = map.stats().bytes;
        let file = file_at(&scratch);
        // An area that is empty anyway: the ring of moves, and what is between the parts.
        let parts = Parts::of(&file);
        punch(&file, parts.moves, parts.buckets - parts.moves);
        let blocks = file.metadata().unwrap().blocks();
        assert!(blocks * 512 < len, "there are holes");
        let again = open(scratch.segment()).unwrap();
        assert!(file.metadata().unwrap().blocks() * 512 >= len);
        assert_eq!(again.len() as u64, ENTRIES);
        assert_eq!(again.get(&3), Ok(Some([3; 3])));
    }
}

fn punch(file: &File, at: u64, len: u64) {
    // Whole pages only; the others would be zeroed and keep their space. The last page of a file
    // is one, though the file ends in it.
    let (start, end) = (at.next_multiple_of(4096), at + len);
    let is_last = end == file.metadata().unwrap().len();
    let end = if is_last {
        end.next_multiple_of(4096)
    } else {
        end / 4096 * 4096
    };
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(file, flags, start, end - start).unwrap();
}

#[test]
fn holes_punched_while_in_use_cost_entries_and_nothing_else() {
    for scratch in [Some(Scratch::shm()), Some(Scratch::file()), None] {
        let memfd = Segment::memfd("holes").unwrap();
        let map = filled(scratch.as_ref().map_or(&memfd, Scratch::segment));
        let reader = Map::<u64, [u64; 3]>::builder()
            .open_read_only(map.segment().clone())
            .unwrap();
        let file = File::from(map.fd().unwrap().try_clone_to_owned().unwrap());
        let parts = Parts::of(&file);
        // Half of the buckets; sealing forbids other lengths, but not this.
        punch(&file, parts.buckets, (parts.end - parts.buckets) / 2);
        let left = reader.len() as u64;
        assert!(left < ENTRIES && left > ENTRIES / 4, "{left}");
        for key in 0..ENTRIES {
            let found = reader.get(&key).unwrap();
            assert!(found.is_none_or(|value| value == [key; 3]));
            match map.insert(key, [key; 3]) {
                // A key may be in its secondary bucket, which the hole has made its primary bucket
                // forget.
                Ok(_) | Err(WriteError::Full { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        // Everything behind the header, the registration of the writer as well.
        punch(&file, parts.participants, parts.end - parts.participants);
        assert_eq!(reader.len(), 0);
        assert_eq!(map.insert(1, [1; 3]), Ok(None));
        assert_eq!(reader.get(&1), Ok(Some([1; 3])));
    }
}

#[test]
fn shortening_a_file_kills_its_users_by_sigbus_and_later_openers_are_told() {
    const NAME: &str =
        "attacks::shortening_a_file_kills_its_users_by_sigbus_and_later_openers_are_told";
    if role().is_some() {
        let none = rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
        let map = open(&given_segment()).unwrap();
        assert_eq!(map.get(&3), Ok(Some([3; 3])));
        notify("open");
        assert_eq!(listen(), "go on");
        let _ = map.get(&3);
        notify("survived");
        return;
    }
    for scratch in [Scratch::shm(), Scratch::file()] {
        let map = filled(scratch.segment());
        let len = map.stats().bytes;
        drop(map);
        let mut command = child(NAME, "victim", scratch.segment());
        let mut victim = command.spawn().unwrap();
        let mut lines =
            std::io::BufRead::lines(std::io::BufReader::new(victim.stderr.take().unwrap()))
                .map_while(Result::ok)
                .filter(|line| line.starts_with("> "));
        assert_eq!(lines.next().as_deref(), Some("> open"));
        file_at(&scratch).set_len(4096).unwrap();
        std::io::Write::write_all(victim.stdin.as_mut().unwrap(), b"go on\n").unwrap();
        assert_eq!(lines.next(), None);
        assert_eq!(victim.wait().unwrap().signal(), Some(libc::SIGBUS));
        for error in refusals(scratch.segment()) {
            assert!(
                matches!(
                    error,
                    OpenError::Header(FormatError::Truncated { expected, found: 4096 })
                        if expected == len
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn a_memfd_that_a_peer_has_cannot_be_shortened_and_so_kills_nobody() {
    let map = filled(&Segment::memfd("sealed").unwrap());
    let peer = File::from(map.fd().unwrap().try_clone_to_owned().unwrap());
    assert!(map.segment().metadata().unwrap().sealed);
    for len in [0, 4096, 1 << 30] {
        let error = peer.set_len(len).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
    assert_eq!(map.get(&3), Ok(Some([3; 3])));
}

#[test]
fn a_memfd_without_seals_is_opened_and_its_metadata_says_so() {
    let made = filled(&Segment::memfd("original").unwrap());
    let len = made.stats().bytes;
    let mut bytes = vec![0; len as usize];
    let original = File::from(made.fd().unwrap().try_clone_to_owned().unwrap());
    original.read_exact_at(&mut bytes, 0).unwrap();
    let unsealed = File::from(rustix::fs::memfd_create("copy", MemfdFlags::CLOEXEC).unwrap());
    unsealed.write_all_at(&bytes, 0).unwrap();
    let segment = Segment::fd(unsealed.as_raw_fd()).unwrap();
    assert!(!segment.metadata().unwrap().sealed);
    let map = adopt(&segment).unwrap();
    assert_eq!(map.get(&3), Ok(Some([3; 3])));
    // Its peers can do what those of a file can.
    unsealed.set_len(len + 4096).unwrap();
    assert_eq!(map.get(&3), Ok(Some([3; 3])));
}

#[expect(unsafe_code, reason = "System V calls")]
mod sysv {
    use std::ptr;

    /// A segment with these bytes, made behind the library's back.
    pub(crate) fn plant(key: i32, len: usize, bytes: &[u8]) {
        assert!(bytes.len() <= len);
        // SAFETY: plain system calls; the attachment is `len` bytes long and no longer used after
        // it was detached.
        unsafe {
            let id = libc::shmget(key, len, libc::IPC_CREAT | libc::IPC_EXCL | 0o600);
            assert!(id >= 0, "{}", std::io::Error::last_os_error());
            let base = libc::shmat(id, ptr::null(), 0);
            assert_ne!(
                base.addr(),
                usize::MAX,
                "{}",
                std::io::Error::last_os_error()
            );
            ptr::copy_nonoverlapping(bytes.as_ptr(), base.cast(), bytes.len());
            libc::shmdt(base);
        }
    }
}

fn key_of(scratch: &Scratch) -> i32 {
    let name = scratch.segment().to_string();
    let digits = name.strip_prefix("sysv:0x").unwrap();
    u32::from_str_radix(digits, 16).unwrap().cast_signed()
}

#[test]
fn a_system_v_segment_smaller_than_its_header_says_is_truncated() {
    let made = filled(&Segment::memfd("original").unwrap());
    let len = made.stats().bytes as usize;
    let mut bytes = vec![0; len];
    let original = File::from(made.fd().unwrap().try_clone_to_owned().unwrap());
    original.read_exact_at(&mut bytes, 0).unwrap();
    for (planted, is_whole) in [(len, true), (len - 4096, false), (8192, false)] {
        let scratch = Scratch::sysv();
        sysv::plant(key_of(&scratch), planted, &bytes[..planted.min(len)]);
        if is_whole {
            let map = adopt(scratch.segment()).unwrap();
            assert_eq!(map.get(&3), Ok(Some([3; 3])));
            continue;
        }
        for error in refusals(scratch.segment()) {
            assert!(
                matches!(
                    error,
                    OpenError::Header(FormatError::Truncated { expected, found })
                        if expected == len as u64 && found == planted as u64
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn a_system_v_segment_with_less_room_than_was_asked_for_is_refused() {
    let scratch = Scratch::sysv();
    drop(filled(scratch.segment()));
    let error = Map::<u64, [u64; 3]>::builder()
        .capacity(ENTRIES as usize + 1)
        .open_or_create(scratch.segment().clone())
        .unwrap_err();
    assert!(
        matches!(
            error,
            OpenError::CapacityDiffers {
                asked: 501,
                found: 500
            }
        ),
        "{error}"
    );
}

#[test]
fn a_foreign_system_v_segment_under_our_key_is_left_alone() {
    let scratch = Scratch::sysv();
    sysv::plant(key_of(&scratch), 16384, &[0xAB; 16384]);
    let before = scratch.segment().metadata().unwrap();
    for error in refusals(scratch.segment()) {
        assert!(
            matches!(error, OpenError::Header(FormatError::BadMagic { .. })),
            "{error}"
        );
    }
    assert_eq!(
        scratch.segment().metadata().unwrap().identity,
        before.identity
    );
}

#[test]
fn a_table_of_forged_writers_keeps_new_ones_out_and_readers_none() {
    let scratch = Scratch::shm();
    drop(filled(scratch.segment()));
    let file = file_at(&scratch);
    let parts = Parts::of(&file);
    // Generation 9, process 1, held: without a seal, so nothing proves that it is dead.
    for slot in (parts.participants..parts.moves).step_by(64) {
        write_word(&file, slot, 9 << 25 | 1 << 3 | 2);
    }
    let map = open(scratch.segment()).unwrap();
    match map.insert(1, [2; 3]) {
        Err(WriteError::Register(error)) => {
            assert!(
                matches!(*error, RegisterError::NoFreeSlot { .. }),
                "{error}"
            );
            assert!(error.to_string().contains("max_writers"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(map.get(&1), Ok(Some([1; 3])));
    assert_eq!(map.iter().filter(Result::is_ok).count() as u64, ENTRIES);
    assert!(!map.recover().unwrap_err().to_string().is_empty());
}

/// A peer that writes into the segment all the time, without any protocol, as fast as it can: on
/// the real words, so that the vector copies are met as well.
fn scribbled_all_the_time<V: Value>(value_of: impl Fn(u64) -> V) {
    let scratch = Scratch::shm();
    let map: Map<u64, V> = Map::builder()
        .capacity(60)
        .max_writers(4)
        .lock_timeout(Duration::from_micros(500))
        .create(scratch.segment().clone())
        .unwrap();
    let reader = Map::<u64, V>::builder()
        .open_read_only(scratch.segment().clone())
        .unwrap();
    let file = file_at(&scratch);
    let parts = Parts::of(&file);
    let stop = AtomicBool::new(false);
    let most = parts.bucket_count as usize * 16 + (1 << 16);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random(7);
            while !stop.load(Ordering::Relaxed) {
                let words = (parts.end - parts.participants) / 8;
                let at = parts.participants + random.below(words) * 8;
                let word = match random.below(6) {
                    0 => 0,
                    1 => random.below(1 << 20) << 16 | 0xFFFF,
                    2 => read_word(&file, parts.participants + random.below(words) * 8),
                    _ => random.next(),
                };
                write_word(&file, at, word);
            }
        });
        let begun = Instant::now();
        let mut random = Random(8);
        let mut rounds = 0;
        while rounds < 3000 || begun.elapsed() < Duration::from_millis(300) {
            rounds += 1;
            let key = random.below(70);
            let _ = reader.get(&key);
            let _ = map.get(&key);
            let _ = map.insert(key, value_of(key));
            let _ = map.update(&random.below(70), |_| value_of(1));
            let _ = map.remove(&random.below(70));
            if rounds % 50 == 0 {
                assert!(reader.iter().count() <= most);
                assert!(reader.len() <= most);
                let _ = reader.check().to_string();
            }
            if rounds % 500 == 0 {
                let _ = map.recover();
                let _ = map.clear();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_peer_that_scribbles_all_the_time_neither_stops_nor_breaks_others() {
    scribbled_all_the_time(|key| key);
    scribbled_all_the_time(|key| [key; 40]);
    scribbled_all_the_time(|key| [key % 2 == 0; 70]);
}
