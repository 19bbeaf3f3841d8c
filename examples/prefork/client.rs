//! A client that does not mind when a worker dies.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use httparse::Status;

/// How often a request is sent before the server counts as gone.
const ATTEMPTS: u32 = 100;

/// Pause between attempts: time for another worker to be started.
const PAUSE: Duration = Duration::from_millis(20);

/// How long an answer may take before it is asked for again. (A worker may have been stopped.)
const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Client {
    address: SocketAddr,
    connection: Option<TcpStream>,
    /// Requests that had to be sent again.
    pub(crate) retries: u64,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether it came from the shared map.
    pub(crate) is_hit: bool,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            connection: None,
            retries: 0,
        }
    }

    /// Sends a request, and sends it again if the connection breaks: it only asks, so that is safe.
    pub(crate) fn get(&mut self, target: &str) -> io::Result<Answer> {
        let mut last = None;
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                self.retries += 1;
                std::thread::sleep(PAUSE);
            }
            match self.get_once(target) {
                Ok(answer) if answer.status != 503 => return Ok(answer),
                Ok(_) => last = Some(io::Error::other("the server is overloaded")),
                Err(error) => {
                    self.connection = None;
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
    }

    fn get_once(&mut self, target: &str) -> io::Result<Answer> {
        let mut stream = match self.connection.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                stream
            }
        };
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let head = loop {
            read_more(&mut stream, &mut bytes)?;
            if let Some(head) = Head::parse(&bytes)? {
                break head;
            }
        };
        let end = head.len + head.body_len;
        while bytes.len() < end {
            read_more(&mut stream, &mut bytes)?;
        }
        if bytes.len() > end {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.connection = head.keep_alive.then_some(stream);
        Ok(Answer {
            status: head.status,
            is_hit: head.is_hit,
            body: bytes.split_off(head.len),
        })
    }
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        len => {
            bytes.extend_from_slice(&piece[..len]);
            Ok(())
        }
    }
}

struct Head {
    status: u16,
    len: usize,
    body_len: usize,
    is_hit: bool,
    keep_alive: bool,
}

impl Head {
    /// `None` if there is more to come.
    fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(bytes).map_err(io::Error::other)?;
        let Status::Complete(len) = parsed else {
            return Ok(None);
        };
        let header = |name: &str| {
            let mut headers = response.headers.iter();
            let header = headers.find(|it| it.name.eq_ignore_ascii_case(name));
            header.and_then(|it| str::from_utf8(it.value).ok())
        };
        let body_len = header("content-length").and_then(|len| len.parse().ok());
        Ok(Some(Self {
            status: response.code.unwrap_or(0),
            len,
            body_len: body_len.ok_or(io::ErrorKind::InvalidData)?,
            is_hit: header("x-cache") == Some("hit"),
            keep_alive: header("connection") != Some("close"),
        }))
    }
}
