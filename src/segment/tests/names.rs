//! The textual form: round trips, and a precise answer to what is no name.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::*;

fn problem(text: &str) -> NameProblem {
    match text.parse::<Segment>() {
        Err(SegmentError::InvalidName { given, problem }) => {
            assert_eq!(given, text);
            problem
        }
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn each_form_is_understood() {
    for text in [
        "shm:quotes",
        "file:/var/cache/q.kv",
        "file:relative",
        "file:with:colon",
        "sysv:0x51",
        "sysv:0xffffffff",
        "sysv:/etc/hostname#7",
        "sysv:/odd#name#255",
        "sysv-id:32770",
        "sysv-id:0",
        "fd:3",
        "memfd:quotes",
    ] {
        let segment: Segment = text.parse().unwrap();
        assert_eq!(segment.to_string(), text);
    }
}

#[test]
fn a_key_reads_the_same_in_decimal_hexadecimal_signed_or_not() {
    let key: Segment = "sysv:0x51".parse().unwrap();
    assert_eq!(key, "sysv:81".parse().unwrap());
    assert_eq!(key, Segment::sysv_key(81).unwrap());
    let high: Segment = "sysv:0xFFFFFFFE".parse().unwrap();
    assert_eq!(high, "sysv:-2".parse().unwrap());
    assert_eq!(high, "sysv:4294967294".parse().unwrap());
}

#[test]
fn a_name_without_scheme_is_answered_with_the_forms() {
    for text in ["quotes", "", "/tmp/x", "/tmp/a:b", ":x"] {
        assert_eq!(problem(text), NameProblem::NoScheme);
    }
    let message = "quotes".parse::<Segment>().unwrap_err().to_string();
    for form in ["shm:NAME", "file:PATH", "sysv:KEY", "fd:N", "memfd:NAME"] {
        assert!(message.contains(form), "{message}");
    }
    let found = "posix".to_owned();
    assert_eq!(problem("posix:x"), NameProblem::UnknownScheme { found });
}

#[test]
fn what_cannot_be_a_file_name_is_refused() {
    assert_eq!(problem("shm:"), NameProblem::Empty);
    assert_eq!(problem("shm:."), NameProblem::Directory);
    assert_eq!(problem("shm:.."), NameProblem::Directory);
    assert_eq!(problem("shm:/x"), NameProblem::Slash);
    assert_eq!(problem("shm:../etc/passwd"), NameProblem::Slash);
    assert_eq!(problem("shm:a\0b"), NameProblem::Nul);
    let long = "x".repeat(256);
    let too_long = |found, limit| NameProblem::TooLong { found, limit };
    assert_eq!(problem(&format!("shm:{long}")), too_long(256, 255));
    assert_eq!(
        problem(&format!("memfd:{}", &long[..250])),
        too_long(250, 249)
    );
    assert_eq!(problem(&format!("file:/tmp/{long}")), too_long(256, 255));
    assert_eq!(
        problem(&format!("file:{}x", "a/".repeat(2048))),
        too_long(4097, 4095)
    );
    for text in [
        "file:/",
        "file:/tmp/",
        "file:/tmp/.",
        "file:..",
        "file:x/..",
    ] {
        assert_eq!(problem(text), NameProblem::Directory, "{text}");
    }
    assert_eq!(problem("file:"), NameProblem::Empty);
    assert!(matches!(
        Segment::shm("a/b"),
        Err(SegmentError::InvalidName { .. })
    ));
}

#[test]
fn a_path_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::OsStr::from_bytes(b"/tmp/\xFF");
    let error = Segment::file(path).unwrap_err();
    assert!(error.to_string().contains("UTF-8"), "{error}");
}

#[test]
fn numbers_that_name_nothing_are_refused() {
    for text in ["sysv:0", "sysv:0x0", "sysv:-0"] {
        assert_eq!(problem(text), NameProblem::PrivateKey, "{text}");
    }
    assert!(
        Segment::sysv_key(0)
            .unwrap_err()
            .to_string()
            .contains("IPC_PRIVATE")
    );
    for text in [
        "sysv:",
        "sysv:x",
        "sysv:+1",
        "sysv:0x",
        "sysv:0x-1",
        "sysv:4294967296",
        "sysv:-2147483649",
        "sysv:/tmp#",
        "sysv:/tmp#0",
        "sysv:/tmp#256",
        "sysv-id:-1",
        "sysv-id:2147483648",
        "fd:-1",
        "fd:",
        "fd:x",
        "fd:2147483648",
    ] {
        assert!(
            matches!(problem(text), NameProblem::Number { .. }),
            "{text}"
        );
    }
    assert!(Segment::fd(-1).is_err());
}

#[test]
fn a_builder_can_take_text_or_a_segment() {
    fn take<S: TryInto<Segment, Error: Into<SegmentError>>>(s: S) -> Result<Segment, SegmentError> {
        s.try_into().map_err(Into::into)
    }
    let segment = Segment::shm("quotes").unwrap();
    assert_eq!(take("shm:quotes").unwrap(), segment);
    let text = "shm:quotes".to_owned();
    assert_eq!(take(&text).unwrap(), segment);
    assert_eq!(take(text).unwrap(), segment);
    assert_eq!(take(&segment).unwrap(), segment);
    assert_eq!(take(segment.clone()).unwrap(), segment);
    assert!(take("quotes").is_err());
}

fn segments() -> impl Strategy<Value = Segment> {
    prop_oneof![
        "\\PC{1,80}".prop_filter_map("no name", |name| Segment::shm(&name).ok()),
        "\\PC{1,80}".prop_filter_map("no name", |name| Segment::memfd(&name).ok()),
        "[\\PC/.#:]{1,200}".prop_filter_map("no path", |path| Segment::file(path).ok()),
        any::<i32>().prop_filter_map("private", |key| Segment::sysv_key(key).ok()),
        ("[\\PC/.#:]{1,80}", 1..=u8::MAX).prop_filter_map("no path", |(path, id)| format!(
            "sysv:{path}#{id}"
        )
        .parse()
        .ok()),
        (0..=i32::MAX).prop_map(|id| format!("sysv-id:{id}").parse().unwrap()),
        (0..=i32::MAX).prop_map(|fd| Segment::fd(fd).unwrap()),
    ]
}

proptest! {
    #[test]
    fn every_segment_survives_its_textual_form(segment in segments()) {
        let text = segment.to_string();
        prop_assert_eq!(text.parse::<Segment>().unwrap(), segment);
    }

    #[test]
    fn no_text_makes_the_parser_panic(
        scheme in "(shm|file|sysv|sysv-id|fd|memfd|\\PC{0,5})", rest in any::<String>()
    ) {
        if let Ok(segment) = format!("{scheme}:{rest}").parse::<Segment>() {
            prop_assert_eq!(segment.to_string().parse::<Segment>().unwrap(), segment);
        }
    }
}
