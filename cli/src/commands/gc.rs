//! `shmkv gc`: removes what nobody needs any more.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::{Value, json};
use shmkv::process::Liveness as Life;
use shmkv::segment::{OpenState, SegmentId};
use shmkv::segment::{SegmentError, SegmentMetadata, SegmentOptions};
use shmkv::{DynMap, Segment};

use super::rm::names;
use crate::advice;
use crate::failure::{ExitStatus, Outcome, complain};
use crate::output::Output;
use crate::process::{self, Mapped};
use crate::text::{self, one_line};

/// Removes segments in /dev/shm and of System V that nobody uses, and what killed creators have
/// left. Without --yes it only says what it would do.
///
/// Only what belongs to this user is removed; if root runs this, what belongs to any user. A
/// segment is in use if a process has it open (the kernel is asked, so processes of other
/// namespaces and containers count), if a writer is registered that lives or may live, or if the
/// process lives that created it. What cannot be judged is kept, and the reason is said.
///
/// A creator that is killed may leave a file with a temporary name, a System V segment that is not
/// complete, or a lock file without a segment: they go as well, once they are old enough.
///
/// A segment that is meant to stay while no process uses it should be a file: segment, which is
/// never touched unless its directory is given.
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

/// Something that could be removed.
enum Candidate {
    /// A segment.
    Segment(Segment),
    /// A file of a creation that is not complete, under its temporary name.
    Temporary(Segment),
    /// A System V segment whose creation is not complete.
    Unfinished(Segment),
    /// A lock file of a System V segment that is gone.
    LockFile(Segment),
}

/// What to do with one of them.
enum Judgement {
    Keep(String),
    Remove {
        bytes: u64,
        uid: u32,
    },
    /// It is gone.
    Vanished,
}

const SHM: &str = "/dev/shm";

impl Gc {
    pub(crate) fn run(self) -> Outcome {
        let mut output = Output::new();
        let (mut removed, mut kept) = (Vec::new(), Vec::new());
        let mapped = Mapped::look();
        for candidate in self.candidates(&mut kept)? {
            let segment = candidate.segment();
            let name = segment.to_string();
            match self.judge(&candidate, &mapped) {
                Judgement::Vanished => {}
                Judgement::Keep(reason) => kept.push(json!({"name": name, "reason": reason})),
                Judgement::Remove { bytes, uid } => {
                    if self.yes && !attempt(segment.remove(), &name) {
                        continue;
                    }
                    removed.push(json!({
                        "name": name, "bytes": bytes, "owner": process::user(uid), "uid": uid,
                        "what": candidate.what(),
                    }));
                }
            }
        }
        if self.json {
            let document = json!({"dry_run": !self.yes, "removed": removed, "kept": kept});
            output.document(&document)?;
        } else {
            self.print(&mut output, &removed, &kept)?;
        }
        output.flush()?;
        Ok(ExitStatus::Fine)
    }

    /// All that there is. What cannot be listed is told among what is kept.
    fn candidates(&self, kept: &mut Vec<Value>) -> Outcome<Vec<Candidate>> {
        let mut segments = Segment::list()?;
        let mut found = Vec::new();
        for directory in &self.directories {
            segments.extend(Segment::list_directory(directory)?);
        }
        found.extend(segments.into_iter().map(Candidate::Segment));
        let directories = [Path::new(SHM)]
            .into_iter()
            .chain(self.directories.iter().map(PathBuf::as_path));
        for directory in directories {
            found.extend(temporary(directory).into_iter().map(Candidate::Temporary));
        }
        match Segment::list_unfinished() {
            Ok(segments) => found.extend(segments.into_iter().map(Candidate::Unfinished)),
            Err(error) => kept.push(json!({
                "name": "System V segments", "reason": format!("they cannot be listed: {error}"),
            })),
        }
        match Segment::orphaned_lock_files() {
            Ok(paths) => {
                let files = paths.iter().filter_map(|path| Segment::file(path).ok());
                found.extend(files.map(Candidate::LockFile));
            }
            Err(error) => {
                kept.push(json!({"name": "lock files", "reason": error.to_string()}));
            }
        }
        Ok(found)
    }

    fn print(&self, output: &mut Output, removed: &[Value], kept: &[Value]) -> Outcome<()> {
        let text = |value: &Value, name: &str| {
            let text = value[name].as_str().unwrap_or_default();
            one_line(text).into_owned()
        };
        let verb = if self.yes { "removed" } else { "would remove" };
        for it in removed {
            let bytes = text::bytes(it["bytes"].as_u64().unwrap_or(0));
            let (name, what, owner) = (text(it, "name"), text(it, "what"), text(it, "owner"));
            let what = match &*what {
                "segment" => String::new(),
                what => format!("{what}, "),
            };
            output.prose(&format!("{verb} {name} ({what}{bytes}, of {owner})\n"))?;
        }
        for it in kept {
            let (name, reason) = (text(it, "name"), text(it, "reason"));
            output.prose(&format!("kept {name}: {reason}\n"))?;
        }
        if !self.yes && !removed.is_empty() {
            output.text("nothing was removed: say --yes to do it\n")?;
        }
        Ok(())
    }

    fn judge(&self, candidate: &Candidate, mapped: &Mapped) -> Judgement {
        let segment = candidate.segment();
        let metadata = match segment.metadata() {
            Ok(metadata) => metadata,
            Err(SegmentError::NotFound { .. }) => return Judgement::Vanished,
            Err(error) => return Judgement::Keep(error.to_string()),
        };
        let own = rustix::process::geteuid();
        if !own.is_root() && metadata.uid != own.as_raw() {
            let owner = process::user(metadata.uid);
            return Judgement::Keep(format!("it belongs to {owner}"));
        }
        let reason = match candidate {
            Candidate::Segment(segment) => self.why_keep_segment(segment),
            Candidate::Unfinished(segment) => why_keep_unfinished(segment),
            Candidate::Temporary(_) | Candidate::LockFile(_) => self.why_keep_file(&metadata),
        };
        // Last, and right before the removal.
        match reason.or_else(|| why_in_use(segment, &metadata, mapped)) {
            Some(reason) => Judgement::Keep(reason),
            None => Judgement::Remove {
                bytes: metadata.len,
                uid: metadata.uid,
            },
        }
    }

    fn why_keep_segment(&self, segment: &Segment) -> Option<String> {
        let opened = DynMap::builder()
            .segment_options(SegmentOptions::new().any_owner())
            .open_read_only(segment.clone());
        let map = match opened {
            Ok(map) => map,
            Err(error) => {
                return Some(format!(
                    "it cannot be read ({})",
                    advice::message(segment, &error)
                ));
            }
        };
        let age = text::age(map.header().created_at());
        if let Some(reason) = self.why_too_young(age) {
            return Some(reason);
        }
        let mut writers = map.participants();
        writers.retain(|writer| writer.owner.liveness() != Life::Dead);
        if !writers.is_empty() {
            return Some(format!("it is in use by {}", names(&writers)));
        }
        // An earlier boot's numbers mean nothing.
        match map.header().created_this_boot() {
            Some(false) => None,
            _ => why_creator_may_live(map.header().creator_pid(), age),
        }
    }

    fn why_keep_file(&self, metadata: &SegmentMetadata) -> Option<String> {
        let changed = [metadata.changed, metadata.modified];
        match changed.into_iter().flatten().max() {
            Some(then) => self.why_too_young(text::age(then)),
            None => Some("nobody can tell how old it is".to_owned()),
        }
    }

    fn why_too_young(&self, age: Duration) -> Option<String> {
        (age < self.older_than).then(|| format!("it is only {} old", text::duration(age)))
    }
}

impl Candidate {
    fn segment(&self) -> &Segment {
        match self {
            Self::Segment(segment)
            | Self::Temporary(segment)
            | Self::Unfinished(segment)
            | Self::LockFile(segment) => segment,
        }
    }

    fn what(&self) -> &'static str {
        match self {
            Self::Segment(_) => "segment",
            Self::Temporary(_) | Self::Unfinished(_) => "left by a creator that was killed",
            Self::LockFile(_) => "lock file without a segment",
        }
    }
}

/// Files of creations in a directory. One that cannot be read has been complained about.
fn temporary(directory: &Path) -> Vec<Segment> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Segment::file(entry.ok()?.path()).ok())
        .filter(Segment::has_temporary_name)
        .collect()
}

/// A System V segment is left over if the library says so, which asks who created it.
fn why_keep_unfinished(segment: &Segment) -> Option<String> {
    let options = SegmentOptions::new()
        .any_owner()
        .creation_timeout(Duration::ZERO);
    let opened = DynMap::builder()
        .segment_options(options)
        .open_read_only(segment.clone());
    match opened {
        Err(shmkv::OpenError::Segment(SegmentError::Abandoned { .. })) => None,
        _ => Some("its creation may be under way".to_owned()),
    }
}

/// Why a process may have it open, if one may.
fn why_in_use(segment: &Segment, metadata: &SegmentMetadata, mapped: &Mapped) -> Option<String> {
    let users = mapped.users(metadata.identity, path(segment).as_deref());
    let state = match segment.open_state() {
        Ok(state) => state,
        Err(SegmentError::PermissionDenied { .. }) => OpenState::Unknown,
        Err(error) => return Some(error.to_string()),
    };
    match (state, metadata.identity) {
        (OpenState::Closed, _) => None,
        (OpenState::Open, SegmentId::SysV { .. }) => Some("it is attached".to_owned()),
        (_, _) if !users.is_empty() => Some(format!("it is open in {}", process::list(&users))),
        (OpenState::Open, _) => {
            Some("a process has it open; which one cannot be seen from here".to_owned())
        }
        (_, _) => mapped
            .why_incomplete(metadata.uid, metadata.mode)
            .map(|why| format!("a process may have it open: {why}")),
    }
}

fn path(segment: &Segment) -> Option<PathBuf> {
    match segment {
        Segment::Shm(name) => Some(Path::new(SHM).join(name.as_str())),
        Segment::File(path) => Some(path.as_path().to_owned()),
        _ => None,
    }
}

/// Why the creator of a segment of this age may live, if it may. (One of another pid namespace cannot
/// be found by its number; if it has the segment open, the kernel says so.)
fn why_creator_may_live(pid: u32, age: Duration) -> Option<String> {
    match process::started(pid) {
        process::Started::NoProcess => None,
        process::Started::At(when) if is_later(when, age) => None,
        // Not by name: its creator may have had this number in another pid namespace.
        process::Started::At(_) => Some(format!(
            "a process with the number of its creator lives, {pid}"
        )),
        process::Started::Unknown => Some(format!(
            "process {pid} may have created it, and /proc does not say when that began"
        )),
    }
}

/// Whether a process that started then is too young to have created what has this age.
fn is_later(started: SystemTime, age: Duration) -> bool {
    // Two seconds for what is rounded on the way.
    let Some(created) = SystemTime::now().checked_sub(age) else {
        return false;
    };
    started > created + Duration::from_secs(2)
}

fn attempt(result: Result<(), SegmentError>, name: &str) -> bool {
    if let Err(error) = &result {
        complain(&format!("{name}: {error}"));
    }
    result.is_ok()
}
