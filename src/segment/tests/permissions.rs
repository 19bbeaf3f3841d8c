//! Modes, owners, umask and ACLs.

use std::os::unix::process::CommandExt;

use super::*;

/// A user who is nobody special.
const NOBODY: u32 = 65534;

#[test]
fn the_mode_is_what_was_asked_for_whatever_the_umask() {
    const NAME: &str = "the_mode_is_what_was_asked_for_whatever_the_umask";
    if role().is_some() {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o777));
        let segment = given_segment();
        for mode in [0o600, 0o640, 0o666, 0o400, 0o000, 0o777] {
            let attached = segment
                .create(&options().mode(mode), &new_segment())
                .unwrap();
            // The name of a memfd is known only now.
            let named = &attached.segment;
            assert_eq!(named.metadata().unwrap().mode, mode, "{named}");
            if named == &segment {
                segment.remove().unwrap();
            }
        }
        if let Segment::File(path) = &segment {
            let build = crate::segment::build::Strategy::Named;
            let place = Place::of_file(&segment, path.as_path());
            place
                .create(&options().mode(0o640), &new_segment(), build)
                .unwrap();
            assert_eq!(segment.metadata().unwrap().mode, 0o640);
        }
        return;
    }
    let scratch = Scratch::each();
    let memfd = Segment::memfd("umask").unwrap();
    for segment in scratch
        .iter()
        .map(|scratch| &scratch.segment)
        .chain([&memfd])
    {
        run(child(module_path!(), NAME, "create", segment));
    }
}

#[test]
fn a_mode_beyond_the_permission_bits_is_refused() {
    for scratch in Scratch::each() {
        let error = scratch
            .create(&options().mode(0o4600), &new_segment())
            .unwrap_err();
        assert!(
            matches!(error, SegmentError::InvalidMode { mode: 0o4600 }),
            "{error}"
        );
        create(&scratch).unwrap();
        assert!(scratch.set_permissions(Some(0o1600), None, None).is_err());
    }
}

#[test]
fn mode_owner_and_group_can_be_changed_one_by_one() {
    for scratch in Scratch::each() {
        let _attached = create(&scratch).unwrap();
        let permissions = || {
            let metadata = scratch.metadata().unwrap();
            (metadata.mode, metadata.uid, metadata.gid)
        };
        let (_, uid, gid) = permissions();
        scratch.set_permissions(Some(0o640), None, None).unwrap();
        assert_eq!(permissions(), (0o640, uid, gid));
        if is_root() {
            scratch.set_permissions(None, Some(3), None).unwrap();
            assert_eq!(permissions(), (0o640, 3, gid));
            scratch.set_permissions(None, None, Some(4)).unwrap();
            assert_eq!(permissions(), (0o640, 3, 4));
            scratch
                .set_permissions(Some(0o444), Some(5), Some(6))
                .unwrap();
            assert_eq!(permissions(), (0o444, 5, 6));
        }
    }
}

/// Runs a test again as a user without privileges; `None` if that is not possible here.
fn as_nobody(name: &str, role: &str, segment: &Segment) -> Option<Vec<String>> {
    let mut command = child(module_path!(), name, role, segment);
    command.uid(NOBODY).gid(NOBODY).current_dir("/");
    let output = match command.stderr(Stdio::piped()).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: user {NOBODY} cannot run the test: {error}");
            return None;
        }
    };
    let lines = told(&output.stderr[..]).collect();
    assert!(output.status.success(), "{}", output.status);
    Some(lines)
}

/// Opens the given segment and tells how that went.
fn try_to_open(options: &SegmentOptions) {
    match given_segment().open(options, Access::ReadWrite, MAGIC) {
        Ok(_) => notify("opened"),
        Err(error) => notify(&error.to_string()),
    }
}

#[test]
fn an_owner_may_change_a_mode_that_shuts_out_himself() {
    const NAME: &str = "an_owner_may_change_a_mode_that_shuts_out_himself";
    if role().is_some() {
        given_segment()
            .set_permissions(Some(0o600), None, None)
            .unwrap();
        return;
    }
    if !is_root() {
        return;
    }
    for scratch in [Scratch::shm(), Scratch::sysv()] {
        create(&scratch).unwrap();
        scratch
            .set_permissions(Some(0), Some(NOBODY), Some(NOBODY))
            .unwrap();
        if as_nobody(NAME, "change", &scratch).is_some() {
            assert_eq!(scratch.metadata().unwrap().mode, 0o600);
        }
    }
}

#[test]
fn a_refusal_tells_mode_and_owner() {
    const NAME: &str = "a_refusal_tells_mode_and_owner";
    if role().is_some() {
        for error in [
            given_segment()
                .open(&options().any_owner(), Access::ReadOnly, MAGIC)
                .unwrap_err(),
            given_segment()
                .set_permissions(Some(0o666), None, None)
                .unwrap_err(),
            given_segment().remove().unwrap_err(),
        ] {
            assert!(
                matches!(error, SegmentError::PermissionDenied { euid: NOBODY, .. }),
                "{error}"
            );
            notify(&error.to_string());
        }
        // Who may not read it still sees what everybody can see.
        let metadata = given_segment().metadata().unwrap();
        assert_eq!(
            (metadata.uid, metadata.mode, metadata.len),
            (0, 0o600, LEN as u64)
        );
        return;
    }
    if !is_root() {
        return;
    }
    for scratch in [Scratch::shm(), Scratch::sysv()] {
        let _attached = create(&scratch).unwrap();
        let Some(lines) = as_nobody(NAME, "open", &scratch) else {
            return;
        };
        assert_eq!(lines.len(), 3);
        for line in lines {
            assert!(
                line.contains("mode 0600 and owner uid 0, this process is uid 65534"),
                "{line}"
            );
        }
        assert!(scratch.exists().unwrap());
    }
}

#[test]
fn an_acl_decides_who_may_open_and_the_refusal_says_so() {
    const NAME: &str = "an_acl_decides_who_may_open_and_the_refusal_says_so";
    match role().as_deref() {
        Some("any") => return try_to_open(&options().any_owner()),
        Some(_) => return try_to_open(&options()),
        None => {}
    }
    if !is_root() {
        return;
    }
    let setfacl = |entry: &str, scratch: &Scratch| {
        let mut command = Command::new("setfacl");
        match command.args(["-m", entry]).arg(scratch.path()).status() {
            Ok(status) => {
                assert!(status.success(), "setfacl on /dev/shm: {status}");
                true
            }
            Err(error) => {
                eprintln!("skipped: setfacl cannot be run: {error}");
                false
            }
        }
    };
    let scratch = Scratch::shm();
    create(&scratch).unwrap();
    if !setfacl(&format!("u:{NOBODY}:rw"), &scratch) {
        return;
    }
    let Some(lines) = as_nobody(NAME, "any", &scratch) else {
        return;
    };
    assert_eq!(lines, ["opened"]);
    let lines = as_nobody(NAME, "own", &scratch).unwrap();
    assert!(
        lines[0].contains("belongs to uid 0, expected uid 65534"),
        "{lines:?}"
    );
    // The mode lets everybody in, the ACL shuts this user out. (Not with group bits of
    // zero, which are the ACL's mask: then Linux looks at the bits for others instead.)
    let scratch = Scratch::shm();
    scratch
        .create(&options().mode(0o666), &new_segment())
        .unwrap();
    assert!(setfacl(&format!("u:{NOBODY}:---"), &scratch));
    let lines = as_nobody(NAME, "any", &scratch).unwrap();
    assert!(lines[0].contains("permission denied to open"), "{lines:?}");
    assert!(lines[0].contains("a POSIX ACL is set on it"), "{lines:?}");
}

#[test]
fn a_system_v_segment_that_its_creator_gives_to_us_is_still_his() {
    const NAME: &str = "a_system_v_segment_that_its_creator_gives_to_us_is_still_his";
    if role().is_some() {
        create(&given_segment()).unwrap();
        given_segment()
            .set_permissions(Some(0o666), Some(0), Some(0))
            .unwrap();
        return;
    }
    if !is_root() {
        return;
    }
    let scratch = Scratch::sysv();
    if as_nobody(NAME, "plant", &scratch).is_none() {
        return;
    }
    assert_eq!(scratch.metadata().unwrap().uid, 0);
    let error = open(&scratch).unwrap_err();
    assert!(
        matches!(error, SegmentError::ForeignOwner { found: NOBODY, .. }),
        "{error}"
    );
    scratch
        .open(&options().any_owner(), Access::ReadWrite, MAGIC)
        .unwrap();
}
