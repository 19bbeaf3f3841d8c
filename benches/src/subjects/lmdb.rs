//! LMDB through heed, its file on `/dev/shm`, one transaction an operation.
//!
//! As fast as it goes while readers in other processes stay correct: a writable
//! map, no synchronisation to disk, no zeroing of new pages, the reader slot
//! kept in thread-local storage. The lock table stays on.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, PutFlags};
use tempfile::TempDir;

use crate::subject::{Attach, Subject};
use crate::types::Plain;

/// One open environment.
#[derive(Debug)]
pub struct Lmdb {
    env: Env,
    database: Database<'static, Bytes, Bytes>,
    path: PathBuf,
    /// Only the creator removes the files.
    _directory: Option<Rc<TempDir>>,
}

impl Lmdb {
    /// An empty environment for `entries` of `bytes` each.
    pub fn new(entries: usize, bytes: usize) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("shmkv-benches-lmdb-")
            .tempdir_in("/dev/shm")
            .expect("/dev/shm is writable");
        let map_size = (entries * (bytes + 64) * 3).next_multiple_of(1 << 20) + (64 << 20);
        let path = directory.path().to_owned();
        let (env, database) = open(&path, map_size);
        Lmdb {
            env,
            database,
            path,
            _directory: Some(Rc::new(directory)),
        }
    }
}

#[expect(
    unsafe_code,
    reason = "heed marks as unsafe what depends on other processes"
)]
fn open(path: &Path, map_size: usize) -> (Env, Database<'static, Bytes, Bytes>) {
    let mut options = EnvOpenOptions::new();
    options.map_size(map_size);
    // SAFETY: the flags give up durability, not isolation: locks stay on, and
    // no transaction is nested.
    unsafe {
        options.flags(
            EnvFlags::WRITE_MAP
                | EnvFlags::NO_SYNC
                | EnvFlags::NO_META_SYNC
                | EnvFlags::MAP_ASYNC
                | EnvFlags::NO_MEM_INIT,
        );
    }
    // SAFETY: the file lies in a directory of our own, and only LMDB touches it.
    let env = unsafe { options.open(path) }.expect("environment opens");
    let txn = env.write_txn().expect("write transaction");
    let database = env
        .create_databases_and_commit(txn, |opener, txn| {
            opener
                .create_database::<Bytes, Bytes>(txn, None)
                .map(CommitOrAbort::<_, ()>::Commit)
        })
        .expect("unnamed database")
        .unwrap_commit();
    (env, database)
}

impl<K: Plain, V: Plain> Subject<K, V> for Lmdb {
    #[inline(always)]
    fn get(&mut self, key: &K) -> Option<V> {
        let txn = self.env.read_txn().expect("read transaction");
        let bytes = self.database.get(&txn, key.as_bytes()).expect("get");
        bytes.map(|bytes| V::read_from_bytes(bytes).expect("a value has its size"))
    }

    #[inline(always)]
    fn insert(&mut self, key: &K, value: &V) {
        let mut txn = self.env.write_txn().expect("write transaction");
        self.database
            .put(&mut txn, key.as_bytes(), value.as_bytes())
            .expect("put");
        txn.commit().expect("commit");
    }

    #[inline(always)]
    fn remove(&mut self, key: &K) -> bool {
        let mut txn = self.env.write_txn().expect("write transaction");
        let removed = self
            .database
            .delete(&mut txn, key.as_bytes())
            .expect("delete");
        txn.commit().expect("commit");
        removed
    }

    /// One transaction for all, keys in order: the most compact tree.
    fn prefill(&mut self, entries: impl Iterator<Item = (K, V)>) {
        let mut entries: Vec<(K, V)> = entries.collect();
        entries.sort_unstable_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        let mut txn = self.env.write_txn().expect("write transaction");
        for (key, value) in &entries {
            self.database
                .put_with_flags(&mut txn, PutFlags::APPEND, key.as_bytes(), value.as_bytes())
                .expect("append");
        }
        txn.commit().expect("commit");
    }

    fn footprint(&self) -> Option<u64> {
        let data = fs::metadata(self.path.join("data.mdb")).ok()?;
        Some(data.blocks() * 512)
    }
}

impl Attach for Lmdb {
    fn location(&self) -> String {
        self.path
            .to_str()
            .expect("a path of our own making")
            .to_owned()
    }

    fn attach(location: &str) -> Self {
        let path = PathBuf::from(location);
        let map_size = fs::metadata(path.join("data.mdb"))
            .expect("the creator lives")
            .len();
        let map_size = usize::try_from(map_size).expect("a 64-bit machine");
        let (env, database) = open(&path, map_size);
        Lmdb {
            env,
            database,
            path,
            _directory: None,
        }
    }
}
