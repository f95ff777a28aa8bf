//! The rows of the inverted index: added before a shard is Available, removed before its record is.
//!
//! Rows and records are written apart, and that is enough: rows become durable first, and whoever looks drops those whose
//! registration isn't Available. An index of an earlier attempt stays on disk until the shard is Available again, because
//! it names the rows that have to go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dagstore_car::RawCid;
use dagstore_datastore::ErrorClass;
use dagstore_fs::OwnName;
use dagstore_index::{Error as IndexError, Fingerprint, Fingerprints, FullIndex, InvertedIndex, Kept};
use dagstore_types::{Attempt, ErrorKind, Registration, ShardError, ShardKey, ShardState};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::core::Core;
use crate::error::index_error;
use crate::info::ShardInfo;
use crate::initialise::SMALL_ENTRIES;
use crate::task::Task;
use crate::{Error, Result, loader};

/// The first pause behind a failed write, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the engine knows of its inverted index.
#[derive(Debug)]
pub(crate) struct Inverted {
    pub(crate) index: InvertedIndex,
    /// Whether every shard that is Available has its rows.
    is_complete: AtomicBool,
    /// Shards that may have rows that their index doesn't name.
    leftovers: Mutex<BTreeSet<Registration>>,
    /// Held while a shard is noted, or notes are dropped: so one that comes meanwhile isn't dropped with the older ones.
    noting: tokio::sync::Mutex<()>,
    troubles: Mutex<Troubles>,
    /// Held by whoever writes while there are troubles: else each one would only hear that the datastore must be opened again
    /// because of another.
    mending: tokio::sync::Mutex<()>,
}

/// What is wrong with the datastore of the rows.
#[derive(Debug, Default)]
struct Troubles {
    /// Why the last write failed that did, since one succeeded.
    why: Option<dagstore_datastore::Error>,
    /// A write was given up since one succeeded.
    is_degraded: bool,
}

impl Inverted {
    /// Reads what is known of it.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub(crate) async fn open(index: InvertedIndex) -> Result<Self> {
        let (is_complete, leftovers) = (index.is_complete().await?, index.leftovers().await?);
        Ok(Self {
            index,
            is_complete: is_complete.into(),
            leftovers: leftovers.into(),
            noting: tokio::sync::Mutex::default(),
            troubles: Mutex::default(),
            mending: tokio::sync::Mutex::default(),
        })
    }

    pub(crate) fn degraded(&self) -> Option<dagstore_datastore::Error> {
        let troubles = self.troubles.lock();
        troubles.why.clone().filter(|_| troubles.is_degraded)
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    /// Says, durably, that every shard that is Available has its rows.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub(crate) async fn complete(&self) -> Result<()> {
        self.index.set_complete().await?;
        self.is_complete.store(true, Ordering::Release);
        Ok(())
    }

    pub(crate) fn may_have_leftovers(&self, registration: Registration) -> bool {
        let leftovers = self.leftovers.lock();
        !leftovers.is_empty() && leftovers.contains(&registration)
    }
}

/// Notes that a shard may have rows that no index names: in memory in any case, and durably.
///
/// # Errors
/// [`IndexError::Rows`].
pub(crate) async fn note_leftovers(core: &Arc<Core>, registration: Registration) -> Result<(), IndexError> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let _alone = inverted.noting.lock().await;
    inverted.leftovers.lock().insert(registration);
    patiently(core, None, || inverted.index.note_leftovers(registration)).await
}

/// Adds the rows of the index `name`, and removes those of earlier attempts that it doesn't name, and their indices. Durable
/// when this returns, but for the indices.
pub(crate) async fn add(core: &Arc<Core>, name: OwnName, task: Option<&Task>) -> Result<(), ShardError> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let index = open(core, name).await.map_err(|error| index_error(&error))?;
    let Some(index) = index else {
        return Err(ShardError::new(ErrorKind::Storage, "the index that was just published is gone"));
    };
    let loaded = patiently(core, task, || load(core, &inverted.index, &index, name.registration, task)).await;
    loaded.map_err(|error| index_error(&error))?;
    let earlier = remove_indices(core, name, name.attempt.0, Some(&index)).await;
    earlier.map_err(|error| index_error(&error))
}

/// Removes the indices of the attempts below `end`, each behind the rows that it names but `except` doesn't.
async fn remove_indices(
    core: &Arc<Core>,
    name: OwnName,
    end: u32,
    except: Option<&Arc<dyn FullIndex>>,
) -> Result<(), IndexError> {
    let mut had_index = false;
    for attempt in (1..end).rev().map(Attempt) {
        had_index |= remove_index(core, of_attempt(name, attempt), except).await?;
    }
    // Attempts without an index failed, as a rule, but one may have been lost.
    if end > 1 && !had_index {
        note_leftovers(core, name.registration).await?;
    }
    Ok(())
}

/// Removes the index `name`, where there is one, behind the rows that it names but `except` doesn't. Returns whether there
/// was one.
async fn remove_index(
    core: &Arc<Core>,
    name: OwnName,
    except: Option<&Arc<dyn FullIndex>>,
) -> Result<bool, IndexError> {
    let had_index = remove_rows(core, name, except).await?;
    // Without an inverted index nobody has looked for it.
    if had_index || core.inverted.is_none() {
        remove_file(core, name).await?;
    }
    Ok(had_index)
}

/// Removes the index `name` alone, and returns whether there was one.
pub(crate) async fn remove_file(core: &Arc<Core>, name: OwnName) -> Result<bool, IndexError> {
    let repo = core.index_repo.clone();
    core.spawn_blocking(move || repo.remove(name)).await.unwrap_or_else(|_| Err(given_up(name)))
}

async fn load(
    core: &Arc<Core>,
    inverted: &InvertedIndex,
    index: &Arc<dyn FullIndex>,
    registration: Registration,
    task: Option<&Task>,
) -> Result<(), IndexError> {
    let fingerprints = index.clone().fingerprints(inverted.key());
    if index.len() > SMALL_ENTRIES {
        // A load that was begun isn't dropped, for nobody could tell when it is over. It ends early instead.
        return inverted.add(registration, until_cancelled(fingerprints, task)).await;
    }
    let fingerprints = fingerprints.collect::<Result<Vec<Fingerprint>, _>>()?;
    Ok(loader::load(core, inverted, registration, fingerprints).await?)
}

fn until_cancelled(fingerprints: Fingerprints, task: Option<&Task>) -> Fingerprints {
    let task = task.cloned();
    Box::new(fingerprints.take_while(move |_| task.as_ref().is_none_or(|task| !task.is_cancelled())))
}

/// Removes the rows that the index `name` names, where there is one, but for those that `except` names. Returns whether there
/// was an index.
pub(crate) async fn remove_rows(
    core: &Arc<Core>,
    name: OwnName,
    except: Option<&Arc<dyn FullIndex>>,
) -> Result<bool, IndexError> {
    let Some(inverted) = &core.inverted else { return Ok(false) };
    let index = match open(core, name).await {
        Ok(None) => return Ok(false),
        Ok(Some(index)) => index,
        Err(IndexError::Damaged { .. } | IndexError::NewerVersion { .. }) => {
            note_leftovers(core, name.registration).await?;
            return Ok(true);
        }
        Err(error) => return Err(error),
    };
    let key = inverted.index.key();
    let removed = patiently(core, None, || {
        let except = except.map(|except| except.clone().fingerprints(key));
        inverted.index.remove(name.registration, index.clone().fingerprints(key), except)
    });
    match removed.await {
        Err(IndexError::Damaged { .. }) => note_leftovers(core, name.registration).await?,
        other => other?,
    }
    Ok(true)
}

/// Removes all rows of a shard that is being destroyed, and the indices of its attempts, which name them. There is one as a
/// rule.
pub(crate) async fn remove_all(core: &Arc<Core>, name: OwnName) -> Result<(), IndexError> {
    remove_indices(core, name, name.attempt.0.saturating_add(1), None).await
}

/// Gives every shard that is Available its rows: in a datastore that is new, or that an earlier program filled. Tries again
/// until it succeeds or the store closes.
pub(crate) async fn fill(core: &Arc<Core>) {
    let Some(inverted) = core.inverted.as_ref().filter(|inverted| !inverted.is_complete()) else { return };
    let mut pause = FIRST_PAUSE;
    while !core.is_closed() {
        match fill_once(core, inverted).await {
            Ok(shards) => {
                tracing::info!(shards, "the inverted index was made of the full ones");
                return;
            }
            Err(error) => {
                tracing::warn!(%error, "the inverted index can't be made yet");
                if let Error::Index(error) = &error {
                    reopened(core, error).await;
                }
            }
        }
        if core.unless_closed(tokio::time::sleep(pause)).await.is_err() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn fill_once(core: &Arc<Core>, inverted: &Inverted) -> Result<usize> {
    let keys = core.catalogue.keys_in(&[ShardState::Available, ShardState::Serving]);
    let total = keys.len();
    for key in keys {
        if core.is_closed() {
            return Err(Error::Closed);
        }
        let info = core.catalogue.look(key.as_str()).and_then(ShardInfo::of_found);
        if let Some(info) = info {
            add_if_indexed(core, OwnName::new(&key, info.registration, info.attempt)).await?;
        }
    }
    inverted.complete().await?;
    Ok(total)
}

/// Adds the rows of an index that may be lost: the first acquire notices that then.
pub(crate) async fn add_if_indexed(core: &Arc<Core>, name: OwnName) -> Result<()> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let added = match open(core, name).await {
        Ok(Some(index)) => load(core, &inverted.index, &index, name.registration, None).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match added {
        Err(IndexError::Damaged { .. }) => Ok(()),
        added => Ok(added?),
    }
}

/// Looks for rows that no index names, where there may be any, and returns how many were removed.
pub(crate) async fn collect_leftovers(core: &Arc<Core>) -> Result<u64> {
    let Some(inverted) = &core.inverted else { return Ok(0) };
    let noted = inverted.leftovers.lock().clone();
    if noted.is_empty() {
        return Ok(0);
    }
    // In one pass, for there may be many of both.
    let registered = core.catalogue.states().map(|(_, registration, _)| registration);
    let known: BTreeSet<_> = registered.filter(|registration| noted.contains(registration)).collect();
    let (mut kept, mut names) = (BTreeMap::new(), Vec::new());
    for registration in &noted {
        let (of, name) = kept_of(core, *registration, known.contains(registration)).await?;
        names.extend(name);
        kept.insert(*registration, of);
    }
    let removed = AtomicU64::new(0);
    let remove = || async {
        removed.fetch_add(inverted.index.remove_leftovers(&kept).await?, Ordering::Relaxed);
        Ok(())
    };
    patiently(core, None, remove).await?;
    let _alone = inverted.noting.lock().await;
    let mut done: Vec<_> = kept.iter().filter(|(_, kept)| !matches!(kept, Kept::All)).map(|(one, _)| *one).collect();
    for name in names {
        // Built anew while rows were removed: some of these may have been its own.
        if core.catalogue.available(name.registration).is_none_or(|(_, attempt)| attempt != name.attempt) {
            done.retain(|registration| *registration != name.registration);
            if let Some((key, attempt)) = core.catalogue.available(name.registration) {
                add_if_indexed(core, OwnName::new(&key, name.registration, attempt)).await?;
            }
        }
    }
    inverted.index.forget_leftovers(done.iter().copied()).await?;
    inverted.leftovers.lock().retain(|registration| !done.contains(registration));
    Ok(removed.into_inner())
}

/// Which of a shard's rows are to be kept, and the name of the index that tells.
async fn kept_of(core: &Arc<Core>, registration: Registration, is_known: bool) -> Result<(Kept, Option<OwnName>)> {
    if let Some((key, attempt)) = core.catalogue.available(registration) {
        let name = OwnName::new(&key, registration, attempt);
        return match open(core, name).await {
            Ok(Some(index)) => Ok((Kept::Of(index), Some(name))),
            Ok(None) | Err(IndexError::Damaged { .. }) => Ok((Kept::All, None)),
            Err(error) => Err(error.into()),
        };
    }
    let is_quarantined = core
        .quarantine
        .read()
        .entries()
        .iter()
        .any(|entry| entry.registration.is_none_or(|quarantined| quarantined == registration));
    Ok((if is_known || is_quarantined { Kept::All } else { Kept::None }, None))
}

/// How many rows of a multihash are looked up at first, because most multihashes have a few, and at once behind that.
const FOUND_AT_FIRST: usize = 16;
const FOUND_AT_ONCE: usize = 256;

/// The shards that have the multihash, as a stream.
pub(crate) fn locate(core: Arc<Core>, cid: RawCid) -> BoxStream<'static, Result<ShardKey>> {
    let is_first = Some((None, FOUND_AT_FIRST)).filter(|_| !cid.multihash().is_identity());
    let pages = stream::unfold(is_first, move |after| {
        let (core, cid) = (core.clone(), cid.clone());
        async move {
            let (after, limit) = after?;
            let found = core.unless_closed(find(&core, &cid, after, limit)).await.flatten();
            let (keys, more) = match found {
                Ok((keys, more)) => (keys.into_iter().map(Ok).collect(), more),
                Err(error) => (vec![Err(error)], None),
            };
            Some((stream::iter(keys), more.map(|more| (Some(more), FOUND_AT_ONCE))))
        }
    });
    pages.flatten().boxed()
}

/// The shards that have the multihash, behind a registration number, and the number to go on behind; `None` when there are
/// no more.
async fn find(
    core: &Arc<Core>,
    cid: &RawCid,
    after: Option<Registration>,
    limit: usize,
) -> Result<(Vec<ShardKey>, Option<Registration>)> {
    let inverted = core.inverted.as_ref().ok_or(Error::NoInvertedIndex)?;
    if !inverted.is_complete() {
        return Err(Error::InvertedIncomplete);
    }
    let found = inverted.index.find(cid.multihash(), after, limit).await?;
    let more = found.last().copied().filter(|_| found.len() >= limit);
    let mut keys = Vec::with_capacity(found.len());
    for registration in found {
        let Some((key, attempt)) = core.catalogue.available(registration) else { continue };
        if inverted.may_have_leftovers(registration) {
            // Its index decides, for the row may be one that is left over; unless the index is lost.
            let has_block = match open(core, OwnName::new(&key, registration, attempt)).await {
                Ok(Some(index)) => index.find_first(cid.multihash()).map(|found| found.is_some()),
                Ok(None) => Ok(true),
                Err(error) => Err(error),
            };
            match has_block {
                Ok(false) => continue,
                Ok(true) | Err(IndexError::Damaged { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        keys.push(key);
    }
    Ok((keys, more))
}

fn of_attempt(name: OwnName, attempt: Attempt) -> OwnName {
    OwnName::from_parts(name.key_hash(), name.registration, attempt)
}

async fn open(core: &Arc<Core>, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>, IndexError> {
    let repo = core.index_repo.clone();
    core.spawn_blocking(move || repo.open(name)).await.unwrap_or_else(|_| Err(given_up(name)))
}

/// The error of a blocking task that ended before its time: with the runtime, or because the repository panicked.
fn given_up(name: OwnName) -> IndexError {
    let source = std::io::Error::other("it was given up, because the store closes or the repository panicked");
    IndexError::Io { operation: "look after the index", path: name.to_string().into(), source }
}

/// Writes rows until that succeeds, as long as there is hope and time: as records are written. While the datastore is known to
/// refuse them there is one try only.
async fn patiently<F: Future<Output = Result<(), IndexError>>>(
    core: &Arc<Core>,
    task: Option<&Task>,
    write: impl Fn() -> F,
) -> Result<(), IndexError> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let patience = if inverted.degraded().is_some() { Duration::ZERO } else { core.options.persist_deadline };
    let begin = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let has_troubles = inverted.troubles.lock().why.is_some();
        let alone = if has_troubles { Some(inverted.mending.lock().await) } else { None };
        // Left by one whose opening failed, too. What fails again here is told by the write.
        let why = inverted.troubles.lock().why.clone();
        if let Some(why) = why.filter(|why| why.class() == ErrorClass::NeedsReopen) {
            reopened(core, &IndexError::Rows(why)).await;
        }
        let error = match write().await {
            Ok(()) => {
                *inverted.troubles.lock() = Troubles::default();
                return Ok(());
            }
            Err(error) => error,
        };
        if let IndexError::Rows(error) = &error {
            inverted.troubles.lock().why = Some(error.clone());
        }
        // In any case, for the next one to try.
        let may_help = reopened(core, &error).await;
        drop(alone);
        let is_over = begin.elapsed() >= patience || task.is_some_and(Task::is_cancelled);
        if is_over || !may_help {
            inverted.troubles.lock().is_degraded |= matches!(error, IndexError::Rows(_));
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Makes the datastore usable again, where that is what the error asks for. Whether another try may help.
async fn reopened(core: &Arc<Core>, error: &IndexError) -> bool {
    let (IndexError::Rows(error), Some(inverted)) = (error, &core.inverted) else { return false };
    match error.class() {
        ErrorClass::Transient => true,
        ErrorClass::NeedsReopen => {
            if let Err(error) = inverted.index.datastore().reopen().await {
                tracing::warn!(%error, "the datastore of the inverted index can't be opened again");
                inverted.troubles.lock().why = Some(error);
            }
            true
        }
        _ => false,
    }
}
