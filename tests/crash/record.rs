//! What an operation leads through, instruction by instruction, and how to get there again.

use super::bytes::Image;
use super::stage::{Scenario, Stage, Val};
use super::trace::{Child, Stop};

/// An operation, watched from its first instruction to its last.
pub(crate) struct Recording {
    /// All states of the segment, each with the number of the instruction after which it was
    /// first seen.
    pub(crate) states: Vec<(usize, Image)>,
    pub(crate) instructions: usize,
    /// The stretches in which the process holds something.
    pub(crate) regions: Vec<Region>,
    /// For each instruction, the place behind it.
    trail: Vec<Place>,
}

/// The address of the next instruction, and how often the process has come there until then.
type Place = (u64, usize);

/// Consecutive instructions during which a process holds a lock, or claims a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    /// The number of instructions after which it holds something for the first time.
    pub(crate) start: usize,
    /// After how many instructions from there on it still does.
    pub(crate) len: usize,
}

/// Instructions before and behind a region that are looked at as well.
pub(crate) const MARGIN: usize = 3;

impl<V: Val> Stage<V> {
    pub(crate) fn record(&self, scenario: &Scenario<V>) -> Recording {
        let mut child = self.child(scenario).unwrap();
        let mut places = Places::new(&child);
        let mut recording = Recording {
            states: vec![(0, self.bytes.image())],
            instructions: 0,
            regions: Vec::new(),
            trail: vec![places.first()],
        };
        let mut is_inside = false;
        loop {
            match child.step() {
                Stop::Trap => {}
                Stop::Boundary => break,
                Stop::Gone(status) => panic!("{}: the child ended: {status}", scenario.name),
            }
            recording.instructions += 1;
            recording.trail.push(places.next(&child));
            if !self.bytes.is(&recording.states.last().unwrap().1) {
                let image = self.bytes.image();
                recording.states.push((recording.instructions, image));
            }
            let was_inside = std::mem::replace(&mut is_inside, self.bytes.is_at_work(child.pid()));
            match recording.regions.last_mut() {
                Some(last) if is_inside && was_inside => last.len += 1,
                _ if is_inside => recording.regions.push(Region {
                    start: recording.instructions,
                    len: 1,
                }),
                _ => {}
            }
        }
        child.kill();
        recording
    }

    /// A child that has just come to where the region starts.
    pub(crate) fn child_in(
        &self,
        scenario: &Scenario<V>,
        recording: &Recording,
        region: &Region,
    ) -> Child {
        let mut child = self.child_at(scenario, recording, region.start);
        // Where a slot is looked for depends on the process id: then the way is not always
        // the same.
        while !self.bytes.is_at_work(child.pid()) {
            assert_eq!(child.step(), Stop::Trap, "{}: {region:?}", scenario.name);
        }
        child
    }

    /// A child that has done so many instructions of its operation.
    pub(crate) fn child_at(
        &self,
        scenario: &Scenario<V>,
        recording: &Recording,
        instructions: usize,
    ) -> Child {
        let mut child = self.child(scenario).unwrap();
        if !go_to(&mut child, recording, instructions) {
            // It went another way, and did not come there at all.
            child = self.child(scenario).unwrap();
            child.steps(instructions);
        }
        child
    }
}

/// How often the process was at each address.
#[cfg(target_arch = "x86_64")]
struct Places(std::collections::HashMap<u64, usize>);

#[cfg(target_arch = "x86_64")]
impl Places {
    fn new(child: &Child) -> Self {
        Self([(child.address(), 1)].into())
    }

    fn first(&self) -> Place {
        let (address, times) = self.0.iter().next().expect("the first was put in");
        (*address, *times)
    }

    fn next(&mut self, child: &Child) -> Place {
        let address = child.address();
        let times = self.0.entry(address).or_default();
        *times += 1;
        (address, *times)
    }
}

#[cfg(target_arch = "x86_64")]
fn go_to(child: &mut Child, recording: &Recording, instructions: usize) -> bool {
    let (address, times) = recording.trail[instructions];
    child.run_to(address, times) == Stop::Trap
}

#[cfg(not(target_arch = "x86_64"))]
struct Places;

#[cfg(not(target_arch = "x86_64"))]
impl Places {
    fn new(_: &Child) -> Self {
        Self
    }

    fn first(&self) -> Place {
        (0, 0)
    }

    fn next(&mut self, _: &Child) -> Place {
        (0, 0)
    }
}

/// Step by step: no breakpoints here.
#[cfg(not(target_arch = "x86_64"))]
fn go_to(child: &mut Child, _: &Recording, instructions: usize) -> bool {
    child.steps(instructions) == Stop::Trap
}
