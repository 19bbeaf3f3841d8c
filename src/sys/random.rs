//! Bytes that nobody can guess, and numbers that nobody shall depend on.

use std::hash::{BuildHasher, RandomState};

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

/// Fills `bytes` from the kernel's generator.
pub(crate) fn fill(mut bytes: &mut [u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(filled) => bytes = &mut bytes[filled..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Another number each time, by no system call (but for the first of a thread): for choices that
/// nobody shall depend on. No secret.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(0u64)
}
