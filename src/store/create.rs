//! Making a new segment to a plan.

use std::time::{SystemTime, UNIX_EPOCH};

use zerocopy::IntoBytes;

use crate::format::{CacheFields, CreationRecord, MAGIC, Plan, SizeError, StoreKind};
use crate::liveness::trust::FileWords;
use crate::protocol::hash::SECRET_WORDS;
use crate::segment::{Attached, Created, NewSegment, Segment, SegmentError};
use crate::store::entry_types::EntryTypes;
use crate::store::error::OpenError;
use crate::store::restart::record;
use crate::store::settings::Settings;
use crate::sys::boot::boot_id;
use crate::sys::random;
use crate::sys::sync::{AtomicU64, Ordering};

impl Settings {
    /// The plan of a new segment of this kind.
    pub(crate) fn plan(&self, kind: StoreKind, types: &EntryTypes, meta_words: u32) -> Plan {
        Plan {
            kind,
            hash: self.hash.unwrap_or_default(),
            capacity: self.capacity,
            key_len: types.key.size(),
            value_len: types.value.size(),
            meta_words,
            participants: self.max_writers,
            key_schema: types.key.to_string(),
            value_schema: types.value.to_string(),
            cache: CacheFields::default(),
        }
    }

    /// Makes a segment to a plan. Fails if there is one.
    pub(crate) fn create(&self, segment: &Segment, plan: &Plan) -> Result<Attached, OpenError> {
        self.with_new_segment(segment, plan, |new_segment| {
            segment.create(&self.options, new_segment)
        })
    }

    /// Attaches a segment, and makes it to the plan if absent.
    pub(crate) fn open_or_create(
        &self,
        segment: &Segment,
        plan: &Plan,
    ) -> Result<(Attached, Created), OpenError> {
        self.with_new_segment(segment, plan, |new_segment| {
            segment.open_or_create(&self.options, new_segment)
        })
    }

    /// Lets `create` make a segment to a plan.
    fn with_new_segment<T>(
        &self,
        segment: &Segment,
        plan: &Plan,
        create: impl FnOnce(&NewSegment<'_>) -> Result<T, SegmentError>,
    ) -> Result<T, OpenError> {
        let counts = plan.counts()?;
        let header = plan.header(&counts, &creation_record()?);
        let places = counts.places();
        let len = places.map_or(usize::MAX, |places| places.end * 8);
        let init = |words: &[AtomicU64], file: Option<FileWords>| {
            // Word 0 is the magic, which the segment stores when all else is there.
            let (header, _) = header.as_chunks::<8>();
            for (word, bytes) in words.iter().zip(header).skip(1) {
                word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
            }
            if let (Some(places), Some(file)) = (places, file) {
                record::made_in_new(&words[places.shared..places.participants], file);
            }
        };
        Ok(create(&NewSegment {
            len,
            magic: MAGIC,
            init: &init,
            prepare: &|mapping| self.memory.apply(segment, mapping),
        })?)
    }
}

/// Bytes of a segment made to a plan.
pub(crate) fn planned_size(plan: &Plan) -> Result<u64, SizeError> {
    let places = plan.counts()?.places();
    Ok(places.map_or(u64::MAX, |places| places.end as u64 * 8))
}

/// What only this creation has.
fn creation_record() -> Result<CreationRecord, OpenError> {
    let mut random = [0u64; SECRET_WORDS + 2];
    random::fill(random.as_mut_bytes()).map_err(|errno| OpenError::Random(errno.into()))?;
    let [s0, s1, s2, s3, s4, s5, s6, s7, id @ ..] = random;
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(CreationRecord {
        secret: [s0, s1, s2, s3, s4, s5, s6, s7],
        segment_id: id,
        creator_pid: std::process::id(),
        created_at: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        // Zeros: not known.
        boot_id: boot_id().unwrap_or_default(),
    })
}
