//! What was measured: one number a peer, a workload and a round.

use std::collections::BTreeMap;

use crate::roster::{Kind, Peer};
use crate::types::Types;
use crate::workload::Workload;

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Key and value.
    pub types: Types,
    /// Entries in the table.
    pub entries: usize,
    /// What was asked.
    pub workload: Workload,
}

/// Median and extremes over rounds.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle one.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many rounds.
    pub rounds: usize,
}

impl Spread {
    /// Of at least one number.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut numbers: Vec<f64> = numbers.into_iter().collect();
        numbers.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*numbers.first()?, *numbers.last()?);
        let rounds = numbers.len();
        let median = f64::midpoint(numbers[(rounds - 1) / 2], numbers[rounds / 2]);
        Some(Spread {
            median,
            min,
            max,
            rounds,
        })
    }
}

/// Numbers of one peer, by round. Rounds have the same number for all peers
/// that were interleaved in them.
type Series = BTreeMap<usize, f64>;

/// Everything that a run has measured. Nanoseconds, or Mops/s where several
/// workers were at it.
#[derive(Debug, Default)]
pub struct Record {
    series: BTreeMap<Cell, BTreeMap<Peer, Series>>,
    bytes: BTreeMap<(Types, usize, Peer), f64>,
}

impl Record {
    /// Adds the result of one slice.
    pub fn add(&mut self, cell: Cell, peer: Peer, round: usize, number: f64) {
        self.series
            .entry(cell)
            .or_default()
            .entry(peer)
            .or_default()
            .insert(round, number);
    }

    /// Adds the memory of one table.
    pub fn add_bytes(&mut self, types: Types, entries: usize, peer: Peer, bytes_per_entry: f64) {
        self.bytes.insert((types, entries, peer), bytes_per_entry);
    }

    /// What was measured, in the order of the tables.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.series.keys().copied()
    }

    /// The peers that took part.
    pub fn peers(&self, cell: Cell) -> impl Iterator<Item = Peer> + '_ {
        self.series
            .get(&cell)
            .into_iter()
            .flat_map(|peers| peers.keys().copied())
    }

    /// The result of one peer.
    pub fn spread(&self, cell: Cell, peer: Peer) -> Option<Spread> {
        Spread::of(self.series.get(&cell)?.get(&peer)?.values().copied())
    }

    /// First number over second number, a round at a time.
    pub fn ratio(&self, first: (Cell, Peer), second: (Cell, Peer)) -> Option<Spread> {
        let numbers = |(cell, peer)| self.series.get(&cell)?.get(&peer);
        let (first, second) = (numbers(first)?, numbers(second)?);
        Spread::of(
            first
                .iter()
                .filter_map(|(round, a)| Some(a / second.get(round)?)),
        )
    }

    /// The strongest peer of a kind against `subject`, with the ratio of the
    /// subject's numbers to its own: the greatest ratio of times, the least of
    /// throughputs.
    pub fn strongest(&self, cell: Cell, subject: Peer, kind: Kind) -> Option<(Peer, Spread)> {
        let sign = if cell.workload.crew().is_some() {
            -1.0
        } else {
            1.0
        };
        self.peers(cell)
            .filter(|&peer| peer.kind() == kind && peer != subject)
            .filter_map(|peer| Some((peer, self.ratio((cell, subject), (cell, peer))?)))
            .max_by(|(_, a), (_, b)| (sign * a.median).total_cmp(&(sign * b.median)))
    }

    /// Bytes an entry.
    pub fn bytes(&self) -> impl Iterator<Item = (Types, usize, Peer, f64)> + '_ {
        self.bytes
            .iter()
            .map(|(&(types, entries, peer), &bytes)| (types, entries, peer, bytes))
    }
}
