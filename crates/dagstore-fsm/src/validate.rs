//! What must hold of a shard after every transition.

use dagstore_types::{ShardRecord, ShardState};

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
        if cause.is_some_and(|cause| !self.may_begin(cause, record)) {
            return Err("a step is under way that can't begin in this state");
        }
        if (state == ShardState::Serving) != (self.references > 0)
            && !matches!(state, ShardState::Recovering | ShardState::Errored)
        {
            return Err("Serving is the state with references");
        }
        let working = matches!(state, ShardState::Initializing | ShardState::Recovering);
        if !self.parked.is_empty()
            && !working
            && !matches!(cause, Some(Cause::Queue | Cause::Recover { .. } | Cause::Fail))
        {
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

    /// Whether a step of this cause fits the durable record and what lives in memory.
    fn may_begin(&self, cause: Cause, record: &ShardRecord) -> bool {
        let state = record.state;
        let working = matches!(state, ShardState::Initializing | ShardState::Recovering);
        let usable = matches!(state, ShardState::Available | ShardState::Serving);
        match cause {
            Cause::Register { .. } => false,
            Cause::Queue => state == ShardState::New,
            Cause::Recover { given_up } => given_up == record.attempt && (usable || state == ShardState::Errored),
            Cause::Initialize { .. } => working || state == ShardState::New,
            Cause::Interrupt | Cause::MakeAvailable => working,
            Cause::Fail => state != ShardState::Destroying,
            Cause::Destroy { .. } => self.references == 0 && state != ShardState::Destroying,
            Cause::Forget => self.cleaning,
        }
    }

    fn is_bare(&self) -> bool {
        self.references == 0
            && self.parked.is_empty()
            && self.joined.is_empty()
            && !self.recover_on_acquire
            && !self.cleaning
    }
}
