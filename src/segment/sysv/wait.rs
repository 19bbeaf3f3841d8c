//! Opening a System V segment, and waiting for one that its creator is still filling.

use std::sync::atomic::{Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use super::{BUILDING, SysV, table, vanished};
use crate::liveness::process::{Life, life_of};
use crate::segment::{Attached, Created, SegmentError, SegmentId, SegmentOptions, check_len};
use crate::sys::access::Access;
use crate::sys::mapping::Mapping;
use crate::sys::shm;

/// How many times the time for one creation somebody waits at most, if each time it looks
/// it finds another creator at work.
const CREATORS: u32 = 10;

/// Pauses of those who wait for a creator: they begin short and become longer.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// How far a segment has come.
enum Progress {
    /// It has contents.
    Ready(Box<Attached>),
    /// Its creator is, or may be, at work.
    Building { creator: Option<u32> },
    /// Nobody will ever finish it.
    Abandoned { id: i32 },
    /// It vanished while we were looking.
    Vanished,
}

/// How waiting for a segment came out.
pub(super) enum Outcome {
    Ready(Box<Attached>),
    /// Nothing has this name (any more).
    Missing,
    /// It was left unfinished, and may have been removed.
    Abandoned {
        removed: bool,
    },
}

impl SysV<'_> {
    pub(in crate::segment) fn open(
        &self,
        options: &SegmentOptions,
        access: Access,
    ) -> Result<Attached, SegmentError> {
        match self.wait(options, access)? {
            Outcome::Ready(attached) => Ok(*attached),
            Outcome::Missing => Err(self.not_found()),
            Outcome::Abandoned { removed } => Err(SegmentError::Abandoned {
                segment: self.segment.clone(),
                removed,
            }),
        }
    }

    /// Waits until the segment is ready, missing, or known to stay unfinished.
    ///
    /// Each creator has the whole time: where segments are removed and created again all
    /// the while, one can look many times and find a new one half-way each time.
    pub(super) fn wait(
        &self,
        options: &SegmentOptions,
        access: Access,
    ) -> Result<Outcome, SegmentError> {
        let begin = Instant::now();
        let timeout = options.creation_timeout;
        let (mut seen, mut since, mut pause) = (None, begin, PAUSE_MIN);
        // One look at least, however short the time.
        loop {
            let Some(id) = self.find()? else {
                return Ok(Outcome::Missing);
            };
            if seen != Some(id) {
                (seen, since, pause) = (Some(id), Instant::now(), PAUSE_MIN);
            }
            let creator = match self.look(id, options, access)? {
                Progress::Ready(attached) => return Ok(Outcome::Ready(attached)),
                Progress::Abandoned { id } => {
                    // Who only wants to read changes nothing.
                    let removed = access == Access::ReadWrite && self.discard(id);
                    return Ok(Outcome::Abandoned { removed });
                }
                Progress::Building { creator } => creator,
                Progress::Vanished => None,
            };
            let waited = since.elapsed();
            if waited >= timeout {
                return Err(SegmentError::NotReady {
                    segment: self.segment.clone(),
                    waited,
                    creator,
                });
            }
            thread::sleep(pause.min(timeout - waited));
            pause = (pause * 2).min(PAUSE_MAX);
            if begin.elapsed() > timeout.saturating_mul(CREATORS) {
                return Err(self.unstable());
            }
        }
    }

    /// Attaches the segment if it is ready, and else finds out why it is not.
    ///
    /// An unfinished segment is detached again at once: as long as somebody is attached
    /// to a segment of zeros, nobody dares to remove it.
    fn look(
        &self,
        id: i32,
        options: &SegmentOptions,
        access: Access,
    ) -> Result<Progress, SegmentError> {
        let facts = match shm::stat(id) {
            Ok(facts) => facts,
            Err(error) if vanished(&error) => return Ok(Progress::Vanished),
            Err(error) => return Err(self.access_error("open", id, error)),
        };
        options.check_owner(self.segment, facts.uid)?;
        options.check_creator(self.segment, facts.cuid)?;
        let len = check_len(self.segment, facts.len)?;
        let mapping = match shm::shmat(id, len, access) {
            Ok(mapping) => mapping,
            Err(error) if vanished(&error) => return Ok(Progress::Vanished),
            Err(error) => return Err(self.access_error("open", id, error)),
        };
        let mut word = word_0(&mapping);
        if is_unfinished(word) {
            let creator = facts.creator;
            if !is_dead(creator) {
                let creator = u32::try_from(creator).ok().filter(|&pid| pid != 0);
                return Ok(Progress::Building { creator });
            }
            // It may have made its last store and then died, between our two questions.
            word = word_0(&mapping);
        }
        if !is_unfinished(word) {
            return Ok(Progress::Ready(Box::new(Attached {
                mapping,
                segment: self.segment.clone(),
                identity: SegmentId::SysV { shmid: id },
                file: None,
                created: Created::No,
            })));
        }
        let page = rustix::param::page_size();
        let words = page.min(len) / size_of::<u64>();
        let zeros = mapping.words()[..words]
            .iter()
            .all(|word| word.load(Ordering::Relaxed) == 0);
        drop(mapping);
        let nobodys =
            || table::row(id).is_some_and(|row| row.attached == 0 && row.touched <= page as u64);
        if word == BUILDING || (zeros && nobodys()) {
            return Ok(Progress::Abandoned { id });
        }
        // Perhaps others are looking at this moment: look again later.
        let creator = u32::try_from(facts.creator).ok();
        Ok(Progress::Building { creator })
    }

    /// Whether a segment was left unfinished by a creator that died.
    pub(super) fn is_remains(&self, id: i32, options: &SegmentOptions) -> bool {
        matches!(
            self.look(id, options, Access::ReadOnly),
            Ok(Progress::Abandoned { .. })
        )
    }

    /// Removes the remains of a segment. `false` if this process may not do that.
    pub(super) fn discard(&self, id: i32) -> bool {
        match shm::remove(id) {
            Ok(()) => true,
            // Somebody else was faster.
            Err(error) => vanished(&error),
        }
    }
}

/// Word 0, and with it everything that was stored before it.
fn word_0(mapping: &Mapping) -> u64 {
    let word = mapping
        .words()
        .first()
        .map_or(0, |word| word.load(Ordering::Relaxed));
    // Acquire: pairs with the Release store of the magic word in `store_magic`. A fence,
    // since an acquire load is not defined on a read-only mapping.
    fence(Ordering::Acquire);
    word
}

fn is_unfinished(word: u64) -> bool {
    word == 0 || word == BUILDING
}

/// Whether the creator of a segment is provably dead. The kernel gives its process id in our own
/// pid namespace, or 0; a creator has no byte to lock yet, and says nothing of its start time, so
/// whoever has that id now counts as the creator.
fn is_dead(pid: i32) -> bool {
    u32::try_from(pid).is_ok_and(|pid| life_of(pid, None) == Life::Gone)
}

#[cfg(test)]
mod tests {
    use super::is_dead;

    #[test]
    fn only_what_is_provably_dead_counts_as_dead() {
        assert!(!is_dead(0), "a process that cannot be seen");
        assert!(!is_dead(-1));
        assert!(!is_dead(i32::try_from(std::process::id()).unwrap()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let timeout = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !is_dead(pid) {
            assert!(std::time::Instant::now() < timeout, "a zombie is dead");
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dead(pid), "and so is a process that was waited for");
    }
}
