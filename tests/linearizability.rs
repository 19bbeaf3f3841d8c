//! What processes and threads do at the same time with one small map has an order that explains it:
//! on this machine's processors, with their own memory model, in real time.
//!
//! Several processes of several threads work on two tables that are almost full all the time,
//! so that entries move between their buckets over and over, and write down each operation
//! with its times and its result. Every few thousand operations they stop together, all keys
//! are read, and the history of each key is checked (see `history`). What this shows and models
//! cannot: the compiled code of the library, its assembly included, on a real processor. What models
//! show and this cannot: the schedules that a machine does not happen to run.
//!
//! ```text
//! cargo test --test linearizability                 400,000 operations
//! SHMKV_LONG=1 cargo test --test linearizability    6,000,000
//! cargo xtask mutants --real                      with planted bugs: found within seconds
//! ```

#![cfg(target_os = "linux")]

mod history;

use std::collections::BTreeMap;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use history::{ABSENT, Done, Operation, TORN, Violation};
use shmkv::map::{CompareExchange, TryInsert};
use shmkv::{Map, ReadError, ReadOnlyMap, WriteError};

const PROCESSES: u32 = 3;
const THREADS: u32 = 2;
const WORKERS: u32 = PROCESSES * THREADS;

/// Operations of a worker between two stops: half a millisecond, so that they meet.
const ROUND_LEN: usize = 3000;

/// Keys whose values take four words, and are replaced out of place. Three buckets, 45 slots.
const WIDE_KEYS: u64 = 72;
/// Keys whose values are one word, and are replaced in place. Three buckets, 48 slots.
const WORD_KEYS: u64 = 78;
const KEYS: u64 = WIDE_KEYS + WORD_KEYS;
/// Every third operation is on one of so many keys, half of them of either kind.
const HOT_KEYS: u64 = 12;

type Wide = [u64; 4];

fn wide(number: u64) -> Wide {
    [
        number,
        !number,
        number.rotate_left(17),
        number ^ 0x5555_5555,
    ]
}

fn number_of(value: Option<Wide>) -> u64 {
    match value {
        None => ABSENT,
        Some(value) if value == wide(value[0]) => value[0],
        Some(_) => TORN,
    }
}

/// Nanoseconds by a clock that all processes share.
fn now_ns() -> u64 {
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

/// xorshift64*.
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

/// Memory that is shared with all children, zeroed.
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

/// What a worker writes down, in memory that the judge reads: the number of records, then these.
#[derive(Clone, Copy)]
struct Log(&'static [AtomicU64]);

const RECORD: usize = 6;
/// An operation writes down one record, but for `get_many`.
const MANY: usize = 4;
const LOG_WORDS: usize = 1 + (ROUND_LEN + MANY) * RECORD;

impl Log {
    fn len(self) -> usize {
        self.0[0].load(Ordering::Relaxed) as usize
    }

    fn write(self, key: u64, done: Done, called_ns: u64, returned_ns: u64) {
        let (kind, a, b) = match done {
            Done::Get(found) => (0, found, 0),
            Done::Contains(found) => (1, found.into(), 0),
            Done::Insert(new, found) => (2, new, found),
            Done::TryInsert(new) => (3, new, 0),
            Done::Remove(found) => (4, found, 0),
            Done::Exchanged(expected, new) => (5, expected, new),
            Done::NotExchanged(expected, found) => (6, expected, found),
            Done::Add(more, found) => (7, more, found),
        };
        let len = self.len();
        let at = 1 + len * RECORD;
        let words = [kind, key, a, b, called_ns, returned_ns];
        for (to, word) in self.0[at..at + RECORD].iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        self.0[0].store(len as u64 + 1, Ordering::Relaxed);
    }

    /// Takes everything out. The worker stands still.
    fn take(self, worker: u32, to: &mut Vec<Operation>) {
        for record in 0..self.len() {
            let at = 1 + record * RECORD;
            let [kind, key, a, b, called_ns, returned_ns] =
                std::array::from_fn(|word| self.0[at + word].load(Ordering::Relaxed));
            let done = match kind {
                0 => Done::Get(a),
                1 => Done::Contains(a != 0),
                2 => Done::Insert(a, b),
                3 => Done::TryInsert(a),
                4 => Done::Remove(a),
                5 => Done::Exchanged(a, b),
                6 => Done::NotExchanged(a, b),
                _ => Done::Add(a, b),
            };
            to.push(Operation {
                worker,
                key,
                done,
                called_ns,
                returned_ns,
            });
        }
        self.0[0].store(0, Ordering::Relaxed);
    }
}

/// Where all workers meet between two rounds.
#[derive(Clone, Copy)]
struct Gate(&'static [AtomicU64]);

impl Gate {
    /// A worker is done with a round, and waits for the next.
    fn arrive(self, round: u64) {
        // AcqRel: hands the log to the judge, who gives it back with the new number.
        self.0[0].fetch_add(1, Ordering::AcqRel);
        while self.0[8].load(Ordering::Acquire) == round {
            std::thread::sleep(std::time::Duration::from_micros(20));
        }
    }

    /// Whether all have arrived.
    fn all_are_here(self) -> bool {
        self.0[0].load(Ordering::Acquire) == u64::from(WORKERS)
    }

    fn open(self) {
        self.0[0].store(0, Ordering::Relaxed);
        self.0[8].fetch_add(1, Ordering::Release);
    }
}

/// The handles of a process. Threads share the writing ones.
struct Handles {
    wide: Map<u64, Wide>,
    word: Map<u64, u64>,
    wide_reader: ReadOnlyMap<u64, Wide>,
    word_reader: ReadOnlyMap<u64, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Get,
    GetReadOnly,
    GetMany,
    Contains,
    Insert,
    TryInsert,
    Remove,
    CompareExchange,
    Add,
}

/// Insertions are three times as many as removals, and there are more keys than slots: that keeps
/// the table almost full.
const MIX: [Kind; 20] = [
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::GetReadOnly,
    Kind::GetReadOnly,
    Kind::GetMany,
    Kind::Contains,
    Kind::Contains,
    Kind::Insert,
    Kind::Insert,
    Kind::Insert,
    Kind::Insert,
    Kind::TryInsert,
    Kind::TryInsert,
    Kind::Remove,
    Kind::Remove,
    Kind::CompareExchange,
    Kind::CompareExchange,
    Kind::Add,
];

/// `None` if the operation was refused.
fn ok<T>(result: Result<T, WriteError>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(WriteError::Full { .. } | WriteError::Busy { .. } | WriteError::Contended { .. }) => {
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn read<T>(result: Result<T, ReadError>) -> Option<T> {
    match result {
        Ok(found) => Some(found),
        Err(ReadError::Contended) => None,
        Err(error) => panic!("{error}"),
    }
}

impl Handles {
    fn open(stage: &Stage) -> Self {
        Self {
            wide: Map::builder().open(stage.wide.segment()).unwrap(),
            word: Map::builder().open(stage.word.segment()).unwrap(),
            wide_reader: Map::builder().open_read_only(stage.wide.segment()).unwrap(),
            word_reader: Map::builder().open_read_only(stage.word.segment()).unwrap(),
        }
    }

    fn do_wide(&self, kind: Kind, key: u64, new: u64, expected: u64) -> Option<Done> {
        let map = &self.wide;
        Some(match kind {
            Kind::GetReadOnly => Done::Get(number_of(read(self.wide_reader.get(&key))?)),
            Kind::Contains if new.is_multiple_of(2) => {
                Done::Contains(read(self.wide_reader.contains_key(&key))?)
            }
            Kind::Contains => Done::Contains(read(map.contains_key(&key))?),
            Kind::Insert => Done::Insert(new, number_of(ok(map.insert(key, wide(new)))?)),
            Kind::TryInsert => match ok(map.try_insert(key, wide(new)))? {
                TryInsert::Inserted => Done::TryInsert(new),
                TryInsert::Occupied(found) => Done::Get(number_of(Some(found))),
            },
            Kind::Remove => Done::Remove(number_of(ok(map.remove(&key))?)),
            Kind::CompareExchange => {
                match ok(map.compare_exchange(&key, &wide(expected), wide(new)))? {
                    CompareExchange::Exchanged => Done::Exchanged(expected, new),
                    CompareExchange::Mismatch(found) => {
                        Done::NotExchanged(expected, number_of(Some(found)))
                    }
                    CompareExchange::Absent => Done::NotExchanged(expected, ABSENT),
                }
            }
            Kind::Get | Kind::GetMany | Kind::Add => Done::Get(number_of(read(map.get(&key))?)),
        })
    }

    fn do_word(&self, kind: Kind, key: u64, new: u64, expected: u64) -> Option<Done> {
        let map = &self.word;
        let or_absent = |value: Option<u64>| value.unwrap_or(ABSENT);
        Some(match kind {
            Kind::GetReadOnly => Done::Get(or_absent(read(self.word_reader.get(&key))?)),
            Kind::Contains if new.is_multiple_of(2) => {
                Done::Contains(read(self.word_reader.contains_key(&key))?)
            }
            Kind::Contains => Done::Contains(read(map.contains_key(&key))?),
            Kind::Insert => Done::Insert(new, or_absent(ok(map.insert(key, new))?)),
            Kind::TryInsert => match ok(map.try_insert(key, new))? {
                TryInsert::Inserted => Done::TryInsert(new),
                TryInsert::Occupied(found) => Done::Get(found),
            },
            Kind::Remove => Done::Remove(or_absent(ok(map.remove(&key))?)),
            Kind::CompareExchange => match ok(map.compare_exchange(&key, &expected, new))? {
                CompareExchange::Exchanged => Done::Exchanged(expected, new),
                CompareExchange::Mismatch(found) => Done::NotExchanged(expected, found),
                CompareExchange::Absent => Done::NotExchanged(expected, ABSENT),
            },
            Kind::Add => Done::Add(new, or_absent(ok(map.fetch_add(&key, new))?)),
            Kind::Get | Kind::GetMany => Done::Get(or_absent(read(map.get(&key))?)),
        })
    }

    /// Several keys by one call: each of them as if by itself.
    fn get_many(&self, log: Log, random: &mut Random) {
        let called = now_ns();
        let (keys, found): ([u64; MANY], [u64; MANY]) = if random.below(2) == 0 {
            let keys = std::array::from_fn(|_| random.below(WIDE_KEYS));
            let mut values = [None; MANY];
            if read(self.wide_reader.get_many(&keys, &mut values)).is_none() {
                return;
            }
            (keys, values.map(number_of))
        } else {
            let keys = std::array::from_fn(|_| WIDE_KEYS + random.below(WORD_KEYS));
            let mut values = [None; MANY];
            if read(self.word.get_many(&keys, &mut values)).is_none() {
                return;
            }
            (keys, values.map(|value| value.unwrap_or(ABSENT)))
        };
        let returned = now_ns();
        for (key, found) in keys.into_iter().zip(found) {
            log.write(key, Done::Get(found), called, returned);
        }
    }
}

struct Stage {
    wide: Map<u64, Wide>,
    word: Map<u64, u64>,
    logs: Vec<Log>,
    gate: Gate,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.wide.segment().remove();
        let _ = self.word.segment().remove();
    }
}

impl Stage {
    fn new() -> Self {
        let name = |kind| format!("shm:shmkv-linear-{kind}-{}", std::process::id());
        Self {
            wide: Map::builder()
                .capacity(20)
                .create(name("wide").as_str())
                .unwrap(),
            word: Map::builder()
                .capacity(20)
                .create(name("word").as_str())
                .unwrap(),
            logs: (0..WORKERS).map(|_| Log(shared_words(LOG_WORDS))).collect(),
            gate: Gate(shared_words(16)),
        }
    }

    /// A process of `THREADS` workers, until it is killed or its parent dies.
    fn start(&self, process: u32, seed: u64) -> i32 {
        // SAFETY: this program has one thread, so the child may run any code.
        #[expect(unsafe_code, reason = "fork")]
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid != 0 {
            return pid;
        }
        // SAFETY: asks for a signal when the parent ends.
        #[expect(unsafe_code, reason = "prctl")]
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        let work = std::panic::AssertUnwindSafe(|| {
            let handles = Handles::open(self);
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let handles = &handles;
                    let worker = process * THREADS + thread;
                    let mut random = Random(seed.wrapping_add(u64::from(worker)) | 1);
                    scope.spawn(move || self.work(handles, worker, &mut random));
                }
            });
        });
        let _ = std::panic::catch_unwind(work);
        // Workers end by panics only, which have been printed.
        std::process::abort();
    }

    fn work(&self, handles: &Handles, worker: u32, random: &mut Random) {
        let log = self.logs[worker as usize];
        // A thread that ended alone would keep the judge waiting.
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut last = [ABSENT; KEYS as usize];
            let mut next = 0;
            for round in 0.. {
                while log.len() < ROUND_LEN {
                    next += 1;
                    self.step(
                        handles,
                        log,
                        random,
                        &mut last,
                        (u64::from(worker) + 1) << 40 | next,
                    );
                }
                self.gate.arrive(round);
            }
        }));
        if panics.is_err() {
            std::process::abort();
        }
    }

    /// One operation. `new` is a number that is nobody else's.
    fn step(
        &self,
        handles: &Handles,
        log: Log,
        random: &mut Random,
        last: &mut [u64; KEYS as usize],
        new: u64,
    ) {
        let kind = MIX[random.below(MIX.len() as u64) as usize];
        if kind == Kind::GetMany {
            return handles.get_many(log, random);
        }
        let key = match random.below(3) {
            0 => WIDE_KEYS - HOT_KEYS / 2 + random.below(HOT_KEYS),
            _ => random.below(KEYS),
        };
        let expected = last[key as usize];
        let called = now_ns();
        let done = if key < WIDE_KEYS {
            handles.do_wide(kind, key, new, expected)
        } else {
            handles.do_word(kind, key, new, expected)
        };
        let returned = now_ns();
        let Some(done) = done else { return };
        log.write(key, done, called, returned);
        last[key as usize] = done
            .after(match done {
                Done::Get(found) | Done::Insert(_, found) | Done::Remove(found) => found,
                Done::NotExchanged(_, found) | Done::Add(_, found) => found,
                Done::Exchanged(expected, _) => expected,
                Done::Contains(_) => return,
                Done::TryInsert(_) => ABSENT,
            })
            .unwrap_or(ABSENT);
    }

    /// All keys, read while nobody works.
    fn all(&self) -> BTreeMap<u64, u64> {
        let wide = (0..WIDE_KEYS).map(|key| (key, number_of(self.wide.get(&key).unwrap())));
        let word =
            (WIDE_KEYS..KEYS).map(|key| (key, self.word.get(&key).unwrap().unwrap_or(ABSENT)));
        wide.chain(word).collect()
    }

    fn displaced(&self) -> u64 {
        self.wide.stats().displaced + self.word.stats().displaced
    }
}

/// Waits until all workers stand still. A worker that died has said why.
fn wait(gate: Gate, pids: &[i32]) {
    while !gate.all_are_here() {
        std::thread::sleep(std::time::Duration::from_micros(50));
        for pid in pids {
            let mut status = 0;
            // SAFETY: `status` is ours; it does not block.
            #[expect(unsafe_code, reason = "waitpid")]
            let ended = unsafe { libc::waitpid(*pid, &mut status, libc::WNOHANG) };
            if ended != 0 {
                println!("a worker has exited: status {status:#x}");
                kill(pids);
                exit(1);
            }
        }
    }
}

fn kill(pids: &[i32]) {
    for pid in pids {
        // SAFETY: a child of ours that is not reaped yet, or none any more; no memory is touched.
        #[expect(unsafe_code, reason = "kill and waitpid")]
        unsafe {
            libc::kill(*pid, libc::SIGKILL);
            libc::waitpid(*pid, std::ptr::null_mut(), 0);
        }
    }
}

#[derive(Default)]
struct Totals {
    operations: usize,
    misses: usize,
    removed: usize,
    exchanged: usize,
    added: usize,
    overlapping: usize,
}

impl Totals {
    fn count(&mut self, operations: &[Operation]) {
        self.operations += operations.len();
        let mut last_return: BTreeMap<u64, u64> = BTreeMap::new();
        let mut sorted: Vec<&Operation> = operations.iter().collect();
        sorted.sort_by_key(|operation| operation.called_ns);
        for operation in sorted {
            match operation.done {
                Done::Get(ABSENT) | Done::Contains(false) => self.misses += 1,
                Done::Remove(found) if found != ABSENT => self.removed += 1,
                Done::Exchanged(..) => self.exchanged += 1,
                Done::Add(..) => self.added += 1,
                _ => {}
            }
            let last = last_return.entry(operation.key).or_default();
            self.overlapping += usize::from(operation.called_ns < *last);
            *last = operation.returned_ns.max(*last);
        }
    }
}

fn report(violation: &Violation) {
    println!(
        "key {}: from {:x} on, no order explains these operations (times in nanoseconds):",
        violation.key, violation.initial
    );
    let skipped = violation.history.len().saturating_sub(40);
    if skipped > 0 {
        println!("  ({skipped} before these)");
    }
    let since = violation.history.first().map_or(0, |first| first.called_ns);
    for operation in &violation.history[skipped..] {
        println!(
            "  worker {}  {:>9} to {:>9}  {:x?}",
            operation.worker,
            operation.called_ns - since,
            operation.returned_ns - since,
            operation.done
        );
    }
}

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    history::checker_finds_what_is_wrong();
    let is_long = std::env::var_os("SHMKV_LONG").is_some_and(|value| value == "1");
    let wanted = if is_long { 6_000_000 } else { 400_000 };
    let stage = Stage::new();
    let started = Instant::now();
    let seed = now_ns();
    let mut before = stage.all();
    let pids: Vec<i32> = (0..PROCESSES)
        .map(|process| stage.start(process, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    let mut totals = Totals::default();
    let mut rounds = 0;
    while totals.operations < wanted {
        wait(stage.gate, &pids);
        let mut operations = Vec::new();
        for (worker, log) in (0..).zip(&stage.logs) {
            log.take(worker, &mut operations);
        }
        // What stands there in the end is part of the history.
        let called_ns = now_ns();
        let after = stage.all();
        let returned_ns = now_ns();
        // They go on while we think.
        stage.gate.open();
        operations.extend(after.iter().map(|(key, found)| Operation {
            worker: WORKERS,
            key: *key,
            done: Done::Get(*found),
            called_ns,
            returned_ns,
        }));
        totals.count(&operations);
        rounds += 1;
        if let Err(violation) = history::check(&before, &operations) {
            kill(&pids);
            println!(
                "violation found after {} operations, {:.1?}",
                totals.operations,
                started.elapsed()
            );
            report(&violation);
            drop(stage);
            exit(1);
        }
        before = after;
    }
    wait(stage.gate, &pids);
    kill(&pids);
    let displaced = stage.displaced();
    println!(
        "linearizability: {} operations by {WORKERS} threads of {PROCESSES} processes in {rounds} rounds, \
         0 violations; {} misses, {} removals, {} exchanges, {} additions, {displaced} entries displaced, \
         {} operations overlapped another on their key; {:.1?}",
        totals.operations,
        totals.misses,
        totals.removed,
        totals.exchanged,
        totals.added,
        totals.overlapping,
        started.elapsed()
    );
    // A history in which nothing happens is linearizable, too.
    assert!(
        displaced as usize > totals.operations / 400,
        "entries must move all the time"
    );
    assert!(totals.misses > totals.operations / 50);
    assert!(totals.removed > totals.operations / 50);
    assert!(totals.exchanged > totals.operations / 200);
    assert!(totals.added > totals.operations / 100);
    assert!(totals.overlapping > 0);
}
