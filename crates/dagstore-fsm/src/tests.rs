//! Tests of the machine: the table row by row, the restart table, and every reachable small shard.

mod explore;
mod restart;
mod retry;
mod table;
mod validate;
mod whole;

use alloc::string::String;
use alloc::vec::Vec;

use dagstore_types::{Attempt, ErrorKind, Registration, ShardError, ShardKey, ShardRecord, ShardState, UnixMillis};

use crate::{Answer, Effect, Effects, Event, Refusal, Shard, WaiterId, transition};

pub(crate) const REGISTRATION: Registration = Registration(7);
pub(crate) const NOW: UnixMillis = UnixMillis(1_000);

pub(crate) fn record(state: ShardState) -> ShardRecord {
    let key = ShardKey::new("shard").unwrap();
    let mut record = ShardRecord::new(key, String::from("file:///shard.car"), false, REGISTRATION, NOW);
    record.state = state;
    record.attempt = Attempt(1);
    if state == ShardState::Errored {
        record.error = Some(error(ErrorKind::Integrity));
    }
    record
}

pub(crate) fn error(kind: ErrorKind) -> ShardError {
    ShardError::new(kind, "it broke")
}

pub(crate) fn shard(state: ShardState) -> Shard {
    Shard { record: Some(record(state)), cleaning: state == ShardState::Destroying, ..Shard::default() }
}

/// A shard with an open accessor.
pub(crate) fn held(state: ShardState) -> Shard {
    Shard { references: 1, ..shard(state) }
}

pub(crate) fn acquire(waiter: u64) -> Event {
    Event::Acquire { waiter: WaiterId(waiter), now: NOW }
}

pub(crate) fn destroy(waiter: u64) -> Event {
    Event::Destroy { waiter: WaiterId(waiter), now: NOW }
}

pub(crate) fn recover(waiter: u64) -> Event {
    Event::Recover { waiter: Some(WaiterId(waiter)), now: NOW }
}

pub(crate) fn register(waiter: u64, lazy: bool) -> Event {
    let mut record = record(ShardState::New);
    record.lazy = lazy;
    record.attempt = Attempt(0);
    Event::Register { waiter: WaiterId(waiter), record, wait: true }
}

pub(crate) fn done(attempt: u32) -> Event {
    Event::Available { registration: REGISTRATION, attempt: Attempt(attempt), provisional: false, now: NOW }
}

pub(crate) fn failed(attempt: u32) -> Event {
    let error = error(ErrorKind::MalformedCar);
    Event::Failed { registration: REGISTRATION, attempt: Attempt(attempt), error, next_try: None, now: NOW }
}

pub(crate) fn failed_to_be_tried_again(attempt: u32) -> Event {
    let error = error(ErrorKind::SourceUnavailable);
    Event::Failed { registration: REGISTRATION, attempt: Attempt(attempt), error, next_try: Some(NOW), now: NOW }
}

pub(crate) fn initialize(waiter: u64) -> Event {
    Event::Initialize { waiter: WaiterId(waiter), registration: REGISTRATION, now: NOW }
}

/// Runs an event and checks the shard afterwards.
pub(crate) fn run(shard: &mut Shard, event: Event) -> Effects {
    let effects = transition(shard, event);
    assert_eq!(shard.validate(), Ok(()), "{shard:?}");
    effects
}

/// Runs an event that must lead to a step, and makes the step durable.
pub(crate) fn run_durably(shard: &mut Shard, event: Event) -> Effects {
    let effects = run(shard, event);
    assert_eq!(effects.last(), Some(&Effect::Persist), "{effects:?}");
    run(shard, Event::Synced)
}

pub(crate) fn state(shard: &Shard) -> Option<ShardState> {
    shard.record().map(|record| record.state)
}

/// The answers among the effects.
pub(crate) fn answers(effects: &Effects) -> Vec<(u64, Answer)> {
    let answer = |effect: &Effect| match effect {
        Effect::Reply { waiter, answer } => Some((waiter.0, answer.clone())),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

/// The waiters for whom an accessor is to be opened.
pub(crate) fn opened(effects: &Effects) -> Vec<u64> {
    let opened = |effect: &Effect| match effect {
        Effect::Open { waiter, .. } => Some(waiter.0),
        _ => None,
    };
    effects.iter().filter_map(opened).collect()
}

pub(crate) fn refused(waiter: u64, refusal: Refusal) -> Vec<(u64, Answer)> {
    alloc::vec![(waiter, Answer::Refused(refusal))]
}
