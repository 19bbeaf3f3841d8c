//! `shmkv gc`: removes what nobody needs any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use shmkv::process::Liveness as Life;
use shmkv::segment::SegmentId;
use shmkv::segment::SegmentOptions;
use shmkv::{DynMap, Segment};

use super::rm::names;
use crate::failure::{ExitStatus, Outcome, complain};
use crate::output::Output;
use crate::process::Mapped;
use crate::text::{self, one_line};

/// Removes segments of this user in /dev/shm and of System V whose creator and users are all dead,
/// and lock files without a segment. Without --yes it only says what it would do.
///
/// A segment is in use if its creator lives, if a writer is registered that lives or may live, if
/// a process has it mapped, or (where some of another user's processes cannot be looked at) might
/// have. Processes of root that cannot be looked at are taken to have no part in it. A segment
/// that is meant to stay while no process uses it should be a file: segment, which is never
/// touched unless its directory is given.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  shmkv gc\n  shmkv gc --yes --older-than 1d")]
pub(crate) struct Gc {
    /// Directories to look into as well.
    directories: Vec<PathBuf>,
    /// Remove them.
    #[arg(long)]
    yes: bool,
    /// Only say what would be removed (that is so unless --yes is given).
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Leave younger segments alone.
    #[arg(long, default_value = "1h", value_name = "TIME", value_parser = humantime::parse_duration)]
    older_than: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(crate) fn run(self) -> Outcome {
        let mut segments = Segment::list()?;
        for directory in &self.directories {
            segments.extend(Segment::list_directory(directory)?);
        }
        let mapped = Mapped::list()?;
        let mut output = Output::new();
        let mut removed: Vec<Value> = Vec::new();
        let mut kept: Vec<Value> = Vec::new();
        for segment in segments {
            let name = segment.to_string();
            match self.reason_to_keep(&segment, &mapped) {
                None => {}
                Some(Err(reason)) => kept.push(json!({"name": name, "reason": reason})),
                Some(Ok(bytes)) => {
                    if self.yes && !attempt(segment.remove(), &name) {
                        continue;
                    }
                    removed.push(json!({"name": name, "bytes": bytes}));
                }
            }
        }
        let lock_files = match self.yes {
            true => Segment::remove_orphaned_lock_files()?,
            false => Segment::orphaned_lock_files()?,
        };
        removed.extend(
            lock_files
                .iter()
                .map(|path| json!({"name": path.to_string_lossy(), "bytes": 0})),
        );
        if self.json {
            let document = json!({"dry_run": !self.yes, "removed": removed, "kept": kept});
            output.document(&document)?;
        } else {
            self.print(&mut output, &removed, &kept)?;
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }

    fn print(&self, output: &mut Output, removed: &[Value], kept: &[Value]) -> Outcome<()> {
        let text = |value: &Value, name: &str| {
            let text = value[name].as_str().unwrap_or_default();
            one_line(text).into_owned()
        };
        let verb = if self.yes { "removed" } else { "would remove" };
        for it in removed {
            let bytes = text::bytes(it["bytes"].as_u64().unwrap_or(0));
            output.text(&format!("{verb} {} ({bytes})\n", text(it, "name")))?;
        }
        for it in kept {
            let (name, reason) = (text(it, "name"), text(it, "reason"));
            output.text(&format!("kept {name}: {reason}\n"))?;
        }
        if !self.yes && !removed.is_empty() {
            output.text("nothing was removed: say --yes to do it\n")?;
        }
        Ok(())
    }

    /// Whether a segment may go (and how large it is), or why it may not. `None` if it is none
    /// of ours to judge, or gone.
    fn reason_to_keep(&self, segment: &Segment, mapped: &Mapped) -> Option<Result<u64, String>> {
        let metadata = segment.metadata().ok()?;
        let own = rustix::process::geteuid();
        if !own.is_root() && metadata.uid != own.as_raw() {
            return None;
        }
        let opened = DynMap::builder()
            .segment_options(SegmentOptions::new().any_owner())
            .open_read_only(segment.clone());
        let map = match opened {
            Ok(map) => map,
            Err(error) => {
                return Some(Err(format!(
                    "it cannot be read ({error}); `shmkv rm --force` removes it"
                )));
            }
        };
        let age = text::age(map.header().created_at());
        if age < self.older_than {
            return Some(Err(format!("it is only {} old", text::duration(age))));
        }
        let mut writers = map.participants();
        writers.retain(|writer| writer.owner.liveness() != Life::Dead);
        if !writers.is_empty() {
            return Some(Err(format!("it is in use by {}", names(&writers))));
        }
        let creator = map.header().creator_pid();
        if map.header().created_this_boot() != Some(false) && lived_at(creator, age) {
            return Some(Err(format!("its creator lives, process {creator}")));
        }
        // Our own mapping would be found among the others.
        let len = map.header().total_len();
        drop(map);
        if let SegmentId::SysV { .. } = metadata.identity {
            return Some(match metadata.attached {
                Some(0) => Ok(len),
                Some(attached) => Err(format!("it is attached {attached} times")),
                None => Err("nobody knows whether it is attached".to_owned()),
            });
        }
        let users = mapped.users(metadata.identity, path(segment).as_deref());
        if let [first, ..] = users[..] {
            let more = users.len() - 1;
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            return Some(Err(format!("process {first}{more} has it mapped")));
        }
        if mapped.may_be_hidden(metadata.uid, metadata.mode) {
            return Some(Err(
                "processes of other users might use it, and cannot be looked at: ask root"
                    .to_owned(),
            ));
        }
        Some(Ok(len))
    }
}

fn path(segment: &Segment) -> Option<PathBuf> {
    match segment {
        Segment::Shm(name) => Some(Path::new("/dev/shm").join(name.as_str())),
        Segment::File(path) => Some(path.as_path().to_owned()),
        _ => None,
    }
}

/// Whether the process with this id is old enough to be the one that created a segment of this
/// age. (A process of another pid namespace cannot be seen; its writers and mappings are.)
fn lived_at(pid: u32, age: Duration) -> bool {
    let Some(started) = started(pid) else {
        return false;
    };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    // Two seconds for what is rounded on the way.
    started <= now.saturating_sub(age) + Duration::from_secs(2)
}

/// When a process started, counted from boot; `None` if there is no such process.
fn started(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: u64 = fields.split_ascii_whitespace().nth(19)?.parse().ok()?;
    Some(Duration::from_secs(
        ticks / rustix::param::clock_ticks_per_second().max(1),
    ))
}

fn attempt(result: Result<(), shmkv::segment::SegmentError>, name: &str) -> bool {
    if let Err(error) = &result {
        complain(&format!("{name}: {error}"));
    }
    result.is_ok()
}
