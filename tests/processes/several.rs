//! A map between real processes: this test binary runs itself again, in another role.

#![expect(unsafe_code, reason = "fork, signals and ptrace have no safe form")]

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::*;
use shmkv::error::IterError;
use shmkv::map::TryInsert;
use shmkv::process::Liveness;
use shmkv::segment::{keep_across_exec, recv_fd, send_fd};
use shmkv::{Map, ReadOnlyMap, Segment, Value, WriteError};

/// Long enough that no writer gives up because the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(30);

fn create<K: shmkv::Key, V: Value>(segment: &Segment, capacity: usize) -> Map<K, V> {
    Map::builder()
        .capacity(capacity)
        .lock_timeout(TIMEOUT)
        .create(segment.clone())
        .unwrap()
}

fn open<K: shmkv::Key, V: Value>(segment: Segment) -> Map<K, V> {
    Map::builder().lock_timeout(TIMEOUT).open(segment).unwrap()
}

fn open_read_only<K: shmkv::Key, V: Value>(segment: Segment) -> ReadOnlyMap<K, V> {
    Map::<K, V>::builder().open_read_only(segment).unwrap()
}

/// A new map in each of the four kinds of segment.
fn each_kind<K: shmkv::Key, V: Value>(capacity: usize, mut test: impl FnMut(&Map<K, V>)) {
    for scratch in Scratch::each() {
        test(&create(scratch.segment(), capacity));
    }
    let memfd = create(&Segment::memfd("processes").unwrap(), capacity);
    keep_across_exec(memfd.fd().unwrap()).unwrap();
    test(&memfd);
}

#[test]
fn eight_processes_that_count_lose_nothing() {
    const NAME: &str = "several::eight_processes_that_count_lose_nothing";
    const KEYS: u64 = 40;
    const STEPS: u64 = 30_000;
    if role().is_some() {
        let map: Map<u64, u64> = open(given_segment());
        let mut random = Random::seeded();
        ready();
        for _ in 0..STEPS {
            // A key that is absent is inserted, by one of them.
            map.fetch_add(&random.below(KEYS), 1).unwrap();
        }
        return;
    }
    each_kind::<u64, u64>(KEYS as usize, |map| {
        together(8, |_| child(NAME, "count", map.segment()));
        let total: u64 = map.values().map(Result::unwrap).sum();
        assert_eq!(total, 8 * STEPS);
        assert_eq!(map.len() as u64, KEYS);
    });
}

#[test]
fn read_modify_writes_of_long_values_lose_nothing() {
    const NAME: &str = "several::read_modify_writes_of_long_values_lose_nothing";
    const STEPS: u64 = 3000;
    if role().is_some() {
        let map: Map<u64, [u64; 40]> = open(given_segment());
        ready();
        for step in 0..STEPS {
            let old = map.update(&(step % 3), |value| value.map(|word| word + 1));
            assert!(old.unwrap().is_some());
        }
        return;
    }
    let scratch = Scratch::shm();
    let map: Map<u64, [u64; 40]> = create(scratch.segment(), 10);
    for key in 0..3 {
        map.insert(key, [0; 40]).unwrap();
    }
    together(4, |_| child(NAME, "update", map.segment()));
    for key in 0..3 {
        assert_eq!(map.get(&key).unwrap(), Some([4 * STEPS / 3; 40]));
    }
}

/// A value in which every word follows from the key and one number.
fn whole<const N: usize>(key: u64, number: u64) -> [u64; N] {
    let mut random = Random(key.rotate_left(32) ^ number);
    let mut value = std::array::from_fn(|_| random.next());
    value[0] = number;
    value
}

#[track_caller]
fn assert_whole<const N: usize>(key: u64, value: &[u64; N]) {
    assert!(
        *value == whole::<N>(key, value[0]),
        "torn value of key {key}: {value:x?}"
    );
}

fn never_torn<const N: usize>(name: &str)
where
    [u64; N]: Value,
{
    const KEYS: u64 = 12;
    match role().as_deref() {
        Some("write") => {
            let map: Map<u64, [u64; N]> = open(given_segment());
            let mut random = Random::seeded();
            ready();
            let end = Instant::now() + Duration::from_millis(700);
            while Instant::now() < end {
                for _ in 0..50 {
                    let key = random.below(KEYS);
                    if random.below(8) == 0 {
                        map.remove(&key).unwrap();
                    } else if let Some(old) = map.insert(key, whole(key, random.next())).unwrap() {
                        assert_whole(key, &old);
                    }
                }
            }
        }
        Some(_) => {
            let map: ReadOnlyMap<u64, [u64; N]> = open_read_only(given_segment());
            ready();
            let end = Instant::now() + Duration::from_millis(700);
            let (mut found, mut walked) = (0u64, 0u64);
            while Instant::now() < end {
                for key in 0..KEYS {
                    if let Some(value) = map.get(&key).unwrap() {
                        assert_whole(key, &value);
                        found += 1;
                    }
                }
                for entry in &map {
                    let (key, value) = entry.unwrap();
                    assert_whole(key, &value);
                    walked += 1;
                }
            }
            assert!(
                found > 100 && walked > 100,
                "{found} found, {walked} walked"
            );
        }
        None => {
            let scratch = Scratch::shm();
            let map: Map<u64, [u64; N]> = create(scratch.segment(), KEYS as usize);
            together(4, |n| {
                let role = if n % 2 == 0 { "write" } else { "read" };
                child(&format!("several::{name}"), role, map.segment())
            });
        }
    }
}

#[test]
fn values_of_24_bytes_are_never_torn() {
    never_torn::<3>("values_of_24_bytes_are_never_torn");
}

#[test]
fn values_of_200_bytes_are_never_torn() {
    never_torn::<25>("values_of_200_bytes_are_never_torn");
}

#[test]
fn values_of_4_kib_are_never_torn() {
    never_torn::<512>("values_of_4_kib_are_never_torn");
}

#[test]
fn of_32_processes_that_open_or_create_all_get_the_same_map() {
    const NAME: &str = "several::of_32_processes_that_open_or_create_all_get_the_same_map";
    if role().is_some() {
        ready();
        let map: Map<u64, u64> = Map::builder()
            .capacity(100)
            .lock_timeout(TIMEOUT)
            .open_or_create(given_segment())
            .unwrap();
        let first = map.fetch_add(&1, 1).unwrap().is_none();
        if first {
            notify("first");
        }
        return;
    }
    for scratch in Scratch::each() {
        let told = together(32, |_| child(NAME, "race", scratch.segment()));
        assert_eq!(
            told.concat(),
            ["first"],
            "one finds nothing, the others find its map"
        );
        let map: Map<u64, u64> = open(scratch.segment().clone());
        assert_eq!(map.get(&1).unwrap(), Some(32));
    }
    // A memfd cannot be found, so there is nothing to race for but its one descriptor.
    let map: Map<u64, u64> = create(&Segment::memfd("race").unwrap(), 100);
    keep_across_exec(map.fd().unwrap()).unwrap();
    together(32, |_| child(NAME, "race", map.segment()));
    assert_eq!(map.get(&1).unwrap(), Some(32));
}

#[test]
fn of_16_processes_that_try_insert_exactly_one_wins_each_key() {
    const NAME: &str = "several::of_16_processes_that_try_insert_exactly_one_wins_each_key";
    const KEYS: u64 = 3000;
    const PROCESSES: usize = 16;
    if let Some(me) = role() {
        let me: u64 = me.parse().unwrap();
        let map: Map<u64, u64> = open(given_segment());
        ready();
        let mut won = 0;
        for key in 0..KEYS {
            match map.try_insert(key, me).unwrap() {
                TryInsert::Inserted => won += 1,
                TryInsert::Occupied(other) => assert!(other != me, "won by us, and told so twice"),
            }
        }
        return notify(&format!("{won}"));
    }
    let scratch = Scratch::shm();
    let map: Map<u64, u64> = create(scratch.segment(), KEYS as usize);
    let told = together(PROCESSES, |n| child(NAME, &n.to_string(), map.segment()));
    let mut owned = HashMap::new();
    for value in map.values() {
        *owned.entry(value.unwrap()).or_insert(0) += 1;
    }
    for (n, lines) in told.iter().enumerate() {
        let won: u64 = lines[0].parse().unwrap();
        assert_eq!(owned.get(&(n as u64)).copied().unwrap_or(0), won);
    }
    assert_eq!(owned.values().sum::<u64>(), KEYS);
    assert_eq!(map.len() as u64, KEYS, "no key is there twice");
}

/// Forks; the child runs `run` and ends there.
fn fork(run: impl FnOnce()) -> i32 {
    // SAFETY: the child uses what fork leaves intact: its memory, and glibc's allocator, which
    // looks after itself. It ends without running the destructors of the parent's threads.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    assert!(pid > 0);
    pid
}

#[track_caller]
fn wait_for(pid: i32, flags: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let waited = unsafe { libc::waitpid(pid, &mut status, flags) };
    assert_eq!(waited, pid, "{}", std::io::Error::last_os_error());
    status
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: the child is ours and not yet waited for, so the id is its own.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn after_a_fork_parent_and_children_all_write_through_the_same_handle() {
    const STEPS: u64 = 20_000;
    each_kind::<u64, u64>(1000, |map| {
        // Before the fork, so that the parent is registered and the children must notice.
        map.insert(1000, 1).unwrap();
        let count = || {
            for step in 0..STEPS {
                map.fetch_add(&(step % 10), 1).unwrap();
            }
        };
        let children: Vec<i32> = (0..3)
            .map(|n| {
                fork(|| {
                    map.insert(2000 + n, n).unwrap();
                    count();
                })
            })
            .collect();
        count();
        for pid in children {
            assert_eq!(wait_for(pid, 0), 0);
        }
        for key in 0..10 {
            assert_eq!(map.get(&key).unwrap(), Some(4 * STEPS / 10));
        }
        for n in 0..3 {
            assert_eq!(map.get(&(2000 + n)).unwrap(), Some(n));
        }
        // The end of the children has not taken the parent's registration.
        map.insert(1000, 2).unwrap();
    });
}

#[test]
fn a_grandchild_writes_after_its_parent_is_gone() {
    let scratch = Scratch::shm();
    let map: Map<u64, u64> = create(scratch.segment(), 100);
    map.insert(0, 0).unwrap();
    let pid = fork(|| {
        map.insert(1, 1).unwrap();
        fork(|| {
            std::thread::sleep(Duration::from_millis(50));
            map.insert(2, 2).unwrap();
        });
    });
    assert_eq!(wait_for(pid, 0), 0);
    let end = Instant::now() + TIMEOUT;
    while map.get(&2).unwrap().is_none() {
        assert!(Instant::now() < end, "the grandchild did not write");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(map.insert(1, 3).unwrap(), Some(1));
}

#[test]
fn a_program_that_is_executed_opens_the_memfd_that_it_inherits() {
    const NAME: &str = "several::a_program_that_is_executed_opens_the_memfd_that_it_inherits";
    if role().is_some() {
        let map: Map<u64, u64> = open(given_segment());
        assert_eq!(map.get(&1).unwrap(), Some(10));
        map.insert(2, 20).unwrap();
        return;
    }
    let map: Map<u64, u64> = create(&Segment::memfd("heritage").unwrap(), 10);
    map.insert(1, 10).unwrap();
    keep_across_exec(map.fd().unwrap()).unwrap();
    Worker::start(child(NAME, "heir", map.segment())).finish();
    assert_eq!(map.get(&2).unwrap(), Some(20));
}

#[test]
fn a_descriptor_sent_over_a_socket_opens_the_same_map() {
    const NAME: &str = "several::a_descriptor_sent_over_a_socket_opens_the_same_map";
    if role().is_some() {
        let fd = recv_fd(std::io::stdin()).unwrap();
        let map: Map<u64, u64> = open(Segment::fd(fd.as_raw_fd()).unwrap());
        drop(fd);
        assert_eq!(map.insert(1, 11).unwrap(), Some(10));
        return;
    }
    let map: Map<u64, u64> = create(&Segment::memfd("sent").unwrap(), 10);
    map.insert(1, 10).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    send_fd(&ours, map.fd().unwrap()).unwrap();
    let mut command = child(NAME, "receiver", map.segment());
    command.stdin(OwnedFd::from(theirs));
    Worker::start(command).finish();
    assert_eq!(map.get(&1).unwrap(), Some(11));
}

#[test]
fn readers_follow_a_writer_of_another_process_without_permission_to_write() {
    const NAME: &str =
        "several::readers_follow_a_writer_of_another_process_without_permission_to_write";
    const LAST: u64 = 5000;
    if role().is_some() {
        let map: ReadOnlyMap<u64, u64> = open_read_only(given_segment());
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let names = ["/dev/shm/shmkv-it", "/segment", "/SYSV", "processes"];
        let ours: Vec<_> = maps
            .lines()
            .filter(|line| {
                line.split(' ')
                    .nth(1)
                    .is_some_and(|mode| mode.ends_with('s'))
            })
            .filter(|line| names.iter().any(|name| line.contains(name)))
            .collect();
        assert!(!ours.is_empty(), "{maps}");
        for line in ours {
            assert!(line.contains(" r--s "), "{line}");
        }
        ready();
        let (mut last, end) = (0, Instant::now() + TIMEOUT);
        while last < LAST {
            assert!(Instant::now() < end, "the writer's last value did not come");
            let now = map.get(&7).unwrap().expect("it is there all the time");
            assert!(now >= last, "{now} after {last}");
            last = now;
            assert_eq!(map.contains_key(&8), Ok(false));
        }
        assert_eq!(map.len(), 1);
        return;
    }
    each_kind::<u64, u64>(10, |map| {
        map.insert(7, 1).unwrap();
        let mut readers: Vec<Worker> = (0..3)
            .map(|_| Worker::start(child(NAME, "read", map.segment())))
            .collect();
        for reader in &mut readers {
            reader.expect("ready");
            reader.say("go");
        }
        for number in 2..=LAST {
            map.insert(7, number).unwrap();
        }
        for reader in readers {
            reader.finish();
        }
    });
}

#[test]
fn entries_that_nobody_writes_are_yielded_exactly_once_while_others_are_displaced() {
    const NAME: &str =
        "several::entries_that_nobody_writes_are_yielded_exactly_once_while_others_are_displaced";
    /// One quarter of the entries comes and goes, in a table that is full to the last slot.
    const STILL: u64 = 1500;
    type Entry = [u64; 2];
    if let Some(me) = role() {
        let me: u64 = me.parse().unwrap();
        let map: Map<u64, Entry> = open(given_segment());
        let mut random = Random::seeded();
        let mut mine: Vec<u64> = Vec::new();
        ready();
        let end = Instant::now() + Duration::from_millis(1500);
        let mut refused = 0u64;
        while Instant::now() < end {
            for _ in 0..20 {
                let key = (me + 1) << 32 | random.next() & 0xFFFF_FFFF;
                match map.insert(key, [key, !key]) {
                    Ok(_) => mine.push(key),
                    Err(WriteError::Full { .. }) => {
                        refused += 1;
                        for _ in 0..3.min(mine.len()) {
                            let old = mine.swap_remove(random.below(mine.len() as u64) as usize);
                            assert_eq!(map.remove(&old).unwrap(), Some([old, !old]));
                        }
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            // Breaks of a few microseconds, or no iterator would ever come through.
            std::thread::sleep(Duration::from_micros(200));
        }
        for key in mine {
            assert_eq!(map.remove(&key).unwrap(), Some([key, !key]));
        }
        return notify(&format!("{refused}"));
    }
    let scratch = Scratch::shm();
    let map: Map<u64, Entry> = create(scratch.segment(), 2000);
    for key in 0..STILL {
        map.insert(key, [key, !key]).unwrap();
    }
    let mut workers: Vec<Worker> = (0..3)
        .map(|n| Worker::start(child(NAME, &n.to_string(), map.segment())))
        .collect();
    for worker in &mut workers {
        worker.expect("ready");
        worker.say("go");
    }
    let reader: ReadOnlyMap<u64, Entry> = open_read_only(scratch.segment().clone());
    let started = Instant::now();
    let (mut complete, mut lagged, mut moved_during) = (0, 0, 0);
    while started.elapsed() < Duration::from_millis(1700) {
        let before = reader.stats().displaced;
        let mut seen: HashSet<u64> = HashSet::new();
        let mut twice = Vec::new();
        let mut ended = Ok(());
        for entry in reader.iter() {
            match entry {
                Ok((key, value)) => {
                    assert_eq!(value, [key, !key]);
                    if !seen.insert(key) && key < STILL {
                        twice.push(key);
                    }
                }
                Err(error) => ended = Err(error),
            }
        }
        // Also an iterator that could not finish has yielded nothing twice.
        assert!(twice.is_empty(), "yielded twice: {twice:?}");
        match ended {
            Ok(()) => {
                let missed: Vec<u64> = (0..STILL).filter(|key| !seen.contains(key)).collect();
                assert!(missed.is_empty(), "never yielded: {missed:?}");
                complete += 1;
                moved_during += reader.stats().displaced - before;
            }
            Err(IterError::Lagged) => lagged += 1,
            Err(error) => panic!("{error}"),
        }
    }
    if long() {
        println!(
            "{complete} complete, {lagged} lagged, {moved_during} displaced during the former"
        );
    }
    let refused: u64 = workers
        .into_iter()
        .map(|worker| worker.finish()[0].parse::<u64>().unwrap())
        .sum();
    assert!(
        complete > 20 && moved_during > 100 && refused > 0,
        "{complete} complete and {lagged} lagged iterations, {moved_during} displaced during \
         them, {refused} refused: the test must reach displacement"
    );
    let mut left: Vec<u64> = map.keys().map(Result::unwrap).collect();
    left.sort_unstable();
    assert_eq!(left, (0..STILL).collect::<Vec<_>>());
}

#[test]
fn handles_of_one_process_are_dropped_in_any_order() {
    const NAME: &str = "several::handles_of_one_process_are_dropped_in_any_order";
    if role().is_some() {
        // Another process, which must find all others alive or gone but never in its way.
        let map: Map<u64, u64> = open(given_segment());
        ready();
        while listen() == "more" {
            for _ in 0..100 {
                map.fetch_add(&0, 1).unwrap();
            }
            notify("done");
        }
        return;
    }
    for scratch in Scratch::each() {
        let keeper: Map<u64, u64> = create(scratch.segment(), 10);
        let mut other = Worker::start(child(NAME, "other", scratch.segment()));
        other.expect("ready");
        other.say("go");
        let mut expected = 0;
        // All orders of four handles, one of them read-only.
        for order in 0..24u32 {
            let mut handles: Vec<Option<Map<u64, u64>>> = (0..3)
                .map(|_| Some(open(scratch.segment().clone())))
                .collect();
            let clone = handles[0].clone();
            handles.push(clone);
            let reader: ReadOnlyMap<u64, u64> = open_read_only(scratch.segment().clone());
            let mut order = order;
            let mut left: Vec<usize> = (0..4).collect();
            for choices in (1..=4).rev() {
                for handle in handles.iter().flatten() {
                    handle.fetch_add(&0, 1).unwrap();
                    expected += 1;
                }
                let next = left.remove((order % choices) as usize);
                order /= choices;
                handles[next] = None;
            }
            other.say("more");
            other.expect("done");
            expected += 100;
            assert_eq!(reader.get(&0).unwrap(), Some(expected));
        }
        other.say("enough");
        other.finish();
        assert_eq!(keeper.get(&0).unwrap(), Some(expected));
    }
}

/// A process that another one can stop in the middle of a write.
struct Victim {
    worker: Worker,
    thread: i32,
    is_traced: bool,
    file: File,
    parts: Parts,
}

/// Where a process stands that holds a lock.
struct Held {
    bucket: u64,
    lock: u64,
}

const BIG: usize = 512;
type Big = [u64; BIG];

/// The child's part: writes the value that it is told to write.
fn be_the_victim() {
    let map: Map<u64, Big> = open(given_segment());
    map.insert(1, [1; BIG]).unwrap();
    // SAFETY: has no arguments and cannot fail.
    notify(&format!("{}", unsafe { libc::gettid() }));
    while let Ok(number) = listen().parse() {
        map.insert(1, [number; BIG]).unwrap();
        notify("done");
    }
}

impl Victim {
    fn new(name: &str, scratch: &Scratch) -> Self {
        let mut worker = Worker::start(child(name, "victim", scratch.segment()));
        let thread = worker.hear().unwrap().parse().unwrap();
        let file = File::open(scratch.path()).unwrap();
        let parts = Parts::of(&file);
        Self {
            worker,
            thread,
            is_traced: false,
            file,
            parts,
        }
    }

    fn ptrace(&self, request: u32, data: i32) {
        // SAFETY: none of the requests that are used here reads or writes our memory.
        let done = unsafe { libc::ptrace(request, self.thread, 0, libc::c_long::from(data)) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    fn states(&self) -> Vec<u64> {
        let buckets = 0..self.parts.bucket_count;
        buckets
            .map(|index| read_word(&self.file, self.parts.bucket(index)))
            .collect()
    }

    fn held(&self) -> Option<Held> {
        (0..self.parts.bucket_count).find_map(|bucket| {
            let lock = read_word(&self.file, self.parts.bucket(bucket) + 8);
            (lock != 0).then_some(Held { bucket, lock })
        })
    }

    /// Lets it begin to write `number`, and stops it `depth` instructions after it has taken
    /// the lock, before it has published anything.
    fn stop_inside_a_write(&mut self, number: u64, depth: u32) -> Held {
        self.ptrace(libc::PTRACE_ATTACH, 0);
        self.is_traced = true;
        wait_for(self.thread, libc::__WALL);
        let before = self.states();
        self.worker.say(&number.to_string());
        let mut inside = 0;
        for _ in 0..3_000_000 {
            self.ptrace(libc::PTRACE_SINGLESTEP, 0);
            let status = wait_for(self.thread, libc::__WALL);
            assert!(libc::WIFSTOPPED(status), "{status:#x}");
            if let Some(held) = self.held() {
                inside += 1;
                if inside > depth {
                    assert_eq!(self.states(), before, "it has published already");
                    // Stopped without executing one more instruction.
                    self.ptrace(libc::PTRACE_DETACH, libc::SIGSTOP);
                    self.is_traced = false;
                    let status = wait_for(self.worker.pid(), libc::WUNTRACED);
                    assert!(libc::WIFSTOPPED(status), "{status:#x}");
                    assert_eq!(self.held().map(|held| held.lock), Some(held.lock));
                    return held;
                }
            }
        }
        panic!("it never took a lock");
    }
}

impl Drop for Victim {
    /// A thread that is traced must be waited for by its tracer before its process can be.
    fn drop(&mut self) {
        if self.is_traced {
            self.worker.kill();
            wait_for(self.thread, libc::__WALL);
        }
    }
}

/// Reads for a while; every value must be `expected`. Returns the latencies, sorted.
fn read_for<const N: usize>(
    map: &ReadOnlyMap<u64, [u64; N]>,
    time: Duration,
    expected: u64,
) -> Vec<Duration>
where
    [u64; N]: Value,
{
    let end = Instant::now() + time;
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        let value = map.get(&1);
        latencies.push(begun.elapsed());
        assert_eq!(value, Ok(Some([expected; N])));
    }
    latencies.sort_unstable();
    latencies
}

#[test]
fn reader_is_not_delayed_by_a_writer_that_is_stopped_inside_a_write() {
    const NAME: &str = "several::reader_is_not_delayed_by_a_writer_that_is_stopped_inside_a_write";
    if role().is_some() {
        return be_the_victim();
    }
    let scratch = Scratch::shm();
    let created: Map<u64, Big> = create(scratch.segment(), 10);
    let reader: ReadOnlyMap<u64, Big> = open_read_only(scratch.segment().clone());
    let timeout = Duration::from_millis(150);
    let writer: Map<u64, Big> = Map::builder()
        .lock_timeout(timeout)
        .open(scratch.segment().clone())
        .unwrap();
    let mut victim = Victim::new(NAME, &scratch);
    let pid = victim.worker.pid();
    let mut old = 1;
    for depth in [0, 1, 10, 50, 200, 400] {
        let new = old + 1;
        let held = victim.stop_inside_a_write(new, depth);

        let latencies = read_for(&reader, Duration::from_millis(200), old);
        let typical = latencies[latencies.len() * 99 / 100];
        let worst = latencies[latencies.len() - 1];
        // A reader that waited would wait for ever. The bounds leave room for a busy machine,
        // which takes the processor for some time slices.
        assert!(latencies.len() > 1000, "{} reads", latencies.len());
        assert!(typical < Duration::from_millis(1), "{typical:?}");
        assert!(worst < Duration::from_millis(500), "{worst:?}");
        assert_eq!(reader.iter().next(), Some(Ok((1, [old; BIG]))));
        assert_eq!(reader.len(), 1);

        // A second writer is told who stands in its way, when its time is over.
        let begun = Instant::now();
        let error = writer.insert(1, [99; BIG]).unwrap_err();
        let waited = begun.elapsed();
        assert!(waited >= timeout && waited < timeout * 10, "{waited:?}");
        let WriteError::Busy { owner, bucket, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!((*bucket, owner.pid()), (held.bucket, Some(pid as u32)));
        assert_eq!(owner.liveness(), Liveness::Alive, "stopped is not dead");
        let words = error.to_string();
        assert!(words.contains(&format!("process {pid} ")), "{words}");
        assert_eq!(reader.get(&1), Ok(Some([old; BIG])));

        // And everything goes on.
        signal(pid, libc::SIGCONT);
        victim.worker.expect("done");
        assert_eq!(reader.get(&1), Ok(Some([new; BIG])));
        let third = created.insert(1, [new + 1; BIG]).unwrap();
        assert_eq!(third, Some([new; BIG]));
        old = new + 1;
    }
    victim.worker.end();
}

#[test]
fn killed_writer_does_not_block_the_next_one() {
    const NAME: &str = "several::killed_writer_does_not_block_the_next_one";
    if role().is_some() {
        return be_the_victim();
    }
    let mut delays = Vec::new();
    for depth in [0, 1, 10, 50, 200, 400] {
        let scratch = Scratch::shm();
        let writer: Map<u64, Big> = create(scratch.segment(), 10);
        let reader: ReadOnlyMap<u64, Big> = open_read_only(scratch.segment().clone());
        writer.insert(2, [2; BIG]).unwrap();
        let mut victim = Victim::new(NAME, &scratch);
        victim.stop_inside_a_write(2, depth);
        victim.worker.kill();
        let begun = Instant::now();
        let old = writer.insert(1, [3; BIG]).unwrap();
        delays.push(begun.elapsed());
        assert_eq!(
            old,
            Some([1; BIG]),
            "what that dead one was writing is not there"
        );
        assert_eq!(reader.get(&1), Ok(Some([3; BIG])));
        assert_eq!(reader.get(&2), Ok(Some([2; BIG])));
        assert_eq!(reader.len(), 2);
        assert!(victim.held().is_none(), "no lock is left");
    }
    delays.sort_unstable();
    // A machine that is busy may take the processor from us once, but not most times.
    assert!(
        delays[delays.len() / 2] < Duration::from_millis(50),
        "{delays:?}"
    );
    assert!(
        delays[delays.len() - 1] < Duration::from_secs(1),
        "{delays:?}"
    );
}

#[test]
fn reader_and_writer_survive_a_writer_that_is_killed_anywhere() {
    const NAME: &str = "several::reader_and_writer_survive_a_writer_that_is_killed_anywhere";
    if role().is_some() {
        let map: Map<u64, [u64; 25]> = open(given_segment());
        let mut random = Random::seeded();
        notify("ready");
        loop {
            let key = random.below(200);
            if random.below(3) == 0 {
                map.remove(&key).unwrap();
            } else {
                map.insert(key, whole(key, random.next())).unwrap();
            }
        }
    }
    let scratch = Scratch::shm();
    // Small and always almost full, so that entries are displaced.
    let map: Map<u64, [u64; 25]> = create(scratch.segment(), 200);
    let mut random = Random::seeded();
    let mut taken = Vec::new();
    for _ in 0..30 {
        let mut workers: Vec<Worker> = (0..2)
            .map(|_| Worker::start(child(NAME, "write", map.segment())))
            .collect();
        for worker in &mut workers {
            worker.expect("ready");
        }
        std::thread::sleep(Duration::from_micros(500 + random.below(3000)));
        for worker in &mut workers {
            worker.kill();
        }
        drop(workers);
        let mut keys: Vec<u64> = Vec::new();
        for entry in &map {
            let (key, value) = entry.unwrap();
            assert_whole(key, &value);
            keys.push(key);
        }
        for key in 0..200 {
            let begun = Instant::now();
            match map.insert(key, whole(key, 0)).unwrap() {
                Some(old) => assert_whole(key, &old),
                None => assert!(!keys.contains(&key), "iterated but not there"),
            }
            taken.push(begun.elapsed());
            assert_eq!(map.get(&key), Ok(Some(whole(key, 0))));
        }
        assert_eq!(map.len(), 200, "no key is there twice");
    }
    taken.sort_unstable();
    assert!(taken[taken.len() - 1] < Duration::from_secs(1), "{taken:?}");
}
