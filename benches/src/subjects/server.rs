//! A server of another project, started for the comparison and killed after it.

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::workload::Workload;

/// A child process that listens on a Unix socket in a directory of its own.
pub struct Server {
    child: Child,
    directory: TempDir,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("pid", &self.child.id())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Starts `program`; `arguments` adds those that it needs to listen on the
    /// socket. Returns when the socket accepts a connection.
    ///
    /// # Errors
    /// The program is not installed, or does not listen within ten seconds.
    pub fn start(program: &str, arguments: impl FnOnce(&mut Command, &Path)) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("shmkv-benches-")
            .tempdir()?;
        let mut command = Command::new(program);
        command.current_dir(directory.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        arguments(&mut command, &directory.path().join("socket"));
        let server = Server {
            child: command.spawn()?,
            directory,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while UnixStream::connect(server.socket()).is_err() {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!(
                    "{program} does not listen on its socket"
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited by itself: then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Servers take part where a round trip, or a pipeline of them, is what is asked.
pub fn supports(workload: Workload) -> bool {
    matches!(
        workload,
        Workload::GetHit | Workload::GetZipf | Workload::GetMiss | Workload::Update
    )
}
