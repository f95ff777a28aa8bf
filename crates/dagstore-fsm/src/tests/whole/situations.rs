//! Every shard without a step, as far as the machine can tell them apart, and every event.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use dagstore_types::{Attempt, ErrorKind, Registration, ShardError, ShardRecord, ShardState, UnixMillis};

use crate::tests::{NOW, REGISTRATION, error, record};
use crate::{Event, Shard, WaiterId};

/// Before every event, so that a change of the record is seen to set its time.
const BEFORE: UnixMillis = UnixMillis(500);
const LATER: UnixMillis = UnixMillis(NOW.0 + 1);
const EARLIER: UnixMillis = UnixMillis(NOW.0 - 1);

const ATTEMPT: Attempt = Attempt(3);
const LAST_ATTEMPT: Attempt = Attempt(u32::MAX);

/// Waiters that are there before the event.
const PARKED: [WaiterId; 2] = [WaiterId(20), WaiterId(21)];
const JOINED: WaiterId = WaiterId(30);

/// What a shard says once its attempts are used up.
pub(super) fn no_attempt_left() -> ShardError {
    let text = "no attempt is left to this registration: destroy the shard and register it again";
    ShardError::new(ErrorKind::TooManyStarts, text)
}

/// Every shard without a step.
pub(super) fn at_rest() -> Vec<Shard> {
    let mut shards = vec![Shard::absent()];
    for state in ShardState::ALL {
        for record in records(state) {
            shards.extend(around(&record));
        }
    }
    shards
}

fn records(state: ShardState) -> Vec<ShardRecord> {
    // Numbers are never 0 where setting them to 0 is to be seen, but for starts, of which the machine asks.
    let base = ShardRecord { changed: BEFORE, retries: 2, attempt: ATTEMPT, ..record(state) };
    let errors = match state {
        ShardState::Errored => vec![None, Some(error(ErrorKind::Integrity)), Some(no_attempt_left())],
        ShardState::Recovering => vec![None, Some(no_attempt_left())],
        _ => vec![None],
    };
    let mut records = Vec::new();
    for lazy in [false, true] {
        for attempt in [ATTEMPT, LAST_ATTEMPT] {
            for starts in [0, 2] {
                for next_try in [None, Some(EARLIER), Some(NOW), Some(LATER)] {
                    for error in &errors {
                        let error = error.clone();
                        records.push(ShardRecord { lazy, attempt, starts, next_try, error, ..base.clone() });
                    }
                }
            }
        }
    }
    records
}

/// What can live in memory around the record.
fn around(record: &ShardRecord) -> Vec<Shard> {
    let (counts, may_wait, may_flag, may_clean): (&[u32], _, _, _) = match record.state {
        ShardState::New | ShardState::Available => (&[0], false, false, false),
        ShardState::Initializing => (&[0], true, false, false),
        ShardState::Serving => (&[1, 2], false, false, false),
        ShardState::Recovering => (&[0, 1, 2], true, false, false),
        ShardState::Errored => (&[0, 1, 2], false, true, false),
        ShardState::Destroying => (&[0], false, false, true),
    };
    let flags = |may: bool| if may { vec![false, true] } else { vec![false] };
    let mut shards = Vec::new();
    for references in counts {
        for parked in flags(may_wait) {
            for joined in flags(may_wait || may_clean) {
                for recover_on_acquire in flags(may_flag) {
                    for cleaning in flags(may_clean) {
                        shards.push(Shard {
                            record: Some(record.clone()),
                            step: None,
                            references: *references,
                            parked: if parked { PARKED.into() } else { BTreeSet::new() },
                            joined: if joined { [JOINED].into() } else { BTreeSet::new() },
                            recover_on_acquire,
                            cleaning,
                        });
                    }
                }
            }
        }
    }
    shards
}

/// Every event, in every way that the machine can tell apart; only those of accessors where there is a reference.
pub(super) fn events(shard: &Shard) -> Vec<Event> {
    let waiter = WaiterId(10);
    let mut events = vec![
        Event::Synced,
        Event::NotSynced,
        Event::Acquire { waiter, now: NOW },
        Event::Recover { waiter: Some(waiter), now: NOW },
        Event::Recover { waiter: None, now: NOW },
        Event::Destroy { waiter, now: NOW },
    ];
    events.extend([PARKED[0], PARKED[1], JOINED, waiter].map(|waiter| Event::CancelWaiter { waiter }));
    for lazy in [false, true] {
        for wait in [false, true] {
            let record = ShardRecord { lazy, attempt: Attempt(0), changed: NOW, ..record(ShardState::New) };
            events.push(Event::Register { waiter, record, wait });
        }
    }
    for registration in [REGISTRATION, Registration(8), Registration(6)] {
        events.push(Event::Initialize { waiter, registration, now: NOW });
        events.push(Event::RetryDue { registration, now: NOW });
        events.push(Event::Destroyed { registration });
        events.push(Event::CleanupFailed { registration, error: error(ErrorKind::Storage) });
    }
    let attempt = shard.record().map_or(ATTEMPT, |record| record.attempt);
    let others = [Attempt(attempt.0.wrapping_add(1)), Attempt(attempt.0 - 1)];
    for attempt in [attempt, others[0], others[1]] {
        events.extend(of_work(REGISTRATION, attempt));
    }
    events.extend(of_work(Registration(8), attempt));
    if shard.references() > 0 {
        events.push(Event::Release);
        events.extend(of_accessors(waiter, REGISTRATION, attempt));
        events.extend(of_accessors(waiter, REGISTRATION, others[1]));
        events.extend(of_accessors(waiter, Registration(8), attempt));
    }
    events
}

fn of_work(registration: Registration, attempt: Attempt) -> Vec<Event> {
    let mut events = vec![
        Event::Available { registration, attempt, provisional: false, now: NOW },
        Event::Interrupted { registration, attempt, now: NOW },
    ];
    for kind in [ErrorKind::SourceUnavailable, ErrorKind::TooManyStarts] {
        for next_try in [None, Some(LATER)] {
            events.push(Event::Failed { registration, attempt, error: error(kind), next_try, now: NOW });
        }
    }
    events
}

fn of_accessors(waiter: WaiterId, registration: Registration, attempt: Attempt) -> Vec<Event> {
    let failed = |kind| Event::AcquireFailed { waiter, registration, attempt, error: error(kind), now: NOW };
    let mut events: Vec<Event> = ErrorKind::ALL.into_iter().map(failed).collect();
    events.push(Event::IndexLost { waiter, registration, attempt, now: NOW });
    events
}
