//! A taker that comes late must not unlock what another death has left half done.
//!
//! The smallest schedule that shows it (the loom model `late_taker_does_not_unlock_what_
//! another_death_left` explores it with all others):
//!
//! 1. a mover dies in a displacement, and leaves an entry in two buckets, both locked;
//! 2. a taker finds the two copies, and is stopped before it locks the two buckets;
//! 3. others repair that entry, unlock the buckets, and go on;
//! 4. a second mover dies in a displacement of *another* entry of the same buckets;
//! 5. the taker goes on: it takes both locks from the second mover, finds its own entry there only
//!    once, and must give both back. If it unlocks them instead, there is an entry in two unlocked
//!    buckets: removed from one, it comes back from the other.
//!
//! All five steps are done by real processes.

use super::is_long;
use super::scenarios;
use super::stage::{Scenario, Stage, Val};
use super::trace::Stop;

pub(crate) fn late_taker_gives_back_what_another_death_left<V: Val>(stage: &Stage<V>) {
    let mover = scenarios::displacements(stage).swap_remove(0);
    let recording = stage.record(&mover);
    let doubled = recording.states.iter().find_map(|(step, image)| {
        stage.bytes.restore(image);
        Some((*step, image.clone(), stage.bytes.doubled_key()?))
    });
    let (doubled_at, image, twice) =
        doubled.expect("a displacement leaves an entry twice for a moment");
    let spare = stage.keys(0, &[2], V::USABLE + 2, &[mover.key])[V::USABLE + 1];
    assert!(!mover.before.contains_key(&spare));
    let taker = Scenario {
        name: format!("late taker after {}", mover.name),
        image,
        before: mover.before.clone(),
        after: mover.after.clone(),
        key: mover.key,
        neighbour: mover.neighbour,
        warm_key: mover.warm_key,
        act: Box::new(|map| drop(map.as_ref().unwrap().recover().unwrap())),
    };
    let way = stage.record_all(&taker);
    let first = way.regions[0].start;
    // It has seen the two copies, and has not yet looked whose lock it is that it needs: to find
    // out whether it is dead, it makes system calls next. Which of the long stretches between
    // two system calls that is, is not known here: so in each of them.
    let (reach, stride) = if is_long() { (2000, 20) } else { (420, 60) };
    let calls: Vec<usize> = (0..first)
        .filter(|&step| way.trail[step].stops != way.trail[step + 1].stops)
        .collect();
    let is_long_way = |pair: &&[usize]| pair[1] - pair[0] > 1000;
    let ends = calls.windows(2).filter(is_long_way).map(|pair| pair[1]);
    let mut looked = 0;
    for step in ends.flat_map(|end| (0..reach).step_by(stride).map(move |back| end - back)) {
        let mut late = stage.child_at(&taker, &way, step);
        assert!(!stage.bytes.is_at_work(late.pid()));
        let others = stage.open();
        assert_eq!(others.recover().unwrap().deduplicated, 1);
        // So that the second mover moves another entry.
        assert!(others.remove(&twice).unwrap().is_some());
        assert_eq!(others.insert(spare, V::of(spare)).unwrap(), None);
        drop(others);
        let mut second = stage.child_beside(&mover).unwrap();
        let mut steps = 0;
        while stage.bytes.doubled_key().is_none() {
            assert_eq!(
                second.step(),
                Stop::Trap,
                "the second mover went another way"
            );
            steps += 1;
        }
        assert!(steps < doubled_at * 2);
        let other = stage.bytes.doubled_key().unwrap();
        assert_ne!(other, twice);
        second.kill();
        assert_eq!(late.run_to_the_end(), Stop::Boundary);
        late.kill();
        let map = stage.open();
        let check = map.check();
        assert!(
            check.is_sound(),
            "stopped after instruction {step}: {check}"
        );
        // Removed once, it must be gone.
        assert!(map.remove(&other).unwrap().is_some());
        assert_eq!(map.get(&other).unwrap(), None, "it came back");
        map.recover().unwrap();
        assert_eq!(map.get(&other).unwrap(), None, "it came back");
        looked += 1;
    }
    assert!(looked > 0, "there is no such stretch");
    println!("late takers stopped at {looked} instructions: none unlocked what another death left");
}
