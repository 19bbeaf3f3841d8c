//! What can go wrong with an open map. (Opening has errors of its own: [`OpenError`].)

use std::fmt;
use std::time::Duration;

use crate::format::{FormatError, SizeError, StoreKind};
use crate::liveness::{OwnerInfo, RegisterError};
use crate::protocol::hash::HashFunction;
use crate::schema::{Mismatch, ParseError, Unfit};
use crate::segment::{Segment, SegmentError};

/// Why a segment could not be created or opened as the map that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The segment itself: its name, its permissions, its memory.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Its bytes are not a segment of this version of shmkv.
    #[error(transparent)]
    Header(#[from] FormatError),
    /// No segment can be made to these wishes.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// It holds keys of another type.
    #[error("keys of another type: {0}")]
    KeyType(#[source] Box<Mismatch>),
    /// It holds values of another type.
    #[error("values of another type: {0}")]
    ValueType(#[source] Box<Mismatch>),
    /// A schema that is stored in it cannot be read.
    #[error("the stored schema of the {part} cannot be read: {source}")]
    Schema {
        /// "key" or "value".
        part: &'static str,
        /// What is wrong with it.
        source: Box<ParseError>,
    },
    /// The type that was asked for cannot be described within the limits of a schema.
    #[error("the {part} type cannot be stored: {source}")]
    Unfit {
        /// "key" or "value".
        part: &'static str,
        /// What is wrong with it.
        source: Box<Unfit>,
    },
    /// The stored sizes contradict the stored schemas.
    #[error(
        "header says {found} bytes a {part}, its schema says {expected}: the header was not written by shmkv"
    )]
    SizeContradiction {
        /// "key" or "value".
        part: &'static str,
        /// Bytes by the schema.
        expected: u64,
        /// Bytes by the header.
        found: u64,
    },
    /// It is another kind of store.
    #[error("segment holds a {found}, this program asks for a {expected}: open it as what it is")]
    WrongKind {
        /// What was asked for.
        expected: StoreKind,
        /// What it is.
        found: StoreKind,
    },
    /// It exists with less room than `open_or_create` was asked for.
    #[error(
        "segment exists with a capacity of {found} entries, this program asks for {asked}: ask for less, or copy it into a larger segment"
    )]
    CapacityDiffers {
        /// What was asked for.
        asked: u64,
        /// What the existing segment promises.
        found: u64,
    },
    /// It exists with another hash function than `open_or_create` was asked for.
    #[error(
        "segment exists with {found} as its hash, this program asks for {asked}: ask for that, or copy it into another segment"
    )]
    HashDiffers {
        /// What was asked for.
        asked: HashFunction,
        /// What the existing segment uses.
        found: HashFunction,
    },
    /// It exists with another setting than this program asks for.
    #[error(
        "segment exists with {setting} = {found}, this program asks for {asked}: ask for that, or remove and create it again"
    )]
    SettingDiffers {
        /// The setting, by the builder's method.
        setting: &'static str,
        /// What was asked for.
        asked: String,
        /// What the existing segment has.
        found: String,
    },
    /// A time was asked for that a segment cannot hold.
    #[error("{setting} = {asked:?} is out of range: a millisecond to 34 years are possible")]
    TimeOutOfRange {
        /// The setting, by the builder's method.
        setting: &'static str,
        /// What was asked for.
        asked: Duration,
    },
    /// The content of a segment could not be copied to the one that was to replace it. Nothing was
    /// replaced.
    #[error(
        "the entries of {segment} cannot be carried over, so it was not replaced: {source}; try \
         again, give the new one more room, or do without carry_over"
    )]
    CarryOver {
        /// The segment that was to be replaced.
        segment: Segment,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The machine crashed, or was switched off, while the segment was in use, so what is on its
    /// disk may be of different times.
    #[error(
        "{segment} was in use when the machine went down ({}), so its pages may be of different times: {}",
        LastSync(*synced_at),
        if *read_only {
            "open it for writing first, and choose there what becomes of it (`after_machine_crash`)"
        } else {
            "open it with `after_machine_crash` set to keep what passes a check, or to discard it"
        }
    )]
    MachineCrash {
        /// The segment.
        segment: Segment,
        /// When it was last synced or cleanly closed; it was written to afterwards.
        synced_at: Option<std::time::SystemTime>,
        /// Whether it was to be opened for reading only, so that nothing can be done about it.
        read_only: bool,
    },
    /// The file is a copy of the one that the segment was made in.
    #[error(
        "{segment} is a copy of a segment ({}): {}",
        if *is_whole {
            "a whole one"
        } else {
            "of one that was in use or never synced, so its pages may be of different times"
        },
        match (*is_whole, *read_only) {
            (true, _) => "open it with `adopt_copy`",
            (false, true) => "open it for writing first, with `adopt_copy` and \
                `after_machine_crash`, which says what becomes of it",
            (false, false) => "open it with `adopt_copy`, and `after_machine_crash` set to keep \
                what passes a check, or to discard it",
        }
    )]
    Copy {
        /// The segment.
        segment: Segment,
        /// Whether its content is that of a sync or a clean close.
        is_whole: bool,
        /// Whether it was to be opened for reading only.
        read_only: bool,
    },
    /// Whether the segment is as its writers left it cannot be told from here.
    #[error("{segment} cannot be opened safely from here: {unreadable}")]
    Undecided {
        /// The segment.
        segment: Segment,
        /// What could not be read.
        unreadable: Unreadable,
    },
    /// Another process checks the segment, after a crash of the machine, and was not done in time.
    #[error(
        "{segment} is being checked by another process after a crash of the machine, for {waited:?} and longer: try again"
    )]
    BeingChecked {
        /// The segment.
        segment: Segment,
        /// How long this process has waited.
        waited: Duration,
    },
    /// The machine gave no random numbers for the secret of the hash.
    #[error("no random numbers for the secret of the hash: {0}")]
    Random(#[source] std::io::Error),
}

/// What an opening had to know, and could not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// Which boot of the machine this is.
    BootId,
    /// What the time namespace of this process adds to its clock.
    TimeNamespace,
    /// Whether writers are alive that left no lock.
    Writers,
    /// In which file the segment was made.
    File,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BootId => {
                "it was written to since its last sync, or its entries have times to live, and \
                 /proc/sys/kernel/random/boot_id cannot be read, which would tell whether the machine \
                 has crashed since: mount /proc, or open it where it is mounted"
            }
            Self::TimeNamespace => {
                "its entries have times to live, and /proc/self/ns/time or \
                 /proc/self/timens_offsets cannot be read, which tell the time: mount /proc, or open \
                 it for reading"
            }
            Self::Writers => {
                "a writer of another boot or pid namespace left no lock, so it cannot be told whether \
                 it is alive: end it, or, if you know that it is dead, open it with \
                 `assume_unknown_writers_dead`"
            }
            Self::File => {
                "it does not say in which file it was made, so it may be a copy of one that was \
                 in use: open it for writing with `adopt_copy`, and `after_machine_crash`, which says \
                 what becomes of it"
            }
        })
    }
}

/// For the message of `MachineCrash`.
struct LastSync(Option<std::time::SystemTime>);

impl fmt::Display for LastSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = self.0 else {
            return f.write_str("it was never synced");
        };
        let ago = at.elapsed().unwrap_or_default().as_secs();
        let (days, hours, minutes) = (ago / 86_400, ago / 3600 % 24, ago / 60 % 60);
        write!(
            f,
            "last synced {days} d {hours} h {minutes} min ago, and written to since"
        )
    }
}

/// Why a value could not be read. (Without fields: then it fits beside a value in whatever `get`
/// returns, and the compiler moves the value in one piece.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Other processes published in the very bucket again and again while we looked, more
    /// often than a read-only handle tries. (A writable handle takes the bucket's lock
    /// then.) This is no miss: try again.
    #[error(
        "the bucket was rewritten each time that it was read, as often as a read is tried: try again"
    )]
    Contended,
    /// The bytes that are stored are not a value of the type. Some process wrote invalid bytes.
    #[error(
        "the stored bytes are not a valid value of the type: some process wrote invalid bytes into the segment; remove the key, or repair the segment"
    )]
    InvalidValue,
}

/// Why a write did not happen. Whatever it is, the map is as it was before the call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// There is no room for one more key where this one may live, nor can anything move out of
    /// its way. Does not happen below the promised capacity.
    #[error(
        "no room for another key: the map was created for {capacity} entries; remove some, or copy it into a larger segment"
    )]
    Full {
        /// The capacity that was promised at creation.
        capacity: u64,
    },
    /// Somebody held the lock of a bucket for the whole `lock_timeout`. A dead owner's lock
    /// is taken over, so the owner lives (perhaps stopped), or cannot be judged from here.
    #[error(
        "bucket {bucket} stayed locked for {waited:?} by {owner}: try again, or look at that process"
    )]
    Busy {
        /// Who holds the lock.
        owner: Box<OwnerInfo>,
        /// Which bucket.
        bucket: u64,
        /// How long the call waited.
        waited: Duration,
    },
    /// This process could not register as a writer.
    #[error(transparent)]
    Register(Box<RegisterError>),
    /// The bytes that are stored are not a value of the type, so nothing can be computed from them.
    #[error(
        "the stored bytes are not a valid value of the type: some process wrote invalid bytes into the segment; remove the key, or repair the segment"
    )]
    InvalidValue,
    /// A bucket is in a state that the protocol does not write.
    #[error(
        "bucket {bucket} is damaged: some process wrote invalid bytes into the segment; repair it"
    )]
    Corrupted {
        /// Which bucket.
        bucket: u64,
    },
    /// Other writers changed the value each time between reading it and writing the new one.
    #[error("the value was changed by others each time for {waited:?}: try again")]
    Contended {
        /// How long the call tried after it was first overtaken: its `lock_timeout`.
        waited: Duration,
    },
}

impl From<RegisterError> for WriteError {
    fn from(error: RegisterError) -> Self {
        Self::Register(Box::new(error))
    }
}

impl From<ReadError> for WriteError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Contended => Self::Contended {
                waited: Duration::ZERO,
            },
            ReadError::InvalidValue => Self::InvalidValue,
        }
    }
}

/// Why an iteration ended before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IterError {
    /// More entries were displaced meanwhile than an iterator can keep track of, so it can no
    /// longer promise to yield each entry once.
    #[error(
        "more entries were moved while iterating than can be kept track of: iterate again, and faster"
    )]
    Lagged,
    /// See [`ReadError`].
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<crate::protocol::walk::Lost> for IterError {
    fn from(lost: crate::protocol::walk::Lost) -> Self {
        match lost {
            crate::protocol::walk::Lost::Lagged => Self::Lagged,
            crate::protocol::walk::Lost::Contended => Self::Read(ReadError::Contended),
        }
    }
}

/// Why `retain` or `clear` ended before the end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The walk could not go on.
    #[error(transparent)]
    Iter(#[from] IterError),
    /// An entry could not be removed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What [`compare_exchange`](crate::Map::compare_exchange) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum CompareExchange<V> {
    /// The value was as expected, and is the new one now.
    Exchanged,
    /// The value is another one.
    Mismatch(V),
    /// The key is not there.
    Absent,
}

impl<V> CompareExchange<V> {
    /// Whether the new value was stored.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Exchanged)
    }
}

/// What [`try_insert`](crate::Map::try_insert) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum TryInsert<V> {
    /// The key was absent and has the value now.
    Inserted,
    /// The key is there already, with this value.
    Occupied(V),
}

impl<V> TryInsert<V> {
    /// Whether the value was stored.
    pub fn is_inserted(&self) -> bool {
        matches!(self, Self::Inserted)
    }
}
