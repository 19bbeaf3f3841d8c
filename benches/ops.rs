//! One criterion bench an operation, for daily work:
//! `cargo bench -p shmkv-benches --bench ops -- get_hit`.
//!
//! `u64` to `u64`, 100,000 entries, one process; times are of one operation
//! unless the name says otherwise.

use std::cell::RefCell;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use shmkv_benches::keys::Keys;
use shmkv_benches::ours::Ours;
use shmkv_benches::subject::{BATCH, Subject};

const ENTRIES: usize = 100_000;

type Map = Ours<u64, u64>;

/// A map at its full promised load, and keys for it.
fn filled() -> (Map, Keys<u64, u64>) {
    let keys = Keys::new(ENTRIES);
    let mut map = Map::create(ENTRIES);
    map.prefill(keys.population());
    (map, keys)
}

/// Keys that were not in the map yet, numbered on from those that are.
fn fresh() -> impl FnMut() -> u64 {
    let mut numbers = ENTRIES as u64..;
    move || Keys::<u64, u64>::key(numbers.next().expect("endless"))
}

fn get_hit(criterion: &mut Criterion) {
    let (mut map, keys) = filled();
    let mut stream = keys.uniform().iter().cycle();
    criterion.bench_function("get_hit", |b| {
        b.iter(|| map.get(stream.next().expect("endless")))
    });
}

fn get_miss(criterion: &mut Criterion) {
    let (mut map, keys) = filled();
    let mut stream = keys.absent().iter().cycle();
    criterion.bench_function("get_miss", |b| {
        b.iter(|| map.get(stream.next().expect("endless")))
    });
}

/// The time is that of a batch; the throughput counts keys.
fn get_many16(criterion: &mut Criterion) {
    let (mut map, keys) = filled();
    let (batches, _) = keys.uniform().as_chunks::<BATCH>();
    let mut stream = batches.iter().cycle();
    let mut values = [None; BATCH];
    let mut group = criterion.benchmark_group("get_many16");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("get_many16", |b| {
        b.iter(|| {
            map.get_batch(stream.next().expect("endless"), &mut values);
            black_box(&values);
        });
    });
    group.finish();
}

/// An entry is removed before each insert, outside the measured time.
fn insert_new(criterion: &mut Criterion) {
    let (map, _keys) = filled();
    let map = RefCell::new(map);
    let mut oldest = 0;
    let mut fresh_key = fresh();
    criterion.bench_function("insert_new", |b| {
        b.iter_batched(
            || {
                let new = fresh_key();
                let old = Keys::<u64, u64>::key(oldest);
                oldest += 1;
                map.borrow_mut().remove(&old);
                new
            },
            |key| map.borrow_mut().insert(&key, &key),
            BatchSize::PerIteration,
        );
    });
}

fn insert_replace(criterion: &mut Criterion) {
    let (mut map, keys) = filled();
    let mut stream = keys.uniform().iter().cycle();
    criterion.bench_function("insert_replace", |b| {
        b.iter(|| map.insert(stream.next().expect("endless"), keys.value(0)));
    });
}

/// The entry is inserted before each remove, outside the measured time.
fn remove(criterion: &mut Criterion) {
    let map = RefCell::new(Map::create(ENTRIES));
    let keys = Keys::<u64, u64>::new(ENTRIES);
    map.borrow_mut().prefill(keys.population().skip(1));
    let mut fresh_key = fresh();
    criterion.bench_function("remove", |b| {
        b.iter_batched(
            || {
                let key = fresh_key();
                map.borrow_mut().insert(&key, &key);
                key
            },
            |key| map.borrow_mut().remove(&key),
            BatchSize::PerIteration,
        );
    });
}

fn update(criterion: &mut Criterion) {
    let (map, keys) = filled();
    let mut stream = keys.uniform().iter().cycle();
    criterion.bench_function("update", |b| {
        b.iter(|| {
            map.update(stream.next().expect("endless"), |value| {
                value.wrapping_add(1)
            })
        });
    });
}

fn fetch_add(criterion: &mut Criterion) {
    let (map, keys) = filled();
    let mut stream = keys.uniform().iter().cycle();
    criterion.bench_function("fetch_add", |b| {
        b.iter(|| map.fetch_add(stream.next().expect("endless"), 1));
    });
}

fn compare_exchange(criterion: &mut Criterion) {
    let (mut map, keys) = filled();
    for key in keys.uniform() {
        map.insert(key, &7);
    }
    let mut stream = keys.uniform().iter().cycle();
    criterion.bench_function("compare_exchange", |b| {
        b.iter(|| map.compare_exchange(stream.next().expect("endless"), 7));
    });
}

/// The time is that of a walk over all entries; the throughput counts them.
fn iter(criterion: &mut Criterion) {
    let (map, _keys) = filled();
    let mut group = criterion.benchmark_group("iter");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("iter", |b| b.iter(|| map.count_by_iteration()));
    group.finish();
}

criterion_group!(
    ops,
    get_hit,
    get_miss,
    get_many16,
    insert_new,
    insert_replace,
    remove,
    update,
    fetch_add,
    compare_exchange,
    iter
);
criterion_main!(ops);
