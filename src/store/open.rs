//! The way from attached bytes to an open segment ([`Store`]), whatever the handle on it is going to
//! be: a handle's own checks are the only difference.

use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

use crate::format::sections::{BucketGeometry, Sections};
use crate::format::{Header, MAGIC, read_layout};
use crate::liveness::Registration;
use crate::policy::estimator::Estimator;
use crate::protocol::hash::Secret;
use crate::segment::{Attached, Created, Segment};
use crate::store::error::OpenError;
use crate::store::restart::admit::{Wishes, admit};
use crate::store::restart::{self, DropReason};
use crate::store::settings::Settings;
use crate::store::{Store, lock_place};
use crate::sys::access::Access;
use crate::sys::boot::boot_id;
use crate::sys::sync::AtomicU64;

impl Settings {
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
            at_close: restart::close,
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
