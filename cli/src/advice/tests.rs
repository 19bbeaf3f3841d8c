//! Every error of the library, as a user of the command line reads it at 80 columns.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, SystemTime};

use clap::{CommandFactory, Parser};
use shmkv::format::{HashFunction, SizeError, StoreKind};
use shmkv::process::OwnerInfo;
use shmkv::schema::{Type, Unfit};
use shmkv::segment::{FileKind, NameProblem, NameStatus};
use shmkv::{DynMap, Map};

use super::*;
use crate::Cli;
use crate::text::wrap;

/// A name as people give them.
fn segment() -> Segment {
    "shm:session-store".parse().unwrap()
}

fn refused() -> io::Error {
    io::Error::from_raw_os_error(12)
}

/// A writer: there is no other way to get one of these.
fn owner() -> OwnerInfo {
    let map: Map<u64, u64> = Map::builder().capacity(1).create("memfd:owner").unwrap();
    map.insert(1, 1).unwrap();
    map.participants()[0].owner.clone()
}

fn segment_errors() -> Vec<SegmentError> {
    let segment = segment();
    let name = || segment.clone();
    vec![
        SegmentError::InvalidName {
            given: "session-store".to_owned(),
            problem: "session-store".parse::<Segment>().map_or_else(
                |error| match error {
                    SegmentError::InvalidName { problem, .. } => problem,
                    other => panic!("{other}"),
                },
                |_| NameProblem::Empty,
            ),
        },
        SegmentError::Memory {
            segment: name(),
            wish: "locking in memory",
            source: refused(),
        },
        SegmentError::AlreadyExists { segment: name() },
        SegmentError::NotFound { segment: name() },
        SegmentError::PermissionDenied {
            segment: name(),
            action: "open",
            found: None,
            euid: 1000,
        },
        SegmentError::NotRegular {
            segment: name(),
            found: FileKind::Directory,
        },
        SegmentError::ForeignOwner {
            segment: name(),
            expected: 1000,
            found: 0,
        },
        SegmentError::TooSmall {
            segment: name(),
            needed: 4096,
            found: 1327,
        },
        SegmentError::TooLarge {
            segment: name(),
            needed: 1 << 50,
            limit: "the largest file of this file system, or ulimit -f",
        },
        SegmentError::OddLength {
            segment: name(),
            found: 5001,
        },
        SegmentError::NoSpace {
            segment: name(),
            needed: 1 << 40,
        },
        SegmentError::Holes {
            segment: name(),
            needed: 1 << 40,
        },
        SegmentError::NotReady {
            segment: name(),
            waited: Duration::from_secs(5),
            creator: Some(1234),
        },
        SegmentError::NotReady {
            segment: name(),
            waited: Duration::from_secs(5),
            creator: None,
        },
        SegmentError::Abandoned {
            segment: name(),
            removed: true,
        },
        SegmentError::Abandoned {
            segment: name(),
            removed: false,
        },
        SegmentError::Incoherent {
            segment: name(),
            file_system: "NFS",
        },
        SegmentError::NotCurrent {
            segment: name(),
            now: NameStatus::Removed,
        },
        SegmentError::DescriptorAccess {
            segment: "fd:3".parse().unwrap(),
            found: "for reading",
            needed: "reading and writing",
        },
        SegmentError::InvalidMode { mode: 0o1777 },
        SegmentError::Unstable { segment: name() },
        SegmentError::Unsupported {
            segment: name(),
            action: "open",
            instead: "a memfd has no name that others could find: inherit or receive its \
                      descriptor, and use fd:N",
        },
        SegmentError::Io {
            context: "cannot map shm:session-store".to_owned(),
            source: refused(),
        },
    ]
}

fn format_errors() -> Vec<FormatError> {
    vec![
        FormatError::TooShort {
            needed: 4096,
            found: 100,
        },
        FormatError::BadMagic {
            expected: 1,
            found: 2,
        },
        FormatError::WrongEndianness {
            expected: 1,
            found: 2,
        },
        FormatError::WrongVersion {
            expected: 1,
            found: 77,
        },
        FormatError::BadChecksum {
            expected: 1,
            found: 2,
        },
        FormatError::BadField {
            field: "bucket_count",
            found: 0,
            expected: "1 to 2^40",
        },
        FormatError::Truncated {
            expected: 1 << 20,
            found: 8192,
        },
        FormatError::BadSchema { part: "key" },
    ]
}

fn open_errors() -> Vec<OpenError> {
    let mut errors: Vec<OpenError> = Vec::new();
    errors.extend(segment_errors().into_iter().map(OpenError::Segment));
    errors.extend(format_errors().into_iter().map(OpenError::Header));
    errors.push(OpenError::Size(SizeError::ZeroCapacity));
    // Types that differ: only opening makes these.
    let map: Map<u64, u64> = Map::builder().capacity(1).create("memfd:types").unwrap();
    let fd = map.segment().clone();
    errors.push(
        Map::<u32, u64>::builder()
            .open_read_only(fd.clone())
            .unwrap_err(),
    );
    errors.push(Map::<u64, u32>::builder().open_read_only(fd).unwrap_err());
    errors.push(OpenError::Schema {
        part: "key",
        source: Box::new(Type::parse("strct { a: u8 }").unwrap_err()),
    });
    errors.push(OpenError::Unfit {
        part: "value",
        source: Box::new(Unfit::TooLarge),
    });
    errors.push(OpenError::SizeContradiction {
        part: "key",
        expected: 8,
        found: 16,
    });
    errors.push(OpenError::WrongKind {
        expected: StoreKind::Cache,
        found: StoreKind::Map,
    });
    errors.push(OpenError::CapacityDiffers {
        asked: 1_000_000,
        found: 1000,
    });
    errors.push(OpenError::HashDiffers {
        asked: HashFunction::Sip,
        found: HashFunction::Rapid,
    });
    errors.push(OpenError::SettingDiffers {
        setting: "time_to_live",
        asked: "5m".to_owned(),
        found: "30s".to_owned(),
    });
    errors.push(OpenError::CarryOver {
        segment: segment(),
        source: Box::new(shmkv::dynamic::DynError::Write(WriteError::InvalidValue)),
    });
    errors.push(OpenError::TimeOutOfRange {
        setting: "time_to_idle",
        asked: Duration::from_nanos(1),
    });
    for synced_at in [
        None,
        SystemTime::now().checked_sub(Duration::from_secs(9000)),
    ] {
        for read_only in [false, true] {
            errors.push(OpenError::MachineCrash {
                segment: "file:/var/cache/session-store.kv".parse().unwrap(),
                synced_at,
                read_only,
            });
        }
    }
    errors.push(OpenError::BeingChecked {
        segment: segment(),
        waited: Duration::from_secs(10),
    });
    errors.push(OpenError::Random(refused()));
    for is_whole in [true, false] {
        errors.push(OpenError::Copy {
            segment: segment(),
            is_whole,
            read_only: false,
        });
    }
    for unreadable in [
        Unreadable::BootId,
        Unreadable::TimeNamespace,
        Unreadable::Writers,
        Unreadable::File,
    ] {
        errors.push(OpenError::Undecided {
            segment: segment(),
            unreadable,
        });
    }
    errors
}

fn register_errors() -> Vec<RegisterError> {
    vec![
        RegisterError::NoFreeSlot { slots: 256, own: 0 },
        RegisterError::NoFreeSlot {
            slots: 256,
            own: 12,
        },
        RegisterError::ForksGoUnnoticed,
        RegisterError::NoSignOfLife,
        RegisterError::TakenOver,
    ]
}

fn write_errors() -> Vec<WriteError> {
    let mut errors = vec![
        WriteError::Full { capacity: 1000 },
        WriteError::Busy {
            owner: Box::new(owner()),
            bucket: 3,
            waited: Duration::from_secs(1),
        },
        WriteError::InvalidValue,
        WriteError::Corrupted { bucket: 3 },
        WriteError::Contended {
            waited: Duration::from_secs(1),
        },
    ];
    let register = register_errors().into_iter();
    errors.extend(register.map(|error| WriteError::Register(Box::new(error))));
    errors
}

fn read_errors() -> Vec<ReadError> {
    vec![ReadError::Contended, ReadError::InvalidValue]
}

fn iter_errors() -> Vec<IterError> {
    let mut errors = vec![IterError::Lagged];
    errors.extend(read_errors().into_iter().map(IterError::Read));
    errors
}

fn sweep_errors() -> Vec<SweepError> {
    let iter = iter_errors().into_iter().map(SweepError::Iter);
    iter.chain(write_errors().into_iter().map(SweepError::Write))
        .collect()
}

fn dyn_errors() -> Vec<DynError> {
    // The two that say what is wrong with bytes: only a handle makes these.
    let (key, value) = (Type::parse("u64").unwrap(), Type::parse("bool").unwrap());
    let map = DynMap::builder()
        .capacity(1)
        .create("memfd:bytes", &key, &value)
        .unwrap();
    let unfit = map.get(&[1, 2]).unwrap_err();
    let DynError::Unfit { reason, .. } = map.insert(&[0; 8], &[7]).unwrap_err() else {
        panic!("7 is no bool");
    };
    let mut errors = vec![
        unfit,
        DynError::Invalid {
            part: "value",
            reason,
        },
        DynError::NoTimes,
    ];
    errors.extend(read_errors().into_iter().map(DynError::Read));
    errors.extend(write_errors().into_iter().map(DynError::Write));
    errors.extend(iter_errors().into_iter().map(DynError::Iter));
    errors
}

/// The variants of an enum, by the source of the library.
fn variants(source: &str, name: &str) -> BTreeSet<String> {
    let (_, body) = source
        .split_once(&format!("pub enum {name} {{\n"))
        .unwrap_or_else(|| panic!("no {name}"));
    let body = body.split("\n}\n").next().unwrap();
    body.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()))
        .map(|line| {
            let end = line.find(|c: char| !c.is_alphanumeric()).unwrap();
            line[..end].to_owned()
        })
        .collect()
}

/// The variants that these are of.
fn walked<E: std::fmt::Debug>(errors: &[E]) -> BTreeSet<String> {
    let name = |error: &E| {
        let text = format!("{error:?}");
        let end = text.find(|c: char| !c.is_alphanumeric());
        text[..end.unwrap_or(text.len())].to_owned()
    };
    errors.iter().map(name).collect()
}

/// What a user of the command line does not have in hand.
const LIBRARY: [&str; 16] = [
    "after_machine_crash",
    "after_crash",
    "expect_owner",
    "any_owner",
    "max_writers",
    "max_capacity",
    "builder",
    "handle",
    "Map",
    "Cache",
    "this program asks",
    "open it",
    "open_or_create",
    "create it first",
    "time_to_",
    "uid_of",
];

/// Reads a message as a user would; what is wrong with it.
fn faults(message: &str, is_program_at_fault: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let shown = wrap(&format!("shmkv: {message}"), 80).into_owned();
    let lines: Vec<&str> = shown.lines().collect();
    if lines.iter().any(|line| line.chars().count() > 80) {
        faults.push("a line of more than 80 columns".to_owned());
    }
    if lines.len() > 5 {
        faults.push(format!("{} lines", lines.len()));
    }
    if !is_program_at_fault {
        let words = LIBRARY.iter().filter(|word| {
            // Handles of processes are what takes writer slots.
            message.contains(**word) && !(**word == "handle" && message.contains("writer slots"))
        });
        faults.extend(words.map(|word| format!("{word:?} is of the library")));
    }
    // Each command in it is one that is understood.
    for (i, quoted) in message.split('`').enumerate() {
        let is_command = i % 2 == 1 && quoted.starts_with("shmkv ");
        let words: Vec<&str> = quoted
            .split_whitespace()
            .map(|word| match word {
                "NEW" | "SEGMENT" => "shm:new",
                word => word,
            })
            .collect();
        if !is_command {
            continue;
        }
        // A name alone says which command to look at.
        let error = match words[..] {
            [_, name] => match Cli::command().find_subcommand(name) {
                Some(_) => None,
                None => Some("it does not exist".to_owned()),
            },
            _ => Cli::try_parse_from(&words).err().map(|it| it.to_string()),
        };
        faults.extend(error.map(|error| format!("{quoted:?} is no command: {error}")));
    }
    faults
}

#[track_caller]
fn check<E: Advice + std::fmt::Debug>(errors: &[E]) {
    let mut all = Vec::new();
    for error in errors {
        let message = message(&segment(), error);
        println!("{}\n", wrap(&format!("shmkv: {message}"), 80));
        let text = format!("{error:?}");
        // Types that differ are the business of a program, which `bench` is not.
        let is_program_at_fault = text.starts_with("KeyType") || text.starts_with("ValueType");
        for fault in faults(&message, is_program_at_fault) {
            all.push(format!("{message}\n  {fault}"));
        }
        let is_named = message
            .split('`')
            .step_by(2)
            .any(|prose| prose.contains("session-store") || prose.contains("fd:3"));
        if !is_named {
            all.push(format!("{message}\n  names no segment"));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

const STORE: &str = include_str!("../../../src/store/error.rs");
const SEGMENT: &str = include_str!("../../../src/segment/error.rs");
const FORMAT: &str = include_str!("../../../src/format/error.rs");
const LIVENESS: &str = include_str!("../../../src/liveness/mod.rs");
const DYNAMIC: &str = include_str!("../../../src/dynamic/error.rs");

#[test]
fn every_error_of_the_library_is_told_with_what_a_shell_can_do() {
    let told = |source, name| (variants(source, name), name);
    for (walked, (all, name)) in [
        (walked(&open_errors()), told(STORE, "OpenError")),
        (walked(&read_errors()), told(STORE, "ReadError")),
        (walked(&write_errors()), told(STORE, "WriteError")),
        (walked(&iter_errors()), told(STORE, "IterError")),
        (walked(&sweep_errors()), told(STORE, "SweepError")),
        (walked(&segment_errors()), told(SEGMENT, "SegmentError")),
        (walked(&format_errors()), told(FORMAT, "FormatError")),
        (walked(&register_errors()), told(LIVENESS, "RegisterError")),
        (walked(&dyn_errors()), told(DYNAMIC, "DynError")),
    ] {
        assert_eq!(walked, all, "each variant of {name} is walked");
    }
    check(&open_errors());
    check(&read_errors());
    check(&write_errors());
    check(&iter_errors());
    check(&sweep_errors());
    check(&segment_errors());
    check(&format_errors());
    check(&register_errors());
    check(&dyn_errors());
}

#[test]
fn nobody_is_told_to_remove_what_is_not_ours() {
    for error in open_errors() {
        let message = message(&segment(), &error);
        let tells = ["remove ", "removes", " rm "]
            .iter()
            .any(|word| message.contains(word));
        assert!(is_ours(&error) || !tells, "{error:?}: {message}");
    }
    let not_ours = [
        OpenError::Segment(SegmentError::TooSmall {
            segment: segment(),
            needed: 4096,
            found: 1327,
        }),
        OpenError::Segment(SegmentError::OddLength {
            segment: segment(),
            found: 5001,
        }),
        OpenError::Header(FormatError::BadMagic {
            expected: 1,
            found: 2,
        }),
    ];
    for error in not_ours {
        assert!(!is_ours(&error), "{error:?}");
        // Nor by the library.
        assert!(!error.to_string().contains("remove"), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_message_is_seen() {
    let bad = [
        ("set `after_machine_crash`", "library"),
        ("see `shmkv frobnicate shm:x`", "no command"),
        ("see `shmkv repair --nonsense shm:x`", "no command"),
        ("see `shmkv lst`", "no command"),
    ];
    for (message, fault) in bad {
        let found = faults(message, false);
        assert!(
            found.iter().any(|it| it.contains(fault)),
            "{message}: {found:?}"
        );
    }
    assert!(!faults(&"word ".repeat(200), false).is_empty(), "too long");
    assert!(!faults(&"w".repeat(100), false).is_empty(), "too wide");
    assert!(faults("see `shmkv ls`, `shmkv check shm:x`", false).is_empty());
}

#[test]
fn names_are_given_as_a_shell_takes_them() {
    let odd: Segment = "shm:it's a name; rm".parse().unwrap();
    let message = message(
        &odd,
        &FormatError::BadChecksum {
            expected: 1,
            found: 2,
        },
    );
    assert!(
        message.contains("`shmkv rm --force 'shm:it'\\''s a name; rm'`"),
        "{message}"
    );
    assert_eq!(in_shell(&segment()), "shm:session-store");
}
