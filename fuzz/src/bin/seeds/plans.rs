//! Attacks of one kind each: every field with every value that does harm, every operation under
//! every simple attacker. What the fuzzer makes of them is up to it; the plain ones need no luck.

use shmkv_fuzz::encode::encoded;
use shmkv_fuzz::plan::{
    Attack, CachePlan, CacheStep, CorruptPlan, CorruptStep, Scribble, ScribblePlan, Strike, Target,
    Times, ForgedWord,
};
use shmkv_fuzz::{CacheOp, Op};

/// The seeds, with the target that each is for.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (number, scribble) in scribbles().into_iter().enumerate() {
        // So that each field meets several types.
        let types = (number / 4 + number) as u8;
        let plan = corrupt(types, vec![CorruptStep::Scribble(scribble)]);
        seeds.push(("corrupt", encoded(&plan)));
        let plan = cache(types, vec![CacheStep::Scribble(scribble)]);
        seeds.push(("cache_scribble", encoded(&plan)));
    }
    for last in [CorruptStep::Reopen, CorruptStep::Reboot] {
        for types in 0..3 {
            let damage = Scribble::Copy { from: 0, to: 1 };
            let plan = corrupt(types, vec![CorruptStep::Scribble(damage), last]);
            seeds.push(("corrupt", encoded(&plan)));
        }
    }
    for (number, strikes) in attackers().into_iter().enumerate() {
        let types = number as u8;
        for ops in Op::EACH.chunks(10) {
            let attack = |op: &Op| Attack {
                op: *op,
                strikes: strikes.clone(),
                again: true,
            };
            let attacks = ops.iter().map(attack).collect();
            seeds.push(("scribble", encoded(&scribble(types, attacks))));
        }
        let attack = |op: &CacheOp| CacheStep::Attack {
            op: *op,
            strikes: strikes.clone(),
            again: true,
        };
        let attacks = CacheOp::EACH.iter().map(attack).collect();
        seeds.push(("cache_scribble", encoded(&cache(types, attacks))));
    }
    seeds
}

/// Everything that is written to fields by their meaning: the same field with one value after the
/// other.
fn scribbles() -> Vec<Scribble> {
    let values = [ForgedWord::Ones, ForgedWord::Zero, ForgedWord::Small(3), ForgedWord::AllSlots(1)];
    let with_each = |write: &dyn Fn(ForgedWord) -> Scribble| values.map(write);
    let mut all = Vec::new();
    for word in 0..32 {
        all.extend(with_each(&|value| Scribble::Geometry { word, value }));
        all.extend(with_each(&|value| Scribble::Store { word, value }));
    }
    for (bucket, word) in (0..2).flat_map(|bucket| (0..8).map(move |word| (bucket, word))) {
        all.extend(with_each(&|value| Scribble::Header {
            bucket,
            word,
            value,
        }));
    }
    for word in 0..16 {
        all.extend(with_each(&|value| Scribble::Participant { word, value }));
    }
    for word in 0..32_u16 {
        all.extend(with_each(&|value| Scribble::Moves { word, value }));
        all.extend(with_each(&|value| Scribble::Slot {
            bucket: 0,
            word,
            value,
        }));
    }
    for waiters in [false, true] {
        all.extend((0..4).map(|bucket| Scribble::LockOfTheLiving {
            bucket,
            slot: 0,
            waiters,
        }));
    }
    all
}

/// Schedules that never end: one blow over and over, before every access, and now and then.
fn attackers() -> Vec<Vec<Strike>> {
    let mut blows = vec![
        vec![Target::Publish {
            commits: 1,
            occupied: 0x7FFF,
        }],
        vec![Target::Publish {
            commits: 1,
            occupied: 0,
        }],
        vec![Target::This(ForgedWord::Ones), Target::Restore],
        vec![
            Target::Publish {
                commits: 1,
                occupied: 0,
            },
            Target::Restore,
        ],
        vec![Target::Near(1, ForgedWord::Any(0x0101_0101_0101_0101))],
        vec![Target::Somewhere(Scribble::LockOfTheLiving {
            bucket: 0,
            slot: 0,
            waiters: true,
        })],
    ];
    for value in [
        ForgedWord::Ones,
        ForgedWord::Zero,
        ForgedWord::Small(1),
        ForgedWord::Any(0x5A5A_0000_0000_5A5A),
    ] {
        blows.push(vec![Target::This(value)]);
        blows.extend((0..8).map(|word| vec![Target::Line(word, value)]));
        for word in 0..3 {
            blows.push(vec![Target::Somewhere(Scribble::Moves { word, value })]);
        }
    }
    let strikes = |targets: &[Target], pause| {
        let strike = |target: &Target| Strike {
            pause,
            target: *target,
        };
        targets.iter().map(strike).collect()
    };
    let pauses = [0, 1, 7];
    blows
        .iter()
        .flat_map(|targets| pauses.map(|pause| strikes(targets, pause)))
        .collect()
}

fn corrupt(types: u8, steps: Vec<CorruptStep>) -> CorruptPlan {
    CorruptPlan {
        types,
        capacity: 40,
        entries: 35,
        steps,
    }
}

fn scribble(types: u8, attacks: Vec<Attack>) -> ScribblePlan {
    ScribblePlan {
        types,
        capacity: 40,
        entries: 35,
        before: Vec::new(),
        attacks,
    }
}

fn cache(types: u8, steps: Vec<CacheStep>) -> CachePlan {
    let times = Times {
        live: Some(1000),
        idle: None,
        stale: Some(1000),
        negative: Some(1000),
        statistics: true,
    };
    CachePlan {
        types,
        capacity: 40,
        times,
        steps,
    }
}
