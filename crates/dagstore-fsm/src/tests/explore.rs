//! Every shard that can be reached with few waiters and references, and every event in each of them.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dagstore_types::{ErrorKind, ShardState};

use super::*;
use crate::{Cause, Counted, Operation, Restart, Write};

/// Bounds that keep the exploration finite: numbers beyond them behave like those below.
const MOST_REFERENCES: u32 = 2;
const MOST_WAITERS: usize = 2;
const MOST_ATTEMPTS: u32 = 4;
const MOST_RETRIES: u32 = 1;
/// Where the last numbers of attempts begin, which are explored like the first ones.
const LAST_ATTEMPTS: u32 = u32::MAX - 2;

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
        done(attempt.wrapping_add(1)),
        failed(attempt),
        failed_to_be_tried_again(attempt),
        Event::RetryDue { registration: REGISTRATION, now: NOW },
        Event::Interrupted { registration: REGISTRATION, attempt: current, now: NOW },
        recover(5),
        recover(7),
        Event::Recover { waiter: None, now: NOW },
        destroy(6),
        destroy(8),
        Event::Destroyed { registration: REGISTRATION },
        Event::CleanupFailed { registration: REGISTRATION, error: error(ErrorKind::Storage) },
        Event::CancelWaiter { waiter: WaiterId(2) },
    ];
    if shard.references() > 0 {
        let (waiter, registration) = (WaiterId(9), REGISTRATION);
        events.push(Event::Release);
        events.push(Event::IndexLost { waiter, registration, attempt: current, now: NOW });
        for kind in [ErrorKind::SourceUnavailable, ErrorKind::SourceChanged] {
            events.push(Event::AcquireFailed { waiter, registration, attempt: current, error: error(kind), now: NOW });
        }
        let (attempt, error) = (Attempt(0), error(ErrorKind::SourceChanged));
        events.push(Event::AcquireFailed { waiter, registration, attempt, error, now: NOW });
    }
    // Nobody waits for two things at once: the numbers of waiters are unique.
    let waiting = waiting(shard);
    events.retain(|event| event.waiter().is_none_or(|waiter| !waiting.contains(&waiter)));
    events
}

fn within_bounds(shard: &Shard) -> bool {
    shard.references() <= MOST_REFERENCES
        && shard.parked() <= MOST_WAITERS
        && shard.joined.len() <= MOST_WAITERS
        && shard.record().is_none_or(|record| {
            (record.attempt.0 <= MOST_ATTEMPTS || record.attempt.0 >= LAST_ATTEMPTS) && record.retries <= MOST_RETRIES
        })
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

/// Everybody who waits for an answer.
fn waiting(shard: &Shard) -> Vec<WaiterId> {
    let mut waiting: Vec<WaiterId> = shard.parked.iter().chain(&shard.joined).copied().collect();
    if let Some(Cause::Register { waiter, .. } | Cause::Initialize { waiter } | Cause::Destroy { waiter }) =
        shard.step().map(|step| step.cause)
    {
        waiting.push(waiter);
    }
    waiting
}

/// The short ways to count a reference and to give it back do what the events do, or nothing.
fn check_short_ways(shard: &Shard) -> Result<(), String> {
    let (mut short, mut long) = (shard.clone(), shard.clone());
    let effects = transition(&mut long, acquire(1));
    let mut wanted = Effects::new();
    if let Some(counted) = short.acquire_at_once(|| NOW) {
        let Counted { registration, attempt, flipped } = counted;
        wanted.extend(flipped.then_some(Effect::WriteBehind));
        wanted.push(Effect::Open { waiter: WaiterId(1), registration, attempt });
        wanted.push(Effect::Trace(Operation::ShardAcquire));
        if (&wanted, &short) != (&effects, &long) {
            return Err(format!("acquire at once isn't acquire: {shard:?} -> {short:?} {wanted:?}"));
        }
    } else if !opened(&effects).is_empty() || short != *shard {
        return Err(format!("acquire at once: {shard:?} -> {short:?}, the event gives {effects:?}"));
    }
    if shard.references() == 0 {
        return Ok(());
    }
    let (mut short, mut long) = (shard.clone(), shard.clone());
    let effects = transition(&mut long, Event::Release);
    let flipped = short.release_at_once();
    wanted = Effects::from_iter([Effect::Trace(Operation::ShardRelease)]);
    wanted.extend((flipped == Some(true)).then_some(Effect::WriteBehind));
    if flipped.is_none() || (&wanted, &short) != (&effects, &long) {
        return Err(format!("release at once isn't release: {shard:?} -> {short:?} {wanted:?}"));
    }
    Ok(())
}

/// A shard at rest is what its record makes of it, but for what to do at the next acquire.
fn check_rest(shard: &Shard) -> Result<(), String> {
    let bare = Shard { record: shard.record.clone(), recover_on_acquire: shard.recover_on_acquire, ..Shard::default() };
    let told = || format!("at rest is {}: {shard:?}", shard.is_at_rest());
    if shard.is_at_rest() == (*shard == bare) { Ok(()) } else { Err(told()) }
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
    let last = ShardRecord { attempt: Attempt(LAST_ATTEMPTS), ..record(ShardState::New) };
    queue.push(Shard::restored(last, &Restart::Rest));
    let mut states = BTreeSet::new();
    while let Some(shard) = queue.pop() {
        if !seen.insert(format!("{shard:?}")) {
            continue;
        }
        states.extend(state(&shard));
        if let Err(broken) = check_short_ways(&shard).and_then(|()| check_rest(&shard)) {
            panic!("{broken}");
        }
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
