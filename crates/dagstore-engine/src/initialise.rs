//! The work on a shard: read its CAR, build and publish its index.

use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dagstore_car::{CarReader, ScanOptions};
use dagstore_fs::OwnName;
use dagstore_fsm::{Answer, Event, Refusal};
use dagstore_index::{IndexBuilder, IndexMeta};
use dagstore_mount::{Mount, MountUrl, Opened};
use dagstore_types::{Attempt, ErrorKind, Registration, ShardError};
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinError;

use crate::cell::{Cell, Reply};
use crate::core::Core;
use crate::error::{car_error, index_error, mount_error};
use crate::indexer::{Candidate, is_indexed};
use crate::task::Task;
use crate::{inverted, publisher, retry};

/// Shards with no more entries than this are finished together with others: their indices published, their rows loaded.
pub(crate) const SMALL_ENTRIES: u64 = 16 * 1024;

/// How long a start waits after the datastore refused to count it.
const PAUSE_WHEN_NOT_DURABLE: Duration = Duration::from_secs(1);

/// How a task came to its end.
enum End {
    /// There was nothing to do, or the store closes.
    Nothing,
    /// The source isn't ready: the shard goes to those that wait for theirs.
    NotReady,
    /// The work was begun.
    Worked(Attempt, Result<(), ShardError>),
}

/// Where a task has its room from.
enum Room {
    /// From the usual line. The source may turn out not to be ready.
    Starting(OwnedSemaphorePermit),
    /// From the line of those whose source wasn't ready when it was looked at.
    Thawing(OwnedSemaphorePermit),
}

/// Begins the work as soon as there is room.
pub(crate) fn enqueue(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration) {
    core.starting.push(cell.clone(), registration);
    start_next(core);
}

/// Starts tasks for as many shards as there is room for.
fn start_next(core: &Arc<Core>) {
    while let Some((room, cell, registration)) = core.starting.next() {
        start(core, &cell, registration, Room::Starting(room));
    }
    while let Some((room, cell, registration)) = core.thawing.next() {
        start(core, &cell, registration, Room::Thawing(room));
    }
}

/// Starts the work.
fn start(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration, room: Room) {
    let of = cell.clone();
    begin_task(
        core,
        cell,
        registration,
        |core, task| async move { attempt(&core, &of, registration, room, &task).await },
    );
}

/// Starts a task of the shard, unless there is one already or nobody wants it any more.
fn begin_task<F: Future<Output = End> + Send + 'static>(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    registration: Registration,
    work: impl FnOnce(Arc<Core>, Task) -> F,
) {
    let (running, ended) = watch::channel(());
    let task = Task::new(ended);
    let is_wanted = cell.with(|state| {
        let is_wanted = state.task.is_none() && state.shard.wants_work(registration);
        if is_wanted {
            state.task = Some(task.clone());
        }
        is_wanted
    });
    if is_wanted {
        let work = work(core.clone(), task.clone());
        core.spawn(run(core.clone(), cell.clone(), registration, task, running, work));
    }
}

/// Ends an attempt whose index was published before the process ended: only its rows may be missing.
pub(crate) fn finish(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration, attempt: Attempt) {
    let name = OwnName::new(cell.key(), registration, attempt);
    begin_task(core, cell, registration, |core, task| async move {
        let add = async {
            let _finishing = room_in(&core.finishing, &task).await.ok_or_else(cancelled)?;
            inverted::add(&core, name, &task).await
        };
        End::Worked(attempt, AssertUnwindSafe(add).catch_unwind().await.unwrap_or_else(|_| Err(panicked())))
    });
}

#[tracing::instrument(level = "debug", name = "initialise", skip_all, fields(key = %cell.key(), %registration))]
async fn run(
    core: Arc<Core>,
    cell: Arc<Cell>,
    registration: Registration,
    task: Task,
    running: watch::Sender<()>,
    work: impl Future<Output = End> + Send,
) {
    let end = work.await;
    // Before the end is told: what follows from it may start a task of its own.
    cell.with(|state| state.task = None);
    drop(running);
    let now = core.now();
    match end {
        End::Nothing => {}
        End::NotReady => core.thawing.push(cell, registration),
        // A shard that is being destroyed takes no notice of it, and one whose store closes begins again later.
        End::Worked(attempt, _) if task.is_cancelled() => {
            core.tell(&cell, Event::Interrupted { registration, attempt, now });
        }
        End::Worked(attempt, Ok(())) => {
            core.catalogue.link(registration, cell.key());
            core.tell(&cell, Event::Available { registration, attempt, now });
        }
        End::Worked(attempt, Err(error)) => {
            let next_try = retry::next_try(&core, &cell, &error);
            core.tell(&cell, Event::Failed { registration, attempt, error, next_try, now });
        }
    }
    start_next(&core);
}

/// Waits for room and counts the attempt, in this order: an attempt that only waited is none. Then works.
async fn attempt(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration, room: Room, task: &Task) -> End {
    let mount = mount(core, cell);
    let (starting, thawing) = match room {
        Room::Starting(room) => {
            if let Ok((mount, _)) = &mount
                && !task.unless_cancelled(is_ready(core, &**mount)).await.unwrap_or(true)
            {
                return End::NotReady;
            }
            (Some(room), None)
        }
        Room::Thawing(room) => (None, Some(room)),
    };
    // Nothing has to be fetched of a source on this machine, so it waits for all its room before it begins.
    let is_here = mount.as_ref().is_ok_and(|(_, is_local)| *is_local && starting.is_some());
    let (mut fetching, mut indexing) = (None, None);
    if is_here {
        indexing = room_in(&core.indexing, task).await;
    } else if starting.is_some() {
        fetching = room_in(&core.fetching, task).await;
    }
    let Some(attempt) = begin(core, cell, registration, task).await else { return End::Nothing };
    let name = OwnName::new(cell.key(), registration, attempt);
    let work = async {
        let (mount, _) = mount?;
        let opened = task.unless_cancelled(mount.open()).await.ok_or_else(cancelled)?;
        let opened = opened.map_err(|error| mount_error(&error))?;
        drop(fetching);
        if indexing.is_none() {
            indexing = room_in(&core.indexing, task).await;
        }
        let room = indexing.ok_or_else(cancelled)?;
        let (built, entries) = build(core, cell, name, &*mount, opened, task).await?;
        let is_small = entries <= SMALL_ENTRIES;
        // What is left to be done of a large index is work as well, and much of it.
        let built = if is_small { Some(built) } else { publisher::publish(core, built, task).await.map(|()| None)? };
        let _finishing = room_in(&core.finishing, task).await.ok_or_else(cancelled)?;
        // The next ones may be indexed meanwhile, so that small shards meet.
        drop((room, starting, thawing));
        start_next(core);
        if let Some(built) = built {
            publisher::publish_together(core, built).await?;
        }
        inverted::add(core, name, task).await
    };
    let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
    End::Worked(attempt, outcome)
}

/// Room; `None` where the task is to end or the store closes.
async fn room_in<'a>(rooms: &'a Semaphore, task: &Task) -> Option<SemaphorePermit<'a>> {
    task.unless_cancelled(rooms.acquire()).await?.ok()
}

/// The mount of the shard's URL, and whether its bytes are on this machine.
fn mount(core: &Core, cell: &Cell) -> Result<(Arc<dyn Mount>, bool), ShardError> {
    let url = cell.with(|state| state.shard.record().map(|record| record.url.clone())).unwrap_or_default();
    let mount = || {
        let mount = MountUrl::parse(&url).and_then(|url| core.registry.instantiate(&url))?;
        let is_local = mount.capabilities().local;
        Ok((mount, is_local))
    };
    let mount = std::panic::catch_unwind(AssertUnwindSafe(mount)).map_err(|_| panicked())?;
    mount.map_err(|error| mount_error(&error))
}

/// Whether the source can be read at once. One that gives no answer is treated as one that can't; one that fails is left to
/// the attempt, which tells why.
async fn is_ready(core: &Core, mount: &dyn Mount) -> bool {
    let stat = AssertUnwindSafe(async { mount.stat().await }).catch_unwind();
    match tokio::time::timeout(core.options.stat_deadline, stat).await {
        Ok(Ok(Ok(stat))) => stat.ready,
        Ok(Ok(Err(_)) | Err(_)) => true,
        Err(_) => false,
    }
}

/// Counts the attempt. `None` when there is nothing to do any more.
async fn begin(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration, task: &Task) -> Option<Attempt> {
    loop {
        if task.is_cancelled() || core.is_closed() {
            return None;
        }
        let now = core.now();
        let next = cell.with(|state| state.shard.record().and_then(|record| record.attempt.next()));
        let answer = core.ask(cell, |waiter| Event::Initialize { waiter, registration, now }).await;
        match answer {
            Ok(Some(Reply::Answer(Answer::Begin(attempt)))) => return Some(attempt),
            Ok(Some(Reply::Answer(Answer::Refused(Refusal::NotDurable)))) => {
                task.unless_cancelled(tokio::time::sleep(PAUSE_WHEN_NOT_DURABLE)).await?;
            }
            Ok(_) => return None,
            Err(_) => {
                // The store closes. Where the start is counted all the same, it was survived.
                if let Some(attempt) = next {
                    core.tell(cell, Event::Interrupted { registration, attempt, now });
                }
                return None;
            }
        }
    }
}

/// Builds the index of a source that stays the same meanwhile, and tells how many entries it has, duplicates included.
async fn build(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    name: OwnName,
    mount: &dyn Mount,
    opened: Opened,
    task: &Task,
) -> Result<(Box<dyn IndexBuilder>, u64), ShardError> {
    let (shared, indexing, source) = (core.clone(), task.clone(), opened.clone());
    let cell = cell.clone();
    let built = core.spawn_blocking(move || index(&shared, &cell, name, source, &indexing)).await;
    let built = built.unwrap_or_else(|error| Err(died(&error, task)))?;
    task.unless_cancelled(unchanged(mount, &opened)).await.ok_or_else(cancelled)??;
    Ok(built)
}

/// Builds the index. Runs on a blocking thread.
fn index(
    core: &Core,
    cell: &Cell,
    name: OwnName,
    opened: Opened,
    task: &Task,
) -> Result<(Box<dyn IndexBuilder>, u64), ShardError> {
    let total_bytes = opened.stat.size;
    task.progress.set(0, total_bytes);
    let meta = IndexMeta { name, car_size: total_bytes, validator: opened.stat.validator };
    let reader = CarReader::open(opened.reader, core.options.car.clone()).map_err(|error| car_error(&error))?;
    let mut builder = core.index_repo.builder(meta).map_err(|error| index_error(&error))?;
    let (mut entries, mut refused) = (0, None);
    let indexer = core.options.indexer.as_deref();
    let scan = ScanOptions::verifying(core.options.verify_on_index);
    let scanned = reader.scan(scan, |block| {
        let candidate = Candidate {
            shard: cell.key(),
            multihash: block.multihash,
            offset: block.offset,
            data_size: block.data_size,
        };
        if is_indexed(indexer, &candidate) {
            entries += 1;
            if let Err(error) = builder.add(block.multihash, block.offset, block.data_size) {
                refused = Some(error);
                return ControlFlow::Break(());
            }
        }
        task.progress.set(block.end, total_bytes);
        if task.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    if let Some(error) = refused {
        return Err(index_error(&error));
    }
    scanned.map_err(|error| car_error(&error))?;
    task.progress.set(total_bytes, total_bytes);
    Ok((builder, entries))
}

/// A source that changed while it was read has an index of neither content.
async fn unchanged(mount: &dyn Mount, opened: &Opened) -> Result<(), ShardError> {
    let now = mount.stat().await.map_err(|error| mount_error(&error))?;
    if now.same_content(&opened.stat) {
        return Ok(());
    }
    Err(ShardError::new(ErrorKind::SourceChanged, "the source changed while it was being indexed; recover the shard"))
}

/// Nobody hears of this one: a task that was asked to end tells no error.
pub(crate) fn cancelled() -> ShardError {
    ShardError::new(ErrorKind::Internal, "the task was asked to end")
}

/// Why work on a thread of its own gave nothing.
pub(crate) fn died(error: &JoinError, task: &Task) -> ShardError {
    // A runtime that shuts down is the store's end, not the shard's fault.
    if error.is_cancelled() {
        task.cancel();
    }
    panicked()
}

fn panicked() -> ShardError {
    ShardError::new(ErrorKind::Internal, "the task that initialised the shard panicked; this is a fault of the program")
}
