//! The machine: one function per event, one arm per state.
//!
//! Its table stands in `table/transitions.rs` and is printed in `docs/fsm.md`. The tests compare both in every state, so
//! a change here is a change there.
//!
//! What follows once a step is durable stands in `settle.rs`.

use alloc::boxed::Box;

use dagstore_types::{Attempt, ErrorClass, ErrorKind, Registration, ShardError, ShardRecord, ShardState, UnixMillis};
use smallvec::smallvec;

use crate::settle::{not_synced, synced};
use crate::shard::{Cause, Counted, Shard, Step, WaiterId, Write};
use crate::{Answer, Effect, Effects, Event, Operation, Refusal};

/// Lets `event` happen to `shard` and says what to do, in order.
///
/// Total: every event has a meaning in every state, and one that can't take place changes nothing and answers why. The
/// result depends on nothing but the arguments.
pub fn transition(shard: &mut Shard, event: Event) -> Effects {
    match event {
        Event::Synced => synced(shard),
        Event::NotSynced => not_synced(shard),
        Event::Release => release(shard),
        Event::CancelWaiter { waiter } => cancel_waiter(shard, waiter),
        _ if shard.step.is_some() => smallvec![Effect::Defer(Box::new(event))],
        Event::Register { waiter, record, wait } => register(shard, waiter, record, wait),
        Event::Acquire { waiter, now } => acquire(shard, waiter, now),
        Event::AcquireFailed { waiter, registration, attempt, error, now } => {
            acquire_failed(shard, waiter, (registration, attempt), error, now)
        }
        Event::IndexLost { waiter, registration, attempt, now } => {
            index_lost(shard, waiter, (registration, attempt), now)
        }
        Event::Initialize { waiter, registration, now } => initialize(shard, waiter, registration, now),
        Event::Available { registration, attempt, provisional, now } => {
            available(shard, (registration, attempt), provisional, now)
        }
        Event::Interrupted { registration, attempt, now } => interrupted(shard, (registration, attempt), now),
        Event::Failed { registration, attempt, error, next_try, now } => {
            failed(shard, (registration, attempt), error, next_try, now)
        }
        Event::RetryDue { registration, now } => retry_due(shard, registration, now),
        Event::Recover { waiter, now } => recover(shard, waiter, now),
        Event::Destroy { waiter, now } => destroy(shard, waiter, now),
        Event::Destroyed { registration } => destroyed(shard, registration),
        Event::CleanupFailed { registration, error } => cleanup_failed(shard, registration, &error),
    }
}

fn register(shard: &mut Shard, waiter: WaiterId, mut record: ShardRecord, wait: bool) -> Effects {
    match shard.record.as_ref().map(|record| record.state) {
        None => {
            record.state = if record.lazy { ShardState::New } else { ShardState::Initializing };
            let wait = wait && !record.lazy;
            shard.step = Some(Step { write: Write::Put(record), cause: Cause::Register { waiter, wait } });
            smallvec![Effect::Persist]
        }
        Some(ShardState::Destroying) => refuse(waiter, Refusal::BeingDestroyed),
        Some(
            ShardState::New
            | ShardState::Initializing
            | ShardState::Available
            | ShardState::Serving
            | ShardState::Recovering
            | ShardState::Errored,
        ) => refuse(waiter, Refusal::Exists),
    }
}

fn acquire(shard: &mut Shard, waiter: WaiterId, now: UnixMillis) -> Effects {
    let Some(record) = &shard.record else { return refuse(waiter, Refusal::NotFound) };
    match record.state {
        ShardState::New => {
            shard.parked.insert(waiter);
            shard.put(Cause::Queue, now, |next| next.state = ShardState::Initializing);
            smallvec![Effect::Persist]
        }
        ShardState::Initializing | ShardState::Recovering => {
            shard.parked.insert(waiter);
            smallvec![]
        }
        ShardState::Available | ShardState::Serving => {
            let mut effects = Effects::new();
            open(shard, waiter, now, &mut effects);
            effects
        }
        ShardState::Errored if shard.recover_on_acquire => {
            shard.parked.insert(waiter);
            begin_recovery(shard, 0, now)
        }
        ShardState::Errored => refuse(waiter, Refusal::Failed(stored_error(record))),
        ShardState::Destroying => refuse(waiter, Refusal::Destroyed),
    }
}

/// Counts a reference and asks for an accessor, in a shard that is Available or Serving.
pub(crate) fn open(shard: &mut Shard, waiter: WaiterId, now: UnixMillis, effects: &mut Effects) {
    let Some(Counted { registration, attempt, flipped }) = shard.count_reference(|| now) else { return };
    if flipped {
        effects.push(Effect::WriteBehind);
    }
    effects.push(Effect::Open { waiter, registration, attempt });
    effects.push(Effect::Trace(Operation::ShardAcquire));
}

fn release(shard: &mut Shard) -> Effects {
    let Some(flipped) = shard.release_at_once() else { return smallvec![Effect::Stale] };
    let mut effects: Effects = smallvec![Effect::Trace(Operation::ShardRelease)];
    if flipped {
        effects.push(Effect::WriteBehind);
    }
    effects
}

fn cancel_waiter(shard: &mut Shard, waiter: WaiterId) -> Effects {
    shard.parked.remove(&waiter);
    shard.joined.remove(&waiter);
    smallvec![]
}

fn acquire_failed(
    shard: &mut Shard,
    waiter: WaiterId,
    (registration, attempt): (Registration, Attempt),
    error: ShardError,
    now: UnixMillis,
) -> Effects {
    let mut effects = release(shard);
    let Some(record) = shard.record.as_ref().filter(|record| record.registration == registration) else {
        effects.push(reply(waiter, Answer::Refused(Refusal::NotFound)));
        return effects;
    };
    let usable = matches!(record.state, ShardState::Available | ShardState::Serving);
    // What is wrong with the files of an earlier attempt says nothing about those that are current.
    let current = record.attempt == attempt;
    if error.kind().class() == ErrorClass::Transient || !usable || !current {
        effects.push(reply(waiter, Answer::Refused(Refusal::Failed(error))));
        return effects;
    }
    // The answer waits until the failure is durable.
    shard.joined.insert(waiter);
    begin_failure(shard, error, None, now);
    effects.push(Effect::Persist);
    effects
}

fn index_lost(shard: &mut Shard, waiter: WaiterId, lost: (Registration, Attempt), now: UnixMillis) -> Effects {
    let mut effects = release(shard);
    let Some(record) = shard.record.as_ref() else {
        effects.push(reply(waiter, Answer::Refused(Refusal::NotFound)));
        return effects;
    };
    let current = (record.registration, record.attempt) == lost;
    if current && matches!(record.state, ShardState::Available | ShardState::Serving) {
        shard.parked.insert(waiter);
        effects.extend(begin_recovery(shard, 0, now));
    } else {
        // Somebody else has met the same loss before, or the shard has moved on: ask again.
        effects.extend(acquire(shard, waiter, now));
    }
    effects
}

fn initialize(shard: &mut Shard, waiter: WaiterId, registration: Registration, now: UnixMillis) -> Effects {
    if !shard.wants_work(registration) {
        return refuse(waiter, Refusal::Stale);
    }
    let Some(attempt) = shard.next_attempt() else {
        shard.joined.insert(waiter);
        return without_attempts(shard, now);
    };
    let is_new = shard.record.as_ref().is_some_and(|record| record.state == ShardState::New);
    shard.put(Cause::Initialize { waiter }, now, |next| {
        if is_new {
            next.state = ShardState::Initializing;
        }
        next.attempt = attempt;
        next.starts = next.starts.saturating_add(1);
    });
    smallvec![Effect::Persist]
}

fn available(shard: &mut Shard, work: (Registration, Attempt), provisional: bool, now: UnixMillis) -> Effects {
    if !shard.works_on(work) {
        return smallvec![Effect::Stale];
    }
    shard.put(Cause::MakeAvailable, now, |next| {
        next.state = ShardState::Available;
        next.provisional = provisional;
        next.error = None;
        next.starts = 0;
        next.retries = 0;
        next.next_try = None;
    });
    smallvec![Effect::Persist]
}

fn interrupted(shard: &mut Shard, work: (Registration, Attempt), now: UnixMillis) -> Effects {
    let is_counted = shard.record.as_ref().is_some_and(|record| record.starts > 0);
    if !is_counted || !shard.works_on(work) {
        return smallvec![Effect::Stale];
    }
    shard.put(Cause::Interrupt, now, |next| next.starts -= 1);
    smallvec![Effect::Persist]
}

fn failed(
    shard: &mut Shard,
    work: (Registration, Attempt),
    error: ShardError,
    next_try: Option<UnixMillis>,
    now: UnixMillis,
) -> Effects {
    if !shard.works_on(work) {
        return smallvec![Effect::Stale];
    }
    begin_failure(shard, error, next_try, now);
    smallvec![Effect::Persist]
}

fn retry_due(shard: &mut Shard, registration: Registration, now: UnixMillis) -> Effects {
    let Some(record) = shard.record.as_ref().filter(|record| record.registration == registration) else {
        return smallvec![Effect::Stale];
    };
    match record.next_try {
        Some(due) if record.state == ShardState::Errored && due <= now => {
            let retries = record.retries.saturating_add(1);
            begin_recovery(shard, retries, now)
        }
        Some(at) if record.state == ShardState::Errored => smallvec![Effect::Retry { registration, at }],
        Some(_) | None => smallvec![Effect::Stale],
    }
}

fn recover(shard: &mut Shard, waiter: Option<WaiterId>, now: UnixMillis) -> Effects {
    let refusal = match shard.record.as_ref().map(|record| record.state) {
        None => Refusal::NotFound,
        Some(ShardState::Errored) => {
            shard.joined.extend(waiter);
            return begin_recovery(shard, 0, now);
        }
        Some(ShardState::Recovering) => {
            shard.joined.extend(waiter);
            return smallvec![];
        }
        Some(ShardState::Destroying) => Refusal::Destroyed,
        Some(ShardState::New | ShardState::Initializing | ShardState::Available | ShardState::Serving) => {
            Refusal::NotErrored
        }
    };
    waiter.map_or_else(Effects::new, |waiter| refuse(waiter, refusal))
}

fn destroy(shard: &mut Shard, waiter: WaiterId, now: UnixMillis) -> Effects {
    let Some(record) = &shard.record else { return refuse(waiter, Refusal::NotFound) };
    let registration = record.registration;
    match record.state {
        ShardState::New
        | ShardState::Initializing
        | ShardState::Available
        | ShardState::Serving
        | ShardState::Recovering
        | ShardState::Errored => {
            if shard.references > 0 {
                return refuse(waiter, Refusal::InUse { references: shard.references });
            }
            shard.put(Cause::Destroy { waiter }, now, |next| {
                next.state = ShardState::Destroying;
                next.next_try = None;
            });
            smallvec![Effect::Persist]
        }
        ShardState::Destroying => {
            shard.joined.insert(waiter);
            if shard.cleaning {
                return smallvec![];
            }
            shard.cleaning = true;
            smallvec![Effect::CleanUp { registration }]
        }
    }
}

fn destroyed(shard: &mut Shard, registration: Registration) -> Effects {
    if !shard.cleans(registration) {
        return smallvec![Effect::Stale];
    }
    shard.step = Some(Step { write: Write::Delete(registration), cause: Cause::Forget });
    smallvec![Effect::Persist]
}

fn cleanup_failed(shard: &mut Shard, registration: Registration, error: &ShardError) -> Effects {
    if !shard.cleans(registration) {
        return smallvec![Effect::Stale];
    }
    shard.cleaning = false;
    shard.answer_joined(&Answer::Refused(Refusal::CleanupIncomplete(error.clone())))
}

/// Begins the step to Recovering. The files of the last attempt are given up with it. `retries` is how often the store has
/// tried again by itself; somebody who asks for it begins at 0.
fn begin_recovery(shard: &mut Shard, retries: u32, now: UnixMillis) -> Effects {
    let Some(given_up) = shard.record.as_ref().map(|record| record.attempt) else { return smallvec![] };
    let Some(attempt) = given_up.next() else { return without_attempts(shard, now) };
    shard.put(Cause::Recover { given_up }, now, |next| {
        next.state = ShardState::Recovering;
        next.provisional = false;
        next.starts = 0;
        next.retries = retries;
        next.next_try = None;
        // From here on the record names files that don't exist yet, so a restart can't take the old ones for good.
        next.attempt = attempt;
    });
    smallvec![Effect::Persist]
}

/// The registration has used up the numbers of its attempts: whatever began now would have the files of another attempt.
/// Whoever waits hears of it once it is durable, or now where it is already.
fn without_attempts(shard: &mut Shard, now: UnixMillis) -> Effects {
    let text = "no attempt is left to this registration: destroy the shard and register it again";
    let error = ShardError::new(ErrorKind::TooManyStarts, text);
    let is_durable = shard
        .record
        .as_ref()
        .is_some_and(|record| record.state == ShardState::Errored && record.error.as_ref() == Some(&error));
    if is_durable {
        let answer = Answer::Refused(Refusal::Failed(error));
        let mut effects = shard.answer_parked(&answer);
        effects.extend(shard.answer_joined(&answer));
        return effects;
    }
    begin_failure(shard, error, None, now);
    smallvec![Effect::Persist]
}

fn begin_failure(shard: &mut Shard, error: ShardError, next_try: Option<UnixMillis>, now: UnixMillis) {
    shard.put(Cause::Fail, now, |next| {
        next.state = ShardState::Errored;
        next.next_try = next_try;
        // A start that ended in an error was survived. Only a shard that was given up keeps its count.
        if error.kind() != ErrorKind::TooManyStarts {
            next.starts = 0;
        }
        next.error = Some(error);
    });
}

pub(crate) fn stored_error(record: &ShardRecord) -> ShardError {
    let unknown = || ShardError::new(ErrorKind::Other, "the record says no more than that it failed");
    record.error.clone().unwrap_or_else(unknown)
}

pub(crate) fn reply(waiter: WaiterId, answer: Answer) -> Effect {
    Effect::Reply { waiter, answer }
}

pub(crate) fn refuse(waiter: WaiterId, refusal: Refusal) -> Effects {
    smallvec![reply(waiter, Answer::Refused(refusal))]
}

impl Shard {
    /// Whether work for `registration` has to be done: a task that finds it isn't ends without a word.
    pub fn wants_work(&self, registration: Registration) -> bool {
        self.works_for(registration)
            || self
                .record
                .as_ref()
                .is_some_and(|record| record.registration == registration && record.state == ShardState::New)
    }

    /// Whether the shard is being worked on for `registration`.
    fn works_for(&self, registration: Registration) -> bool {
        self.record.as_ref().is_some_and(|record| {
            record.registration == registration
                && matches!(record.state, ShardState::Initializing | ShardState::Recovering)
        })
    }

    /// Whether this very attempt is the one that is awaited.
    fn works_on(&self, (registration, attempt): (Registration, Attempt)) -> bool {
        self.works_for(registration) && self.record.as_ref().is_some_and(|record| record.attempt == attempt)
    }

    /// The number of the attempt that would come next, if one is left.
    fn next_attempt(&self) -> Option<Attempt> {
        self.record.as_ref().and_then(|record| record.attempt.next())
    }

    fn cleans(&self, registration: Registration) -> bool {
        self.cleaning && self.record.as_ref().is_some_and(|record| record.registration == registration)
    }

    /// Gives everybody who joined the same answer.
    pub(crate) fn answer_joined(&mut self, answer: &Answer) -> Effects {
        core::mem::take(&mut self.joined).into_iter().map(|waiter| reply(waiter, answer.clone())).collect()
    }

    /// Gives everybody who is parked the same answer.
    pub(crate) fn answer_parked(&mut self, answer: &Answer) -> Effects {
        core::mem::take(&mut self.parked).into_iter().map(|waiter| reply(waiter, answer.clone())).collect()
    }
}
