//! What a process keeps to itself about one of its handles, and what `fork` does to it.
//!
//! A fork copies memory and descriptors. For us that is wrong twice: the child is
//! another participant, and the copied descriptor shares its description, hence the
//! locks, with the parent. So:
//!
//! - The token lives in a page that the kernel *wipes in the child* (`MADV_WIPEONFORK`), a
//!   raw `clone` included. "Am I registered, and am I still me?" is one load. The lock that
//!   serialises registration lives there as well: a fork in the middle cannot wedge it.
//! - The description through which we lock and probe is one that this process has
//!   *opened itself*. A `pthread_atfork` handler replaces the copy at once in the child, so
//!   that an idle child does not keep its dead parent looking alive, and before the
//!   child can drop the privileges that re-opening may need. If that fails the
//!   copy is closed, and the child takes part without a lock. A word in the fork-cleared page
//!   says that the description is ours; after a raw `clone`, which
//!   runs no handlers, it reads zero and the description is replaced at first use. Until then
//!   such a child can only make its parent look alive, never dead.
//!
//! The handler may run while other threads of the parent were anywhere, so it takes
//! no lock, allocates nothing, and finds the descriptors in a list whose nodes are
//! never freed, only used again. (`vfork`, `posix_spawn`: no handler, nothing to do; the
//! descriptors close themselves at `exec`.)
//!
//! Programs close descriptors that are not theirs (`close_range` in a daemon), and
//! the number then means another file. So device and inode are compared before each use.
//!
//! Such a program must not lose its lock with the descriptor: seen from another pid
//! namespace, where nothing but the lock can tell, it would look dead, and its locks be taken. A
//! lock of an open file description goes when the *description* does, and a mapping keeps that
//! alive as well as a descriptor. So a page of the file is mapped through the description (without
//! any access: the page is never touched), and the lock lasts until the process ends, executes
//! another program, or unmaps it. `MADV_DONTFORK` keeps the mapping from children, a raw
//! clone included, which would otherwise keep a dead parent's lock.

use std::ffi::{CStr, c_void};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr};

use rustix::fs::{Mode, OFlags};

use super::byte_lock;
use super::slot::FileId;
use crate::sys::sync::{AtomicU64, Ordering};

/// The words that read zero in a child.
#[repr(C)]
pub(super) struct ForkClearedPage {
    /// The token of this process, or 0.
    token: AtomicU64,
    /// Stands for the token, and for no other one that this process ever had in any segment, or
    /// its ancestors before they forked; 0 if absent.
    registration: AtomicU64,
    /// 1 while a thread registers.
    registering: AtomicU64,
    /// 1 while a thread replaces the description.
    renewing: AtomicU64,
    /// 1 once the description is known to be our own (or known to be missing).
    file_is_ours: AtomicU64,
    /// The address of the page that keeps the description; 0 if absent, as in a child.
    keep_alive: AtomicU64,
}

/// Stands in where the kernel gives us no such page: nobody ever registers then.
static NO_PAGE: ForkClearedPage = ForkClearedPage {
    token: AtomicU64::new(0),
    registration: AtomicU64::new(0),
    registering: AtomicU64::new(0),
    renewing: AtomicU64::new(0),
    file_is_ours: AtomicU64::new(0),
    keep_alive: AtomicU64::new(0),
};

/// A node of the list; one for each open handle.
struct Node {
    cleared: &'static ForkClearedPage,
    /// Our own descriptor of the file in which we lock; -1 if absent.
    file: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
    in_use: AtomicBool,
    /// Whether the description holds a byte for a handle that may write.
    is_writer: AtomicBool,
    next: AtomicPtr<Node>,
}

/// The first node. Nodes are pushed and never taken out.
static NODES: AtomicPtr<Node> = AtomicPtr::new(std::ptr::null_mut());

/// The private state of one handle.
pub(super) struct ForkState {
    cleared: &'static ForkClearedPage,
    node: &'static Node,
}

impl ForkState {
    /// Takes charge of a description of the lock file that this process opened itself.
    pub(super) fn new(file: Option<OwnedFd>) -> Self {
        install_fork_handler();
        let node = unused_node();
        let cleared = node.cleared;
        // Without the page we cannot know whose description it is: better none.
        let file = file.filter(|_| !std::ptr::eq(cleared, &NO_PAGE));
        if let Some(file) = file
            && let Some(id) = file_id(file.as_fd())
        {
            node.device.store(id.device, Ordering::Relaxed);
            node.inode.store(id.inode, Ordering::Relaxed);
            node.keep_alive(file.as_fd());
            // Release: pairs with the loads of whoever uses the descriptor. The
            // handler of a fork from here on finds it.
            node.file.store(file.into_raw_fd(), Ordering::Release);
        }
        cleared.file_is_ours.store(1, Ordering::Release);
        Self { cleared, node }
    }

    /// Whether the kernel tells us of forks, without which nobody may register.
    pub(super) fn knows_of_forks(&self) -> bool {
        !std::ptr::eq(self.cleared, &NO_PAGE)
    }

    /// The token under which this very process is registered, or 0.
    #[inline(always)]
    pub(super) fn token(&self) -> u64 {
        // Acquire: pairs with `set_token`; the slot is written before its token is used.
        self.cleared.token.load(Ordering::Acquire)
    }

    pub(super) fn set_token(&self, token: u64) {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let registration = match token {
            0 => 0,
            _ => NEXT.fetch_add(1, Ordering::Relaxed),
        };
        self.cleared
            .registration
            .store(registration, Ordering::Relaxed);
        // Release: pairs with the load in `token`. Who finds the token finds its number.
        self.cleared.token.store(token, Ordering::Release);
    }

    /// Where the number of the registration stands.
    pub(super) fn registration(&self) -> &'static AtomicU64 {
        &self.cleared.registration
    }

    /// Keeps other threads of this process from registering.
    pub(super) fn enter(&self) -> EntryGuard<'_> {
        EntryGuard::new(&self.cleared.registering)
    }

    /// Shows that a handle is open which may write, until it is dropped.
    pub(super) fn show_writer(&self) {
        if let Some((file, _)) = self.file() {
            byte_lock::lock_for_handle(file);
            self.node.is_writer.store(true, Ordering::Relaxed);
        }
    }

    /// See [`show_writer`](Self::show_writer).
    pub(super) fn hide_writer(&self) {
        self.node.is_writer.store(false, Ordering::Relaxed);
        if let Some((file, _)) = self.file() {
            byte_lock::unlock_all(file);
        }
    }

    /// A description of the lock file that belongs to this process alone.
    pub(super) fn file(&self) -> Option<(BorrowedFd<'_>, FileId)> {
        if self.cleared.file_is_ours.load(Ordering::Acquire) == 0 {
            let _guard = EntryGuard::new(&self.cleared.renewing);
            if self.cleared.file_is_ours.load(Ordering::Acquire) == 0 {
                self.node.renew();
            }
        }
        self.node.file()
    }
}

impl Drop for ForkState {
    fn drop(&mut self) {
        self.node.close();
        self.node.is_writer.store(false, Ordering::Relaxed);
        self.set_token(0);
        self.cleared.file_is_ours.store(0, Ordering::Relaxed);
        // Release: pairs with the exchange in `unused_node`.
        self.node.in_use.store(false, Ordering::Release);
    }
}

/// A lock between threads of this process that a fork cannot leave behind locked.
pub(super) struct EntryGuard<'a>(&'a AtomicU64);

impl<'a> EntryGuard<'a> {
    fn new(word: &'a AtomicU64) -> Self {
        // Rare and short (some tens of microseconds), so this need not be clever.
        while word
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            std::thread::yield_now();
        }
        Self(word)
    }
}

impl Drop for EntryGuard<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Node {
    /// The descriptor, if it still is what we opened.
    fn file(&self) -> Option<(BorrowedFd<'_>, FileId)> {
        let fd = self.file.load(Ordering::Acquire);
        if fd < 0 {
            return None;
        }
        let id = FileId {
            device: self.device.load(Ordering::Relaxed),
            inode: self.inode.load(Ordering::Relaxed),
        };
        let file = borrow(fd);
        (file_id(file) == Some(id)).then_some((file, id))
    }

    /// Replaces a copied description by one of our own. Async-signal-safe: plain system
    /// calls and atomics, no allocation, `errno` left alone.
    fn renew(&self) {
        if let Some((old, id)) = self.file() {
            let fresh = reopen(old).ok();
            match fresh.filter(|fresh| file_id(fresh.as_fd()) == Some(id)) {
                // The number stays, so nobody who holds it is surprised.
                Some(fresh) => {
                    self.put(&fresh);
                    if self.is_writer.load(Ordering::Relaxed) {
                        byte_lock::lock_for_handle(fresh.as_fd());
                    }
                    self.keep_alive(fresh.as_fd());
                }
                None => self.close(),
            }
        } else {
            // Not ours any more: must not be touched.
            self.file.store(-1, Ordering::Relaxed);
        }
        if !std::ptr::eq(self.cleared, &NO_PAGE) {
            self.cleared.file_is_ours.store(1, Ordering::Release);
        }
    }

    fn put(&self, fresh: &OwnedFd) {
        let fd = self.file.load(Ordering::Relaxed);
        // SAFETY: `fd` is open (it was just looked at) and belongs to this node; it is not
        // closed by the temporary owner.
        #[expect(unsafe_code, reason = "a descriptor in an atomic has no owner type")]
        let mut place = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
        if rustix::io::dup3(fresh, &mut place, rustix::io::DupFlags::CLOEXEC).is_err() {
            self.close();
        }
    }

    /// Maps a page through the description of `file`, which lives as long as that from here on.
    /// Async-signal-safe. Without memory for it the lock lives as long as the descriptor.
    fn keep_alive(&self, file: BorrowedFd<'_>) {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
        self.unmap_keep_alive();
        let len = rustix::param::page_size();
        // SAFETY: a new mapping at an address of the kernel's choice, without any access: that the
        // file may be shorter, or change, concerns nobody.
        #[expect(unsafe_code, reason = "mmap and madvise take raw ranges")]
        let page = unsafe {
            let null = std::ptr::null_mut();
            let page = mmap(null, len, ProtFlags::empty(), MapFlags::PRIVATE, file, 0);
            page.ok().filter(|&page| {
                let is_private = madvise(page, len, Advice::LinuxDontFork).is_ok();
                if !is_private {
                    // A child would keep its dead parent looking alive.
                    let _ = rustix::mm::munmap(page, len);
                }
                is_private
            })
        };
        if let Some(page) = page {
            let address = page.expose_provenance() as u64;
            self.cleared.keep_alive.store(address, Ordering::Release);
        }
    }

    /// Unmaps the page, if this process has mapped one: at its parent's address a child may have
    /// anything, but it reads zero here.
    fn unmap_keep_alive(&self) {
        let page = self.cleared.keep_alive.swap(0, Ordering::AcqRel);
        if page != 0 {
            let page: *mut c_void = std::ptr::with_exposed_provenance_mut(page as usize);
            // SAFETY: this very process has mapped it, in `keep_alive`, and nobody ever accesses
            // it.
            #[expect(unsafe_code, reason = "munmap takes a raw range")]
            let _ = unsafe { rustix::mm::munmap(page, rustix::param::page_size()) };
        }
    }

    fn close(&self) {
        self.unmap_keep_alive();
        let ours = self.file().is_some();
        let fd = self.file.swap(-1, Ordering::AcqRel);
        if ours {
            // SAFETY: the number still names the file that this node has opened, and the
            // swap has made us the only one to close it.
            #[expect(unsafe_code, reason = "a descriptor in an atomic has no owner type")]
            unsafe {
                rustix::io::close(fd);
            }
        }
    }
}

/// Opens the file behind `file` again: a description that nobody else has.
/// Async-signal-safe.
pub(super) fn reopen(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    reopen_as(file, OFlags::RDWR)
}

/// As [`reopen`], for somebody who only asks about locks (which takes no permission to write).
pub(super) fn reopen_for_reading(file: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    reopen_as(file, OFlags::RDONLY)
}

/// The same by the path that led to the file, for where `/proc` is not mounted.
pub(super) fn reopen_by_path(file: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let guards = OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || rustix::fs::open(path, OFlags::RDWR | guards, Mode::empty());
    // Whoever asks at this moment whether the file is open holds a lease on it.
    let fresh = (0..50)
        .find_map(|_| match open() {
            Err(rustix::io::Errno::AGAIN) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
                None
            }
            result => Some(result),
        })
        .unwrap_or(Err(rustix::io::Errno::AGAIN))?;
    if file_id(fresh.as_fd()) != file_id(file) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(fresh)
}

fn reopen_as(file: BorrowedFd<'_>, access: OFlags) -> io::Result<OwnedFd> {
    // `thread-self`, because `self` has no descriptors once the first thread has exited.
    const PREFIX: &[u8] = b"/proc/thread-self/fd/";
    let mut path = [0_u8; PREFIX.len() + 11];
    path[..PREFIX.len()].copy_from_slice(PREFIX);
    let mut rest = file.as_raw_fd().unsigned_abs();
    let mut digits = [0_u8; 10];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    let number = &digits[first..];
    path[PREFIX.len()..PREFIX.len() + number.len()].copy_from_slice(number);
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| io::ErrorKind::InvalidInput)?;
    let fresh = rustix::fs::open(path, access | OFlags::CLOEXEC, Mode::empty())?;
    if file_id(fresh.as_fd()) != file_id(file) {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(fresh)
}

/// Which file a descriptor names.
pub(super) fn file_id(file: BorrowedFd<'_>) -> Option<FileId> {
    let stat = rustix::fs::fstat(file).ok()?;
    Some(FileId {
        device: stat.st_dev,
        inode: stat.st_ino,
    })
}

fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: not -1. That it is open nobody can promise in a process that closes what
    // is not its own; then the system calls to which it is passed fail, or look at
    // another file, which the comparison of inodes finds out.
    #[expect(unsafe_code, reason = "a descriptor in an atomic has no owner type")]
    unsafe {
        BorrowedFd::borrow_raw(fd)
    }
}

fn nodes() -> impl Iterator<Item = &'static Node> {
    std::iter::successors(node_at(&NODES), |node| node_at(&node.next))
}

fn node_at(link: &AtomicPtr<Node>) -> Option<&'static Node> {
    // Acquire: pairs with the push.
    let node = link.load(Ordering::Acquire);
    // SAFETY: null, or a node that was leaked before it was pushed: it lives for ever
    // and is only ever shared.
    #[expect(unsafe_code, reason = "fork handlers need a list without locks")]
    unsafe {
        node.as_ref()
    }
}

fn unused_node() -> &'static Node {
    // Acquire: pairs with the release by the last user.
    let take = |node: &&Node| {
        node.in_use
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    };
    if let Some(node) = nodes().find(take) {
        return node;
    }
    let node: &'static Node = Box::leak(Box::new(Node {
        cleared: cleared_page().unwrap_or(&NO_PAGE),
        file: AtomicI32::new(-1),
        device: AtomicU64::new(0),
        inode: AtomicU64::new(0),
        in_use: AtomicBool::new(true),
        is_writer: AtomicBool::new(false),
        next: AtomicPtr::default(),
    }));
    let address = std::ptr::from_ref(node).cast_mut();
    let mut first = NODES.load(Ordering::Acquire);
    loop {
        node.next.store(first, Ordering::Relaxed);
        // Release: publishes the node.
        match NODES.compare_exchange(first, address, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return node,
            Err(other) => first = other,
        }
    }
}

/// A page of zeros that is zeros again in every child. Never unmapped: its node is
/// used again by the next handle.
fn cleared_page() -> Option<&'static ForkClearedPage> {
    use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
    let len = rustix::param::page_size();
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that
    // exists. It is page-aligned, zeroed (valid atomics), at least a page long, and
    // stays mapped; when the advice fails, nobody has seen it yet.
    #[expect(unsafe_code, reason = "only raw pages can be cleared on fork")]
    unsafe {
        let page = mmap_anonymous(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )
        .ok()?;
        if madvise(page, len, Advice::LinuxWipeOnFork).is_err() {
            let _ = munmap(page, len);
            return None;
        }
        Some(&*page.cast::<ForkClearedPage>())
    }
}

extern "C" fn in_forked_child() {
    for node in nodes() {
        if node.in_use.load(Ordering::Acquire) && node.file.load(Ordering::Acquire) >= 0 {
            node.renew();
        }
    }
}

fn install_fork_handler() {
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    // Two threads may both install it: it then runs twice, to the same effect. A `Once`
    // could be left locked by a fork.
    if !INSTALLED.load(Ordering::Acquire) {
        // SAFETY: the handler only makes system calls and touches atomics, which is
        // allowed in the child of a process with many threads, and it never unwinds.
        #[expect(unsafe_code, reason = "pthread_atfork is a foreign function")]
        let result = unsafe { libc::pthread_atfork(None, None, Some(in_forked_child)) };
        // Without it (no memory) forks are treated like raw clones.
        INSTALLED.store(result == 0, Ordering::Release);
    }
}
