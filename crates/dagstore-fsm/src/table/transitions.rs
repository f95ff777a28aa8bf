//! The transition table, event by event.

use dagstore_types::ShardState;

use super::{Act, CauseKind, Change, EventKind, Place, Said, Transition, When, Whom};
use crate::Operation;

const NONE: Place = None;
const NEW: Place = Some(ShardState::New);
const INITIALIZING: Place = Some(ShardState::Initializing);
const AVAILABLE: Place = Some(ShardState::Available);
const SERVING: Place = Some(ShardState::Serving);
const RECOVERING: Place = Some(ShardState::Recovering);
const ERRORED: Place = Some(ShardState::Errored);
const DESTROYING: Place = Some(ShardState::Destroying);

const EVERYWHERE: &[Place] = &super::PLACES;

const RELEASED: Act = Act::Trace(Operation::ShardRelease);
const ACQUIRED: Act = Act::Trace(Operation::ShardAcquire);

const BEGIN: &[Change] = &[Change::State(ShardState::Initializing), Change::AttemptNext, Change::StartCounted];
const BEGIN_AGAIN: &[Change] = &[Change::AttemptNext, Change::StartCounted];

const MADE_AVAILABLE: &[Change] = &[
    Change::State(ShardState::Available),
    Change::NoError,
    Change::StartsZero,
    Change::RetriesZero,
    Change::NoNextTry,
];

const RECOVERY: &[Change] = &[
    Change::State(ShardState::Recovering),
    Change::AttemptNext,
    Change::StartsZero,
    Change::RetriesZero,
    Change::NoNextTry,
];

const RETRY: &[Change] = &[
    Change::State(ShardState::Recovering),
    Change::AttemptNext,
    Change::StartsZero,
    Change::RetryCounted,
    Change::NoNextTry,
];

const FAILURE: &[Change] = &[
    Change::State(ShardState::Errored),
    Change::ErrorOfEvent,
    Change::NextTryOfEvent,
    Change::StartsZeroUnlessTooMany,
];

const FAILURE_OF_ACQUIRE: &[Change] =
    &[Change::State(ShardState::Errored), Change::ErrorOfEvent, Change::NoNextTry, Change::StartsZeroUnlessTooMany];

const NO_ATTEMPT_LEFT: &[Change] = &[Change::State(ShardState::Errored), Change::ErrorNoAttemptLeft, Change::NoNextTry];

const DESTROYED: &[Change] = &[Change::State(ShardState::Destroying), Change::NoNextTry];

const fn row(event: EventKind, places: &'static [Place], when: &'static [When], acts: &'static [Act]) -> Transition {
    Transition { event, places, when, acts }
}

const fn refuse(said: Said) -> Act {
    Act::Tell(Whom::Caller, said)
}

/// The transition table. Where no row fits, the event can't happen: nobody holds a reference that could be released.
pub const TRANSITIONS: &[Transition] = &[
    row(
        EventKind::Register,
        &[NONE],
        &[When::Lazy],
        &[Act::Step(CauseKind::Register, &[Change::Registered, Change::State(ShardState::New)])],
    ),
    row(
        EventKind::Register,
        &[NONE],
        &[When::Eager],
        &[Act::Step(CauseKind::Register, &[Change::Registered, Change::State(ShardState::Initializing)])],
    ),
    row(
        EventKind::Register,
        &[NEW, INITIALIZING, AVAILABLE, SERVING, RECOVERING, ERRORED],
        &[],
        &[refuse(Said::Exists)],
    ),
    row(EventKind::Register, &[DESTROYING], &[], &[refuse(Said::BeingDestroyed)]),
    row(EventKind::Acquire, &[NONE], &[], &[refuse(Said::NotFound)]),
    row(
        EventKind::Acquire,
        &[NEW],
        &[],
        &[Act::Park, Act::Step(CauseKind::Queue, &[Change::State(ShardState::Initializing)])],
    ),
    row(EventKind::Acquire, &[INITIALIZING, RECOVERING], &[], &[Act::Park]),
    row(EventKind::Acquire, &[AVAILABLE], &[], &[Act::Count, Act::Become(ShardState::Serving), Act::Open, ACQUIRED]),
    row(EventKind::Acquire, &[SERVING], &[], &[Act::Count, Act::Open, ACQUIRED]),
    row(EventKind::Acquire, &[ERRORED], &[When::NotFlagged], &[refuse(Said::StoredError)]),
    row(
        EventKind::Acquire,
        &[ERRORED],
        &[When::Flagged, When::AttemptLeft],
        &[Act::Park, Act::Step(CauseKind::Recover, RECOVERY)],
    ),
    row(
        EventKind::Acquire,
        &[ERRORED],
        &[When::Flagged, When::NoAttemptLeft],
        &[Act::Park, Act::Step(CauseKind::Fail, NO_ATTEMPT_LEFT)],
    ),
    row(EventKind::Acquire, &[ERRORED], &[When::Flagged, When::NoAttemptLeftSaid], &[refuse(Said::StoredError)]),
    row(EventKind::Acquire, &[DESTROYING], &[], &[refuse(Said::WasDestroyed)]),
    row(
        EventKind::Release,
        &[SERVING],
        &[When::LastReference],
        &[Act::GiveBack, RELEASED, Act::Become(ShardState::Available)],
    ),
    row(EventKind::Release, &[SERVING], &[When::MoreReferences], &[Act::GiveBack, RELEASED]),
    row(EventKind::Release, &[RECOVERING, ERRORED], &[When::References], &[Act::GiveBack, RELEASED]),
    row(
        EventKind::AcquireFailed,
        &[SERVING],
        &[When::ThisAttempt, When::Transient],
        &[Act::As(EventKind::Release), refuse(Said::ErrorOfEvent)],
    ),
    row(
        EventKind::AcquireFailed,
        &[SERVING],
        &[When::ThisAttempt, When::Lasting],
        &[Act::As(EventKind::Release), Act::Join, Act::Step(CauseKind::Fail, FAILURE_OF_ACQUIRE)],
    ),
    row(
        EventKind::AcquireFailed,
        &[SERVING],
        &[When::EarlierAttempt],
        &[Act::As(EventKind::Release), refuse(Said::ErrorOfEvent)],
    ),
    row(
        EventKind::AcquireFailed,
        &[RECOVERING, ERRORED],
        &[When::References, When::ThisRegistration],
        &[Act::As(EventKind::Release), refuse(Said::ErrorOfEvent)],
    ),
    row(
        EventKind::AcquireFailed,
        &[SERVING, RECOVERING, ERRORED],
        &[When::References, When::OtherRegistration],
        &[Act::As(EventKind::Release), refuse(Said::NotFound)],
    ),
    row(
        EventKind::IndexLost,
        &[SERVING],
        &[When::ThisAttempt, When::AttemptLeft],
        &[Act::As(EventKind::Release), Act::Park, Act::Step(CauseKind::Recover, RECOVERY)],
    ),
    row(
        EventKind::IndexLost,
        &[SERVING],
        &[When::ThisAttempt, When::NoAttemptLeft],
        &[Act::As(EventKind::Release), Act::Park, Act::Step(CauseKind::Fail, NO_ATTEMPT_LEFT)],
    ),
    row(
        EventKind::IndexLost,
        &[SERVING],
        &[When::OtherAttempt],
        &[Act::As(EventKind::Release), Act::As(EventKind::Acquire)],
    ),
    row(
        EventKind::IndexLost,
        &[RECOVERING, ERRORED],
        &[When::References],
        &[Act::As(EventKind::Release), Act::As(EventKind::Acquire)],
    ),
    row(
        EventKind::Initialize,
        &[NEW],
        &[When::ThisRegistration, When::AttemptLeft],
        &[Act::Step(CauseKind::Initialize, BEGIN)],
    ),
    row(
        EventKind::Initialize,
        &[INITIALIZING, RECOVERING],
        &[When::ThisRegistration, When::AttemptLeft],
        &[Act::Step(CauseKind::Initialize, BEGIN_AGAIN)],
    ),
    row(
        EventKind::Initialize,
        &[NEW, INITIALIZING, RECOVERING],
        &[When::ThisRegistration, When::NoAttemptLeft],
        &[Act::Join, Act::Step(CauseKind::Fail, NO_ATTEMPT_LEFT)],
    ),
    row(EventKind::Initialize, &[NEW, INITIALIZING, RECOVERING], &[When::OtherRegistration], &[refuse(Said::Stale)]),
    row(EventKind::Initialize, &[NONE, AVAILABLE, SERVING, ERRORED, DESTROYING], &[], &[refuse(Said::Stale)]),
    row(
        EventKind::Available,
        &[INITIALIZING, RECOVERING],
        &[When::ThisAttempt],
        &[Act::Step(CauseKind::MakeAvailable, MADE_AVAILABLE)],
    ),
    row(EventKind::Available, &[INITIALIZING, RECOVERING], &[When::OtherAttempt], &[Act::Stale]),
    row(EventKind::Available, &[NONE, NEW, AVAILABLE, SERVING, ERRORED, DESTROYING], &[], &[Act::Stale]),
    row(
        EventKind::Interrupted,
        &[INITIALIZING, RECOVERING],
        &[When::ThisAttempt, When::StartCounted],
        &[Act::Step(CauseKind::Interrupt, &[Change::StartUncounted])],
    ),
    row(EventKind::Interrupted, &[INITIALIZING, RECOVERING], &[When::ThisAttempt, When::NoStartCounted], &[Act::Stale]),
    row(EventKind::Interrupted, &[INITIALIZING, RECOVERING], &[When::OtherAttempt], &[Act::Stale]),
    row(EventKind::Interrupted, &[NONE, NEW, AVAILABLE, SERVING, ERRORED, DESTROYING], &[], &[Act::Stale]),
    row(EventKind::Failed, &[INITIALIZING, RECOVERING], &[When::ThisAttempt], &[Act::Step(CauseKind::Fail, FAILURE)]),
    row(EventKind::Failed, &[INITIALIZING, RECOVERING], &[When::OtherAttempt], &[Act::Stale]),
    row(EventKind::Failed, &[NONE, NEW, AVAILABLE, SERVING, ERRORED, DESTROYING], &[], &[Act::Stale]),
    row(
        EventKind::RetryDue,
        &[ERRORED],
        &[When::ThisRegistration, When::Due, When::AttemptLeft],
        &[Act::Step(CauseKind::Recover, RETRY)],
    ),
    row(
        EventKind::RetryDue,
        &[ERRORED],
        &[When::ThisRegistration, When::Due, When::NoAttemptLeft],
        &[Act::Step(CauseKind::Fail, NO_ATTEMPT_LEFT)],
    ),
    row(EventKind::RetryDue, &[ERRORED], &[When::ThisRegistration, When::Due, When::NoAttemptLeftSaid], &[]),
    row(EventKind::RetryDue, &[ERRORED], &[When::ThisRegistration, When::NotDue], &[Act::Retry]),
    row(EventKind::RetryDue, &[ERRORED], &[When::ThisRegistration, When::NoNextTry], &[Act::Stale]),
    row(EventKind::RetryDue, &[ERRORED], &[When::OtherRegistration], &[Act::Stale]),
    row(
        EventKind::RetryDue,
        &[NONE, NEW, INITIALIZING, AVAILABLE, SERVING, RECOVERING, DESTROYING],
        &[],
        &[Act::Stale],
    ),
    row(EventKind::Recover, &[NONE], &[], &[refuse(Said::NotFound)]),
    row(EventKind::Recover, &[NEW, INITIALIZING, AVAILABLE, SERVING], &[], &[refuse(Said::NotErrored)]),
    row(EventKind::Recover, &[RECOVERING], &[], &[Act::Join]),
    row(EventKind::Recover, &[ERRORED], &[When::AttemptLeft], &[Act::Join, Act::Step(CauseKind::Recover, RECOVERY)]),
    row(
        EventKind::Recover,
        &[ERRORED],
        &[When::NoAttemptLeft],
        &[Act::Join, Act::Step(CauseKind::Fail, NO_ATTEMPT_LEFT)],
    ),
    row(EventKind::Recover, &[ERRORED], &[When::NoAttemptLeftSaid], &[refuse(Said::StoredError)]),
    row(EventKind::Recover, &[DESTROYING], &[], &[refuse(Said::WasDestroyed)]),
    row(EventKind::Destroy, &[NONE], &[], &[refuse(Said::NotFound)]),
    row(EventKind::Destroy, &[NEW, INITIALIZING, AVAILABLE], &[], &[Act::Step(CauseKind::Destroy, DESTROYED)]),
    row(EventKind::Destroy, &[SERVING], &[], &[refuse(Said::InUse)]),
    row(EventKind::Destroy, &[RECOVERING, ERRORED], &[When::NoReferences], &[Act::Step(CauseKind::Destroy, DESTROYED)]),
    row(EventKind::Destroy, &[RECOVERING, ERRORED], &[When::References], &[refuse(Said::InUse)]),
    row(EventKind::Destroy, &[DESTROYING], &[When::Cleaning], &[Act::Join]),
    row(EventKind::Destroy, &[DESTROYING], &[When::NotCleaning], &[Act::Join, Act::CleanUp]),
    row(
        EventKind::Destroyed,
        &[DESTROYING],
        &[When::Cleaning, When::ThisRegistration],
        &[Act::Step(CauseKind::Forget, &[Change::Deleted])],
    ),
    row(EventKind::Destroyed, &[DESTROYING], &[When::Cleaning, When::OtherRegistration], &[Act::Stale]),
    row(EventKind::Destroyed, &[DESTROYING], &[When::NotCleaning], &[Act::Stale]),
    row(EventKind::Destroyed, &[NONE, NEW, INITIALIZING, AVAILABLE, SERVING, RECOVERING, ERRORED], &[], &[Act::Stale]),
    row(
        EventKind::CleanupFailed,
        &[DESTROYING],
        &[When::Cleaning, When::ThisRegistration],
        &[Act::CleanedUp, Act::Tell(Whom::Joined, Said::CleanupIncomplete)],
    ),
    row(EventKind::CleanupFailed, &[DESTROYING], &[When::Cleaning, When::OtherRegistration], &[Act::Stale]),
    row(EventKind::CleanupFailed, &[DESTROYING], &[When::NotCleaning], &[Act::Stale]),
    row(
        EventKind::CleanupFailed,
        &[NONE, NEW, INITIALIZING, AVAILABLE, SERVING, RECOVERING, ERRORED],
        &[],
        &[Act::Stale],
    ),
    row(EventKind::CancelWaiter, EVERYWHERE, &[], &[Act::Leave]),
    row(EventKind::Synced, EVERYWHERE, &[], &[Act::Stale]),
    row(EventKind::NotSynced, EVERYWHERE, &[], &[Act::Stale]),
];
