//! The committer: one batch, one sync, for the steps of all cells that wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dagstore_codec::{Codecs, encode_row};
use dagstore_datastore::{Batch, Durability};
use dagstore_fsm::{Event, Write};
use dagstore_types::Registration;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use crate::cell::Cell;
use crate::core::Core;
use crate::rows::{SHARDS, shard_row};

/// How long a flip between Available and Serving may stay unwritten.
const WRITE_BEHIND: Duration = Duration::from_secs(1);

/// The most steps in a batch, so that one batch can't make the next wait for long.
const MOST_STEPS: usize = 4096;

/// How many rows may wait to be set right before new requests are refused. Each stands for a request that was given up
/// while the datastore was down.
const MOST_REWRITES: usize = 4096;

/// How long the next batch waits after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What waits to be written. A cell stands among the steps and among the flips at most once, so these are bounded by the
/// catalogue; for rewrites there is a bound of its own.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    lists: Mutex<Lists>,
    wake: Notify,
    /// Set while the datastore refuses writes, with what it said last.
    degraded: Mutex<Option<dagstore_datastore::Error>>,
    stopping: AtomicBool,
}

#[derive(Debug, Default)]
struct Lists {
    steps: Vec<Arc<Cell>>,
    flips: Vec<Arc<Cell>>,
    /// Rows that may differ from the records of their cells, because a write was given up.
    rewrites: BTreeMap<Registration, Arc<Cell>>,
    /// Who waits for all that was taken up before.
    flushes: Vec<oneshot::Sender<()>>,
    /// There is no committer any more, and nothing is taken up.
    abandoned: bool,
}

impl Commits {
    /// Takes the cell's step up.
    pub(crate) fn persist(&self, cell: Arc<Cell>) {
        self.take_up(|lists| lists.steps.push(cell));
        self.wake.notify_one();
    }

    /// Takes the cell's flip up, to be written with the next batch, or after a while.
    pub(crate) fn write_behind(&self, cell: Arc<Cell>) {
        self.take_up(|lists| lists.flips.push(cell));
        self.wake.notify_one();
    }

    /// Takes the row of `registration` up, to be set to the cell's record, or deleted.
    pub(crate) fn rewrite(&self, registration: Registration, cell: Arc<Cell>) {
        self.take_up(|lists| drop(lists.rewrites.insert(registration, cell)));
    }

    /// Whether there is room for the row of one more request that may have to be given up.
    pub(crate) fn has_room(&self) -> bool {
        self.lists.lock().rewrites.len() < MOST_REWRITES
    }

    /// What the datastore said last, while it refuses writes.
    pub(crate) fn degraded(&self) -> Option<dagstore_datastore::Error> {
        self.degraded.lock().clone()
    }

    /// Waits until every step that was taken up before was tried.
    pub(crate) async fn flushed(&self) {
        let (sender, receiver) = oneshot::channel();
        self.take_up(|lists| lists.flushes.push(sender));
        self.wake.notify_one();
        // The sender is dropped with the committer, and that is an answer, too.
        let _flushed = receiver.await;
    }

    /// Ends the committer after a last batch.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Forgets everything, because there is no committer any more. Cells and lists hold each other, so this is also what
    /// lets them go.
    pub(crate) fn abandon(&self) {
        let abandoned = Lists { abandoned: true, ..Lists::default() };
        let forgotten = std::mem::replace(&mut *self.lists.lock(), abandoned);
        drop(forgotten);
    }

    fn take_up(&self, add: impl FnOnce(&mut Lists)) {
        let mut lists = self.lists.lock();
        if !lists.abandoned {
            add(&mut lists);
        }
    }

    /// Waits until there is something to write: at once where somebody waits for it, else after a while.
    async fn due(&self) {
        let mut deadline = None;
        loop {
            let stopping = self.stopping.load(Ordering::Acquire);
            let urgency = self.lists.lock().urgency();
            match urgency {
                Urgency::Now => return,
                _ if stopping => return,
                Urgency::Idle => self.wake.notified().await,
                Urgency::Behind => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + WRITE_BEHIND);
                    if tokio::time::timeout_at(deadline, self.wake.notified()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&self) -> Lists {
        let mut lists = self.lists.lock();
        let most = lists.steps.len().min(MOST_STEPS);
        let later = lists.steps.split_off(most);
        let fresh = Lists { abandoned: lists.abandoned, ..Lists::default() };
        let mut taken = std::mem::replace(&mut *lists, fresh);
        if !later.is_empty() {
            lists.flushes = std::mem::take(&mut taken.flushes);
        }
        lists.steps = later;
        taken
    }
}

/// Writes what is taken up until [`Commits::stop`]; `_ended` is dropped then.
pub(crate) async fn run(core: Arc<Core>, _ended: watch::Sender<()>) {
    let commits = core.commits.clone();
    let _last = Last(core.clone());
    loop {
        commits.due().await;
        // Read first: whatever was taken up before the stop is then in the lists below.
        let stopping = commits.stopping.load(Ordering::Acquire);
        let mut lists = commits.take();
        let found_steps = !lists.steps.is_empty();
        let flushes = std::mem::take(&mut lists.flushes);
        commit(&core, lists).await;
        for flush in flushes {
            let _gone_away = flush.send(());
        }
        if stopping && (!found_steps || commits.degraded().is_some()) {
            return;
        }
    }
}

/// Without a committer nobody would ever be answered, so its end, however it comes, closes the engine.
struct Last(Arc<Core>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.stop_working();
        self.0.commits.abandon();
    }
}

/// Whether somebody waits for what is in the lists.
enum Urgency {
    Now,
    Behind,
    Idle,
}

impl Lists {
    fn urgency(&self) -> Urgency {
        if !self.steps.is_empty() || !self.flushes.is_empty() {
            Urgency::Now
        } else if !self.flips.is_empty() || !self.rewrites.is_empty() {
            Urgency::Behind
        } else {
            Urgency::Idle
        }
    }
}

/// Writes one batch, then tells every cell whose step was in it.
async fn commit(core: &Arc<Core>, lists: Lists) {
    let Lists { steps, flips, rewrites, .. } = lists;
    if steps.is_empty() && flips.is_empty() && rewrites.is_empty() {
        return;
    }
    let durability = if steps.is_empty() { Durability::Buffered } else { Durability::Synced };
    let mut batch = Batch::new();
    for (registration, cell) in &rewrites {
        put_record(&mut batch, &core.codecs, *registration, cell);
    }
    for cell in &flips {
        let registration = cell.with(|state| {
            state.flipped = false;
            state.shard.record().map(|record| record.registration)
        });
        if let Some(registration) = registration {
            put_record(&mut batch, &core.codecs, registration, cell);
        }
    }
    let mut written = Vec::with_capacity(steps.len());
    for cell in steps {
        let encoded = put_step(&mut batch, &core.codecs, &cell);
        if let Err(error) = &encoded {
            tracing::error!(shard = %cell.key(), %error, "a record can't be encoded");
        }
        written.push((cell, encoded.is_ok()));
    }
    let all_encoded = written.iter().all(|(_, encoded)| *encoded);
    let outcome = core.write(batch, durability).await;
    if let Err(error) = &outcome {
        tracing::error!(%error, "the datastore refuses writes");
        let flips = flips.into_iter().filter(|cell| !cell.with(|state| std::mem::replace(&mut state.flipped, true)));
        let flips: Vec<_> = flips.collect();
        core.commits.take_up(|lists| {
            lists.rewrites.extend(rewrites);
            lists.flips.extend(flips);
        });
    }
    core.commits.degraded.lock().clone_from(&outcome.as_ref().err().cloned());
    for (cell, encoded) in written {
        let event = if outcome.is_ok() && encoded { Event::Synced } else { Event::NotSynced };
        let effects = cell.tell(event);
        core.perform(&cell, effects);
    }
    if outcome.is_err() || !all_encoded {
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
}

/// Adds the record as it stands; a deletion where there is none.
fn put_record(batch: &mut Batch, codecs: &Codecs, registration: Registration, cell: &Cell) {
    let record = cell.with(|state| state.shard.record().cloned());
    match record.filter(|record| record.registration == registration) {
        None => batch.delete(SHARDS, &shard_row(registration)),
        Some(record) => match encode_row(codecs.writer(), &record) {
            Ok(row) => batch.put(SHARDS, &shard_row(registration), &row),
            // The row stays as it was, and the next change of the shard meets the same error and reports it.
            Err(error) => tracing::error!(shard = %cell.key(), %error, "a record can't be encoded"),
        },
    }
}

/// Adds the cell's step.
fn put_step(batch: &mut Batch, codecs: &Codecs, cell: &Cell) -> Result<(), dagstore_codec::Error> {
    let write = cell.with(|state| state.shard.step().map(|step| step.write.clone()));
    match write {
        None => {}
        Some(Write::Delete(registration)) => batch.delete(SHARDS, &shard_row(registration)),
        Some(Write::Put(record)) => {
            let row = encode_row(codecs.writer(), &record)?;
            batch.put(SHARDS, &shard_row(record.registration), &row);
        }
    }
    Ok(())
}
