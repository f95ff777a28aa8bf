//! The tables' words: one phrase for each thing that a row can say.

use dagstore_fsm::RecoveryPolicy;
use dagstore_fsm::table::{
    Act, CauseKind, Change, EventKind, PLACES, Place, RestartKind, RestartWhen, Said, When, Whom,
};
use dagstore_types::ShardState;

/// The name of a state, or `none`.
pub(crate) fn place(place: Place) -> &'static str {
    place.map_or("none", ShardState::name)
}

/// The names of some states; `any` for all of them.
pub(crate) fn places(places: &[Place]) -> String {
    if places.len() == PLACES.len() {
        return "any".to_owned();
    }
    places.iter().map(|at| place(*at)).collect::<Vec<_>>().join(", ")
}

/// What a state means.
pub(crate) fn meaning(state: ShardState) -> &'static str {
    match state {
        ShardState::New => "Registered, and nothing done yet. A lazy shard rests here until it is first acquired.",
        ShardState::Initializing => "Being read and indexed for the first time.",
        ShardState::Available => "Indexed. Nobody has it open.",
        ShardState::Serving => "Indexed, and somebody has it open.",
        ShardState::Destroying => "Being removed. A restart finishes what was begun.",
        ShardState::Recovering => "Being read and indexed again, after a failure or because its index was lost.",
        ShardState::Errored => "Failed. The record keeps the error.",
    }
}

/// What an event tells.
pub(crate) fn event(event: EventKind) -> &'static str {
    match event {
        EventKind::Register => "Somebody registers the shard.",
        EventKind::Acquire => "Somebody wants an accessor.",
        EventKind::Release => "An accessor was dropped.",
        EventKind::AcquireFailed => "An accessor that holds a reference already could not be opened.",
        EventKind::IndexLost => "An accessor that holds a reference already found the index missing or damaged.",
        EventKind::Initialize => "A task has room to begin, and asks to be counted before it does.",
        EventKind::Available => "A task's work is done: the index is published.",
        EventKind::Interrupted => "A task was ended before its work was done, because the store closes.",
        EventKind::Failed => "A task's work failed.",
        EventKind::RetryDue => "The time has come at which the store wanted to try again by itself.",
        EventKind::Recover => "Somebody wants a failed shard back.",
        EventKind::Destroy => "Somebody wants the shard gone.",
        EventKind::Destroyed => "Everything that belonged to the shard is removed, but for its record.",
        EventKind::CleanupFailed => "Something that belonged to the shard could not be removed.",
        EventKind::CancelWaiter => "Somebody who waits has gone away.",
        EventKind::Synced => "The step is durable.",
        EventKind::NotSynced => "The step could not be made durable in time.",
    }
}

/// What a step is for.
pub(crate) fn cause(cause: CauseKind) -> &'static str {
    match cause {
        CauseKind::Register => "a registration",
        CauseKind::Queue => "the first acquire of a lazy shard",
        CauseKind::Recover => "a recovery",
        CauseKind::Initialize => "work begins",
        CauseKind::Interrupt => "work was ended, and its start isn't counted",
        CauseKind::MakeAvailable => "work is done",
        CauseKind::Fail => "a failure",
        CauseKind::Destroy => "a destruction begins",
        CauseKind::Forget => "a destruction has ended",
    }
}

/// All conditions of a row, but for the usual one that an attempt is left.
pub(crate) fn conditions(when: &[When]) -> String {
    let told = when.iter().filter(|when| **when != When::AttemptLeft);
    told.map(|when| condition(*when)).collect::<Vec<_>>().join(", ")
}

/// The conditions of a row that aren't met in the usual course of things already.
pub(crate) fn unusual_conditions(when: &[When]) -> String {
    let usual = |when: &When| matches!(when, When::ThisRegistration | When::ThisAttempt);
    conditions(&when.iter().copied().filter(|when| !usual(when)).collect::<Vec<_>>())
}

fn condition(when: When) -> &'static str {
    match when {
        When::Lazy => "lazy",
        When::Eager => "eager",
        When::Waits => "waits for the work",
        When::DoesNotWait => "doesn't wait for the work",
        When::References => "open references",
        When::NoReferences => "no references",
        When::LastReference => "the last reference",
        When::MoreReferences => "not the last reference",
        When::Parked => "somebody is parked",
        When::NobodyParked => "nobody is parked",
        When::Flagged => "recovers on acquire",
        When::NotFlagged => "doesn't recover on acquire",
        When::Cleaning => "clean-up under way",
        When::NotCleaning => "no clean-up under way",
        When::ThisRegistration => "this registration",
        When::OtherRegistration => "another registration",
        When::ThisAttempt => "this attempt",
        When::OtherAttempt => "another registration or attempt",
        When::EarlierAttempt => "another attempt",
        When::StartCounted => "a start is counted",
        When::NoStartCounted => "no start is counted",
        When::Transient => "the error may pass",
        When::Lasting => "the error stays",
        When::Due => "due",
        When::NotDue => "not due yet",
        When::NextTry => "to be tried again",
        When::NoNextTry => "not to be tried again",
        When::AttemptLeft => "an attempt is left",
        When::NoAttemptLeft => "no attempt is left",
        When::NoAttemptLeftSaid => "no attempt is left, and the record says so",
    }
}

/// All that follows, in order.
pub(crate) fn acts(acts: &[Act]) -> String {
    if acts.is_empty() {
        return "nothing".to_owned();
    }
    acts.iter().map(|act| self::act(*act)).collect::<Vec<_>>().join("; ")
}

fn act(act: Act) -> String {
    let text = match act {
        Act::As(event) => return format!("as {}", event.name()),
        Act::Become(state) => return format!("**{state}** at once, written behind"),
        Act::Step(cause, changes) => return format!("step *{}*: {}", cause.name(), self::changes(changes)),
        Act::Tell(whom, said) => return format!("{}{}", self::whom(whom), self::said(said)),
        Act::Trace(operation) => return format!("trace `{}`", operation.name()),
        Act::Park => "park the caller",
        Act::Join => "the caller waits for the end",
        Act::JoinAsker => "who asked waits for the end",
        Act::Leave => "it waits no more",
        Act::Count => "one reference more",
        Act::GiveBack => "one reference less",
        Act::Open => "open an accessor",
        Act::OpenParked => "count and open one for each who is parked",
        Act::Unflag => "recovers on acquire no more",
        Act::CleanUp => "clean up",
        Act::CleanedUp => "the clean-up has ended",
        Act::Enqueue => "work is queued",
        Act::Discard => "remove the last attempt's files",
        Act::Retry => "come back at the next try",
        Act::Failure => "tell the failure",
        Act::Stale => "stale",
        Act::Rewrite => "give the step up, write the row as the record is",
        Act::PersistAgain => "write the step again",
        Act::Forget => "forget the shard",
    };
    text.to_owned()
}

fn changes(changes: &[Change]) -> String {
    let change = |change: &Change| match change {
        Change::Registered => "the record as given".to_owned(),
        Change::State(state) => format!("**{state}**"),
        Change::AttemptNext => "next attempt".to_owned(),
        Change::StartCounted => "starts + 1".to_owned(),
        Change::StartUncounted => "starts - 1".to_owned(),
        Change::StartsZero => "starts 0".to_owned(),
        Change::StartsZeroUnlessTooMany => "starts 0, unless they were too many".to_owned(),
        Change::RetriesZero => "retries 0".to_owned(),
        Change::RetryCounted => "retries + 1".to_owned(),
        Change::NoNextTry => "no next try".to_owned(),
        Change::NextTryOfEvent => "its next try".to_owned(),
        Change::NoError => "no error".to_owned(),
        Change::ErrorOfEvent => "its error".to_owned(),
        Change::ErrorNoAttemptLeft => "the error \"no attempt is left\"".to_owned(),
        Change::Deleted => "**none**, the record is deleted".to_owned(),
    };
    changes.iter().map(change).collect::<Vec<_>>().join(", ")
}

fn whom(whom: Whom) -> &'static str {
    match whom {
        Whom::Caller => "",
        Whom::Asker => "who asked: ",
        Whom::Parked => "the parked: ",
        Whom::Joined => "those who wait for the end: ",
    }
}

/// An answer.
pub(crate) fn said(said: Said) -> &'static str {
    match said {
        Said::Registered => "answer *registered*",
        Said::Ready => "answer *ready*",
        Said::Begin => "answer *begin*",
        Said::Destroyed => "answer *destroyed*",
        Said::NotFound => "refuse: not found",
        Said::Exists => "refuse: exists",
        Said::BeingDestroyed => "refuse: being destroyed",
        Said::WasDestroyed => "refuse: destroyed",
        Said::NotErrored => "refuse: not errored",
        Said::InUse => "refuse: in use",
        Said::StoredError => "refuse: the stored error",
        Said::ErrorOfEvent => "refuse: this error",
        Said::CleanupIncomplete => "refuse: clean-up incomplete",
        Said::NotDurable => "refuse: not durable",
        Said::Stale => "refuse: stale",
    }
}

/// All conditions of a row of the restart table.
pub(crate) fn restart_conditions(when: &[RestartWhen]) -> String {
    let condition = |when: &RestartWhen| match when {
        RestartWhen::Lazy => "lazy",
        RestartWhen::Eager => "eager",
        RestartWhen::IndexComplete => "the attempt's index is complete",
        RestartWhen::NoIndex => "no complete index",
        RestartWhen::StartsLeft => "fewer starts than allowed",
        RestartWhen::StartsUsedUp => "as many starts as allowed",
        RestartWhen::GivenUp => "given up: too many starts",
        RestartWhen::NotGivenUp => "not given up",
        RestartWhen::Retries => "the store tries again by itself",
        RestartWhen::NoRetries => "the store doesn't try again by itself",
        RestartWhen::RetriesLeft => "fewer retries than allowed",
        RestartWhen::RetriesUsedUp => "as many retries as allowed",
        RestartWhen::NextTry => "to be tried again",
        RestartWhen::NoNextTry => "not to be tried again",
        RestartWhen::Policy(RecoveryPolicy::DoNotRecover) => "policy `DoNotRecover`",
        RestartWhen::Policy(RecoveryPolicy::RecoverOnAcquire) => "policy `RecoverOnAcquire`",
        RestartWhen::Policy(RecoveryPolicy::RecoverNow) => "policy `RecoverNow`",
        RestartWhen::Policy(_) => "another policy",
    };
    when.iter().map(condition).collect::<Vec<_>>().join(", ")
}

/// What a restart does.
pub(crate) fn restart(kind: RestartKind) -> &'static str {
    match kind {
        RestartKind::Rest => "nothing",
        RestartKind::RecoverOnAcquire => "recovers when it is next acquired",
        RestartKind::Recover => "recovers now",
        RestartKind::RetryAtNextTry => "is tried again when its time has come",
        RestartKind::Initialize => "the work begins again",
        RestartKind::MakeAvailable => "**Available**, without any work",
        RestartKind::GiveUp => "**Errored**: it did not survive so many starts",
        RestartKind::FinishDestroy => "the destruction is finished",
    }
}
