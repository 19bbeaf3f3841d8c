//! Bytes an entry.
//!
//! Tables in a segment or a file: the bytes that this takes (segment: its
//! length; LMDB: allocated blocks). Maps on the heap: growth of the resident set
//! of a process that does nothing else, from before the map is made until it is
//! filled, allocator included. Servers are left out.

use std::fs;

use crate::keys::Keys;
use crate::roster::{Builder, Peer};
use crate::runner::Job;
use crate::types::{Plain, Types};

/// Below this, pages and headers hide what an entry takes.
pub const FEWEST_ENTRIES: usize = 100_000;

/// Bytes an entry of this peer, measured in a process of its own.
pub fn bytes_per_entry(peer: Peer, types: Types, entries: usize) -> Option<f64> {
    if peer.is_server() {
        return None;
    }
    let output = Job::Footprint {
        peer,
        types,
        entries,
    }
    .command()
    .output()
    .ok()?;
    let bytes: u64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    (bytes > 0).then(|| bytes as f64 / entries as f64)
}

/// Builds the table here and tells what it took.
pub(crate) fn measure_here<K: Plain, V: Plain>(
    peer: Peer,
    types: Types,
    entries: usize,
) -> Option<u64> {
    let keys = Keys::<K, V>::new(entries);
    let before = resident()?;
    let runner = Builder::default().build(peer, types, &keys).ok()?;
    let after = resident()?;
    runner.footprint().or(Some(after.saturating_sub(before)))
}

/// Bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Bytes that programs can still take without swapping.
pub fn available() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
