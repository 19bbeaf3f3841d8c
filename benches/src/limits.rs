//! The claims: what the ratios have to be, and whether they are.

use std::fmt;

use crate::record::{Cell, Record, Spread};
use crate::roster::{Kind, Peer};
use crate::types::Types;
use crate::workload::Workload;

/// Which side of the limit is the good one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Our time is at most this many times theirs.
    TimeAtMost(f64),
    /// Our time is less than theirs.
    Below,
    /// We are at least this many times as fast.
    SpeedAtLeast(f64),
    /// Bytes an entry.
    BytesAtMost(f64),
}

/// Whom we are compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Against {
    /// That peer, in the same workload.
    Peer(Peer),
    /// That peer, in another workload.
    PeerIn(Workload, Peer),
    /// The strongest of a kind.
    Strongest(Kind),
    /// Ourselves, in another workload.
    OurselvesIn(Workload),
}

impl Against {
    /// The name in a table.
    pub fn name(self, strongest: Option<Peer>) -> String {
        match self {
            Against::Peer(peer) => peer.name().to_owned(),
            Against::PeerIn(workload, peer) => format!("{} ({})", peer.name(), workload.name()),
            Against::Strongest(_) => strongest.map_or("nobody", Peer::name).to_owned(),
            Against::OurselvesIn(workload) => format!("itself ({})", workload.name()),
        }
    }
}

/// One comparison, with or without a limit.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The number of the claim under "Must show", 0 without one.
    pub point: u8,
    /// What was measured.
    pub cell: Cell,
    /// The name of whom it is compared with.
    pub against: String,
    /// Time ratio, or how many times as fast where the limit is about that.
    pub ratio: Spread,
    /// Is `ratio` a ratio of speeds?
    pub is_speed: bool,
    /// The claim.
    pub limit: Option<Limit>,
}

impl Verdict {
    /// Does the median keep the limit?
    pub fn is_met(&self) -> Option<bool> {
        Some(match self.limit? {
            Limit::TimeAtMost(limit) | Limit::BytesAtMost(limit) => self.ratio.median <= limit,
            Limit::Below => self.ratio.median < 1.0,
            Limit::SpeedAtLeast(limit) => self.ratio.median >= limit,
        })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::TimeAtMost(limit) => write!(f, "<= {limit:.2}"),
            Limit::Below => write!(f, "< 1.00"),
            Limit::SpeedAtLeast(limit) => write!(f, ">= {limit:.2} x"),
            Limit::BytesAtMost(limit) => write!(f, "<= {limit:.0} B"),
        }
    }
}

/// The limit for the three sizes of a full run; `None` for any other size.
fn by_size(entries: usize, small: f64, medium: f64, large: f64) -> Option<Limit> {
    match entries {
        1_000 => Some(Limit::TimeAtMost(small)),
        100_000 => Some(Limit::TimeAtMost(medium)),
        10_000_000 => Some(Limit::TimeAtMost(large)),
        _ => None,
    }
}

/// The claims about one row: number, opponent, limit. A size that a claim does
/// not name has none.
fn claims(cell: Cell) -> Vec<(u8, Against, Limit)> {
    use Against::{OurselvesIn, Peer as One, PeerIn, Strongest};
    use Kind::Concurrent;
    use Workload as W;

    let n = cell.entries;
    let large = n >= 10_000_000;
    let small = n == 1_000;
    let any_cell_claims: &[(u8, Against, Option<Limit>)] = match cell.workload {
        // Point 3.
        W::GetHit if cell.types == Types::B32K1 => {
            &[(3, One(Peer::Hashbrown), Some(Limit::TimeAtMost(1.5)))]
        }
        // The second half of point 4 holds for every pair of types.
        W::Update => &[
            (4, One(Peer::Papaya), Some(Limit::Below)),
            (4, One(Peer::Scc), Some(Limit::Below)),
        ],
        _ => &[],
    };
    let mut claims = any_cell_claims.to_vec();
    if cell.types == Types::U64 {
        match cell.workload {
            W::GetHit => claims.extend([
                (1, One(Peer::Hashbrown), by_size(n, 1.6, 1.5, 1.0)),
                (1, One(Peer::Std), Some(Limit::Below)),
                (1, Strongest(Concurrent), Some(Limit::Below)),
                (
                    6,
                    One(Peer::Lmdb),
                    small.then_some(Limit::SpeedAtLeast(20.0)),
                ),
                (
                    6,
                    One(Peer::Lmdb),
                    large.then_some(Limit::SpeedAtLeast(12.0)),
                ),
                (
                    6,
                    One(Peer::RedisPipelined),
                    Some(Limit::SpeedAtLeast(100.0)),
                ),
                (
                    6,
                    One(Peer::MemcachedPipelined),
                    Some(Limit::SpeedAtLeast(100.0)),
                ),
            ]),
            W::GetDependent => {
                claims.push((
                    1,
                    One(Peer::Hashbrown),
                    large.then_some(Limit::TimeAtMost(0.6)),
                ));
            }
            W::GetMany => {
                let limit = large.then_some(Limit::TimeAtMost(0.45));
                claims.push((1, PeerIn(W::GetHit, Peer::Hashbrown), limit));
            }
            W::GetMiss => claims.push((2, One(Peer::Hashbrown), by_size(n, 1.6, 1.5, 1.2))),
            W::Update => claims.extend([
                (4, One(Peer::Hashbrown), by_size(n, 2.2, 2.0, 1.2)),
                (6, One(Peer::Lmdb), Some(Limit::SpeedAtLeast(40.0))),
            ]),
            W::Churn => claims.push((4, One(Peer::Hashbrown), by_size(n, 1.5, 1.5, 1.0))),
            W::Two100 => {
                claims.push((5, OurselvesIn(W::One100), Some(Limit::SpeedAtLeast(1.9))));
            }
            W::Two95 => {
                claims.push((5, Strongest(Concurrent), Some(Limit::SpeedAtLeast(1.8))));
            }
            W::Two50 => {
                claims.push((5, Strongest(Concurrent), Some(Limit::SpeedAtLeast(1.5))));
            }
            W::GetZipf | W::One100 => {}
        }
    }
    claims
        .into_iter()
        .filter_map(|(point, against, limit)| Some((point, against, limit?)))
        .collect()
}

/// All comparisons of `subject` in one row: hashbrown, the best map for threads
/// and the best store for processes always, others where there is a claim.
pub fn verdicts(record: &Record, cell: Cell, subject: Peer) -> Vec<Verdict> {
    let always = [
        Against::Peer(Peer::Hashbrown),
        Against::Strongest(Kind::Concurrent),
        Against::Strongest(Kind::CrossProcess),
    ];
    let mut comparisons: Vec<(u8, Against, Option<Limit>)> = claims(cell)
        .into_iter()
        .map(|(point, against, limit)| (point, against, Some(limit)))
        .collect();
    for against in always {
        if !comparisons.iter().any(|&(_, other, _)| other == against) {
            comparisons.push((0, against, None));
        }
    }
    let mut verdicts: Vec<Verdict> = Vec::new();
    for comparison in comparisons {
        let Some(verdict) = verdict(record, cell, subject, comparison) else {
            continue;
        };
        // The strongest may be one that a claim names already.
        let is_known = verdicts
            .iter()
            .any(|other| other.against == verdict.against);
        if verdict.limit.is_some() || !is_known {
            verdicts.push(verdict);
        }
    }
    verdicts
}

fn verdict(
    record: &Record,
    cell: Cell,
    subject: Peer,
    (point, against, limit): (u8, Against, Option<Limit>),
) -> Option<Verdict> {
    let (opponent, strongest) = match against {
        Against::Peer(peer) => ((cell, peer), None),
        Against::PeerIn(workload, peer) => ((Cell { workload, ..cell }, peer), None),
        Against::OurselvesIn(workload) => ((Cell { workload, ..cell }, subject), None),
        Against::Strongest(kind) => {
            let (peer, _) = record.strongest(cell, subject, kind)?;
            ((cell, peer), Some(peer))
        }
    };
    if opponent == (cell, subject) {
        return None;
    }
    let is_throughput = cell.workload.crew().is_some();
    let is_cross = |peer: Peer| peer.kind() == Kind::CrossProcess;
    let is_speed = is_throughput || is_cross(opponent.1);
    // Numbers are times or throughputs; ratios are ours / theirs of times, or
    // how many times as fast we are.
    let ratio = if is_speed && !is_throughput {
        record.ratio(opponent, (cell, subject))?
    } else {
        record.ratio((cell, subject), opponent)?
    };
    Some(Verdict {
        point,
        cell,
        against: against.name(strongest),
        ratio,
        is_speed,
        limit,
    })
}

/// The claim about memory.
pub fn bytes_limit(types: Types) -> Option<Limit> {
    (types == Types::U64).then_some(Limit::BytesAtMost(24.0))
}
