//! The terminal: taken at the start, restored however it ends.
//!
//! - The user quits, or an error ends the loop: `Drop` restores.
//! - A panic: the hook that ratatui installs restores before the message is printed.
//! - SIGTERM, SIGHUP, SIGINT, SIGQUIT: set a flag, which the loop sees within 50 ms.
//! - SIGBUS (a segment was shortened while we looked at it): nothing of ours can go on after that,
//!   so the handler itself restores, with system calls alone, and lets the signal have its way.

use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use ratatui::{DefaultTerminal, Frame};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::SIGBUS;

use crate::failure::Outcome;
use crate::interrupt::Interrupt;

pub(super) struct Screen {
    terminal: DefaultTerminal,
    interrupt: Interrupt,
}

/// How the terminal was before, for the handler of SIGBUS.
static BEFORE: OnceLock<Termios> = OnceLock::new();

/// Whether the terminal is ours at the moment, for the same.
static IS_TAKEN: AtomicI32 = AtomicI32::new(0);

impl Screen {
    pub(super) fn enter() -> io::Result<Self> {
        let interrupt = Interrupt::catch()?;
        let _ = BEFORE.set(tcgetattr(io::stdin())?);
        restore_on_bus_error()?;
        let terminal = ratatui::try_init()?;
        IS_TAKEN.store(1, Ordering::Relaxed);
        Ok(Self {
            terminal,
            interrupt,
        })
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// Fails once a signal has asked for the end.
    pub(super) fn check(&self) -> Outcome<()> {
        self.interrupt.check()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        IS_TAKEN.store(0, Ordering::Relaxed);
        // While a panic unwinds, the hook has done it already; twice is harmless.
        ratatui::restore();
        let _ = io::stdout().flush();
    }
}

fn restore_on_bus_error() -> io::Result<()> {
    let handler = || {
        const LEAVE: &[u8] = b"\x1b[?1049l\x1b[?25h";
        const MESSAGE: &[u8] = b"shmkv: a segment was shortened while it was being looked at\r\n";
        if IS_TAKEN.load(Ordering::Relaxed) != 0 {
            let _ = rustix::io::write(rustix::stdio::stdout(), LEAVE);
            if let Some(before) = BEFORE.get() {
                let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, before);
            }
        }
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
