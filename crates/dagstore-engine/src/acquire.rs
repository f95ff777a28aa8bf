//! Acquiring a shard: a reference first, then source and index, shared by all accessors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dagstore_car::CarReader;
use dagstore_fs::OwnName;
use dagstore_fsm::{Answer, Event};
use dagstore_index::FullIndex;
use dagstore_mount::Stat;
use dagstore_transient::{Copies, Lease};
use dagstore_types::{ErrorKind, ShardError, ShardKey, ShardState};

use crate::accessor::{Counted, OpenShard, ShardAccessor};
use crate::cell::Reply;
use crate::core::Core;
use crate::damage::CopyHealth;
use crate::error::{car_error, mount_error, shard_error};
use crate::info::ShardInfo;
use crate::place::Place;
use crate::provisional::{self, InlineIndex, Provisional};
use crate::reference::Reference;
use crate::source::{self, NoSource, Source};
use crate::{Error, Result, inverted};

/// How often a lost index is built again for one acquire.
const MOST_LOSSES: usize = 2;

/// Why a shard could not be opened.
enum Unopened {
    /// The index is missing or damaged: it can be built again.
    IndexLost,
    Failed(ShardError),
}

/// Acquires the shard, waiting for its initialisation where that is needed.
pub(crate) async fn acquire(core: &Arc<Core>, key: &str) -> Result<ShardAccessor> {
    core.check_active()?;
    match core.cell(key)?.acquire_at_once(|| core.now()) {
        Ok((shard, reference)) => {
            let_others_run().await;
            Ok(ShardAccessor::new(shard, reference))
        }
        Err(_cell) => acquire_slowly(core, &ShardKey::new(key)?).await,
    }
}

/// Acquires the shard where its bytes are on this machine and nothing has to be waited for but the opening.
pub(crate) async fn acquire_local(core: &Arc<Core>, key: &str) -> Result<ShardAccessor> {
    core.check_active()?;
    let info = core.catalogue.look(key).and_then(ShardInfo::of_found).ok_or_else(|| core.not_found(key))?;
    let place = Place::of(&core.registry, &info.url)?;
    if !place.is_copied() && place.is_local() {
        return acquire(core, key).await;
    }
    let not_local = || Error::NotLocal(info.key.clone());
    let copies = core.copies.as_ref().ok_or_else(not_local)?;
    let name = OwnName::new(&info.key, info.registration, info.attempt);
    // Held until the shard is open, so that the copy isn't evicted meanwhile.
    let lease = match info.state {
        ShardState::New | ShardState::Initializing | ShardState::Recovering => return Err(not_local()),
        ShardState::Errored => match &info.error {
            Some(error) => return Err(Error::Failed { key: info.key.clone(), source: error.clone() }),
            None => return Err(not_local()),
        },
        ShardState::Destroying => None,
        ShardState::Available | ShardState::Serving if info.provisional => return Err(not_local()),
        ShardState::Available | ShardState::Serving => {
            Some(copy_of_indexed(core, copies, name).await.ok_or_else(not_local)?)
        }
    };
    let accessor = acquire(core, key).await?;
    drop(lease);
    if accessor.is_local() { Ok(accessor) } else { Err(not_local()) }
}

/// The copy of what was indexed. Of anything else, or with a lost index, the acquire would have to fetch.
async fn copy_of_indexed(core: &Arc<Core>, copies: &Copies, name: OwnName) -> Option<Lease> {
    let index = index_of(core, name).await?;
    copies.local(name, Some(&source::content_of(&*index))).await.ok()
}

/// The index of a shard, where it can be opened.
pub(crate) async fn index_of(core: &Arc<Core>, name: OwnName) -> Option<Arc<dyn FullIndex>> {
    let shared = core.clone();
    off_the_runtime(core, move || open_index(&shared, name)).await.ok()
}

/// An acquire that never waits would let a loop of them starve all other tasks of its thread.
async fn let_others_run() {
    thread_local!(static CALLS: std::cell::Cell<u8> = const { std::cell::Cell::new(0) });
    let calls = CALLS.get();
    CALLS.set(calls.wrapping_add(1));
    if calls.is_multiple_of(64) {
        tokio::task::coop::consume_budget().await;
    }
}

#[tracing::instrument(level = "debug", name = "acquire", skip_all, fields(%key))]
async fn acquire_slowly(core: &Arc<Core>, key: &ShardKey) -> Result<ShardAccessor> {
    let mut reply = loop {
        core.check_active()?;
        let cell = core.cell(key.as_str())?;
        let now = core.now();
        if let Some(reply) = core.ask(&cell, |waiter| Event::Acquire { waiter, now }).await? {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    let mut losses = 0;
    loop {
        let reference = match reply {
            Reply::Open(reference) => reference,
            Reply::Answer(Answer::Refused(refusal)) => return Err(core.refused(key, refusal)),
            Reply::Answer(_) => return Err(Error::NotFound(key.clone())),
        };
        let unopened = match open(core, key, &reference).await {
            Ok(shard) => return Ok(ShardAccessor::new(shard, reference)),
            Err(unopened) => unopened,
        };
        losses += usize::from(matches!(unopened, Unopened::IndexLost));
        if losses > MOST_LOSSES {
            return Err(Error::IndexKeepsVanishing(key.clone()));
        }
        reply = give_back(core, key, reference, unopened).await?;
    }
}

/// Tells the machine why the reference comes back, and waits for what it says to that.
async fn give_back(core: &Arc<Core>, key: &ShardKey, reference: Reference, unopened: Unopened) -> Result<Reply> {
    let (registration, attempt, now) = (reference.registration, reference.attempt, core.now());
    let not_found = || Error::NotFound(key.clone());
    if let Unopened::IndexLost = &unopened
        && let Err(error) = inverted::note_leftovers(core, registration).await
    {
        tracing::debug!(%key, %error, "rows of a lost index may stay until the store is made anew");
    }
    let cell = reference.give_up().ok_or_else(not_found)?;
    let reply = core.ask(&cell, |waiter| match unopened {
        Unopened::IndexLost => Event::IndexLost { waiter, registration, attempt, now },
        Unopened::Failed(error) => Event::AcquireFailed { waiter, registration, attempt, error, now },
    });
    reply.await?.ok_or_else(not_found)
}

/// What the accessors of this attempt share, opened by the first of them.
async fn open(core: &Arc<Core>, key: &ShardKey, reference: &Reference) -> Result<Arc<OpenShard>, Unopened> {
    let internal = || Unopened::Failed(ShardError::new(ErrorKind::Internal, "the reference is given up already"));
    let cell = reference.cell().ok_or_else(internal)?;
    if cell.with(|state| state.gave_up_index == Some(reference.attempt)) {
        return Err(Unopened::IndexLost);
    }
    let opened = cell.opened(reference.attempt);
    let name = OwnName::new(key, reference.registration, reference.attempt);
    let open_anew = || async {
        let (record, lease) = cell.with(|state| {
            let record = state.shard.record().map(|record| (record.url.clone(), record.provisional));
            (record, state.lease.take())
        });
        let (url, is_provisional) = record.unwrap_or_default();
        let place = place(core, &url)?;
        if is_provisional {
            return open_provisional(core, key, name, &place).await;
        }
        open_anew(core, key, name, &place, lease.map(|lease| *lease)).await
    };
    let mut shard = opened.get_or_try_init(open_anew).await?.clone();
    if shard.copy.is_given_up() {
        shard = cell.opened_anew(reference.attempt, &shard).get_or_try_init(open_anew).await?.clone();
    }
    if shard.is_index_damaged.load(Ordering::Relaxed) {
        if shard.lease.is_none() {
            // The shard was open already, from the source as it was then. What it is now isn't indexed unasked.
            let url = cell.with(|state| state.shard.record().map(|record| record.url.clone())).unwrap_or_default();
            let stat = core.unless_closed(place(core, &url)?.mount.stat()).await.map_err(closing)?;
            let stat = stat.map_err(|error| Unopened::Failed(mount_error(&error)))?;
            check_source(&*shard.index, &stat).map_err(Unopened::Failed)?;
        }
        return Err(Unopened::IndexLost);
    }
    Ok(shard)
}

fn place(core: &Core, url: &str) -> Result<Place, Unopened> {
    Place::of(&core.registry, url).map_err(|error| Unopened::Failed(mount_error(&error)))
}

impl From<NoSource> for Unopened {
    fn from(why: NoSource) -> Self {
        match why {
            NoSource::Closing => closing(Error::Closed),
            NoSource::Failed(error) => Self::Failed(error),
        }
    }
}

/// The reference goes back as from any attempt that may succeed later; who asked then hears that the store is closed.
fn closing(_: Error) -> Unopened {
    Unopened::Failed(ShardError::new(ErrorKind::Storage, "the store is closing"))
}

async fn open_anew(
    core: &Arc<Core>,
    key: &ShardKey,
    name: OwnName,
    place: &Place,
    lease: Option<Lease>,
) -> Result<Arc<OpenShard>, Unopened> {
    let shared = core.clone();
    let (source, index) = if place.is_copied() {
        let index = off_the_runtime(core, move || open_index(&shared, name)).await?;
        let source = match lease.map(Source::of_copy) {
            Some(source) if check_source(&*index, &source.stat).is_ok() => source,
            _ => source::open_elsewhere(core, key, name, place, &index).await?,
        };
        (source, Some(index))
    } else {
        (source::open_in_place(core, place).await?, None)
    };
    let (shared, key) = (core.clone(), key.clone());
    off_the_runtime(core, move || {
        let index = index.map_or_else(|| open_index(&shared, name), Ok)?;
        check_source(&*index, &source.stat).map_err(Unopened::Failed)?;
        let reader = CarReader::open(source.reader, shared.options.car.clone())
            .map_err(|error| Unopened::Failed(car_error(&error)))?;
        let opened = open_shard(&shared, key, index, reader, source.is_local);
        Ok(Arc::new(OpenShard { lease: source.lease, ..opened }))
    })
    .await
}

/// Opens a shard by the index inside its CAR. Where that has gone, it is indexed like one whose index was lost.
async fn open_provisional(
    core: &Arc<Core>,
    key: &ShardKey,
    name: OwnName,
    place: &Place,
) -> Result<Arc<OpenShard>, Unopened> {
    let stat = core.unless_closed(place.mount.stat()).await.map_err(closing)?;
    let stat = stat.map_err(|error| Unopened::Failed(mount_error(&error)))?;
    core.copies().map_err(Unopened::Failed)?;
    let source = provisional::open_remote(core, name, place, &stat).await;
    // What can't be had because the store closes isn't lost.
    core.unless_closed(std::future::ready(())).await.map_err(closing)?;
    let opened = provisional::open_inline(core, source.ok_or(Unopened::IndexLost)?).await;
    let opened = opened.map_err(|error| Unopened::Failed(car_error(&error)))?;
    let (reader, inline) = opened.ok_or(Unopened::IndexLost)?;
    let shard = open_shard(core, key.clone(), Arc::new(InlineIndex::new(name, &stat, inline)), reader, false);
    Ok(Arc::new(OpenShard { provisional: Some(Provisional::new(core)), ..shard }))
}

fn open_shard(
    core: &Arc<Core>,
    key: ShardKey,
    index: Arc<dyn FullIndex>,
    reader: CarReader,
    is_local: bool,
) -> OpenShard {
    OpenShard {
        key,
        index,
        reader,
        lease: None,
        copy: CopyHealth::default(),
        is_local,
        provisional: None,
        verify: core.options.verify_on_read,
        blocking: core.options.blocking,
        core: Arc::downgrade(core),
        is_index_damaged: AtomicBool::new(false),
        _counted: Counted::new(core.shared.clone()),
    }
}

/// What `work` gives, done where it may block its thread.
async fn off_the_runtime<T: Send + 'static>(
    core: &Core,
    work: impl FnOnce() -> Result<T, Unopened> + Send + 'static,
) -> Result<T, Unopened> {
    core.unless_closed(core.spawn_blocking(work)).await.map_err(closing)?.unwrap_or_else(|error| {
        // A runtime that shuts down is no reason for a shard to fail for good.
        let (kind, text) = if error.is_cancelled() {
            (ErrorKind::Storage, "the store's runtime is shutting down")
        } else {
            (ErrorKind::Internal, "the task that opened the shard panicked; this is a fault of the program")
        };
        Err(Unopened::Failed(ShardError::new(kind, text)))
    })
}

fn open_index(core: &Core, name: OwnName) -> Result<Arc<dyn FullIndex>, Unopened> {
    match core.index_repo.open(name) {
        Ok(Some(index)) => Ok(index),
        Ok(None) => Err(Unopened::IndexLost),
        Err(error @ dagstore_index::Error::Damaged { .. }) => {
            tracing::warn!(%error, "a damaged index is built again");
            Err(Unopened::IndexLost)
        }
        Err(error) => Err(Unopened::Failed(shard_error(ErrorKind::Storage, &error))),
    }
}

/// The index belongs to one content. Offsets into another are worth nothing.
pub(crate) fn check_source(index: &dyn FullIndex, source: &Stat) -> Result<(), ShardError> {
    let meta = index.meta();
    if (meta.car_size, &meta.validator) == (source.size, &source.validator) {
        return Ok(());
    }
    let how = if source.size == meta.car_size {
        "it was modified since".to_owned()
    } else {
        format!("it has {} bytes instead of {}", source.size, meta.car_size)
    };
    let text = format!("the source isn't what was indexed: {how}; recover the shard to index it as it is");
    Err(ShardError::new(ErrorKind::SourceChanged, &text))
}
