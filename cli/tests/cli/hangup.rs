//! Long commands end when nobody is there any more who wants them: the terminal is gone, the reader
//! of a pipe is, or a signal asks for it, whatever they are doing at that moment.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty};
use rustix::process::{Pid, Signal, kill_process};
use shmkv::Map;

use crate::shmkv::{binary, command, create, run};
use crate::support::*;
use crate::terminal::Session;

/// What a loaded machine may take. Who spins or sleeps for ever takes longer.
const LIMIT: Duration = Duration::from_secs(20);

#[track_caller]
fn end_of(child: &mut Child, what: &str) -> ExitStatus {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it did not end: {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A shell that runs this on a terminal of its own, in which `$0` is our command and `$1` the word.
fn on_terminal(script: &str, word: &str) -> (Child, Pty) {
    let (pty, pts) = pty_process::blocking::open().unwrap();
    pty.resize(Size::new(60, 200)).unwrap();
    let command = Command::new("sh").args(["-c", script, binary(), word]);
    let command = command.env("TERM", "xterm-256color");
    (command.spawn(pts).unwrap(), pty)
}

/// Waits until this has been written to the terminal.
fn until_written(pty: &mut Pty, wanted: &str) {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains(wanted) {
        let read = pty.read(&mut buffer).unwrap();
        seen.extend(&buffer[..read]);
    }
}

/// Where SIGHUP comes, and where it does not.
const SHELLS: [&str; 2] = ["exec", "trap '' HUP; exec"];

#[test]
fn top_ends_when_its_terminal_is_closed() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "100");
    let name = scratch.segment().to_string();
    for begin in SHELLS {
        for keys in ["", "p"] {
            let (mut child, mut pty) = on_terminal(&format!("{begin} $0 top $1"), &name);
            until_written(&mut pty, &name);
            std::io::Write::write_all(&mut pty, keys.as_bytes()).unwrap();
            drop(pty);
            let status = end_of(&mut child, &format!("{begin} {keys}"));
            assert_ne!(status.code(), Some(101), "{begin}: no panic");
            assert!(!status.success(), "{begin}: {status}");
        }
    }
}

#[test]
fn watch_ends_when_its_terminal_is_closed_though_nothing_changes() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "100");
    let name = scratch.segment().to_string();
    for begin in SHELLS {
        for redirection in ["", "> /dev/null"] {
            // The terminal's end is seen on stdin as well.
            let script = format!("{begin} $0 watch $1 1 {redirection}");
            let (mut child, mut pty) = on_terminal(&script, &name);
            match redirection {
                "" => until_written(&mut pty, "absent"),
                // Nothing tells when it has begun; earlier is no harm.
                _ => std::thread::sleep(Duration::from_millis(300)),
            }
            drop(pty);
            end_of(&mut child, &script);
        }
    }
}

#[test]
fn watch_ends_with_the_reader_of_its_pipe_though_nothing_changes() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "100");
    let name = scratch.segment().to_string();
    let mut child = command(&["watch", &name, "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut line = [0; 7];
    stdout.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"absent\n");
    drop(stdout);
    let status = end_of(&mut child, "watch");
    assert!(status.success(), "a broken pipe is no error: {status}");
}

#[test]
fn watch_goes_on_when_its_input_is_at_its_end() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "100");
    let name = scratch.segment().to_string();
    let mut child = command(&["watch", &name, "1", "--count", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // As cron does.
    drop(child.stdin.take());
    let mut stdout = child.stdout.take().unwrap();
    let mut line = [0; 7];
    stdout.read_exact(&mut line).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    run(&["set", &name, "1", "5"]).fine();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "5\n");
    assert!(end_of(&mut child, "watch").success());
}

#[test]
fn top_ends_by_a_signal_while_its_terminal_takes_nothing() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "100");
    let name = scratch.segment().to_string();
    let (mut child, mut pty) = on_terminal("exec $0 top $1 --interval 50ms", &name);
    until_written(&mut pty, &name);
    // All of the screen again and again, which nobody reads: until the kernel's buffer is full.
    let number = child.id();
    let is_stuck = || {
        let path = format!("/proc/{number}/task/{number}/wchan");
        let wchan = std::fs::read_to_string(path).unwrap_or_default();
        wchan.contains("n_tty_write") || wchan.contains("wait_woken")
    };
    let deadline = Instant::now() + LIMIT;
    let mut is_wide = false;
    while !is_stuck() && Instant::now() < deadline {
        is_wide = !is_wide;
        pty.resize(Size::new(if is_wide { 60 } else { 59 }, 200))
            .unwrap();
        std::thread::sleep(Duration::from_millis(70));
    }
    let pid = Pid::from_raw(i32::try_from(number).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = end_of(&mut child, "SIGTERM");
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{status}");
    drop(pty);
}

#[test]
fn a_signal_that_was_ignored_from_the_start_ends_nothing() {
    let scratch = Scratch::shm();
    create(scratch.segment(), "u64", "u64", "100");
    let name = scratch.segment().to_string();
    // The shell is still there afterwards and says what became of it.
    let mut top = Session::start_shell("trap '' HUP; exec $0 top $1", &[&name]);
    top.until("the segment", |it| it.contains(&name));
    top.signal(Signal::HUP);
    // Still there, and answers.
    top.press("p");
    top.until("a pause", |it| it.contains("paused"));
    top.press("q");
    assert!(top.end_restored().success());
}

#[test]
fn bench_that_is_ended_early_leaves_no_segment() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let scratch = Scratch::shm();
        let name = scratch.segment().to_string();
        let mut child = command(&["bench", &name, "--time", "1h"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + LIMIT;
        while !scratch.segment().exists().unwrap() {
            assert!(Instant::now() < deadline, "it has begun");
            std::thread::sleep(Duration::from_millis(10));
        }
        let pid = Pid::from_child(&child);
        kill_process(pid, signal).unwrap();
        let status = end_of(&mut child, "bench");
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(!scratch.segment().exists().unwrap(), "{signal:?}");
    }
    // Nor does it measure for nobody.
    let scratch = Scratch::shm();
    let name = scratch.segment().to_string();
    let mut child = command(&["bench", &name, "--time", "1h"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    end_of(&mut child, "bench without a reader");
    assert!(!scratch.segment().exists().unwrap());
}

#[test]
fn a_copy_to_a_terminal_that_is_gone_is_an_error_and_leaves_nothing() {
    let (from, to) = (Scratch::shm(), Scratch::shm());
    let map: Map<u64, u64> = Map::builder()
        .capacity(1000)
        .create(from.segment().clone())
        .unwrap();
    for key in 0..1000 {
        map.insert(key, key).unwrap();
    }
    let [source, target] = [&from, &to].map(|it| it.segment().to_string());
    // Its words go to a terminal that is gone: that is no reason to lose the copy.
    let (mut pty, pts) = pty_process::blocking::open().unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; read x; exec $0 cp $1 $2", binary()])
        .args([&source, &target])
        .spawn(pts)
        .unwrap();
    std::io::Write::write_all(&mut pty, b"go\n").unwrap();
    drop(pty);
    let status = end_of(&mut child, "cp");
    assert_eq!(
        status.success(),
        to.segment().exists().unwrap(),
        "all or nothing: {status}"
    );
}
