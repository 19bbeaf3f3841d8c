//! Names of the peers, what is compared with what, and how each is built.

use std::io;
use std::rc::Rc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::keys::Keys;
use crate::runner::{Processes, Runner, Single, Threads};
use crate::subject::Subject;
use crate::subjects::dashmap::Dash;
use crate::subjects::hashbrown::Hashbrown;
use crate::subjects::lmdb::Lmdb;
use crate::subjects::memcached::{self, Memcached};
use crate::subjects::papaya::Papaya;
use crate::subjects::redis::{self, Redis};
use crate::subjects::scc::Scc;
use crate::subjects::server::Server;
use crate::subjects::std_map::Std;
use crate::types::{Plain, Types};

/// A table under measurement: the name on the command line and in `peers.json`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Peer {
    /// shmkv, one segment of `capacity(n)` that holds n entries.
    Ours,
    /// hashbrown with foldhash, one thread.
    Hashbrown,
    /// `std::collections::HashMap`, one thread.
    Std,
    /// dashmap with foldhash.
    Dashmap,
    /// papaya with foldhash.
    Papaya,
    /// scc with foldhash.
    Scc,
    /// LMDB on /dev/shm, a transaction an operation.
    Lmdb,
    /// Redis over a Unix socket, a round trip an operation.
    Redis,
    /// Redis over a Unix socket, pipelined by 256.
    RedisPipelined,
    /// memcached over a Unix socket, a round trip an operation.
    Memcached,
    /// memcached over a Unix socket, pipelined by 256.
    MemcachedPipelined,
}

/// Which comparison a peer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The map that this project is about.
    Ours,
    /// Maps for one thread.
    OneThread,
    /// Maps for threads of one process.
    Concurrent,
    /// Stores that processes share, servers included.
    CrossProcess,
}

impl Peer {
    /// All, in the order of the tables.
    pub const ALL: [Peer; 11] = [
        Peer::Ours,
        Peer::Hashbrown,
        Peer::Std,
        Peer::Dashmap,
        Peer::Papaya,
        Peer::Scc,
        Peer::Lmdb,
        Peer::Redis,
        Peer::RedisPipelined,
        Peer::Memcached,
        Peer::MemcachedPipelined,
    ];

    /// The name in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Ours => "ours",
            Peer::Hashbrown => "hashbrown",
            Peer::Std => "std",
            Peer::Dashmap => "dashmap",
            Peer::Papaya => "papaya",
            Peer::Scc => "scc",
            Peer::Lmdb => "lmdb",
            Peer::Redis => "redis",
            Peer::RedisPipelined => "redis-pipelined",
            Peer::Memcached => "memcached",
            Peer::MemcachedPipelined => "memcached-pipelined",
        }
    }

    /// The comparison it belongs to.
    pub fn kind(self) -> Kind {
        match self {
            Peer::Ours => Kind::Ours,
            Peer::Hashbrown | Peer::Std => Kind::OneThread,
            Peer::Dashmap | Peer::Papaya | Peer::Scc => Kind::Concurrent,
            Peer::Lmdb
            | Peer::Redis
            | Peer::RedisPipelined
            | Peer::Memcached
            | Peer::MemcachedPipelined => Kind::CrossProcess,
        }
    }

    /// Is it a program of its own?
    pub fn is_server(self) -> bool {
        matches!(
            self,
            Peer::Redis | Peer::RedisPipelined | Peer::Memcached | Peer::MemcachedPipelined
        )
    }

    /// Bytes that a table of `entries` takes, roughly and rather too many: to
    /// decide which peers fit into memory together.
    pub fn estimate(self, types: Types, entries: usize) -> u64 {
        let bytes = types.bytes();
        let total = match self {
            Peer::Hashbrown | Peer::Std | Peer::Dashmap => {
                (entries * 8 / 7).next_power_of_two() * (bytes + 1)
            }
            Peer::Ours => entries * (bytes * 5 / 4 + 8),
            Peer::Papaya | Peer::Scc | Peer::Lmdb => entries * (bytes + 64) * 5 / 4,
            // The server of an unpipelined and a pipelined peer is one.
            Peer::Redis | Peer::Memcached => entries * (bytes * 3 / 2 + 100),
            Peer::RedisPipelined | Peer::MemcachedPipelined => 0,
        };
        total as u64
    }
}

/// A peer and its filled table.
pub type Filled<K, V> = (Peer, Box<dyn Runner<K, V>>);

/// Builds peers, and starts each server once for all connections to it.
#[derive(Debug, Default)]
pub struct Builder {
    redis: Option<Rc<Server>>,
    memcached: Option<Rc<Server>>,
}

impl Builder {
    /// A filled table. The reason, if this peer is not to be had here.
    ///
    /// # Errors
    /// A line for the user: which peer is skipped, and why.
    pub fn build<K: Plain, V: Plain>(
        &mut self,
        peer: Peer,
        types: Types,
        keys: &Keys<K, V>,
    ) -> Result<Box<dyn Runner<K, V>>, String> {
        let n = keys.entries();
        Ok(match peer {
            Peer::Ours => Box::new(Processes::new(
                crate::ours::Ours::create(n),
                peer,
                types,
                keys,
            )),
            Peer::Hashbrown => Box::new(Single::new(Hashbrown::new(n), keys)),
            Peer::Std => Box::new(Single::new(Std::new(n), keys)),
            Peer::Dashmap => Box::new(Threads::new(Dash::new(n), keys)),
            Peer::Papaya => Box::new(Threads::new(Papaya::new(n), keys)),
            Peer::Scc => Box::new(Threads::new(Scc::new(n), keys)),
            Peer::Lmdb => Box::new(Processes::new(
                Lmdb::new(n, types.bytes()),
                peer,
                types,
                keys,
            )),
            Peer::Redis | Peer::RedisPipelined => {
                let pipelined = peer == Peer::RedisPipelined;
                let server = running(&mut self.redis, redis::start, |server| {
                    Redis::connect(server, true).prefill(keys.population());
                });
                Box::new(Single::filled(Redis::connect(
                    &skipped(peer, server)?,
                    pipelined,
                )))
            }
            Peer::Memcached | Peer::MemcachedPipelined => {
                let pipelined = peer == Peer::MemcachedPipelined;
                let server = running(&mut self.memcached, memcached::start, |server| {
                    Memcached::connect(server, true).prefill(keys.population());
                });
                Box::new(Single::filled(Memcached::connect(
                    &skipped(peer, server)?,
                    pipelined,
                )))
            }
        })
    }
}

/// The server that runs already, or a new one, filled.
fn running(
    server: &mut Option<Rc<Server>>,
    start: impl FnOnce() -> io::Result<Server>,
    fill: impl FnOnce(&Rc<Server>),
) -> io::Result<Rc<Server>> {
    if let Some(server) = server {
        return Ok(Rc::clone(server));
    }
    let started = Rc::new(start()?);
    fill(&started);
    Ok(Rc::clone(server.insert(started)))
}

fn skipped(peer: Peer, server: io::Result<Rc<Server>>) -> Result<Rc<Server>, String> {
    server.map_err(|error| format!("{}: skipped, cannot start the server: {error}", peer.name()))
}
