//! A shared segment as this process sees it: a slice of atomic 64-bit words.
//!
//! Everything above this module works on `&[AtomicU64]`. No reference to plain
//! bytes of a segment is ever formed, because another process may write them at
//! any time; and the bytes are only ever accessed 64 bits wide, since Rust's
//! memory model has no meaning for racing accesses of different widths. (The
//! kernel is the one exception: it compares the low half of a lock word when a
//! thread goes to sleep on it, see [`crate::sys::words::low_half`].)
//!
//! A mapping may be read-only. Storing to such a mapping raises SIGSEGV, so the
//! handles that stand on one have no writing methods at all.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::{fmt, io};

use crate::sys::access::Access;
use crate::sys::atomic::AtomicU64;
use crate::sys::huge;
use crate::sys::retry::interrupted;

/// A mapped segment. Unmapped when dropped; the segment itself stays.
pub(crate) struct Mapping {
    /// Page-aligned and valid for `len` bytes while `self` lives.
    base: NonNull<AtomicU64>,
    len: usize,
    access: Access,
    source: Source,
}

enum Source {
    /// POSIX shared memory, a file, or a memfd; unmaps itself when dropped.
    File { _map: memmap2::MmapRaw },
    /// The same, mapped where it can have huge pages; `Drop` unmaps it.
    HugeFile,
    /// A System V segment, attached with `shmat`; `Drop` detaches it.
    SysV,
}

// SAFETY: a mapping is shared memory by nature. All access goes through atomics,
// and unmapping happens in `drop`, when no reference is left.
#[expect(unsafe_code, reason = "raw pointers are not Send by themselves")]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "raw pointers are not Sync by themselves")]
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of an open file, shared with all who map it.
    pub(crate) fn of_file(file: impl AsFd, len: usize, access: Access) -> io::Result<Self> {
        if let Some(base) = huge::map(file.as_fd(), len, access) {
            let base = base.cast();
            return Ok(Self {
                base,
                len,
                access,
                source: Source::HugeFile,
            });
        }
        let mut options = memmap2::MmapOptions::new();
        options.len(len);
        let fd = file.as_fd().as_raw_fd();
        let map = match access {
            Access::ReadOnly => options.map_raw_read_only(fd)?,
            Access::ReadWrite => options.map_raw(fd)?,
        };
        let base = NonNull::new(map.as_mut_ptr().cast())
            .ok_or_else(|| io::Error::other("the kernel mapped the segment at address zero"))?;
        Ok(Self {
            base,
            len: map.len(),
            access,
            source: Source::File { _map: map },
        })
    }

    /// Takes charge of `len` bytes that `shmat` has just attached at `base`.
    ///
    /// # Safety
    /// `base` was returned by `shmat` for a segment of at least `len` bytes, with
    /// `SHM_RDONLY` exactly if `access` is read-only, and nobody else detaches it.
    #[expect(unsafe_code, reason = "the caller vouches for the pointer")]
    pub(crate) unsafe fn of_shmat(base: NonNull<u8>, len: usize, access: Access) -> Self {
        let base = base.cast();
        Self {
            base,
            len,
            access,
            source: Source::SysV,
        }
    }

    /// What the mapping allows.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Length in bytes, as mapped. Bytes of an incomplete last word are not reachable.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The segment, as words.
    #[inline(always)]
    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `base` is page-aligned and valid for `len` bytes for as long as
        // `self` lives, since only `drop` unmaps. Shared bytes may be viewed as
        // `AtomicU64`: they are always initialised (pages start as zeros) and every
        // access, here and in other processes, is atomic and 64 bits wide. If a
        // peer shortens the file, an access raises SIGBUS: the kernel stops us, but
        // nothing outside the mapping is read.
        #[expect(unsafe_code, reason = "the one place where a mapping becomes words")]
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr(), self.len / size_of::<AtomicU64>())
        }
    }
}

/// What can be asked of the kernel for the memory of a mapping.
impl Mapping {
    /// Moves what there is into huge pages, as far as whole ones fit.
    pub(crate) fn use_huge_pages(&self) -> io::Result<()> {
        // SAFETY: the range is our own mapping.
        #[expect(unsafe_code, reason = "madvise takes a raw range")]
        unsafe {
            huge::collapse(self.base.cast(), self.len)
        }
    }

    /// Touches all pages, for writing if that is allowed.
    pub(crate) fn prefault(&self) -> io::Result<()> {
        self.advise(match self.access {
            Access::ReadOnly => rustix::mm::Advice::LinuxPopulateRead,
            Access::ReadWrite => rustix::mm::Advice::LinuxPopulateWrite,
        })
    }

    fn advise(&self, advice: rustix::mm::Advice) -> io::Result<()> {
        // SAFETY: the range is our own mapping, and none of the advices that this module gives
        // changes what its bytes are.
        #[expect(unsafe_code, reason = "madvise takes a raw range")]
        unsafe {
            rustix::mm::madvise(self.base.as_ptr().cast(), self.len, advice)?;
        }
        Ok(())
    }

    /// Writes the pages of the mapping to what is behind it, and returns when they are there
    /// (`msync` with `MS_SYNC`: what was dirty at the call is on stable storage afterwards).
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.sync_words(0..self.words().len())
    }

    /// The same for the pages that these words are in.
    ///
    /// # Panics
    /// If they are not inside the mapping.
    pub(crate) fn sync_words(&self, words: Range<usize>) -> io::Result<()> {
        let page = rustix::param::page_size();
        let words = &self.words()[words];
        let start = words.as_ptr() as usize / page * page;
        let end = words.as_ptr_range().end as usize;
        interrupted(|| {
            // SAFETY: the range lies inside our own mapping, which starts at a page; writing
            // pages back changes nothing in them.
            #[expect(unsafe_code, reason = "msync takes a raw range")]
            unsafe {
                let start = std::ptr::with_exposed_provenance_mut(start);
                rustix::mm::msync(start, end - start as usize, rustix::mm::MsyncFlags::SYNC)
            }
        })?;
        Ok(())
    }

    /// How many of the bytes are in memory at this moment, for whomever: shared memory that was
    /// swapped out, and pages of a file that are not cached, do not count. (Of a file that this
    /// process may neither write nor owns the kernel says that all of it is there.)
    pub(crate) fn resident_bytes(&self) -> io::Result<u64> {
        /// Pages that are asked about at a time.
        const STEP: usize = 1 << 16;
        let page = rustix::param::page_size();
        let pages = self.len.div_ceil(page);
        let mut found = vec![0_u8; pages.min(STEP)];
        let mut resident = 0;
        for first in (0..pages).step_by(STEP) {
            let start = first * page;
            let len = (self.len - start).min(STEP * page);
            // SAFETY: the range lies within our own mapping, which is not touched, and `found`
            // has a byte for each of its pages.
            #[expect(unsafe_code, reason = "mincore takes a raw range")]
            let result = unsafe {
                let base = self.base.as_ptr().cast::<u8>().add(start);
                libc::mincore(base.cast(), len, found.as_mut_ptr().cast())
            };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
            let there = &found[..len.div_ceil(page)];
            resident += there.iter().filter(|&byte| byte & 1 != 0).count();
        }
        Ok((resident * page).min(self.len) as u64)
    }

    /// Locks all pages into memory.
    pub(crate) fn lock_in_memory(&self) -> io::Result<()> {
        // SAFETY: the range is our own mapping; locking pages changes nothing in them.
        #[expect(unsafe_code, reason = "mlock takes a raw range")]
        unsafe {
            rustix::mm::mlock(self.base.as_ptr().cast(), self.len)?;
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        match self.source {
            Source::File { .. } => {}
            // SAFETY: `of_file` has mapped exactly this, and no reference into it outlives
            // `self`.
            #[expect(unsafe_code, reason = "unmaps a raw range")]
            Source::HugeFile => unsafe { huge::unmap(self.base.cast(), self.len) },
            // SAFETY: `of_shmat`'s caller handed the attachment over to us, and no
            // reference into it outlives `self`.
            #[expect(unsafe_code, reason = "shmdt is a foreign function")]
            Source::SysV => unsafe {
                libc::shmdt(self.base.as_ptr().cast());
            },
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("len", &self.len())
            .field("access", &self.access)
            .finish()
    }
}
