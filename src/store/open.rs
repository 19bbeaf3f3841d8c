//! Creating and opening a segment, whatever the handle on it is going to be.
//!
//! The builders of all handles are thin: they know types. What they share is here: the
//! settings, a header made from a plan, and the way from attached bytes to an open segment
//! ([`Store`]), on which a handle's own checks are the only difference.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zerocopy::IntoBytes;

use crate::format::sections::{BucketGeometry, Sections};
use crate::format::{
    CacheFields, CreationRecord, Header, MAGIC, Plan, SizeError, StoreKind, read_layout,
};
use crate::liveness::Registration;
use crate::liveness::trust::FileWords;
use crate::policy::estimator::Estimator;
use crate::protocol::hash::{HashFunction, SECRET_WORDS, Secret};
use crate::schema::{ParseError, Type};
use crate::segment::{Attached, Created, NewSegment, Segment, SegmentError, SegmentOptions};
use crate::store::error::OpenError;
use crate::store::restart::admit::{Wishes, admit};
use crate::store::restart::{CrashPolicy, DropReason, record};
use crate::store::{Store, lock_place};
use crate::sys::access::Access;
use crate::sys::boot::boot_id;
use crate::sys::huge::HugePages;
use crate::sys::mapping::Mapping;
use crate::sys::random;
use crate::sys::sync::{AtomicU64, Ordering};

/// How long a writer waits for a bucket that a live process holds, unless told otherwise.
const DEFAULT_LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Processes that can write at a time, unless told otherwise: 16 KiB of the segment.
const DEFAULT_WRITERS: u32 = 256;

/// What every builder can be told.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) capacity: u64,
    pub(crate) max_writers: u32,
    pub(crate) hash: Option<HashFunction>,
    pub(crate) options: SegmentOptions,
    pub(crate) lock_timeout: Duration,
    pub(crate) memory: Memory,
    /// The handle's own default, if it is not said.
    pub(crate) after_machine_crash: Option<CrashPolicy>,
    pub(crate) sync_on_close: bool,
    pub(crate) adopt_copy: bool,
    pub(crate) assume_dead: bool,
    pub(crate) carry_over: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 0,
            max_writers: DEFAULT_WRITERS,
            hash: None,
            options: SegmentOptions::default(),
            lock_timeout: DEFAULT_LOCK_TIMEOUT,
            memory: Memory::default(),
            after_machine_crash: None,
            sync_on_close: true,
            adopt_copy: false,
            assume_dead: false,
            carry_over: false,
        }
    }
}

/// The setters that all builders have; for types with a field `settings: Settings`.
macro_rules! settings_methods {
    () => {
        crate::store::open::settings_methods!(of all stores);

        /// Entries that shall fit, whatever their keys: needed for creating. More may fit, since
        /// there are always some slots more. `open_or_create` accepts an existing segment with
        /// at least this capacity.
        pub fn capacity(mut self, entries: usize) -> Self {
            self.settings.capacity = entries as u64;
            self
        }

        /// What becomes of a `file:` segment that was in use when the machine crashed: opening it fails
        /// unless something else is chosen here.
        pub fn after_machine_crash(mut self, choice: crate::store::restart::CrashPolicy) -> Self {
            self.settings.after_machine_crash = Some(choice);
            self
        }

        /// Takes a copy of a segment (made with `cp`, `rsync`, a snapshot or an image layer) for what
        /// it is: opening one fails unless this says yes. A copy that is whole, because the segment was
        /// synced or closed when it was made, becomes a segment of its own when it is opened for
        /// writing. One of a segment in use is treated as after a crash of the machine, see
        /// [`after_machine_crash`](Self::after_machine_crash).
        pub fn adopt_copy(mut self, adopt: bool) -> Self {
            self.settings.adopt_copy = adopt;
            self
        }

        /// Takes writers for dead of whom nothing can be told, where an opening would fail because
        /// of them ([`OpenError::Undecided`](crate::OpenError::Undecided)). Only for whoever knows it
        /// from in another file: if one of them lives, values are lost or mixed. Those that are
        /// provably alive are not touched.
        pub fn assume_unknown_writers_dead(mut self, assume: bool) -> Self {
            self.settings.assume_dead = assume;
            self
        }
    };
    (of all stores) => {
        /// Processes that can write at a time (256 unless set, 64 bytes each, at most 65,535). A
        /// process counts from its first write through a handle until it drops the handle or ends.
        pub fn max_writers(mut self, processes: u32) -> Self {
            self.settings.max_writers = processes;
            self
        }

        /// The hash function of a new segment. `open_or_create` refuses an existing segment with
        /// another one than is set here.
        pub fn hash(mut self, hash: crate::protocol::hash::HashFunction) -> Self {
            self.settings.hash = Some(hash);
            self
        }

        /// Permission bits of a new segment: 0600 unless set, whatever the umask.
        pub fn mode(mut self, mode: u32) -> Self {
            self.settings.options = self.settings.options.mode(mode);
            self
        }

        /// Accepts an existing segment of user `uid`, and of nobody else. Without this, only one's own
        /// segments are opened: whoever owns a segment can fill it with anything.
        pub fn expect_owner(mut self, uid: u32) -> Self {
            self.settings.options = self.settings.options.expect_owner(uid);
            self
        }

        /// Accepts existing segments of any user.
        pub fn any_owner(mut self) -> Self {
            self.settings.options = self.settings.options.any_owner();
            self
        }

        /// All that concerns the segment rather than what is in it.
        pub fn segment_options(mut self, options: crate::segment::SegmentOptions) -> Self {
            self.settings.options = options;
            self
        }

        /// How long a write waits for a bucket that another live process holds: one second unless
        /// set. Then it fails with [`Busy`](crate::WriteError::Busy).
        pub fn lock_timeout(mut self, timeout: ::std::time::Duration) -> Self {
            self.settings.lock_timeout = timeout;
            self
        }

        /// Touches all pages when opening, so that no later access pays for a page fault.
        pub fn prefault(mut self, prefault: bool) -> Self {
            self.settings.memory.prefault = prefault;
            self
        }

        /// Locks the pages into memory (`mlock`): they are never swapped out. Counts against
        /// `RLIMIT_MEMLOCK`.
        pub fn lock_in_memory(mut self, lock: bool) -> Self {
            self.settings.memory.lock = lock;
            self
        }

        /// Whether the mapping shall use huge pages.
        pub fn huge_pages(mut self, huge_pages: crate::sys::huge::HugePages) -> Self {
            self.settings.memory.huge_pages = huge_pages;
            self
        }

        /// Whether the last writer of a `file:` segment writes it to the disk when its last handle is
        /// dropped (which takes its time), so that it is trusted after a crash of the machine. It
        /// does unless this says no.
        pub fn sync_on_close(mut self, sync: bool) -> Self {
            self.settings.sync_on_close = sync;
            self
        }

        /// Whether [`open_or_replace`](Self::open_or_replace) copies the entries of the segment that
        /// it replaces into the new one: no, unless set. They are copied if both are of one kind with
        /// the same types of key and value; times to live are kept. What is written to the old
        /// segment during the copy, or later, is not carried over.
        pub fn carry_over(mut self, carry_over: bool) -> Self {
            self.settings.carry_over = carry_over;
            self
        }
    };
}
pub(crate) use settings_methods;

/// Wishes for the memory of the mapping.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) prefault: bool,
    pub(crate) lock: bool,
    pub(crate) huge_pages: HugePages,
}

/// The types of a segment's entries, as a handle expects or has found them.
#[derive(Clone, Debug)]
pub(crate) struct EntryTypes {
    pub(crate) key: Type,
    pub(crate) value: Type,
}

impl EntryTypes {
    /// Stands in where only lengths matter.
    pub(crate) const UNIT: Self = Self {
        key: Type::Unit,
        value: Type::Unit,
    };
}

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

    /// Attaches a segment that exists.
    pub(crate) fn attach(&self, segment: &Segment, access: Access) -> Result<Attached, OpenError> {
        Ok(segment.open(&self.options, access, MAGIC)?)
    }

    /// Turns an attached segment into an open one, if `check` finds that it is what the handle
    /// needs, and the machine was not booted since it was used last, or it passes the check that
    /// follows then ([`restart`]), in which `invalid` judges the words of keys and values. Returns
    /// what `check` found out as well.
    pub(crate) fn finish<T>(
        &self,
        attached: Attached,
        access: Access,
        check: impl FnOnce(&Header) -> Result<T, OpenError>,
        invalid: impl Fn(&T, &[u64], &[u64]) -> Option<DropReason>,
    ) -> Result<(Arc<Store>, T), OpenError> {
        let layout = read_layout(&attached.mapping)?;
        let checked = check(&layout)?;
        // Not of a new segment: what can fail has been done before it got its name. And only now:
        // a file of somebody else's may have its holes.
        if attached.created == Created::No {
            if access == Access::ReadWrite {
                attached.fill_holes()?;
            }
            self.memory.apply(&attached.segment, &attached.mapping)?;
        }
        let file_words = attached.file_words();
        let Attached {
            mapping,
            segment,
            identity,
            file,
            created,
        } = attached;
        let counts = &layout.counts;
        let grid = BucketGeometry::new(counts.buckets, counts.bucket_words(), layout.hash);
        let mapping = Sections::new(mapping, layout.places.parts(), grid);
        let owners = (access == Access::ReadWrite).then(|| {
            let file = file.as_ref().map(AsFd::as_fd);
            Registration::new(
                lock_place(&segment, file),
                segment.path().as_deref(),
                layout.segment_id,
                layout.counts.participants,
            )
        });
        let is_new = created == Created::Yes;
        let shared = Arc::new(Store {
            secret: Secret::new(layout.secret),
            mapping,
            layout,
            segment,
            identity,
            born: file_words.map_or(0, |file| file.born),
            owners,
            lock_timeout: self.lock_timeout,
            refused: AtomicU64::new(0),
            estimator: Estimator::new(),
            sync_on_close: self.sync_on_close,
            salvage: OnceLock::new(),
            boot: OnceLock::new(),
            admissions: AtomicU64::new(0),
            seal_when_closed: is_new && boot_id().is_none(),
            file,
        });
        let wishes = Wishes {
            after_crash: self.after_machine_crash.unwrap_or_default(),
            adopt_copy: self.adopt_copy,
            assume_dead: self.assume_dead,
            is_new,
        };
        let shape = shared.layout.counts.dimensions();
        let admitted = admit(&shared, shape, file_words, wishes, |key, value| {
            invalid(&checked, key, value)
        })?;
        // Nobody else has the handle yet.
        let _ = shared.boot.set(admitted.boot);
        if let Some(salvage) = admitted.salvage {
            let _ = shared.salvage.set(salvage);
        }
        Ok((shared, checked))
    }

    /// Whether an existing segment is what `open_or_create` would have created, or better.
    pub(crate) fn check_agreement(&self, layout: &Header) -> Result<(), OpenError> {
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

/// Bytes of a segment made to a plan.
pub(crate) fn planned_size(plan: &Plan) -> Result<u64, SizeError> {
    let places = plan.counts()?.places();
    Ok(places.map_or(u64::MAX, |places| places.end as u64 * 8))
}

/// The types that a segment says it holds.
pub(crate) fn stored_types(layout: &Header) -> Result<EntryTypes, OpenError> {
    let parsed = |part, text: &str| {
        Type::parse(text).map_err(|source: ParseError| OpenError::Schema {
            part,
            source: Box::new(source),
        })
    };
    Ok(EntryTypes {
        key: parsed("key", &layout.key_schema)?,
        value: parsed("value", &layout.value_schema)?,
    })
}

/// Whether the sizes by which the table is laid out are those of the types by which its
/// entries are accessed: they must agree, whatever the schemas say.
pub(crate) fn check_sizes(
    layout: &Header,
    key: usize,
    value: usize,
    meta_words: u32,
) -> Result<(), OpenError> {
    let counts = &layout.counts;
    let sizes = [
        ("key", key as u64, u64::from(counts.key_len)),
        ("value", value as u64, u64::from(counts.value_len)),
        (
            "metadata",
            u64::from(meta_words) * 8,
            u64::from(counts.meta_words) * 8,
        ),
    ];
    for (part, expected, found) in sizes {
        if expected != found {
            return Err(OpenError::SizeContradiction {
                part,
                expected,
                found,
            });
        }
    }
    Ok(())
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

impl Memory {
    fn apply(self, segment: &Segment, mapping: &Mapping) -> Result<(), SegmentError> {
        let wish = |wish, result: io::Result<()>| {
            let segment = segment.clone();
            result.map_err(|source| SegmentError::Memory {
                segment,
                wish,
                source,
            })
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
