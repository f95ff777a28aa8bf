//! Sources that are read from local copies: fetching them, and indexing them meanwhile.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use dagstore_car::{ScanOptions, Scanned, StreamScanner};
use dagstore_fs::OwnName;
use dagstore_mount::{Mount, Opened, Stat};
use dagstore_transient::{Copies, Lease, Observer};
use dagstore_types::{ErrorClass, ErrorKind, ShardError};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::cell::Cell;
use crate::core::Core;
use crate::error::{copy_error, mount_error};
use crate::indexing::{self, Indexed, Indexing};
use crate::initialise::cancelled;
use crate::place::Place;
use crate::task::Task;

/// Where a fetch has its room from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// From who asks for it, and waits for its end.
    Given,
    /// From the line of all. It is held until the fetch has ended, whoever still waits for it.
    InLine,
}

/// Fetches the copy, or finds it. That goes on when nobody waits for it any more, and closing waits for its end; one that nobody
/// waits for doesn't begin.
///
/// # Errors
/// Those of [`Copies::fetch`].
pub(crate) async fn fetch(
    core: &Arc<Core>,
    copies: &Copies,
    name: OwnName,
    mount: &Arc<dyn Mount>,
    expected: &Stat,
    room: Room,
    observer: Option<Box<dyn Observer>>,
) -> dagstore_transient::Result<Lease> {
    let (mut sender, lease) = oneshot::channel();
    let (core_of_task, copies, mount, expected) = (core.clone(), copies.clone(), mount.clone(), expected.clone());
    core.spawn(async move {
        let _room = match room {
            Room::Given => None,
            Room::InLine => tokio::select! {
                room = core_of_task.fetching.acquire() => room.ok(),
                () = sender.closed() => None,
            },
        };
        if sender.is_closed() {
            return;
        }
        let fetched = copies.fetch(name, mount, Some(&expected), observer).await;
        // Nobody may wait for it any more. The directory's lock goes with the core, so that is held until here.
        let _nobody_waits = sender.send(fetched);
    });
    lease.await.unwrap_or(Err(dagstore_transient::Error::Closed))
}

/// Builds the index of a copied source: while its bytes pass, or of the copy where there is one already. A source that can't
/// be asked is no reason not to use a copy of it.
pub(crate) async fn index(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    name: OwnName,
    place: &Place,
    seen: Option<Stat>,
    task: &Task,
) -> Result<(Indexed, Lease), ShardError> {
    let copies = core.copies()?;
    let stat = match seen {
        Some(stat) => Ok(stat),
        None => task.unless_cancelled(ask(core, copies, name, place)).await.ok_or_else(cancelled)?,
    };
    let stat = match stat {
        Ok(stat) => stat,
        Err(error) => {
            let Ok(lease) = copies.local(name, None).await else { return Err(mount_error(&error)) };
            tracing::info!(shard = %cell.key(), %error, "the source can't be asked; its local copy is indexed");
            return index_copy(core, cell, name, lease, task).await;
        }
    };
    let mut looked = 0;
    loop {
        looked += 1;
        let passing = Passing::new(core, cell, name, &stat, task);
        let fetching = fetch(core, copies, name, &place.mount, &stat, Room::Given, Some(Box::new(passing.clone())));
        let Some(fetched) = task.unless_cancelled(fetching).await else {
            copies.cancel(name).await;
            return Err(cancelled());
        };
        let lease = match (fetched, passing.end()) {
            (Ok(lease), Walk::Done(indexed)) if lease.was_observed() => return Ok((indexed, lease)),
            (Ok(lease), _) => lease,
            // What was on disk of it was damaged, and is gone now: that is no fault of the source.
            (Err(dagstore_transient::Error::Damaged { .. }), _) if looked < MOST_LOOKS => continue,
            (Err(_), Walk::Failed(error)) => {
                give_up_content(copies, name, &error).await;
                return Err(error);
            }
            (Err(error), _) => return Err(copy_error(&error)),
        };
        let content = lease.stat();
        let error = match index_copy(core, cell, name, lease, task).await {
            Ok(indexed) => return Ok(indexed),
            Err(error) => error,
        };
        // A copy that was there before may be damaged, which is no fault of the source either.
        let is_gone = says_bad_content(&error) && core.give_up_copy(name, &content).await;
        if !is_gone || looked >= MOST_LOOKS {
            return Err(error);
        }
    }
}

/// How often a copy is fetched for one attempt.
const MOST_LOOKS: usize = 2;

/// Looks at the source. Where there is a copy, one that gives no answer counts as one that isn't there.
async fn ask(core: &Core, copies: &Copies, name: OwnName, place: &Place) -> dagstore_mount::Result<Stat> {
    if copies.local(name, None).await.is_err() {
        return place.mount.stat().await;
    }
    let stat = tokio::time::timeout(core.options.stat_deadline, place.mount.stat());
    let late = |_| {
        let error = io::Error::new(io::ErrorKind::TimedOut, "it gave no answer");
        Err(dagstore_mount::Error::from_io(&place.mount.location(), error))
    };
    stat.await.unwrap_or_else(late)
}

/// Builds the index of a copy that is there.
async fn index_copy(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    name: OwnName,
    lease: Lease,
    task: &Task,
) -> Result<(Indexed, Lease), ShardError> {
    let opened = Opened::new(lease.stat(), lease.reader().clone());
    Ok((indexing::index_opened(core, cell, name, opened, task).await?, lease))
}

/// Removes what was fetched of a content that can't be indexed: where the source is whole, the next attempt has to fetch it
/// anew.
async fn give_up_content(copies: &Copies, name: OwnName, error: &ShardError) {
    if says_bad_content(error)
        && let Err(error) = copies.evict(name, true, true).await
    {
        tracing::debug!(%name, %error, "what was fetched of a bad source stays");
    }
}

/// Whether something is wrong with the bytes. A number beyond its limit may be a flipped bit.
fn says_bad_content(error: &ShardError) -> bool {
    error.kind().class() == ErrorClass::Corrupt || error.kind() == ErrorKind::LimitExceeded
}

/// Indexes bytes while they pass. Clones are of the same walk.
#[derive(Clone)]
struct Passing {
    core: Arc<Core>,
    cell: Arc<Cell>,
    name: OwnName,
    stat: Stat,
    task: Task,
    walk: Arc<Mutex<Walk>>,
}

/// How far a walk is.
#[derive(Default)]
enum Walk {
    /// Nothing has passed.
    #[default]
    Nothing,
    Going(Box<StreamScanner>, Box<Indexing>),
    Done(Indexed),
    Failed(ShardError),
}

impl Passing {
    fn new(core: &Arc<Core>, cell: &Arc<Cell>, name: OwnName, stat: &Stat, task: &Task) -> Self {
        let (core, cell, task) = (core.clone(), cell.clone(), task.clone());
        Self { core, cell, name, stat: stat.clone(), task, walk: Arc::default() }
    }

    fn end(&self) -> Walk {
        std::mem::take(&mut *self.walk.lock())
    }

    fn begin(&self) -> Result<Walk, ShardError> {
        let options = &self.core.options;
        let indexing = Indexing::begin(&self.core, &self.cell, self.name, &self.stat, &self.task)?;
        let scan = ScanOptions::verifying(options.verify_on_index);
        let scanner = StreamScanner::new(options.car.clone(), scan, Some(self.stat.size));
        Ok(Walk::Going(Box::new(scanner), Box::new(indexing)))
    }

    /// Takes the next bytes, and ends the walk with the last of them.
    fn take(&self, walk: Walk, bytes: &[u8]) -> Result<Walk, ShardError> {
        let walk = if matches!(walk, Walk::Nothing) { self.begin()? } else { walk };
        let Walk::Going(mut scanner, mut indexing) = walk else { return Ok(walk) };
        let wishes = self.cell.wishes();
        let mut take = |block: Scanned<'_>| {
            wishes.pass(self.name, &block);
            indexing.take(block)
        };
        let mut walked = scanner.push(bytes, &mut take);
        if wishes.are_any() {
            // Somebody waits for one of those that are gathered still.
            walked = walked.and_then(|()| scanner.flush(&mut take));
        }
        let is_end = scanner.received_bytes() >= self.stat.size;
        if walked.is_ok() && !is_end {
            return Ok(Walk::Going(scanner, indexing));
        }
        let walked = walked.and_then(|()| scanner.finish(take).map(drop));
        walked.map_err(|error| indexing.failure(&error))?;
        Ok(Walk::Done(indexing.end()))
    }
}

impl Observer for Passing {
    fn chunk(&mut self, _offset: u64, bytes: &[u8]) -> ControlFlow<()> {
        let mut walk = self.walk.lock();
        *walk = self.take(std::mem::take(&mut *walk), bytes).unwrap_or_else(Walk::Failed);
        if matches!(*walk, Walk::Failed(_)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Core {
    /// The store's copies.
    ///
    /// # Errors
    /// The shard was registered when the store had some, and now it is open without.
    pub(crate) fn copies(&self) -> Result<&Copies, ShardError> {
        let text = "the source can't be read without a local copy, and the store is open without a folder for copies";
        self.copies.as_ref().ok_or_else(|| ShardError::new(ErrorKind::Storage, text))
    }
}
