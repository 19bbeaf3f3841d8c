//! Bytes that nobody can guess.

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
