//! Whether a segment is as its writers left it, and whether its file is the one it was made in.

use super::participant::Boot;

/// The bytes of all participants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// Somebody holds one: a live writer has this very file open.
    Locked,
    /// Nobody does, and nobody writes without a lock.
    Free,
    /// They cannot be asked, or a writer without a lock may be alive.
    Unknown,
}

/// The file, compared with the one that the segment was made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileMatch {
    /// The same.
    Same,
    /// The same but for the number of its device, which a mount or a snapshot changes.
    Remounted,
    /// Another one: a copy.
    Other,
    /// The segment does not say, or the kernel does not.
    Unknown,
}

/// Where the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// On a disk, which outlives the machine.
    Disk,
    /// In memory only.
    Memory,
}

/// The content, compared with the digest of the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// It has that digest, so it is whole.
    Sealed,
    /// It has another one, or was never synced.
    Unsealed,
}

/// What is known about a segment that is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEvidence {
    pub(crate) bytes: Bytes,
    pub(crate) file: FileMatch,
    pub(crate) medium: Medium,
    /// The boot for which it was admitted last, or, if never, in which it was created.
    pub(crate) boot: Boot,
    pub(crate) content: Content,
}

/// What may be believed of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentState {
    /// A live writer has it open: it is what that one sees.
    InUse,
    /// As its writers left it, without a crash of the machine since.
    AsLeft,
    /// Its content is whole. What else is in it may be of another boot.
    Whole,
    /// In use when the machine crashed.
    Crashed,
    /// A copy of a segment that was whole.
    WholeCopy,
    /// A copy that may have pages of several times.
    TornCopy,
    /// It may be a copy of one in use: it does not say in which file it was made, or the kernel does
    /// not say which this is.
    UnknownFile,
    /// Cannot be told from here.
    Unknown,
}

/// The table "Is a segment as its writers left it?".
pub(crate) fn state_of(evidence: SegmentEvidence) -> SegmentState {
    let SegmentEvidence {
        bytes,
        file,
        medium,
        boot,
        content,
    } = evidence;
    if bytes == Bytes::Locked {
        return SegmentState::InUse;
    }
    match (file, content) {
        (FileMatch::Other, Content::Sealed) => return SegmentState::WholeCopy,
        (FileMatch::Other, Content::Unsealed) => return SegmentState::TornCopy,
        (FileMatch::Remounted | FileMatch::Unknown, Content::Sealed) => return SegmentState::Whole,
        // A snapshot of a file in use looks like this as well.
        (FileMatch::Remounted, Content::Unsealed) => return SegmentState::TornCopy,
        (FileMatch::Unknown, Content::Unsealed) => return SegmentState::UnknownFile,
        (FileMatch::Same, _) => {}
    }
    match (medium, boot, content, bytes) {
        (Medium::Memory, _, _, _) | (_, Boot::Same, _, _) => SegmentState::AsLeft,
        (_, _, Content::Sealed, _) => SegmentState::Whole,
        (_, Boot::Other, Content::Unsealed, Bytes::Free) => SegmentState::Crashed,
        _ => SegmentState::Unknown,
    }
}

/// The words by which a segment knows the file that it was made in. Zero stands for what the
/// kernel did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileWords {
    /// Of the file, or the identifier of a System V segment.
    pub(crate) inode: u64,
    pub(crate) device: u64,
    /// A digest of the handle, which has a generation: inode numbers are used again.
    pub(crate) handle: u64,
    /// When the inode was made, in nanoseconds since 1970.
    pub(crate) born: u64,
}

/// The table "Is this the file that the segment was made in?".
pub(crate) fn compare_files(made: Option<FileWords>, found: Option<FileWords>) -> FileMatch {
    let (Some(made), Some(found)) = (made, found) else {
        return FileMatch::Unknown;
    };
    let differ = |one: u64, other: u64| one != 0 && other != 0 && one != other;
    let agree = |one: u64, other: u64| one != 0 && one == other;
    if made.inode != found.inode
        || differ(made.handle, found.handle)
        || differ(made.born, found.born)
    {
        FileMatch::Other
    } else if made.device == found.device {
        FileMatch::Same
    } else if agree(made.handle, found.handle) || agree(made.born, found.born) {
        FileMatch::Remounted
    } else {
        // A number of another file system that happens to be equal.
        FileMatch::Other
    }
}
