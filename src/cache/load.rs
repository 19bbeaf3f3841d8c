//! Loading once: what a caller does who finds nothing.
//!
//! ```text
//! look ──found──▶ done
//!  │ absent, or expired
//!  ▼
//! lock its bucket, look again, claim a lease (module `lease`), unlock
//!  ├─ found: done                       somebody else has loaded it meanwhile
//!  ├─ ours: run the loader, store what it gives, drop the lease
//!  ├─ theirs: serve the old value, if it may be; else sleep on the lease, and begin again when
//!  │          it changes hands, or its holder turns out to be dead
//!  └─ no free cell: run the loader without a lease
//! ```
//!
//! No lock is held while the loader runs, or while anybody sleeps. A loader that fails or panics
//! drops its lease on the way out. Which keys a thread loads it remembers privately, so
//! it finds out at once that it waits for itself. Two threads that wait for each other's loads do
//! so until the deadline of one.

use std::cell::RefCell;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use super::{Cache, Freshness, is_negative};
use crate::liveness::OwnerInfo;
use crate::liveness::token::{Liveness, LockWord};
use crate::protocol::counters::Counter;
use crate::protocol::lease::{Claim, Holder, Lease, Leases};
use crate::protocol::table::{Edit, HashedKey, LivenessCheck, Outcome};
use crate::store::Store;
use crate::store::error::{ReadError, WriteError};
use crate::store::typed::found;
use crate::sys::copy::CopyBuf;
use crate::sys::sync::Deadline;
use crate::types::image::{WordBuf, decode, with_meta_buf};
use crate::types::{Key, Value};

/// Why a value was neither found nor loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader of this very call failed.
    #[error("the loader failed: {0}")]
    Failed(#[source] E),
    /// Another thread or process was loading the value for the whole `load_timeout`. It lives
    /// (perhaps stopped), or cannot be judged from here.
    #[error(
        "the value was still being loaded after {waited:?} by {owner}: try again, or look at that process"
    )]
    Busy {
        /// Who loads.
        owner: Box<OwnerInfo>,
        /// How long the call waited.
        waited: Duration,
    },
    /// This thread is loading the value already: the loader asked for its own key.
    #[error(
        "this thread is loading the value of this key already: a loader must not ask for its own key"
    )]
    Recursive,
    /// The stored value could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This process could not register, or the bucket stayed locked.
    #[error(transparent)]
    Write(#[from] WriteError),
}

thread_local! {
    /// What this thread is loading: cache and key.
    static LOADING: RefCell<Vec<(u64, u64)>> = const { RefCell::new(Vec::new()) };
}

/// What a look into the cache came to. The words of the value are where the look was asked to put
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// There is a value.
    Known,
    /// There is a negative entry, and it is an answer.
    KnownNone,
    /// Expired, and may be served while somebody loads.
    Stale,
    Unknown,
}

impl<K: Key, V: Value> Cache<K, V> {
    /// The value of a key; if it is not there, what `load` gives, which is then there.
    ///
    /// Of all threads and processes that ask at once, one runs its `load`, without any lock; the
    /// others wait for the value, until the [`load_timeout`](super::CacheBuilder::load_timeout).
    /// If the one panics, or its process dies, the next one runs at once. Other keys do not wait.
    /// (In the unlikely case that a thousand loads are under way and no cell is left where this one
    /// could be noted, it runs without having been, and might run twice.)
    ///
    /// Within the [`stale_while_revalidate`](super::CacheBuilder::stale_while_revalidate) time after
    /// the end of an entry, the others do not wait but get the old value.
    ///
    /// If the value cannot be stored, because its bucket stays locked by a stopped process, it is
    /// returned all the same.
    ///
    /// # Errors
    /// [`LoadError::Busy`], [`LoadError::Recursive`]; [`LoadError::Read`] if the stored bytes are not a
    /// `V`; [`LoadError::Write`] if this process cannot register, or the key's bucket stays locked.
    /// No loader has run then.
    pub fn get_or_insert_with(
        &self,
        key: &K,
        load: impl FnOnce() -> V,
    ) -> Result<V, LoadError<Infallible>> {
        self.get_or_try_insert_with(key, || Ok(load()))
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a loader that may fail: then nothing
    /// is stored, this call fails, and one of those who wait runs its own loader.
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the loader's error, and those of `get_or_insert_with`.
    pub fn get_or_try_insert_with<E>(
        &self,
        key: &K,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<E>> {
        let value = self.get_or_load(key, false, || load().map(Some))?;
        Ok(value.expect("where a negative entry is no answer, a value was found or loaded"))
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a loader that may find that there is
    /// no value. That is remembered for the [`negative_ttl`](super::CacheBuilder::negative_ttl), if
    /// the cache has one: until then `get` finds nothing, and this finds that there is nothing.
    ///
    /// # Errors
    /// As `get_or_insert_with`.
    pub fn get_or_insert_option_with(
        &self,
        key: &K,
        load: impl FnOnce() -> Option<V>,
    ) -> Result<Option<V>, LoadError<Infallible>> {
        self.get_or_load(key, true, || Ok(load()))
    }

    /// As [`get_or_insert_option_with`](Self::get_or_insert_option_with), with a loader that may fail.
    ///
    /// # Errors
    /// [`LoadError::Failed`] with the loader's error, and those of `get_or_insert_with`.
    pub fn get_or_try_insert_option_with<E>(
        &self,
        key: &K,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>> {
        self.get_or_load(key, true, load)
    }

    /// All of the above; `none_counts` if a negative entry is an answer.
    fn get_or_load<E>(
        &self,
        key: &K,
        none_counts: bool,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>> {
        let meta = self.meta_words();
        with_meta_buf::<V, _>(|seen| {
            with_meta_buf::<V, _>(|again| {
                let rooms = (&mut seen.sink(meta), &mut again.sink(meta));
                self.get_or_load_in(key, none_counts, load, rooms)
            })
        })
    }

    /// The same, with room for the words of two entries: what is seen without a lock, and what is
    /// found under it.
    fn get_or_load_in<E>(
        &self,
        key: &K,
        none_counts: bool,
        load: impl FnOnce() -> Result<Option<V>, E>,
        (seen, again): (&mut CopyBuf<'_>, &mut CopyBuf<'_>),
    ) -> Result<Option<V>, LoadError<E>> {
        let is_stale = match self.look(key, none_counts, seen)? {
            Look::Known => return Ok(some_of(seen)?),
            Look::KnownNone => return Ok(None),
            Look::Stale => true,
            Look::Unknown => false,
        };
        let hash = self.hash(key);
        let me = (self.recorder.id(), hash.0);
        if LOADING.with_borrow(|loading| loading.contains(&me)) {
            return match is_stale {
                true => self.served(seen),
                false => Err(LoadError::Recursive),
            };
        }
        // Before the loader: what it reads may be invalidated while it runs.
        let epoch = self.epoch();
        let leases = Leases::new(self.shared().mapping.leases());
        let mut deadline = Deadline::new(self.load_timeout);
        let mut dead = None;
        let mut had_no_free_cell = false;
        let lease = loop {
            let (look, claim) =
                self.look_and_claim(key, none_counts, leases, dead.take(), again)?;
            if let Look::Known | Look::KnownNone = look {
                self.count(Counter::Misses);
                return match look {
                    Look::Known => Ok(some_of(again)?),
                    _ => Ok(None),
                };
            }
            match claim {
                Some(Claim::Ours(lease)) => break Some(lease),
                Some(Claim::Theirs(holder)) => {
                    let can_serve = is_stale && look == Look::Stale;
                    match self.wait_for(holder, &mut deadline, can_serve) {
                        // It may be that somebody makes it change all the time.
                        Waited::Changed if !deadline.passed() => {}
                        Waited::Died(word) if !deadline.passed() => dead = Some(word),
                        _ => {
                            return match can_serve {
                                true => self.served(seen),
                                false => Err(self.busy(holder)),
                            };
                        }
                    }
                }
                Some(Claim::NoFreeCell) | None => {
                    if had_no_free_cell {
                        break None;
                    }
                    had_no_free_cell = true;
                    leases.free_dead_cells(&**self.shared(), hash, self.shared().token()?);
                }
            }
        };
        self.count(Counter::Misses);
        let _held = lease.map(|lease| Held {
            lease: Some(lease),
            shared: self.shared(),
        });
        self.run(key, me, epoch, load)
    }

    /// Runs a loader and stores what it gives.
    fn run<E>(
        &self,
        key: &K,
        me: (u64, u64),
        epoch: u64,
        load: impl FnOnce() -> Result<Option<V>, E>,
    ) -> Result<Option<V>, LoadError<E>> {
        let mut running = Running::begin(self, me);
        let loaded = load();
        running.has_failed = loaded.is_err();
        drop(running);
        let value = loaded.map_err(LoadError::Failed)?;
        let deadline = match value {
            Some(_) => self.default_deadline(),
            None => match self.fields().negative_ttl {
                0 => return Ok(None),
                ttl => self.clock.deadline(Duration::from_millis(ttl)),
            },
        };
        // The work is done: that it cannot be kept is no reason to withhold it.
        let _ = self.put(key, value.as_ref(), deadline, epoch);
        Ok(value)
    }

    /// A look without any lock. Only what is known counts as a question that was asked.
    fn look(&self, key: &K, none_counts: bool, sink: &mut CopyBuf<'_>) -> Result<Look, ReadError> {
        let Some(place) = self.find(key, self.meta_words(), sink)? else {
            return Ok(Look::Unknown);
        };
        let look = self.judge(sink.words(), none_counts)?;
        if let Look::Known | Look::KnownNone = look {
            self.note_hit(place);
            if let Some(accessed) = sink.words().get(WordBuf::<V>::WORDS + 1) {
                self.refresh(key, place, self.clock.now(), *accessed);
            }
        }
        Ok(look)
    }

    /// What the words of an entry, its value first, say to somebody who would load it otherwise.
    fn judge(&self, words: &[u64], none_counts: bool) -> Result<Look, ReadError> {
        let is_none = is_negative::<V>(words);
        let is_valid =
            || decode::<V>(&words[..WordBuf::<V>::WORDS]).is_some_and(|value| value.is_valid());
        Ok(match self.freshness(words) {
            Freshness::Live if is_none && none_counts => Look::KnownNone,
            Freshness::Live if !is_none && is_valid() => Look::Known,
            Freshness::Live if !is_none => return Err(ReadError::InvalidValue),
            // An expired invalid value is nothing to serve.
            Freshness::Expired(since) if !is_none && since < self.fields().stale && is_valid() => {
                Look::Stale
            }
            _ => Look::Unknown,
        })
    }

    /// Looks again with the key's primary bucket locked, and if there is still nothing, claims the
    /// lease.
    fn look_and_claim<'a>(
        &'a self,
        key: &K,
        none_counts: bool,
        leases: Leases<'a>,
        dead: Option<LockWord>,
        old: &mut CopyBuf<'_>,
    ) -> Result<(Look, Option<Claim<'a>>), WriteError> {
        let meta = self.meta_words();
        let table = self.table(meta);
        let token = self.shared().token()?;
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        let now = self.clock.now();
        let mut image = WordBuf::uninit();
        let hash = self.hash(key);
        let hashed = HashedKey {
            hash,
            words: image.write(key),
        };
        let mut claim = None;
        let decide = |current: Option<&[u64]>, _: &mut [u64]| {
            let is_known = current.is_some_and(|words| {
                self.freshness(words) == Freshness::Live
                    && (none_counts || !is_negative::<V>(words))
            });
            // At most one claim, however often this is asked.
            if !is_known && !matches!(claim, Some(Claim::Ours(_))) {
                let thread = thread.cast_unsigned().into();
                claim = Some(leases.claim(hash, token, dead, thread, now));
            }
            Edit::Keep
        };
        let outcome = self
            .shared()
            .edit_key(&table, hashed, old, &mut [], decide)?;
        let look = match outcome {
            Outcome::KeptPresent => self.judge(old.words(), none_counts)?,
            _ => Look::Unknown,
        };
        Ok((look, claim))
    }

    /// Waits until a lease changes hands, its holder is dead, or it took too long; at once, if
    /// there is something else to be had meanwhile.
    fn wait_for(&self, mut holder: Holder<'_>, deadline: &mut Deadline, is_eager: bool) -> Waited {
        let shared = self.shared();
        loop {
            let word = holder.word();
            let Some(owner) = word.owner() else {
                return Waited::Changed;
            };
            let is_ours = shared.current_token() == Some(owner);
            if !is_ours && shared.liveness(owner) == Liveness::Dead {
                return Waited::Died(word);
            }
            if is_eager || deadline.passed() {
                return Waited::TooLong;
            }
            if !holder.wait() {
                return Waited::Changed;
            }
        }
    }

    /// Serves a value that has expired.
    fn served<E>(&self, stale: &CopyBuf<'_>) -> Result<Option<V>, LoadError<E>> {
        self.count(Counter::Hits);
        Ok(some_of(stale)?)
    }

    #[cold]
    fn busy<E>(&self, holder: Holder<'_>) -> LoadError<E> {
        let shared = self.shared();
        match holder.word().owner() {
            Some(owner) => LoadError::Busy {
                owner: Box::new(shared.owners().describe(shared.participants(), owner)),
                waited: self.load_timeout,
            },
            None => LoadError::Write(WriteError::Contended {
                waited: self.load_timeout,
            }),
        }
    }
}

/// The value that the words say.
fn some_of<V: Value>(words: &CopyBuf<'_>) -> Result<Option<V>, ReadError> {
    found(&words.words()[..WordBuf::<V>::WORDS])
}

/// How waiting for a load ended.
enum Waited {
    Changed,
    Died(LockWord),
    TooLong,
}

/// A lease that is given back when the load is over, unless this is the child of a fork that
/// happened meanwhile: the lease is its parent's.
struct Held<'a> {
    lease: Option<Lease<'a>>,
    shared: &'a Store,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.shared.current_token() != Some(lease.token())
        {
            std::mem::forget(lease);
        }
    }
}

/// A loader that runs.
struct Running<'a, K: Key, V: Value> {
    cache: &'a Cache<K, V>,
    me: (u64, u64),
    started: Instant,
    /// Until it has returned: what ends it before is a panic.
    has_failed: bool,
}

impl<'a, K: Key, V: Value> Running<'a, K, V> {
    fn begin(cache: &'a Cache<K, V>, me: (u64, u64)) -> Self {
        LOADING.with_borrow_mut(|loading| loading.push(me));
        Self {
            cache,
            me,
            started: Instant::now(),
            has_failed: true,
        }
    }
}

impl<K: Key, V: Value> Drop for Running<'_, K, V> {
    fn drop(&mut self) {
        LOADING.with_borrow_mut(|loading| {
            if let Some(at) = loading.iter().rposition(|one| *one == self.me) {
                loading.remove(at);
            }
        });
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let Cache { recorder, .. } = self.cache;
        recorder.add(Counter::Loads, 1);
        recorder.add(Counter::LoadNanos, nanos);
        if self.has_failed {
            recorder.add(Counter::LoadFailures, 1);
        }
    }
}
