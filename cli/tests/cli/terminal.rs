//! On a terminal: `top`, and progress bars. The terminal is a pseudo-terminal, and a parser of
//! terminal sequences tells what its user would see.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Command, Pty};
use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{LocalModes, tcgetattr};
use shmkv::Map;

use crate::holder;
use crate::shmkv::{binary, run};
use crate::support::*;

/// How long a test waits for something to appear: on a loaded machine everything takes its time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A program on a terminal.
pub(crate) struct Session {
    child: Child,
    pty: std::sync::Arc<Pty>,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
    /// All that it has ever written.
    raw: Vec<u8>,
}

impl Session {
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::start_with(words, &[])
    }

    fn start_with(words: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::spawn(Command::new(binary()).args(words), environment)
    }

    /// On a terminal of this size.
    pub(crate) fn start_sized(words: &[&str], rows: u16, columns: u16) -> Self {
        Self::spawn_sized(Command::new(binary()).args(words), &[], rows, columns)
    }

    /// A shell that runs this, in which `$0` is our command and `$1` and so on are the words.
    pub(crate) fn start_shell(script: &str, words: &[&str]) -> Self {
        let shell = Command::new("sh").args(["-c", script, binary()]);
        Self::spawn(shell.args(words), &[])
    }

    fn spawn(command: Command, environment: &[(&str, &str)]) -> Self {
        Self::spawn_sized(command, environment, 24, 100)
    }

    fn spawn_sized(
        command: Command,
        environment: &[(&str, &str)],
        rows: u16,
        columns: u16,
    ) -> Self {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(Size::new(rows, columns)).unwrap();
        let mut command = command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
        for (name, value) in environment {
            command = command.env(name, value);
        }
        let child = command.spawn(pts).unwrap();
        let pty = std::sync::Arc::new(pty);
        let (sender, output) = channel();
        let reader = std::sync::Arc::clone(&pty);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error when the last program on the terminal has exited.
            while let Ok(read @ 1..) = (&*reader).read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            pty,
            output,
            screen: vt100::Parser::new(cells(rows), cells(columns), 0),
            raw: Vec::new(),
        }
    }

    pub(crate) fn contents(&self) -> String {
        self.screen.screen().contents()
    }

    /// All that it has ever written, as text.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.raw).replace('\r', "")
    }

    /// Shows what comes within this time; whether anything did.
    pub(crate) fn take(&mut self, wait: Duration) -> bool {
        match self.output.recv_timeout(wait) {
            Ok(bytes) => {
                self.screen.process(&bytes);
                self.raw.extend(bytes);
                true
            }
            Err(_) => false,
        }
    }

    /// Waits until the screen is as expected.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let contents = self.contents();
            if is_so(&contents) {
                return contents;
            }
            assert!(
                Instant::now() < deadline,
                "{what} did not come; the screen is:\n{contents}"
            );
            self.take(Duration::from_millis(100));
        }
    }

    pub(crate) fn press(&self, keys: &str) {
        (&*self.pty).write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&mut self, rows: u16, columns: u16) {
        self.screen
            .screen_mut()
            .set_size(cells(rows), cells(columns));
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; then the terminal must be as it was at the start.
    #[track_caller]
    pub(crate) fn end_restored(&mut self) -> ExitStatus {
        let deadline = Instant::now() + TIMEOUT;
        let status = loop {
            self.take(Duration::from_millis(20));
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "it did not end:\n{}",
                self.contents()
            );
        };
        while self.take(Duration::from_millis(100)) {}
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen(), "still on the alternate screen");
        assert!(!screen.hide_cursor(), "the cursor is still hidden");
        let modes = tcgetattr(self.pty.as_fd()).unwrap().local_modes;
        for mode in [LocalModes::ICANON, LocalModes::ECHO, LocalModes::ISIG] {
            assert!(modes.contains(mode), "{mode:?} is still off");
        }
        status
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two segments, the names of which begin alike.
fn two_segments() -> ([Scratch; 2], [Map<u64, [u64; 2]>; 2]) {
    let scratches = [Scratch::shm(), Scratch::shm()];
    let maps = scratches.each_ref().map(|scratch| {
        Map::builder()
            .capacity(1000)
            .create(scratch.segment().clone())
            .unwrap()
    });
    for key in 0..100 {
        maps[0].insert(key, [key; 2]).unwrap();
    }
    for key in 0..700 {
        maps[1].insert(key, [key; 2]).unwrap();
    }
    (scratches, maps)
}

#[track_caller]
fn row_of(contents: &str, name: &str) -> usize {
    let row = contents
        .lines()
        .position(|line| line.split_whitespace().next() == Some(name));
    row.unwrap_or_else(|| panic!("no {name} on:\n{contents}"))
}

#[test]
fn top_shows_refreshes_sorts_resizes_and_quits() {
    let (scratches, maps) = two_segments();
    let [first, second] = scratches
        .each_ref()
        .map(|scratch| scratch.segment().to_string());
    let mut top = Session::start(&["top", &first, &second, "--interval", "50ms"]);
    let shown = top.until("both segments", |it| {
        it.contains(&first) && it.contains(&second) && it.contains("p pause")
    });
    // The cursor is hidden behind the first drawing.
    top.take(Duration::from_millis(500));
    assert!(top.screen.screen().alternate_screen() && top.screen.screen().hide_cursor());
    let modes = tcgetattr(top.pty.as_fd()).unwrap().local_modes;
    assert!(!modes.contains(LocalModes::ICANON), "keys come one by one");
    for words in [
        "2 segments",
        "by NAME",
        "WRITES/S",
        "q quit",
        "writers",
        "slow locks",
    ] {
        assert!(shown.contains(words), "no {words:?} on:\n{shown}");
    }
    let pid = std::process::id().to_string();
    assert!(shown.contains(&pid), "this process is a writer:\n{shown}");

    // Refresh: a new entry appears, and so does the rate.
    let line = |contents: &str| {
        contents
            .lines()
            .nth(row_of(contents, &first))
            .unwrap()
            .to_owned()
    };
    maps[0].insert(5000, [0; 2]).unwrap();
    top.until("101 entries", |it| {
        it.contains(&first) && line(it).contains(" 101 ")
    });

    // Sort: the larger one first, then the other way round.
    top.press("s");
    let sorted = top.until("the larger one first", |it| {
        it.contains("by ENTRIES") && row_of(it, &second) < row_of(it, &first)
    });
    assert!(sorted.contains("2 segments"));
    top.press("r");
    top.until("the smaller one first", |it| {
        it.contains("reversed") && row_of(it, &first) < row_of(it, &second)
    });
    // Select: its details are shown below.
    top.press("\x1b[B");
    top.press("\x1b[B");
    top.until("the details of the second", |it| {
        it.lines()
            .any(|line| line.starts_with(&second) && line.contains('─'))
    });
    top.press("p");
    top.until("a pause", |it| it.contains("paused"));
    top.press("p");
    top.until("no pause", |it| !it.contains("paused"));

    // Resize: smaller, there is no room for details; larger, there is.
    top.resize(10, 60);
    top.until("a small screen", |it| {
        !it.contains("slow locks") && it.contains("q quit")
    });
    top.resize(40, 120);
    top.until("a large screen", |it| it.contains("slow locks"));

    top.press("q");
    let status = top.end_restored();
    assert!(status.success(), "{status}");
}

#[test]
fn top_restores_the_terminal_after_signals_and_ends_by_them() {
    use std::os::unix::process::ExitStatusExt;
    let (scratches, _maps) = two_segments();
    let name = scratches[0].segment().to_string();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT] {
        let mut top = Session::start(&["top", &name]);
        top.until("the segment", |it| it.contains(&name));
        top.signal(signal);
        let status = top.end_restored();
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
    }
}

#[test]
fn top_restores_the_terminal_after_a_panic_and_says_what_it_was() {
    let (scratches, _maps) = two_segments();
    let name = scratches[0].segment().to_string();
    let mut top = Session::start(&["top", &name, "--interval", "50ms", "--panic-after", "3"]);
    let status = top.end_restored();
    assert_eq!(status.code(), Some(101), "{status}");
    // Not the screen: a backtrace may have moved it out of sight.
    let raw = String::from_utf8_lossy(&top.raw).into_owned();
    let (before, after) = raw.rsplit_once("\x1b[?1049l").expect("it left its screen");
    assert!(
        before.contains("this panic was asked for") || after.contains("this panic was asked for"),
        "{raw}"
    );
}

#[test]
fn top_restores_the_terminal_when_a_segment_is_cut_short() {
    use std::os::unix::process::ExitStatusExt;
    let (scratches, maps) = two_segments();
    // A handle of our own would touch what is about to be gone.
    drop(maps);
    let name = scratches[0].segment().to_string();
    let mut top = Session::start(&["top", &name, "--interval", "50ms"]);
    top.until("the segment", |it| it.contains(&name));
    std::fs::File::options()
        .write(true)
        .open(scratches[0].path())
        .unwrap()
        .set_len(0)
        .unwrap();
    let status = top.end_restored();
    assert_eq!(status.signal(), Some(Signal::BUS.as_raw()), "{status}");
    assert!(
        top.contents().contains("was shortened"),
        "{}",
        top.contents()
    );
}

#[test]
fn top_shows_a_lock_that_is_held_too_long_and_who_holds_it() {
    if role().is_some() {
        holder::write_for_ever();
    }
    const TEST: &str = "terminal::top_shows_a_lock_that_is_held_too_long_and_who_holds_it";
    let scratch = Scratch::shm();
    let (_map, writer) = holder::stopped(TEST, &scratch);
    let name = scratch.segment().to_string();
    let mut top = Session::start(&["top", &name, "--interval", "50ms"]);
    let words = format!("by {}", writer.pid());
    let shown = top.until("the slow lock", |it| it.contains(&words));
    assert!(shown.contains("bucket "), "{shown}");
    top.press("q");
    assert!(top.end_restored().success());
}

#[test]
fn top_without_a_terminal_says_so() {
    let scratch = Scratch::shm();
    let _map: Map<u8, u8> = Map::builder()
        .capacity(1)
        .create(scratch.segment().clone())
        .unwrap();
    run(&["top", &scratch.segment().to_string()]).fails(2, &["needs a terminal"]);
    run(&["top"]).fails(2, &["needs a terminal"]);
}

/// Sequences that set a colour (bold and the like are none).
fn has_colours(raw: &[u8]) -> bool {
    let text = String::from_utf8_lossy(raw);
    text.split("\x1b[").skip(1).any(|sequence| {
        let Some((parameters, _)) = sequence.split_once('m') else {
            return false;
        };
        parameters.chars().all(|c| c.is_ascii_digit() || c == ';')
            && parameters.split(';').any(|it| {
                matches!(
                    it.parse::<u32>(),
                    Ok(30..=38 | 40..=48 | 90..=97 | 100..=107)
                )
            })
    })
}

#[test]
fn no_color_is_respected() {
    let (scratches, maps) = two_segments();
    let name = scratches[0].segment().to_string();
    for (environment, expected) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut top = Session::start_with(&["top", &name, "--interval", "50ms"], environment);
        top.until("the segment", |it| it.contains(&name));
        // Something to draw in the chart.
        for key in 0..200 {
            maps[0].insert(key, [key + 1; 2]).unwrap();
        }
        top.until("the next look", |it| !it.contains("max 0"));
        top.press("q");
        assert!(top.end_restored().success());
        assert_eq!(has_colours(&top.raw), expected, "{environment:?}");
    }
    for (environment, expected) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut help = Session::start_with(&["help", "get"], environment);
        help.until("the help", |it| it.contains("Example"));
        help.end_restored();
        assert_eq!(help.raw.contains(&0x1B), expected, "{environment:?}");
    }
}

/// A segment that takes a while to go through.
fn large() -> Scratch {
    let scratch = Scratch::shm();
    let map: Map<u32, [u64; 16]> = Map::builder()
        .capacity(100_000)
        .create(scratch.segment().clone())
        .unwrap();
    for key in 0..100_000 {
        map.insert(key, [u64::MAX; 16]).unwrap();
    }
    scratch
}

#[test]
fn a_progress_bar_is_shown_on_a_terminal_and_is_gone_at_the_end() {
    let (source, copy, loaded) = (large(), Scratch::shm(), Scratch::shm());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump");
    let [source, copy, loaded] =
        [&source, &copy, &loaded].map(|scratch| scratch.segment().to_string());
    let file = file.to_str().unwrap();
    for (what, script, words, last) in [
        (
            "cp",
            "$0 cp $1 $2",
            [&*source, &copy],
            "100,000 entries copied",
        ),
        ("dump", "$0 dump $1 > $2", [&source, file], ""),
        (
            "dump",
            "$0 dump --format csv $1 > $2.csv",
            [&source, file],
            "",
        ),
        (
            "load",
            "$0 load --create $1 < $2",
            [&loaded, file],
            "100,000 entries loaded",
        ),
        // Of a pipe nobody knows how much is still to come.
        (
            "load",
            "cat $2 | $0 load $1",
            [&loaded, file],
            "100,000 entries loaded",
        ),
        ("check", "$0 check $1", [&source, ""], "sound"),
    ] {
        let mut session = Session::start_shell(script, &words);
        let status = session.end_restored();
        let raw = String::from_utf8_lossy(&session.raw).into_owned();
        assert!(status.success(), "{script}: {status}: {raw}");
        let is_pipe = script.starts_with("cat");
        let share = if is_pipe { "entries, " } else { " % " };
        for words in [&format!("{what} "), share, "entries, ", "/s"] {
            assert!(raw.contains(words), "{script}: no {words:?} in {raw:?}");
        }
        let left = session.contents();
        assert!(left.contains(last), "{script}: {left}");
        assert!(
            !left.contains(" left") && !left.contains(" % "),
            "{script}: the bar is gone at the end: {left}"
        );
    }
}

#[test]
fn a_dump_onto_the_terminal_is_not_drawn_over() {
    let scratch = large();
    let name = scratch.segment().to_string();
    let mut session = Session::start(&["dump", &name]);
    assert!(session.end_restored().success());
    let raw = String::from_utf8_lossy(&session.raw).into_owned();
    assert!(!raw.contains('\x1b') && !raw.contains(" % "), "no bar");
    // The description, the entries, and their number.
    assert_eq!(raw.lines().count(), 100_002);
}

#[test]
fn text_of_a_segment_does_nothing_to_the_terminal() {
    let scratch = Scratch::shm();
    let map: Map<u8, shmkv::Str<32>> = Map::builder()
        .capacity(10)
        .create(scratch.segment().clone())
        .unwrap();
    map.insert(
        1,
        shmkv::Str::new("\x1b[2J\x1b]0;owned\x07\u{9b}31m").unwrap(),
    )
    .unwrap();
    let name = scratch.segment().to_string();
    for words in [
        &["get", &name, "1"][..],
        &["get", "--raw", &name, "1"],
        &["dump", "--format", "csv", &name],
        &["scan", &name],
    ] {
        let mut session = Session::start(words);
        assert!(session.end_restored().success(), "{words:?}");
        let raw = String::from_utf8_lossy(&session.raw).into_owned();
        assert!(
            !raw.contains('\x1b') && !raw.contains('\u{9b}'),
            "{words:?}: {raw:?}"
        );
        assert!(raw.contains("owned"), "{words:?}: {raw:?}");
    }
}

/// A number of rows or columns.
fn cells(number: u16) -> std::num::NonZero<u16> {
    number.try_into().expect("a terminal has rows and columns")
}
