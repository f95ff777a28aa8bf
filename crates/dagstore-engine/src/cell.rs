//! A shard in memory: its machine, its inbox, its waiters, its task.

mod outcome;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dagstore_fsm::{Answer, Cause, Counted, Effect, Effects, Event, Operation, Refusal, Shard, WaiterId, transition};
use dagstore_transient::Lease;
use dagstore_types::{Attempt, ShardKey, ShardState, UnixMillis};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use self::outcome::{Outcome, Unused};
use crate::Result;
use crate::accessor::OpenShard;
use crate::catalogue::is_available;
use crate::damage;
use crate::passing::Wishes;
use crate::reference::Reference;
use crate::shared::Shared;
use crate::task::Task;

/// One shard. A transition runs under the cell's lock, which is never held across I/O, a send or another lock.
#[derive(Debug)]
pub(crate) struct Cell {
    key: ShardKey,
    shared: Arc<Shared>,
    state: Mutex<CellState>,
    wishes: Wishes,
}

/// What is behind the lock. All of it lives in memory only; what is persisted is the machine's record.
#[derive(Debug, Default)]
pub(crate) struct CellState {
    pub(crate) shard: Shard,
    /// Events that came while a step was under way, in order.
    inbox: VecDeque<Event>,
    waiters: BTreeMap<WaiterId, Sender>,
    next_waiter: u64,
    /// The record changed between Available and Serving since it was last written.
    pub(crate) flipped: bool,
    /// Held while a registration isn't durable yet.
    permit: Option<OwnedSemaphorePermit>,
    /// Somebody has asked something of the shard since it was last looked at whether it can be put to rest.
    used: bool,
    /// Who waits until nothing is being done with the shard.
    pub(crate) observers: Vec<oneshot::Sender<()>>,
    /// What is being worked on, if anything.
    pub(crate) task: Option<Task>,
    /// The source and index that accessors share, while there are any.
    opened: Option<Opened>,
    /// The copy that was just indexed, for the first accessor.
    pub(crate) lease: Option<Box<Lease>>,
    /// The attempt by which the shard was Available last, since it was last put to rest.
    pub(crate) was_available_by: Option<Attempt>,
    /// The attempt whose index can't be read, and was given up.
    pub(crate) gave_up_index: Option<Attempt>,
    /// When a copy of the shard was to be given up last.
    gave_up_copy: Option<Instant>,
    /// The cell is out of the catalogue: whoever holds it looks the key up again.
    gone: bool,
}

/// What the accessors of an attempt share, once the first of them has opened it.
type Opened = (Attempt, Arc<OnceCell<Arc<OpenShard>>>);

/// How a waiter is answered; `None` tells it to ask again, because the cell is out of the catalogue.
type Sender = oneshot::Sender<Option<Reply>>;
type Receiver = oneshot::Receiver<Option<Reply>>;

/// What a waiter receives.
#[derive(Debug)]
pub(crate) enum Reply {
    /// The machine's answer.
    Answer(Answer),
    /// A counted reference, to open an accessor with.
    Open(Reference),
}

/// Whether a cell can be put to rest.
pub(crate) enum Rest {
    /// Something is done with it.
    No,
    /// Not yet; this was open, and nobody uses it.
    Close(Arc<OpenShard>),
    /// Nothing is done with it.
    Yes,
}

/// The result of an event that somebody waits for.
pub(crate) enum Asked {
    /// The cell is out of the catalogue: look the key up again.
    Gone,
    /// The answer comes through [`Waiting`]; first carry out what the event asks of the engine.
    Waiting(Waiting, Effects),
}

impl Cell {
    pub(crate) fn new(key: ShardKey, engine: Arc<Shared>, shard: Shard) -> Arc<Self> {
        let state = Mutex::new(CellState { shard, ..CellState::default() });
        Arc::new(Self { key, shared: engine, state, wishes: Wishes::default() })
    }

    /// Who waits for blocks that have yet to pass.
    pub(crate) fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    pub(crate) fn key(&self) -> &ShardKey {
        &self.key
    }

    /// Looks at the state, or changes what isn't the machine's.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut CellState) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Acquires the shard where that needs no waiting: it is usable, and its source and index are open. Gives the cell back
    /// where it does.
    pub(crate) fn acquire_at_once(
        self: Arc<Self>,
        now: impl FnOnce() -> UnixMillis,
    ) -> Result<(Arc<OpenShard>, Reference), Arc<Self>> {
        let mut state = self.state.lock();
        let Some((shard, Counted { registration, attempt, flipped })) = state.acquire_at_once(now) else {
            drop(state);
            return Err(self);
        };
        let first_flip = flipped && !std::mem::replace(&mut state.flipped, true);
        drop(state);
        if first_flip {
            self.shared.commits.write_behind(self.clone());
        }
        self.shared.tell(&self.key, Operation::ShardAcquire, Some(ShardState::Serving));
        Ok((shard, Reference { cell: Some(self), registration, attempt }))
    }

    /// Lets an event happen that somebody waits for. A `permit` is held until the registration that it is for is durable.
    pub(crate) fn ask(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
        event: impl FnOnce(WaiterId) -> Event,
    ) -> Asked {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.gone {
            return Asked::Gone;
        }
        state.used = true;
        let waiter = WaiterId(state.next_waiter);
        state.next_waiter += 1;
        state.waiters.insert(waiter, sender);
        let outcome = self.apply(&mut state, event(waiter));
        if state
            .shard
            .step()
            .is_some_and(|step| matches!(step.cause, Cause::Register { waiter: of, .. } if of == waiter))
        {
            state.permit = permit;
        }
        drop(state);
        let effects = outcome.settle(self);
        Asked::Waiting(Waiting { cell: self.clone(), waiter, receiver }, effects)
    }

    /// Lets an event happen. Returns what the engine has to do.
    pub(crate) fn tell(self: &Arc<Self>, event: Event) -> Effects {
        let mut state = self.state.lock();
        if state.gone {
            return Effects::new();
        }
        let outcome = self.apply(&mut state, event);
        drop(state);
        outcome.settle(self)
    }

    /// Drops everybody who waits, who then hear that the store is closed.
    pub(crate) fn drop_waiters(&self) {
        let mut state = self.state.lock();
        let waiting = (std::mem::take(&mut state.waiters), std::mem::take(&mut state.observers));
        drop(state);
        drop(waiting);
    }

    /// Returns when nothing is being done with the shard, or when the store closes.
    pub(crate) async fn settled(&self) {
        let ended = {
            let mut state = self.state.lock();
            if state.is_settled() {
                return;
            }
            let (sender, ended) = oneshot::channel();
            state.observers.push(sender);
            ended
        };
        // The sender is dropped and never sends.
        let _settled = ended.await;
    }

    /// Whether source and index are open.
    pub(crate) fn is_open(&self) -> bool {
        self.with(|state| state.opened.as_ref().is_some_and(|(_, opened)| opened.initialized()))
    }

    /// The place where the accessors of this attempt find what they share.
    pub(crate) fn opened(&self, attempt: Attempt) -> Arc<OnceCell<Arc<OpenShard>>> {
        let mut state = self.state.lock();
        match &state.opened {
            Some((of, opened)) if *of == attempt => opened.clone(),
            _ => {
                let opened = Arc::new(OnceCell::new());
                state.opened = Some((attempt, opened.clone()));
                opened
            }
        }
    }

    /// The place where those find what they share who come after the copy was given up that `damaged` is read from.
    pub(crate) fn opened_anew(&self, attempt: Attempt, damaged: &Arc<OpenShard>) -> Arc<OnceCell<Arc<OpenShard>>> {
        let replaced = self.with(|state| {
            let is_damaged = |(_, opened): &mut Opened| opened.get().is_some_and(|shard| Arc::ptr_eq(shard, damaged));
            state.opened.take_if(is_damaged)
        });
        drop(replaced);
        self.opened(attempt)
    }

    /// Whether a copy of the shard may be given up, for now.
    pub(crate) fn may_give_up_copy(&self) -> bool {
        self.with(|state| {
            let is_time = state.gave_up_copy.is_none_or(|at| at.elapsed() >= damage::PAUSE);
            if is_time {
                state.gave_up_copy = Some(Instant::now());
            }
            is_time
        })
    }

    /// Keeps the copy that was indexed from being evicted before those who wait for the shard have opened it.
    pub(crate) fn keep_for_parked(&self, lease: Option<Box<Lease>>) {
        let unused = self.with(|state| {
            let lease = lease.filter(|_| state.shard.parked() > 0);
            std::mem::replace(&mut state.lease, lease)
        });
        drop(unused);
    }

    /// Whether nothing is done with the shard, so that its record can be packed; if not, perhaps what it has open can be
    /// closed. Only for a cell that nobody but the catalogue holds.
    pub(crate) fn rest(&self, pressure: bool) -> Rest {
        let mut state = self.state.lock();
        let spared = !pressure || state.opened.is_some();
        if std::mem::take(&mut state.used) && spared {
            return Rest::No;
        }
        let is_idle = state.shard.is_at_rest() && state.inbox.is_empty() && state.waiters.is_empty();
        if !is_idle || state.flipped || state.task.is_some() || state.gone || state.shard.record().is_none() {
            return Rest::No;
        }
        match state.opened.take().and_then(|(_, opened)| opened.get().cloned()) {
            Some(opened) => Rest::Close(opened),
            None => Rest::Yes,
        }
    }

    /// Closes what is kept open though no accessor uses it.
    pub(crate) fn close_unused(&self) {
        let unused = self.with(|state| {
            let opened = if state.shard.references() == 0 { state.opened.take() } else { None };
            (opened, state.lease.take())
        });
        drop(unused);
    }

    /// Closes a copy that is kept open though no accessor uses it, or what stands in for one: its room is wanted.
    pub(crate) fn close_unused_copy(&self) {
        let takes_room = |shard: &Arc<OpenShard>| shard.lease.is_some() || !shard.is_local;
        let unused = self.with(|state| {
            let (_, opened) = state.opened.as_ref()?;
            let is_unused = state.shard.references() == 0 && opened.get().is_some_and(takes_room);
            if is_unused { state.opened.take() } else { None }
        });
        drop(unused);
    }

    /// Gives a reference back.
    pub(crate) fn release(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let Some(flipped) = state.shard.release_at_once() else {
            drop(state);
            return self.shared.metrics.stale();
        };
        let first_flip = flipped && !std::mem::replace(&mut state.flipped, true);
        let unused = state.unused(&self.shared);
        let now = state.state();
        drop(state);
        drop(unused);
        if first_flip {
            self.shared.commits.write_behind(self.clone());
        }
        self.shared.tell(&self.key, Operation::ShardRelease, now);
    }

    /// Lets the event happen, and then those that a step had held up, for as long as there is no new step.
    fn apply(self: &Arc<Self>, state: &mut CellState, event: Event) -> Outcome {
        let mut outcome = Outcome::default();
        let given_up = event == Event::NotSynced;
        let effects = state.transition(event);
        self.absorb(state, effects, &mut outcome);
        while !state.gone
            && state.shard.step().is_none()
            && let Some(event) = state.inbox.pop_front()
        {
            let effects = state.transition(event);
            self.absorb(state, effects, &mut outcome);
        }
        if state.shard.step().is_none_or(|step| !matches!(step.cause, Cause::Register { .. })) {
            state.permit = None;
        }
        if state.gone {
            // Whatever came for the shard that is gone is asked again of the cell that takes its place: but not its destruction,
            // which would hit a shard that nobody meant.
            let inbox = std::mem::take(&mut state.inbox);
            let destroyed = inbox.into_iter().filter(|_| !given_up).filter_map(|event| match event {
                Event::Destroy { waiter, .. } => state.waiters.remove(&waiter),
                _ => None,
            });
            let destroyed = destroyed.map(|sender| (Some(sender), Some(Reply::Answer(Answer::Destroyed))));
            outcome.replies.extend(destroyed);
            outcome.replies.extend(std::mem::take(&mut state.waiters).into_values().map(|sender| (Some(sender), None)));
        } else if given_up && state.shard.step().is_some() {
            state.refuse_inbox(&mut outcome);
        }
        outcome.unused = state.unused(&self.shared);
        if !state.observers.is_empty() && state.is_settled() {
            outcome.settled = std::mem::take(&mut state.observers);
        }
        debug_assert_eq!(state.shard.validate(), Ok(()));
        outcome
    }

    fn absorb(self: &Arc<Self>, state: &mut CellState, effects: Effects, outcome: &mut Outcome) {
        for effect in effects {
            match effect {
                Effect::Persist => outcome.persist = true,
                Effect::WriteBehind => outcome.write_behind |= !std::mem::replace(&mut state.flipped, true),
                Effect::Rewrite { registration } => outcome.rewrite = Some(registration),
                Effect::Defer(event) => state.inbox.push_back(*event),
                Effect::Reply { waiter, answer } => {
                    outcome.replies.push((state.waiters.remove(&waiter), Some(Reply::Answer(answer))));
                }
                Effect::Open { waiter, registration, attempt } => {
                    let reference = Reference { cell: Some(self.clone()), registration, attempt };
                    outcome.replies.push((state.waiters.remove(&waiter), Some(Reply::Open(reference))));
                }
                Effect::Forget => {
                    state.gone = true;
                    outcome.effects.push(Effect::Forget);
                }
                Effect::Trace(operation) => outcome.traces.push((operation, state.state())),
                Effect::Failure(error) => outcome.failure = Some(error),
                Effect::Stale => self.shared.metrics.stale(),
                Effect::Enqueue { .. } | Effect::Discard { .. } | Effect::CleanUp { .. } | Effect::Retry { .. } => {
                    outcome.effects.push(effect);
                }
            }
        }
    }
}

impl CellState {
    fn acquire_at_once(&mut self, now: impl FnOnce() -> UnixMillis) -> Option<(Arc<OpenShard>, Counted)> {
        let (attempt, opened) = self.opened.as_ref()?;
        if self.shard.record()?.attempt != *attempt {
            return None;
        }
        let shard = opened.get().filter(|shard| shard.is_good())?.clone();
        let counted = self.shard.acquire_at_once(now)?;
        self.used = true;
        Some((shard, counted))
    }

    /// Lets an event happen, and notes before whether the shard is Available: that may end by it.
    fn transition(&mut self, event: Event) -> Effects {
        let available = self.shard.record().filter(|record| is_available(record.state));
        self.was_available_by = available.map(|record| record.attempt).or(self.was_available_by);
        transition(&mut self.shard, event)
    }

    fn state(&self) -> Option<ShardState> {
        self.shard.record().map(|record| record.state)
    }

    /// Whether nothing is being done with the shard, nor about to be.
    fn is_settled(&self) -> bool {
        let state = self.shard.record().map(|record| (record.state, record.lazy));
        let is_working = match state {
            None | Some((ShardState::New, true)) => false,
            Some((ShardState::Available | ShardState::Serving | ShardState::Errored, _)) => false,
            Some((ShardState::Destroying, _)) => self.shard.is_cleaning(),
            Some((ShardState::New | ShardState::Initializing | ShardState::Recovering, _)) => true,
        };
        self.gone || (self.shard.step().is_none() && !is_working)
    }

    /// What is open and neither used nor kept for the next accessor.
    fn unused(&mut self, shared: &Shared) -> Unused {
        if self.shard.references() > 0 || (self.opened.is_none() && self.lease.is_none()) {
            return Unused::default();
        }
        let is_settled = self.shard.step().is_none();
        let is_working = matches!(self.state(), Some(ShardState::Initializing | ShardState::Recovering));
        let lease = if is_settled && !is_working { self.lease.take() } else { None };
        let is_kept = is_settled && self.state() == Some(ShardState::Available) && shared.keeps_open();
        Unused { opened: if is_kept { None } else { self.opened.take() }, lease }
    }

    /// The step is a fact that can't be written for now. Whoever waits behind it is told; what has happened stays.
    fn refuse_inbox(&mut self, outcome: &mut Outcome) {
        let waiters = &mut self.waiters;
        self.inbox.retain(|event| {
            if let Some(waiter) = event.waiter() {
                let refused = Reply::Answer(Answer::Refused(Refusal::NotDurable));
                outcome.replies.push((waiters.remove(&waiter), Some(refused)));
            }
            !event.is_request()
        });
    }
}

/// An answer to come. Dropping it cancels the wait, and nothing else.
#[derive(Debug)]
pub(crate) struct Waiting {
    cell: Arc<Cell>,
    waiter: WaiterId,
    receiver: Receiver,
}

impl Waiting {
    /// The answer; `None` where the cell is out of the catalogue by now.
    ///
    /// # Errors
    /// [`Error::Closed`](crate::Error::Closed) when the store closes before there is one.
    pub(crate) async fn answer(mut self) -> Result<Option<Reply>> {
        (&mut self.receiver).await.map_err(|_| self.cell.shared.closed_error())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.cell.state.lock();
        if state.waiters.remove(&self.waiter).is_some() {
            // An acquire that a step holds up would count a reference for nobody, and refuse a destruction behind it.
            state.inbox.retain(|event| !matches!(event, Event::Acquire { waiter, .. } if *waiter == self.waiter));
            transition(&mut state.shard, Event::CancelWaiter { waiter: self.waiter });
        }
    }
}
