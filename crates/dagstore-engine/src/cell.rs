//! A shard in memory: its machine, its inbox, its waiters, its task.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::Arc;

use dagstore_fsm::{Answer, Effect, Effects, Event, Refusal, Shard, WaiterId, transition};
use dagstore_types::{Attempt, Registration, ShardKey};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot, watch};

use crate::accessor::OpenShard;
use crate::committer::Commits;
use crate::info::Progress;
use crate::{Error, Result};

/// One shard. A transition runs under the cell's lock, which is never held across I/O, a send or another lock.
#[derive(Debug)]
pub(crate) struct Cell {
    key: ShardKey,
    commits: Arc<Commits>,
    state: Mutex<CellState>,
}

/// What is behind the lock. All of it lives in memory only; what is persisted is the machine's record.
#[derive(Debug, Default)]
pub(crate) struct CellState {
    pub(crate) shard: Shard,
    /// Events that came while a step was under way, in order.
    inbox: VecDeque<Event>,
    waiters: HashMap<WaiterId, Sender>,
    next_waiter: u64,
    /// The record changed between Available and Serving since it was last written.
    pub(crate) flipped: bool,
    /// What is being worked on, if anything.
    pub(crate) task: Option<Task>,
    /// The source and index that accessors share, while there are any.
    opened: Option<Opened>,
    /// The cell is out of the catalogue: whoever holds it looks the key up again.
    gone: bool,
}

/// What the accessors of an attempt share, once the first of them has opened it.
type Opened = (Attempt, Arc<OnceCell<Arc<OpenShard>>>);

/// A running task.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    cancelled: Arc<watch::Sender<bool>>,
    pub(crate) progress: Arc<Progress>,
    /// Closed when the task has ended.
    pub(crate) ended: watch::Receiver<()>,
}

impl Task {
    pub(crate) fn new(ended: watch::Receiver<()>) -> Self {
        Self { cancelled: Arc::new(watch::Sender::new(false)), progress: Arc::new(Progress::default()), ended }
    }

    /// Asks the task to end.
    pub(crate) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// What `work` gives, or `None` once the task is asked to end: `work` is dropped then.
    pub(crate) async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut cancelled = self.cancelled.subscribe();
        tokio::select! {
            biased;
            // The sender is in the task itself, so this can't fail.
            _ = cancelled.wait_for(|cancelled| *cancelled) => None,
            value = work => Some(value),
        }
    }

    /// Asks the task to end, and waits until it has.
    pub(crate) async fn end(mut self) {
        self.cancel();
        // The sender is dropped with the task, and never sends.
        while self.ended.changed().await.is_ok() {}
    }
}

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

/// The result of an event that somebody waits for.
pub(crate) enum Asked {
    /// The cell is out of the catalogue: look the key up again.
    Gone,
    /// The answer comes through [`Waiting`]; first carry out what the event asks of the engine.
    Waiting(Waiting, Effects),
}

impl Cell {
    pub(crate) fn new(key: ShardKey, commits: Arc<Commits>, shard: Shard) -> Arc<Self> {
        let state = Mutex::new(CellState { shard, ..CellState::default() });
        Arc::new(Self { key, commits, state })
    }

    pub(crate) fn key(&self) -> &ShardKey {
        &self.key
    }

    /// Looks at the state, or changes what isn't the machine's.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut CellState) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Lets an event happen that somebody waits for.
    pub(crate) fn ask(self: &Arc<Self>, event: impl FnOnce(WaiterId) -> Event) -> Asked {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state.lock();
        if state.gone {
            return Asked::Gone;
        }
        let waiter = WaiterId(state.next_waiter);
        state.next_waiter += 1;
        state.waiters.insert(waiter, sender);
        let outcome = self.apply(&mut state, event(waiter));
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
        let waiters = std::mem::take(&mut self.state.lock().waiters);
        drop(waiters);
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

    fn release(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let outcome = self.apply(&mut state, Event::Release);
        drop(state);
        for effect in outcome.settle(self) {
            if let Effect::Trace(operation) = effect {
                tracing::trace!(shard = %self.key, operation = operation.name());
            }
        }
    }

    /// Lets the event happen, and then those that a step had held up, for as long as there is no new step.
    fn apply(self: &Arc<Self>, state: &mut CellState, event: Event) -> Outcome {
        let mut outcome = Outcome::default();
        let given_up = event == Event::NotSynced;
        let effects = transition(&mut state.shard, event);
        self.absorb(state, effects, &mut outcome);
        while !state.gone
            && state.shard.step().is_none()
            && let Some(event) = state.inbox.pop_front()
        {
            let effects = transition(&mut state.shard, event);
            self.absorb(state, effects, &mut outcome);
        }
        if state.gone {
            // Whatever came for the shard that is gone is asked again of the cell that takes its place.
            state.inbox.clear();
            outcome.replies.extend(state.waiters.drain().map(|(_, sender)| (Some(sender), None)));
        } else if given_up && state.shard.step().is_some() {
            state.refuse_inbox(&mut outcome);
        }
        if state.shard.references() == 0 {
            outcome.unused = state.opened.take();
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
                Effect::Enqueue { .. }
                | Effect::Discard { .. }
                | Effect::CleanUp { .. }
                | Effect::Stale
                | Effect::Trace(_)
                | Effect::Retry { .. }
                | Effect::Failure(_) => outcome.effects.push(effect),
            }
        }
    }
}

impl CellState {
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

/// What is left to do once the cell is unlocked.
#[derive(Debug, Default)]
struct Outcome {
    persist: bool,
    write_behind: bool,
    rewrite: Option<Registration>,
    /// Source and index that nobody has open any more. Closing them is I/O, so it waits for the cell to be unlocked.
    unused: Option<Opened>,
    replies: Vec<(Option<Sender>, Option<Reply>)>,
    effects: Effects,
}

impl Outcome {
    /// Does what needs no engine and returns the rest.
    fn settle(self, cell: &Arc<Cell>) -> Effects {
        if let Some(registration) = self.rewrite {
            cell.commits.rewrite(registration, cell.clone());
        }
        if self.persist {
            cell.commits.persist(cell.clone());
        }
        if self.write_behind {
            cell.commits.write_behind(cell.clone());
        }
        for (sender, reply) in self.replies {
            // Whoever has gone away gets no answer; a reference that nobody takes is released when it is dropped here.
            if let Some(sender) = sender {
                let _gone_away = sender.send(reply);
            }
        }
        self.effects
    }
}

/// A counted reference to a shard that is Available or Serving. Dropping it is the release: in any thread, with or
/// without a runtime, before and after the store is closed.
#[derive(Debug)]
pub(crate) struct Reference {
    cell: Option<Arc<Cell>>,
    pub(crate) registration: Registration,
    pub(crate) attempt: Attempt,
}

impl Reference {
    /// Gives the reference up without releasing it: an event that releases it follows.
    pub(crate) fn give_up(mut self) -> Option<Arc<Cell>> {
        self.cell.take()
    }

    pub(crate) fn cell(&self) -> Option<&Arc<Cell>> {
        self.cell.as_ref()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.release();
        }
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
    /// [`Error::Closed`] when the store closes before there is one.
    pub(crate) async fn answer(mut self) -> Result<Option<Reply>> {
        (&mut self.receiver).await.map_err(|_| Error::Closed)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.cell.state.lock();
        if state.waiters.remove(&self.waiter).is_some() {
            transition(&mut state.shard, Event::CancelWaiter { waiter: self.waiter });
        }
    }
}
