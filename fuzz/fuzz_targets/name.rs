//! Names of segments: what is accepted has one form, which is accepted again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shmkv::Segment;

fuzz_target!(|text: &str| {
    match text.parse::<Segment>() {
        Ok(segment) => {
            let printed = segment.to_string();
            assert_eq!(printed.parse::<Segment>().unwrap(), segment, "{printed}");
            assert_eq!(printed.parse::<Segment>().unwrap().to_string(), printed);
            // A name of ours never leaves its directory.
            if let Segment::Shm(name) = &segment {
                assert!(!name.as_str().contains(['/', '\0']) && name.as_str() != "..");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
