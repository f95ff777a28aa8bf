//! The work on a shard: read its CAR, build and publish its index.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use std::time::Duration;

use dagstore_car::{CarReader, ScanOptions};
use dagstore_fs::OwnName;
use dagstore_fsm::{Answer, Event, Refusal};
use dagstore_index::IndexMeta;
use dagstore_mount::{Mount, MountUrl, Opened};
use dagstore_types::{Attempt, ErrorKind, Registration, ShardError};
use futures_util::FutureExt;
use tokio::sync::watch;

use crate::cell::{Cell, Reply, Task};
use crate::core::Core;
use crate::error::{car_error, index_error, mount_error};

/// How long a start waits after the datastore refused to count it.
const PAUSE_WHEN_NOT_DURABLE: Duration = Duration::from_secs(1);

/// Starts the work, unless it is being done already.
pub(crate) fn start(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration) {
    let (running, ended) = watch::channel(());
    let task = Task::new(ended);
    let first = cell.with(|state| {
        let first = state.task.is_none();
        if first {
            state.task = Some(task.clone());
        }
        first
    });
    if first {
        core.spawn(run(core.clone(), cell.clone(), registration, task, running));
    }
}

async fn run(core: Arc<Core>, cell: Arc<Cell>, registration: Registration, task: Task, running: watch::Sender<()>) {
    let begun = begin(&core, &cell, registration, &task).await;
    let outcome = match begun {
        None => None,
        Some((attempt, _room)) => {
            let work = work(&core, &cell, OwnName::new(cell.key(), registration, attempt), &task);
            let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
            Some((attempt, outcome))
        }
    };
    // Before the end is told: what follows from it may start a task of its own.
    cell.with(|state| state.task = None);
    drop(running);
    let now = core.now();
    match outcome {
        None => {}
        // A shard that is being destroyed takes no notice of it, and one whose store closes begins again later.
        Some((attempt, _)) if task.is_cancelled() => {
            core.tell(&cell, Event::Interrupted { registration, attempt, now });
        }
        Some((attempt, Ok(()))) => core.tell(&cell, Event::Available { registration, attempt, now }),
        Some((attempt, Err(error))) => {
            core.tell(&cell, Event::Failed { registration, attempt, error, next_try: None, now })
        }
    }
}

/// Waits for room and counts the attempt, in this order: an attempt that only waited is none. `None` when there is
/// nothing to do any more.
async fn begin<'a>(
    core: &'a Arc<Core>,
    cell: &Arc<Cell>,
    registration: Registration,
    task: &Task,
) -> Option<(Attempt, tokio::sync::SemaphorePermit<'a>)> {
    let room = task.unless_cancelled(core.initialising.acquire()).await?.ok()?;
    loop {
        if task.is_cancelled() || core.is_closed() {
            return None;
        }
        let now = core.now();
        let answer = core.ask(cell, |waiter| Event::Initialize { waiter, registration, now }).await;
        match answer {
            Ok(Some(Reply::Answer(Answer::Begin(attempt)))) => return Some((attempt, room)),
            Ok(Some(Reply::Answer(Answer::Refused(Refusal::NotDurable)))) => {
                task.unless_cancelled(tokio::time::sleep(PAUSE_WHEN_NOT_DURABLE)).await?;
            }
            Ok(_) | Err(_) => return None,
        }
    }
}

async fn work(core: &Arc<Core>, cell: &Arc<Cell>, name: OwnName, task: &Task) -> Result<(), ShardError> {
    let url = cell.with(|state| state.shard.record().map(|record| record.url.clone())).unwrap_or_default();
    let mount =
        MountUrl::parse(&url).and_then(|url| core.registry.instantiate(&url)).map_err(|error| mount_error(&error))?;
    let opened = task.unless_cancelled(mount.open()).await.ok_or_else(cancelled)?;
    let opened = opened.map_err(|error| mount_error(&error))?;
    let (shared, indexing, source) = (core.clone(), task.clone(), opened.clone());
    let indexed = core.runtime.spawn_blocking(move || index(&shared, name, source, &indexing)).await;
    indexed.unwrap_or_else(|error| {
        // A runtime that shuts down is the store's end, not the shard's fault.
        if error.is_cancelled() {
            task.cancel();
        }
        Err(panicked())
    })?;
    task.unless_cancelled(unchanged(&*mount, &opened)).await.ok_or_else(cancelled)?
}

/// Builds and publishes the index. Runs on a blocking thread.
fn index(core: &Core, name: OwnName, opened: Opened, task: &Task) -> Result<(), ShardError> {
    let total_bytes = opened.stat.size;
    task.progress.set(0, total_bytes);
    let meta = IndexMeta { name, car_size: total_bytes, validator: opened.stat.validator };
    let reader = CarReader::open(opened.reader, core.options.car.clone()).map_err(|error| car_error(&error))?;
    let mut builder = core.index_repo.builder(meta).map_err(|error| index_error(&error))?;
    let mut refused = None;
    let scan = ScanOptions::verifying(core.options.verify_on_index);
    let scanned = reader.scan(scan, |block| {
        if let Err(error) = builder.add(block.multihash, block.offset, block.data_size) {
            refused = Some(error);
            return ControlFlow::Break(());
        }
        task.progress.set(block.end, total_bytes);
        if task.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(error) = refused {
        return Err(index_error(&error));
    }
    scanned.map_err(|error| car_error(&error))?;
    let summary = builder.publish().map_err(|error| index_error(&error))?;
    task.progress.set(total_bytes, total_bytes);
    tracing::debug!(%name, entries = summary.entries, bytes = summary.file_bytes, "an index was published");
    Ok(())
}

/// A source that changed while it was read has an index of neither content.
async fn unchanged(mount: &dyn Mount, opened: &Opened) -> Result<(), ShardError> {
    let now = mount.stat().await.map_err(|error| mount_error(&error))?;
    if now == opened.stat {
        return Ok(());
    }
    Err(ShardError::new(ErrorKind::SourceChanged, "the source changed while it was being indexed; recover the shard"))
}

/// Nobody hears of this one: a task that was asked to end tells no error.
fn cancelled() -> ShardError {
    ShardError::new(ErrorKind::Internal, "the task was asked to end")
}

fn panicked() -> ShardError {
    ShardError::new(ErrorKind::Internal, "the task that initialised the shard panicked; this is a fault of the program")
}
