//! The committer: one batch, one sync, for the steps of all cells that wait.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dagstore_codec::Codecs;
use dagstore_datastore::{Batch, Durability, Error, ErrorClass};
use dagstore_fsm::Event;
use dagstore_types::Registration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cell::Cell;
use crate::commits::{Group, LastBatch, Lists};
use crate::core::Core;
use crate::options::Blocking;
use crate::rows::{META, NEXT_REGISTRATION, SHARDS, shard_row};
use crate::shared::encode;

/// How long the next batch waits after one that failed.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How much longer than the deadline a write is waited for that says nothing at all.
const GRACE: Duration = Duration::from_millis(50);

/// From how many cells on their answers are worth a task of their own. Where all is done inline, two are: the simulation,
/// which has few shards, is to get there.
fn worth_a_task(blocking: Blocking) -> usize {
    match blocking {
        Blocking::Threads => 8,
        Blocking::Inline => 2,
    }
}

/// Writes what is taken up until it is stopped; `_ended` is dropped then.
pub(crate) async fn run(core: Arc<Core>, _ended: watch::Sender<()>) {
    let _last = Last(core.clone());
    let mut last = LastBatch::default();
    let mut answering = Answering::default();
    loop {
        core.shared.commits.due(last).await;
        // Read first: whatever was taken up before the stop is then in the lists below.
        let stopping = core.shared.commits.is_stopping();
        let (group, lists) = core.shared.commits.take();
        let found_steps = !group.cells.is_empty();
        last = commit(&core, group, lists, &mut answering).await;
        if core.shared.lost.get().is_some() {
            return;
        }
        // What the answers bring about is written, too.
        if stopping && !answering.ended().await && (!found_steps || core.shared.commits.degraded().is_some()) {
            return;
        }
    }
}

/// Without a committer nobody would ever be answered, so its end, however it comes, closes the engine.
struct Last(Arc<Core>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.stop_working();
        self.0.shared.commits.abandon();
    }
}

/// The answers to the last batch, given while the next one is being written.
#[derive(Default)]
struct Answering(Option<JoinHandle<()>>);

impl Answering {
    /// Tells every cell that its step is durable, behind those of the batch before.
    async fn begin(&mut self, core: &Arc<Core>, cells: Vec<Arc<Cell>>) {
        self.ended().await;
        if cells.len() < worth_a_task(core.options.blocking) {
            return tell_all(core, cells, &Event::Synced);
        }
        let shared = core.clone();
        self.0 = Some(core.runtime.spawn(async move { tell_all(&shared, cells, &Event::Synced) }));
    }

    /// Waits until the answers are given; `false` where that was so already.
    async fn ended(&mut self) -> bool {
        let Some(answers) = self.0.take() else { return false };
        // A panic in it has told nobody, and is treated as the committer's own.
        #[expect(clippy::expect_used, reason = "passes a panic on; the task is only ever cancelled with its runtime")]
        answers.await.expect("the answers to a batch were given");
        true
    }
}

/// Writes one batch, then tells every cell whose step was in it.
async fn commit(core: &Arc<Core>, group: Group, lists: Lists, answering: &mut Answering) -> LastBatch {
    let Lists { refused, flips, rewrites, numbers, .. } = lists;
    let none_refused = refused.is_empty();
    tell_all(core, refused, &Event::NotSynced);
    let Group { batch: steps, mut cells } = group;
    // A row that is set right must stay right: were it only buffered, a crash could bring back what was given up, beside
    // what came after it.
    let must_last = !cells.is_empty() || numbers.is_wanted() || !rewrites.is_empty() || flips.is_empty();
    let durability = if must_last { Durability::Synced } else { Durability::Buffered };
    if !flips.is_empty() || !rewrites.is_empty() {
        // Their rows are written from the records, which the answers to the last batch may still have to set.
        answering.ended().await;
    }
    let batch = assemble(core, steps, &flips, &rewrites, numbers.end);
    // A datastore that refused to write is asked again, even where there is nothing to write: an empty batch is a sync.
    if batch.is_empty() && core.shared.commits.degraded().is_none() {
        return LastBatch::default();
    }
    let (rows, begun, end) = (batch.len(), Instant::now(), numbers.end);
    let mut numbers = Some(numbers);
    let outcome = write_or_refuse(core, batch, durability, || {
        if let Some(numbers) = numbers.take() {
            numbers.answer(false);
        }
        std::mem::take(&mut cells)
    });
    let outcome = outcome.await;
    let took = begun.elapsed();
    core.shared.metrics.batch(rows, core.shared.commits.waiting(), took);
    let last = match core.options.blocking {
        Blocking::Threads => LastBatch { steps: cells.len(), took },
        // The order of everything must not hang on how long something took.
        Blocking::Inline => LastBatch::default(),
    };
    if outcome.is_ok() {
        core.registrations.made_durable(end);
    }
    if outcome.as_ref().is_err_and(|error| core.is_lost_by(error)) {
        // Whoever waited has been told, and what they waited for has not happened.
        return last;
    }
    core.shared.commits.set_degraded(outcome.as_ref().err().cloned());
    if let Some(numbers) = numbers {
        numbers.answer(outcome.is_ok());
    }
    if let Err(error) = &outcome {
        tracing::error!(%error, "the datastore refuses writes");
        let flips = flips.into_iter().filter(|cell| !cell.with(|state| std::mem::replace(&mut state.flipped, true)));
        core.shared.commits.take_back(flips.collect(), rewrites);
    }
    if outcome.is_ok() {
        answering.begin(core, cells).await;
    } else {
        answering.ended().await;
        tell_all(core, cells, &Event::NotSynced);
    }
    if outcome.is_err() || !none_refused {
        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
    }
    last
}

/// Writes with patience. A write that says nothing is waited for beyond the deadline, because no other may be under way
/// beside it; but whoever waits for it, or comes meanwhile, is told that nothing is durable. `waiting` gives those who
/// wait for this very write.
async fn write_or_refuse(
    core: &Arc<Core>,
    batch: Batch,
    durability: Durability,
    mut waiting: impl FnMut() -> Vec<Arc<Cell>>,
) -> Result<(), Error> {
    let mut outcome = pin!(core.write(batch, durability));
    let mut patience = core.options.persist_deadline.saturating_add(GRACE);
    loop {
        if let Ok(outcome) = tokio::time::timeout(patience, &mut outcome).await {
            return outcome;
        }
        let name = core.datastore.name();
        let error = Error::failed(name, "write", ErrorClass::Transient, "it has not answered for a long time");
        tracing::error!(%error, "the datastore hangs");
        // What it said before tells more, and is why it takes so long as a rule.
        if core.shared.commits.degraded().is_none() {
            core.shared.commits.set_degraded(Some(error));
        }
        tell_all(core, waiting(), &Event::NotSynced);
        let (cells, numbers) = core.shared.commits.take_waiting();
        numbers.answer(false);
        tell_all(core, cells, &Event::NotSynced);
        patience = PAUSE_AFTER_FAILURE;
    }
}

fn tell_all(core: &Arc<Core>, cells: Vec<Arc<Cell>>, event: &Event) {
    for cell in cells {
        core.tell(&cell, event.clone());
    }
}

/// The batch to write. Rows that are set right and flips come first, for a step of the same row stands above them.
fn assemble(
    core: &Core,
    steps: Batch,
    flips: &[Arc<Cell>],
    rewrites: &BTreeMap<Registration, Arc<Cell>>,
    numbers_end: u64,
) -> Batch {
    let mut batch = Batch::new();
    if numbers_end > 0 {
        batch.put(META, NEXT_REGISTRATION.as_bytes(), &numbers_end.to_be_bytes());
    }
    for (registration, cell) in rewrites {
        put_record(&mut batch, &core.shared.codecs, *registration, cell);
    }
    for cell in flips {
        let registration = cell.with(|state| {
            state.flipped = false;
            state.shard.record().map(|record| record.registration)
        });
        if let Some(registration) = registration {
            put_record(&mut batch, &core.shared.codecs, registration, cell);
        }
    }
    if batch.is_empty() {
        return steps;
    }
    for step in steps.iter() {
        match step.value {
            Some(value) => batch.put(step.namespace, step.key, value),
            None => batch.delete(step.namespace, step.key),
        }
    }
    batch
}

/// Adds the record as it stands; a deletion where there is none.
fn put_record(batch: &mut Batch, codecs: &Codecs, registration: Registration, cell: &Cell) {
    let record = cell.with(|state| state.shard.record().cloned());
    match record.filter(|record| record.registration == registration) {
        None => batch.delete(SHARDS, &shard_row(registration)),
        Some(record) => match encode(codecs, &record) {
            Ok(row) => batch.put(SHARDS, &shard_row(registration), &row),
            // The row stays as it was, and the next change of the shard meets the same error and reports it.
            Err(error) => tracing::error!(shard = %cell.key(), %error, "a record can't be encoded"),
        },
    }
}
