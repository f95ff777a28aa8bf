//! The machine's tables as data: what `docs/fsm.md` prints, and what the tests compare the machine with.
//!
//! The rows stand here a second time on purpose. The machine is written to be run, the tables to be read; the tests go
//! through every state, event and flag and find both saying the same, with exactly one row for each case.
//!
//! The rows of [`TRANSITIONS`] are for a shard without a step under way, but for `Release` and `CancelWaiter`, which never
//! wait; every other event is deferred while there is a step. [`STEPS`] says how a step ends.

mod restarts;
mod steps;
mod transitions;

use dagstore_types::ShardState;

use crate::{Cause, Event, Operation, RecoveryPolicy};

pub use restarts::RESTARTS;
pub use steps::STEPS;
pub use transitions::TRANSITIONS;

/// A durable state; `None` where there is no record.
pub type Place = Option<ShardState>;

/// Every place a shard can be in, in the order of a shard's life.
pub const PLACES: [Place; 8] = [
    None,
    Some(ShardState::New),
    Some(ShardState::Initializing),
    Some(ShardState::Available),
    Some(ShardState::Serving),
    Some(ShardState::Recovering),
    Some(ShardState::Errored),
    Some(ShardState::Destroying),
];

/// One row of the transition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// What happens.
    pub event: EventKind,
    /// In which states.
    pub places: &'static [Place],
    /// Under which conditions, all of them.
    pub when: &'static [When],
    /// What follows, in order.
    pub acts: &'static [Act],
}

/// One row of the table of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepEnd {
    /// What the step is for.
    pub cause: CauseKind,
    /// Whether it became durable. If so it is the record before anything else follows.
    pub durable: bool,
    /// Under which conditions, all of them.
    pub when: &'static [When],
    /// What follows, in order.
    pub acts: &'static [Act],
}

/// One row of the restart table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestartRow {
    /// The persisted states.
    pub states: &'static [ShardState],
    /// Under which conditions, all of them.
    pub when: &'static [RestartWhen],
    /// What the restart does.
    pub outcome: RestartKind,
}

/// A condition on the shard, the event or the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The registration is lazy.
    Lazy,
    /// The registration isn't lazy.
    Eager,
    /// Who registers waits for the end of the work.
    Waits,
    /// Who registers waits for the registration alone.
    DoesNotWait,
    /// There are references.
    References,
    /// There are none.
    NoReferences,
    /// There is exactly one reference.
    LastReference,
    /// There are several references.
    MoreReferences,
    /// Somebody is parked.
    Parked,
    /// Nobody is parked.
    NobodyParked,
    /// The next acquire recovers the shard.
    Flagged,
    /// The next acquire doesn't recover the shard.
    NotFlagged,
    /// A clean-up is under way.
    Cleaning,
    /// No clean-up is under way.
    NotCleaning,
    /// The event is of the record's registration.
    ThisRegistration,
    /// The event is of another registration.
    OtherRegistration,
    /// The event is of the record's registration and attempt.
    ThisAttempt,
    /// The event is of another registration or another attempt.
    OtherAttempt,
    /// The event is of the record's registration, and of another attempt.
    EarlierAttempt,
    /// A start is counted.
    StartCounted,
    /// No start is counted.
    NoStartCounted,
    /// The event's error may pass by itself.
    Transient,
    /// The event's error stays.
    Lasting,
    /// The record has a next try, and its time has come.
    Due,
    /// The record has a next try, and its time has not come.
    NotDue,
    /// The record has a next try.
    NextTry,
    /// The record has no next try.
    NoNextTry,
    /// An attempt is left to the registration.
    AttemptLeft,
    /// The numbers of attempts are used up, and the record's error doesn't say so.
    NoAttemptLeft,
    /// The numbers of attempts are used up, and the record's error says so.
    NoAttemptLeftSaid,
}

/// One thing that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// All that another event does, with the shard as it is by now.
    As(EventKind),
    /// The event's waiter waits for an accessor.
    Park,
    /// The event's waiter waits for the end of what is being done.
    Join,
    /// The waiter of the step waits for the end of what is being done.
    JoinAsker,
    /// The event's waiter waits no more.
    Leave,
    /// One reference more.
    Count,
    /// One reference less.
    GiveBack,
    /// The record says this at once, and is written behind.
    Become(ShardState),
    /// An accessor is opened for the event's waiter.
    Open,
    /// A reference is counted and an accessor opened for each who is parked.
    OpenParked,
    /// The next acquire no longer recovers the shard.
    Unflag,
    /// A clean-up begins.
    CleanUp,
    /// The clean-up has ended.
    CleanedUp,
    /// A step begins: the record with these changes is to be made durable. Nobody hears of it before.
    Step(CauseKind, &'static [Change]),
    /// These waiters get this answer and wait no more.
    Tell(Whom, Said),
    /// Work is wanted.
    Enqueue,
    /// The files of the attempt before this recovery are removed.
    Discard,
    /// The store comes back when it is time for the next try.
    Retry,
    /// The failure is told to those who watch.
    Failure,
    /// The operation is told to those who watch.
    Trace(Operation),
    /// The event is dropped and counted: it belongs to another life of the shard.
    Stale,
    /// The step is given up, and the row is written as the record is.
    Rewrite,
    /// The step stays and is written again.
    PersistAgain,
    /// The shard is forgotten.
    Forget,
}

/// A change of the record that a step makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The record is the event's.
    Registered,
    /// This is the state.
    State(ShardState),
    /// The attempt after this one.
    AttemptNext,
    /// One start more is counted.
    StartCounted,
    /// One start less is counted.
    StartUncounted,
    /// No start is counted.
    StartsZero,
    /// No start is counted, unless the event's error says that there were too many.
    StartsZeroUnlessTooMany,
    /// No try by the store itself is counted.
    RetriesZero,
    /// One try by the store itself more is counted.
    RetryCounted,
    /// There is no next try.
    NoNextTry,
    /// The next try is the event's.
    NextTryOfEvent,
    /// There is no error.
    NoError,
    /// The error is the event's.
    ErrorOfEvent,
    /// The error says that no attempt is left.
    ErrorNoAttemptLeft,
    /// There is no record.
    Deleted,
}

/// Who is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The event's waiter, if it has one.
    Caller,
    /// The waiter of the step.
    Asker,
    /// Everybody who is parked.
    Parked,
    /// Everybody who has joined.
    Joined,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// Registered, durably.
    Registered,
    /// The shard is Available.
    Ready,
    /// Begin to work, with this attempt.
    Begin,
    /// Destroyed, durably.
    Destroyed,
    /// Refused: there is no such shard.
    NotFound,
    /// Refused: the key is taken.
    Exists,
    /// Refused: the key is taken until the destruction has ended.
    BeingDestroyed,
    /// Refused: the shard was destroyed.
    WasDestroyed,
    /// Refused: only a failed shard can be recovered.
    NotErrored,
    /// Refused: there are references.
    InUse,
    /// Refused: the record's error.
    StoredError,
    /// Refused: the event's error.
    ErrorOfEvent,
    /// Refused: something could not be removed.
    CleanupIncomplete,
    /// Refused: it could not be made durable in time.
    NotDurable,
    /// Refused: what the task was started for is over.
    Stale,
}

/// A condition of the restart table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartWhen {
    /// The shard is lazy.
    Lazy,
    /// The shard isn't lazy.
    Eager,
    /// The index of the record's attempt is complete.
    IndexComplete,
    /// It isn't.
    NoIndex,
    /// Fewer starts are counted than allowed.
    StartsLeft,
    /// As many starts are counted as allowed.
    StartsUsedUp,
    /// The error says that there were too many starts.
    GivenUp,
    /// The error says something else.
    NotGivenUp,
    /// The store tries again by itself.
    Retries,
    /// The store doesn't.
    NoRetries,
    /// Fewer tries are counted than allowed.
    RetriesLeft,
    /// As many tries are counted as allowed.
    RetriesUsedUp,
    /// The record has a next try.
    NextTry,
    /// The record has none.
    NoNextTry,
    /// The policy is this.
    Policy(RecoveryPolicy),
}

/// What a restart does, without the values in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartKind {
    /// [`Restart::Rest`](crate::Restart::Rest)
    Rest,
    /// [`Restart::RecoverOnAcquire`](crate::Restart::RecoverOnAcquire)
    RecoverOnAcquire,
    /// [`Restart::Recover`](crate::Restart::Recover)
    Recover,
    /// [`Restart::RetryAt`](crate::Restart::RetryAt) the record's next try
    RetryAtNextTry,
    /// [`Restart::Initialize`](crate::Restart::Initialize)
    Initialize,
    /// [`Restart::MakeAvailable`](crate::Restart::MakeAvailable)
    MakeAvailable,
    /// [`Restart::GiveUp`](crate::Restart::GiveUp)
    GiveUp,
    /// [`Restart::FinishDestroy`](crate::Restart::FinishDestroy)
    FinishDestroy,
}

/// Makes an enum of kinds with [`ALL`] of them, and says which kind a value is of.
macro_rules! kinds {
    ($(#[$doc:meta])* $kind:ident of $of:ident: $($variant:ident $pattern:tt),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $kind {
            $(
                #[doc = concat!("[`", stringify!($of), "::", stringify!($variant), "`]")]
                $variant,
            )*
        }

        impl $kind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant),)*
                }
            }
        }

        impl From<&$of> for $kind {
            fn from(of: &$of) -> Self {
                match of {
                    $($of::$variant $pattern => Self::$variant,)*
                }
            }
        }
    };
}

kinds! {
    /// An event, without the values in it.
    EventKind of Event:
    Register { .. }, Acquire { .. }, Release {}, AcquireFailed { .. }, IndexLost { .. }, Initialize { .. }, Available { .. },
    Interrupted { .. }, Failed { .. }, RetryDue { .. }, Recover { .. }, Destroy { .. }, Destroyed { .. },
    CleanupFailed { .. }, CancelWaiter { .. }, Synced {}, NotSynced {},
}

kinds! {
    /// What a step is for, without the values in it.
    CauseKind of Cause:
    Register { .. }, Queue {}, Recover { .. }, Initialize { .. }, Interrupt {}, MakeAvailable {}, Fail {}, Destroy { .. },
    Forget {},
}
