//! A table of invalid bytes: wrong judgements at worst, never a panic, never an endless loop.

use proptest::prelude::*;

use super::*;
use crate::liveness::slot::{Record, Slot};

const FEW: u32 = 4;

fn judge_everything(words: &[u64], tokens: &[u64], slots: u32) {
    let segment = Segment::new();
    for (word, value) in segment.table().iter().zip(words) {
        word.store(*value, Ordering::Relaxed);
    }
    let table = &segment.table()[..words.len().min(TABLE_WORDS)];
    let owners = Registration::new(LockPlace::File(segment.file.as_fd()), None, ID, slots);
    for &token in tokens {
        if let Some(token) = Token::from_word(token) {
            owners.liveness(table, token);
            let _ = owners.describe(table, token).to_string();
        }
    }
    assert!(owners.list(table).len() <= slots as usize);
    owners.reclaim_dead(table);
    if let Ok(token) = owners.token(table) {
        assert_eq!(owners.liveness(table, token), Liveness::Alive);
        // A token that stands in a slot of invalid bytes is worth as much as any.
        assert!(token.slot().unwrap() < slots);
        owners.release(table);
        assert_eq!(owners.liveness(table, token), Liveness::Dead);
    }
}

/// Words that come close to what slots really hold.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..16_u64,
        Just(u64::MAX),
        (any::<u64>(), 0..8_u64)
            .prop_map(|(high, low)| (high << 25) | (u64::from(std::process::id()) << 3) | low),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn random_tables_never_panic(
        words in prop::collection::vec(word(), 0..(FEW as usize + 1) * SLOT_WORDS),
        tokens in prop::collection::vec(word(), 0..8),
        slots in 0..=FEW,
    ) {
        judge_everything(&words, &tokens, slots);
    }

    /// Sealed, so that every field is believed.
    #[test]
    fn random_records_with_a_valid_seal_never_panic(
        fields in prop::array::uniform7(word()),
        claim in word(),
    ) {
        let segment = Segment::new();
        segment.table()[0].store(claim, Ordering::Relaxed);
        let slot = Slot::of(segment.table(), 0).unwrap();
        let [started, namespaces, boot_and_image, inode, device, since, _] = fields;
        let lock_file = crate::liveness::slot::FileId { device, inode };
        let record = Record { started, namespaces, boot_and_image, lock_file, since };
        slot.overwrite(slot.claim(), record);
        let words: Vec<u64> = segment.table()[..SLOT_WORDS]
            .iter()
            .map(|word| word.load(Ordering::Relaxed))
            .collect();
        let generation = slot.claim().generation();
        judge_everything(&words, &[generation << 17 | 2, claim], 1);
    }
}

#[test]
fn more_slots_than_the_table_has_are_never_touched() {
    let segment = Segment::new();
    let owners = Registration::new(LockPlace::None, None, ID, u32::MAX);
    let token = owners.token(segment.table()).unwrap();
    assert!(token.slot().unwrap() < SLOTS);
    assert!(segment.word(0).load(Ordering::Relaxed) == 0);
    assert!(owners.token(&[]).is_ok(), "registered already");
    assert_eq!(owners.liveness(&[], Token::new(0, 1)), Liveness::Dead);
}

#[test]
fn a_table_that_changes_all_the_time_holds_nobody_up() {
    let segment = Segment::new();
    let owners = segment.owners();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 1_u64;
            while !stop.load(Ordering::Relaxed) {
                for word in segment.table() {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    word.store(random.rotate_left(29), Ordering::Relaxed);
                }
            }
        });
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            for slot in 0..4 {
                owners.liveness(segment.table(), Token::new(slot, 1));
            }
            owners.list(segment.table());
            let _ = owners.token(segment.table());
            owners.release(segment.table());
        }
        stop.store(true, Ordering::Relaxed);
    });
}
