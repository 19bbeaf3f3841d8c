//! What fuzz targets reach that programs do not.

use crate::layout;

/// Validates a header, as opening a segment does, and checks the promise of that function.
/// Says whether the bytes were a header.
pub fn validate(bytes: &[u8], mapped_len: u64) -> bool {
    match layout::validate(bytes, mapped_len) {
        Ok(layout) => {
            let places = layout.places;
            assert!(places.end as u64 * 8 <= mapped_len);
            assert!(places.shared <= places.participants && places.participants <= places.moves);
            assert!(places.moves <= places.moves_end && places.moves_end <= places.leases);
            assert!(places.leases <= places.statistics);
            assert!(places.statistics <= places.statistics_end);
            assert!(places.statistics_end <= places.buckets);
            let buckets = (places.end - places.buckets) as u64;
            assert_eq!(
                buckets,
                layout.counts.buckets * layout.counts.bucket_words()
            );
            assert!(layout.capacity <= layout.counts.buckets * u64::from(layout.counts.usable()));
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// Lets bytes pass the first checks, which no fuzzer would find its way through: magic,
/// endianness, version and checksum.
pub fn seal(bytes: &mut [u8]) {
    layout::seal(bytes);
}
