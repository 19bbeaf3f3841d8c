//! Readers against writers of the bucket that they read.

use crate::memory::{Draft, Narrow, Number, Wide, key, key_like};
use crate::model::{explore, race, role};

const BUCKETS: u64 = 2;

/// The key that is read.
fn k() -> u64 {
    key(BUCKETS, 0, 1, 0, 0)
}

/// `k` with value 1 in slot 0 of its home; slots 0 to 2 are going to be written.
fn one_entry<V: Number>() -> Draft<V> {
    let mut draft = Draft::new(BUCKETS);
    draft.put(0, 0, k(), 1).live(0, &[0, 1, 2]);
    draft
}

/// Smallest interesting schedule: the reader matches the key in slot 0; the writer publishes 2 in
/// slot 1 and begins to write 3 into slot 0; the reader copies the second word of slot 0.
#[test]
fn update_out_of_place_is_never_seen_half() {
    let (k, draft) = (k(), one_entry::<Wide>());
    explore(2, 300, &["1", "2", "3"], move |turn| {
        let [r, w] = draft.share();
        let reader = role(move || r.get(k).to_string());
        let writer = role(move || {
            assert_eq!(w.put(0, k, 2), "replaced");
            assert_eq!(w.put(0, k, 3), "replaced");
            String::new()
        });
        race(turn, [reader, writer]).trim().to_owned()
    });
}
