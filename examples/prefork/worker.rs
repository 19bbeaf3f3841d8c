//! What a worker does: accept, look the digest up, compute it if nobody has done so yet.

use std::fmt;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use shmkv::Cache;
use shmkv::cache::LoadError;

use crate::counters::{Counters, Tally, What, WorkerCounters};
use crate::digest::{Digest, FileKey, Stamp};
use crate::http::{Connection, Method, Received, Request, Response};
use crate::root::{FilePath, Refusal, Root};

/// Requests of one connection. Then the client has to connect anew, and may come to
/// another worker, so that long-lived clients do not end up with one of them all.
const REQUESTS_PER_CONNECTION: u32 = 100;

/// Connections that a worker has at a time, one thread each.
const CONNECTIONS_MAX: usize = 256;

/// How often a file is read anew that changes while it is read.
const ATTEMPTS: u32 = 20;

/// What all workers have, each its own copy since the fork, all of the same cache.
pub(crate) struct Server {
    pub(crate) root: Root,
    pub(crate) listener: TcpListener,
    pub(crate) cache: Cache<FileKey, Digest>,
    pub(crate) counters: Counters,
}

impl Server {
    /// Serves until the process is killed. Returns an exit code if it cannot.
    pub(crate) fn work(&self, index: u16) -> u8 {
        let worker = Worker {
            server: self,
            index,
            counters: self.counters.of_worker(index),
            connections: AtomicUsize::new(0),
        };
        if let Err(error) = worker.counters.introduce(std::process::id()) {
            eprintln!("prefork: worker {index} cannot write its counters: {error}");
            return 1;
        }
        thread::scope(|scope| -> u8 {
            loop {
                match self.listener.accept() {
                    Ok((stream, _)) => {
                        // If there are no threads to be had, the connection is closed.
                        let _ = thread::Builder::new()
                            .spawn_scoped(scope, || worker.serve_or_refuse(stream));
                    }
                    // The client gave up, or descriptors have run out for the moment.
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            }
        })
    }
}

/// A process that serves.
struct Worker<'a> {
    server: &'a Server,
    index: u16,
    counters: WorkerCounters,
    connections: AtomicUsize,
}

impl Worker<'_> {
    fn serve_or_refuse(&self, stream: TcpStream) {
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut connection) = Connection::new(stream) {
            if before < CONNECTIONS_MAX {
                self.serve(&mut connection);
            } else {
                let _ = connection.send(&Response::error(503), Method::Get, false);
            }
            connection.finish();
        }
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn serve(&self, connection: &mut Connection) {
        for left in (0..REQUESTS_PER_CONNECTION).rev() {
            let request = match connection.receive() {
                Received::Request(request) => request,
                Received::Nonsense(status) => {
                    self.counters.count(What::Answer);
                    let _ = connection.send(&Response::error(status), Method::Get, false);
                    return;
                }
                Received::Closed => return,
            };
            let mut response = self.answer(&request);
            response.add_header("X-Worker", &self.index.to_string());
            self.counters.count(What::Answer);
            let keep_alive = request.keep_alive && left > 0;
            let sent = connection.send(&response, request.method, keep_alive);
            if sent.is_err() || !keep_alive {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Response {
        if request.method == Method::Other {
            return Response::error(405);
        }
        if request.path == b"/stats" {
            return self.stats();
        }
        let Some(path) = request.path.strip_prefix(b"/digest/") else {
            return Response::error(404);
        };
        let path = match FilePath::from_url(path) {
            Ok(path) => path,
            Err(refusal) => return Response::error(refusal.status()),
        };
        match self.digest(&path) {
            Ok((digest, found)) => {
                let mut response = Response::json(200, &digest.to_json(&path));
                response.add_header("X-Cache", found.as_str());
                response
            }
            Err(refusal) => Response::error(refusal.status()),
        }
    }

    /// The digest of a file's present version, and where it was found.
    fn digest(&self, path: &FilePath) -> Result<(Digest, Found), Refusal> {
        for attempt in 0..ATTEMPTS {
            // Opened each time: it may have been replaced by another file.
            let file = self.server.root.open_file(path)?;
            let stamp = Stamp::of(&file).map_err(|_| Refusal::NotFound)?;
            // A version that may still change under the same stamp is nobody else's business.
            let found = if stamp.has_adopted_boot() {
                self.share(path, &file, stamp)
            } else {
                self.compute(&file, stamp)
            };
            match found {
                Ok(found) => return Ok(found),
                Err(Unread::Forbidden) => return Err(Refusal::Forbidden),
                Err(Unread::Changed) => thread::sleep(Duration::from_millis(attempt.into())),
            }
        }
        Err(Refusal::Exhausted)
    }

    /// The digest from the cache. If it is not there, one of the workers computes it, and those who
    /// want it meanwhile wait for that one; if it is killed, the next one does it.
    fn share(&self, path: &FilePath, file: &File, stamp: Stamp) -> Result<(Digest, Found), Unread> {
        let key = FileKey::new(path, stamp);
        let started = Instant::now();
        let mut is_ours = false;
        let shared = self.server.cache.get_or_try_insert_with(&key, || {
            is_ours = true;
            read(file, stamp)
        });
        match shared {
            Ok(digest) if is_ours => {
                self.counters.count(What::Entry);
                self.counters.count(What::Miss);
                Ok((digest, Found::InFile))
            }
            Ok(digest) if digest.is_of(stamp) => {
                self.counters.count_lookup(started.elapsed());
                self.counters.count(What::Hit);
                Ok((digest, Found::InCache))
            }
            Err(LoadError::Failed(unread)) => Err(unread),
            Err(error) => {
                self.report("share a digest", &error);
                self.compute(file, stamp)
            }
            // Somebody has put something else there.
            Ok(_) => self.compute(file, stamp),
        }
    }

    fn compute(&self, file: &File, stamp: Stamp) -> Result<(Digest, Found), Unread> {
        let digest = read(file, stamp)?;
        self.counters.count(What::Miss);
        Ok((digest, Found::InFile))
    }

    fn report(&self, action: &str, error: &dyn std::error::Error) {
        self.counters.count(What::Error);
        eprintln!("prefork: worker {} cannot {action}: {error}", self.index);
    }

    fn stats(&self) -> Response {
        let tallies = match self.server.counters.tallies() {
            Ok(tallies) => tallies,
            Err(error) => {
                self.report("read the counters", &error);
                return Response::error(503);
            }
        };
        let workers: Vec<_> = (0..)
            .zip(&tallies)
            .map(|(worker, tally): (u16, _)| {
                let mut it = tally.to_json();
                it["worker"] = worker.into();
                it["pid"] = tally.pid.into();
                it
            })
            .collect();
        let mut all = Tally::sum(&tallies).to_json();
        let cache = self.server.cache.stats();
        all["entries"] = cache.len.into();
        all["capacity"] = cache.capacity.into();
        all["bytes"] = cache.bytes.into();
        all["evicted"] = (cache.evicted_for_room + cache.evicted_expired).into();
        all["loads"] = cache.loads.into();
        Response::json(200, &serde_json::json!({ "workers": workers, "all": all }))
    }
}

/// The digest of an open file, if it is the one that was stamped.
fn read(file: &File, stamp: Stamp) -> Result<Digest, Unread> {
    match Digest::compute(file, stamp) {
        Ok(Some(digest)) => Ok(digest),
        Ok(None) => Err(Unread::Changed),
        Err(_) => Err(Unread::Forbidden),
    }
}

/// Why a file has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unread {
    Forbidden,
    /// While it was read.
    Changed,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forbidden => "the file cannot be read",
            Self::Changed => "the file changed while it was read",
        })
    }
}

impl std::error::Error for Unread {}

/// Where a digest comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    InCache,
    InFile,
}

impl Found {
    fn as_str(self) -> &'static str {
        match self {
            Self::InCache => "hit",
            Self::InFile => "miss",
        }
    }
}

impl Refusal {
    fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::Exhausted => 503,
        }
    }
}
