//! Opening the bytes of a shard that is indexed.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use dagstore_car::{MultihashRef, ScanOptions, Scanned, StreamScanner};
use dagstore_fs::{OwnName, ReadAt, RegularFile};
use dagstore_index::FullIndex;
use dagstore_mount::Stat;
use dagstore_transient::{Lease, Observer};
use dagstore_types::{ErrorKind, ShardError, ShardKey};

use crate::acquire::check_source;
use crate::core::Core;
use crate::error::{copy_error, mount_error};
use crate::fetched::Room;
use crate::indexer::{Candidate, is_indexed};
use crate::place::Place;
use crate::{fetched, provisional};

/// The open bytes of a shard.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) stat: Stat,
    pub(crate) reader: Arc<dyn ReadAt>,
    /// Keeps the copy, where it is one, from being evicted.
    pub(crate) lease: Option<Lease>,
    /// Whether the bytes are on this machine.
    pub(crate) is_local: bool,
}

impl Source {
    pub(crate) fn of_copy(lease: Lease) -> Self {
        Self { stat: lease.stat(), reader: lease.reader().clone(), lease: Some(lease), is_local: true }
    }
}

/// Why there is no source.
pub(crate) enum NoSource {
    /// The store closes.
    Closing,
    Failed(ShardError),
}

/// Opens a source where it is.
pub(crate) async fn open_in_place(core: &Core, place: &Place) -> Result<Source, NoSource> {
    let opened = core.unless_closed(place.mount.open()).await.map_err(|_| NoSource::Closing)?;
    let opened = opened.map_err(|error| NoSource::Failed(mount_error(&error)))?;
    Ok(Source { stat: opened.stat, reader: opened.reader, lease: None, is_local: place.is_local() })
}

/// Opens what was indexed where it can't be opened in its place: the copy, where there is one, and nobody asks the source then;
/// else the source, piecewise, where it can be held to one content; else a copy that is fetched.
pub(crate) async fn open_elsewhere(
    core: &Arc<Core>,
    key: &ShardKey,
    name: OwnName,
    place: &Place,
    index: &Arc<dyn FullIndex>,
) -> Result<Source, NoSource> {
    let copies = core.copies().map_err(NoSource::Failed)?;
    let expected = content_of(&**index);
    match copies.local(name, Some(&expected)).await {
        Ok(lease) => return Ok(Source::of_copy(lease)),
        Err(error) => tracing::debug!(shard = %key, %error, "the shard has no local copy"),
    }
    let stat = core.unless_closed(place.mount.stat()).await.map_err(|_| NoSource::Closing)?;
    let stat = stat.map_err(|error| NoSource::Failed(mount_error(&error)))?;
    check_source(&**index, &stat).map_err(NoSource::Failed)?;
    if let Some(source) = provisional::open_remote(core, name, place, &stat).await {
        return Ok(source);
    }
    fetch_copy(core, key, name, place, index).await.map(Source::of_copy)
}

/// Fetches a copy of what was indexed.
pub(crate) async fn fetch_copy(
    core: &Arc<Core>,
    key: &ShardKey,
    name: OwnName,
    place: &Place,
    index: &Arc<dyn FullIndex>,
) -> Result<Lease, NoSource> {
    let copies = core.copies().map_err(NoSource::Failed)?;
    let expected = content_of(&**index);
    // A source without a validator can't tell whether it still is what was indexed. Its blocks can.
    let comparing = expected.validator.is_none().then(|| Comparing::new(core, key, index, expected.size));
    let observer = comparing.map(|comparing| Box::new(comparing) as Box<dyn Observer>);
    let fetching = fetched::fetch(core, copies, name, &place.mount, &expected, Room::InLine, observer);
    let fetched = core.unless_closed(fetching).await.map_err(|_| NoSource::Closing)?;
    fetched.map_err(|error| failed(&error))
}

/// What an index belongs to.
pub(crate) fn content_of(index: &dyn FullIndex) -> Stat {
    let meta = index.meta();
    Stat::new(meta.car_size, meta.validator.clone())
}

/// Why the source of a shard that is indexed can't be had. A copy that doesn't fit says nothing against the shard.
fn failed(error: &dagstore_transient::Error) -> NoSource {
    use dagstore_transient::Error as Copy;
    NoSource::Failed(match error {
        Copy::Closed => return NoSource::Closing,
        Copy::Stopped { .. } => ShardError::new(
            ErrorKind::SourceChanged,
            "the source isn't what was indexed: it has other blocks; recover the shard to index it as it is",
        ),
        Copy::TooLarge { .. } => ShardError::new(ErrorKind::Storage, copy_error(error).text()),
        _ => copy_error(error),
    })
}

/// Whether a file has the blocks of an index where it has them, each with the hash of its CID. Blocks the thread.
///
/// # Errors
/// The file can't be read.
pub(crate) fn is_what_was_indexed(
    core: &Arc<Core>,
    key: &ShardKey,
    index: &Arc<dyn FullIndex>,
    path: &Path,
) -> std::io::Result<bool> {
    let file = RegularFile::open(path)?;
    if file.size() != index.meta().car_size {
        return Ok(false);
    }
    let mut comparing = Comparing::new(core, key, index, file.size());
    let mut buffer = vec![0; COMPARED_AT_ONCE];
    let mut at = 0;
    while at < file.size() {
        let read = file.read_at(at, &mut buffer)?;
        if read == 0 || !comparing.is_same(&buffer[..read]) {
            return Ok(false);
        }
        at += read as u64;
    }
    Ok(true)
}

/// How much of a file is read at once to be compared, in bytes.
const COMPARED_AT_ONCE: usize = 1 << 20;

/// How many places of repeated blocks are looked at in one comparison.
const MOST_REPETITIONS: usize = 1 << 20;

/// Compares the bytes that pass with an index. It breaks off at the first block that isn't where the index has it, or doesn't
/// hash to its CID.
struct Comparing {
    core: Arc<Core>,
    key: ShardKey,
    index: Arc<dyn FullIndex>,
    size: u64,
    entries: u64,
    /// How many places of repeated blocks may still be looked at.
    repetitions: usize,
    /// `None` when it is over.
    scanner: Option<StreamScanner>,
}

impl Comparing {
    fn new(core: &Arc<Core>, key: &ShardKey, index: &Arc<dyn FullIndex>, size: u64) -> Self {
        let scanner = StreamScanner::new(core.options.car.clone(), ScanOptions::verifying(true), Some(size));
        let (core, key, index) = (core.clone(), key.clone(), index.clone());
        Self { core, key, index, size, entries: 0, repetitions: MOST_REPETITIONS, scanner: Some(scanner) }
    }

    /// Whether what has passed is what was indexed, as far as that can be told.
    fn is_same(&mut self, bytes: &[u8]) -> bool {
        let Some(mut scanner) = self.scanner.take() else { return false };
        if scanner.push(bytes, |block| self.block(block)).is_err() {
            return false;
        }
        if scanner.received_bytes() < self.size {
            self.scanner = Some(scanner);
            return true;
        }
        scanner.finish(|block| self.block(block)).is_ok() && self.entries == self.index.len()
    }

    fn block(&mut self, block: Scanned<'_>) -> ControlFlow<()> {
        let (multihash, offset, data_size) = (block.multihash, block.offset, block.data_size);
        let candidate = Candidate { shard: &self.key, multihash, offset, data_size };
        if !is_indexed(self.core.options.indexer.as_deref(), &candidate) {
            return ControlFlow::Continue(());
        }
        self.entries += 1;
        if self.is_indexed_at(multihash, offset) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Whether the index has the block at this place. A hostile CAR may have one block a million times: of repetitions only so
    /// many are looked up that the comparison has an end. What a wrong one could lead to is an error at reading, for the CID
    /// at the place is compared then.
    fn is_indexed_at(&mut self, multihash: MultihashRef<'_>, offset: u64) -> bool {
        let Ok(Some(first)) = self.index.find_first(multihash) else { return false };
        if first.offset >= offset || self.repetitions == 0 {
            return first.offset <= offset;
        }
        let Ok(places) = self.index.find(multihash) else { return false };
        self.repetitions = self.repetitions.saturating_sub(places.len());
        places.iter().any(|place| place.offset == offset)
    }
}

impl Observer for Comparing {
    fn chunk(&mut self, _offset: u64, bytes: &[u8]) -> ControlFlow<()> {
        if self.is_same(bytes) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
