//! The work on a shard: read its CAR, build and publish its index.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::OwnName;
use dagstore_fsm::{Answer, Event, Refusal};
use dagstore_mount::Stat;
use dagstore_transient::Lease;
use dagstore_types::{Attempt, ErrorKind, Registration, ShardError};
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinError;

use crate::cell::{Cell, Reply};
use crate::core::Core;
use crate::error::mount_error;
use crate::indexing::{self, Indexed};
use crate::place::Place;
use crate::task::Task;
use crate::{fetched, inverted, provisional, publisher, retry};

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
    /// The datastore refused to count the start. Whoever waited has been told so.
    NotCounted,
    /// The work was begun.
    Worked(Attempt, Result<Done, ShardError>),
}

/// How work succeeded.
#[derive(Default)]
struct Done {
    /// There is no index, and the one inside the CAR has to do for now.
    provisional: bool,
    /// The copy that was indexed.
    lease: Option<Box<Lease>>,
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
            inverted::add(&core, name, &task).await.map(|()| Done::default())
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
        End::NotCounted => core.spawn(go_to_the_end_of_the_line(core.clone(), cell, registration)),
        // A shard that is being destroyed takes no notice of it, and one whose store closes begins again later.
        End::Worked(attempt, _) if task.is_cancelled() => {
            core.tell(&cell, Event::Interrupted { registration, attempt, now });
        }
        End::Worked(attempt, Ok(Done { provisional, lease })) => {
            core.catalogue.link(registration, cell.key());
            cell.keep_for_parked(lease);
            core.tell(&cell, Event::Available { registration, attempt, provisional, now });
        }
        End::Worked(attempt, Err(error)) => {
            let next_try = retry::next_try(&core, &cell, &error);
            core.tell(&cell, Event::Failed { registration, attempt, error, next_try, now });
        }
    }
    start_next(&core);
}

/// Has a shard begin later, without the room that it had: those behind it would wait for ever, and not be told why.
async fn go_to_the_end_of_the_line(core: Arc<Core>, cell: Arc<Cell>, registration: Registration) {
    if core.unless_closed(tokio::time::sleep(PAUSE_WHEN_NOT_DURABLE)).await.is_ok() {
        enqueue(&core, &cell, registration);
    }
}

/// Waits for room and counts the attempt, in this order: an attempt that only waited is none. Then works.
async fn attempt(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration, room: Room, task: &Task) -> End {
    let place = place(core, cell);
    let mut seen = None;
    let (starting, thawing) = match room {
        Room::Starting(room) => {
            if let Ok(place) = &place {
                match task.unless_cancelled(look(core, place)).await {
                    Some(Look::NotReady) => return End::NotReady,
                    Some(Look::Seen(stat)) => seen = Some(stat),
                    Some(Look::Failed) | None => {}
                }
            }
            (Some(room), None)
        }
        Room::Thawing(room) => (None, Some(room)),
    };
    // Nothing has to be fetched of a source on this machine, so it waits for all its room before it begins.
    let is_here = place.as_ref().is_ok_and(|place| place.is_local() && starting.is_some());
    let (mut fetching, mut indexing) = (None, None);
    if is_here {
        indexing = room_in(&core.indexing, task).await;
    } else if starting.is_some() {
        fetching = room_in(&core.fetching, task).await;
    }
    let attempt = match begin(core, cell, registration, task).await {
        Ok(attempt) => attempt,
        Err(end) => return end,
    };
    let name = OwnName::new(cell.key(), registration, attempt);
    let work = async {
        let place = place?;
        let (indexed, lease) = if place.is_copied() {
            if provisional::is_enough(core, cell, name, &place, seen.as_ref(), task).await {
                return Ok(Done { provisional: true, lease: None });
            }
            // It is indexed while it is fetched, which takes much longer, so the room for the one is enough.
            let (indexed, lease) = fetched::index(core, cell, name, &place, seen, task).await?;
            (indexed, Some(Box::new(lease)))
        } else {
            let opened = task.unless_cancelled(place.mount.open()).await.ok_or_else(cancelled)?;
            let opened = opened.map_err(|error| mount_error(&error))?;
            drop(fetching.take());
            if indexing.is_none() {
                indexing = room_in(&core.indexing, task).await;
            }
            if indexing.is_none() {
                return Err(cancelled());
            }
            (indexing::index_source(core, cell, name, &*place.mount, opened, task).await?, None)
        };
        let Indexed { builder, entries } = indexed;
        let is_small = entries <= SMALL_ENTRIES;
        // What is left to be done of a large index is work as well, and much of it.
        let built =
            if is_small { Some(builder) } else { publisher::publish(core, builder, task).await.map(|()| None)? };
        let _finishing = room_in(&core.finishing, task).await.ok_or_else(cancelled)?;
        // The next ones may be indexed meanwhile, so that small shards meet.
        drop((fetching, indexing, starting, thawing));
        start_next(core);
        if let Some(built) = built {
            publisher::publish_together(core, built).await?;
        }
        inverted::add(core, name, task).await?;
        Ok(Done { provisional: false, lease })
    };
    let outcome = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked()));
    End::Worked(attempt, outcome)
}

/// Room; `None` where the task is to end or the store closes.
async fn room_in<'a>(rooms: &'a Semaphore, task: &Task) -> Option<SemaphorePermit<'a>> {
    task.unless_cancelled(rooms.acquire()).await?.ok()
}

/// The place of the shard's URL.
fn place(core: &Core, cell: &Cell) -> Result<Place, ShardError> {
    let url = cell.with(|state| state.shard.record().map(|record| record.url.clone())).unwrap_or_default();
    let place = std::panic::catch_unwind(AssertUnwindSafe(|| Place::of(&core.registry, &url)));
    place.map_err(|_| panicked())?.map_err(|error| mount_error(&error))
}

/// What a first look at a source tells.
enum Look {
    Seen(Stat),
    NotReady,
    /// The attempt tells why.
    Failed,
}

/// Looks whether the source can be read at once. One that gives no answer is treated as one that can't.
async fn look(core: &Core, place: &Place) -> Look {
    let stat = AssertUnwindSafe(async { place.mount.stat().await }).catch_unwind();
    match tokio::time::timeout(core.options.stat_deadline, stat).await {
        Ok(Ok(Ok(stat))) if stat.ready => Look::Seen(stat),
        Ok(Ok(Ok(_))) | Err(_) => Look::NotReady,
        Ok(Ok(Err(_)) | Err(_)) => Look::Failed,
    }
}

/// Counts the attempt, or says how the task ends without one.
async fn begin(core: &Arc<Core>, cell: &Arc<Cell>, registration: Registration, task: &Task) -> Result<Attempt, End> {
    if task.is_cancelled() || core.is_closed() {
        return Err(End::Nothing);
    }
    let now = core.now();
    let next = cell.with(|state| state.shard.record().and_then(|record| record.attempt.next()));
    let answer = core.ask(cell, |waiter| Event::Initialize { waiter, registration, now }).await;
    match answer {
        Ok(Some(Reply::Answer(Answer::Begin(attempt)))) => Ok(attempt),
        Ok(Some(Reply::Answer(Answer::Refused(Refusal::NotDurable)))) => Err(End::NotCounted),
        Ok(_) => Err(End::Nothing),
        Err(_) => {
            // The store closes. Where the start is counted all the same, it was survived.
            if let Some(attempt) = next {
                core.tell(cell, Event::Interrupted { registration, attempt, now });
            }
            Err(End::Nothing)
        }
    }
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

pub(crate) fn panicked() -> ShardError {
    ShardError::new(ErrorKind::Internal, "the task that initialised the shard panicked; this is a fault of the program")
}
