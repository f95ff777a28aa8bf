//! What a transition asks its caller to do.

use alloc::boxed::Box;

use dagstore_types::{Attempt, Registration, ShardError, UnixMillis};
use smallvec::SmallVec;

use crate::{Event, WaiterId};

/// The effects of one transition, to be carried out in order.
pub type Effects = SmallVec<[Effect; 3]>;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the shard's step durable, then send [`Event::Synced`] or [`Event::NotSynced`].
    Persist,
    /// The row of this registration may differ from the record: write the record, or delete the row where there is
    /// none, before or with the next step of this key.
    Rewrite {
        /// Which row.
        registration: Registration,
    },
    /// The record changed between Available and Serving: write it with the next batch, nobody waits for it.
    WriteBehind,
    /// Answer a waiter. Each gets exactly one answer.
    Reply {
        /// Whom.
        waiter: WaiterId,
        /// What.
        answer: Answer,
    },
    /// Open an accessor for a waiter. Its reference is counted already: whatever becomes of it, it ends with exactly
    /// one [`Event::Release`], [`Event::AcquireFailed`] or [`Event::IndexLost`].
    Open {
        /// For whom.
        waiter: WaiterId,
        /// The registration to open.
        registration: Registration,
        /// The attempt whose files are current.
        attempt: Attempt,
    },
    /// Begin to work as soon as there is room: send [`Event::Initialize`], and work when that is answered.
    Enqueue {
        /// For which registration.
        registration: Registration,
    },
    /// Send [`Event::RetryDue`] when the time has come; after a pause where it is past.
    Retry {
        /// Of which registration.
        registration: Registration,
        /// When.
        at: UnixMillis,
    },
    /// The files of this attempt are no longer the shard's: remove them. Accessors that have them open keep them.
    Discard {
        /// Of which registration.
        registration: Registration,
        /// Which attempt's.
        attempt: Attempt,
    },
    /// End the shard's task, if any, and await its end; remove all that belongs to the registration but the record;
    /// then send [`Event::Destroyed`] or [`Event::CleanupFailed`].
    CleanUp {
        /// Of which registration.
        registration: Registration,
    },
    /// A step is under way: send the event again when that has ended, in order.
    Defer(Box<Event>),
    /// A completion of another life of the shard was dropped.
    Stale,
    /// Tell those who watch that an operation took effect.
    Trace(Operation),
    /// Tell those who watch that the shard failed.
    Failure(ShardError),
    /// There is nothing left of the shard: forget it.
    Forget,
}

/// The answer to a waiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Registered, durably; no more was asked for.
    Registered,
    /// The work is done, the shard is Available.
    Ready,
    /// To a task: begin; the attempt is counted.
    Begin(Attempt),
    /// Destroyed, durably.
    Destroyed,
    /// No.
    Refused(Refusal),
}

/// Why a waiter doesn't get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such shard.
    NotFound,
    /// The key is taken.
    Exists,
    /// The key is taken until the shard's destruction has ended.
    BeingDestroyed,
    /// The shard was destroyed.
    Destroyed,
    /// Only a failed shard can be recovered.
    NotErrored,
    /// There are open accessors.
    InUse {
        /// How many.
        references: u32,
    },
    /// The shard is Errored.
    Failed(ShardError),
    /// The shard is Destroying, and something could not be removed.
    CleanupIncomplete(ShardError),
    /// The change could not be made durable in time. It may have happened, but never by half.
    NotDurable,
    /// To a task: what it was started for is over.
    Stale,
}

/// An operation that took effect. The names are the original's, without its `Op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A shard was registered.
    ShardRegister,
    /// Work on a shard began.
    ShardInitialize,
    /// A shard became Available.
    ShardMakeAvailable,
    /// A shard's destruction began.
    ShardDestroy,
    /// An accessor was asked for and is being opened.
    ShardAcquire,
    /// A shard failed.
    ShardFail,
    /// An accessor was dropped.
    ShardRelease,
    /// A failed shard, or one whose index was lost, is being initialised again.
    ShardRecover,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 8] = [
        Self::ShardRegister,
        Self::ShardInitialize,
        Self::ShardMakeAvailable,
        Self::ShardDestroy,
        Self::ShardAcquire,
        Self::ShardFail,
        Self::ShardRelease,
        Self::ShardRecover,
    ];

    /// The operation's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShardRegister => "ShardRegister",
            Self::ShardInitialize => "ShardInitialize",
            Self::ShardMakeAvailable => "ShardMakeAvailable",
            Self::ShardDestroy => "ShardDestroy",
            Self::ShardAcquire => "ShardAcquire",
            Self::ShardFail => "ShardFail",
            Self::ShardRelease => "ShardRelease",
            Self::ShardRecover => "ShardRecover",
        }
    }
}
