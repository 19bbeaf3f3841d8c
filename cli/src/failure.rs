//! How a command ends: what it says, and with which exit code.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use shmkv::dynamic::DynError;
use shmkv::process::RegisterError;
use shmkv::segment::SegmentError;
use shmkv::{OpenError, Segment};

use crate::advice::{self, Advice};
use crate::text::{escape, wrap};

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

    /// An error about a segment, with what to do next.
    pub(crate) fn about(segment: &Segment, error: impl Advice) -> Self {
        Self::Message(advice::message(segment, &error))
    }

    /// An error of opening, likewise.
    pub(crate) fn opening(segment: &Segment, error: OpenError) -> Self {
        Self::about(segment, error)
    }

    /// An error that names its segment itself.
    pub(crate) fn segment(error: SegmentError) -> Self {
        Self::Message(match named_by(&error) {
            Some(segment) => error.advise(&advice::in_shell(segment)),
            None => error.advise(NO_NAME),
        })
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
    let message = format!("shmkv: {}", escape(message));
    let columns = match io::stderr().is_terminal() {
        true => rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col.into()),
        false => 0,
    };
    let _ = writeln!(io::stderr().lock(), "{}", wrap(&message, columns));
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
        Self::Message(error.advise(NO_NAME))
    }
}

impl From<RegisterError> for Failure {
    fn from(error: RegisterError) -> Self {
        Self::Message(error.advise(NO_NAME))
    }
}

/// Stands where the name of the segment is not known.
const NO_NAME: &str = "SEGMENT";

/// The segment that an error is about, if it says so.
fn named_by(error: &SegmentError) -> Option<&Segment> {
    match error {
        SegmentError::AlreadyExists { segment }
        | SegmentError::NotFound { segment }
        | SegmentError::PermissionDenied { segment, .. }
        | SegmentError::NotRegular { segment, .. }
        | SegmentError::ForeignOwner { segment, .. }
        | SegmentError::TooSmall { segment, .. }
        | SegmentError::TooLarge { segment, .. }
        | SegmentError::OddLength { segment, .. }
        | SegmentError::NoSpace { segment, .. }
        | SegmentError::Holes { segment, .. }
        | SegmentError::NotReady { segment, .. }
        | SegmentError::Abandoned { segment, .. }
        | SegmentError::Incoherent { segment, .. }
        | SegmentError::NotCurrent { segment, .. }
        | SegmentError::DescriptorAccess { segment, .. }
        | SegmentError::Unstable { segment }
        | SegmentError::Unsupported { segment, .. } => Some(segment),
        _ => None,
    }
}
