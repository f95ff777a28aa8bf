//! Building a full index out of a CAR's blocks.

use std::ops::ControlFlow;
use std::sync::Arc;

use dagstore_car::{CarReader, ScanOptions, Scanned};
use dagstore_fs::OwnName;
use dagstore_index::{IndexBuilder, IndexMeta};
use dagstore_mount::{Mount, Opened, Stat};
use dagstore_types::{ErrorKind, ShardError};

use crate::cell::Cell;
use crate::core::Core;
use crate::error::{car_error, index_error, mount_error};
use crate::indexer::{Candidate, is_indexed};
use crate::initialise::{cancelled, died};
use crate::task::Task;

/// An index that is built and not published yet.
pub(crate) struct Indexed {
    pub(crate) builder: Box<dyn IndexBuilder>,
    /// How many entries it has, duplicates included.
    pub(crate) entries: u64,
}

/// Takes the blocks of a CAR, one after the other, into an index.
pub(crate) struct Indexing {
    core: Arc<Core>,
    cell: Arc<Cell>,
    task: Task,
    total_bytes: u64,
    indexed: Indexed,
    refused: Option<dagstore_index::Error>,
}

impl Indexing {
    /// # Errors
    /// What the index repository says.
    pub(crate) fn begin(
        core: &Arc<Core>,
        cell: &Arc<Cell>,
        name: OwnName,
        of: &Stat,
        task: &Task,
    ) -> Result<Self, ShardError> {
        let total_bytes = of.size;
        task.progress.set(0, total_bytes);
        let meta = IndexMeta { name, car_size: total_bytes, validator: of.validator.clone() };
        let builder = core.index_repo.builder(meta).map_err(|error| index_error(&error))?;
        let (core, cell, task) = (core.clone(), cell.clone(), task.clone());
        Ok(Self { core, cell, task, total_bytes, indexed: Indexed { builder, entries: 0 }, refused: None })
    }

    /// Takes a block. Breaks off where the index takes no more, or the task is to end.
    pub(crate) fn take(&mut self, block: Scanned<'_>) -> ControlFlow<()> {
        let candidate = Candidate {
            shard: self.cell.key(),
            multihash: block.multihash,
            offset: block.offset,
            data_size: block.data_size,
        };
        if is_indexed(self.core.options.indexer.as_deref(), &candidate) {
            self.indexed.entries += 1;
            if let Err(error) = self.indexed.builder.add(block.multihash, block.offset, block.data_size) {
                self.refused = Some(error);
                return ControlFlow::Break(());
            }
        }
        self.task.progress.set(block.end, self.total_bytes);
        if self.task.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Why the walk failed that showed the blocks.
    pub(crate) fn failure(&mut self, error: &dagstore_car::Error) -> ShardError {
        self.refused.take().map_or_else(|| car_error(error), |refused| index_error(&refused))
    }

    /// The index of a walk that has come to its end.
    pub(crate) fn end(self) -> Indexed {
        self.task.progress.set(self.total_bytes, self.total_bytes);
        self.indexed
    }
}

/// Builds the index of a source that stays the same meanwhile.
pub(crate) async fn index_source(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    name: OwnName,
    mount: &dyn Mount,
    opened: Opened,
    task: &Task,
) -> Result<Indexed, ShardError> {
    let indexed = index_opened(core, cell, name, opened.clone(), task).await?;
    task.unless_cancelled(unchanged(mount, &opened)).await.ok_or_else(cancelled)??;
    Ok(indexed)
}

/// Builds the index of a source that nobody changes.
pub(crate) async fn index_opened(
    core: &Arc<Core>,
    cell: &Arc<Cell>,
    name: OwnName,
    opened: Opened,
    task: &Task,
) -> Result<Indexed, ShardError> {
    let (shared, cell, indexing) = (core.clone(), cell.clone(), task.clone());
    let indexed = core.spawn_blocking(move || {
        let options = &shared.options;
        let mut indexing = Indexing::begin(&shared, &cell, name, &opened.stat, &indexing)?;
        let reader = CarReader::open(opened.reader, options.car.clone()).map_err(|error| car_error(&error))?;
        match reader.scan(ScanOptions::verifying(options.verify_on_index), |block| indexing.take(block)) {
            Ok(_) => Ok(indexing.end()),
            Err(error) => Err(indexing.failure(&error)),
        }
    });
    indexed.await.unwrap_or_else(|error| Err(died(&error, task)))
}

/// A source that changed while it was read has an index of neither content.
async fn unchanged(mount: &dyn Mount, opened: &Opened) -> Result<(), ShardError> {
    let now = mount.stat().await.map_err(|error| mount_error(&error))?;
    if now.same_content(&opened.stat) {
        return Ok(());
    }
    Err(ShardError::new(ErrorKind::SourceChanged, "the source changed while it was being indexed; recover the shard"))
}
