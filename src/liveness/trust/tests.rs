//! The page `docs/trust.md` and the functions say the same, for every combination.

use std::fmt::Debug;

use super::*;
use crate::liveness::token::Liveness;

const PAGE: &str = include_str!("../../../docs/trust.md");

/// The rows of the table under a heading: cells, the answer last.
fn table(heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = PAGE.split_once(heading).expect("the heading");
    let rows: Vec<Vec<String>> = rest
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect();
    assert!(rows.len() > 5, "{heading}: {} rows", rows.len());
    rows
}

/// `AsLeft` as the page writes it: "as left".
fn word(name: &impl Debug) -> String {
    let mut text = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}

/// Looks evidence up, and remembers which rows were of use.
struct Table {
    rows: Vec<Vec<String>>,
    used: Vec<bool>,
}

impl Table {
    fn of(heading: &str) -> Self {
        let rows = table(heading);
        let used = vec![false; rows.len()];
        Self { rows, used }
    }

    fn answer(&mut self, evidence: &[String]) -> String {
        let holds = |row: &Vec<String>| {
            assert_eq!(row.len(), evidence.len() + 1, "{row:?}");
            row.iter()
                .zip(evidence)
                .all(|(cell, found)| cell == "*" || cell.split(", ").any(|word| word == found))
        };
        let row = self.rows.iter().position(holds);
        let row = row.unwrap_or_else(|| panic!("no row for {evidence:?}"));
        self.used[row] = true;
        self.rows[row].last().expect("a cell").clone()
    }

    fn assert_every_row_is_of_use(&self) {
        for (row, used) in self.rows.iter().zip(&self.used) {
            assert!(used, "rows above leave nothing to {row:?}");
        }
    }
}

const BOOTS: [Boot; 3] = [Boot::Same, Boot::Other, Boot::Unknown];

fn participants() -> impl Iterator<Item = ParticipantEvidence> {
    use SlotSays::{Claimed, Gone, Held, Ours, Unreadable};
    let slots = [Ours, Gone, Claimed, Held, Unreadable];
    let bytes = [Byte::Locked, Byte::Free, Byte::Never, Byte::Unknown];
    let namespaces = [
        Namespace::Same,
        Namespace::Other,
        Namespace::Unsaid,
        Namespace::Unknown,
    ];
    let processes = [
        Process::Same,
        Process::Earlier,
        Process::Another,
        Process::Gone,
        Process::Unknown,
    ];
    slots.into_iter().flat_map(move |slot| {
        bytes.into_iter().flat_map(move |byte| {
            BOOTS.into_iter().flat_map(move |boot| {
                namespaces.into_iter().flat_map(move |namespace| {
                    processes
                        .into_iter()
                        .map(move |process| ParticipantEvidence {
                            slot,
                            byte,
                            boot,
                            namespace,
                            process,
                        })
                })
            })
        })
    })
}

fn segments() -> impl Iterator<Item = SegmentEvidence> {
    let all_bytes = [Bytes::Locked, Bytes::Free, Bytes::Unknown];
    let files = [
        FileMatch::Same,
        FileMatch::Remounted,
        FileMatch::Other,
        FileMatch::Unknown,
    ];
    all_bytes.into_iter().flat_map(move |bytes| {
        files.into_iter().flat_map(move |file| {
            [Medium::Disk, Medium::Memory]
                .into_iter()
                .flat_map(move |medium| {
                    BOOTS.into_iter().flat_map(move |boot| {
                        [Content::Sealed, Content::Unsealed]
                            .into_iter()
                            .map(move |content| SegmentEvidence {
                                bytes,
                                file,
                                medium,
                                boot,
                                content,
                            })
                    })
                })
        })
    })
}

#[test]
fn every_combination_of_evidence_about_a_participant_is_judged_as_the_page_says() {
    let mut table = Table::of("## Is a participant alive?");
    let mut count = 0;
    for found in participants() {
        let cells = [
            word(&found.slot),
            word(&found.byte),
            word(&found.boot),
            word(&found.namespace),
            word(&found.process),
        ];
        assert_eq!(word(&is_alive(found)), table.answer(&cells), "{found:?}");
        count += 1;
    }
    assert_eq!(count, 5 * 4 * 3 * 4 * 5);
    table.assert_every_row_is_of_use();
}

#[test]
fn every_combination_of_evidence_about_a_segment_is_judged_as_the_page_says() {
    let mut table = Table::of("## Is a segment as its writers left it?");
    let mut count = 0;
    for found in segments() {
        let cells = [
            word(&found.bytes),
            word(&found.file),
            word(&found.medium),
            word(&found.boot),
            word(&found.content),
        ];
        assert_eq!(word(&state_of(found)), table.answer(&cells), "{found:?}");
        count += 1;
    }
    assert_eq!(count, 3 * 4 * 2 * 3 * 2);
    table.assert_every_row_is_of_use();
}

#[test]
fn every_pair_of_files_is_compared_as_the_page_says() {
    let mut table = Table::of("## Is this the file that the segment was made in?");
    let made = |handle, born| FileWords {
        inode: 7,
        device: 8,
        handle,
        born,
    };
    let word = |made: u64, found: u64| match (made, found) {
        (0, _) | (_, 0) => "unsaid",
        _ if made == found => "same",
        _ => "differs",
    };
    for inode in [7, 70] {
        for device in [8, 80] {
            for (handle, handle_now) in [(0, 0), (0, 9), (9, 0), (9, 9), (9, 90)] {
                for (born, born_now) in [(0, 0), (0, 6), (6, 0), (6, 6), (6, 60)] {
                    let found = FileWords {
                        inode,
                        device,
                        handle: handle_now,
                        born: born_now,
                    };
                    let cells = [
                        word(7, inode),
                        word(8, device),
                        word(handle, handle_now),
                        word(born, born_now),
                    ]
                    .map(str::to_owned);
                    let answer = compare_files(Some(made(handle, born)), Some(found));
                    assert_eq!(
                        super::tests::word(&answer),
                        table.answer(&cells),
                        "{cells:?}"
                    );
                }
            }
        }
    }
    table.assert_every_row_is_of_use();
    for (made, found) in [
        (None, None),
        (Some(made(0, 0)), None),
        (None, Some(made(0, 0))),
    ] {
        assert_eq!(compare_files(made, found), FileMatch::Unknown);
    }
}

/// The rules of the page, as sentences about all rows.
#[test]
fn a_locked_byte_is_never_overruled_and_unknown_is_never_taken_for_dead_or_crashed() {
    for mut found in participants().filter(|found| found.slot == SlotSays::Held) {
        if found.byte == Byte::Locked {
            assert_eq!(is_alive(found), Liveness::Alive, "{found:?}");
        }
        // What cannot be read: with nothing known at all the answer must be "unknown", and one
        // thing more that is unknown never makes somebody dead who was not.
        let before = is_alive(found);
        for forget in [0, 1, 2, 3] {
            let known = found;
            match forget {
                0 => found.byte = Byte::Unknown,
                1 => found.boot = Boot::Unknown,
                2 => found.namespace = Namespace::Unknown,
                _ => found.process = Process::Unknown,
            }
            if before != Liveness::Dead {
                // A locked byte that cannot be seen any more is the one thing that pid and start
                // time may still decide.
                let by_process =
                    found.process == Process::Gone || found.process == Process::Earlier;
                assert!(
                    is_alive(found) != Liveness::Dead || by_process,
                    "{known:?} -> {found:?}"
                );
            }
            found = known;
        }
    }
    for found in segments() {
        let state = state_of(found);
        if found.bytes == Bytes::Locked {
            assert_eq!(state, SegmentState::InUse);
        }
        if found.bytes == Bytes::Unknown || found.boot == Boot::Unknown {
            assert_ne!(state, SegmentState::Crashed, "{found:?}");
        }
        if state == SegmentState::AsLeft {
            assert_eq!(found.file, FileMatch::Same);
            assert!(found.medium == Medium::Memory || found.boot == Boot::Same);
        }
    }
}
