//! /proc/sysvipc/shm: what everybody may know about every System V segment.
//!
//! `IPC_STAT` needs permission to read a segment and does not tell how much of it was
//! ever touched; this table is open to all and has both.

use std::fs;
use std::io;

const TABLE: &str = "/proc/sysvipc/shm";

/// A line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::segment) struct Row {
    pub(in crate::segment) key: i32,
    pub(in crate::segment) id: i32,
    pub(in crate::segment) mode: u32,
    pub(in crate::segment) len: u64,
    pub(in crate::segment) creator: i32,
    pub(in crate::segment) attached: u64,
    pub(in crate::segment) uid: u32,
    pub(in crate::segment) gid: u32,
    pub(in crate::segment) cuid: u32,
    pub(in crate::segment) changed: i64,
    /// Bytes that were ever touched: in memory and swapped out.
    pub(in crate::segment) touched: u64,
}

/// All segments of this IPC namespace.
pub(in crate::segment) fn rows() -> io::Result<Vec<Row>> {
    Ok(fs::read_to_string(TABLE)?
        .lines()
        .filter_map(parse)
        .collect())
}

/// One segment, if it exists and the table can be read.
pub(in crate::segment) fn row(id: i32) -> Option<Row> {
    rows().ok()?.into_iter().find(|row| row.id == id)
}

/// `None` for the heading, and for anything that is no line of this table.
fn parse(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [
        key,
        id,
        perms,
        size,
        cpid,
        _lpid,
        nattch,
        uid,
        gid,
        cuid,
        _cgid,
        _atime,
        _dtime,
        ctime,
        rss,
        swap,
        ..,
    ] = fields[..]
    else {
        return None;
    };
    let (rss, swap): (u64, u64) = (rss.parse().ok()?, swap.parse().ok()?);
    Some(Row {
        key: key.parse().ok()?,
        id: id.parse().ok()?,
        mode: u32::from_str_radix(perms, 8).ok()? & 0o777,
        len: size.parse().ok()?,
        creator: cpid.parse().ok()?,
        attached: nattch.parse().ok()?,
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        cuid: cuid.parse().ok()?,
        changed: ctime.parse().ok()?,
        touched: rss.saturating_add(swap),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_of_the_kernel_is_understood() {
        let line = " 1397248081      32770  1600                  8192   411   412      3 \
                    1000   100  1000   100 1700000001 1700000002 1700000003 \
                    4096                  8192";
        let row = parse(line).expect("a complete line");
        assert_eq!((row.key, row.id, row.mode), (1_397_248_081, 32770, 0o600));
        assert_eq!((row.len, row.creator, row.attached), (8192, 411, 3));
        assert_eq!((row.uid, row.gid), (1000, 100));
        assert_eq!((row.changed, row.touched), (1_700_000_003, 12288));
    }

    #[test]
    fn headings_and_invalid_bytes_are_passed_over() {
        assert_eq!(parse("       key      shmid perms  size  cpid"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("a b c d e f g h i j k l m n o p"), None);
    }
}
