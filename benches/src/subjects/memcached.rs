//! memcached over a Unix socket, with its text protocol: a round trip an
//! operation, or pipelined a chunk at a time.
//!
//! The client writes one buffer and parses replies in place, so that it costs
//! next to nothing beside the server. Keys are sent as hexadecimal digits, which
//! the protocol demands.

use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use super::server::Server;
use crate::subject::Subject;
use crate::types::Plain;
use crate::workload::Workload;

/// Starts a server that returns an error rather than evict.
///
/// # Errors
/// See [`Server::start`].
pub fn start() -> io::Result<Server> {
    Server::start("memcached", |command, socket| {
        // It refuses to run as root without being told a user.
        command
            .args(["-u", "root", "-M", "-m", "8192", "-s"])
            .arg(socket);
    })
}

/// A connection.
#[derive(Debug)]
pub struct Memcached {
    replies: BufReader<UnixStream>,
    request: Vec<u8>,
    line: Vec<u8>,
    pipelined: bool,
    _server: Rc<Server>,
}

impl Memcached {
    /// Connects to the server.
    ///
    /// # Panics
    /// If the server does not accept.
    pub fn connect(server: &Rc<Server>, pipelined: bool) -> Self {
        let stream = UnixStream::connect(server.socket()).expect("memcached accepts");
        Memcached {
            replies: BufReader::with_capacity(1 << 18, stream),
            request: Vec::new(),
            line: Vec::new(),
            pipelined,
            _server: Rc::clone(server),
        }
    }

    fn put_key<K: Plain>(&mut self, key: &K) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in key.as_bytes() {
            self.request.push(DIGITS[usize::from(byte >> 4)]);
            self.request.push(DIGITS[usize::from(byte & 15)]);
        }
    }

    fn put_get<K: Plain>(&mut self, key: &K) {
        self.request.extend_from_slice(b"get ");
        self.put_key(key);
        self.request.extend_from_slice(b"\r\n");
    }

    fn put_set<K: Plain, V: Plain>(&mut self, key: &K, value: &V) {
        self.request.extend_from_slice(b"set ");
        self.put_key(key);
        write!(self.request, " 0 0 {}\r\n", size_of::<V>()).expect("a vector grows");
        self.request.extend_from_slice(value.as_bytes());
        self.request.extend_from_slice(b"\r\n");
    }

    fn send(&mut self) {
        self.replies
            .get_mut()
            .write_all(&self.request)
            .expect("memcached reads");
        self.request.clear();
    }

    fn receive_line(&mut self) -> &[u8] {
        self.line.clear();
        self.replies
            .read_until(b'\n', &mut self.line)
            .expect("memcached answers");
        self.line.trim_ascii_end()
    }

    /// `VALUE <key> <flags> <bytes>`, the value, `END`; or only `END`.
    fn receive_value<V: Plain>(&mut self) -> Option<V> {
        let line = self.receive_line();
        if line == b"END" {
            return None;
        }
        assert!(
            line.starts_with(b"VALUE "),
            "memcached answers: {}",
            line.escape_ascii()
        );
        let mut value = V::new_zeroed();
        self.replies
            .read_exact(value.as_mut_bytes())
            .expect("memcached answers");
        self.replies
            .read_exact(&mut [0; 2])
            .expect("memcached answers");
        assert_eq!(self.receive_line(), b"END");
        Some(value)
    }

    fn receive_stored(&mut self) {
        let line = self.receive_line();
        assert_eq!(
            line,
            b"STORED",
            "memcached answers: {}",
            line.escape_ascii()
        );
    }
}

impl<K: Plain, V: Plain> Subject<K, V> for Memcached {
    fn get(&mut self, key: &K) -> Option<V> {
        self.put_get(key);
        self.send();
        self.receive_value()
    }

    fn insert(&mut self, key: &K, value: &V) {
        self.put_set(key, value);
        self.send();
        self.receive_stored();
    }

    fn remove(&mut self, key: &K) -> bool {
        self.request.extend_from_slice(b"delete ");
        self.put_key(key);
        self.request.extend_from_slice(b"\r\n");
        self.send();
        self.receive_line() == b"DELETED"
    }

    fn get_chunk(&mut self, keys: &[K]) -> usize {
        let depth = if self.pipelined { keys.len() } else { 1 };
        let mut hits = 0;
        for keys in keys.chunks(depth) {
            for key in keys {
                self.put_get(key);
            }
            self.send();
            for _ in keys {
                let value: Option<V> = self.receive_value();
                hits += usize::from(value.is_some());
                black_box(&value);
            }
        }
        hits
    }

    fn insert_chunk(&mut self, keys: &[K], values: &[V]) {
        let depth = if self.pipelined { keys.len() } else { 1 };
        let mut values = values.iter().cycle();
        for keys in keys.chunks(depth) {
            for (key, value) in keys.iter().zip(&mut values) {
                self.put_set(key, value);
            }
            self.send();
            for _ in keys {
                self.receive_stored();
            }
        }
    }

    fn prefill(&mut self, entries: impl Iterator<Item = (K, V)>) {
        let mut unanswered = 0;
        for (key, value) in entries {
            self.put_set(&key, &value);
            unanswered += 1;
            if unanswered == 256 {
                self.send();
                (0..unanswered).for_each(|_| self.receive_stored());
                unanswered = 0;
            }
        }
        self.send();
        (0..unanswered).for_each(|_| self.receive_stored());
    }

    fn supports(&self, workload: Workload) -> bool {
        super::server::supports(workload)
    }
}
