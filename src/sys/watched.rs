//! Words of memory whose accesses can be watched: what [`crate::sys::sync`] hands out in unit tests
//! and to fuzz targets, in the place of plain atomics.
//!
//! A thread may install a watcher, which is called *before* each access of that thread to any
//! such word. It may count: the bounds of steps that the documentation states are tested
//! that way. And it may write to the segment, which is all that a hostile peer can do between two
//! of our accesses: by a schedule, so that what was found can be found again. A second thread
//! that scribbles hits the same windows by luck, and never the same ones twice.
//!
//! What the watcher itself accesses is not watched. While one is installed, nothing is copied by
//! vector instructions ([`crate::sys::sync::atomics_are_words`]), since it could not see into those.

use core::sync::atomic::{self, Ordering};
use std::cell::{Cell, RefCell};

/// A word that behaves as `core`'s in every respect, and is one in memory.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct AtomicU64(atomic::AtomicU64);

type Watcher = Box<dyn FnMut(&AtomicU64)>;

thread_local! {
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
    static WATCHER: RefCell<Option<Watcher>> = const { RefCell::new(None) };
}

/// Whether this thread has a watcher, outside the watcher itself.
#[inline]
pub(crate) fn is_watched() -> bool {
    IS_WATCHED.get()
}

/// Runs `work` on this thread, and `watcher` before each of its accesses to a word.
pub(crate) fn watch<T>(watcher: impl FnMut(&AtomicU64) + 'static, work: impl FnOnce() -> T) -> T {
    /// Removes the watcher, however `work` ends.
    struct Installed;
    impl Drop for Installed {
        fn drop(&mut self) {
            IS_WATCHED.set(false);
            WATCHER.take();
        }
    }
    let earlier = WATCHER.replace(Some(Box::new(watcher)));
    assert!(earlier.is_none(), "one watcher a thread");
    let _installed = Installed;
    IS_WATCHED.set(true);
    work()
}

#[inline]
fn before_access(word: &AtomicU64) {
    if IS_WATCHED.get() {
        call_watcher(word);
    }
}

#[cold]
fn call_watcher(word: &AtomicU64) {
    IS_WATCHED.set(false);
    if let Some(mut watcher) = WATCHER.take() {
        watcher(word);
        WATCHER.set(Some(watcher));
    }
    IS_WATCHED.set(true);
}

impl AtomicU64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(atomic::AtomicU64::new(value))
    }

    #[inline]
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        before_access(self);
        self.0.load(order)
    }

    #[inline]
    pub(crate) fn store(&self, value: u64, order: Ordering) {
        before_access(self);
        self.0.store(value, order);
    }

    #[inline]
    pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
        before_access(self);
        self.0.swap(value, order)
    }

    #[inline]
    pub(crate) fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        before_access(self);
        self.0.compare_exchange(current, new, success, failure)
    }

    #[inline]
    pub(crate) fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        before_access(self);
        self.0.fetch_add(value, order)
    }
}
