//! What an operation leads through, instruction by instruction, and how to get there again.
//!
//! An operation that has to find out who lives makes many system calls and many instructions
//! between them that touch nothing of the segment. So it is first run from system call to system
//! call, to see between which of them anything changes; then only there it is stepped through.
//! (`SHMKV_LONG=1` steps through all of it, and so counts all instructions.)
//!
//! A single step is slow: under a hypervisor tens of microseconds. So on the way back to an
//! instruction a child runs freely to the last system call before it, then to a breakpoint at an
//! instruction that has not been executed often since, and only from there by steps.

use std::collections::HashMap;

use super::bytes::Image;
use super::is_long;
use super::stage::{Scenario, Stage, Val};
use super::trace::{Child, Stop};

/// An operation, watched from its first instruction to its last.
pub(crate) struct Recording {
    /// All states of the segment, each with the number of the instruction after which it was
    /// first seen.
    pub(crate) states: Vec<(usize, Image)>,
    /// How many instructions were stepped through, a system call being one.
    pub(crate) instructions: usize,
    /// The stretches in which the process holds something.
    pub(crate) regions: Vec<Region>,
    /// The way to each instruction.
    pub(crate) trail: Vec<Spot>,
}

/// The way to an instruction: so many stops at the beginning or the end of a system call, then
/// so many breakpoints at one address, then so many steps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spot {
    pub(crate) stops: usize,
    address: u64,
    breakpoints: usize,
    steps: usize,
}

/// What going on from one breakpoint to the next takes, in steps.
const BREAKPOINT_STEPS: usize = 3;

impl Spot {
    /// What the way takes, in steps.
    fn cost(&self) -> usize {
        self.stops + self.breakpoints * BREAKPOINT_STEPS + self.steps
    }
}

/// Makes the ways while a child goes along for the first time.
#[derive(Default)]
pub(crate) struct Pathfinder {
    spot: Spot,
    /// How often each address has been come to since the last stop.
    passed: HashMap<u64, usize>,
}

impl Pathfinder {
    /// How many stops there were.
    pub(crate) fn stops(&self) -> usize {
        self.spot.stops
    }

    /// The child has come to `count` more beginnings or ends of system calls.
    pub(crate) fn stopped(&mut self, child: &Child, count: usize) -> Spot {
        self.spot = Spot {
            stops: self.spot.stops + count,
            ..Spot::default()
        };
        self.passed.clear();
        self.passed.insert(address(child), 1);
        self.spot
    }

    /// The child has made one more step.
    pub(crate) fn stepped(&mut self, child: &Child) -> Spot {
        self.spot.steps += 1;
        let address = address(child);
        let passed = self.passed.entry(address).or_default();
        *passed += 1;
        let by_breakpoints = Spot {
            stops: self.spot.stops,
            address,
            breakpoints: *passed,
            steps: 0,
        };
        if address != 0 && by_breakpoints.cost() < self.spot.cost() {
            self.spot = by_breakpoints;
        }
        self.spot
    }
}

/// Consecutive instructions during which a process holds a lock, or claims a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// The number of instructions after which it holds something for the first time.
    pub(crate) start: usize,
    /// After how many instructions from there on it still does.
    pub(crate) len: usize,
    /// Where the next instruction is then; 0 if that cannot be told here.
    address: u64,
    /// How many regions begin at that address, up to this one.
    ordinal: usize,
}

/// Instructions before and behind a region that are looked at as well.
pub(crate) const MARGIN: usize = 3;

impl<V: Val> Stage<V> {
    pub(crate) fn record(&self, scenario: &Scenario<V>) -> Recording {
        if !is_long() {
            let hot = self.hot(scenario);
            // What is as it was before at each stop has locked and unlocked without a change.
            if !hot.is_empty()
                && let Some(recording) = self.record_in(scenario, Some(&hot))
            {
                return recording;
            }
        }
        self.record_all(scenario)
    }

    /// Steps through all of it.
    pub(crate) fn record_all(&self, scenario: &Scenario<V>) -> Recording {
        self.record_in(scenario, None)
            .expect("all of it was stepped through")
    }

    /// Steps through the stretches that are hot, or all; `None` if something happened in another
    /// place.
    fn record_in(
        &self,
        scenario: &Scenario<V>,
        hot: Option<&std::collections::BTreeSet<usize>>,
    ) -> Option<Recording> {
        let is_hot = |stops: usize| hot.is_none_or(|hot| hot.contains(&stops));
        let mut child = self.child(scenario).unwrap();
        let mut way = Pathfinder::default();
        let mut recording = Recording {
            states: vec![(0, self.bytes.image())],
            instructions: 0,
            regions: Vec::new(),
            trail: vec![way.stopped(&child, 0)],
        };
        let mut is_inside = false;
        loop {
            let is_call = at_system_call(&child);
            let is_stepped = is_hot(way.stops());
            let is_step = is_stepped && !is_call;
            let stop = match is_step {
                true => child.step(),
                false => match child.run_to_syscall() {
                    Stop::Trap => child.run_to_syscall(),
                    other => other,
                },
            };
            match stop {
                Stop::Trap => {}
                Stop::Boundary => break,
                Stop::Gone(status) => panic!("{}: the child ended: {status}", scenario.name),
            }
            let spot = match is_step {
                true => way.stepped(&child),
                false => way.stopped(&child, 2),
            };
            let is_same = self.bytes.is(&recording.states.last().unwrap().1);
            if !is_stepped && !is_same {
                return None;
            }
            if !is_stepped {
                // It goes on from here, whatever it has done until here.
                *recording.trail.last_mut().unwrap() = spot;
                continue;
            }
            recording.instructions += 1;
            recording.trail.push(spot);
            if !is_same {
                let image = self.bytes.image();
                recording.states.push((recording.instructions, image));
            }
            let was_inside = std::mem::replace(&mut is_inside, self.bytes.is_at_work(child.pid()));
            match recording.regions.last_mut() {
                Some(last) if is_inside && was_inside => last.len += 1,
                _ if is_inside => {
                    let address = address(&child);
                    let same = |region: &&Region| region.address == address;
                    let ordinal = recording.regions.iter().filter(same).count() + 1;
                    recording.regions.push(Region {
                        start: recording.instructions,
                        len: 1,
                        address,
                        ordinal,
                    });
                }
                _ => {}
            }
        }
        child.kill();
        Some(recording)
    }

    /// After which numbers of stops at system calls something happens to the segment before the next
    /// one: the longest such stretch of each, and its neighbours, since another process may take
    /// another way.
    fn hot(&self, scenario: &Scenario<V>) -> std::collections::BTreeSet<usize> {
        let mut child = self.child(scenario).unwrap();
        let mut before = self.bytes.image();
        let mut hot = std::collections::BTreeSet::new();
        for stops in 0_usize.. {
            let stop = child.run_to_syscall();
            let is_changed = !self.bytes.is(&before);
            if is_changed || self.bytes.is_at_work(child.pid()) {
                hot.extend(stops / 2 * 2..=stops);
                hot.extend([stops.saturating_sub(2) / 2 * 2, stops / 2 * 2 + 2]);
            }
            if is_changed {
                before = self.bytes.image();
            }
            if stop != Stop::Trap {
                break;
            }
        }
        child.kill();
        hot
    }

    /// A child that has gone so many steps into a region. Who asks whether another one lives, with
    /// a lock in its hands, goes on for tens of thousands of instructions: then system calls
    /// show a shorter way.
    pub(crate) fn child_inside(
        &self,
        scenario: &Scenario<V>,
        recording: &Recording,
        region: &Region,
        step: usize,
    ) -> Child {
        let spot = recording.trail.get(region.start + step);
        if let Some(spot) = spot.filter(|spot| spot.cost() < step) {
            let mut child = self.child(scenario).unwrap();
            let is_inside = step < region.len;
            if go_to(&mut child, *spot) && self.bytes.is_at_work(child.pid()) == is_inside {
                return child;
            }
        }
        let mut child = self.child_in(scenario, recording, region);
        child.steps(step);
        child
    }

    /// A child that has just come to where the region starts.
    pub(crate) fn child_in(
        &self,
        scenario: &Scenario<V>,
        recording: &Recording,
        region: &Region,
    ) -> Child {
        let mut child = self.child(scenario).unwrap();
        if !self.run_into(&mut child, recording, region) {
            // It went another way, since where a slot is looked for depends on the process id.
            child = self.child_at(scenario, recording, region.start.saturating_sub(200));
            while !self.bytes.is_at_work(child.pid()) {
                assert_eq!(child.step(), Stop::Trap, "{}: {region:?}", scenario.name);
            }
        }
        child
    }

    /// Runs freely to where the region starts.
    #[cfg(target_arch = "x86_64")]
    fn run_into(&self, child: &mut Child, _: &Recording, region: &Region) -> bool {
        let mut found = 0;
        loop {
            if child.run_to(region.address) != Stop::Trap {
                return false;
            }
            // The same instructions also follow an attempt that failed.
            found += usize::from(self.bytes.is_at_work(child.pid()));
            if found == region.ordinal {
                return true;
            }
            if child.step() != Stop::Trap {
                return false;
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn run_into(&self, child: &mut Child, recording: &Recording, region: &Region) -> bool {
        go_to(child, recording.trail[region.start]) && self.bytes.is_at_work(child.pid())
    }

    /// A child that has done so many instructions of its operation.
    pub(crate) fn child_at(
        &self,
        scenario: &Scenario<V>,
        recording: &Recording,
        instructions: usize,
    ) -> Child {
        let mut child = self.child(scenario).unwrap();
        go_to(&mut child, recording.trail[instructions]);
        child
    }
}

/// Brings a child to a place; `false` if its way ended before.
pub(crate) fn go_to(child: &mut Child, spot: Spot) -> bool {
    (0..spot.stops).all(|_| child.run_to_syscall() == Stop::Trap)
        && (0..spot.breakpoints).all(|passed| {
            (passed == 0 || child.step() == Stop::Trap) && run_to(child, spot.address)
        })
        && child.steps(spot.steps) == Stop::Trap
}

#[cfg(target_arch = "x86_64")]
fn run_to(child: &mut Child, address: u64) -> bool {
    child.run_to(address) == Stop::Trap
}

/// No way has breakpoints there.
#[cfg(not(target_arch = "x86_64"))]
fn run_to(_: &mut Child, _: u64) -> bool {
    false
}

#[cfg(target_arch = "x86_64")]
fn address(child: &Child) -> u64 {
    child.address()
}

#[cfg(target_arch = "x86_64")]
pub(crate) fn at_system_call(child: &Child) -> bool {
    child.is_at_a_system_call()
}

#[cfg(not(target_arch = "x86_64"))]
fn address(_: &Child) -> u64 {
    0
}

/// A step over a system call is a step like any other there.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn at_system_call(_: &Child) -> bool {
    false
}
