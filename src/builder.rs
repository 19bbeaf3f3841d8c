//! Creating and opening maps.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zerocopy::IntoBytes;

use crate::error::OpenError;
use crate::hash::{HashKind, KeyHasher, SECRET_WORDS};
use crate::image::{Typed, decode};
use crate::layout::{
    Birth, Kind, Layout, LayoutError, MAGIC, MAX_HEADER_LEN, Plan, SizeError, validate,
};
use crate::map::{Map, ReadOnlyMap};
use crate::mapping::{Access, HugePages, Mapping};
use crate::owner::{LockPlace, Owners};
use crate::restart::{self, AfterMachineCrash, Reason, boot_id};
use crate::schema::{self, Schema, Type};
use crate::segment::{Attached, Blueprint, Created, Segment, SegmentError, SegmentOptions};
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};
use crate::types::{Key, Value};

/// How long a writer waits for a bucket that a living process holds, unless told otherwise.
const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Processes that can write at a time, unless told otherwise: 16 KiB of the segment.
const DEFAULT_WRITERS: u32 = 256;

/// Creates or opens a [`Map`]: what belongs to the segment (capacity, writers, hash, mode) is
/// decided at creation; what belongs to the handle (timeout, memory) at each opening.
///
/// ```
/// use shmkv::Map;
/// use std::time::Duration;
///
/// # let name = format!("shm:doc-builder-{}", std::process::id());
/// let map: Map<u64, [f64; 2]> = Map::builder()
///     .capacity(100_000)
///     .lock_timeout(Duration::from_millis(100))
///     .open_or_create(&*name)?;
/// # map.segment().remove()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct MapBuilder<K, V> {
    capacity: u64,
    max_writers: u32,
    hash: Option<HashKind>,
    options: SegmentOptions,
    lock_timeout: Duration,
    memory: Memory,
    after_machine_crash: AfterMachineCrash,
    sync_on_close: bool,
    types: PhantomData<fn() -> (K, V)>,
}

/// Wishes for the memory of the mapping.
#[derive(Clone, Copy, Debug, Default)]
struct Memory {
    prefault: bool,
    lock: bool,
    huge_pages: HugePages,
}

impl<K: Key, V: Value> MapBuilder<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            capacity: 0,
            max_writers: DEFAULT_WRITERS,
            hash: None,
            options: SegmentOptions::default(),
            lock_timeout: DEFAULT_LOCK_TIMEOUT,
            memory: Memory::default(),
            after_machine_crash: AfterMachineCrash::default(),
            sync_on_close: true,
            types: PhantomData,
        }
    }

    /// Entries that shall fit, whatever their keys: needed for creating. More may fit, since
    /// there are always some slots more. `open_or_create` accepts an existing segment with
    /// at least this capacity.
    pub fn capacity(mut self, entries: usize) -> Self {
        self.capacity = entries as u64;
        self
    }

    /// Processes that can write at a time (256 unless set, 64 bytes each, at most 65,535). A
    /// process counts from its first write through a handle until it drops the handle or ends.
    pub fn max_writers(mut self, processes: u32) -> Self {
        self.max_writers = processes;
        self
    }

    /// The hash function of a new segment. `open_or_create` refuses an existing segment with
    /// another one than is set here.
    pub fn hash(mut self, hash: HashKind) -> Self {
        self.hash = Some(hash);
        self
    }

    /// Permission bits of a new segment: 0600 unless set, whatever the umask.
    pub fn mode(mut self, mode: u32) -> Self {
        self.options = self.options.mode(mode);
        self
    }

    /// Accepts an existing segment of user `uid`, and of nobody else. Without this, only one's own
    /// segments are opened: whoever owns a segment can fill it with anything.
    pub fn expect_owner(mut self, uid: u32) -> Self {
        self.options = self.options.expect_owner(uid);
        self
    }

    /// Accepts existing segments of any user.
    pub fn any_owner(mut self) -> Self {
        self.options = self.options.any_owner();
        self
    }

    /// All that concerns the segment rather than the map.
    pub fn segment_options(mut self, options: SegmentOptions) -> Self {
        self.options = options;
        self
    }

    /// How long a write waits for a bucket that another living process holds: one second unless
    /// set. Then it fails with [`Busy`](crate::WriteError::Busy).
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// Touches all pages when opening, so that no later access pays for a page fault.
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.memory.prefault = prefault;
        self
    }

    /// Locks the pages into memory (`mlock`): they are never swapped out. Counts against
    /// `RLIMIT_MEMLOCK`.
    pub fn lock_in_memory(mut self, lock: bool) -> Self {
        self.memory.lock = lock;
        self
    }

    /// Whether the mapping shall use huge pages.
    pub fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.memory.huge_pages = huge_pages;
        self
    }

    /// What becomes of a `file:` segment that was in use when the machine crashed: opening it fails
    /// unless something else is chosen here.
    pub fn after_machine_crash(mut self, choice: AfterMachineCrash) -> Self {
        self.after_machine_crash = choice;
        self
    }

    /// Whether the last writer of a `file:` segment writes it to the disk when its last handle is
    /// dropped ([`Map::sync`], which takes its time), so that it is trusted after a crash of the
    /// machine. It does unless this says no.
    pub fn sync_on_close(mut self, sync: bool) -> Self {
        self.sync_on_close = sync;
        self
    }

    /// Bytes that a segment made with these settings takes.
    pub fn size(&self) -> Result<u64, SizeError> {
        // A schema text that is too long, or a type that cannot be stored, is reported at
        // creation; the size does not depend on it beyond a page.
        let text = |ty: Result<Type, _>| ty.map(|ty| ty.to_string()).unwrap_or_default();
        let plan = self.plan(text(schema::of::<K>()), text(schema::of::<V>()));
        let places = plan.counts()?.places();
        Ok(places.map_or(u64::MAX, |places| places.end as u64 * 8))
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
        let attached = self.with_blueprint(|blueprint| segment.create(&self.options, blueprint))?;
        self.finish(attached, Access::ReadWrite).map(Map::new)
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
        let attached = segment.open(&self.options, Access::ReadWrite, MAGIC)?;
        self.finish(attached, Access::ReadWrite).map(Map::new)
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
        let (attached, created) =
            self.with_blueprint(|blueprint| segment.open_or_create(&self.options, blueprint))?;
        let shared = self.finish(attached, Access::ReadWrite)?;
        if created == Created::No {
            self.check_agreement(&shared.layout)?;
        }
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
        let attached = segment.open(&self.options, Access::ReadOnly, MAGIC)?;
        self.finish(attached, Access::ReadOnly)
            .map(ReadOnlyMap::new)
    }

    fn plan(&self, key_schema: String, value_schema: String) -> Plan {
        Plan {
            kind: Kind::Map,
            hash: self.hash.unwrap_or_default(),
            capacity: self.capacity,
            key_len: size_of::<K>(),
            value_len: size_of::<V>(),
            meta_words: 0,
            participants: self.max_writers,
            key_schema,
            value_schema,
        }
    }

    /// Lets `create` make a segment to this builder's plan.
    fn with_blueprint<T>(
        &self,
        create: impl FnOnce(&Blueprint<'_>) -> Result<T, SegmentError>,
    ) -> Result<T, OpenError> {
        let (key, value) = self.schemas()?;
        let plan = self.plan(key.to_string(), value.to_string());
        let counts = plan.counts()?;
        let header = plan.header(&counts, &birth()?);
        let len = counts.places().map_or(usize::MAX, |places| places.end * 8);
        let init = |words: &[AtomicU64]| {
            // Word 0 is the magic, which the segment stores when all else is there.
            let (header, _) = header.as_chunks::<8>();
            for (word, bytes) in words.iter().zip(header).skip(1) {
                word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
            }
        };
        Ok(create(&Blueprint {
            len,
            magic: MAGIC,
            init: &init,
        })?)
    }

    fn schemas(&self) -> Result<(Type, Type), OpenError> {
        let unfit = |part| {
            move |source| OpenError::Unfit {
                part,
                source: Box::new(source),
            }
        };
        Ok((
            schema::of::<K>().map_err(unfit("key"))?,
            schema::of::<V>().map_err(unfit("value"))?,
        ))
    }

    /// Turns an attached segment into an open map, or says why it is none.
    fn finish(&self, attached: Attached, access: Access) -> Result<Arc<Shared>, OpenError> {
        let layout = read_layout(&attached.mapping)?;
        self.check_types(&layout)?;
        // Only now: a file of somebody else's may have its holes.
        if access == Access::ReadWrite {
            attached.fill_holes()?;
        }
        let Attached {
            mut mapping,
            segment,
            identity,
            file,
        } = attached;
        self.memory.apply(&mapping)?;
        mapping.cut(layout.places.parts());
        let owners = (access == Access::ReadWrite).then(|| {
            use std::os::fd::AsFd;
            let place = match &file {
                Some(file) => LockPlace::File(file.as_fd()),
                None => match segment.metadata() {
                    Ok(found) => LockPlace::Companion {
                        owner: found.uid,
                        mode: found.mode,
                    },
                    Err(_) => LockPlace::None,
                },
            };
            Owners::new(place, layout.segment_id, layout.counts.participants)
        });
        let shared = Arc::new(Shared {
            hasher: KeyHasher::new(layout.hash, layout.secret),
            mapping,
            layout,
            segment,
            identity,
            owners,
            lock_timeout: self.lock_timeout,
            sync_on_close: self.sync_on_close,
            salvage: OnceLock::new(),
            file,
        });
        let salvage = restart::admit(
            &shared,
            Typed::<K, V>::SHAPE,
            self.after_machine_crash,
            invalid_part::<K, V>,
        )?;
        if let Some(salvage) = salvage {
            // Nobody else has the handle yet.
            let _ = shared.salvage.set(salvage);
        }
        Ok(shared)
    }

    /// Whether the segment holds what this program's types describe.
    fn check_types(&self, layout: &Layout) -> Result<(), OpenError> {
        if layout.kind != Kind::Map {
            return Err(OpenError::WrongKind {
                expected: Kind::Map,
                found: layout.kind,
            });
        }
        let (key, value) = self.schemas()?;
        let parsed = |part, text: &str| {
            Type::parse(text).map_err(|source| OpenError::Schema {
                part,
                source: Box::new(source),
            })
        };
        if let Some(mismatch) = parsed("key", &layout.key_schema)?.mismatch(&key) {
            return Err(OpenError::KeyType(Box::new(mismatch)));
        }
        if let Some(mismatch) = parsed("value", &layout.value_schema)?.mismatch(&value) {
            return Err(OpenError::ValueType(Box::new(mismatch)));
        }
        // The table is laid out by the header's sizes and accessed by the types': they must
        // agree, whatever the schemas say.
        let sizes = [
            ("key", size_of::<K>(), layout.counts.key_len),
            ("value", size_of::<V>(), layout.counts.value_len),
        ];
        for (part, expected, found) in sizes {
            if expected as u64 != u64::from(found) {
                let (expected, found) = (expected as u64, u64::from(found));
                return Err(OpenError::SizeContradiction {
                    part,
                    expected,
                    found,
                });
            }
        }
        if layout.counts.meta_words != 0 {
            let (expected, found) = (0, u64::from(layout.counts.meta_words) * 8);
            return Err(OpenError::SizeContradiction {
                part: "metadata",
                expected,
                found,
            });
        }
        Ok(())
    }

    /// Whether an existing segment is what `open_or_create` would have created, or better.
    fn check_agreement(&self, layout: &Layout) -> Result<(), OpenError> {
        if layout.capacity < self.capacity {
            let (asked, found) = (self.capacity, layout.capacity);
            return Err(OpenError::CapacityDiffers { asked, found });
        }
        match self.hash {
            Some(asked) if asked != layout.hash => Err(OpenError::HashDiffers {
                asked,
                found: layout.hash,
            }),
            _ => Ok(()),
        }
    }
}

/// Copies the header out, once, and validates the copy.
pub(crate) fn read_layout(mapping: &Mapping) -> Result<Layout, LayoutError> {
    let header: Vec<u64> = mapping
        .words()
        .iter()
        .take(MAX_HEADER_LEN / 8)
        .enumerate()
        .map(|(index, word)| {
            // Acquire on the first word would be wrong on a read-only mapping; the fence
            // after it pairs with the Release store of the magic at creation.
            let word = word.load(Ordering::Relaxed);
            if index == 0 {
                crate::sync::fence(Ordering::Acquire);
            }
            word
        })
        .collect();
    validate(header.as_bytes(), mapping.len() as u64)
}

/// What only this creation has.
fn birth() -> Result<Birth, OpenError> {
    let mut random = [0u64; SECRET_WORDS + 2];
    let mut rest = random.as_mut_bytes();
    while !rest.is_empty() {
        match rustix::rand::getrandom(&mut *rest, rustix::rand::GetRandomFlags::empty()) {
            Ok(filled) => rest = &mut rest[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(OpenError::Random(error.into())),
        }
    }
    let [s0, s1, s2, s3, s4, s5, s6, s7, id @ ..] = random;
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Birth {
        secret: [s0, s1, s2, s3, s4, s5, s6, s7],
        segment_id: id,
        creator_pid: std::process::id(),
        created_at: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
        boot_id: boot_id(),
    })
}

/// What is wrong with the words of an entry, by its types.
fn invalid_part<K: Key, V: Value>(key: &[u64], value: &[u64]) -> Option<Reason> {
    if !decode::<K>(key).is_some_and(|key| key.is_valid()) {
        Some(Reason::InvalidKey)
    } else if !decode::<V>(value).is_some_and(|value| value.is_valid()) {
        Some(Reason::InvalidValue)
    } else {
        None
    }
}

impl Memory {
    fn apply(self, mapping: &Mapping) -> Result<(), OpenError> {
        let wish = |wish, result: io::Result<()>| {
            result.map_err(|source| OpenError::Memory { wish, source })
        };
        match self.huge_pages {
            // A reader leaves the segment as it is, in this respect as well.
            _ if mapping.access() == Access::ReadOnly => {}
            HugePages::Never => {}
            // A hint: where the kernel does not offer them, small pages do.
            HugePages::Advise => drop(mapping.use_huge_pages()),
            HugePages::Require => wish("using huge pages", mapping.use_huge_pages())?,
        }
        if self.prefault {
            wish("touching all pages", mapping.prefault())?;
        }
        if self.lock {
            wish("locking the pages into memory", mapping.lock_in_memory())?;
        }
        Ok(())
    }
}

impl<K, V> fmt::Debug for MapBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBuilder")
            .field("capacity", &self.capacity)
            .field("max_writers", &self.max_writers)
            .field("hash", &self.hash)
            .field("options", &self.options)
            .field("lock_timeout", &self.lock_timeout)
            .field("memory", &self.memory)
            .field("after_machine_crash", &self.after_machine_crash)
            .field("sync_on_close", &self.sync_on_close)
            .finish()
    }
}

impl Segment {
    /// Bytes of a segment that promises room for `capacity` entries of a `Map<K, V>` with default
    /// settings.
    ///
    /// ```
    /// use shmkv::Segment;
    ///
    /// let bytes = Segment::size_for::<u64, u64>(1_000_000)?;
    /// assert!(bytes < 25_000_000);
    /// # Ok::<(), shmkv::SizeError>(())
    /// ```
    pub fn size_for<K: Key + Schema, V: Value + Schema>(capacity: usize) -> Result<u64, SizeError> {
        Map::<K, V>::size_for(capacity)
    }
}
