//! A storm: eight processes on a table so small that they are always in each other's way, killed
//! and stopped at random, and every single result checked.
//!
//! A kill at a random moment hardly ever hits somebody with a lock in its hands, and then it tests
//! nothing. So a victim is stopped first, and its lock words are looked for in the segment: if there
//! are any, it is left like that for a while (others wait, and may not take its lock) and then
//! killed (others take over), or goes on; if there are none, it goes on and is stopped again soon.
//! Values of 2 KiB keep locks held for a good part of each operation.
//!
//! Each process writes down each operation before and after it, with the time, in memory that
//! outlives it. Afterwards the history of each key must be *linearizable*: there must be one order
//! of its operations, each between its call and its return, that explains all results. An
//! operation whose process was killed may have happened, or not.
//!
//! The checker follows all orders that are still possible, event by event (Lowe, "Testing for
//! linearizability", 2016, just-in-time linearization; the idea is Wing and Gong's, 1993). For
//! histories of this length and with this many deaths the checkers on the shelf do not
//! serve: `porcupine-rs` 0.3 remembers a bit set of the whole history at each step of its search
//! (quadratic in a history's length) and knows the unfinished only as operations that never
//! return, `stateright` 0.31 tries all interleavings without remembering any, `lincheck` 0.2 runs
//! inside loom. Here an unfinished operation is one of three things: a write whose value was
//! seen by somebody, so it took effect before that one returned; a write whose value
//! nobody ever saw, neither by reading nor by replacing it, so it makes no difference; a removal or
//! an addition, of which any number of those that had begun may take effect at any time.
//!
//! The short form takes some seconds; `SHMKV_LONG=1` goes on to ten million operations.

#![cfg(target_os = "linux")]

#[path = "crash/bytes.rs"]
#[expect(dead_code, reason = "shared with another test that uses more of it")]
mod bytes;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shmkv::map::CompareExchange;
use shmkv::{Map, ReadOnlyMap, Segment};

const WORKERS: usize = 8;
/// Operations that a worker does in a round, at most.
const LOG_LEN: usize = 60_000;
const ROUND: Duration = Duration::from_millis(600);
/// Keys with values of 2 KiB; there are 45 slots.
const WIDE_KEYS: u64 = 41;
/// Keys with values of a word, replaced in place; and counters behind them.
const WORD_KEYS: u64 = 20;
const COUNTERS: u64 = 4;

/// An error: the map is as it was.
const FAILED: u64 = u64::MAX;
/// Invalid bytes.
const TORN: u64 = u64::MAX - 1;
/// The exchange took place.
const DONE: u64 = u64::MAX - 2;

type Wide = [u64; 256];

fn wide(id: u64) -> Wide {
    std::array::from_fn(|i| id.rotate_left(i as u32) ^ (i as u64) << 32)
}

fn id_of(value: Option<Wide>) -> u64 {
    match value {
        None => 0,
        Some(value) if value == wide(value[0]) => value[0],
        Some(_) => TORN,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Get,
    Insert,
    Remove,
    CompareExchange,
    Add,
}

/// An operation as it was written down. Values go by their numbers, 0 is "absent".
#[derive(Clone, Copy, Debug)]
struct Operation {
    kind: Kind,
    key: u64,
    new: u64,
    expected: u64,
    result: u64,
    called: u64,
    /// `None` if its process was killed before.
    returned: Option<u64>,
}

/// The log of one worker, in shared memory.
#[derive(Clone, Copy)]
struct Log<'a>(&'a [AtomicU64]);

const RECORD: usize = 7;

impl Log<'_> {
    fn len(self) -> usize {
        self.0[0].load(Ordering::Acquire) as usize
    }

    fn call(self, kind: Kind, key: u64, new: u64, expected: u64) {
        let at = 1 + self.len() * RECORD;
        let words = [kind as u64, key, new, expected, 0, now(), 0];
        for (to, word) in self.0[at..].iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        self.0[0].fetch_add(1, Ordering::AcqRel);
    }

    fn return_(self, result: u64) {
        let time = now();
        let at = 1 + (self.len() - 1) * RECORD;
        self.0[at + 4].store(result, Ordering::Relaxed);
        self.0[at + 6].store(time, Ordering::Release);
    }

    fn read(self) -> impl Iterator<Item = Operation> {
        (0..self.len()).map(move |record| {
            let word = |i: usize| self.0[1 + record * RECORD + i].load(Ordering::Acquire);
            let kinds = [
                Kind::Get,
                Kind::Insert,
                Kind::Remove,
                Kind::CompareExchange,
                Kind::Add,
            ];
            Operation {
                kind: kinds[word(0) as usize],
                key: word(1),
                new: word(2),
                expected: word(3),
                returned: Some(word(6)).filter(|&time| time != 0),
                result: word(4),
                called: word(5),
            }
        })
    }
}

/// Nanoseconds by a clock that all processes share.
fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours.
    #[expect(unsafe_code, reason = "clock_gettime")]
    unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Memory that is shared with all children.
fn shared_words(count: usize) -> &'static [AtomicU64] {
    // SAFETY: a new anonymous mapping, never unmapped, zeroed, aligned to pages.
    #[expect(unsafe_code, reason = "mmap")]
    unsafe {
        let base = libc::mmap(
            std::ptr::null_mut(),
            count * 8,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(base, libc::MAP_FAILED);
        std::slice::from_raw_parts(base.cast(), count)
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A stretch of time in which each worker may fill its log once.
#[derive(Clone, Copy)]
struct Round {
    number: u64,
    started: u64,
}

impl Round {
    fn is_ahead(self, done: usize) -> bool {
        let due = (now() - self.started) as usize * LOG_LEN / ROUND.as_nanos() as usize;
        done > due
    }
}

struct Stage {
    wide: Segment,
    word: Segment,
    bytes: [Bytes; 2],
    logs: Vec<Log<'static>>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.wide.remove();
        let _ = self.word.remove();
    }
}

impl Stage {
    fn new() -> Self {
        let name = |kind| format!("shmkv-storm-{kind}-{}", std::process::id());
        let (wide, word) = (name("wide"), name("word"));
        let (wide_segment, word_segment) =
            (Segment::shm(&wide).unwrap(), Segment::shm(&word).unwrap());
        Map::<u64, Wide>::builder()
            .capacity(20)
            .max_writers(20)
            .create(wide_segment.clone())
            .unwrap();
        Map::<u64, u64>::builder()
            .capacity(10)
            .max_writers(20)
            .create(word_segment.clone())
            .unwrap();
        Self {
            wide: wide_segment,
            word: word_segment,
            bytes: [wide, word].map(|name| Bytes::map(&format!("/dev/shm/{name}"))),
            logs: (0..WORKERS)
                .map(|_| Log(shared_words(1 + LOG_LEN * RECORD)))
                .collect(),
        }
    }

    /// A process that works until it is killed.
    fn start(&self, worker: usize, round: Round, seed: u64) -> i32 {
        // SAFETY: this program has one thread, so the child may run any code.
        #[expect(unsafe_code, reason = "fork")]
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let work = std::panic::AssertUnwindSafe(|| self.work(worker, round, seed));
            let _ = std::panic::catch_unwind(work);
            std::process::abort();
        }
        pid
    }

    fn work(&self, worker: usize, round: Round, seed: u64) {
        let log = self.logs[worker];
        let wide_map = open::<Wide>(&self.wide);
        let word_map = open::<u64>(&self.word);
        let wide_reader = Map::<u64, Wide>::builder()
            .open_read_only(self.wide.clone())
            .unwrap();
        let mut random = Random(seed | 1);
        let mut last = HashMap::new();
        while log.len() < LOG_LEN {
            let id = (round.number << 40) | ((worker as u64 + 1) << 32) | (log.len() as u64 + 1);
            let key = random.below(WIDE_KEYS + WORD_KEYS + COUNTERS);
            let kind = match random.below(10) {
                _ if key >= WIDE_KEYS + WORD_KEYS => {
                    [Kind::Get, Kind::Add][random.below(2) as usize]
                }
                0..=2 => Kind::Get,
                3..=5 => Kind::Insert,
                6..=7 => Kind::Remove,
                _ => Kind::CompareExchange,
            };
            let expected = last.get(&key).copied().unwrap_or(0);
            // Not faster than the round: it shall not sleep when it is killed.
            while round.is_ahead(log.len()) {
                std::thread::yield_now();
            }
            log.call(kind, key, id, expected);
            let result = if key < WIDE_KEYS {
                on_wide(&wide_map, &wide_reader, kind, key, id, expected)
            } else {
                on_word(&word_map, kind, key, id, expected)
            };
            log.return_(result);
            if result < DONE {
                last.insert(key, result);
            }
        }
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Locks that the process holds.
    fn locks_of(&self, pid: i32) -> usize {
        let held = self.bytes.iter().map(|bytes| bytes.locks_of(pid as u32));
        held.sum()
    }
}

/// So short-timed that many a process is stopped for longer with a lock: a write may be refused
/// then, but nobody may lose a lock.
const TIMEOUT: Duration = Duration::from_millis(1);

fn open<V: shmkv::Value + shmkv::Schema>(segment: &Segment) -> Map<u64, V> {
    Map::builder()
        .lock_timeout(TIMEOUT)
        .open(segment.clone())
        .unwrap()
}

fn on_wide(
    map: &Map<u64, Wide>,
    reader: &ReadOnlyMap<u64, Wide>,
    kind: Kind,
    key: u64,
    id: u64,
    expected: u64,
) -> u64 {
    match kind {
        Kind::Get if id.is_multiple_of(2) => reader.get(&key).map_or(FAILED, id_of),
        Kind::Get => map.get(&key).map_or(FAILED, id_of),
        Kind::Insert => map.insert(key, wide(id)).map_or(FAILED, id_of),
        Kind::Remove => map.remove(&key).map_or(FAILED, id_of),
        _ => match map.compare_exchange(&key, &wide(expected), wide(id)) {
            Ok(CompareExchange::Exchanged) => DONE,
            Ok(CompareExchange::Mismatch(found)) => id_of(Some(found)),
            Ok(CompareExchange::Absent) => 0,
            _ => FAILED,
        },
    }
}

fn on_word(map: &Map<u64, u64>, kind: Kind, key: u64, id: u64, expected: u64) -> u64 {
    let or_absent = |value: Option<u64>| value.unwrap_or(0);
    match kind {
        Kind::Get => map.get(&key).map_or(FAILED, or_absent),
        Kind::Insert => map.insert(key, id).map_or(FAILED, or_absent),
        Kind::Remove => map.remove(&key).map_or(FAILED, or_absent),
        Kind::Add => map.fetch_add(&key, 1).map_or(FAILED, or_absent),
        Kind::CompareExchange => match map.compare_exchange(&key, &expected, id) {
            Ok(CompareExchange::Exchanged) => DONE,
            Ok(CompareExchange::Mismatch(found)) => found,
            Ok(CompareExchange::Absent) => 0,
            _ => FAILED,
        },
    }
}

/// What a key may be, after which of the operations under way: the least number of optional
/// ones that this takes.
type Possible = HashMap<(u64, u64), u32>;

/// Whether there is an order that explains all results, from `initial` on. If not, the operation
/// that could not be explained.
fn explain(initial: u64, operations: &[Operation]) -> Result<(), Operation> {
    let mut steps = Vec::with_capacity(operations.len() * 2);
    let mut seen_at: HashMap<u64, u64> = HashMap::new();
    for operation in operations {
        let Some(returned) = operation.returned else {
            continue;
        };
        let values = [
            (operation.result < DONE).then_some(operation.result),
            (operation.result == DONE).then_some(operation.expected),
        ];
        for value in values.into_iter().flatten() {
            let first = seen_at.entry(value).or_insert(returned);
            *first = returned.min(*first);
        }
    }
    let mut optional = Vec::new();
    for (index, operation) in operations.iter().enumerate() {
        let until = match (operation.returned, operation.kind) {
            (Some(_), _) if operation.result == FAILED => continue,
            (Some(returned), _) => returned,
            (None, Kind::Get) => continue,
            (None, Kind::Remove | Kind::Add) => {
                optional.push(operation.called);
                continue;
            }
            (None, Kind::Insert | Kind::CompareExchange) => match seen_at.get(&operation.new) {
                Some(&seen) => seen,
                None => continue,
            },
        };
        // At equal times, calls come first: then the two are concurrent.
        steps.push((operation.called, false, index));
        steps.push((until, true, index));
    }
    steps.sort_unstable();
    optional.sort_unstable();

    let mut open: [Option<usize>; 64] = [None; 64];
    let mut possible = Possible::from([((initial, 0), 0)]);
    let mut begun = 0;
    for (time, is_return, index) in steps {
        while optional.get(begun).is_some_and(|&called| called <= time) {
            begun += 1;
        }
        if !is_return {
            let free = open
                .iter()
                .position(Option::is_none)
                .expect("few at a time");
            open[free] = Some(index);
            continue;
        }
        // Not open: its value was seen before it was called.
        let Some(bit) = open.iter().position(|&found| found == Some(index)) else {
            return Err(operations[index]);
        };
        let mut work: Vec<((u64, u64), u32)> = possible.drain().collect();
        let mut visited = Possible::new();
        while let Some(((value, mask), used)) = work.pop() {
            match visited.get(&(value, mask)) {
                Some(&before) if before <= used => continue,
                _ => visited.insert((value, mask), used),
            };
            if mask >> bit & 1 == 1 {
                let least = possible.entry((value, mask & !(1 << bit))).or_insert(used);
                *least = used.min(*least);
                continue;
            }
            for (other, found) in open.iter().enumerate() {
                let Some(found) = found else { continue };
                if mask >> other & 1 == 0
                    && let Some(next) = apply(value, &operations[*found])
                {
                    work.push(((next, mask | 1 << other), used));
                }
            }
            if (used as usize) < begun {
                let is_counter = operations[index].key >= WIDE_KEYS + WORD_KEYS;
                let next = if is_counter { value + 1 } else { 0 };
                work.push(((next, mask), used + 1));
            }
        }
        open[bit] = None;
        if possible.is_empty() {
            return Err(operations[index]);
        }
    }
    Ok(())
}

/// The value after an operation, if its result can be explained by the value before.
fn apply(value: u64, operation: &Operation) -> Option<u64> {
    let is_explained = operation.returned.is_none() || operation.result == value;
    match operation.kind {
        Kind::Get => is_explained.then_some(value),
        Kind::Insert => is_explained.then_some(operation.new),
        Kind::Remove => is_explained.then_some(0),
        Kind::Add => is_explained.then_some(value + 1),
        Kind::CompareExchange if operation.returned.is_none() || operation.result == DONE => {
            (value == operation.expected && value != 0).then_some(operation.new)
        }
        Kind::CompareExchange => {
            (is_explained && (value == 0 || value != operation.expected)).then_some(value)
        }
    }
}

#[derive(Debug, Default)]
struct Totals {
    operations: usize,
    unfinished: usize,
    failed: usize,
    kills: usize,
    kills_with_lock: usize,
    stops: usize,
    stops_with_lock: usize,
    replaced: usize,
    violations: usize,
}

/// Who watches must be quicker than those who are watched, where that is permitted: else it sees
/// them when it is its turn, and eight of them have theirs before. Children are like all others.
fn be_quick(is_quick: bool) {
    let policy = match is_quick {
        true => libc::SCHED_RR | libc::SCHED_RESET_ON_FORK,
        false => libc::SCHED_OTHER,
    };
    let sched_priority = i32::from(is_quick);
    // SAFETY: a plain system call; a refusal changes nothing.
    #[expect(unsafe_code, reason = "sched_setscheduler")]
    unsafe {
        libc::sched_setscheduler(0, policy, &libc::sched_param { sched_priority });
    }
}

fn signal(pid: i32, signal: i32) {
    // SAFETY: a child of ours that is not reaped yet.
    #[expect(unsafe_code, reason = "kill")]
    unsafe {
        libc::kill(pid, signal);
    }
}

/// Waits until the child is stopped or gone.
fn wait(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: `status` is ours.
    #[expect(unsafe_code, reason = "waitpid")]
    let found = unsafe { libc::waitpid(pid, &mut status, libc::WUNTRACED) };
    assert_eq!(found, pid);
    status
}

/// Stops one of the workers, if possible one with a lock, and leaves it stopped.
fn catch(stage: &Stage, pids: &[i32], random: &mut Random) -> usize {
    // Now and then any, so that those without a lock are stopped and killed as well.
    let tries = if random.below(16) == 0 { 1 } else { 100 };
    for attempt in 1.. {
        let first = random.below(pids.len() as u64) as usize;
        let holds = |worker: &usize| stage.locks_of(pids[*worker]) > 0;
        // Who is at work lets go before a signal can reach it. There are more workers than
        // processors, so often one waits for a processor with a lock in its hands.
        let suspended = |worker: &usize| (0..20).all(|_| holds(worker));
        let worker = (0..pids.len())
            .map(|number| (first + number) % pids.len())
            .find(suspended);
        if worker.is_none() && attempt < tries {
            std::thread::sleep(Duration::from_micros(100));
            continue;
        }
        let worker = worker.unwrap_or(first);
        signal(pids[worker], libc::SIGSTOP);
        assert!(libc::WIFSTOPPED(wait(pids[worker])));
        if attempt == tries || holds(&worker) {
            return worker;
        }
        signal(pids[worker], libc::SIGCONT);
    }
    unreachable!("there is an end to the attempts")
}

fn kill(stage: &Stage, pid: i32, totals: &mut Totals) {
    signal(pid, libc::SIGKILL);
    // What it holds now it never lets go.
    totals.kills_with_lock += usize::from(stage.locks_of(pid) > 0);
    while libc::WIFSTOPPED(wait(pid)) {}
    totals.kills += 1;
}

fn round(stage: &Stage, number: u64, random: &mut Random, totals: &mut Totals) {
    for log in &stage.logs {
        log.0[0].store(0, Ordering::Release);
    }
    let this = Round {
        number,
        started: now(),
    };
    let mut pids: Vec<i32> = (0..WORKERS)
        .map(|worker| stage.start(worker, this, random.next()))
        .collect();
    let started = Instant::now();
    be_quick(true);
    while started.elapsed() < ROUND {
        let worker = catch(stage, &pids, random);
        let held = stage.locks_of(pids[worker]);
        totals.stops += 1;
        totals.stops_with_lock += usize::from(held > 0);
        // Often shorter than the others' timeout, sometimes longer.
        if random.below(2) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(3000)));
        }
        // A stopped process keeps what it has: nobody may have taken its lock.
        totals.replaced += usize::from(stage.locks_of(pids[worker]) != held);
        if random.below(10) < 6 {
            kill(stage, pids[worker], totals);
            pids[worker] = stage.start(worker, this, random.next());
        } else {
            signal(pids[worker], libc::SIGCONT);
        }
    }
    be_quick(false);
    for pid in pids {
        kill(stage, pid, totals);
    }
}

/// Reads all keys once nobody works, as an operation of its own, and checks the segments.
fn adopt_boot(stage: &Stage) -> Vec<Operation> {
    let (wide_map, word_map) = (open::<Wide>(&stage.wide), open::<u64>(&stage.word));
    for _ in 0..2 {
        wide_map.recover().unwrap();
        word_map.recover().unwrap();
    }
    for check in [wide_map.check(), word_map.check()] {
        let is_note =
            |p: &shmkv::check::Problem| matches!(p, shmkv::check::Problem::CountTooHigh { .. });
        assert!(check.problems.iter().all(is_note), "{check}");
    }
    let participants = [wide_map.participants(), word_map.participants()];
    assert!(participants.iter().flatten().all(|found| found.is_self));
    (0..WIDE_KEYS + WORD_KEYS + COUNTERS)
        .map(|key| {
            let called = now();
            let result = if key < WIDE_KEYS {
                id_of(wide_map.get(&key).unwrap())
            } else {
                word_map.get(&key).unwrap().unwrap_or(0)
            };
            Operation {
                kind: Kind::Get,
                key,
                new: 0,
                expected: 0,
                result,
                called,
                returned: Some(now()),
            }
        })
        .collect()
}

fn checker_finds_what_is_wrong() {
    let operation = |kind, new, result, called, returned| Operation {
        kind,
        key: 0,
        new,
        expected: 0,
        result,
        called,
        returned,
    };
    let write = operation(Kind::Insert, 7, 0, 10, Some(20));
    let stale = operation(Kind::Get, 0, 0, 30, Some(40));
    let early = operation(Kind::Get, 0, 0, 15, Some(40));
    assert!(explain(0, &[write, stale]).is_err());
    assert!(explain(0, &[write, early]).is_ok());
    // A killed write that was seen, unseen, and seen before it was called.
    let killed = operation(Kind::Insert, 9, 0, 10, None);
    let seen = operation(Kind::Get, 0, 9, 50, Some(60));
    assert!(explain(0, &[killed, stale, seen]).is_ok());
    assert!(explain(0, &[killed, stale]).is_ok());
    let too_early = operation(Kind::Get, 0, 9, 1, Some(5));
    assert!(explain(0, &[killed, too_early]).is_err());
    // Seen, then not any more, and nobody removed it.
    let again = operation(Kind::Get, 0, 0, 70, Some(80));
    assert!(explain(0, &[killed, seen, again]).is_err());
    let removal = operation(Kind::Remove, 0, 0, 65, None);
    assert!(explain(0, &[killed, seen, removal, again]).is_ok());
    let torn = operation(Kind::Get, 0, TORN, 30, Some(40));
    assert!(explain(0, &[write, torn]).is_err());
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    checker_finds_what_is_wrong();
    let is_long = std::env::var_os("SHMKV_LONG").is_some_and(|value| value == "1");
    let (wanted, limit) = if is_long {
        (10_000_000, Duration::from_secs(3600))
    } else {
        (usize::MAX, Duration::from_secs(6))
    };
    let stage = Stage::new();
    let mut random = Random(now());
    let mut totals = Totals::default();
    let mut state = adopt_boot(&stage);
    let started = Instant::now();
    let mut number = 0;
    while started.elapsed() < limit && totals.operations < wanted {
        number += 1;
        round(&stage, number, &mut random, &mut totals);
        let after = adopt_boot(&stage);
        let mut by_key: BTreeMap<u64, Vec<Operation>> = BTreeMap::new();
        for operation in stage.logs.iter().flat_map(|log| log.read()) {
            totals.operations += 1;
            totals.unfinished += usize::from(operation.returned.is_none());
            let failed = operation.returned.is_some() && operation.result == FAILED;
            totals.failed += usize::from(failed);
            by_key.entry(operation.key).or_default().push(operation);
        }
        for (before, after) in state.iter().zip(&after) {
            let mut history = by_key.remove(&before.key).unwrap_or_default();
            history.push(*after);
            if let Err(operation) = explain(before.result, &history) {
                totals.violations += 1;
                eprintln!("violation: {operation:?}");
            }
        }
        state = after;
    }
    println!(
        "storm: {number} rounds, {} operations (plus {} cut short by a kill, {} refused), {} kills, \
         {} of them holding locks that others took over, {} stops ({} with locks, {} replaced): \
         {} violations; {:.1?}",
        totals.operations - totals.unfinished,
        totals.unfinished,
        totals.failed,
        totals.kills,
        totals.kills_with_lock,
        totals.stops,
        totals.stops_with_lock,
        totals.replaced,
        totals.violations,
        started.elapsed()
    );
    assert_eq!((totals.violations, totals.replaced), (0, 0));
    let take_overs = totals.kills_with_lock * 1_000_000 / totals.operations.max(1);
    println!("{take_overs} take-overs in a million operations");
    // Else it was no storm. (All workers are killed at the end of a round, whatever they hold.)
    let chosen = totals.kills - WORKERS * number as usize;
    assert!(
        chosen >= 3 && totals.kills_with_lock * 3 >= chosen,
        "hardly any of {chosen} victims was killed with a lock"
    );
}
