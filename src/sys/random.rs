//! Bytes that nobody can guess, and numbers that nobody shall depend on.

use std::hash::{BuildHasher, RandomState};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::sys::retry::interrupted;

/// Fills `bytes` from the kernel's generator.
pub(crate) fn fill(mut bytes: &mut [u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let filled = interrupted(|| getrandom(&mut *bytes, GetRandomFlags::empty()))?;
        bytes = &mut bytes[filled..];
    }
    Ok(())
}

/// Another number each time, by no system call (but for the first of a thread): for choices that
/// nobody shall depend on. No secret.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0u64)
}
