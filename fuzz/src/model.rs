//! What a map should do: what a `HashMap` does.

use std::collections::HashMap;
use std::fmt::Debug;

use shmkv::{Key, Map, Value, WriteError};

use crate::op::Op;
use crate::sample::Sample;
use crate::segment::new_map;

/// Runs operations on a map and on a `HashMap`, and compares after each.
pub fn agree<K, V>(capacity: usize, ops: &[Op])
where
    K: Key + Sample + Debug,
    V: Value + Sample + Debug + PartialEq,
{
    let map: Map<K, V> = new_map(capacity);
    let reader = Map::<K, V>::builder()
        .open_read_only(map.segment().clone())
        .unwrap();
    let mut model: HashMap<Vec<u8>, V> = HashMap::new();
    let bytes = |key: &K| key.as_bytes().to_vec();
    let insert = |model: &mut HashMap<Vec<u8>, V>, key: K, value: V, done| match done {
        Ok(previous) => assert_eq!(previous, model.insert(bytes(&key), value)),
        Err(WriteError::Full { .. }) => {
            assert!(!model.contains_key(&bytes(&key)) && model.len() >= capacity);
        }
        Err(error) => panic!("{error}"),
    };
    for op in ops {
        match *op {
            Op::Insert(key, value) => {
                let (key, value) = (K::sample(key.into()), V::sample(value));
                insert(&mut model, key, value, map.insert(key, value));
            }
            Op::Fill(from, count, value) => {
                for key in from..from.saturating_add(count) {
                    let (key, value) = (K::sample(key.into()), V::sample(value));
                    insert(&mut model, key, value, map.insert(key, value));
                }
            }
            Op::TryInsert(key, value) => {
                let (key, value) = (K::sample(key.into()), V::sample(value));
                match model.get(&bytes(&key)) {
                    Some(known) => assert_eq!(
                        map.try_insert(key, value),
                        Ok(shmkv::map::TryInsert::Occupied(*known))
                    ),
                    None => {
                        let done = map.try_insert(key, value);
                        insert(&mut model, key, value, done.map(|_| None));
                    }
                }
            }
            Op::Remove(key) => {
                let key = K::sample(key.into());
                assert_eq!(map.remove(&key).unwrap(), model.remove(&bytes(&key)));
            }
            Op::RemoveMany(from, count) => {
                for key in from..from.saturating_add(count) {
                    let key = K::sample(key.into());
                    assert_eq!(map.remove(&key).unwrap(), model.remove(&bytes(&key)));
                }
            }
            Op::RemoveIf(key, yes) => {
                let key = K::sample(key.into());
                let expected = if yes {
                    model.remove(&bytes(&key))
                } else {
                    None
                };
                assert_eq!(map.remove_if(&key, |_| yes).unwrap(), expected);
            }
            Op::Update(key, value) => {
                let (key, value) = (K::sample(key.into()), V::sample(value));
                let known = model.get_mut(&bytes(&key));
                let previous = map.update(&key, |_| value).unwrap();
                assert_eq!(previous, known.map(|known| std::mem::replace(known, value)));
            }
            Op::FetchUpdate(key, value) => {
                let key = K::sample(key.into());
                let done = map.fetch_update(&key, |_| value.map(V::sample));
                match value {
                    Some(value) => insert(&mut model, key, V::sample(value), done),
                    None => assert_eq!(done.unwrap().as_ref(), model.get(&bytes(&key))),
                }
            }
            Op::FetchAdd(key, delta) => {
                let key = K::sample(key.into());
                if let Some(done) = V::fetch_add(&map, key, delta) {
                    // The one type that has it adds like this.
                    let sum = match model.get(&bytes(&key)) {
                        Some(known) => {
                            let bytes = known.as_bytes().first_chunk().expect("a word");
                            u64::from_ne_bytes(*bytes) + u64::from(delta)
                        }
                        None => u64::from(delta),
                    };
                    let sum = V::try_read_from_bytes(&sum.to_ne_bytes())
                        .ok()
                        .expect("a word");
                    insert(&mut model, key, sum, done);
                }
            }
            Op::CompareExchange(key, expected, new) => {
                let key = K::sample(key.into());
                let (expected, new) = (V::sample(expected), V::sample(new));
                let answer = map.compare_exchange(&key, &expected, new).unwrap();
                match model.get_mut(&bytes(&key)) {
                    None => assert_eq!(answer, shmkv::map::CompareExchange::Absent),
                    Some(known) if *known == expected => {
                        assert!(answer.is_done());
                        *known = new;
                    }
                    Some(known) => assert_eq!(answer, shmkv::map::CompareExchange::Mismatch(*known)),
                }
            }
            Op::Get(key) => {
                let key = K::sample(key.into());
                assert_eq!(map.get(&key).unwrap().as_ref(), model.get(&bytes(&key)));
                let there = reader.contains_key(&key).unwrap();
                assert_eq!(there, model.contains_key(&bytes(&key)));
            }
            Op::GetInto(key) => {
                let key = K::sample(key.into());
                let mut value = V::sample(1);
                let found = reader.get_into(&key, &mut value).unwrap();
                let expected = model.get(&bytes(&key));
                assert_eq!(found, expected.is_some());
                assert_eq!(value, expected.copied().unwrap_or(V::sample(1)));
            }
            Op::GetMany(from, count) => {
                let keys: Vec<K> = (from..from.saturating_add(count))
                    .map(|key| K::sample(key.into()))
                    .collect();
                let mut values = vec![None; keys.len()];
                reader.get_many(&keys, &mut values).unwrap();
                for (key, value) in keys.iter().zip(values) {
                    assert_eq!(value.as_ref(), model.get(&bytes(key)));
                }
            }
            Op::Iterate => {
                let mut count = 0;
                for entry in reader.iter() {
                    let (key, value) = entry.unwrap();
                    assert_eq!(model.get(&bytes(&key)), Some(&value));
                    count += 1;
                }
                assert_eq!(count, model.len());
            }
            Op::IterateMeanwhile(from, count) => {
                // Keys that nobody touches are met once, whatever happens to the others.
                let touched: Vec<K> = (from..from.saturating_add(count % 16))
                    .map(|key| K::sample(key.into()))
                    .collect();
                let mut untouched = model.clone();
                for key in &touched {
                    untouched.remove(&bytes(key));
                }
                let mut turns = touched.iter().cycle();
                let mut iter = reader.iter();
                while let Some(entry) = iter.next() {
                    let (key, value) = match entry {
                        Ok(entry) => entry,
                        // Sixty operations do not displace a thousand entries.
                        Err(error) => panic!("{error}"),
                    };
                    if !touched.iter().any(|touched| bytes(touched) == bytes(&key)) {
                        assert_eq!(
                            untouched.remove(&bytes(&key)),
                            Some(value),
                            "twice, or wrong"
                        );
                    }
                    if let Some(key) = turns.next() {
                        let known = model.remove(&bytes(key));
                        assert_eq!(map.remove(key).unwrap(), known);
                        insert(
                            &mut model,
                            *key,
                            V::sample(3),
                            map.insert(*key, V::sample(3)),
                        );
                    }
                }
                assert!(untouched.is_empty(), "missed: {:?}", untouched.keys());
            }
            Op::Retain(number) => {
                let stays = |value: &V| value.as_bytes().first().is_none_or(|b| *b > number);
                let before = model.len();
                model.retain(|_, value| stays(value));
                let removed = map.retain(|_, value| stays(value)).unwrap();
                assert_eq!(removed, before - model.len());
            }
            Op::Clear => {
                assert_eq!(map.clear().unwrap(), model.len());
                model.clear();
            }
            Op::Stats => {
                let stats = reader.stats();
                assert_eq!(stats.len, model.len() as u64);
                assert!(stats.len <= stats.slots);
            }
            Op::CheckReport => {
                let check = reader.check();
                assert!(
                    check.is_sound() && check.is_quiet && check.warnings == 0,
                    "{check}"
                );
                assert_eq!(check.entries, model.len() as u64);
            }
            Op::Recover => {
                let recovery = map.recover().unwrap();
                assert!(recovery.is_clean() && recovery.busy == 0, "{recovery}");
                assert_eq!(map.participants().len(), 1);
            }
        }
        assert_eq!(reader.len(), model.len());
    }
}
