//! Huge pages: how a shared mapping comes to stand on them.
//!
//! A large table is looked up at random, so nearly every access misses the processor's table of
//! translations (TLB), and fetching the translation costs as much as fetching the entry. Pages
//! of two megabytes make that table five hundred times as far-reaching.
//!
//! Three things are needed, and none of them takes privileges:
//!
//! - *The address.* A huge page of the file can only be mapped as one if it lies at a multiple of
//!   two megabytes. The kernel does not see to that for shared memory unless its administrator
//!   has switched huge pages on, so [`suitable_address`] looks for such a place. Every
//!   process does this for itself: whoever maps the segment later, a reader included,
//!   gets the huge pages that the creator made.
//! - *The pages.* `MADV_HUGEPAGE` is obeyed only where the administrator allows it
//!   (`/sys/kernel/mm/transparent_hugepage/shmem_enabled`, which is `never` by default).
//!   `MADV_COLLAPSE` (Linux 6.1) asks for the same thing at once and does not depend on that
//!   setting: it copies two megabytes of small pages into one huge page.
//! - *No waste.* A segment is allocated whole when it is created, so a huge page in the place of
//!   512 small ones takes no memory beyond them. What is left at the end stays in small pages.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags};

use crate::sys::access::Access;

/// The size of a huge page, and the multiple at which one must lie.
const HUGE_PAGE: usize = 2 << 20;

/// `MADV_COLLAPSE`, the same number on every architecture, which not every `libc` knows.
const MADV_COLLAPSE: libc::c_int = 25;

/// How many huge pages may be refused in a row before the rest is not even asked for: memory is
/// fragmented then, and each further attempt makes the kernel search it.
const REFUSALS: usize = 4;

/// Whether a segment shall stand on huge pages (two megabytes), which spare a large table most of
/// its TLB misses: gets from ten million entries take half the time or less.
///
/// The kernel is asked for them when the segment is created or opened for writing. It needs no
/// privileges, no reserved pages (`hugetlb`) and no setting of the administrator, but Linux
/// 6.1 (`MADV_COLLAPSE`), and memory that is not too fragmented. Readers and later
/// writers of the segment use the huge pages that are there. Segments of less than two
/// megabytes, and the last part of larger ones, have small pages; so have files on most file
/// systems other than tmpfs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Do not ask.
    Never,
    /// Ask, and go on with small pages where the kernel refuses. Creating a segment takes about
    /// half a millisecond more for each megabyte.
    #[default]
    Advise,
    /// Ask, and fail if the kernel refuses one of them.
    Require,
}

/// Maps a file where its huge pages can be mapped as such. `None`: too small to have
/// any, or there is no such place.
pub(crate) fn map(file: BorrowedFd<'_>, len: usize, access: Access) -> Option<NonNull<u8>> {
    let hint = suitable_address(len)?;
    let protection = match access {
        Access::ReadOnly => ProtFlags::READ,
        Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    };
    // SAFETY: without MAP_FIXED the address is a hint: the kernel replaces no mapping, and
    // chooses another address if something is there by now.
    #[expect(unsafe_code, reason = "mmap returns a raw pointer")]
    let base = unsafe {
        rustix::mm::mmap(
            hint.as_ptr().cast(),
            len,
            protection,
            MapFlags::SHARED,
            file,
            0,
        )
    };
    NonNull::new(base.ok()?.cast())
}

/// Removes a mapping that [`map`] has made.
///
/// # Safety
/// `base` and `len` are those of `map`, and nothing refers to the memory any more.
#[expect(unsafe_code, reason = "the caller vouches for the range")]
pub(crate) unsafe fn unmap(base: NonNull<u8>, len: usize) {
    // SAFETY: the range is a whole mapping of the caller's. It cannot fail for such a range.
    let _ = unsafe { rustix::mm::munmap(base.as_ptr().cast(), len) };
}

/// An address at which `len` bytes can be mapped now, huge pages as such. Nothing is reserved: it
/// is a hint, and whoever uses it must be content with another place.
pub(crate) fn suitable_address(len: usize) -> Option<NonNull<u8>> {
    if len < HUGE_PAGE {
        return None;
    }
    let room = len.checked_add(HUGE_PAGE)?;
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: the kernel chooses a free range and we do not touch it: it cannot even be read.
    #[expect(unsafe_code, reason = "mmap returns a raw pointer")]
    let found =
        unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), room, ProtFlags::empty(), flags) };
    let found = found.ok()?;
    // SAFETY: the range was mapped by the line above, and nobody else knows of it.
    #[expect(unsafe_code, reason = "munmap takes a raw pointer")]
    unsafe {
        rustix::mm::munmap(found, room).ok()?;
    }
    let found = found.cast::<u8>();
    NonNull::new(found.wrapping_add(to_next_huge_page(found)))
}

/// Bytes from an address to the next one where a huge page can lie.
fn to_next_huge_page(address: *const u8) -> usize {
    address.addr().next_multiple_of(HUGE_PAGE) - address.addr()
}

/// Moves all whole huge pages of a mapping into such. Returns the first refusal, if there was
/// one; what could be moved has been.
///
/// # Safety
/// The range is mapped.
#[expect(unsafe_code, reason = "the caller vouches for the range")]
pub(crate) unsafe fn collapse(base: NonNull<u8>, len: usize) -> io::Result<()> {
    let start = to_next_huge_page(base.as_ptr());
    let mut result = Ok(());
    let mut refused = 0;
    // One at a time, so that a refusal concerns one.
    for at in (start..len).step_by(HUGE_PAGE) {
        if len - at < HUGE_PAGE || refused == REFUSALS {
            break;
        }
        let page = base.as_ptr().wrapping_add(at).cast();
        // SAFETY: two megabytes from `page` are inside the caller's mapping; moving their content to
        // other memory does not change what anybody reads or writes at these addresses.
        if unsafe { libc::madvise(page, HUGE_PAGE, MADV_COLLAPSE) } == 0 {
            refused = 0;
            continue;
        }
        refused += 1;
        if result.is_ok() {
            result = Err(io::Error::last_os_error());
        }
    }
    result
}
