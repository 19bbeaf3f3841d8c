//! Deploys: opening a segment with new settings or types, and replacing the old one by one that has
//! them. For all builders, since what is carried over is copied as encoded bytes.

use std::time::Duration;

use super::{DynError, DynMap, ReadOnlyDynMap};
use crate::cache::{Cache, CacheBuilder};
use crate::format::FormatError;
use crate::map::{Map, MapBuilder};
use crate::schema::Type;
use crate::segment::{Segment, SegmentError};
use crate::store::error::OpenError;
use crate::store::settings::Settings;
use crate::types::{Key, Value};

use super::builder::DynMapBuilder;

/// How long one who wants to replace a segment waits for another one who does.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How often a segment is looked at that others keep replacing or removing.
const ATTEMPTS: u32 = 100;

/// Opens with `open`; replaces the segment by what `create` makes, once, if it is contradicted.
fn open_or_replace<T>(
    segment: &Segment,
    settings: &Settings,
    open: impl Fn(&Segment) -> Result<T, OpenError>,
    create: impl Fn(&Segment) -> Result<(), OpenError>,
) -> Result<T, OpenError> {
    for _ in 0..ATTEMPTS {
        match open(segment) {
            Err(error) if is_contradiction(&error) => {}
            result => return result,
        }
        let Some(lock) = segment.lock_to_replace(TIMEOUT)? else {
            continue;
        };
        // Another one may have done it, and given its lock back, since we looked.
        match open(segment) {
            Err(error) if is_contradiction(&error) => {}
            result => return result,
        }
        let successor = lock.successor()?;
        create(successor.segment())?;
        if settings.carry_over {
            carry_over(settings, segment, successor.segment())?;
        }
        if lock.put(&successor)? {
            // Once: two programs that contradict each other must hear of it.
            drop(lock);
            return open(segment);
        }
    }
    Err(SegmentError::Unstable {
        segment: segment.clone(),
    }
    .into())
}

/// Whether a segment is one of shmkv, and only not as the builder wants it.
fn is_contradiction(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::KeyType(_)
            | OpenError::ValueType(_)
            | OpenError::WrongKind { .. }
            | OpenError::CapacityDiffers { .. }
            | OpenError::HashDiffers { .. }
            | OpenError::SettingDiffers { .. }
            | OpenError::Header(FormatError::WrongVersion { .. })
    )
}

/// Copies what fits into a segment that nobody else knows.
fn carry_over(settings: &Settings, old: &Segment, new: &Segment) -> Result<(), OpenError> {
    let builder = || DynMapBuilder::with(settings.clone());
    let from = match builder().open_read_only(old) {
        Err(OpenError::Header(FormatError::WrongVersion { .. })) => return Ok(()),
        result => result?,
    };
    let to = builder().open(new)?;
    if from.key_type() != to.key_type()
        || from.value_type() != to.value_type()
        || from.kind() != to.kind()
    {
        return Ok(());
    }
    copy(&from, &to).map_err(|source| OpenError::CarryOver {
        segment: old.clone(),
        source: Box::new(source),
    })
}

fn copy(from: &ReadOnlyDynMap, to: &DynMap) -> Result<(), DynError> {
    for entry in from {
        let entry = match entry {
            // Nobody could read it in the old one either.
            Err(DynError::Invalid { .. }) => continue,
            entry => entry?,
        };
        match entry.time_left {
            Some(left) => to.insert_with_ttl(&entry.key, &entry.value, left)?,
            None => to.insert(&entry.key, &entry.value)?,
        };
    }
    Ok(())
}

impl<K: Key, V: Value> MapBuilder<K, V> {
    /// Opens a segment as [`open_or_create`](Self::open_or_create), and replaces it if it
    /// contradicts this builder: other types, another hash, less capacity, another version of the
    /// format, another kind. For deploys, where programs with new settings start beside old ones.
    ///
    /// Of any number of processes that call it at the same time, one makes the new segment, and
    /// the others open that one. The name leads to the old segment until the new one is complete.
    /// Who has the old one open keeps it and goes on with it, and learns of the new one by
    /// [`ensure_current`](crate::ReadOnlyMap::ensure_current), which is cheap enough to be asked
    /// every second: when that fails with `NotCurrent`, open again.
    ///
    /// The new segment is empty, unless [`carry_over`](Self::carry_over) was set. What is not of
    /// shmkv, or of another user, is never replaced.
    ///
    /// # Errors
    /// As `open_or_create`; `Unsupported` if the segment has to be replaced and is neither `shm:`
    /// nor `file:`; `CarryOver`. After an error the old segment is still in its place. (Where
    /// another program replaces it by one that contradicts this builder again, the error is that
    /// contradiction: nothing is replaced twice by one call.)
    pub fn open_or_replace(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Map<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        open_or_replace(
            &segment,
            &self.settings,
            |segment| self.clone().open_or_create(segment.clone()),
            |segment| self.clone().create(segment.clone()).map(drop),
        )
    }
}

impl<K: Key, V: Value> CacheBuilder<K, V> {
    /// As [`MapBuilder::open_or_replace`]: a cache whose times or capacity are not this builder's is
    /// replaced as well. Carried over are entries with the time that they have left; those without
    /// an end get the new time to live. Negative entries, and how often an entry was asked for, are
    /// not.
    ///
    /// # Errors
    /// As there.
    pub fn open_or_replace(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Cache<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        open_or_replace(
            &segment,
            &self.settings,
            |segment| self.clone().open_or_create(segment.clone()),
            |segment| self.clone().create(segment.clone()).map(drop),
        )
    }
}

impl DynMapBuilder {
    /// As [`MapBuilder::open_or_replace`], for entries of these types: opens the segment if it has
    /// them and no less capacity, and else replaces it. Creates it if it does not exist.
    ///
    /// # Errors
    /// As there.
    pub fn open_or_replace(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
        key: &Type,
        value: &Type,
    ) -> Result<DynMap, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        open_or_replace(
            &segment,
            &self.settings,
            |segment| self.open_or_create(segment, key, value),
            |segment| self.clone().create(segment.clone(), key, value).map(drop),
        )
    }
}
