//! Numbers as people write them: `10000`, `10_000`, `10k`, `1e4`, `1.5M`, `64MiB`.

/// The suffixes, and what they stand for: those of the SI, and with `i` those of IEC 80000-13.
const SUFFIXES: [(&str, u64); 8] = [
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("ki", 1 << 10),
    ("mi", 1 << 20),
    ("gi", 1 << 30),
    ("ti", 1 << 40),
];

/// A count or a size, for an argument: a whole number that fits into a `T`.
pub(crate) fn number<T: TryFrom<u128>>(text: &str) -> Result<T, String> {
    let number = parse(text)?;
    T::try_from(number).map_err(|_| format!("{text} is too large here"))
}

/// Likewise, but it may be negative.
pub(crate) fn signed(text: &str) -> Result<i128, String> {
    let sum = match text.strip_prefix('-') {
        Some(size) => 0_i128.checked_sub_unsigned(parse(size)?),
        None => 0_i128.checked_add_unsigned(parse(text)?),
    };
    sum.ok_or_else(|| format!("{text} is too large here"))
}

fn parse(text: &str) -> Result<u128, String> {
    let wrong = |problem: &str| {
        format!("{problem}: expected a whole number such as 10000, 10_000, 10k, 1e4, 1.5M or 64MiB")
    };
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '_' || c == '.'));
    let (mantissa, rest) = text.split_at(digits.unwrap_or(text.len()));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_plain =
        |part: &str| !part.starts_with('_') && !part.ends_with('_') && !part.contains("__");
    if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) || mantissa.ends_with('.') {
        return Err(wrong("this is no number"));
    }
    let too_large = || format!("{text} is too large: at most {}", u128::MAX);
    let all: String = [whole, fraction]
        .concat()
        .chars()
        .filter(|c| *c != '_')
        .collect();
    let mut value: u128 = all.parse().map_err(|_| match all.contains('.') {
        true => wrong("this is no number"),
        false => too_large(),
    })?;
    let mut tenths = fraction.chars().filter(char::is_ascii_digit).count() as u32;

    let (exponent, suffix) = match rest.strip_prefix(['e', 'E']) {
        Some(rest) => {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (exponent, suffix) = rest.split_at(end);
            let exponent = exponent
                .parse::<u32>()
                .map_err(|_| wrong("this has no exponent"))?;
            (exponent, suffix)
        }
        None => (0, rest),
    };
    let power = |exponent: u32| 10_u128.checked_pow(exponent).ok_or_else(too_large);
    value = value.checked_mul(power(exponent)?).ok_or_else(too_large)?;
    // Bytes may be called bytes.
    let unit = suffix.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let factor = match unit {
        "" => 1,
        unit => {
            let known = SUFFIXES.iter().find(|(name, _)| *name == unit);
            known
                .ok_or_else(|| wrong(&format!("there is no suffix {suffix:?}")))?
                .1
        }
    };
    value = value.checked_mul(factor.into()).ok_or_else(too_large)?;
    while tenths > 0 && value.is_multiple_of(10) {
        (value, tenths) = (value / 10, tenths - 1);
    }
    if tenths > 0 {
        return Err(wrong(&format!("{text} is no whole number")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_form() {
        for (text, expected) in [
            ("0", 0),
            ("10000", 10_000),
            ("10_000", 10_000),
            ("10k", 10_000),
            ("10K", 10_000),
            ("1e4", 10_000),
            ("1E4", 10_000),
            ("1M", 1_000_000),
            ("1.5M", 1_500_000),
            ("1.25e2", 125),
            ("1e3k", 1_000_000),
            ("64KiB", 65_536),
            ("64kib", 65_536),
            ("0.5Ki", 512),
            ("2GiB", 2 << 30),
            ("3TB", 3_000_000_000_000),
            ("12B", 12),
            ("18446744073709551615", u64::MAX.into()),
            ("18446744073.709551615e9", u64::MAX.into()),
            ("340282366920938463463374607431768211455", u128::MAX),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_what_is_accepted() {
        for (text, told) in [
            ("", "no number"),
            ("-1", "no number"),
            ("k", "no number"),
            (".5", "no number"),
            ("1.", "no number"),
            ("1..2", "no number"),
            ("_1", "no number"),
            ("1__0", "no number"),
            ("1e", "no exponent"),
            ("1e-3", "no exponent"),
            ("1.5", "no whole number"),
            ("1.2345k", "no whole number"),
            ("10q", "no suffix \"q\""),
            ("10 k", "no suffix"),
            ("340282366920938463463374607431768211456", "too large"),
            ("1e99", "too large"),
            ("1e39", "too large"),
            ("999999999999999999999999999T", "too large"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert!(number::<u32>("5G").unwrap_err().contains("too large here"));
        assert_eq!(number::<u32>("4G"), Ok(4_000_000_000));
        assert_eq!(number::<u64>("18446744073709551615"), Ok(u64::MAX));
        let error = number::<u64>("18446744073709551616").unwrap_err();
        assert!(error.contains("too large here"), "{error}");
    }

    #[test]
    fn a_number_with_a_sign_has_the_same_forms() {
        for (text, expected) in [
            ("0", 0),
            ("-0", 0),
            ("-1", -1),
            ("1_000", 1000),
            ("-1.5k", -1500),
            ("-1e3", -1000),
            ("170141183460469231731687303715884105727", i128::MAX),
            ("-170141183460469231731687303715884105728", i128::MIN),
        ] {
            assert_eq!(signed(text), Ok(expected), "{text}");
        }
        for (text, told) in [
            ("", "no number"),
            ("-", "no number"),
            ("--1", "no number"),
            ("+1", "no number"),
            ("-1.5", "no whole number"),
            ("170141183460469231731687303715884105728", "too large"),
            ("-170141183460469231731687303715884105729", "too large"),
        ] {
            let error = signed(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
