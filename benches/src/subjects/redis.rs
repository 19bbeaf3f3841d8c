//! Redis over a Unix socket, with the `redis` crate: a round trip an operation,
//! or pipelined a chunk at a time.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::rc::Rc;

use redis::{Connection, Pipeline};

use super::server::Server;
use crate::subject::Subject;
use crate::types::Plain;
use crate::workload::Workload;

/// Starts a server without persistence.
///
/// # Errors
/// See [`Server::start`].
pub fn start() -> io::Result<Server> {
    Server::start("redis-server", |command, socket| {
        command
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(socket);
    })
}

/// A connection.
pub struct Redis {
    connection: Connection,
    pipelined: bool,
    _server: Rc<Server>,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("pipelined", &self.pipelined)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to the server.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn connect(server: &Rc<Server>, pipelined: bool) -> Self {
        let address = format!("unix://{}", server.socket().display());
        let client = redis::Client::open(address).expect("a valid address");
        let connection = client.get_connection().expect("redis accepts");
        Redis {
            connection,
            pipelined,
            _server: Rc::clone(server),
        }
    }
}

fn decode<V: Plain>(bytes: &[u8]) -> V {
    V::read_from_bytes(bytes).expect("a value has its size")
}

impl<K: Plain, V: Plain> Subject<K, V> for Redis {
    fn get(&mut self, key: &K) -> Option<V> {
        let bytes: Option<Vec<u8>> = redis::cmd("GET")
            .arg(key.as_bytes())
            .query(&mut self.connection)
            .expect("GET");
        bytes.map(|bytes| decode(&bytes))
    }

    fn insert(&mut self, key: &K, value: &V) {
        redis::cmd("SET")
            .arg(key.as_bytes())
            .arg(value.as_bytes())
            .exec(&mut self.connection)
            .expect("SET");
    }

    fn remove(&mut self, key: &K) -> bool {
        redis::cmd("DEL")
            .arg(key.as_bytes())
            .query(&mut self.connection)
            .expect("DEL")
    }

    fn get_chunk(&mut self, keys: &[K]) -> usize {
        let mut hits = 0;
        if self.pipelined {
            let mut pipeline = Pipeline::with_capacity(keys.len());
            for key in keys {
                pipeline.cmd("GET").arg(key.as_bytes());
            }
            let replies: Vec<Option<Vec<u8>>> = pipeline.query(&mut self.connection).expect("GET");
            for bytes in replies.into_iter().flatten() {
                black_box(&decode::<V>(&bytes));
                hits += 1;
            }
        } else {
            for key in keys {
                let value: Option<V> = self.get(key);
                hits += usize::from(value.is_some());
                black_box(&value);
            }
        }
        hits
    }

    fn insert_chunk(&mut self, keys: &[K], values: &[V]) {
        let entries = keys.iter().zip(values.iter().cycle());
        if self.pipelined {
            let mut pipeline = Pipeline::with_capacity(keys.len());
            for (key, value) in entries {
                pipeline
                    .cmd("SET")
                    .arg(key.as_bytes())
                    .arg(value.as_bytes())
                    .ignore();
            }
            pipeline.exec(&mut self.connection).expect("SET");
        } else {
            for (key, value) in entries {
                self.insert(key, value);
            }
        }
    }

    fn prefill(&mut self, entries: impl Iterator<Item = (K, V)>) {
        let mut pipeline = Pipeline::new();
        for (key, value) in entries {
            pipeline
                .cmd("SET")
                .arg(key.as_bytes())
                .arg(value.as_bytes())
                .ignore();
            if pipeline.len() == 1000 {
                pipeline.exec(&mut self.connection).expect("SET");
                pipeline.clear();
            }
        }
        if !pipeline.is_empty() {
            pipeline.exec(&mut self.connection).expect("SET");
        }
    }

    fn supports(&self, workload: Workload) -> bool {
        super::server::supports(workload)
    }
}
