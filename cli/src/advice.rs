//! What errors of the library mean for whoever uses the command line.
//!
//! The library tells a program what to do: methods of builders, handles, types. Here is the one place
//! where that becomes something that can be done from a shell. Advice must be possible, harmless, and
//! for what this user has in hand: a file that is not ours is never to be removed.

use std::fmt::Display;
use std::time::Duration;

use shmkv::dynamic::DynError;
use shmkv::error::{IterError, SweepError, Unreadable};
use shmkv::format::FormatError;
use shmkv::process::RegisterError;
use shmkv::schema::InvalidValue;
use shmkv::segment::{SegmentError, SegmentOptions};
use shmkv::{DynMap, OpenError, ReadError, Segment, WriteError};

use crate::process;
use crate::text;

/// An error that can be told to the user of a command.
pub(crate) trait Advice {
    /// What is wrong, and what to do next. `segment` is the name as it is written in a shell.
    fn advise(&self, segment: &str) -> String;
}

/// The whole message about a segment, which is named once at least.
pub(crate) fn message(segment: &Segment, error: &(impl Advice + ?Sized)) -> String {
    let (name, message) = (segment.to_string(), error.advise(&in_shell(segment)));
    // A name in a command that is to be run does not say what this is about.
    let prose = message.split('`').step_by(2);
    match prose.into_iter().any(|part| part.contains(&name)) {
        true => message,
        false => format!("{name}: {message}"),
    }
}

/// A name as a shell takes it.
pub(crate) fn in_shell(segment: &Segment) -> String {
    let name = segment.to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "-_.:/#@%+=,".contains(c);
    match name.chars().all(is_plain) {
        true => name,
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

/// Whether what cannot be opened is a segment of ours all the same, so that `rm --force` is for it.
pub(crate) fn is_ours(error: &OpenError) -> bool {
    match error {
        OpenError::Header(error) => matches!(
            error,
            FormatError::WrongEndianness { .. }
                | FormatError::WrongVersion { .. }
                | FormatError::BadChecksum { .. }
                | FormatError::Truncated { .. }
        ),
        // Its header is whole, and not of our making.
        OpenError::Schema { .. } | OpenError::SizeContradiction { .. } => false,
        OpenError::Segment(error) => matches!(
            error,
            SegmentError::NotReady { .. } | SegmentError::Abandoned { .. }
        ),
        _ => true,
    }
}

/// What has a name.
enum Holder {
    Segment,
    /// Something that is not ours.
    Other,
    Unknown,
}

fn holder(segment: &Segment) -> Holder {
    let options = SegmentOptions::new()
        .any_owner()
        .creation_timeout(Duration::ZERO);
    let opened = DynMap::builder()
        .segment_options(options)
        .open_read_only(segment.clone());
    match opened {
        Ok(_) => Holder::Segment,
        Err(error) if is_ours(&error) => Holder::Segment,
        Err(OpenError::Header(_)) => Holder::Other,
        Err(OpenError::Segment(
            SegmentError::TooSmall { .. }
            | SegmentError::OddLength { .. }
            | SegmentError::NotRegular { .. },
        )) => Holder::Other,
        Err(_) => Holder::Unknown,
    }
}

impl Advice for OpenError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Segment(error) => error.advise(segment),
            Self::Header(error) => error.advise(segment),
            Self::MachineCrash { synced_at, .. } => {
                let synced = match synced_at {
                    Some(at) => format!("{} ago", text::duration(text::age(*at))),
                    None => "never".to_owned(),
                };
                format!(
                    "{segment} was in use when the machine went down (last synced: {synced}), so \
                     its pages may be of different times: `shmkv repair --after-crash keep \
                     {segment}` keeps what passes a check, `--after-crash discard` empties it"
                )
            }
            Self::Copy { is_whole: true, .. } => format!(
                "{segment} is a copy of a segment, and whole: say --adopt-copy to use it as one of \
                 its own"
            ),
            Self::Copy { .. } => format!(
                "{segment} is a copy of a segment that was in use or never synced, so its pages may be \
                 of different times: `shmkv repair --adopt-copy --after-crash keep {segment}` \
                 keeps what passes a check, `--after-crash discard` empties it"
            ),
            Self::Undecided { unreadable, .. } => unreadable.advise(segment),
            Self::CapacityDiffers { asked, found } => format!(
                "{segment} exists with a capacity of {found} entries, {asked} were asked for: ask \
                 for less, or copy it: `shmkv cp {segment} NEW --capacity {asked}`"
            ),
            Self::HashDiffers { asked, found } => format!(
                "{segment} exists with {found} as its hash, {asked} was asked for: ask for that, \
                 or choose another name"
            ),
            Self::SettingDiffers {
                setting,
                asked,
                found,
            } => format!(
                "{segment} exists with {} = {found}, {asked} was asked for: ask for that, or choose \
                 another name",
                option(setting)
            ),
            Self::TimeOutOfRange { setting, asked } => format!(
                "{} {asked:?} is out of range: a millisecond to 34 years are possible",
                option(setting)
            ),
            Self::WrongKind { expected, found } => {
                format!("{segment} is a {found}, not a {expected}: `shmkv info {segment}` shows it")
            }
            other => other.to_string(),
        }
    }
}

impl Advice for Unreadable {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Writers => format!(
                "a writer of {segment} left no lock, so it cannot be told from here whether it is \
                 alive: end it; if you know that it is dead, `shmkv repair --force {segment}` \
                 frees what it holds"
            ),
            Self::File => format!(
                "{segment} does not say in which file it was made, so it may be a copy of one in \
                 use: `shmkv repair --adopt-copy --after-crash keep {segment}` keeps what passes a \
                 check"
            ),
            Self::TimeNamespace => format!(
                "the entries of {segment} have times to live, and /proc/self/timens_offsets, which \
                 tells the time, cannot be read: mount /proc"
            ),
            // The boot id, and whatever else there may be once.
            _ => format!(
                "it cannot be told from here whether the machine has crashed since {segment} was \
                 written to: mount /proc, for /proc/sys/kernel/random/boot_id, or run this where \
                 it is mounted"
            ),
        }
    }
}

/// The option of the command line that is this setting of the library's builder.
fn option(setting: &'static str) -> &'static str {
    match setting {
        "time_to_live" => "--ttl",
        "time_to_idle" => "--idle",
        "stale_while_revalidate" => "--stale",
        "negative_ttl" => "--negative-ttl",
        "max_capacity" => "--capacity",
        "statistics" => "--no-statistics",
        other => other,
    }
}

impl Advice for FormatError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::TooShort { needed, found } => format!(
                "{segment} has {found} bytes, a header takes {needed}: it is not a segment of \
                 shmkv"
            ),
            Self::BadMagic { .. } => format!(
                "{segment} does not begin like a segment of shmkv: it belongs to another program"
            ),
            Self::WrongVersion { expected, found } => format!(
                "{segment} has layout version {found}, this program knows version {expected}: use \
                 the shmkv that made it; what its `dump` writes, `load` of this one reads"
            ),
            Self::BadChecksum { .. } => format!(
                "the header was damaged, so nothing can be read: `shmkv rm --force {segment}` \
                 removes it"
            ),
            Self::Truncated { expected, found } => format!(
                "it has {found} bytes, and {expected} by its header: it was truncated, and cannot be \
                 used any more; `shmkv rm --force {segment}` removes it"
            ),
            other => other.to_string(),
        }
    }
}

impl Advice for SegmentError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Memory { wish, source, .. } => {
                format!("{wish} is not possible for {segment}: {source}; raise the limit (ulimit)")
            }
            Self::ForeignOwner {
                expected, found, ..
            } => format!(
                "{segment} belongs to uid {found}, not to uid {expected} who runs this: if that \
                 user is to be trusted with it, say --any-owner"
            ),
            Self::NotFound { .. } => format!(
                "{segment} does not exist: `shmkv ls` shows what does, `shmkv create` makes a new \
                 one"
            ),
            Self::AlreadyExists { segment: taken } => match holder(taken) {
                Holder::Segment => format!(
                    "{segment} exists already: choose another name, or remove it first with \
                     `shmkv rm {segment}`"
                ),
                Holder::Other => format!(
                    "{segment} exists already, and is not a segment of shmkv: choose another name"
                ),
                Holder::Unknown => format!("{segment} exists already: choose another name"),
            },
            Self::TooSmall { needed, found, .. } => format!(
                "{segment} has {found} bytes, a segment has at least {needed}: it is not a segment \
                 of shmkv"
            ),
            Self::OddLength { found, .. } => format!(
                "{segment} has {found} bytes, which is no whole number of 8-byte words: it is not \
                 a segment of shmkv"
            ),
            Self::Holes { needed, .. } => format!(
                "{segment} has holes, and its file system has no space left to fill them \
                 ({needed} bytes in all): free some; commands that only read work meanwhile"
            ),
            Self::NotReady {
                waited, creator, ..
            } => {
                let who = match creator {
                    Some(pid) => format!("process {pid}, which creates it"),
                    None => "its creator, a process of another pid namespace".to_owned(),
                };
                format!(
                    "{segment} was not ready after {waited:?}; {who}, may still be at work: try \
                     again, or `shmkv rm --force {segment}` if nobody creates it any more"
                )
            }
            Self::Abandoned { removed: true, .. } => format!(
                "the creator of {segment} died before it was ready, and the remains were removed: \
                 `shmkv create` makes a new one"
            ),
            Self::Abandoned { removed: false, .. } => format!(
                "the creator of {segment} died before it was ready: `shmkv rm --force {segment}` \
                 removes the remains"
            ),
            Self::NotCurrent { now, .. } => {
                format!("{segment} {now} while this command used it: run it again")
            }
            Self::DescriptorAccess { found, needed, .. } => format!(
                "{segment} is a descriptor opened {found}, {needed} is needed: in a shell, \
                 `3<>FILE` opens fd:3 for both"
            ),
            other => other.to_string(),
        }
    }
}

impl Advice for WriteError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Full { capacity } => format!(
                "no room for another key: {segment} was created for {capacity} entries; delete \
                 some, or copy it into a larger one: `shmkv cp {segment} NEW --capacity {}`",
                capacity.saturating_mul(2)
            ),
            Self::Busy {
                owner,
                bucket,
                waited,
                ..
            } => format!(
                "bucket {bucket} stayed locked for {waited:?} by {}: try again; `shmkv check \
                 {segment}` tells more",
                process::who(owner)
            ),
            Self::Register(error) => error.advise(segment),
            Self::InvalidValue => ReadError::InvalidValue.advise(segment),
            Self::Corrupted { bucket } => format!(
                "bucket {bucket} is damaged, some process wrote other bytes into {segment} than it \
                 may: see `shmkv check {segment}`, then `shmkv repair {segment}`"
            ),
            other => other.to_string(),
        }
    }
}

impl Advice for ReadError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::InvalidValue => format!(
                "the stored bytes are not a valid value of the type, some process wrote others \
                 into {segment} than it may: `shmkv repair {segment}` removes such entries"
            ),
            other => other.to_string(),
        }
    }
}

impl Advice for RegisterError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::NoFreeSlot { slots, .. } => format!(
                "all {slots} writer slots of {segment} are taken by handles of processes that are \
                 not provably dead: `shmkv info {segment}` shows who has them; end one of these, \
                 or create a segment with more (`--max-writers`)"
            ),
            Self::NoSignOfLife => format!(
                "this command could leave no sign of life in {segment}, so what it holds when it is \
                 killed would stay locked: mount /proc, or raise the limit of open files (ulimit -n)"
            ),
            Self::TakenOver => format!(
                "{segment} was taken over by a process of another boot meanwhile: run this again"
            ),
            other => other.to_string(),
        }
    }
}

impl Advice for IterError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Lagged => "others moved more entries meanwhile than a walk can keep track of: \
                             run it again when less is written"
                .to_owned(),
            Self::Read(error) => error.advise(segment),
            other => other.to_string(),
        }
    }
}

impl Advice for SweepError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Iter(error) => error.advise(segment),
            Self::Write(error) => error.advise(segment),
            other => other.to_string(),
        }
    }
}

impl Advice for DynError {
    fn advise(&self, segment: &str) -> String {
        match self {
            Self::Invalid { part, reason } => format!(
                "the stored {part} is invalid ({reason}), some process wrote other bytes into \
                 {segment} than its types allow: `shmkv repair {segment}` removes such entries"
            ),
            Self::Read(error) => error.advise(segment),
            Self::Write(error) => error.advise(segment),
            Self::Iter(error) => error.advise(segment),
            other => other.to_string(),
        }
    }
}

/// What has no advice of ours.
impl Advice for &dyn Display {
    fn advise(&self, _: &str) -> String {
        self.to_string()
    }
}

impl Advice for InvalidValue {
    fn advise(&self, _: &str) -> String {
        self.to_string()
    }
}

impl Advice for String {
    fn advise(&self, _: &str) -> String {
        self.clone()
    }
}

#[cfg(test)]
mod tests;
