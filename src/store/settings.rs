//! What every builder can be told, and the setters for it.

use std::io;
use std::time::Duration;

use crate::protocol::hash::HashFunction;
use crate::segment::{Segment, SegmentError, SegmentOptions};
use crate::store::restart::CrashPolicy;
use crate::sys::access::Access;
use crate::sys::huge::HugePages;
use crate::sys::mapping::Mapping;

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
        crate::store::settings::settings_methods!(of all stores);

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

impl Memory {
    /// Applies the wishes to a mapping of the segment.
    pub(super) fn apply(self, segment: &Segment, mapping: &Mapping) -> Result<(), SegmentError> {
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
