use std::collections::HashMap;

use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes, TryFromBytes};

use super::{Bytes, Key, Str, TooLong, Value};
use crate::schema::{self, Schema};

#[test]
fn text_is_stored_inline_and_padded_with_zeros() {
    let text = Str::<4>::new("né").unwrap();
    assert_eq!(text.as_bytes(), [3, 0, b'n', 0xc3, 0xa9, 0]);
    assert_eq!(size_of::<Str<0>>(), 2);
    assert_eq!(align_of::<Str<7>>(), 1);
    assert_eq!(schema::of::<Str<65_535>>().unwrap().size(), 65_537);
    assert_eq!(text, "né");
    assert_eq!(format!("{text} {text:?} {text:>4}"), "né \"né\"   né");
    assert_eq!(text.len(), 3);
    assert_eq!(text.capacity(), 4);
}

#[test]
fn text_that_does_not_fit_is_an_error_or_cut_at_a_character() {
    assert_eq!(Str::<4>::new("12345"), Err(TooLong { len: 5, max: 4 }));
    assert_eq!(
        "12345".parse::<Str<4>>().unwrap_err().to_string(),
        "5 bytes are too long: at most 4 fit"
    );
    assert_eq!(Str::<4>::truncated("12é4"), "12é");
    assert_eq!(Str::<3>::truncated("12é4"), "12");
    assert_eq!(Str::<0>::truncated("x"), "");
    assert_eq!(Bytes::<2>::truncated(b"123"), b"12");
    assert_eq!(Bytes::<65_535>::truncated(&[7; 70_000]).len(), 65_535);
}

#[test]
fn constants_can_be_made() {
    const WORD: Str<8> = match Str::new("primary") {
        Ok(text) => text,
        Err(_) => panic!(),
    };
    assert_eq!(WORD, "primary");
}

#[test]
fn map_of_text_is_searched_by_str() {
    let map = HashMap::from([(Str::<8>::new("a").unwrap(), 1)]);
    assert_eq!(map.get("a"), Some(&1));
    let map = HashMap::from([(Bytes::<8>::new(b"a").unwrap(), 1)]);
    assert_eq!(map.get(&b"a"[..]), Some(&1));
}

#[test]
fn text_of_foreign_bytes_is_readable_and_found_out() {
    for (bytes, reads_as) in [
        ([0xff, 0xff, b'a', b'b'], "ab"),
        ([3, 0, b'a', b'b'], "ab"),
        ([2, 0, b'a', 0xff], "a"),
        ([1, 0, b'a', b'b'], "a"),
        ([0, 1, b'a', 0], "a\0"),
    ] {
        let text = Str::<2>::read_from_bytes(&bytes).unwrap();
        assert_eq!(text.as_str(), reads_as);
        assert!(!text.is_valid(), "{bytes:?}");
    }
    assert!(Str::<2>::default().is_valid());
}

#[test]
fn arrays_of_text_are_checked_too() {
    let good = [Str::<1>::truncated("a"); 3];
    assert!(good.is_valid());
    let bad = <[Str<1>; 3]>::read_from_bytes(&[0, 0, 0, 1, 0, b'x', 1, 0, 0xff]).unwrap();
    assert!(!bad.is_valid());
}

#[test]
fn every_documented_type_is_a_value_and_all_but_floats_are_keys() {
    fn key<K: Key>() {}
    fn value<V: Value>() {
        schema::of::<V>().unwrap();
    }
    key::<u8>();
    key::<i128>();
    key::<bool>();
    key::<char>();
    key::<()>();
    key::<[u64; 8]>();
    key::<Str<65_535>>();
    key::<Bytes<0>>();
    key::<std::num::NonZero<u32>>();
    value::<f32>();
    value::<[[f64; 3]; 3]>();
    value::<[u8; 65_536]>();
}

proptest! {
    #[test]
    fn equal_text_has_equal_bytes(a: String, b: String) {
        let (x, y) = (Str::<6>::truncated(&a), Str::<6>::truncated(&b));
        prop_assert!(a.starts_with(x.as_str()));
        prop_assert!(x.len() + 4 > 6 || x.len() == a.len());
        prop_assert_eq!(x == y, x.as_bytes() == y.as_bytes());
        prop_assert_eq!(x.cmp(&y), x.as_str().cmp(y.as_str()));
        prop_assert!(x.is_valid());
    }

    #[test]
    fn rust_and_schema_agree_on_what_is_text(bytes: [u8; 6], len in 0..6u8) {
        let mut bytes = bytes;
        bytes[1] %= 2;
        for bytes in [bytes, [len, 0, bytes[2] & 0x7f, bytes[3], 0, 0]] {
            let text = Str::<4>::try_read_from_bytes(&bytes).unwrap();
            prop_assert_eq!(text.is_valid(), Str::<4>::schema().validate(&bytes).is_ok());
            if text.is_valid() {
                let again = Str::<4>::new(text.as_str()).unwrap();
                prop_assert_eq!(again.as_bytes(), &bytes);
            }
            let blob = Bytes::<4>::try_read_from_bytes(&bytes).unwrap();
            prop_assert_eq!(blob.is_valid(), Bytes::<4>::schema().validate(&bytes).is_ok());
        }
    }
}
