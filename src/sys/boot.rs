//! Which boot of the machine this is.

/// The kernel's identity of this boot; `None` where it cannot be read. (`/proc` may be missing, or
/// mounted with `subset=pid`.)
pub(crate) fn boot_id() -> Option<[u8; 16]> {
    parse(&std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?)
}

/// A number for a boot, not zero.
pub(crate) fn boot_digest(id: [u8; 16]) -> u64 {
    let id = u128::from_be_bytes(id);
    (id as u64 ^ (id >> 64) as u64).max(1)
}

fn parse(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let id = u128::from_str_radix(&digits, 16).ok()?;
    // Zeros stand for "not known" in a segment.
    (id != 0).then(|| id.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_boot_id_is_unknown() {
        assert_eq!(
            parse("01234567-89ab-cdef-0123-456789abcdef\n"),
            Some(0x0123_4567_89AB_CDEF_0123_4567_89AB_CDEF_u128.to_be_bytes())
        );
        let zeros = "00000000-0000-0000-0000-000000000000";
        let short = "01234567-89ab-cdef-0123-456789abcde";
        for text in [
            "",
            "\n",
            zeros,
            short,
            "+1234567-89ab-cdef-0123-456789abcdef",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
