//! Sources that are read from local copies: fetching them, and indexing them meanwhile.

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

/// Fetches the copy, or finds it. That goes on when nobody waits for it any more, and closing waits for its end.
///
/// # Errors
/// Those of [`Copies::fetch`].
pub(crate) async fn fetch(
    core: &Arc<Core>,
    copies: &Copies,
    name: OwnName,
    mount: &Arc<dyn Mount>,
    expected: &Stat,
    observer: Option<Box<dyn Observer>>,
) -> dagstore_transient::Result<Lease> {
    let (sender, lease) = oneshot::channel();
    let (core_of_task, copies, mount, expected) = (core.clone(), copies.clone(), mount.clone(), expected.clone());
    core.spawn(async move {
        let fetched = copies.fetch(name, mount, Some(&expected), observer).await;
        // Nobody may wait for it any more. The directory's lock goes with the core, so that is held until here.
        let _nobody_waits = sender.send(fetched);
        drop(core_of_task);
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
        None => task.unless_cancelled(place.mount.stat()).await.ok_or_else(cancelled)?,
    };
    let stat = match stat {
        Ok(stat) => stat,
        Err(error) => {
            let Ok(lease) = copies.local(name, None).await else { return Err(mount_error(&error)) };
            tracing::info!(shard = %cell.key(), %error, "the source can't be asked; its local copy is indexed");
            return index_copy(core, cell, name, copies, lease, task).await;
        }
    };
    let passing = Passing::new(core, cell, name, &stat, task);
    let fetching = fetch(core, copies, name, &place.mount, &stat, Some(Box::new(passing.clone())));
    let Some(fetched) = task.unless_cancelled(fetching).await else {
        copies.cancel(name).await;
        return Err(cancelled());
    };
    match (fetched, passing.end()) {
        (Ok(lease), Walk::Done(indexed)) if lease.was_observed() => Ok((indexed, lease)),
        (Ok(lease), _) => index_copy(core, cell, name, copies, lease, task).await,
        (Err(_), Walk::Failed(error)) => {
            give_up_content(copies, name, &error).await;
            Err(error)
        }
        (Err(error), _) => Err(copy_error(&error)),
    }
}

/// Builds the index of a copy that is there.
async fn index_copy(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    name: OwnName,
    copies: &Copies,
    lease: Lease,
    task: &Task,
) -> Result<(Indexed, Lease), ShardError> {
    let opened = Opened::new(lease.stat(), lease.reader().clone());
    match indexing::index_opened(core, cell, name, opened, task).await {
        Ok(indexed) => Ok((indexed, lease)),
        Err(error) => {
            drop(lease);
            give_up_content(copies, name, &error).await;
            Err(error)
        }
    }
}

/// Removes what was fetched of a content that can't be indexed: where the source is whole, the next attempt has to fetch it
/// anew.
async fn give_up_content(copies: &Copies, name: OwnName, error: &ShardError) {
    if error.kind().class() == ErrorClass::Corrupt
        && let Err(error) = copies.evict(name, true, true).await
    {
        tracing::debug!(%name, %error, "what was fetched of a bad source stays");
    }
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
        self.copies.as_ref().ok_or_else(|| ShardError::new(ErrorKind::SourceRejected, text))
    }
}
