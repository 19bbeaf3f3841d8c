//! How many requests a cache answers, whatever it costs: hit ratios on streams of requests.
//!
//! ```text
//! traces    the streams: recorded ones from a directory, or generated ones
//! caches    the contestants, each replaying a stream as a cache in front of a database would
//! exact     what needs no library: the optimum
//! sharing   several processes that share one cache of ours
//! table     the results, judged, for people and for machines
//! ```

pub mod caches;
pub mod exact;
pub mod sharing;
pub mod table;
pub mod traces;

/// What came of one replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Score {
    /// Requests that were answered from the cache.
    pub hits: u64,
    /// All requests.
    pub requests: u64,
}

impl Score {
    /// Hits over requests.
    pub fn ratio(self) -> f64 {
        self.hits as f64 / self.requests as f64
    }
}
