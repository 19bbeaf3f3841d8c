//! How a command ends: what it says, and with which exit code.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use shmkv::dynamic::DynError;
use shmkv::process::RegisterError;
use shmkv::segment::SegmentError;
use shmkv::{OpenError, Segment};

use crate::text::escape;

/// A command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Nothing to complain about: exit code 0.
    Fine,
    /// It found what it looks for (`check`), or did not find what was asked for (`get`): exit
    /// code 1.
    Found,
}

/// A command that could not run, or not to its end: exit code 2.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our output has seen enough. That is no error.
    BrokenPipe,
    /// What to tell the user.
    Message(String),
    /// The user has been told already.
    Said,
    /// This signal asked for the end, and everything is in order.
    Interrupted(i32),
}

pub(crate) type Outcome<T = ExitStatus> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    /// An error about a segment, which is named once.
    pub(crate) fn about(segment: &Segment, error: impl Display) -> Self {
        let (name, message) = (segment.to_string(), error.to_string());
        match message.contains(&name) {
            true => Self::Message(message),
            false => Self::Message(format!("{name}: {message}")),
        }
    }

    /// An error of opening, with advice for a command line instead of a program.
    pub(crate) fn opening(segment: &Segment, error: OpenError) -> Self {
        match error {
            OpenError::Segment(error) => Self::segment(error),
            error => Self::about(segment, error),
        }
    }

    /// Likewise.
    pub(crate) fn segment(error: SegmentError) -> Self {
        match error {
            SegmentError::ForeignOwner {
                segment,
                expected,
                found,
            } => Self::Message(format!(
                "{segment} belongs to uid {found}, not to uid {expected} who runs this: if that \
                 user is to be trusted with it, say --any-owner"
            )),
            SegmentError::NotFound { segment } => Self::Message(format!(
                "{segment} does not exist: `shmkv ls` shows what does, `shmkv create` makes a new one"
            )),
            SegmentError::AlreadyExists { segment } => Self::Message(format!(
                "{segment} exists already: choose another name, or remove it first with `shmkv rm`"
            )),
            error => Self::Message(error.to_string()),
        }
    }

    /// Tells the user; the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::BrokenPipe => ExitCode::SUCCESS,
            Self::Said => ExitCode::from(2),
            Self::Interrupted(signal) => {
                // As if we had not caught it: whoever waits for us sees what it was.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
                ExitCode::from(2)
            }
            Self::Message(message) => {
                complain(&message);
                ExitCode::from(2)
            }
        }
    }
}

/// Says something on stderr. If nobody can hear it, so be it.
pub(crate) fn complain(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr().lock(), "shmkv: {}", escape(message));
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Fine => Self::SUCCESS,
            ExitStatus::Found => Self::from(1),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::BrokenPipe,
            _ => Self::Message(error.to_string()),
        }
    }
}

impl From<csv::Error> for Failure {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            other => Self::Message(format!("{other:?}")),
        }
    }
}

impl From<SegmentError> for Failure {
    fn from(error: SegmentError) -> Self {
        Self::segment(error)
    }
}

impl From<DynError> for Failure {
    fn from(error: DynError) -> Self {
        Self::Message(error.to_string())
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        Self::Message(error.to_string())
    }
}
