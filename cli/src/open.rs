//! Opening segments, the way commands want them.

use clap::Args;
use shmkv::dynamic::DynMapBuilder;
use shmkv::schema::{Type, parse_value, to_json};
use shmkv::segment::{SegmentError, SegmentOptions};
use shmkv::{DynMap, OpenError, ReadOnlyDynMap, Segment};

use crate::failure::{Failure, Outcome};

/// What concerns every command.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Global {
    /// Use segments of other users as well. (Whoever owns a segment can put anything into it, and
    /// can shorten it while it is in use, which ends this command.)
    #[arg(long, global = true)]
    any_owner: bool,
    /// Take a copy of a segment (cp, rsync, a snapshot, an image layer) for what it is. One that is whole
    /// becomes a segment of its own with the first command that writes; of one that was made of a
    /// segment in use, `repair --after-crash` says what is kept.
    #[arg(long, global = true)]
    adopt_copy: bool,
}

impl Global {
    pub(crate) fn options(self) -> SegmentOptions {
        match self.any_owner {
            true => SegmentOptions::new().any_owner(),
            false => SegmentOptions::new(),
        }
    }

    /// A builder with what every command was told.
    pub(crate) fn builder(self) -> DynMapBuilder {
        DynMap::builder()
            .segment_options(self.options())
            .adopt_copy(self.adopt_copy)
    }

    /// Opens a segment for reading; its mapping cannot be written to.
    pub(crate) fn read(self, segment: &Segment) -> Outcome<ReadOnlyDynMap> {
        self.try_read(segment)
            .map_err(|error| Failure::opening(segment, error))
    }

    /// As [`read`](Self::read), for whom the reason matters.
    pub(crate) fn try_read(self, segment: &Segment) -> Result<ReadOnlyDynMap, OpenError> {
        self.builder().open_read_only(segment.clone())
    }

    /// Fails if it is no segment of shmkv. One that this process may not read passes: whether the
    /// caller may do to it what is to be done is for the kernel to say.
    pub(crate) fn recognise(self, segment: &Segment) -> Outcome<()> {
        match self.try_read(segment) {
            Ok(_) | Err(OpenError::Segment(SegmentError::PermissionDenied { .. })) => Ok(()),
            Err(error) => Err(Failure::opening(segment, error)),
        }
    }

    /// Opens a segment for writing.
    pub(crate) fn write(self, segment: &Segment) -> Outcome<DynMap> {
        self.builder()
            .open(segment.clone())
            .map_err(|error| Failure::opening(segment, error))
    }
}

/// The bytes of a key as the user wrote it.
pub(crate) fn key(map: &ReadOnlyDynMap, text: &str) -> Outcome<Vec<u8>> {
    encode(map, "key", map.key_type(), text)
}

/// Those of several keys. All are looked at before anything is done with the first.
pub(crate) fn keys(map: &ReadOnlyDynMap, texts: &[String]) -> Outcome<Vec<Vec<u8>>> {
    texts.iter().map(|text| key(map, text)).collect()
}

/// The bytes of a value as the user wrote it.
pub(crate) fn value(map: &ReadOnlyDynMap, text: &str) -> Outcome<Vec<u8>> {
    encode(map, "value", map.value_type(), text)
}

fn encode(map: &ReadOnlyDynMap, part: &str, ty: &Type, text: &str) -> Outcome<Vec<u8>> {
    parse_value(ty, text).map_err(|error| {
        Failure::new(format!(
            "this is no {part} of {}: {}; its {part} type is:\n{:#}",
            map.segment(),
            error.reason(),
            error.schema()
        ))
    })
}

/// What bytes of a segment mean, as JSON.
pub(crate) fn json(ty: &Type, bytes: &[u8]) -> Outcome<serde_json::Value> {
    to_json(ty, bytes).map_err(|error| Failure::new(error.to_string()))
}
