//! Every operation, on a thread with a small stack, in a program that is not optimised: the longest
//! values on 2 MiB, which is what a thread gets, and small ones on 128 KiB.
//!
//! Says each operation before it begins: whose stack overflows is killed.

use shmkv::{Cache, Map};

type Long = [u64; 8192];
type Small = [u64; 8];

fn main() {
    all::<8192>(2 << 20);
    all::<8>(128 << 10);
    assert_eq!(size_of::<Long>(), shmkv::format::MAX_VALUE_LEN);
    assert_eq!(size_of::<Small>(), 64);
}

fn all<const N: usize>(stack: usize) {
    let operations: [(&str, fn(&Map<u64, [u64; N]>)); 16] = [
        ("insert", |map| {
            let _ = map.insert(2, [1; N]).unwrap();
        }),
        ("insert over a value", |map| {
            assert!(map.insert(1, [1; N]).unwrap().is_some())
        }),
        ("get", |map| assert!(map.get(&1).unwrap().is_some())),
        ("get_into", |map| {
            assert!(map.get_into(&1, &mut Box::new([0; N])).unwrap())
        }),
        ("get_many", |map| {
            assert_eq!(map.get_many(&[1, 7], &mut vec![None; 2]).unwrap(), 1)
        }),
        ("contains_key", |map| assert!(map.contains_key(&1).unwrap())),
        ("insert_many", |map| {
            assert_eq!(map.insert_many(&vec![(3, [1; N])]).unwrap(), 1)
        }),
        ("try_insert", |map| {
            let _ = map.try_insert(4, [1; N]).unwrap();
        }),
        ("update", |map| {
            assert!(
                map.update(&1, |mut value| {
                    value[0] += 1;
                    value
                })
                .unwrap()
                .is_some()
            )
        }),
        ("fetch_update", |map| {
            assert!(map.fetch_update(&1, |value| value).unwrap().is_some())
        }),
        ("compare_exchange", |map| {
            let _ = map.compare_exchange(&1, &[1; N], [2; N]).unwrap();
        }),
        ("remove_if", |map| {
            assert!(map.remove_if(&1, |value| value[0] == 7).unwrap().is_none())
        }),
        ("iter", |map| assert_eq!(map.iter().count(), 1)),
        ("values", |map| assert_eq!(map.values().count(), 1)),
        ("retain", |map| {
            assert_eq!(map.retain(|_, value| value[0] == 7).unwrap(), 1)
        }),
        ("remove", |map| assert!(map.remove(&1).unwrap().is_some())),
    ];
    for (name, operation) in operations {
        println!(
            "map: {name}, values of {} bytes, stack of {stack} bytes",
            N * 8
        );
        // A map of its own, and a process that has not written to it: the first write goes the long way.
        let scratch = format!("shm:stack-{}", std::process::id());
        let map: Map<u64, [u64; N]> = Map::builder()
            .capacity(16)
            .create(scratch.as_str())
            .unwrap();
        let first: Map<u64, [u64; N]> = Map::builder().open(scratch.as_str()).unwrap();
        map.segment().remove().unwrap();
        on_stack(64 << 20, || {
            let _ = first.insert(1, [1; N]).unwrap();
        });
        on_stack(stack, || operation(&map));
    }
    let operations: [(&str, fn(&Cache<u64, [u64; N]>)); 8] = [
        ("insert", |cache| cache.insert(2, [1; N]).unwrap()),
        ("get", |cache| assert!(cache.get(&1).unwrap().is_some())),
        ("get, read-only", |cache| {
            assert!(cache.read_only().get(&1).unwrap().is_some())
        }),
        ("get_or_insert_with, a miss", |cache| {
            let _ = cache.get_or_insert_with(&9, || [1; N]).unwrap();
        }),
        ("get_or_insert_with, a hit", |cache| {
            let _ = cache.get_or_insert_with(&1, || [1; N]).unwrap();
        }),
        ("get_or_insert_option_with", |cache| {
            assert!(
                cache
                    .get_or_insert_option_with(&9, || Some([1; N]))
                    .unwrap()
                    .is_some()
            );
        }),
        ("iter", |cache| assert_eq!(cache.iter().count(), 1)),
        ("remove", |cache| {
            assert!(cache.remove(&1).unwrap().is_some())
        }),
    ];
    for (name, operation) in operations {
        println!(
            "cache: {name}, values of {} bytes, stack of {stack} bytes",
            N * 8
        );
        let scratch = format!("shm:stack-{}", std::process::id());
        let cache: Cache<u64, [u64; N]> = Cache::builder()
            .max_capacity(16)
            .create(scratch.as_str())
            .unwrap();
        let first: Cache<u64, [u64; N]> = Cache::builder().open(scratch.as_str()).unwrap();
        cache.segment().remove().unwrap();
        on_stack(64 << 20, || first.insert(1, [1; N]).unwrap());
        on_stack(stack, || operation(&cache));
    }
}

fn on_stack(bytes: usize, work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(bytes)
            .spawn_scoped(scope, work);
        thread.unwrap().join().unwrap();
    });
}
