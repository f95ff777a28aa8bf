//! What the tables say, carried out literally.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use dagstore_types::{Attempt, ErrorClass, ErrorKind, Registration, ShardError, ShardState, UnixMillis};

use super::situations::no_attempt_left;
use crate::table::{Act, CauseKind, Change, EventKind, Place, STEPS, Said, TRANSITIONS, When, Whom};
use crate::{Answer, Cause, Effect, Effects, Event, Operation, Refusal, Shard, Step, WaiterId, Write};

/// Which rows were met.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) transitions: BTreeSet<(usize, Place)>,
    pub(super) steps: BTreeSet<usize>,
    pub(super) deferred: BTreeSet<&'static str>,
}

impl Followed {
    /// The shard that the tables leave, and the effects that they ask for.
    pub(super) fn follow(&mut self, before: &Shard, event: &Event) -> (Shard, Effects) {
        let mut case = Case { shard: before.clone(), event, step: None, before, effects: Effects::new() };
        match (&before.step, event) {
            (Some(step), Event::Synced | Event::NotSynced) => {
                let durable = *event == Event::Synced;
                case.shard.step = None;
                case.step = Some(step);
                if durable {
                    case.shard.record = match &step.write {
                        Write::Put(record) => Some(record.clone()),
                        Write::Delete(_) => None,
                    };
                }
                let ended = CauseKind::from(&step.cause);
                let rows = STEPS.iter().enumerate();
                let rows = rows.filter(|(_, row)| (row.cause, row.durable) == (ended, durable));
                let rows: Vec<_> = rows.filter(|(_, row)| row.when.iter().all(|when| case.holds(*when))).collect();
                let [(index, row)] = rows.as_slice() else { panic!("{rows:?} for {event:?} in {before:?}") };
                self.steps.insert(*index);
                self.carry_out(row.acts, &mut case);
            }
            (None, _) | (Some(_), Event::Release | Event::CancelWaiter { .. }) => {
                self.transition(EventKind::from(event), &mut case);
            }
            (Some(_), _) => {
                self.deferred.insert(EventKind::from(event).name());
                case.effects.push(Effect::Defer(Box::new(event.clone())));
            }
        }
        (case.shard, case.effects)
    }

    fn transition(&mut self, kind: EventKind, case: &mut Case<'_>) {
        let place = case.shard.record.as_ref().map(|record| record.state);
        let rows = TRANSITIONS.iter().enumerate();
        let rows = rows.filter(|(_, row)| row.event == kind && row.places.contains(&place));
        let rows: Vec<_> = rows.filter(|(_, row)| row.when.iter().all(|when| case.holds(*when))).collect();
        let [(index, row)] = rows.as_slice() else { panic!("{rows:?} for {:?} in {:?}", case.event, case.shard) };
        self.transitions.insert((*index, place));
        self.carry_out(row.acts, case);
    }

    fn carry_out(&mut self, acts: &[Act], case: &mut Case<'_>) {
        for act in acts {
            match act {
                Act::As(kind) => self.transition(*kind, case),
                act => case.carry_out(*act),
            }
        }
    }
}

/// One event in one shard, and what has become of both so far.
struct Case<'a> {
    shard: Shard,
    event: &'a Event,
    /// The step that has ended.
    step: Option<&'a Step>,
    before: &'a Shard,
    effects: Effects,
}

impl Case<'_> {
    fn holds(&self, when: When) -> bool {
        let (shard, record) = (&self.shard, self.shard.record.as_ref());
        let (registration, attempt) = identity(self.event);
        let same_registration = record.is_some_and(|record| Some(record.registration) == registration);
        let same_attempt = same_registration && record.is_some_and(|record| Some(record.attempt) == attempt);
        let transient = error_of(self.event).is_some_and(|error| error.kind().class() == ErrorClass::Transient);
        let due = record.and_then(|record| record.next_try).zip(now_of(self.event)).map(|(due, now)| due <= now);
        let used_up = record.is_some_and(|record| record.attempt == Attempt(u32::MAX));
        let said = record.is_some_and(|record| {
            record.state == ShardState::Errored && record.error.as_ref() == Some(&no_attempt_left())
        });
        let starts = record.map_or(0, |record| record.starts);
        match when {
            When::Lazy => self.lazy(),
            When::Eager => !self.lazy(),
            When::Waits => self.waits(),
            When::DoesNotWait => !self.waits(),
            When::References => shard.references > 0,
            When::NoReferences => shard.references == 0,
            When::LastReference => shard.references == 1,
            When::MoreReferences => shard.references > 1,
            When::Parked => !shard.parked.is_empty(),
            When::NobodyParked => shard.parked.is_empty(),
            When::Flagged => shard.recover_on_acquire,
            When::NotFlagged => !shard.recover_on_acquire,
            When::Cleaning => shard.cleaning,
            When::NotCleaning => !shard.cleaning,
            When::ThisRegistration => same_registration,
            When::OtherRegistration => !same_registration,
            When::ThisAttempt => same_attempt,
            When::OtherAttempt => !same_attempt,
            When::EarlierAttempt => same_registration && !same_attempt,
            When::StartCounted => starts > 0,
            When::NoStartCounted => starts == 0,
            When::Transient => transient,
            When::Lasting => !transient,
            When::Due => due == Some(true),
            When::NotDue => due == Some(false),
            When::NextTry => record.is_some_and(|record| record.next_try.is_some()),
            When::NoNextTry => record.is_none_or(|record| record.next_try.is_none()),
            When::AttemptLeft => !used_up,
            When::NoAttemptLeft => used_up && !said,
            When::NoAttemptLeftSaid => used_up && said,
        }
    }

    fn lazy(&self) -> bool {
        match (self.event, &self.shard.record) {
            (Event::Register { record, .. }, _) | (_, Some(record)) => record.lazy,
            (_, None) => panic!("nobody asks whether nothing is lazy"),
        }
    }

    fn waits(&self) -> bool {
        matches!(self.step, Some(Step { cause: Cause::Register { wait: true, .. }, .. }))
    }

    fn carry_out(&mut self, act: Act) {
        let caller = self.event.waiter();
        match act {
            Act::As(_) => panic!("is carried out by whoever knows the rows"),
            Act::Park => self.shard.parked.extend(caller),
            Act::Join => self.shard.joined.extend(caller),
            Act::JoinAsker => self.shard.joined.extend(self.asker()),
            Act::Leave => {
                let Event::CancelWaiter { waiter } = self.event else { panic!("nobody leaves by {:?}", self.event) };
                self.shard.parked.remove(waiter);
                self.shard.joined.remove(waiter);
            }
            Act::Count => self.shard.references += 1,
            Act::GiveBack => self.shard.references -= 1,
            Act::Become(state) => self.become_at_once(state),
            Act::Open => self.open(caller.unwrap()),
            Act::OpenParked => {
                for waiter in core::mem::take(&mut self.shard.parked) {
                    self.shard.references += 1;
                    self.open(waiter);
                    self.effects.push(Effect::Trace(Operation::ShardAcquire));
                }
            }
            Act::Unflag => self.shard.recover_on_acquire = false,
            Act::CleanUp => {
                self.shard.cleaning = true;
                self.effects.push(Effect::CleanUp { registration: self.registration() });
            }
            Act::CleanedUp => self.shard.cleaning = false,
            Act::Step(cause, changes) => self.begin(cause, changes),
            Act::Tell(whom, said) => self.tell(whom, said),
            Act::Enqueue => self.effects.push(Effect::Enqueue { registration: self.registration() }),
            Act::Discard => {
                let attempt = self.before.record.as_ref().unwrap().attempt;
                self.effects.push(Effect::Discard { registration: self.registration(), attempt });
            }
            Act::Retry => {
                let at = self.shard.record.as_ref().and_then(|record| record.next_try).unwrap();
                self.effects.push(Effect::Retry { registration: self.registration(), at });
            }
            Act::Failure => self.effects.push(Effect::Failure(self.stored_error())),
            Act::Trace(operation) => self.effects.push(Effect::Trace(operation)),
            Act::Stale => self.effects.push(Effect::Stale),
            Act::Rewrite => self.effects.push(Effect::Rewrite { registration: self.registration() }),
            Act::PersistAgain => {
                self.shard.step = self.step.cloned();
                self.effects.push(Effect::Persist);
            }
            Act::Forget => self.effects.push(Effect::Forget),
        }
    }

    /// The registration of the record, or of the row that a step wrote.
    fn registration(&self) -> Registration {
        match (&self.shard.record, self.step.map(|step| &step.write)) {
            (Some(record), _) | (None, Some(Write::Put(record))) => record.registration,
            (None, Some(Write::Delete(registration))) => *registration,
            (None, None) => panic!("nothing has a registration"),
        }
    }

    fn asker(&self) -> Option<WaiterId> {
        match self.step?.cause {
            Cause::Register { waiter, .. } | Cause::Initialize { waiter } | Cause::Destroy { waiter } => Some(waiter),
            _ => None,
        }
    }

    fn become_at_once(&mut self, state: ShardState) {
        let record = self.shard.record.as_mut().unwrap();
        record.state = state;
        if let (ShardState::Serving, Some(now)) = (state, now_of(self.event)) {
            record.changed = now;
        }
        self.effects.push(Effect::WriteBehind);
    }

    fn open(&mut self, waiter: WaiterId) {
        let record = self.shard.record.as_ref().unwrap();
        let (registration, attempt) = (record.registration, record.attempt);
        self.effects.push(Effect::Open { waiter, registration, attempt });
    }

    fn tell(&mut self, whom: Whom, said: Said) {
        let waiters: Vec<WaiterId> = match whom {
            Whom::Caller => self.event.waiter().into_iter().collect(),
            Whom::Asker => self.asker().into_iter().collect(),
            Whom::Parked => core::mem::take(&mut self.shard.parked).into_iter().collect(),
            Whom::Joined => core::mem::take(&mut self.shard.joined).into_iter().collect(),
        };
        let answer = self.answer(said);
        self.effects.extend(waiters.into_iter().map(|waiter| Effect::Reply { waiter, answer: answer.clone() }));
    }

    fn answer(&self, said: Said) -> Answer {
        let error = || error_of(self.event).unwrap().clone();
        Answer::Refused(match said {
            Said::Registered => return Answer::Registered,
            Said::Ready => return Answer::Ready,
            Said::Begin => return Answer::Begin(self.shard.record.as_ref().unwrap().attempt),
            Said::Destroyed => return Answer::Destroyed,
            Said::NotFound => Refusal::NotFound,
            Said::Exists => Refusal::Exists,
            Said::BeingDestroyed => Refusal::BeingDestroyed,
            Said::WasDestroyed => Refusal::Destroyed,
            Said::NotErrored => Refusal::NotErrored,
            Said::InUse => Refusal::InUse { references: self.shard.references },
            Said::StoredError => Refusal::Failed(self.stored_error()),
            Said::ErrorOfEvent => Refusal::Failed(error()),
            Said::CleanupIncomplete => Refusal::CleanupIncomplete(error()),
            Said::NotDurable => Refusal::NotDurable,
            Said::Stale => Refusal::Stale,
        })
    }

    fn stored_error(&self) -> ShardError {
        let unknown = || ShardError::new(ErrorKind::Other, "the record says no more than that it failed");
        self.shard.record.as_ref().and_then(|record| record.error.clone()).unwrap_or_else(unknown)
    }

    fn begin(&mut self, cause: CauseKind, changes: &[Change]) {
        let mut next = self.shard.record.clone();
        for change in changes {
            self.change(&mut next, *change);
        }
        let write = match next {
            Some(mut record) => {
                if let Some(now) = now_of(self.event) {
                    record.changed = now;
                }
                Write::Put(record)
            }
            None => Write::Delete(self.registration()),
        };
        self.shard.step = Some(Step { write, cause: self.cause(cause) });
        self.effects.push(Effect::Persist);
    }

    fn cause(&self, kind: CauseKind) -> Cause {
        let waiter = || self.event.waiter().unwrap();
        match kind {
            CauseKind::Register => {
                let Event::Register { wait, record, .. } = self.event else { panic!("{:?}", self.event) };
                Cause::Register { waiter: waiter(), wait: *wait && !record.lazy }
            }
            CauseKind::Queue => Cause::Queue,
            CauseKind::Recover => Cause::Recover { given_up: self.shard.record.as_ref().unwrap().attempt },
            CauseKind::Initialize => Cause::Initialize { waiter: waiter() },
            CauseKind::Interrupt => Cause::Interrupt,
            CauseKind::MakeAvailable => Cause::MakeAvailable,
            CauseKind::Fail => Cause::Fail,
            CauseKind::Destroy => Cause::Destroy { waiter: waiter() },
            CauseKind::Forget => Cause::Forget,
        }
    }

    fn change(&self, next: &mut Option<dagstore_types::ShardRecord>, change: Change) {
        if let (Change::Registered, Event::Register { record, .. }) = (change, self.event) {
            *next = Some(record.clone());
            return;
        }
        let record = next.as_mut().unwrap();
        let too_many = || error_of(self.event).unwrap().kind() == ErrorKind::TooManyStarts;
        match change {
            Change::Registered => panic!("nothing is registered by {:?}", self.event),
            Change::State(state) => record.state = state,
            Change::AttemptNext => record.attempt.0 += 1,
            Change::StartCounted => record.starts += 1,
            Change::StartUncounted => record.starts -= 1,
            Change::StartsZeroUnlessTooMany if too_many() => {}
            Change::StartsZero | Change::StartsZeroUnlessTooMany => record.starts = 0,
            Change::RetriesZero => record.retries = 0,
            Change::RetryCounted => record.retries += 1,
            Change::NoNextTry => record.next_try = None,
            Change::NextTryOfEvent => {
                let Event::Failed { next_try, .. } = self.event else { panic!("{:?}", self.event) };
                record.next_try = *next_try;
            }
            Change::NoError => record.error = None,
            Change::ErrorOfEvent => record.error = error_of(self.event).cloned(),
            Change::ErrorNoAttemptLeft => record.error = Some(no_attempt_left()),
            Change::Deleted => *next = None,
        }
    }
}

fn identity(event: &Event) -> (Option<Registration>, Option<Attempt>) {
    match event {
        Event::AcquireFailed { registration, attempt, .. }
        | Event::IndexLost { registration, attempt, .. }
        | Event::Available { registration, attempt, .. }
        | Event::Interrupted { registration, attempt, .. }
        | Event::Failed { registration, attempt, .. } => (Some(*registration), Some(*attempt)),
        Event::Initialize { registration, .. }
        | Event::RetryDue { registration, .. }
        | Event::Destroyed { registration }
        | Event::CleanupFailed { registration, .. } => (Some(*registration), None),
        _ => (None, None),
    }
}

fn error_of(event: &Event) -> Option<&ShardError> {
    match event {
        Event::AcquireFailed { error, .. } | Event::Failed { error, .. } | Event::CleanupFailed { error, .. } => {
            Some(error)
        }
        _ => None,
    }
}

fn now_of(event: &Event) -> Option<UnixMillis> {
    match event {
        Event::Acquire { now, .. }
        | Event::AcquireFailed { now, .. }
        | Event::IndexLost { now, .. }
        | Event::Initialize { now, .. }
        | Event::Available { now, .. }
        | Event::Interrupted { now, .. }
        | Event::Failed { now, .. }
        | Event::RetryDue { now, .. }
        | Event::Recover { now, .. }
        | Event::Destroy { now, .. } => Some(*now),
        _ => None,
    }
}
