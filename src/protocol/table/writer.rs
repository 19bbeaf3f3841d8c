//! Who writes, and how long it waits.

use crate::liveness::token::{Liveness, Token};
use crate::sys::sync::Deadline;

/// How often one operation is begun again for reasons that cost it no retry budget: it took a lock
/// from a dead owner, or lost a race for one that was free. Three buckets and the alternate buckets
/// of their entries could all have been left by dead owners, once or twice each; whoever sees more
/// than that is being delayed, and waits no longer than for live processes.
pub(crate) const FREE_ROUNDS: u32 = 128;

/// What the protocol asks about the process it runs in, and about others.
pub(crate) trait LivenessCheck {
    /// Whether the owner behind a lock word is dead.
    fn liveness(&self, token: Token) -> Liveness;
}

/// One writing operation's identity and deadline.
pub(crate) struct Writer<'w, W> {
    who: &'w W,
    pub(super) token: Token,
    pub(super) deadline: Deadline,
    /// How many more rounds cost no retry budget.
    free_rounds: u32,
}

impl<'w, W: LivenessCheck> Writer<'w, W> {
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
    pub(super) fn is_out_of_rounds(&mut self) -> bool {
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

    pub(crate) fn liveness(&self, token: Token) -> Liveness {
        // Other threads of this process write under the same token.
        if token == self.token {
            Liveness::Alive
        } else {
            self.who.liveness(token)
        }
    }
}
