//! A prefork HTTP server whose workers share what each of them has computed.
//!
//! One process opens a cache in shared memory, then forks N workers that accept on one
//! listener. `GET /digest/PATH` answers with the SHA-256, size, lines and modification time
//! of a file below the root. That is costly to compute and asked for again and again, so it
//! goes into the cache, under the path and the version of the file; whatever one worker has
//! computed, every worker has, and what several want at once only one of them computes. A worker
//! may be killed at any moment, also while it computes something that others wait for: then the
//! next one does that, and the parent starts another worker, which finds everything its
//! predecessor had stored.
//!
//! ```text
//! cargo run --release --example prefork -- --port 8080 .
//! curl http://127.0.0.1:8080/digest/README.md
//! curl http://127.0.0.1:8080/stats
//! ```
//!
//! With `--drive N` it sends itself N requests and compares every answer with what it
//! computes itself:
//!
//! ```text
//! cargo run --release --example prefork -- --drive 20000 .
//! ```
//!
//! It exits with 0 if all went well (and was right), with 1 if an answer was wrong, and with 2 if
//! it could not run. Interrupted or terminated, it leaves nothing in `/dev/shm`.

#[path = "../common/child.rs"]
mod child;
mod client;
mod counters;
mod digest;
mod drive;
mod histogram;
mod http;
mod root;
mod signals;
mod supervisor;
mod worker;

use std::error::Error;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use shmkv::{Cache, Segment};

use counters::Counters;
use drive::Drive;
use root::Root;
use signals::Signals;
use worker::Server;

/// Serves digests of files over HTTP from several processes that share a cache
#[derive(Parser)]
struct Args {
    /// The directory whose files are served
    #[arg(default_value = ".")]
    root: PathBuf,

    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    workers: u16,

    /// Send N requests to itself, compare every answer, print a report, and exit
    #[arg(long, value_name = "N")]
    drive: Option<u64>,

    /// Concurrent clients of a drive
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1000))]
    clients: u16,

    /// Port on the loopback interface, 0 for any [default: 8080, and 0 with --drive]
    #[arg(long)]
    port: Option<u16>,

    /// Digests that fit into the cache
    #[arg(long, default_value_t = 65_536)]
    capacity: usize,

    /// Seconds for which a digest is kept
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    ttl: u32,

    /// Where the cache is made [default: shm:shmkv-prefork-PID]
    #[arg(long)]
    segment: Option<Segment>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("prefork: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<ExitCode, Box<dyn Error>> {
    // From here on, nothing ends this process between making the segment and removing it.
    let signals = Signals::block()?;
    let root = Root::open(&args.root)?;
    let port = args
        .port
        .unwrap_or(if args.drive.is_some() { 0 } else { 8080 });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{port}: {error}"))?;
    let address = listener.local_addr()?;
    // Anything that can fail is done before the segment is there.
    let drive = args
        .drive
        .map(|requests| Drive::new(&args.root, address, requests, args.clients))
        .transpose()?;

    let segment = match &args.segment {
        Some(segment) => segment.clone(),
        None => Segment::shm(&format!("shmkv-prefork-{}", std::process::id()))?,
    };
    let cache = Cache::builder()
        .max_capacity(args.capacity)
        .time_to_live(Duration::from_secs(args.ttl.into()))
        .max_writers(2 * u32::from(args.workers) + 16)
        .create(segment)?;
    let _name = NameOf(cache.segment().clone());
    let counters = Counters::create(args.workers)?;
    let server = Server {
        root,
        listener,
        cache,
        counters,
    };
    if drive.is_none() {
        println!(
            "serving {} on http://{address} with {} workers, cache {}",
            args.root.display(),
            args.workers,
            server.cache.segment()
        );
    }
    Ok(supervisor::run(
        &server,
        args.workers,
        drive.as_ref(),
        &signals,
    )?)
}

/// Removes the name of a segment when it goes. (A memfd has none.)
struct NameOf(Segment);

impl Drop for NameOf {
    fn drop(&mut self) {
        if matches!(self.0, Segment::Fd(_)) {
            return;
        }
        if let Err(error) = self.0.remove() {
            eprintln!("prefork: {error}");
        }
    }
}
