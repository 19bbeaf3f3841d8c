//! The terminal: taken at the start, restored however it ends.
//!
//! - The user quits, or an error ends the loop: `Drop` restores.
//! - A panic: the hook that ratatui installs restores before the message is printed.
//! - SIGTERM, SIGHUP, SIGINT, SIGQUIT: set a flag, which the loop sees within 50 ms. Should
//!   it be stuck (the terminal takes no output any more), another thread restores and ends.
//! - The terminal is closed: that ends the loop like SIGHUP.
//! - SIGBUS (a segment was shortened while we looked at it): nothing of ours can go on after that,
//!   so the handler itself restores, with system calls alone, and lets the signal have its way.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use ratatui::{DefaultTerminal, Frame};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGBUS, SIGHUP};

use super::keys::{Action, Keys};
use crate::failure::{Failure, Outcome};
use crate::hangup::Streams;
use crate::interrupt::Interrupt;

pub(super) struct Screen {
    terminal: DefaultTerminal,
    interrupt: Interrupt,
    streams: Streams,
    keys: Keys,
    /// Rows and columns when it was last looked.
    size: (u16, u16),
}

/// How the terminal was before, for the handler of SIGBUS.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// Whether the terminal is ours at the moment, for the same.
static IS_TAKEN: AtomicI32 = AtomicI32::new(0);

impl Screen {
    pub(super) fn enter(streams: Streams) -> io::Result<Self> {
        let interrupt = Interrupt::catch_or_end(leave_if_possible)?;
        let _ = BEFORE.set(tcgetattr(io::stdin())?);
        restore_on_bus_error()?;
        let terminal = ratatui::try_init()?;
        IS_TAKEN.store(1, Ordering::Relaxed);
        Ok(Self {
            terminal,
            interrupt,
            streams,
            keys: Keys::default(),
            size: size(),
        })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// Forgets what is on the screen, so that all of it is drawn anew.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        // Not `clear`, which asks the terminal where its cursor is and reads our keys for the answer.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// What the user wants, within this time. Fails once a signal has asked for the end, or the
    /// terminal is gone.
    pub(super) fn actions(&mut self, wait: Duration) -> Outcome<Vec<Action>> {
        self.interrupt.check()?;
        let mut actions = match self.streams.wait_for_input(wait)? {
            true => {
                let mut bytes = [0; 256];
                let read = match rustix::io::read(io::stdin(), &mut bytes) {
                    Ok(0) | Err(Errno::IO) => return Err(Failure::Interrupted(SIGHUP)),
                    Ok(read) => read,
                    Err(Errno::INTR | Errno::AGAIN) => 0,
                    Err(error) => return Err(io::Error::from(error).into()),
                };
                self.keys.read(&bytes[..read])
            }
            false => self.keys.rest().into_iter().collect(),
        };
        self.interrupt.check()?;
        let now = size();
        if now != self.size {
            self.size = now;
            actions.push(Action::Redraw);
        }
        Ok(actions)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        IS_TAKEN.store(0, Ordering::Relaxed);
        // While a panic unwinds, the hook has done it already; twice is harmless. Nothing can be
        // done if the terminal is gone.
        let _ = ratatui::try_restore();
        let _ = io::stdout().flush();
    }
}

/// Rows and columns; zeros if the terminal does not know.
fn size() -> (u16, u16) {
    tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_row, size.ws_col))
}

/// Gives the terminal back with system calls alone.
fn leave() {
    const LEAVE: &[u8] = b"\x1b[?1049l\x1b[?25h";
    if IS_TAKEN.load(Ordering::Relaxed) == 0 {
        return;
    }
    // First what cannot block.
    if let Some(before) = BEFORE.get() {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
    }
    let _ = rustix::io::write(rustix::stdio::stdout(), LEAVE);
}

/// As [`leave`], but does not wait for a terminal that takes nothing.
fn leave_if_possible() {
    let (done, is_done) = channel();
    let leaving = thread::Builder::new().spawn(move || {
        leave();
        let _ = done.send(());
    });
    if leaving.is_ok() {
        let _ = is_done.recv_timeout(Duration::from_millis(200));
    }
}

fn restore_on_bus_error() -> io::Result<()> {
    let handler = || {
        const MESSAGE: &[u8] = b"shmkv: a segment was shortened while it was being looked at\r\n";
        leave();
        let _ = rustix::io::write(rustix::stdio::stderr(), MESSAGE);
        // Does not come back.
        let _ = signal_hook::low_level::emulate_default_handler(SIGBUS);
    };
    // SAFETY: the handler does nothing but system calls, loads of atomics, and reading a value
    // that was set before the handler was installed: all of it is async-signal-safe.
    #[expect(unsafe_code, reason = "a handler must be async-signal-safe")]
    unsafe {
        signal_hook::low_level::register(SIGBUS, handler)?;
    }
    Ok(())
}
