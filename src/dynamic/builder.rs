//! Creating and opening segments without Rust types.

use std::fmt;
use std::sync::Arc;

use super::map::{DynMap, ReadOnlyDynMap};
use super::types::declared_types;
use crate::cache::CacheSettings;
use crate::format::{Header, Plan, StoreKind};
use crate::schema::{Type, Unfit};
use crate::segment::{Attached, Created, Segment, SegmentError};
use crate::store::create::planned_size;
use crate::store::entry_types::EntryTypes;
use crate::store::error::OpenError;
use crate::store::settings::{Settings, settings_methods};
use crate::sys::access::Access;

/// Creates or opens a [`DynMap`].
///
/// ```no_run
/// use shmkv::DynMap;
///
/// let key = "u64".parse()?;
/// let value = "struct Quote { bid: f64, ask: f64 }".parse()?;
/// let quotes = DynMap::builder().capacity(10_000).create("shm:quotes", &key, &value)?;
///
/// // Any other program, which need not know the types:
/// let quotes = DynMap::builder().open_read_only("shm:quotes")?;
/// assert_eq!(quotes.value_type().to_string(), "struct Quote { bid: f64, ask: f64 }");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct DynMapBuilder {
    pub(super) settings: Settings,
    cache: Option<CacheSettings>,
}

impl DynMapBuilder {
    pub(super) fn new() -> Self {
        Self {
            settings: Settings::default(),
            cache: None,
        }
    }

    /// For the same segments as another builder with these settings.
    pub(super) fn with(settings: Settings) -> Self {
        Self {
            settings,
            cache: None,
        }
    }

    settings_methods!();

    /// Makes a new segment a cache with these settings, of at most [`capacity`](Self::capacity)
    /// entries. An existing segment is opened as what it is.
    pub fn cache(mut self, settings: CacheSettings) -> Self {
        self.cache = Some(settings);
        self
    }

    /// Bytes that a segment for such entries takes, with these settings.
    ///
    /// # Errors
    /// If there can be no such segment.
    pub fn size(&self, key: &Type, value: &Type) -> Result<u64, OpenError> {
        Ok(planned_size(&self.plan(key, value)?)?)
    }

    /// Creates a new segment for entries of these types: a map, unless [`cache`](Self::cache) says
    /// otherwise.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; [`OpenError::Unfit`] for a type that cannot be
    /// stored, or cannot be a key: one with floats, whose equality is not that of their bytes.
    pub fn create(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
        key: &Type,
        value: &Type,
    ) -> Result<DynMap, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        check_types(key, value)?;
        let attached = self.settings.create(&segment, &self.plan(key, value)?)?;
        self.finish(attached, Access::ReadWrite, |_, _| Ok(()))
            .map(DynMap::new)
    }

    /// Opens an existing segment, for reading and writing. Its types are those that it declares.
    ///
    /// # Errors
    /// Whatever is wrong with the segment: it is not there, not ours, or not one of shmkv.
    pub fn open(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<DynMap, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.attach(&segment, Access::ReadWrite)?;
        self.finish(attached, Access::ReadWrite, |_, _| Ok(()))
            .map(DynMap::new)
    }

    /// Opens an existing segment for reading: permission to read it is enough.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<ReadOnlyDynMap, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.attach(&segment, Access::ReadOnly)?;
        self.finish(attached, Access::ReadOnly, |_, _| Ok(()))
    }

    /// Opens a segment if it is what [`create`](Self::create) would have made, and makes it if there
    /// is none.
    pub(super) fn open_or_create(
        &self,
        segment: &Segment,
        key: &Type,
        value: &Type,
    ) -> Result<DynMap, OpenError> {
        check_types(key, value)?;
        let plan = self.plan(key, value)?;
        let (attached, created) = self.settings.open_or_create(segment, &plan)?;
        self.finish(attached, Access::ReadWrite, |layout, types| match created {
            Created::Yes => Ok(()),
            Created::No => self.check_agreement(layout, types, &plan, key, value),
        })
        .map(DynMap::new)
    }

    fn check_agreement(
        &self,
        layout: &Header,
        types: &EntryTypes,
        plan: &Plan,
        key: &Type,
        value: &Type,
    ) -> Result<(), OpenError> {
        if layout.kind != plan.kind {
            return Err(OpenError::WrongKind {
                expected: plan.kind,
                found: layout.kind,
            });
        }
        if let Some(mismatch) = types.key.mismatch(key) {
            return Err(OpenError::KeyType(Box::new(mismatch)));
        }
        if let Some(mismatch) = types.value.mismatch(value) {
            return Err(OpenError::ValueType(Box::new(mismatch)));
        }
        if self.cache.is_some() {
            let (asked, found) = (plan.cache, layout.cache);
            for (setting, asked, found) in [
                ("capacity", plan.capacity, layout.capacity),
                ("time_to_live", asked.time_to_live, found.time_to_live),
                ("time_to_idle", asked.time_to_idle, found.time_to_idle),
                ("stale_while_revalidate", asked.stale, found.stale),
                ("negative_ttl", asked.negative_ttl, found.negative_ttl),
            ] {
                if asked != found {
                    let unit = if setting == "capacity" { "" } else { " ms" };
                    return Err(OpenError::SettingDiffers {
                        setting,
                        asked: format!("{asked}{unit}"),
                        found: format!("{found}{unit}"),
                    });
                }
            }
        }
        self.settings.check_agreement(layout)
    }

    fn plan(&self, key: &Type, value: &Type) -> Result<Plan, OpenError> {
        let types = EntryTypes {
            key: key.clone(),
            value: value.clone(),
        };
        Ok(match &self.cache {
            None => self.settings.plan(StoreKind::Map, &types, 0),
            Some(cache) => {
                let cache = cache.fields(self.settings.capacity)?;
                Plan {
                    cache,
                    ..self
                        .settings
                        .plan(StoreKind::Cache, &types, cache.meta_words())
                }
            }
        })
    }

    fn finish(
        &self,
        attached: Attached,
        access: Access,
        agree: impl FnOnce(&Header, &EntryTypes) -> Result<(), OpenError>,
    ) -> Result<ReadOnlyDynMap, OpenError> {
        let (shared, types) = self.settings.finish(
            attached,
            access,
            |layout| {
                let types = declared_types(layout)?;
                agree(layout, &types)?;
                Ok(types)
            },
            EntryTypes::invalid_part,
        )?;
        Ok(ReadOnlyDynMap::new(shared, Arc::new(types)))
    }
}

fn check_types(key: &Type, value: &Type) -> Result<(), OpenError> {
    key.check().map_err(|reason| unfit("key", reason))?;
    value.check().map_err(|reason| unfit("value", reason))?;
    match key.has_floats() {
        true => Err(unfit("key", Unfit::FloatKey)),
        false => Ok(()),
    }
}

fn unfit(part: &'static str, reason: Unfit) -> OpenError {
    OpenError::Unfit {
        part,
        source: Box::new(reason),
    }
}

impl DynMap {
    /// Starts to create or open a segment.
    pub fn builder() -> DynMapBuilder {
        DynMapBuilder::new()
    }
}

impl fmt::Debug for DynMapBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynMapBuilder")
            .field("settings", &self.settings)
            .field("cache", &self.cache)
            .finish()
    }
}
