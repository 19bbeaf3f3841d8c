//! A segment's bytes, by the published layout: copied, compared and put back.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// The bytes of a segment behind its header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Image(Vec<u64>);

/// A mapping of a whole segment that no map knows of.
pub(crate) struct Bytes {
    base: NonNull<u64>,
    words: usize,
    places: Places,
}

/// In words, from the start of the segment; see the documentation of the layout.
#[derive(Clone, Copy)]
struct Places {
    participants: usize,
    moves: usize,
    buckets: usize,
    bucket_words: usize,
    count: usize,
}

impl Bytes {
    pub(crate) fn map(path: &str) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len() as usize;
        // SAFETY: a new shared mapping of an open file, at no particular address.
        #[expect(unsafe_code, reason = "mmap")]
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(base, libc::MAP_FAILED);
        let mut bytes = Self {
            base: NonNull::new(base.cast()).unwrap(),
            words: len / 8,
            places: Places {
                participants: 0,
                moves: 0,
                buckets: 0,
                bucket_words: 0,
                count: 0,
            },
        };
        let all = bytes.words();
        let half = |word: usize, upper: bool| (all[word] >> if upper { 32 } else { 0 }) as u32;
        let participants = (all[3] as usize + 4096) / 8;
        let moves = participants + 8 * half(19, true) as usize;
        let slot = half(18, false).div_ceil(8) + half(18, true).div_ceil(8) + half(19, false);
        let (count, bucket_words) = (all[17] as usize, 8 + 16 * slot as usize);
        bytes.places = Places {
            participants,
            moves,
            // They are the last part.
            buckets: all[4] as usize / 8 - count * bucket_words,
            bucket_words,
            count,
        };
        bytes
    }

    /// Only while every other process that has the segment is stopped or gone.
    fn words(&self) -> &[u64] {
        // SAFETY: mapped until drop. All who could write are stopped by ptrace, or dead, or this
        // very thread; so nothing changes while the slice is looked at, and the callers keep
        // none across a step of a child.
        #[expect(unsafe_code, reason = "the bytes of a mapping")]
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr(), self.words)
        }
    }

    pub(crate) fn image(&self) -> Image {
        Image(self.words()[self.places.participants..].to_vec())
    }

    pub(crate) fn is(&self, image: &Image) -> bool {
        self.words()[self.places.participants..] == image.0[..]
    }

    pub(crate) fn restore(&self, image: &Image) {
        let to = self.words()[self.places.participants..].as_ptr().cast_mut();
        // SAFETY: as long as the image is, inside the mapping; nobody else looks (see `words`).
        #[expect(unsafe_code, reason = "the bytes of a mapping")]
        unsafe {
            std::ptr::copy_nonoverlapping(image.0.as_ptr(), to, image.0.len());
        }
    }

    /// The same without any participant.
    pub(crate) fn without_participants(&self, image: &Image) -> Image {
        let mut image = image.clone();
        image.0[..self.places.moves - self.places.participants].fill(0);
        image
    }

    /// The number of entries in each bucket.
    pub(crate) fn occupancy(&self) -> Vec<u32> {
        (0..self.places.count)
            .map(|bucket| {
                let at = self.places.buckets + bucket * self.places.bucket_words;
                (self.words()[at] as u16).count_ones()
            })
            .collect()
    }

    /// The lock words.
    pub(crate) fn locks(&self) -> Vec<u64> {
        (0..self.places.count)
            .map(|bucket| self.words()[self.places.buckets + bucket * self.places.bucket_words + 1])
            .collect()
    }
}

impl Bytes {
    /// How many locks the process holds. Others may work meanwhile.
    pub(crate) fn locks_of(&self, pid: u32) -> usize {
        let word = |at: usize| {
            assert!(at < self.words);
            // SAFETY: inside the mapping, aligned, and only accessed as an atomic by all.
            #[expect(unsafe_code, reason = "the bytes of a mapping")]
            unsafe {
                AtomicU64::from_ptr(self.base.as_ptr().add(at)).load(Ordering::Acquire)
            }
        };
        let places = self.places;
        let is_its = |bucket: &usize| {
            let token = word(places.buckets + bucket * places.bucket_words + 1);
            let slot = (token >> 1 & 0xFFFF) as usize;
            slot > 0 && slot <= (places.moves - places.participants) / 8 && {
                let claim = word(places.participants + (slot - 1) * 8);
                claim >> 25 == token >> 17 && (claim >> 3) as u32 & 0x3F_FFFF == pid
            }
        };
        (0..places.count).filter(is_its).count()
    }

    /// The lock words that name the process, with the numbers of their buckets; without the flag that
    /// somebody waits.
    pub(crate) fn held_by(&self, pid: u32) -> Vec<(usize, u64)> {
        let locks = self.locks();
        let mut held: Vec<(usize, u64)> = locks
            .into_iter()
            .map(|lock| lock & !1)
            .enumerate()
            .collect();
        held.retain(|(_, token)| {
            let slot = (token >> 1 & 0xFFFF) as usize;
            slot > 0 && slot <= (self.places.moves - self.places.participants) / 8 && {
                let claim = self.words()[self.places.participants + (slot - 1) * 8];
                claim >> 25 == token >> 17 && (claim >> 3) as u32 & 0x3F_FFFF == pid
            }
        });
        held
    }

    /// A key that is in two buckets. For keys of one word.
    pub(crate) fn doubled_key(&self) -> Option<u64> {
        let mut seen = std::collections::HashSet::new();
        let slot_words = (self.places.bucket_words - 8) / 16;
        let mut keys = (0..self.places.count).flat_map(|bucket| {
            let at = self.places.buckets + bucket * self.places.bucket_words;
            let words = &self.words()[at..at + self.places.bucket_words];
            (0..16)
                .filter(move |slot| words[0] >> slot & 1 == 1)
                .map(move |slot| words[8 + slot * slot_words])
        });
        keys.find(|key| !seen.insert(*key))
    }

    /// Whether the process has something that others wait for, or look at, until it goes on: the
    /// lock of a bucket, or a participant slot that it has claimed and not yet filled in.
    pub(crate) fn is_at_work(&self, pid: u32) -> bool {
        let places = self.places;
        let is_claiming = |slot: usize| {
            // SAFETY: as in `locks_of`.
            #[expect(unsafe_code, reason = "the bytes of a mapping")]
            let claim = unsafe {
                let at = self.base.as_ptr().add(places.participants + slot * 8);
                AtomicU64::from_ptr(at).load(Ordering::Acquire)
            };
            claim & 3 == 1 && (claim >> 3) as u32 & 0x3F_FFFF == pid
        };
        self.locks_of(pid) > 0 || (0..(places.moves - places.participants) / 8).any(is_claiming)
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and no slice of it is left.
        #[expect(unsafe_code, reason = "munmap")]
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.words * 8);
        }
    }
}
