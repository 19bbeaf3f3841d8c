//! The examples do what they say, on this repository's own files and on odder ones.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Where the built examples are. They are built here, since `cargo test` of the library does not.
fn built() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--offline", "--examples"]);
        build.args(["--package", "shmkv-examples"]);
        build.args(["--message-format", "json"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = build.output().expect("cargo runs: it started this test");
        let (stdout, stderr) = text_of(&output);
        assert!(output.status.success(), "{stderr}");
        let executable = stdout
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == "prefork")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo tells where it puts an executable");
        executable.parent().expect("it is in a directory").into()
    })
}

fn example(name: &str) -> Command {
    Command::new(built().join(name))
}

fn text_of(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// The JSON line with which an example ends.
fn last_line(output: &Output) -> Value {
    let (stdout, stderr) = text_of(output);
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

/// A directory with all that may be found in directories. None of it was changed just now, since a
/// version of a file is only shared once it is certain that no other looks like it.
fn odd_files() -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path();
    let files: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("binary", b"\0\x01\xff\n\n"),
        ("not utf8.txt", b"caf\xe9\n"),
        ("name with spaces & %41#?\u{fc}.txt", b"one two\ntwo"),
        (
            "words",
            "Zwei zwei ZWEI \u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}\u{e4}".as_bytes(),
        ),
        ("unreadable", b"secret"),
        ("below/deep", b"deep\n"),
    ];
    fs::create_dir(root.join("below")).unwrap();
    for (name, content) in files {
        fs::write(root.join(name), content).unwrap();
    }
    let nobody = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(root.join("unreadable"), nobody).unwrap();
    symlink(".", root.join("below/loop")).unwrap();
    symlink("/etc/passwd", root.join("outside")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    scratch
}

#[test]
fn driven_server_gives_right_answers_mostly_from_the_map() {
    // Not the whole repository, where thousands of generated files may lie.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let drive = ["--drive", "4000", root];
    let output = example("prefork").args(drive).output().unwrap();
    let (stdout, stderr) = text_of(&output);
    assert!(output.status.success(), "{stdout}{stderr}");
    let line = last_line(&output);
    assert_eq!(line["requests"], 4000);
    assert_eq!(line["workers"], 4);
    assert_eq!(line["wrong"], 0);
    assert!(line["hit_ratio"].as_f64().unwrap() > 0.9, "{line}");
}

#[test]
fn driven_server_copes_with_odd_files() {
    let files = odd_files();
    let mut command = example("prefork");
    command.args(["--drive", "500", "--workers", "2", "--segment", "memfd:odd"]);
    let output = command.arg(files.path()).output().unwrap();
    let (stdout, stderr) = text_of(&output);
    assert!(output.status.success(), "{stdout}{stderr}");
    assert_eq!(last_line(&output)["requests"], 500);
}

#[test]
fn drive_without_a_file_could_not_run() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = example("prefork");
    let output = command.args(["--drive", "1"]).arg(empty.path()).output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}

/// A served directory.
struct Served {
    server: std::process::Child,
    address: String,
    segment: String,
}

impl Served {
    fn start(root: &Path) -> Self {
        let mut server = example("prefork")
            .args(["--port", "0", "--workers", "2"])
            .arg(root)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = server.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let after = |mark: &str| {
            let (_, rest) = line.split_once(mark).expect(&line);
            rest.split_whitespace().next().expect(&line).to_owned()
        };
        Self {
            server,
            address: after("http://"),
            segment: after("cache shm:"),
        }
    }

    /// Status and body. Asks again if the worker that had accepted the connection was killed.
    fn ask(&self, request: &str) -> (u16, String) {
        let mut seen = String::new();
        for _ in 0..10 {
            match self.try_ask(request) {
                Ok(answer) => match answer.split_once("\r\n\r\n") {
                    Some((head, body)) => return (head[9..12].parse().unwrap(), body.to_owned()),
                    None => seen = answer,
                },
                Err(error) => seen = error.to_string(),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("no answer: {seen}");
    }

    fn try_ask(&self, request: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        ))
    }

    fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/stats").1).unwrap()
    }

    /// The processes that serve.
    fn workers(&self) -> Vec<i32> {
        let stats = self.stats();
        let workers = stats["workers"].as_array().unwrap();
        let pid = |worker: &Value| worker["pid"].as_i64().unwrap() as i32;
        workers.iter().map(pid).collect()
    }

    fn signal(pid: i32, signal: Signal) {
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Only a failed test has left anything to end here.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_file(Path::new("/dev/shm").join(&self.segment));
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn served_is_what_lies_below_the_root_and_nothing_else() {
    let files = odd_files();
    let served = Served::start(files.path());
    let (status, body) = served.get("/digest/name%20with%20spaces%20%26%20%2541%23%3F%C3%BC.txt");
    let record: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(record["size"], 11);
    assert_eq!(record["lines"], 1);
    assert_eq!(
        record["sha256"],
        "a21d4e289a078db37f7934c97d4d47cdbd404e6576d945803665389182c96151"
    );
    for (path, status) in [
        ("/digest/below/deep", 200),
        ("/digest//below/./deep", 200),
        ("/digest/empty?query", 200),
        ("/digest/missing", 404),
        ("/digest/below", 404),
        ("/digest/", 404),
        ("/", 404),
        ("/digest/../Cargo.toml", 403),
        ("/digest/%2e%2e/%2e%2e/etc/passwd", 403),
        ("/digest/outside", 403),
        ("/digest/below/loop/deep", 404),
        ("/digest/%2Fetc/passwd", 404),
        ("/digest/%", 400),
        ("/digest/empty%00", 400),
    ] {
        assert_eq!(served.get(path).0, status, "{path}");
    }
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET /stats HTTP/1.1\r\n\r\n", 400),
        (
            "GET /stats HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
            400,
        ),
        ("DELETE /digest/empty HTTP/1.0\r\n\r\n", 405),
        ("GET /digest/empty HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(served.ask(request).0, status, "{request}");
    }
}

#[test]
fn killed_worker_is_replaced_and_interrupted_server_leaves_nothing() {
    let files = odd_files();
    let mut served = Served::start(files.path());
    eventually("both workers serve", || !served.workers().contains(&0));
    assert_eq!(served.get("/digest/words").0, 200);
    let workers = served.workers();
    let entries = served.stats()["all"]["entries"].clone();
    assert!(entries.as_u64() >= Some(1));

    Served::signal(workers[0], Signal::KILL);
    eventually("the killed worker has a successor", || {
        served.workers()[0] != workers[0]
    });
    assert_eq!(served.workers()[1], workers[1]);
    assert_eq!(served.stats()["all"]["entries"], entries);

    let segment = Path::new("/dev/shm").join(&served.segment);
    assert!(segment.exists());
    Served::signal(served.server.id() as i32, Signal::INT);
    assert_eq!(served.server.wait().unwrap().code(), Some(0));
    assert!(!segment.exists());
    let survivor = Path::new("/proc").join(workers[1].to_string());
    assert!(!survivor.exists());
}

#[test]
fn words_counted_together_are_those_counted_alone() {
    let files = odd_files();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (root, at_least) in [(source.as_path(), 10_000), (files.path(), 7)] {
        let output = example("wordcount").arg(root).output().unwrap();
        let (stdout, stderr) = text_of(&output);
        assert!(output.status.success(), "{stdout}{stderr}");
        let line = last_line(&output);
        assert_eq!(line["equal"], true);
        assert_eq!(line["words"], line["expected"]);
        assert!(line["words"].as_u64().unwrap() >= at_least, "{line}");
    }
}

#[test]
fn words_that_do_not_fit_are_an_error() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut command = example("wordcount");
    let output = command.args(["--capacity", "10"]).arg(source).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let (_, stderr) = text_of(&output);
    assert!(stderr.contains("created for 10 entries"), "{stderr}");
}

#[test]
fn fuzzers_that_are_killed_and_restarted_count_every_signature_once() {
    let mut command = example("fuzz_dedup");
    command.args(["--processes", "3", "--seconds", "2", "--kills", "12"]);
    let output = command.output().unwrap();
    let (stdout, stderr) = text_of(&output);
    assert!(output.status.success(), "{stdout}{stderr}");
    let line = last_line(&output);
    assert_eq!(line["right"], true);
    assert_eq!((&line["twice"], &line["killed"]), (&0.into(), &12.into()));
    assert!(line["signatures"].as_u64().unwrap() > 100, "{line}");
    assert!(
        line["hits"].as_u64() > line["signatures"].as_u64(),
        "{line}"
    );
}

#[test]
fn signatures_that_do_not_fit_are_an_error() {
    let mut command = example("fuzz_dedup");
    command.args(["--seconds", "5", "--kills", "0", "--capacity", "10"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let (_, stderr) = text_of(&output);
    assert!(stderr.contains("created for 10 entries"), "{stderr}");
}
