//! Who is who: names of processes and users, and who has a segment mapped.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::unistd::{Gid, Group, Uid, User};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use rustix::time::{ClockId, clock_gettime};
use shmkv::process::{Liveness as Life, OwnerInfo};
use shmkv::segment::SegmentId;

use crate::text::one_line;

/// The name of the program that an owner runs. Only of one that lives in our own pid namespace: its
/// number means another process here otherwise, or none.
pub(crate) fn program(owner: &OwnerInfo) -> Option<String> {
    match is_of_our_pid_namespace(owner) {
        Some(true) if owner.liveness() == Life::Alive => command(owner.pid()?),
        _ => None,
    }
}

/// Who an owner is, for people.
pub(crate) fn who(owner: &OwnerInfo) -> String {
    let Some(pid) = owner.pid() else {
        return "a process that is not on record".to_owned();
    };
    match (is_of_our_pid_namespace(owner), program(owner)) {
        (_, Some(program)) => format!("{program} (process {pid})"),
        (Some(true), None) if owner.liveness() == Life::Unknown => {
            format!("process {pid}, which may be alive or dead")
        }
        (Some(true), None) => format!("process {pid}"),
        (Some(false), _) => format!("a process of another pid namespace (number {pid} there)"),
        (None, _) => format!("a process of an unknown pid namespace (number {pid} there)"),
    }
}

/// Whether the number of an owner means here what it means to it. `None` if that cannot be told.
pub(crate) fn is_of_our_pid_namespace(owner: &OwnerInfo) -> Option<bool> {
    Some(owner.pid_namespace()? == own_pid_namespace()?)
}

fn own_pid_namespace() -> Option<u32> {
    let inode = fs::metadata("/proc/thread-self/ns/pid").ok()?.ino();
    u32::try_from(inode).ok()
}

/// Whether /proc shows the numbers of our own pid namespace. (One that was not mounted anew in a new
/// namespace shows another one's.)
fn proc_is_ours() -> bool {
    let own = fs::read_link("/proc/self").ok();
    own.and_then(|own| own.to_str()?.parse().ok()) == Some(std::process::id())
}

/// The name of the program of a process of our pid namespace.
fn command(pid: u32) -> Option<String> {
    if !proc_is_ours() {
        return None;
    }
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name);
    Some(one_line(name.trim_end_matches('\n')).into_owned())
}

/// The name of a user, or the number.
pub(crate) fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => one_line(&user.name).into_owned(),
        _ => uid.to_string(),
    }
}

/// The name of a group, or the number.
pub(crate) fn group(gid: u32) -> String {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(Some(group)) => one_line(&group.name).into_owned(),
        _ => gid.to_string(),
    }
}

/// The number of a user who is given by name or number.
pub(crate) fn uid_of(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(uid) => Ok(uid),
        Err(_) => match User::from_name(text) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            _ => Err(format!("there is no user {text:?}")),
        },
    }
}

/// The number of a group that is given by name or number.
pub(crate) fn gid_of(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(gid) => Ok(gid),
        Err(_) => match Group::from_name(text) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            _ => Err(format!("there is no group {text:?}")),
        },
    }
}

/// When a process of our pid namespace started.
pub(crate) enum Started {
    /// nothing is there with this number.
    NoProcess,
    At(SystemTime),
    /// There is one, or there may be, and /proc does not tell.
    Unknown,
}

pub(crate) fn started(pid: u32) -> Started {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Started::Unknown;
    };
    if test_kill_process(id) == Err(Errno::SRCH) {
        return Started::NoProcess;
    }
    let ticks = match proc_is_ours() {
        true => fs::read_to_string(format!("/proc/{pid}/stat"))
            .ok()
            .and_then(|stat| start_ticks(&stat)),
        false => None,
    };
    let Some(ticks) = ticks else {
        return Started::Unknown;
    };
    let since_boot = Duration::from_secs(ticks / rustix::param::clock_ticks_per_second().max(1));
    let now = clock_gettime(ClockId::Boottime);
    let now = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    match SystemTime::now().checked_sub(now.saturating_sub(since_boot)) {
        Some(then) => Started::At(then),
        None => Started::Unknown,
    }
}

/// Field 22 of a line of /proc/PID/stat.
fn start_ticks(stat: &str) -> Option<u64> {
    // The name of the program, in parentheses, may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// The processes that can be seen from here, by number and, if it can be had, by name.
pub(crate) fn list(pids: &[u32]) -> String {
    const SHOWN: usize = 4;
    if !proc_is_ours() {
        return "a process of another pid namespace".to_owned();
    }
    let name = |pid: &u32| match command(*pid) {
        Some(command) => format!("{command} (process {pid})"),
        None => format!("process {pid}"),
    };
    let mut names: Vec<String> = pids.iter().take(SHOWN).map(name).collect();
    if pids.len() > SHOWN {
        names.push(format!("{} more", pids.len() - SHOWN));
    }
    names.join(", ")
}

/// What the processes of this machine have mapped, as far as this user may see it.
pub(crate) struct Mapped {
    /// Process, device, inode, path.
    files: Vec<(u32, u64, u64, String)>,
    /// Users whose processes did not let us look.
    hidden: Vec<u32>,
    /// Why there may be processes that we did not see at all.
    unseen: Option<&'static str>,
}

/// Why /proc does not show all processes of the machine, if it does not.
fn unseen_processes() -> Option<&'static str> {
    /// The inode of the first pid namespace (`PROC_PID_INIT_INO` in the kernel): all
    /// processes are in it or below it.
    const FIRST: u32 = 0xEFFF_FFFC;
    if own_pid_namespace().is_none() {
        return Some("/proc cannot be read");
    }
    if own_pid_namespace() != Some(FIRST) || !proc_is_ours() {
        return Some("processes outside of this pid namespace cannot be seen from here");
    }
    // Every machine has it, and `hidepid` hides it from all but root.
    if fs::metadata("/proc/1").is_err() {
        return Some("/proc hides the processes of other users");
    }
    None
}

impl Mapped {
    /// Looks at all processes.
    pub(crate) fn look() -> Self {
        let mut found = Self {
            files: Vec::new(),
            hidden: Vec::new(),
            unseen: unseen_processes(),
        };
        let Ok(entries) = fs::read_dir("/proc") else {
            return found;
        };
        for entry in entries {
            let Ok(entry) = entry else {
                found.unseen = Some("/proc cannot be read to its end");
                continue;
            };
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match fs::read_to_string(entry.path().join("maps")) {
                Ok(maps) => found.add(pid, &maps),
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    if let Ok(metadata) = entry.metadata() {
                        found.hidden.push(metadata.uid());
                    }
                }
                // The process is gone meanwhile.
                Err(_) => {}
            }
        }
        found
    }

    /// Why a process may have mapped what has this owner and mode though it is not among the
    /// [`users`](Self::users); `None` if all were seen.
    pub(crate) fn why_incomplete(&self, uid: u32, mode: u32) -> Option<&'static str> {
        let others = "processes of other users cannot be looked at: ask root";
        self.unseen
            .or_else(|| self.may_be_hidden(uid, mode).then_some(others))
    }

    fn add(&mut self, pid: u32, maps: &str) {
        for line in maps.lines() {
            let mut fields = line.split_ascii_whitespace().skip(3);
            let (Some(device), Some(inode)) = (fields.next(), fields.next()) else {
                continue;
            };
            let Some((major, minor)) = device.split_once(':') else {
                continue;
            };
            let number = |text| u32::from_str_radix(text, 16).ok();
            let (Some(major), Some(minor)) = (number(major), number(minor)) else {
                continue;
            };
            let Ok(inode @ 1..) = inode.parse() else {
                continue;
            };
            let path = line.find('/').map_or("", |at| &line[at..]);
            let file = (
                pid,
                rustix::fs::makedev(major, minor),
                inode,
                path.to_owned(),
            );
            if self.files.last() != Some(&file) {
                self.files.push(file);
            }
        }
    }

    /// The processes that have a file mapped.
    pub(crate) fn users(&self, identity: SegmentId, path: Option<&Path>) -> Vec<u32> {
        let SegmentId::File { dev, ino } = identity else {
            return Vec::new();
        };
        let path = path.and_then(Path::to_str);
        let mut users: Vec<u32> = self
            .files
            .iter()
            // On stacked file systems the kernel shows the device below.
            .filter(|(_, device, inode, mapped)| {
                (*device, *inode) == (dev, ino) || Some(mapped.as_str()) == path
            })
            .map(|(pid, ..)| *pid)
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    /// Whether a process that could not be looked at could have opened what has this owner, group
    /// and mode. Processes of root can always, and are not counted.
    fn may_be_hidden(&self, uid: u32, mode: u32) -> bool {
        let open_to_all = mode & 0o066 != 0;
        self.hidden
            .iter()
            .any(|&hidden| hidden != 0 && (hidden == uid || open_to_all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_file_is_found() {
        let exe = std::env::current_exe().unwrap();
        let metadata = fs::metadata(&exe).unwrap();
        let identity = SegmentId::File {
            dev: metadata.dev(),
            ino: metadata.ino(),
        };
        let users = Mapped::look().users(identity, Some(&exe));
        assert!(users.contains(&std::process::id()), "{users:?}");
    }

    #[test]
    fn a_name_that_is_no_user_is_an_error() {
        assert_eq!(uid_of("0"), Ok(0));
        assert_eq!(uid_of("root"), Ok(0));
        assert!(uid_of("nobody-of-this-name").is_err());
    }
}
