//! Who is who: names of processes and users, and who has a segment mapped.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use shmkv::segment::SegmentId;

use crate::text::one_line;

/// The name of a process's program, if there is such a process here.
pub(crate) fn command(pid: u32) -> Option<String> {
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

/// What the processes of this machine have mapped, as far as this user may see it.
pub(crate) struct Mapped {
    /// Process, device, inode, path.
    files: Vec<(u32, u64, u64, String)>,
    /// Users whose processes did not let us look.
    hidden: Vec<u32>,
}

impl Mapped {
    /// Looks at all processes.
    pub(crate) fn list() -> std::io::Result<Self> {
        let mut found = Self {
            files: Vec::new(),
            hidden: Vec::new(),
        };
        for entry in fs::read_dir("/proc")? {
            let Ok(entry) = entry else { continue };
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            match fs::read_to_string(entry.path().join("maps")) {
                Ok(maps) => found.add(pid, &maps),
                // It may have exited meanwhile, or be a kernel thread.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                    if let Ok(metadata) = entry.metadata() {
                        found.hidden.push(metadata.uid());
                    }
                }
                Err(_) => {}
            }
        }
        Ok(found)
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
    pub(crate) fn may_be_hidden(&self, uid: u32, mode: u32) -> bool {
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
        let users = Mapped::list().unwrap().users(identity, Some(&exe));
        assert!(users.contains(&std::process::id()), "{users:?}");
    }

    #[test]
    fn a_name_that_is_no_user_is_an_error() {
        assert_eq!(uid_of("0"), Ok(0));
        assert_eq!(uid_of("root"), Ok(0));
        assert!(uid_of("nobody-of-this-name").is_err());
    }
}
