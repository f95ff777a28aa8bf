//! Shards that go by the index inside their CAR until they have one of their own.
//!
//! Such an index isn't believed. What it names is read and hashed before it is an answer; what it doesn't name, or names
//! wrongly, is a reason to fetch the CAR and build an index of it, and that one answers.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dagstore_car::{CarReader, GoIndex, MultihashRef, RawCid, V2Header};
use dagstore_fs::OwnName;
use dagstore_index::{FingerprintKey, Fingerprints, FullIndex, IndexMeta, Location};
use dagstore_mount::Stat;
use dagstore_types::ShardState;
use smallvec::SmallVec;
use tokio::sync::OnceCell;

use crate::accessor::OpenShard;
use crate::cell::Cell;
use crate::core::Core;
use crate::options::Remote;
use crate::place::Place;
use crate::source::Source;
use crate::task::Task;
use crate::{Error, Result, ShardAccessor, acquire, walk};

/// What a shard without an index of its own has besides.
#[derive(Debug)]
pub(crate) struct Provisional {
    core: Weak<Core>,
    /// The shard with its own index, once that is built.
    built: OnceCell<Box<ShardAccessor>>,
}

impl Provisional {
    pub(crate) fn new(core: &Arc<Core>) -> Self {
        Self { core: Arc::downgrade(core), built: OnceCell::new() }
    }
}

/// Whether a shard that is initialised for its first reader can go by the index inside its CAR: it is far away, and nothing of
/// it is here.
pub(crate) async fn is_enough(
    core: &Arc<Core>,
    cell: &Cell,
    name: OwnName,
    place: &Place,
    seen: Option<&Stat>,
    task: &Task,
) -> bool {
    let is_first = cell.with(|state| {
        let record = state.shard.record();
        record.is_some_and(|record| record.lazy && record.state == ShardState::Initializing)
    });
    let (Some(stat), Some(copies), true) = (seen, &core.copies, is_first) else { return false };
    if !can_be_read_piecewise(core, place, stat) || copies.local(name, Some(stat)).await.is_ok() {
        return false;
    }
    let opening = async {
        // Before anything is asked for that is kept: most CARs have no index inside.
        let reading = place.mount.read(0, V2Header::BYTES, stat);
        let front = tokio::time::timeout(core.options.stat_deadline, reading).await.ok()?.ok()?;
        V2Header::find(&front, stat.size).filter(|header| header.index_offset > 0)?;
        let source = open_remote(core, name, place, stat).await?;
        open_inline(core, source).await.ok()?
    };
    let opened = task.unless_cancelled(opening).await;
    opened.flatten().is_some_and(|(_, index)| index.records() > 0)
}

/// The source, to be read piecewise, where it can be.
pub(crate) async fn open_remote(core: &Core, name: OwnName, place: &Place, stat: &Stat) -> Option<Source> {
    let copies = core.copies.as_ref().filter(|_| can_be_read_piecewise(core, place, stat))?;
    let (copies, mount, of) = (copies.clone(), place.mount.clone(), stat.clone());
    // All share it whose runtimes may end before the store's.
    let opening = core.runtime.spawn(async move { copies.remote(name, mount, of).await });
    let reader = opening
        .await
        .unwrap_or(Err(dagstore_transient::Error::Closed))
        .inspect_err(|error| tracing::debug!(%name, %error, "the source isn't read piecewise"))
        .ok()?;
    Some(Source { stat: stat.clone(), reader: Arc::new(reader), lease: None, is_local: false })
}

fn can_be_read_piecewise(core: &Core, place: &Place, stat: &Stat) -> bool {
    let is_held_to_one_content = stat.validator.is_some() && !stat.sequential_only;
    core.options.remote == Remote::Piecewise && is_held_to_one_content && stat.ready && place.reads_anywhere()
}

/// The CAR with the index inside of it; `None` where it has none that can be used.
///
/// # Errors
/// The source can't be read.
pub(crate) async fn open_inline(
    core: &Core,
    source: Source,
) -> std::result::Result<Option<(CarReader, GoIndex)>, dagstore_car::Error> {
    let car = core.options.car.clone();
    let open = move || {
        let reader = CarReader::open(source.reader, car)?;
        let index = reader.inline_index()?;
        Ok::<_, dagstore_car::Error>(index.map(|index| (reader, index)))
    };
    match core.spawn_blocking(open).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(error @ (dagstore_car::Error::Io { .. } | dagstore_car::Error::IndexIo { .. }))) => Err(error),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the CAR has no index inside that could be used");
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

/// The data of a block: of the place that the index inside names, if that proves right, else of the shard with its own index.
/// It is always hashed, for a place may have been chosen to look like a block.
pub(crate) async fn get(shard: &Arc<OpenShard>, of: &Provisional, cid: &RawCid, verify: bool) -> Result<Bytes> {
    if of.built.get().is_none() {
        let (read, wanted) = (shard.clone(), cid.clone());
        let read = walk::off_the_runtime(shard.blocking, move || read.read_checked(&wanted, true)).await?;
        match read {
            Err(error) if is_doubt(&error) => tracing::debug!(%cid, %error, "the index inside the CAR doesn't do"),
            read => return read,
        }
    }
    let built = built(shard, of).await?.blockstore();
    if verify { built.verified() } else { built.unverified() }.get_out_of_it(cid).await
}

/// Whether the place that the index inside has named, or not named, may be to blame.
fn is_doubt(error: &Error) -> bool {
    use dagstore_car::Error as Car;
    match error {
        Error::BlockNotFound { .. } | Error::Misplaced { .. } => true,
        Error::Car(error) => !matches!(error, Car::Io { .. } | Car::IndexIo { .. }),
        _ => false,
    }
}

/// The shard with its own index, which is built by the first who needs it.
async fn built<'a>(shard: &OpenShard, of: &'a Provisional) -> Result<&'a ShardAccessor> {
    let build = || async {
        let core = of.core.upgrade().ok_or(Error::Closed)?;
        // As an index that was found damaged, it is built anew by the next acquire.
        shard.is_index_damaged.store(true, Ordering::Relaxed);
        Box::pin(acquire::acquire(&core, shard.key.as_str())).await.map(Box::new)
    };
    of.built.get_or_try_init(build).await.map(|built| &**built)
}

/// The index inside of a CAR. Where it names several places for a block, one of them is taken.
pub(crate) struct InlineIndex {
    meta: IndexMeta,
    index: GoIndex,
}

impl InlineIndex {
    pub(crate) fn new(name: OwnName, of: &Stat, index: GoIndex) -> Self {
        Self { meta: IndexMeta { name, car_size: of.size, validator: of.validator.clone() }, index }
    }

    fn lookup(&self, multihash: MultihashRef<'_>, most: usize) -> dagstore_index::Result<Vec<Location>> {
        let offsets = self.index.lookup(multihash, most).map_err(failed)?;
        Ok(offsets.into_iter().map(|offset| Location { offset, size: None }).collect())
    }
}

fn failed(error: dagstore_car::Error) -> dagstore_index::Error {
    let source = match error {
        dagstore_car::Error::IndexIo { source, .. } => source,
        other => std::io::Error::other(other),
    };
    dagstore_index::Error::Io { operation: "read the index inside", path: PathBuf::from("the CAR"), source }
}

impl FullIndex for InlineIndex {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn len(&self) -> u64 {
        self.index.records()
    }

    fn find(&self, multihash: MultihashRef<'_>) -> dagstore_index::Result<SmallVec<[Location; 1]>> {
        let mut places = self.lookup(multihash, usize::MAX)?;
        places.sort_unstable_by_key(|place| place.offset);
        Ok(places.into())
    }

    fn find_first(&self, multihash: MultihashRef<'_>) -> dagstore_index::Result<Option<Location>> {
        Ok(self.lookup(multihash, 1)?.first().copied())
    }

    fn fingerprints(self: Arc<Self>, _: FingerprintKey) -> Fingerprints {
        let source = std::io::Error::other("it isn't believed, so no rows are made of it");
        let failed = dagstore_index::Error::Io { operation: "use the index inside", path: "the CAR".into(), source };
        Box::new(std::iter::once(Err(failed)))
    }
}

impl fmt::Debug for InlineIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineIndex").field("meta", &self.meta).finish_non_exhaustive()
    }
}
