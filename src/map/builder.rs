//! Creating and opening maps.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::format::{Header, Plan, SizeError, StoreKind};
use crate::map::{Map, ReadOnlyMap};
use crate::schema::Schema;
use crate::segment::{Attached, Created, Segment, SegmentError};
use crate::store::Store;
use crate::store::create::planned_size;
use crate::store::entry_types::EntryTypes;
use crate::store::error::OpenError;
use crate::store::settings::{Settings, settings_methods};
use crate::store::typed::{check_types, invalid_part, types};
use crate::sys::access::Access;
use crate::types::{Key, Value};

/// Creates or opens a [`Map`]: what belongs to the segment (capacity, writers, hash, mode) is
/// decided at creation; what belongs to the handle (timeout, memory) at each opening.
///
/// ```no_run
/// use shmkv::Map;
/// use std::time::Duration;
///
/// let map: Map<u64, [f64; 2]> = Map::builder()
///     .capacity(100_000)
///     .lock_timeout(Duration::from_millis(100))
///     .open_or_create("shm:points")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct MapBuilder<K, V> {
    pub(crate) settings: Settings,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Value> MapBuilder<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            settings: Settings::default(),
            types: PhantomData,
        }
    }

    settings_methods!();

    /// Bytes that a segment made with these settings takes.
    pub fn size(&self) -> Result<u64, SizeError> {
        // A type that cannot be stored is reported at creation; the size does not depend on its
        // schema beyond a page.
        let types = types::<K, V>().unwrap_or(EntryTypes::UNIT);
        planned_size(&Plan {
            key_len: size_of::<K>(),
            value_len: size_of::<V>(),
            ..self.settings.plan(StoreKind::Map, &types, 0)
        })
    }

    /// Creates a new segment.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    pub fn create(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Map<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.create(&segment, &self.plan()?)?;
        self.finish(attached, Access::ReadWrite, |_| Ok(()))
            .map(Map::new)
    }

    /// Opens an existing segment, for reading and writing.
    ///
    /// # Errors
    /// Whatever is wrong with the segment: it is not there, not ours, not a map, of other types.
    pub fn open(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Map<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.attach(&segment, Access::ReadWrite)?;
        self.finish(attached, Access::ReadWrite, |_| Ok(()))
            .map(Map::new)
    }

    /// Opens a segment, or creates it if it does not exist. Safe under any race: all callers get
    /// the same segment.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create); settings of an existing segment
    /// that contradict this builder's are reported and not ignored.
    pub fn open_or_create(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Map<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let (attached, created) = self.settings.open_or_create(&segment, &self.plan()?)?;
        let shared = self.finish(attached, Access::ReadWrite, |layout| match created {
            Created::Yes => Ok(()),
            Created::No => self.settings.check_agreement(layout),
        })?;
        Ok(Map::new(shared))
    }

    /// Opens an existing segment for reading: permission to read it is enough.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<ReadOnlyMap<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.attach(&segment, Access::ReadOnly)?;
        self.finish(attached, Access::ReadOnly, |_| Ok(()))
            .map(ReadOnlyMap::new)
    }

    fn plan(&self) -> Result<Plan, OpenError> {
        Ok(self.settings.plan(StoreKind::Map, &types::<K, V>()?, 0))
    }

    /// `agree` comes before anything is changed in the segment.
    fn finish(
        &self,
        attached: Attached,
        access: Access,
        agree: impl FnOnce(&Header) -> Result<(), OpenError>,
    ) -> Result<Arc<Store>, OpenError> {
        let (shared, ()) = self.settings.finish(
            attached,
            access,
            |layout| {
                check_types::<K, V>(layout, StoreKind::Map, 0)?;
                agree(layout)
            },
            |(), key, value| invalid_part::<K, V>(key, value),
        )?;
        Ok(shared)
    }
}

impl<K, V> Clone for MapBuilder<K, V> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            types: PhantomData,
        }
    }
}

impl<K: Key, V: Value> Map<K, V> {
    /// Starts to create or open a map.
    pub fn builder() -> MapBuilder<K, V> {
        MapBuilder::new()
    }

    /// Bytes of a segment that promises room for `capacity` entries, with the default number of
    /// writers.
    pub fn size_for(capacity: usize) -> Result<u64, SizeError>
    where
        K: Schema,
    {
        Self::builder().capacity(capacity).size()
    }
}

impl<K, V> fmt::Debug for MapBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MapBuilder").field(&self.settings).finish()
    }
}
