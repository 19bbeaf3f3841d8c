//! The glossary: words that the project does not use, and what it says instead.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use regex::Regex;

/// What must not stand in the project, and the field's word for it.
const GLOSSARY: [(&str, &str); 50] = [
    (r"\b[Hh]ome\b|_home\b|\bhome_|HOME", "primary bucket"),
    (r"other bucket|\.other\(|fn other\b", "secondary bucket"),
    (
        r"\b[Aa]way\b|_away\b|\baway_|AWAY",
        "overflow counter; in its secondary bucket",
    ),
    (r"elsewhere|_unusual", "slow path"),
    (r"[Gg]lance", "fast path"),
    (r"\bProbe\b", "HashedKey"),
    (r"[Bb]ur(y|ial|ied)", "takeover of an orphaned lock"),
    (r"Custody|give_back", "TakenLock, restore"),
    (r"\brob(s|bed)?\b", "lock stolen from a live owner"),
    (r"\b[Dd]oors?\b|_door\b|Door|DOOR", "admission lock; facade"),
    (r"[Cc]ompanion", "lock file"),
    (r"(gives?|gave|giving|given) way", "is evicted"),
    (
        r"\bEnded\b|(has|had|have) (not )?ended\b|past its time",
        "expired",
    ),
    (r"[Ll]apped", "Lagged"),
    (r"[Pp]ulse", "activity sample"),
    (r"\b[Bb]irth\b", "creation record"),
    (r"[Bb]lueprint", "initializer"),
    (r"\bmate\b|neighbourhood", "alternate bucket"),
    (r"[Oo]bstacle|overcome", "lock conflict"),
    (r"[Pp]atien|PATIENCE|held_up", "timeout, retry budget"),
    (r"\bVerdict\b|verdict\(", "Liveness; ExitStatus"),
    (r"\bStanding\b|\bVoid\b", "Freshness, Invalidated"),
    (r"ThereIsNone|[Tt]here is none", "negative entry"),
    (r"Unsettled|[Ss]ettle", "adopt_boot; NeverStable"),
    (r"[Rr]emedy", "RecoveryAction"),
    (r"[Gg]arbage", "invalid bytes, corrupt value"),
    (r"the living\b|the dead\b", "live, dead processes"),
    (r"\b[Dd]ice\b", "Rng"),
    (r"[Ll]esson|[Ll]earner", "update, estimator"),
    (r"\bPast\b|\bPASTS\b|\bpasts\b", "AgeClass"),
    (
        r"trait Who|: Who\b|Who for|[,{] ?Who\b",
        "trait LivenessCheck",
    ),
    (r"\bWild\b|[Cc]rowded", "Invalid, NoFreeCell"),
    (r"lockless", "no_file_lock"),
    (r"[Ss]urvey|[Oo]bserv(er|ing)", "list, read-only view"),
    (
        r"\b[Ww]iped\b|\bEntered\b|anchor",
        "fork-cleared page, guard, keep-alive mapping",
    ),
    (r"\btell_|fn tell\b|\.tell\(", "notify"),
    (r"\b(he|his|him|himself)\b", "it, its"),
    (r"[Ss]uspect", "moved key"),
    (
        r"\bStated\b|in_vain|\bTIMED\b",
        "StepBounds, full_for, HAS_TTL",
    ),
    (r"The house", "architecture"),
    (r"\bconfirms\b|\bunchanged\(", "validate_slot, validate"),
    (r"\bAnnotated\b", "WordBufWithMeta"),
    (r"\braise_|\blower_", "increment, decrement"),
    (
        r"forget_all|blank_the_rest|count_the_gone",
        "reset, zero_unused, release_overflow_count",
    ),
    (r"\bUnknowable\b", "Unknown"),
    (r"AfterMachineCrash", "CrashPolicy"),
    (
        r"\bHashKind\b|\bLayoutError\b|LAYOUT_VERSION",
        "HashFunction, FormatError, FORMAT_VERSION",
    ),
    (r"left_over_lock_files", "orphaned_lock_files"),
    (r"\bMAX_ENTRY_PART\b", "MAX_KEY_LEN, MAX_VALUE_LEN"),
    (r"\bHashed\b", "KeyHash"),
];

/// Where they must not stand.
const PLACES: [&str; 8] = [
    "src",
    "derive",
    "cli",
    "docs",
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];

/// Looks for words of the glossary. Says how many lines were read, or where one stands.
pub(crate) fn check(root: &Path) -> Result<String, String> {
    let patterns: Vec<(Regex, &str)> = GLOSSARY
        .iter()
        .map(|(pattern, instead)| (Regex::new(pattern).expect("a pattern of ours"), *instead))
        .collect();
    let (mut lines, mut faults, mut found) = (0, String::new(), 0);
    let mut open: Vec<_> = PLACES.iter().map(|place| root.join(place)).collect();
    if let Some(missing) = open.iter().find(|place| !place.exists()) {
        return Err(format!("{missing:?} is not there: it cannot be checked"));
    }
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).map_err(|error| format!("{path:?}: {error}"))?;
            open.extend(
                entries
                    .flatten()
                    .map(|entry| entry.path())
                    .filter(|path| !path.ends_with("target")),
            );
            continue;
        }
        let is_text = path
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "md" || kind == "stderr");
        if !is_text {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{path:?}: {error}"))?;
        for (number, line) in text.lines().enumerate() {
            lines += 1;
            for (pattern, instead) in &patterns {
                if let Some(word) = pattern.find(line) {
                    found += 1;
                    let place = path.strip_prefix(root).unwrap_or(&path).display();
                    let _ = writeln!(
                        faults,
                        "{place}:{}: `{}` (say: {instead})",
                        number + 1,
                        word.as_str()
                    );
                }
            }
        }
    }
    match found {
        0 => Ok(format!(
            "{lines} lines, {} patterns, 0 hits",
            patterns.len()
        )),
        _ => Err(format!(
            "{faults}{lines} lines, {} patterns, {found} hits",
            patterns.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_put_in_is_found() {
        let folder = tempfile::tempdir().unwrap();
        for place in PLACES {
            let path = folder.path().join(place);
            assert!(check(folder.path()).is_err(), "{place} is missing");
            match place.ends_with(".md") {
                true => fs::write(path, "A primary bucket.\n").unwrap(),
                false => fs::create_dir_all(path).unwrap(),
            }
        }
        check(folder.path()).unwrap();
        fs::write(
            folder.path().join("docs/a.md"),
            "one\nAn entry gives way.\n",
        )
        .unwrap();
        let faults = check(folder.path()).unwrap_err();
        assert!(faults.contains("docs/a.md:2: `gives way`"), "{faults}");
    }
}
