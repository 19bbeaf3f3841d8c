//! Creators that die.
//!
//! A creator changes what others can see by system calls alone (the file has no name before it is
//! complete), with the exception of System V, where all see the segment from the first moment. So
//! creators are killed at every system call, and after every instruction from the one on that
//! makes the segment visible (`linkat`, `shmget`; a memfd is seen by nobody, its creation is
//! stepped through for what it leaves) to the end. In the short form, every so many, and of System
//! V only.
//!
//! All of it happens in a `/dev/shm` and a System V namespace of its own, if that is permitted:
//! what lies there afterwards is left over, the lock files of System V segments included.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use shmkv::{Map, Segment};

use super::judge::Tally;
use super::record::{Pathfinder, Spot, at_system_call, go_to};
use super::stage::WRITE_LIMIT;
use super::trace::{Child, Stop};
use super::{SLOW, Sums, is_long};

const SHM: &str = "/dev/shm";

pub(crate) fn all(filter: &str, sums: &mut Sums) {
    let is_private = private_namespaces();
    if !is_private {
        println!("no namespaces here: lock files of System V segments are not looked for");
    }
    let pid = std::process::id();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("created");
    let key = 0x5000_0000 | (pid & 0xFF_FFFF) as i32;
    let kinds = [
        (
            "creation, shm",
            Segment::shm(&format!("shmkv-crash-new-{pid}")).unwrap(),
            libc::SYS_linkat,
        ),
        (
            "creation, file",
            Segment::file(path).unwrap(),
            libc::SYS_linkat,
        ),
        (
            "creation, System V",
            Segment::sysv_key(key).unwrap(),
            libc::SYS_shmget,
        ),
        (
            "creation, memfd",
            Segment::memfd("created").unwrap(),
            libc::SYS_memfd_create,
        ),
    ];
    for (name, segment, visible) in kinds {
        if name.contains(filter) {
            let site = Site {
                name,
                segment,
                places: [PathBuf::from(SHM), directory.path().to_owned()],
                is_private,
            };
            sums.add(name, &site.run(visible));
        }
    }
}

/// Leaves what other processes see of `/dev/shm` and System V; says whether that was permitted.
fn private_namespaces() -> bool {
    let shm = c"/dev/shm";
    // SAFETY: plain system calls of a process with one thread; the strings live.
    #[expect(unsafe_code, reason = "namespaces")]
    unsafe {
        libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC) == 0
            && libc::mount(
                std::ptr::null(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null(),
            ) == 0
            && libc::mount(
                c"tmpfs".as_ptr(),
                shm.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                std::ptr::null(),
            ) == 0
    }
}

fn create(segment: &Segment) -> Map<u64, [u64; 4]> {
    Map::builder()
        .capacity(24)
        .max_writers(4)
        .create(segment.clone())
        .unwrap()
}

/// Where segments are created.
struct Site {
    name: &'static str,
    segment: Segment,
    places: [PathBuf; 2],
    is_private: bool,
}

impl Site {
    fn creator(&self) -> Child {
        let prepare = || self.segment.clone();
        Child::fork(prepare, |segment| std::mem::forget(create(&segment))).unwrap()
    }

    fn run(&self, visible: libc::c_long) -> Tally {
        let before = self.files();
        let mut tally = Tally::default();
        let is_stepped = is_long() || matches!(self.segment, Segment::SysV(_));
        let trail = match is_stepped {
            true => self.trail(visible),
            false => Vec::new(),
        };
        tally.instructions = trail.len();
        tally.at_work = trail.len();
        self.judge(&before, &mut tally, "at the end");

        // Beginnings and ends of system calls.
        for stops in 1.. {
            let mut last = Stop::Trap;
            self.judge_with_retries(&before, &mut tally, &format!("at stop {stops}"), || {
                let mut child = self.creator();
                last = (0..stops).map(|_| child.run_to_syscall()).last().unwrap();
                child
            });
            if last != Stop::Trap {
                break;
            }
        }
        // From where others can see it.
        let stride = match is_long() {
            true => 1,
            false => trail.len().div_ceil(100).max(1),
        };
        for spot in trail.iter().step_by(stride) {
            let place = format!("at {spot:?}");
            self.judge_with_retries(&before, &mut tally, &place, || {
                let mut child = self.creator();
                go_to(&mut child, *spot);
                child
            });
        }
        tally
    }

    /// The way to each instruction behind the system call that makes the segment visible.
    fn trail(&self, visible: libc::c_long) -> Vec<Spot> {
        let mut child = self.creator();
        let mut way = Pathfinder::default();
        let mut trail = Vec::new();
        loop {
            let is_step = !trail.is_empty() && !at_system_call(&child);
            let (stop, stops) = match is_step {
                true => (child.step(), 0),
                false => match child.run_to_syscall() {
                    // Behind the call: the second stop at it.
                    Stop::Trap if !trail.is_empty() || is_in(&child, visible) => {
                        (child.run_to_syscall(), 2)
                    }
                    stop => (stop, 1),
                },
            };
            if stop != Stop::Trap {
                break;
            }
            match stops {
                0 => trail.push(way.stepped(&child)),
                1 => drop(way.stopped(&child, 1)),
                _ => trail.push(way.stopped(&child, 2)),
            }
        }
        child.kill();
        trail
    }

    fn judge_with_retries(
        &self,
        before: &BTreeSet<PathBuf>,
        tally: &mut Tally,
        place: &str,
        mut die: impl FnMut() -> Child,
    ) {
        for attempt in 1.. {
            die().kill();
            tally.real_kills += 1;
            if self.judge(before, tally, place) {
                return;
            }
            assert!(attempt < SLOW, "{}, {place}: slow each time", self.name);
            tally.again += 1;
        }
    }

    /// After a creator's death: the next one has a segment and writes at once, and nothing is left
    /// over. `false` if that took its time.
    fn judge(&self, before: &BTreeSet<PathBuf>, tally: &mut Tally, place: &str) -> bool {
        let name = self.name;
        let started = Instant::now();
        let map: Map<u64, [u64; 4]> = Map::builder()
            .capacity(24)
            .max_writers(4)
            .open_or_create(self.segment.clone())
            .unwrap_or_else(|error| panic!("{name}, {place}: {error}"));
        map.insert(1, [2; 4]).unwrap();
        let elapsed = started.elapsed();
        if elapsed <= WRITE_LIMIT {
            tally.slowest_write = tally.slowest_write.max(elapsed);
        }
        assert_eq!(map.get(&1).unwrap(), Some([2; 4]));
        let check = map.check();
        assert!(
            check.is_sound() && check.warnings == 0 && check.entries == 1,
            "{name}, {place}: {check}"
        );
        assert_eq!(map.participants().len(), 1, "{name}, {place}");
        drop(map);
        if !matches!(self.segment, Segment::Memfd(_)) {
            self.segment.remove().unwrap();
        }
        let after = self.files();
        let left: Vec<_> = after.difference(before).collect();
        assert!(left.is_empty(), "{name}, {place}: left over: {left:?}");
        assert!(!self.segment.exists().unwrap());
        tally.states += 1;
        elapsed <= WRITE_LIMIT
    }

    /// Files that could be remains of a segment. Where others work as well, only those that can be
    /// told to be ours.
    fn files(&self) -> BTreeSet<PathBuf> {
        let pid = std::process::id().to_string();
        let is_ours = |path: &Path| {
            self.is_private || !path.starts_with(SHM) || path.to_string_lossy().contains(&pid)
        };
        self.places
            .iter()
            .flat_map(|place| std::fs::read_dir(place).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| is_ours(path))
            .collect()
    }
}

#[cfg(target_arch = "x86_64")]
fn is_in(child: &Child, number: libc::c_long) -> bool {
    child.is_in_system_call(number)
}

/// From the first one on, then.
#[cfg(not(target_arch = "x86_64"))]
fn is_in(_: &Child, _: libc::c_long) -> bool {
    true
}
