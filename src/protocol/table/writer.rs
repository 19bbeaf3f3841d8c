//! Who writes, and how long it waits.

use crate::liveness::token::{Token, Verdict};
use crate::sys::sync::Deadline;

/// How often one operation is begun again for reasons that cost it no patience: it took a lock
/// from the dead, or lost a race for one that was free. Three buckets and the other buckets
/// of their entries could all have been left by dead owners, once or twice each; whoever sees more
/// than that is being held up, and waits no longer than for the living.
pub(crate) const FREE_ROUNDS: u32 = 128;

/// What the protocol asks about the process it runs in, and about others.
pub(crate) trait Who {
    /// Whether the owner behind a lock word is dead.
    fn verdict(&self, token: Token) -> Verdict;
}

/// One writing operation's identity and patience.
pub(crate) struct Writer<'w, W> {
    who: &'w W,
    pub(super) token: Token,
    pub(super) deadline: Deadline,
    /// How many more rounds cost no patience.
    free_rounds: u32,
}

impl<'w, W: Who> Writer<'w, W> {
    /// A writer that gives up `timeout` after it first had to wait.
    #[inline(always)]
    pub(crate) fn new(who: &'w W, token: Token, timeout: core::time::Duration) -> Self {
        Self {
            who,
            token,
            deadline: Deadline::new(timeout),
            free_rounds: FREE_ROUNDS,
        }
    }

    /// Whether one more round, which was no wait for anybody, is too many.
    pub(super) fn is_held_up(&mut self) -> bool {
        match self.free_rounds.checked_sub(1) {
            Some(rest) => {
                self.free_rounds = rest;
                false
            }
            None => self.deadline.passed(),
        }
    }

    pub(crate) fn token(&self) -> Token {
        self.token
    }

    pub(crate) fn verdict(&self, token: Token) -> Verdict {
        // Other threads of this process write under the same token.
        if token == self.token {
            Verdict::Alive
        } else {
            self.who.verdict(token)
        }
    }
}
