//! Every shard that can be reached with few waiters and references, and every event in each of them.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dagstore_types::{ErrorKind, ShardState};

use super::*;
use crate::{Restart, Write};

/// Bounds that keep the exploration finite: numbers beyond them behave like those below.
const MOST_REFERENCES: u32 = 2;
const MOST_WAITERS: usize = 2;
const MOST_ATTEMPTS: u32 = 4;
const MOST_RETRIES: u32 = 1;

fn events(shard: &Shard) -> Vec<Event> {
    let attempt = shard.record().map_or(1, |record| record.attempt.0);
    let current = Attempt(attempt);
    let mut events = alloc::vec![
        Event::Synced,
        Event::NotSynced,
        register(1, true),
        register(1, false),
        acquire(2),
        acquire(3),
        initialize(4),
        done(attempt),
        done(attempt + 1),
        failed(attempt),
        failed_to_be_tried_again(attempt),
        Event::RetryDue { registration: REGISTRATION, now: NOW },
        Event::Interrupted { registration: REGISTRATION, attempt: current, now: NOW },
        recover(5),
        Event::Recover { waiter: None, now: NOW },
        destroy(6),
        Event::Destroyed { registration: REGISTRATION },
        Event::CleanupFailed { registration: REGISTRATION, error: error(ErrorKind::Storage) },
        Event::CancelWaiter { waiter: WaiterId(2) },
    ];
    if shard.references() > 0 {
        let (waiter, registration) = (WaiterId(3), REGISTRATION);
        events.push(Event::Release);
        events.push(Event::IndexLost { waiter, registration, attempt: current, now: NOW });
        for kind in [ErrorKind::SourceUnavailable, ErrorKind::SourceChanged] {
            events.push(Event::AcquireFailed { waiter, registration, error: error(kind), now: NOW });
        }
    }
    events
}

fn within_bounds(shard: &Shard) -> bool {
    shard.references() <= MOST_REFERENCES
        && shard.parked() <= MOST_WAITERS
        && shard.joined.len() <= MOST_WAITERS
        && shard.record().is_none_or(|record| record.attempt.0 <= MOST_ATTEMPTS && record.retries <= MOST_RETRIES)
}

/// What must hold of one transition.
fn check(before: &Shard, event: &Event, after: &Shard, effects: &Effects) -> Result<(), String> {
    let told = |what: &str| Err(format!("{what}: {before:?} + {event:?} -> {effects:?}"));
    if let Err(rule) = after.validate() {
        return told(rule);
    }
    if effects.as_slice() == [Effect::Defer(alloc::boxed::Box::new(event.clone()))] {
        return if before == after { Ok(()) } else { told("a deferred event changed something") };
    }
    let persist = effects.iter().position(|effect| *effect == Effect::Persist);
    let begins_step = before.step().is_none() && after.step().is_some();
    if begins_step != (persist.is_some() && before.step().is_none()) {
        return told("a step and its Persist go together");
    }
    let starts_work = |effect: &Effect| {
        matches!(effect, Effect::Enqueue { .. } | Effect::CleanUp { .. } | Effect::Open { .. } | Effect::Forget)
    };
    if begins_step && effects.iter().any(|effect| starts_work(effect) || matches!(effect, Effect::Reply { .. })) {
        return told("something was heard of before it was durable");
    }
    let durable_change = match (before.record(), after.record()) {
        (Some(old), Some(new)) => !same_but_for_serving(old, new),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    };
    if durable_change && *event != Event::Synced {
        return told("the record changed without a sync");
    }
    if let Some(step) = after.step().filter(|_| begins_step)
        && let (Write::Put(next), Some(record)) = (&step.write, before.record())
        && next.same_but_for_time(record)
    {
        return told("a write without a change");
    }
    let opened = effects.iter().filter(|effect| matches!(effect, Effect::Open { .. })).count();
    let ended = matches!(event, Event::Release | Event::AcquireFailed { .. } | Event::IndexLost { .. });
    if before.references() as usize + opened - usize::from(ended) != after.references() as usize {
        return told("references don't add up");
    }
    check_waiters(before, event, after, effects).map_or(Ok(()), told)
}

/// Nobody who waits is lost, and nobody is answered twice.
fn check_waiters(before: &Shard, event: &Event, after: &Shard, effects: &Effects) -> Option<&'static str> {
    let waiting = |shard: &Shard| {
        let mut waiting: Vec<WaiterId> = shard.parked.iter().chain(&shard.joined).copied().collect();
        if let Some(
            crate::Cause::Register { waiter, .. }
            | crate::Cause::Initialize { waiter }
            | crate::Cause::Destroy { waiter },
        ) = shard.step().map(|step| step.cause)
        {
            waiting.push(waiter);
        }
        waiting
    };
    let mut expected = waiting(before);
    match event {
        Event::CancelWaiter { waiter } => expected.retain(|waiting| waiting != waiter),
        Event::Register { waiter, .. }
        | Event::Acquire { waiter, .. }
        | Event::AcquireFailed { waiter, .. }
        | Event::IndexLost { waiter, .. }
        | Event::Initialize { waiter, .. }
        | Event::Recover { waiter: Some(waiter), .. }
        | Event::Destroy { waiter, .. } => expected.push(*waiter),
        Event::Release
        | Event::Available { .. }
        | Event::Interrupted { .. }
        | Event::Failed { .. }
        | Event::RetryDue { .. }
        | Event::Recover { waiter: None, .. }
        | Event::Destroyed { .. }
        | Event::CleanupFailed { .. }
        | Event::Synced
        | Event::NotSynced => {}
    }
    let mut found = waiting(after);
    for effect in effects {
        match effect {
            Effect::Reply { waiter, .. } | Effect::Open { waiter, .. } => found.push(*waiter),
            _ => {}
        }
    }
    expected.sort_unstable();
    found.sort_unstable();
    (expected != found).then_some("a waiter was lost or answered twice")
}

fn same_but_for_serving(old: &ShardRecord, new: &ShardRecord) -> bool {
    let level = |record: &ShardRecord| {
        let mut record = record.clone();
        if record.state == ShardState::Serving {
            record.state = ShardState::Available;
        }
        record
    };
    level(old).same_but_for_time(&level(new))
}

#[test]
fn no_event_in_no_reachable_shard_breaks_a_rule() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let errored = record(ShardState::Errored);
    let mut queue = alloc::vec![Shard::absent(), Shard::restored(errored, &Restart::RecoverOnAcquire)];
    queue.extend(ShardState::ALL.map(|state| Shard::restored(record(state), &restart_outcome(state))));
    let mut states = BTreeSet::new();
    while let Some(shard) = queue.pop() {
        if !seen.insert(format!("{shard:?}")) {
            continue;
        }
        states.extend(state(&shard));
        for event in events(&shard) {
            let mut next = shard.clone();
            let effects = transition(&mut next, event.clone());
            if let Err(broken) = check(&shard, &event, &next, &effects) {
                panic!("{broken}");
            }
            if within_bounds(&next) {
                queue.push(next);
            }
        }
    }
    assert_eq!(states.len(), ShardState::ALL.len(), "every state is reached");
    assert!(seen.len() > 1_000, "only {} shards were explored", seen.len());
}

fn restart_outcome(state: ShardState) -> Restart {
    if state == ShardState::Destroying { Restart::FinishDestroy } else { Restart::Rest }
}
