//! The operations in which somebody dies.

use std::collections::BTreeSet;

use shmkv::Map;
use shmkv::check::{Problem, RecoveryAction};

use super::bytes::Image;
use super::is_long;
use super::stage::{Act, Scenario, Stage, Val};

/// Operations on keys in their primary bucket, or that leave it.
pub(crate) fn single_entry<V: Val>(stage: &Stage<V>) -> Vec<Scenario<V>> {
    let all = [0, 1, 2, 3];
    // The warm-up write is about a key of the last bucket, where nothing else happens.
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let primary = stage.keys(0, &[1], V::USABLE + 2, &[]);
    let key = primary[0];
    let few = || primary[1..4].iter().copied();
    let new = V::of(77_777);
    let mut list = vec![
        stage
            .scenario("insert, absent", few(), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None)),
        stage
            .scenario("insert, replace", few().chain([key]), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), Some(V::of(key)))),
        stage
            .scenario("remove", few().chain([key]), key)
            .after(key, None)
            .act(move |map| assert!(map.remove(&key).unwrap().is_some())),
        stage
            .scenario("remove, absent", few(), key)
            .act(move |map| assert!(map.remove(&key).unwrap().is_none())),
        stage
            .scenario("update", few().chain([key]), key)
            .after(key, Some(new))
            .act(move |map| assert!(map.update(&key, |_| new).unwrap().is_some())),
        stage
            .scenario("compare_exchange", few().chain([key]), key)
            .after(key, Some(new))
            .act(move |map| {
                let done = map.compare_exchange(&key, &V::of(key), new).unwrap();
                assert_eq!(done, shmkv::map::CompareExchange::Exchanged);
            }),
        stage
            .scenario("try_insert", few(), key)
            .after(key, Some(new))
            .act(move |map| {
                let done = map.try_insert(key, new).unwrap();
                assert_eq!(done, shmkv::map::TryInsert::Inserted);
            }),
        // The primary bucket is full, the secondary bucket is not.
        stage
            .scenario(
                "insert, secondary",
                primary[1..=V::USABLE].iter().copied(),
                key,
            )
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None)),
    ];
    let overflow = || primary[1..=V::USABLE].iter().copied().chain([key]);
    list.push(
        stage
            .scenario("remove, secondary", overflow(), key)
            .after(key, None)
            .act(move |map| assert!(map.remove(&key).unwrap().is_some())),
    );
    list.push(
        stage
            .scenario("replace, secondary", overflow(), key)
            .after(key, Some(new))
            .act(move |map| assert!(map.insert(key, new).unwrap().is_some())),
    );
    list = list.into_iter().map(|s| s.warm(warm)).collect();

    // All over the table, one of them in its secondary bucket.
    let some: Vec<u64> = overflow()
        .chain(stage.keys(1, &all, 3, &[]))
        .chain(stage.keys(2, &all, 3, &[]))
        .chain(stage.keys(3, &all, 2, &[warm]))
        .collect();
    let mut clear = stage
        .scenario("clear", some.iter().copied(), key)
        .warm(warm);
    clear.after = some.iter().map(|key| (*key, None)).collect();
    list.push(clear.act(move |map| assert!(map.clear().unwrap() > 0)));
    let mut retain = stage
        .scenario("retain", some.iter().copied(), key)
        .warm(warm);
    retain.after = some
        .iter()
        .filter(|k| **k % 2 == 0 || **k == key)
        .map(|key| (*key, None))
        .collect();
    list.push(retain.act(move |map| {
        map.retain(|k, _| *k % 2 != 0 && *k != key).unwrap();
    }));

    list.push(
        stage
            .scenario("first write", few(), key)
            .after(key, Some(new))
            .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None)),
    );
    let mut drop_handle = stage.scenario("drop of a handle", few(), key).warm(warm);
    drop_handle.act = Box::new(|map| drop(map.take()));
    list.push(drop_handle);
    list
}

/// An insertion for which two entries have to move.
const TWO_IN_A_ROW: &str = "displacement, two in a row";

/// Insertions for which another entry has to move.
pub(crate) fn displacements<V: Val>(stage: &Stage<V>) -> Vec<Scenario<V>> {
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let new = V::of(77_777);
    let key = stage.keys(0, &[1], 1, &[])[0];
    let insert = move |map: &Map<u64, V>| assert_eq!(map.insert(key, new).unwrap(), None);
    let second = stage.keys(1, &[2], V::USABLE, &[]);

    // An entry of the primary bucket leaves its own primary bucket.
    let first = stage.keys(0, &[2], V::USABLE, &[key]);
    let overflow = stage
        .scenario(
            "displacement, secondary",
            first.into_iter().chain(second.iter().copied()),
            key,
        )
        .act(insert);
    // The new key goes to its secondary bucket, out of which an entry moves.
    let first = stage.keys(0, &[1], V::USABLE, &[key]);
    let secondary = stage
        .scenario(
            "displacement, secondary bucket",
            first.into_iter().chain(second.iter().copied()),
            key,
        )
        .act(insert);
    // An entry that is in its secondary bucket goes to its primary bucket, where there is room
    // again.
    let crowd = stage.keys(2, &[3], V::USABLE, &[]);
    let traveller = stage.keys(2, &[0], 1, &crowd)[0];
    let first = stage.keys(0, &[1], V::USABLE - 1, &[key]);
    stage.make(
        crowd
            .iter()
            .copied()
            .chain([traveller])
            .chain(first)
            .chain(second.iter().copied()),
    );
    let maker = stage.maker.as_ref().unwrap();
    maker.remove(&crowd[0]).unwrap();
    let primary = stage
        .scenario_as_it_is("displacement, primary", key)
        .act(insert);
    // Two entries move, one after the other: one of the secondary bucket has nowhere to go but to a full
    // bucket, out of which another one moves.
    let first = stage.keys(0, &[1], V::USABLE, &[key]);
    let third = stage.keys(2, &[3], V::USABLE, &[]);
    let path = stage
        .scenario(
            TWO_IN_A_ROW,
            first.into_iter().chain(second.iter().copied()).chain(third),
            key,
        )
        .act(insert);
    [overflow, secondary, primary, path]
        .into_iter()
        .map(|scenario| scenario.warm(warm).after(key, Some(new)))
        .collect()
}

/// Take-overs of what a displacement left, one of which dies too. `states` are those that the
/// displacement led through.
pub(crate) fn recoveries<V: Val>(
    stage: &Stage<V>,
    mover: &Scenario<V>,
    states: Vec<(usize, Image)>,
    depth: u32,
) -> Vec<Scenario<V>> {
    let doubled: Vec<Image> = states
        .into_iter()
        .filter_map(|(_, image)| {
            stage.bytes.restore(&image);
            let check = stage.open().check();
            let is_doubled = |problem: &Problem| matches!(problem, Problem::InterruptedMove { .. });
            check.problems.iter().any(is_doubled).then_some(image)
        })
        .collect();
    assert!(!doubled.is_empty(), "{}: no entry was twice", mover.name);
    let warm = mover.warm_key.unwrap();
    let mut list = Vec::new();
    let states = [doubled.first(), doubled.last()];
    for image in states.into_iter().flatten() {
        let scenario = |what: &str, act: Act<V>| Scenario {
            name: format!("{what} after {}", mover.name),
            image: image.clone(),
            before: mover.before.clone(),
            after: mover.after.clone(),
            key: mover.key,
            neighbour: mover.neighbour,
            warm_key: Some(warm),
            act,
        };
        let key = mover.key;
        // A path goes through a bucket of the key with which a taker warms up: that write takes over,
        // and leaves a recovery nothing to find.
        if mover.name.starts_with(TWO_IN_A_ROW) {
            list.push(scenario(
                "insert",
                Box::new(move |map| {
                    let _ = map.as_ref().unwrap().insert(key, V::of(77_777)).unwrap();
                }),
            ));
            break;
        }
        list.push(scenario(
            "recover",
            Box::new(|map| {
                let recovery = map.as_ref().unwrap().recover().unwrap();
                let is_repair = |finding: &shmkv::check::Finding| {
                    matches!(finding.action, RecoveryAction::Deduplicated { .. })
                };
                assert!(recovery.findings.iter().any(is_repair), "{recovery}");
            }),
        ));
        list.push(scenario(
            "insert",
            Box::new(move |map| {
                let _ = map.as_ref().unwrap().insert(key, V::of(77_777)).unwrap();
            }),
        ));
        if depth == 0 {
            break;
        }
    }
    list
}

/// A second taker after a first one that died with two kinds of dead tokens in the locks, which
/// led through `states`.
pub(crate) fn second_recoveries<V: Val>(
    stage: &Stage<V>,
    first: &Scenario<V>,
    states: Vec<(usize, Image)>,
) -> Vec<Scenario<V>> {
    let owners = |locks: Vec<u64>| {
        let owned: BTreeSet<u64> = locks.into_iter().filter(|lock| *lock > 1).collect();
        owned.len()
    };
    let mixed: Vec<Image> = states
        .into_iter()
        .filter_map(|(_, image)| {
            stage.bytes.restore(&image);
            (owners(stage.bytes.locks()) > 1).then_some(image)
        })
        .collect();
    let key = first.key;
    let middle = mixed.len() / 2;
    let chosen = if is_long() { 0 } else { middle };
    mixed[chosen..]
        .iter()
        .take(if is_long() { usize::MAX } else { 1 })
        .map(|image| Scenario {
            name: format!("second taker: {}", first.name),
            image: image.clone(),
            before: first.before.clone(),
            after: first.after.clone(),
            key,
            neighbour: first.neighbour,
            warm_key: first.warm_key,
            act: Box::new(move |map| {
                let _ = map.as_ref().unwrap().insert(key, V::of(77_777)).unwrap();
            }),
        })
        .collect()
}

/// A first write when all slots are those of dead processes.
pub(crate) fn full_registration<V: Val>(stage: &Stage<V>) -> Scenario<V> {
    let key = stage.keys(0, &[1], 1, &[])[0];
    let new = V::of(77_777);
    let mut scenario = stage
        .scenario(
            "first write, slots of dead processes",
            stage.keys(0, &[2], 3, &[key]),
            key,
        )
        .after(key, Some(new))
        .act(move |map| assert_eq!(map.insert(key, new).unwrap(), None));
    for _ in 0..4 {
        let mut writer = scenario.act(|_| ()).warm(key);
        stage.child(&writer).unwrap().kill();
        writer.image = stage.bytes.image();
        writer.warm_key = None;
        scenario = writer.act(move |map| assert_eq!(map.insert(key, new).unwrap(), None));
    }
    scenario
}

/// Additions, which are for integers only.
pub(crate) fn additions(stage: &Stage<u64>) -> Vec<Scenario<u64>> {
    let warm = stage.keys(3, &[2], 1, &[])[0];
    let keys = stage.keys(0, &[1], 4, &[]);
    let key = keys[0];
    [("fetch_add", 0, key + 5), ("fetch_add, absent", 1, 5)]
        .into_iter()
        .map(|(name, others, after)| {
            stage
                .scenario(name, keys[others..].iter().copied(), key)
                .warm(warm)
                .after(key, Some(after))
                .act(move |map| {
                    let _ = map.fetch_add(&key, 5).unwrap();
                })
        })
        .collect()
}
