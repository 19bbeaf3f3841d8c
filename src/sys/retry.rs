//! System calls that signals interrupt.

use rustix::io::Errno;

/// How often an interrupted call is repeated. A program under a profiling timer may interrupt
/// every one of them: it gets the error then, and not a loop without end.
pub(crate) const INTERRUPTED_MAX: u32 = 1000;

/// Repeats a call while signals interrupt it, [`INTERRUPTED_MAX`] times at most.
pub(crate) fn interrupted<T>(
    mut call: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    for _ in 0..INTERRUPTED_MAX {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_call_is_repeated_and_not_for_ever() {
        let mut left = 3;
        let result = interrupted(|| match left {
            0 => Ok("done"),
            _ => {
                left -= 1;
                Err(Errno::INTR)
            }
        });
        assert_eq!(result, Ok("done"));
        let mut calls = 0;
        let result = interrupted(|| -> rustix::io::Result<()> {
            calls += 1;
            Err(Errno::INTR)
        });
        assert_eq!((result, calls), (Err(Errno::INTR), INTERRUPTED_MAX + 1));
        assert_eq!(
            interrupted(|| -> rustix::io::Result<()> { Err(Errno::NOSPC) }),
            Err(Errno::NOSPC)
        );
    }
}
