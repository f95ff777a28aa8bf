//! What can happen to a shard.

use dagstore_types::{Attempt, Registration, ShardError, ShardRecord, UnixMillis};

use crate::WaiterId;

/// Something that happened to a shard. Time comes in with the event.
///
/// Events that tell of work carry the registration and the attempt that the work belongs to: those of another life of
/// the shard are dropped as stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody registers the shard.
    Register {
        /// Who waits for the answer.
        waiter: WaiterId,
        /// The record to begin with, in state New.
        record: ShardRecord,
        /// Whether the waiter wants to hear of the end of the work (eager) instead of the registration alone.
        wait: bool,
    },
    /// Somebody wants an accessor.
    Acquire {
        /// Who waits for it.
        waiter: WaiterId,
        /// The time.
        now: UnixMillis,
    },
    /// An accessor was dropped.
    Release,
    /// An accessor could not be opened. It still holds its reference.
    AcquireFailed {
        /// Who waited for it.
        waiter: WaiterId,
        /// The registration that was to be opened.
        registration: Registration,
        /// The attempt whose files were to be opened.
        attempt: Attempt,
        /// Why.
        error: ShardError,
        /// The time.
        now: UnixMillis,
    },
    /// The shard's index is missing or damaged. The accessor that found out still holds its reference.
    IndexLost {
        /// Who waited for it.
        waiter: WaiterId,
        /// The registration that was to be opened.
        registration: Registration,
        /// The attempt whose index is lost.
        attempt: Attempt,
        /// The time.
        now: UnixMillis,
    },
    /// Work can begin now: count it. A task that is refused with [`NotDurable`](crate::Refusal::NotDurable) asks again after
    /// a pause: the shard still waits for its work.
    Initialize {
        /// The task that waits to begin.
        waiter: WaiterId,
        /// The registration that it works for.
        registration: Registration,
        /// The time.
        now: UnixMillis,
    },
    /// The work is done: the index is published, or isn't needed yet.
    Available {
        /// The registration that was worked for.
        registration: Registration,
        /// The attempt that did it.
        attempt: Attempt,
        /// Whether there is no index, and the one inside the CAR has to do for now.
        provisional: bool,
        /// The time.
        now: UnixMillis,
    },
    /// The work was ended before it was done, because the store closes: the process has survived this start.
    Interrupted {
        /// The registration that was worked for.
        registration: Registration,
        /// The attempt that was ended.
        attempt: Attempt,
        /// The time.
        now: UnixMillis,
    },
    /// The work failed.
    Failed {
        /// The registration that was worked for.
        registration: Registration,
        /// The attempt that failed.
        attempt: Attempt,
        /// Why.
        error: ShardError,
        /// When the store will try again by itself, if it will.
        next_try: Option<UnixMillis>,
        /// The time.
        now: UnixMillis,
    },
    /// The time has come at which the store wanted to try again by itself.
    RetryDue {
        /// The registration that failed.
        registration: Registration,
        /// The time.
        now: UnixMillis,
    },
    /// Somebody wants a failed shard back.
    Recover {
        /// Who waits for the end of the work, if anybody.
        waiter: Option<WaiterId>,
        /// The time.
        now: UnixMillis,
    },
    /// Somebody wants the shard gone.
    Destroy {
        /// Who waits for it.
        waiter: WaiterId,
        /// The time.
        now: UnixMillis,
    },
    /// Everything that belonged to the shard, but for its record, is gone.
    Destroyed {
        /// The registration that was cleaned up.
        registration: Registration,
    },
    /// Something that belonged to the shard could not be removed.
    CleanupFailed {
        /// The registration that was to be cleaned up.
        registration: Registration,
        /// What could not be removed, and why.
        error: ShardError,
    },
    /// A waiter has gone away.
    CancelWaiter {
        /// Which one.
        waiter: WaiterId,
    },
    /// The step is durable.
    Synced,
    /// The step could not be made durable in time; whether it will be seen after a crash is unknown.
    NotSynced,
}

impl Event {
    /// Who waits for the answer, if anybody.
    pub fn waiter(&self) -> Option<WaiterId> {
        match self {
            Self::Register { waiter, .. }
            | Self::Acquire { waiter, .. }
            | Self::AcquireFailed { waiter, .. }
            | Self::IndexLost { waiter, .. }
            | Self::Initialize { waiter, .. }
            | Self::Destroy { waiter, .. } => Some(*waiter),
            Self::Recover { waiter, .. } => *waiter,
            Self::Release
            | Self::Available { .. }
            | Self::Interrupted { .. }
            | Self::Failed { .. }
            | Self::RetryDue { .. }
            | Self::Destroyed { .. }
            | Self::CleanupFailed { .. }
            | Self::CancelWaiter { .. }
            | Self::Synced
            | Self::NotSynced => None,
        }
    }

    /// Whether it only asks for something, so that dropping it loses nothing that has happened.
    pub fn is_request(&self) -> bool {
        matches!(
            self,
            Self::Register { .. }
                | Self::Acquire { .. }
                | Self::Initialize { .. }
                | Self::Destroy { .. }
                | Self::Recover { .. }
        )
    }
}
