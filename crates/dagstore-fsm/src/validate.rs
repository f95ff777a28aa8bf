//! What must hold of a shard after every transition.

use dagstore_types::ShardState;

use crate::shard::{Cause, Shard};

impl Shard {
    /// Checks the shard against the machine's own rules. No transition ever makes this fail.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn validate(&self) -> Result<(), &'static str> {
        let cause = self.step.as_ref().map(|step| step.cause);
        let Some(record) = &self.record else {
            return match cause {
                None | Some(Cause::Register { .. }) if self.is_bare() => Ok(()),
                None | Some(_) => {
                    Err("a shard without a record has references, waiters or a step other than its registration")
                }
            };
        };
        let state = record.state;
        if (state == ShardState::Serving) != (self.references > 0)
            && !matches!(state, ShardState::Recovering | ShardState::Errored)
        {
            return Err("Serving is the state with references");
        }
        let working = matches!(state, ShardState::Initializing | ShardState::Recovering);
        if !self.parked.is_empty() && !working && !matches!(cause, Some(Cause::Queue | Cause::Recover { .. })) {
            return Err("an acquire is parked though nothing is being done");
        }
        if !self.joined.is_empty()
            && !working
            && state != ShardState::Destroying
            && !matches!(cause, Some(Cause::Recover { .. } | Cause::Fail))
        {
            return Err("a waiter has joined though nothing is being done");
        }
        if self.cleaning && state != ShardState::Destroying {
            return Err("a clean-up runs in a shard that isn't Destroying");
        }
        if self.recover_on_acquire && state != ShardState::Errored {
            return Err("recover-on-acquire is set in a shard that isn't Errored");
        }
        Ok(())
    }

    fn is_bare(&self) -> bool {
        self.references == 0
            && self.parked.is_empty()
            && self.joined.is_empty()
            && !self.recover_on_acquire
            && !self.cleaning
    }
}
