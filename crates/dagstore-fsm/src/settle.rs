//! What follows once a step is durable, or once it is clear that it isn't.

use dagstore_types::{ShardRecord, ShardState, UnixMillis};
use smallvec::smallvec;

use crate::shard::{Cause, Shard, Step, Write};
use crate::transition::{open, reply, stored_error};
use crate::{Answer, Effect, Effects, Operation, Refusal};

/// The step is durable: it becomes the record, and now everybody may hear of it.
pub(crate) fn synced(shard: &mut Shard) -> Effects {
    let Some(Step { write, cause }) = shard.step.take() else { return smallvec![Effect::Stale] };
    let (registration, now) = match &write {
        Write::Put(record) => (record.registration, record.changed),
        Write::Delete(registration) => (*registration, UnixMillis::default()),
    };
    shard.record = match write {
        Write::Put(record) => Some(record),
        Write::Delete(_) => None,
    };
    match cause {
        Cause::Register { waiter, wait } => {
            let mut effects: Effects = smallvec![Effect::Trace(Operation::ShardRegister)];
            if wait {
                shard.joined.insert(waiter);
            } else {
                effects.push(reply(waiter, Answer::Registered));
            }
            if shard.record.as_ref().is_some_and(|record| record.state == ShardState::Initializing) {
                effects.push(Effect::Enqueue { registration });
            }
            effects
        }
        Cause::Queue => smallvec![Effect::Enqueue { registration }],
        Cause::Recover { given_up } => {
            shard.recover_on_acquire = false;
            smallvec![
                Effect::Trace(Operation::ShardRecover),
                Effect::Discard { registration, attempt: given_up },
                Effect::Enqueue { registration },
            ]
        }
        Cause::Initialize { waiter } => {
            let attempt = shard.record.as_ref().map(|record| record.attempt).unwrap_or_default();
            smallvec![Effect::Trace(Operation::ShardInitialize), reply(waiter, Answer::Begin(attempt))]
        }
        Cause::Interrupt => smallvec![],
        Cause::MakeAvailable => made_available(shard, now),
        Cause::Fail => failed(shard),
        Cause::Destroy { waiter } => {
            let mut effects: Effects = smallvec![Effect::Trace(Operation::ShardDestroy)];
            let gone = Answer::Refused(Refusal::Destroyed);
            effects.extend(shard.answer_parked(&gone));
            effects.extend(shard.answer_joined(&gone));
            shard.joined.insert(waiter);
            shard.recover_on_acquire = false;
            shard.cleaning = true;
            effects.push(Effect::CleanUp { registration });
            effects
        }
        Cause::Forget => {
            shard.cleaning = false;
            let mut effects = shard.answer_joined(&Answer::Destroyed);
            effects.push(Effect::Forget);
            effects
        }
    }
}

fn made_available(shard: &mut Shard, now: UnixMillis) -> Effects {
    let mut effects: Effects = smallvec![Effect::Trace(Operation::ShardMakeAvailable)];
    effects.extend(shard.answer_joined(&Answer::Ready));
    if shard.references > 0
        && let Some(record) = &mut shard.record
    {
        // Accessors that were open all along: recovery doesn't disturb them.
        record.state = ShardState::Serving;
        effects.push(Effect::WriteBehind);
    }
    for waiter in core::mem::take(&mut shard.parked) {
        open(shard, waiter, now, &mut effects);
    }
    effects
}

fn failed(shard: &mut Shard) -> Effects {
    let Some(error) = shard.record.as_ref().map(stored_error) else { return smallvec![Effect::Stale] };
    let answer = Answer::Refused(Refusal::Failed(error.clone()));
    let mut effects: Effects = smallvec![Effect::Trace(Operation::ShardFail)];
    effects.extend(shard.answer_parked(&answer));
    effects.extend(shard.answer_joined(&answer));
    effects.push(Effect::Failure(error));
    effects.extend(retry(shard));
    effects
}

/// The step isn't durable in time, or nobody knows whether it is.
///
/// What somebody asked for is given up, and the row is set back to the record, which stands. What has happened stays
/// the step: those who wait are told, and it is written again.
pub(crate) fn not_synced(shard: &mut Shard) -> Effects {
    let Some(Step { write, cause }) = shard.step.take() else { return smallvec![Effect::Stale] };
    let answer = Answer::Refused(Refusal::NotDurable);
    let mut effects = Effects::new();
    match cause {
        Cause::Register { waiter, .. } | Cause::Destroy { waiter } => effects.push(reply(waiter, answer)),
        Cause::Initialize { waiter } => {
            effects.push(reply(waiter, answer.clone()));
            effects.extend(shard.answer_parked(&answer));
            effects.extend(shard.answer_joined(&answer));
        }
        Cause::Interrupt => {}
        Cause::Queue | Cause::Recover { .. } => {
            effects.extend(shard.answer_parked(&answer));
            effects.extend(shard.answer_joined(&answer));
        }
        Cause::MakeAvailable | Cause::Fail | Cause::Forget => {
            effects.extend(shard.answer_parked(&answer));
            effects.extend(shard.answer_joined(&answer));
            shard.step = Some(Step { write, cause });
            effects.push(Effect::Persist);
            return effects;
        }
    }
    effects.push(Effect::Rewrite { registration: write.registration() });
    if matches!(cause, Cause::Recover { .. }) {
        // The time that the store waited for may be what began this step, and would be lost with it.
        effects.extend(retry(shard));
    }
    if shard.record.is_none() {
        effects.push(Effect::Forget);
    }
    effects
}

/// Has the shard tried again when its time comes, if it has one.
fn retry(shard: &Shard) -> Option<Effect> {
    let record = shard.record.as_ref()?;
    record.next_try.map(|at| Effect::Retry { registration: record.registration, at })
}

impl Write {
    /// Which row is written.
    pub fn registration(&self) -> dagstore_types::Registration {
        match self {
            Self::Put(ShardRecord { registration, .. }) | Self::Delete(registration) => *registration,
        }
    }
}
