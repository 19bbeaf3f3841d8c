//! The parent: starts the workers, replaces those that die, and cleans up.
//!
//! It has one thread and does nothing else, so it can fork at any time. Even the clients
//! of a drive are a child of its own.

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};

use crate::child::Child;
use crate::drive::Drive;
use crate::signals::{Event, Signals};
use crate::worker::Server;

/// A worker that dies sooner than this is not replaced sooner than this.
const RESTART_INTERVAL: Duration = Duration::from_millis(50);

/// Exit code of a drive that did not come to its end.
const INTERRUPTED: u8 = 2;

struct Supervisor<'a> {
    server: &'a Server,
    signals: &'a Signals,
    workers: Vec<Worker>,
    driver: Option<Child>,
}

struct Worker {
    child: Child,
    started: Instant,
}

/// Runs until the drive is over, or (without one) until a signal asks for the end. Whatever
/// the result, there is no child left afterwards.
pub(crate) fn run(
    server: &Server,
    workers: u16,
    drive: Option<&Drive>,
    signals: &Signals,
) -> io::Result<ExitCode> {
    let mut supervisor = Supervisor {
        server,
        signals,
        workers: Vec::new(),
        driver: None,
    };
    for index in 0..workers {
        let worker = supervisor.start_worker(index)?;
        supervisor.workers.push(worker);
    }
    if let Some(drive) = drive {
        let driver = supervisor.fork(|| drive.run(server))?;
        supervisor.driver = Some(driver);
    }
    supervisor.supervise().map(ExitCode::from)
}

impl Supervisor<'_> {
    /// Forks a child that ends at the signals that its parent waits for.
    fn fork(&self, work: impl FnOnce() -> u8) -> io::Result<Child> {
        Child::fork(|| match self.signals.release() {
            Ok(()) => work(),
            Err(_) => INTERRUPTED,
        })
    }

    fn start_worker(&self, index: u16) -> io::Result<Worker> {
        Ok(Worker {
            child: self.fork(|| self.server.work(index))?,
            started: Instant::now(),
        })
    }

    fn supervise(&mut self) -> io::Result<u8> {
        let is_drive = self.driver.is_some();
        loop {
            match self.signals.wait()? {
                Event::Stop if is_drive => return Ok(INTERRUPTED),
                Event::Stop => return Ok(0),
                Event::Child => {}
            }
            while let Some((pid, status)) = ended_child()? {
                if self.driver.as_ref().is_some_and(|it| it.pid() == pid) {
                    self.driver = None;
                    let code = status.exit_status();
                    return Ok(code
                        .and_then(|code| u8::try_from(code).ok())
                        .unwrap_or(INTERRUPTED));
                }
                self.replace_worker(pid, status)?;
            }
        }
    }

    fn replace_worker(&mut self, pid: Pid, status: WaitStatus) -> io::Result<()> {
        let Some(index) = self.workers.iter().position(|it| it.child.pid() == pid) else {
            // A child that this process had before it became this program.
            return Ok(());
        };
        let how = match (status.terminating_signal(), status.exit_status()) {
            (Some(signal), _) => format!("was killed by signal {signal}"),
            (_, code) => format!("ended with code {}", code.unwrap_or(-1)),
        };
        let pause = RESTART_INTERVAL.saturating_sub(self.workers[index].started.elapsed());
        std::thread::sleep(pause);
        // Indexes of workers were 16 bits wide from the start.
        self.workers[index] = self.start_worker(index as u16)?;
        let successor = self.workers[index].child.pid();
        eprintln!("prefork: worker {index} ({pid}) {how}, {successor} takes its place");
        Ok(())
    }
}

/// A child that has exited and was not waited for yet.
fn ended_child() -> io::Result<Option<(Pid, WaitStatus)>> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(ended) => return Ok(ended),
            Err(rustix::io::Errno::CHILD) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Drop for Supervisor<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.driver.take() {
            child.end();
        }
        for worker in self.workers.drain(..) {
            worker.child.end();
        }
    }
}
