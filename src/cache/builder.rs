//! Creating and opening caches.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::{Cache, Local, ReadOnlyCache, RemovalCause};
use crate::format::{CacheFields, Header, Plan, SizeError, StoreKind};
use crate::protocol::lease;
use crate::segment::{Attached, Created, Segment, SegmentError};
use crate::store::Store;
use crate::store::create::planned_size;
use crate::store::entry_types::EntryTypes;
use crate::store::error::OpenError;
use crate::store::restart::CrashPolicy;
use crate::store::settings::{Settings, settings_methods};
use crate::store::statistics;
use crate::store::typed::{check_types, invalid_part, types};
use crate::sys::access::Access;
use crate::sys::clock::millis;
use crate::types::image::WordBuf;
use crate::types::metadata::{MAX_TICKS, Meta};
use crate::types::{Key, Value};

/// How long a caller waits for somebody else's load, unless told otherwise.
const DEFAULT_LOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// What is called when an entry goes.
pub(super) type Listener<K, V> = Arc<dyn Fn(K, V, RemovalCause) + Send + Sync>;

/// Creates or opens a [`Cache`]: what belongs to the segment (capacity, times, writers, hash,
/// mode) is decided at creation; what belongs to the handle (timeouts, listener, memory) at
/// each opening.
///
/// The times of a cache stand in its segment, so that all processes have the same. Opening a
/// cache that exists with others fails with [`SettingDiffers`](OpenError::SettingDiffers):
/// `open_or_create` compares all of them, `open` and `open_read_only` those that were set.
///
/// ```no_run
/// use shmkv::{Cache, Str};
/// use std::time::Duration;
///
/// let pages: Cache<u64, Str<60>> = Cache::builder()
///     .max_capacity(10_000)
///     .time_to_live(Duration::from_secs(60))
///     .open_or_create("shm:pages")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct CacheBuilder<K, V> {
    pub(crate) settings: Settings,
    times: [Option<Duration>; TIMES],
    statistics: bool,
    load_timeout: Duration,
    listener: Option<Listener<K, V>>,
    types: PhantomData<fn() -> (K, V)>,
}

const TIMES: usize = 4;
/// The settings that are times, by the builder's methods.
const NAMES: [&str; TIMES] = [
    "time_to_live",
    "time_to_idle",
    "stale_while_revalidate",
    "negative_ttl",
];

impl<K: Key, V: Value> CacheBuilder<K, V> {
    pub(super) fn new() -> Self {
        Self {
            settings: Settings::default(),
            times: [None; TIMES],
            statistics: true,
            load_timeout: DEFAULT_LOAD_TIMEOUT,
            listener: None,
            types: PhantomData,
        }
    }

    /// Entries that there are at most: needed for creating. All of them can be used, also by
    /// small caches.
    pub fn max_capacity(mut self, entries: usize) -> Self {
        self.settings.capacity = entries as u64;
        self
    }

    /// How long an entry lives after it was inserted or updated, unless
    /// [`insert_with_ttl`](Cache::insert_with_ttl) says otherwise.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.times[0] = Some(time);
        self
    }

    /// How long an entry lives after it was last asked for by [`get`](Cache::get) through a handle
    /// that can write. Costs eight bytes an entry. So that hits do not write all the time, a hit is
    /// noted when the last one that was is older than a sixteenth of this time: an
    /// entry may end that much too early, never too late.
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.times[1] = Some(time);
        self
    }

    /// For how long after its time the old value is still served by
    /// [`get_or_insert_with`](Cache::get_or_insert_with) and its like, to all but the one caller who
    /// loads the new one. (`get` never returns a value after its time.)
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        self.times[2] = Some(time);
        self
    }

    /// How long [`get_or_insert_option_with`](Cache::get_or_insert_option_with) remembers that
    /// there is no value for a key. Without this it remembers nothing of the kind.
    pub fn negative_ttl(mut self, time: Duration) -> Self {
        self.times[3] = Some(time);
        self
    }

    /// Whether hits, misses and the like are counted: yes, unless set. A cache that is created
    /// without has no room for counters; one that is opened without does not count through this
    /// handle.
    pub fn statistics(mut self, count: bool) -> Self {
        self.statistics = count;
        self
    }

    /// How long a caller waits while another process or thread loads the value that it wants: 30
    /// seconds unless set. Then it fails with [`Busy`](crate::cache::LoadError::Busy).
    pub fn load_timeout(mut self, timeout: Duration) -> Self {
        self.load_timeout = timeout;
        self
    }

    /// Has `listener` called for each entry that goes *through this handle* or a clone of it, in the
    /// thread whose operation it was, when that is done and no lock is held: an entry that was
    /// evicted for another one, was found out of date by a writer, replaced or removed. Other
    /// processes have listeners of their own. Not called for what [`clear`](Cache::clear) and
    /// [`invalidate_all`](Cache::invalidate_all) do, nor when a dead process loses its life's work.
    pub fn eviction_listener(
        mut self,
        listener: impl Fn(K, V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// What becomes of a `file:` segment that was in use when the machine crashed: it is emptied,
    /// unless something else is chosen here.
    pub fn after_machine_crash(mut self, choice: CrashPolicy) -> Self {
        self.settings.after_machine_crash = Some(choice);
        self
    }

    settings_methods!(of all stores);

    /// Bytes that a segment made with these settings takes.
    ///
    /// # Errors
    /// If there can be no such segment. (A time that is out of range is reported at creation.)
    pub fn size(&self) -> Result<u64, SizeError> {
        let types = types::<K, V>().unwrap_or(EntryTypes::UNIT);
        planned_size(&Plan {
            key_len: size_of::<K>(),
            value_len: size_of::<V>(),
            ..self.plan_for(&types, self.fields(|_| MAX_TICKS))
        })
    }

    /// Creates a new segment.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken; `TimeOutOfRange`.
    pub fn create(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Cache<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.create(&segment, &self.plan()?)?;
        let shared = self.finish(attached, Access::ReadWrite, |_| Ok(()))?;
        self.writable(shared)
    }

    /// Opens an existing segment, for reading and writing.
    ///
    /// # Errors
    /// Whatever is wrong with the segment: it is not there, not ours, not a cache, of other types,
    /// or with another setting than one that was set here.
    pub fn open(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Cache<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.attach(&segment, Access::ReadWrite)?;
        let shared = self.finish(attached, Access::ReadWrite, |layout| {
            self.check_agreement(layout, false)
        })?;
        self.writable(shared)
    }

    /// Opens a segment, or creates it if it does not exist. Safe under any race: all callers get
    /// the same segment.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create); any setting of an existing segment
    /// that is not this builder's is reported.
    pub fn open_or_create(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<Cache<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let (attached, created) = self.settings.open_or_create(&segment, &self.plan()?)?;
        let shared = self.finish(attached, Access::ReadWrite, |layout| match created {
            Created::Yes => Ok(()),
            Created::No => self.check_agreement(layout, true),
        })?;
        self.writable(shared)
    }

    /// Opens an existing segment for reading: permission to read it is enough.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_read_only(
        self,
        segment: impl TryInto<Segment, Error: Into<SegmentError>>,
    ) -> Result<ReadOnlyCache<K, V>, OpenError> {
        let segment = segment.try_into().map_err(Into::into)?;
        let attached = self.settings.attach(&segment, Access::ReadOnly)?;
        let shared = self.finish(attached, Access::ReadOnly, |layout| {
            self.check_agreement(layout, false)
        })?;
        Ok(ReadOnlyCache::new(shared))
    }

    fn writable(self, shared: Arc<Store>) -> Result<Cache<K, V>, OpenError> {
        let local = Local {
            counts: self.statistics && shared.layout.counts.statistics != 0,
            load_timeout: self.load_timeout,
            listener: self.listener,
        };
        Cache::new(ReadOnlyCache::new(shared), local)
    }

    fn plan(&self) -> Result<Plan, OpenError> {
        for (setting, time) in NAMES.into_iter().zip(self.times) {
            if let Some(asked) = time
                && !(1..=MAX_TICKS).contains(&millis(asked))
            {
                return Err(OpenError::TimeOutOfRange { setting, asked });
            }
        }
        Ok(self.plan_for(&types::<K, V>()?, self.fields(millis)))
    }

    fn plan_for(&self, types: &EntryTypes, cache: CacheFields) -> Plan {
        Plan {
            cache,
            ..self
                .settings
                .plan(StoreKind::Cache, types, cache.meta_words())
        }
    }

    fn fields(&self, millis: impl Fn(Duration) -> u64) -> CacheFields {
        let [time_to_live, time_to_idle, stale, negative_ttl] =
            self.times.map(|time| time.map_or(0, &millis));
        CacheFields {
            time_to_live,
            time_to_idle,
            stale,
            negative_ttl,
            leases: lease::new_cells(self.settings.capacity),
            statistics: if self.statistics {
                statistics::NEW_LINES
            } else {
                0
            },
        }
    }

    /// `agree` comes before anything is changed in the segment: nothing is discarded by an opening
    /// that fails.
    fn finish(
        &self,
        attached: Attached,
        access: Access,
        agree: impl FnOnce(&Header) -> Result<(), OpenError>,
    ) -> Result<Arc<Store>, OpenError> {
        // What is lost of a cache is loaded again.
        let mut settings = self.settings.clone();
        let choice = &mut settings.after_machine_crash;
        choice.get_or_insert(CrashPolicy::Discard);
        let (shared, ()) = settings.finish(
            attached,
            access,
            |layout| {
                check_types::<K, V>(layout, StoreKind::Cache, layout.cache.meta_words())?;
                agree(layout)
            },
            |(), key, value| match value.get(WordBuf::<V>::WORDS) {
                Some(meta) if Meta(*meta).is_negative() => invalid_part::<K, ()>(key, &[]),
                _ => invalid_part::<K, V>(key, value),
            },
        )?;
        Ok(shared)
    }

    /// Whether an existing segment has the settings that this builder has; those that were set, or
    /// `all`.
    fn check_agreement(&self, layout: &Header, all: bool) -> Result<(), OpenError> {
        let found = layout.cache;
        let found = [
            found.time_to_live,
            found.time_to_idle,
            found.stale,
            found.negative_ttl,
        ];
        for ((setting, asked), found) in NAMES.into_iter().zip(self.times).zip(found) {
            let differs = match asked {
                Some(asked) => millis(asked) != found,
                None => all && found != 0,
            };
            if differs {
                let text = |time: Option<Duration>| match time {
                    Some(time) => format!("{time:?}"),
                    None => "none".to_owned(),
                };
                return Err(OpenError::SettingDiffers {
                    setting,
                    asked: text(asked),
                    found: text((found != 0).then(|| Duration::from_millis(found))),
                });
            }
        }
        let asked = self.settings.capacity;
        if asked != layout.capacity && (all || asked != 0) {
            return Err(OpenError::SettingDiffers {
                setting: "max_capacity",
                asked: asked.to_string(),
                found: layout.capacity.to_string(),
            });
        }
        self.settings.check_agreement(layout)
    }
}

impl<K, V> Clone for CacheBuilder<K, V> {
    fn clone(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            times: self.times,
            statistics: self.statistics,
            load_timeout: self.load_timeout,
            listener: self.listener.clone(),
            types: PhantomData,
        }
    }
}

impl<K, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("CacheBuilder");
        for (name, time) in NAMES.into_iter().zip(self.times) {
            debug.field(name, &time);
        }
        debug
            .field("statistics", &self.statistics)
            .field("load_timeout", &self.load_timeout)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
