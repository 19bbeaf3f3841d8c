//! How full a segment is.

use crate::protocol::shape::Shape;
use crate::store::Store;

/// How full a map is.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MapStats {
    /// Entries that are there.
    pub len: u64,
    /// Entries that were promised to fit.
    pub capacity: u64,
    /// Entries that fit if every bucket is filled to the last slot that can be in use.
    pub slots: u64,
    /// `len / slots`.
    pub load: f64,
    /// Bytes of the segment.
    pub bytes: u64,
    /// How many buckets hold 0, 1, … 16 entries.
    pub occupancy: [u64; 17],
    /// Entries that were displaced so far, since the creation of the segment.
    pub displaced: u64,
}

/// The statistics of a map, or of a cache as far as it is a table.
pub(crate) fn stats<S: Shape>(shared: &Store, shape: S) -> MapStats {
    let table = shared.table(shape);
    let mut occupancy = [0; 17];
    let mut len = 0;
    for index in 0..table.buckets() {
        let entries = table.bucket(index).read_begin().occupied().len();
        occupancy[entries as usize] += 1;
        len += u64::from(entries);
    }
    let slots = table.buckets() * u64::from(shared.layout.counts.usable());
    MapStats {
        len,
        capacity: shared.layout.capacity,
        slots,
        load: len as f64 / slots as f64,
        bytes: shared.layout.places.end as u64 * 8,
        occupancy,
        displaced: table.moves().head(),
    }
}
