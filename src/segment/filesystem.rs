//! On which file systems a segment may live.
//!
//! The protocol needs that a store of one process is seen by all others at once: all
//! must map the same page. On a network file system, and on one whose pages a server
//! process may exchange, that does not hold, or only until the next invalidation.
//! Sorting by type is all that can be done: no call asks for coherence itself.

use std::os::fd::AsFd;
use std::path::Path;

use super::{Segment, SegmentError};

/// File systems that are refused, by `f_type` (statfs(2), linux/magic.h).
const INCOHERENT: [(u32, &str); 15] = [
    (0x0000_6969, "NFS"),
    (0x0102_1997, "9p"),
    (0x0000_517B, "SMB"),
    (0xFE53_4D42, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
    (0x6B41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x0000_564C, "NCP"),
    (0x0BD0_0BD0, "Lustre"),
    // Its pages come from a server process, often one that asks another machine.
    (0x6573_5546, "FUSE"),
    (0x786F_4256, "a VirtualBox shared folder"),
    (0xBACB_ACBC, "a VMware shared folder"),
    (0x0116_1970, "GFS2"),
];

/// Fails if the file is on a file system without coherent shared mappings.
pub(super) fn check_coherent(segment: &Segment, file: impl AsFd) -> Result<(), SegmentError> {
    let facts = rustix::fs::fstatfs(file)
        .map_err(|errno| SegmentError::io("find the file system of", segment, errno))?;
    // 32 bits that count, in a field whose width and sign differ between platforms.
    let magic = facts.f_type as u32;
    match incoherent(magic) {
        Some(file_system) => Err(SegmentError::Incoherent {
            segment: segment.clone(),
            file_system,
        }),
        None => Ok(()),
    }
}

/// Whether a file is in memory only, so that nothing of it outlives the machine.
pub(crate) fn is_memory(file: impl AsFd) -> bool {
    // tmpfs (memfds as well), ramfs, hugetlbfs.
    const MEMORY: [u32; 3] = [0x0102_1994, 0x8584_58F6, 0x9584_58F6];
    rustix::fs::fstatfs(file).is_ok_and(|facts| MEMORY.contains(&(facts.f_type as u32)))
}

/// Whether a path leads to overlayfs, whose files change when they are written to first.
pub(super) fn is_overlay(path: &Path) -> bool {
    const OVERLAY: u32 = 0x794C_7630;
    rustix::fs::statfs(path).is_ok_and(|facts| facts.f_type as u32 == OVERLAY)
}

fn incoherent(magic: u32) -> Option<&'static str> {
    INCOHERENT
        .iter()
        .find(|(refused, _)| *refused == magic)
        .map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::incoherent;

    #[test]
    fn network_file_systems_are_refused_by_name() {
        assert_eq!(incoherent(0x6969), Some("NFS"));
        assert_eq!(incoherent(0x0102_1997), Some("9p"));
        assert_eq!(incoherent(0x6573_5546), Some("FUSE"));
    }

    #[test]
    fn memfd_is_memory_and_the_program_itself_is_not() {
        use rustix::fs::{MemfdFlags, memfd_create};
        assert!(super::is_memory(
            memfd_create("memory", MemfdFlags::CLOEXEC).unwrap()
        ));
        assert!(!super::is_memory(
            std::fs::File::open("/proc/self/status").unwrap()
        ));
    }

    #[test]
    fn local_file_systems_are_accepted() {
        // tmpfs, hugetlbfs, ext4, XFS, Btrfs, overlayfs, ZFS, F2FS
        for magic in [
            0x0102_1994,
            0x9584_58F6,
            0xEF53,
            0x5846_5342,
            0x9123_683E,
            0x794C_7630,
            0x2FC1_2FC1,
            0xF2F5_2010,
        ] {
            assert_eq!(incoherent(magic), None, "{magic:#x}");
        }
    }
}
