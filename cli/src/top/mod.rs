//! `shmkv top`: what goes on, live.
//!
//! The model looks at the segments and computes rates, the view draws it, the screen is the
//! terminal and sees to it that it is restored, and the loop here ties them together.

mod keys;
mod model;
mod screen;
mod view;

use std::time::{Duration, Instant};

use clap::Args;
use shmkv::Segment;

use crate::failure::{ExitStatus, Failure, Outcome};
use crate::hangup::Streams;
use crate::open::Global;
use keys::Action;
use model::Model;
use screen::Screen;

/// Shows segments live: entries, load, rates, writers, slow locks.
///
/// WRITES/S counts entries that were inserted, removed or replaced; those replaced in place (values
/// of at most 8 bytes in a map) leave no trace and are not counted, nor are reads, which store
/// nothing. A lock is held for some dozens of nanoseconds: one that is listed was held by the same
/// process at two looks in a row.
///
/// Keys: up and down select a segment, s sorts by the next column, r reverses, + and - change the
/// interval, p pauses, q quits, ? shows this list.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv top\n  shmkv top shm:quotes --interval 250ms")]
pub(crate) struct Top {
    /// Only these; otherwise all of this machine that this user may read.
    segments: Vec<Segment>,
    /// How often to look.
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Panic after so many frames: shows that the terminal is restored then, too.
    #[arg(long, hide = true)]
    panic_after: Option<u64>,
}

impl Top {
    pub(crate) fn run(self, global: Global) -> Outcome {
        // What cannot be opened is said before the screen is taken.
        for segment in &self.segments {
            global.read(segment)?;
        }
        let streams = Streams::new();
        if !streams.are_terminals() {
            return Err(Failure::new(
                "top needs a terminal: use `shmkv info --json` in scripts",
            ));
        }
        let mut model = Model::new(global, self.segments, self.interval);
        let mut screen = Screen::enter(streams)?;
        main_loop(&mut model, &mut screen, self.panic_after)
    }
}

/// Until the user quits, or a signal ends it.
fn main_loop(model: &mut Model, screen: &mut Screen, panic_after: Option<u64>) -> Outcome {
    /// How long a signal may go unnoticed.
    const SLICE: Duration = Duration::from_millis(50);
    let mut frames = 0;
    let mut next_look = Instant::now();
    let mut is_stale = true;
    loop {
        if Instant::now() >= next_look && !model.is_paused() {
            model.refresh();
            next_look = Instant::now() + model.interval();
            is_stale = true;
        }
        if is_stale {
            screen.draw(|frame| view::draw(frame, model))?;
            frames += 1;
            is_stale = false;
            assert!(panic_after != Some(frames), "this panic was asked for");
        }
        let wait = next_look
            .saturating_duration_since(Instant::now())
            .min(SLICE);
        // Not at once again and again while paused.
        let wait = if model.is_paused() { SLICE } else { wait };
        for action in screen.actions(wait)? {
            match action {
                Action::Quit => return Ok(ExitStatus::Fine),
                Action::Back if !model.shows_help => return Ok(ExitStatus::Fine),
                Action::Back => model.shows_help = false,
                Action::Redraw => screen.clear()?,
                action => model.act(action),
            }
            // A new interval counts from now.
            next_look = next_look.min(Instant::now() + model.interval());
            is_stale = true;
        }
    }
}
