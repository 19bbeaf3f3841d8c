//! Just enough of HTTP/1.1 for a server whose requests have no bodies.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use httparse::Status;

/// Longest request head that is read.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Most header fields of a request.
const HEADERS_MAX: usize = 64;

/// How long a client may take for its next piece of a request, and for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How much is read from a client to whom we do not listen any more.
const DRAINED_BYTES_MAX: u64 = 256 * 1024;

/// A client.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was received and not yet looked at: the next requests of a short-timed client.
    received: Vec<u8>,
}

/// What a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Request(Request),
    /// Nothing that can be answered but with this status and the end of the connection.
    Nonsense(u16),
    /// The client has gone, or has nothing to say.
    Closed,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// As it was sent, without the query.
    pub(crate) path: Vec<u8>,
    /// Whether the client wants to send more requests.
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// An answer; its body is JSON.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// More header lines, each with its line end.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// The next request.
    pub(crate) fn receive(&mut self) -> Received {
        loop {
            match parse(&self.received) {
                Parsed::Complete(request, len) => {
                    self.received.drain(..len);
                    return Received::Request(request);
                }
                Parsed::Nonsense(status) => return Received::Nonsense(status),
                Parsed::Partial if self.received.len() >= HEAD_BYTES_MAX => {
                    return Received::Nonsense(431);
                }
                Parsed::Partial => {}
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Received::Closed,
                Ok(len) => self.received.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Received::Closed,
            }
        }
    }

    /// Answers a request.
    pub(crate) fn send(
        &mut self,
        response: &Response,
        method: Method,
        keep_alive: bool,
    ) -> io::Result<()> {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: {}\r\n{}\r\n",
            response.status,
            reason(response.status),
            response.body.len(),
            if keep_alive { "keep-alive" } else { "close" },
            response.headers,
        );
        if method != Method::Head {
            text.push_str(&response.body);
        }
        self.stream.write_all(text.as_bytes())
    }

    /// Ends the connection so that the client gets the last answer even if it has sent more
    /// than was read: closing at once would reset the connection, answer and all.
    pub(crate) fn finish(mut self) {
        let briefly = Some(Duration::from_millis(200));
        let _ = self.stream.set_read_timeout(briefly);
        let _ = self.stream.shutdown(Shutdown::Write);
        let mut rest = (&mut self.stream).take(DRAINED_BYTES_MAX);
        let _ = io::copy(&mut rest, &mut io::sink());
    }
}

impl Response {
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self {
            status,
            headers: String::new(),
            body: format!("{body}\n"),
        }
    }

    /// An answer that says only why there is no other.
    pub(crate) fn error(status: u16) -> Self {
        let mut response = Self::json(status, &serde_json::json!({ "error": reason(status) }));
        if status == 405 {
            response.add_header("Allow", "GET, HEAD");
        }
        response
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.headers.push_str(part);
        }
    }
}

enum Parsed {
    Complete(Request, usize),
    Partial,
    Nonsense(u16),
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let len = match head.parse(bytes) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Nonsense(431),
        Err(_) => return Parsed::Nonsense(400),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return Parsed::Nonsense(400);
    };
    let (mut hosts, mut keep_alive) = (0, version == 1);
    for header in head.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("host") {
            hosts += 1;
        } else if is("connection") {
            for option in header.value.split(|&byte| byte == b',') {
                let option = option.trim_ascii();
                if option.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    keep_alive = true;
                }
            }
        } else if is("transfer-encoding")
            || is("content-length") && header.value.trim_ascii() != b"0"
        {
            // A body: nothing here has a use for it, and what follows is no request.
            return Parsed::Nonsense(400);
        }
    }
    if hosts > 1 || version == 1 && hosts == 0 {
        return Parsed::Nonsense(400);
    }
    let Some(path) = path_of(target) else {
        return Parsed::Nonsense(400);
    };
    let request = Request {
        method: match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        },
        path: path.as_bytes().to_vec(),
        keep_alive,
    };
    Parsed::Complete(request, len)
}

/// The path of a request target: a path, or a whole URL as it is sent to proxies.
fn path_of(target: &str) -> Option<&str> {
    let path = match target.strip_prefix("http://") {
        Some(url) => url.find('/').map_or("/", |at| &url[at..]),
        None => target,
    };
    let path = path.split(['?', '#']).next()?;
    (path.starts_with('/') || path == "*").then_some(path)
}

pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        _ => "Service Unavailable",
    }
}
