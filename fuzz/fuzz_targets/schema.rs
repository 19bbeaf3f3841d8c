//! The stored text of a schema, and bytes judged and printed by it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shmkv::schema::{Datum, Type, from_json, parse_value, to_json};

fuzz_target!(|input: (&str, &[u8])| {
    let (text, bytes) = input;
    let ty = match Type::parse(text) {
        Ok(ty) => ty,
        Err(error) => {
            assert!(error.position() <= text.len() && !error.to_string().is_empty());
            return;
        }
    };
    // What is printed is read back as the same, in both forms.
    for printed in [ty.to_string(), format!("{ty:#}")] {
        assert_eq!(Type::parse(&printed).as_ref(), Ok(&ty), "{printed}");
    }
    assert!(ty.mismatch(&ty).is_none());
    ty.check().expect("a parsed type is within the limits");

    // A value made of the input: its bytes over and over.
    if ty.size() > 4096 {
        return;
    }
    let image: Vec<u8> = bytes.iter().copied().cycle().take(ty.size()).collect();
    if image.len() < ty.size() {
        return;
    }
    if ty.validate(&image).is_ok() {
        let json = to_json(&ty, &image).expect("a valid image can be shown");
        let back = from_json(&ty, &json).expect("what was shown can be read");
        assert!(ty.validate(&back).is_ok());
        assert_eq!(to_json(&ty, &back).unwrap(), json);
        let tree = Datum::decode(&ty, &image).expect("a valid image is a tree");
        assert_eq!(tree.encode(&ty).expect("and a tree is an image"), image);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(image) = parse_value(&ty, text) {
            assert_eq!(image.len(), ty.size());
            assert!(ty.validate(&image).is_ok());
        }
    }
});
