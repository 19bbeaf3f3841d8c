//! Adversaries that run between any two accesses of an operation, which no real peer can be sure
//! of. Each aims at one of the loops.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::StepBounds;
use crate::protocol::shape::HEADER_WORDS;
use crate::sys::sync::{AtomicU64, Ordering};
use crate::sys::watched::watch;
use crate::sys::words::index_of;
use crate::{Key, Map, ReadOnlyMap, Segment, Value};

/// Runs before each access: the words of the segment, and which one is about to be accessed.
type Adversary = Box<dyn FnMut(&[AtomicU64], usize)>;

/// A map that somebody attacks.
struct Scene<K, V> {
    map: Map<K, V>,
    reader: ReadOnlyMap<K, V>,
    step_bounds: StepBounds,
}

impl<K: Key, V: Value> Scene<K, V> {
    fn new(capacity: usize, entry: impl Fn(u64) -> (K, V)) -> Self {
        let map: Map<K, V> = Map::builder()
            .capacity(capacity)
            .max_writers(3)
            .lock_timeout(Duration::ZERO)
            .create(Segment::memfd("bounds").unwrap())
            .unwrap();
        for number in 0..capacity as u64 {
            let (key, value) = entry(number);
            map.insert(key, value).unwrap();
        }
        let reader = Map::builder()
            .open_read_only(map.segment().clone())
            .unwrap();
        let step_bounds = StepBounds::of(map.shared());
        Self {
            map,
            reader,
            step_bounds,
        }
    }

    fn words(&self) -> &[AtomicU64] {
        self.map.shared().mapping.words()
    }

    /// Runs an operation under attack and returns how many words it accessed, which are
    /// not to be more than a bound. (It is not waited for: perhaps it would never end.)
    fn count(
        &self,
        mut adversary: Adversary,
        bound: Option<(String, u64)>,
        run: impl FnOnce(),
    ) -> u64 {
        let count = Rc::new(Cell::new(0u64));
        let counter = Rc::clone(&count);
        let owned = [&self.map as &ReadOnlyMap<K, V>, &self.reader].map(ReadOnlyMap::clone_shared);
        let writer = self.map.clone_shared();
        let before = move |word: &AtomicU64| {
            // Words of this process are no business of the adversary's, nor of the bounds.
            let place = owned
                .iter()
                .find_map(|mapped| index_of(mapped.mapping.words(), word));
            if let Some(index) = place {
                counter.set(counter.get() + 1);
                if let Some((what, bound)) = &bound {
                    assert!(
                        counter.get() <= *bound,
                        "{what}: more than {bound} accesses"
                    );
                }
                adversary(writer.mapping.words(), index);
            }
        };
        watch(before, run);
        count.get()
    }
}

/// splitmix64 (Steele, Lea and Flood).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Words that do more harm than random ones.
fn nasty(state: &mut u64, token: u64) -> u64 {
    match random(state) % 8 {
        0..3 => random(state),
        3 => random(state) % 20,
        4 => u64::MAX,
        5 => random(state) | 0xFFFF,
        6 => token ^ (random(state) % 4),
        _ => 1 << (random(state) % 64),
    }
}

/// A scene and who attacks it.
struct Attack<'a, K, V> {
    scene: &'a Scene<K, V>,
    what: &'a str,
    adversary: &'a dyn Fn() -> Adversary,
}

impl<K: Key, V: Value> Attack<'_, K, V> {
    fn assert_ends<T>(&self, operation: &str, bound: u64, run: impl FnOnce() -> T) {
        let what = format!("{operation}, {}", self.what);
        let count = self
            .scene
            .count((self.adversary)(), Some((what.clone(), bound)), || {
                run();
            });
        if std::env::var_os("SHMKV_LONG").is_some() {
            println!("{count:>9} of {bound:>12}  {what}");
        }
    }

    /// Every operation, with its stated bound.
    fn run(&self, restless: bool, (key, value): (K, V)) {
        let Scene {
            map,
            reader,
            step_bounds,
        } = self.scene;
        let read = step_bounds.read(restless);
        self.assert_ends("get", read, || reader.get(&key));
        self.assert_ends("contains_key", read, || reader.contains_key(&key));
        let with_lock = read + step_bounds.write(restless);
        self.assert_ends("get of a writer", with_lock, || map.get(&key));
        // The batch asks for lines ahead of time, a header each.
        self.assert_ends("get_many", 3 * (read + step_bounds.words), || {
            reader.get_many(&[key; 3], &mut [None; 3])
        });
        let write = step_bounds.write(restless);
        self.assert_ends("insert", write, || map.insert(key, value));
        self.assert_ends("try_insert", write, || map.try_insert(key, value));
        self.assert_ends("compare_exchange", write, || {
            map.compare_exchange(&key, &value, value)
        });
        self.assert_ends("remove", write, || map.remove(&key));
        self.assert_ends("insert again", write, || map.insert(key, value));
        let transform = step_bounds.transform(restless);
        self.assert_ends("update", transform, || map.update(&key, |_| value));
        self.assert_ends("remove_if", transform, || map.remove_if(&key, |_| true));
        self.assert_ends("fetch_update", transform, || {
            map.fetch_update(&key, |_| Some(value))
        });
        self.assert_ends("len", step_bounds.count(), || reader.len());
        self.assert_ends("stats", step_bounds.count(), || reader.stats());
        let walk = step_bounds.walk(restless);
        self.assert_ends("iter", walk, || reader.iter().for_each(drop));
        self.assert_ends("check", step_bounds.check(restless), || reader.check());
        self.assert_ends("recover", step_bounds.recover(restless), || map.recover());
        let clear = step_bounds.sweep(restless, write);
        self.assert_ends("clear", clear, || map.clear());
        let retain = step_bounds.sweep(restless, transform);
        self.assert_ends("retain", retain, || map.retain(|_, _| false));
    }
}

fn at_rest() -> Adversary {
    Box::new(|_, _| ())
}

fn invalid_bytes_at_rest<K: Key, V: Value>(entry: impl Fn(u64) -> (K, V)) {
    for seed in 0..40 {
        let scene = Scene::new(40, &entry);
        let token = scene.map.shared().token().unwrap().to_word();
        let mut state = seed;
        let places = scene.map.header().places;
        let words = scene.words();
        let area = match seed % 3 {
            0 => places.buckets..places.end,
            1 => places.moves..places.end,
            _ => places.shared..places.end,
        };
        for (index, word) in words.iter().enumerate().take(area.end).skip(area.start) {
            let in_bucket = index >= places.buckets
                && (index - places.buckets) % scene.step_bounds.words as usize >= HEADER_WORDS;
            // Keys that are found, and their duplicates, need some order among the invalid bytes.
            let spare = seed % 2 == 0 && in_bucket && !random(&mut state).is_multiple_of(4);
            if !spare {
                word.store(nasty(&mut state, token), Ordering::Relaxed);
            }
        }
        for number in 0..4 {
            Attack {
                scene: &scene,
                what: "invalid bytes at rest",
                adversary: &at_rest,
            }
            .run(false, entry(number));
        }
    }
}

#[test]
fn invalid_bytes_at_rest_cost_no_more_than_a_few_looks() {
    invalid_bytes_at_rest(|number| (number, number));
    invalid_bytes_at_rest(|number| (number, [number; 3]));
}

/// An adversary that the loops of readers are made for: no look is ever confirmed.
fn publishes_before_each_access(step_bounds: StepBounds, first: usize) -> Adversary {
    let mut version = 1u64 << 40;
    Box::new(move |words, index| {
        if let Some(index) = index.checked_sub(first) {
            version += 1 << 17;
            let bucket = first + index / step_bounds.words as usize * step_bounds.words as usize;
            words[bucket].store(version | 0xFFFF, Ordering::Relaxed);
        }
    })
}

/// No lock is ever taken, though all are free: an exchange finds another word each time.
fn loses_every_race(step_bounds: StepBounds, first: usize) -> Adversary {
    let mut flag = 0u64;
    Box::new(move |words, index| {
        if index >= first && (index - first) % step_bounds.words as usize == 1 {
            flag ^= 1;
            words[index].store(flag, Ordering::Relaxed);
        }
    })
}

/// Every lock belongs to somebody who never was: as soon as one is free again, the next one has it.
fn is_always_dead(step_bounds: StepBounds, first: usize) -> Adversary {
    let mut generation = 5u64;
    Box::new(move |words, index| {
        let is_lock = index >= first && (index - first) % step_bounds.words as usize == 1;
        if is_lock && words[index].load(Ordering::Relaxed) == 0 {
            generation += 1;
            words[index].store(generation << 17 | 0xFFF << 1, Ordering::Relaxed);
        }
    })
}

/// The same, and whatever is repaired is doubled again: all buckets are as they were at first.
fn doubles_what_is_repaired(
    step_bounds: StepBounds,
    first: usize,
    picture: Rc<Vec<u64>>,
) -> Adversary {
    let mut dies = is_always_dead(step_bounds, first);
    Box::new(move |words, index| {
        if index >= first && (index - first) % step_bounds.words as usize == 1 {
            for (place, value) in picture.iter().enumerate() {
                let is_lock = place % step_bounds.words as usize == 1;
                if !is_lock {
                    words[first + place].store(*value, Ordering::Relaxed);
                }
            }
        }
        dies(words, index);
    })
}

/// The ring of moves is always ahead, and names every key.
fn moves_all_the_time(step_bounds: StepBounds, moves: usize, first: usize) -> Adversary {
    let mut head = 0u64;
    Box::new(move |words, index| {
        if index == moves {
            head += step_bounds.moves / 2;
            words[moves].store(head, Ordering::Relaxed);
        } else if index > moves && index < first {
            let number = head.wrapping_sub(index as u64 % step_bounds.moves);
            words[index].store(number << 1, Ordering::Relaxed);
        }
    })
}

fn anything(seed: u64, token: u64, often: u64, behind: usize) -> Adversary {
    let mut state = seed;
    Box::new(move |words, index| {
        if index >= behind && random(&mut state).is_multiple_of(often) {
            words[index].store(nasty(&mut state, token), Ordering::Relaxed);
        }
    })
}

fn rewritten_all_the_time<K: Key, V: Value>(entry: impl Fn(u64) -> (K, V)) {
    // Few buckets: some of these bounds are a quarter of a million looks for each.
    let scene = || Scene::new(26, &entry);
    let first = |scene: &Scene<K, V>| scene.map.header().places.buckets;
    let token = |scene: &Scene<K, V>| scene.map.shared().token().unwrap().to_word();

    let attack = |scene: &Scene<K, V>, what: &str, adversary: &dyn Fn() -> Adversary| {
        Attack {
            scene,
            what,
            adversary,
        }
        .run(true, entry(1));
    };

    let restless = scene();
    let (step_bounds, start) = (restless.step_bounds, first(&restless));
    attack(&restless, "published all the time", &|| {
        publishes_before_each_access(step_bounds, start)
    });

    let unlucky = scene();
    let (step_bounds, start) = (unlucky.step_bounds, first(&unlucky));
    attack(&unlucky, "every race lost", &|| {
        loses_every_race(step_bounds, start)
    });

    let dead = scene();
    let (step_bounds, start) = (dead.step_bounds, first(&dead));
    attack(&dead, "always dead", &|| is_always_dead(step_bounds, start));

    let doubled = scene();
    let (step_bounds, start) = (doubled.step_bounds, first(&doubled));
    // Two buckets with the same entries, all of them in their primary bucket in one, but not in the
    // other.
    let words = &doubled.words()[start..];
    let bucket = step_bounds.words as usize;
    for index in 0..bucket {
        let word = words[index].load(Ordering::Relaxed);
        for copy in 1..step_bounds.buckets as usize {
            words[copy * bucket + index].store(word, Ordering::Relaxed);
        }
    }
    let picture: Vec<u64> = words
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect();
    let picture = Rc::new(picture);
    attack(&doubled, "doubled all the time", &|| {
        doubles_what_is_repaired(step_bounds, start, Rc::clone(&picture))
    });

    let moving = scene();
    let (step_bounds, start) = (moving.step_bounds, first(&moving));
    let moves = moving.map.header().places.moves;
    attack(&moving, "moving all the time", &|| {
        moves_all_the_time(step_bounds, moves, start)
    });

    for seed in 0..12 {
        let wild = scene();
        let (token, behind) = (token(&wild), wild.map.header().places.shared);
        attack(&wild, "anything", &|| {
            anything(seed, token, 1 + seed * seed, behind)
        });
    }
}

#[test]
fn rewriting_words_between_any_two_accesses_ends_every_operation_in_time() {
    rewritten_all_the_time(|number| (number, number));
}

#[test]
fn rewriting_long_values_between_any_two_accesses_ends_every_operation_in_time() {
    rewritten_all_the_time(|number| (number, [number; 3]));
}

#[test]
fn locks_of_dead_processes_that_are_forged_without_end_are_taken_over_so_often_and_no_more() {
    let scene: Scene<u64, u64> = Scene::new(26, |number| (number, number));
    let (step_bounds, first) = (scene.step_bounds, scene.map.header().places.buckets);
    let (answer, taken) = (Cell::new(None), Rc::new(Cell::new(0u64)));
    let (mut dies, taken_over) = (is_always_dead(step_bounds, first), Rc::clone(&taken));
    let adversary = move |words: &[AtomicU64], index: usize| {
        let lock = words[index].load(Ordering::Relaxed);
        dies(words, index);
        taken_over.set(taken_over.get() + u64::from(words[index].load(Ordering::Relaxed) != lock));
    };
    scene.count(Box::new(adversary), None, || {
        answer.set(Some(scene.map.insert(1, 1)));
    });
    let error = answer.take().unwrap().unwrap_err();
    assert!(matches!(error, crate::WriteError::Busy { .. }), "{error}");
    let rounds = u64::from(crate::protocol::table::writer::FREE_ROUNDS);
    assert!(
        (rounds..rounds + 4).contains(&taken.get()),
        "{}",
        taken.get()
    );
    // The same key again, once that is over.
    assert_eq!(scene.map.insert(1, 1), Ok(Some(1)));
}

#[test]
fn a_read_of_an_honest_segment_takes_the_accesses_that_it_needs() {
    // The counter counts: two looks at the state, two words of tags, the key, the value.
    // One segment in some hundred needs another look at a key: of two with the same tag.
    let accesses = |scene: &Scene<u64, u64>| {
        scene.count(at_rest(), None, || {
            assert_eq!(scene.reader.get(&3), Ok(Some(3)))
        })
    };
    let scenes: [Scene<u64, u64>; 4] =
        std::array::from_fn(|_| Scene::new(4, |number| (number, number)));
    assert_eq!(scenes.iter().map(accesses).min(), Some(6));
    let [scene, ..] = scenes;
    // And no header is among them, nor anything else in front of the buckets.
    let start = scene.map.header().places.buckets;
    let behind = move |_: &[AtomicU64], index: usize| assert!(index >= start);
    scene.count(Box::new(behind), None, || {
        for key in 0..10 {
            let _ = scene.reader.get(&key);
            let _ = scene.reader.contains_key(&key);
        }
    });
}

#[test]
fn no_operation_looks_at_the_header_again() {
    let scene: Scene<u64, u64> = Scene::new(60, |number| (number, number));
    let header = scene.map.header().places.shared;
    let refuse = move |_: &[AtomicU64], index: usize| {
        assert!(index >= header, "word {index} belongs to the header");
    };
    let everything = || {
        for key in 0..200 {
            let _ = scene.map.insert(key, key);
            let _ = scene.reader.get(&key);
        }
        for key in 0..200 {
            let _ = scene.map.update(&key, |value| value + 1);
            if key % 2 == 0 {
                let _ = scene.map.remove(&key);
            }
        }
        assert!(scene.reader.iter().all(|entry| entry.is_ok()));
        assert!(scene.reader.check().is_sound());
        scene.map.recover().unwrap();
        let stats = scene.reader.stats();
        assert!(stats.displaced > 0, "the table was full");
        assert_eq!(scene.map.participants().len(), 1);
        scene.map.clear().unwrap();
    };
    assert!(scene.count(Box::new(refuse), None, everything) > 10_000);
}

/// How many words of a map's segment an operation accesses.
pub(super) fn accesses<K: Key, V: Value>(map: &Map<K, V>, run: impl FnOnce()) -> u64 {
    let count = Rc::new(Cell::new(0));
    let (counter, shared) = (Rc::clone(&count), map.clone_shared());
    let before = move |word: &AtomicU64| {
        if index_of(shared.mapping.words(), word).is_some() {
            counter.set(counter.get() + 1);
        }
    };
    watch(before, run);
    count.get()
}
