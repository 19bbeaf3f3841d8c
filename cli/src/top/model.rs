//! What is known about the segments, and what became of it since the last look.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use shmkv::cache::CacheStats;
use shmkv::dynamic::{Activity, HeldLock};
use shmkv::process::Participant;
use shmkv::{ReadOnlyDynMap, Segment};

use super::keys::Action;
use crate::failure::Failure;
use crate::open::Global;

/// How many looks are remembered: as many as a wide terminal can show.
const HISTORY: usize = 240;

/// The columns that can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Name,
    Entries,
    Load,
    Writes,
    Hits,
    Evictions,
    Writers,
}

impl Sort {
    const ALL: [Self; 7] = [
        Self::Name,
        Self::Entries,
        Self::Load,
        Self::Writes,
        Self::Hits,
        Self::Evictions,
        Self::Writers,
    ];

    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Entries => "ENTRIES",
            Self::Load => "LOAD",
            Self::Writes => "WRITES/S",
            Self::Hits => "HITS",
            Self::Evictions => "EVICT/S",
            Self::Writers => "WRITERS",
        }
    }

    fn next(self) -> Self {
        let at = Self::ALL.iter().position(|it| *it == self).unwrap_or(0);
        Self::ALL[(at + 1) % Self::ALL.len()]
    }
}

pub(super) struct Model {
    global: Global,
    /// Those that were asked for; empty means all there are.
    wanted: Vec<Segment>,
    pub(super) rows: Vec<Row>,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    interval: Duration,
    is_paused: bool,
    pub(super) shows_help: bool,
    selected: Option<Segment>,
}

/// A segment.
pub(super) struct Row {
    pub(super) segment: Segment,
    /// Why it cannot be looked at, if it cannot.
    pub(super) state: Result<Live, String>,
}

/// A segment that is open.
pub(super) struct Live {
    pub(super) map: ReadOnlyDynMap,
    looked: Instant,
    pub(super) activity: Activity,
    pub(super) participants: Vec<Participant>,
    /// Writes a second, now and before, the newest last.
    pub(super) writes: VecDeque<f64>,
    /// What a cache has counted so far.
    cache: Option<CacheStats>,
    /// Hits in percent of the questions, now and before; where there were none, the last.
    pub(super) hit_ratios: VecDeque<f64>,
    /// Evictions a second, for room and of what had expired.
    pub(super) evictions: f64,
    /// Locks that the same process held at the last look already.
    pub(super) slow_locks: Vec<HeldLock>,
}

impl Live {
    fn new(map: ReadOnlyDynMap) -> Self {
        Self {
            looked: Instant::now(),
            activity: map.activity(),
            participants: map.participants(),
            map,
            writes: VecDeque::new(),
            cache: None,
            hit_ratios: VecDeque::new(),
            evictions: 0.0,
            slow_locks: Vec::new(),
        }
    }

    fn look(&mut self) {
        let (now, activity) = (Instant::now(), self.map.activity());
        let seconds = now.duration_since(self.looked).as_secs_f64().max(1e-3);
        // An extrapolated sum can go backwards; a rate cannot.
        let writes = activity
            .publications
            .saturating_sub(self.activity.publications);
        remember(&mut self.writes, writes as f64 / seconds);
        self.look_at_statistics(seconds);
        let was_held = |lock: &&HeldLock| {
            self.activity.locks.iter().any(|before| {
                (
                    before.bucket,
                    before.stamp,
                    before.owner.generation(),
                    before.owner.slot(),
                ) == (
                    lock.bucket,
                    lock.stamp,
                    lock.owner.generation(),
                    lock.owner.slot(),
                )
            })
        };
        self.slow_locks = activity.locks.iter().filter(was_held).cloned().collect();
        self.participants = self.map.participants();
        (self.looked, self.activity) = (now, activity);
    }

    fn look_at_statistics(&mut self, seconds: f64) {
        let Some(now) = self.map.cache_stats().filter(|stats| stats.is_counting) else {
            return;
        };
        let before = self.cache.replace(now).unwrap_or(now);
        let since = |now: u64, before: u64| now.saturating_sub(before) as f64;
        let hits = since(now.hits, before.hits);
        let questions = hits + since(now.misses, before.misses);
        let ratio = match questions > 0.0 {
            true => hits / questions,
            false => self.hit_ratios.back().copied().unwrap_or(now.hit_ratio()),
        };
        remember(&mut self.hit_ratios, ratio);
        let evictions = since(now.evicted_for_room, before.evicted_for_room)
            + since(now.evicted_expired, before.evicted_expired);
        self.evictions = evictions / seconds;
    }

    /// The hit ratio of the last interval, of a cache that counts.
    pub(super) fn hit_ratio(&self) -> Option<f64> {
        self.hit_ratios.back().copied()
    }

    pub(super) fn load(&self) -> f64 {
        let layout = self.map.header();
        let slots = layout.buckets() * u64::from(layout.usable_slots());
        self.activity.entries as f64 / slots.max(1) as f64
    }

    pub(super) fn writes_per_second(&self) -> f64 {
        self.writes.back().copied().unwrap_or(0.0)
    }
}

/// Appends to a history, of which the oldest is forgotten.
fn remember(history: &mut VecDeque<f64>, value: f64) {
    if history.len() == HISTORY {
        history.pop_front();
    }
    history.push_back(value);
}

impl Model {
    pub(super) fn new(global: Global, wanted: Vec<Segment>, interval: Duration) -> Self {
        Self {
            global,
            wanted,
            rows: Vec::new(),
            sort: Sort::Name,
            is_reversed: false,
            interval: interval.max(Duration::from_millis(50)),
            is_paused: false,
            shows_help: false,
            selected: None,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Which row is selected: the first one, unless the user has chosen.
    pub(super) fn selected(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.rows.iter().position(|row| row.segment == *selected)
    }

    /// Looks at all segments.
    pub(super) fn refresh(&mut self) {
        let present = match self.wanted.is_empty() {
            // If /dev/shm cannot be listed for once, what we have stays.
            true => Segment::list().ok(),
            false => Some(self.wanted.clone()),
        };
        if let Some(present) = present {
            self.rows.retain(|row| present.contains(&row.segment));
            for segment in present {
                if !self.rows.iter().any(|row| row.segment == segment) {
                    let state = self.open(&segment);
                    self.rows.push(Row { segment, state });
                }
            }
        }
        let global = self.global;
        for row in &mut self.rows {
            let ensure_current = match &row.state {
                Ok(live) => live.map.ensure_current().is_ok(),
                Err(_) => false,
            };
            match (&mut row.state, ensure_current) {
                (Ok(live), true) => live.look(),
                // Removed, made anew, or not to be opened until now: perhaps now it is.
                _ => row.state = open(global, &row.segment),
            }
        }
        self.arrange();
    }

    fn open(&self, segment: &Segment) -> Result<Live, String> {
        open(self.global, segment)
    }

    fn arrange(&mut self) {
        let number = |row: &Row| match (&row.state, self.sort) {
            (Err(_), _) | (_, Sort::Name) => 0.0,
            (Ok(live), Sort::Entries) => live.activity.entries as f64,
            (Ok(live), Sort::Load) => live.load(),
            (Ok(live), Sort::Writes) => live.writes_per_second(),
            // Those that count nothing come last.
            (Ok(live), Sort::Hits) => live.hit_ratio().unwrap_or(-1.0),
            (Ok(live), Sort::Evictions) => live.evictions,
            (Ok(live), Sort::Writers) => live.participants.len() as f64,
        };
        let is_reversed = self.is_reversed;
        let compare = |one: &Row, other: &Row| {
            // Large numbers first; by name where they are equal.
            let order = number(other).total_cmp(&number(one));
            let by_name = one.segment.to_string().cmp(&other.segment.to_string());
            match order.then(by_name) {
                order if is_reversed => order.reverse(),
                order => order,
            }
        };
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|one, other| compare(&self.rows[*one], &self.rows[*other]));
        if order.is_sorted_by(|one, other| one.cmp(other) == Ordering::Less) {
            return;
        }
        let mut rows: Vec<Option<Row>> = self.rows.drain(..).map(Some).collect();
        self.rows = order.into_iter().filter_map(|at| rows[at].take()).collect();
    }

    pub(super) fn act(&mut self, action: Action) {
        const FASTEST: Duration = Duration::from_millis(50);
        const SLOWEST: Duration = Duration::from_secs(60);
        match action {
            Action::SortByNext => self.sort = self.sort.next(),
            Action::Reverse => self.is_reversed = !self.is_reversed,
            Action::Pause => self.is_paused = !self.is_paused,
            Action::Faster => self.interval = (self.interval / 2).max(FASTEST),
            Action::Slower => self.interval = (self.interval * 2).min(SLOWEST),
            Action::Up => self.select(|at, _| at.saturating_sub(1)),
            Action::Down => self.select(|at, last| (at + 1).min(last)),
            Action::Help => self.shows_help = !self.shows_help,
            Action::Quit | Action::Back | Action::Redraw => {}
        }
        self.arrange();
    }

    fn select(&mut self, step: impl FnOnce(usize, usize) -> usize) {
        let Some(last) = self.rows.len().checked_sub(1) else {
            return;
        };
        let at = match self.selected() {
            Some(at) => step(at, last),
            None => step(0, last),
        };
        self.selected = Some(self.rows[at.min(last)].segment.clone());
    }
}

fn open(global: Global, segment: &Segment) -> Result<Live, String> {
    match global.read(segment) {
        Ok(map) => Ok(Live::new(map)),
        Err(Failure::Message(message)) => Err(message),
        Err(_) => Err("it cannot be opened".to_owned()),
    }
}
