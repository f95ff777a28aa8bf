//! The rows of the inverted index: added before a shard is Available, removed before its record is.
//!
//! Rows and records are written apart, and that is enough: rows become durable first, and whoever looks drops those whose
//! registration isn't Available. An index of an earlier attempt stays on disk until the shard is Available again, because
//! it names the rows that have to go.

mod fill;
mod leftovers;
mod locate;
mod patience;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dagstore_fs::OwnName;
use dagstore_index::{Error as IndexError, Fingerprint, Fingerprints, FullIndex, InvertedIndex};
use dagstore_types::{Attempt, ErrorKind, Registration, ShardError, ShardKey};
use parking_lot::Mutex;

pub(crate) use self::fill::{add_if_indexed, fill};
pub(crate) use self::leftovers::{collect_leftovers, note_leftovers};
pub(crate) use self::locate::{locate, unavailable};
pub(crate) use self::patience::ask_again;
use self::patience::{Troubles, patiently};

use crate::core::Core;
use crate::error::index_error;
use crate::initialise::{SMALL_ENTRIES, cancelled};
use crate::task::Task;
use crate::{Error, Result, loader};

/// What the engine knows of its inverted index.
#[derive(Debug)]
pub(crate) struct Inverted {
    pub(crate) index: InvertedIndex,
    /// Whether every shard that is Available has its rows.
    is_complete: AtomicBool,
    /// A shard whose index can't be read, so that it has no rows yet, and why.
    unread: Mutex<Option<(ShardKey, String)>>,
    /// Shards that may have rows that their index doesn't name.
    leftovers: Mutex<BTreeSet<Registration>>,
    /// Held while a shard is noted, or notes are dropped: so one that comes meanwhile isn't dropped with the older ones.
    noting: tokio::sync::Mutex<()>,
    /// Written while leftovers are collected, which goes by the indices that the shards had when it began. Read while a shard
    /// that is noted loads the rows of another index: they would be collected with the leftovers.
    collecting: tokio::sync::RwLock<()>,
    troubles: Mutex<Troubles>,
    /// Held by whoever writes while there are troubles: else each one would only hear that the datastore must be opened again
    /// because of another.
    mending: tokio::sync::Mutex<()>,
}

impl Inverted {
    /// Reads what is known of it. That of a new store, which has no shards, has all rows that it should have.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub(crate) async fn open(index: InvertedIndex, is_new: bool) -> Result<Self> {
        let (is_complete, leftovers) = (index.is_complete().await?, index.leftovers().await?);
        let inverted = Self {
            index,
            is_complete: is_complete.into(),
            unread: Mutex::default(),
            leftovers: leftovers.into(),
            noting: tokio::sync::Mutex::default(),
            collecting: tokio::sync::RwLock::default(),
            troubles: Mutex::default(),
            mending: tokio::sync::Mutex::default(),
        };
        if is_new && !is_complete {
            inverted.complete().await?;
        }
        Ok(inverted)
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

    /// Why it can't be asked, unless it is complete.
    ///
    /// # Errors
    /// [`Error::InvertedIncomplete`], [`Error::InvertedWaits`].
    pub(crate) fn check_complete(&self) -> Result<()> {
        if self.is_complete() {
            return Ok(());
        }
        let unread = self.unread.lock().clone();
        Err(unread.map_or(Error::InvertedIncomplete, |(key, why)| Error::InvertedWaits { key, why }))
    }

    pub(crate) fn may_have_leftovers(&self, registration: Registration) -> bool {
        let leftovers = self.leftovers.lock();
        !leftovers.is_empty() && leftovers.contains(&registration)
    }
}

/// Adds the rows of the index `name`, and removes those of earlier attempts that it doesn't name, and their indices. Durable
/// when this returns, but for the indices.
pub(crate) async fn add(core: &Arc<Core>, name: OwnName, task: &Task) -> Result<(), ShardError> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let added = replace(core, inverted, name, task).await;
    // This attempt's index stays beside those before it. Where any of them is lost, nobody could tell that it had rows.
    if added.is_err() && name.attempt.0 > 1 {
        note_leftovers(core, name.registration).await.map_err(|error| index_error(&error))?;
    }
    added
}

/// Adds the rows of the index `name`, and removes what earlier attempts left.
async fn replace(core: &Arc<Core>, inverted: &Inverted, name: OwnName, task: &Task) -> Result<(), ShardError> {
    let index = open(core, name).await.map_err(|error| index_error(&error))?;
    let Some(index) = index else {
        return Err(ShardError::new(ErrorKind::Storage, "the index that was just published is gone"));
    };
    // A shard that isn't noted by now is in no collection under way.
    let _not_collected = if inverted.may_have_leftovers(name.registration) {
        Some(task.unless_cancelled(inverted.collecting.read()).await.ok_or_else(cancelled)?)
    } else {
        None
    };
    let loaded =
        patiently(core, Some(task), || load(core, &inverted.index, &index, name.registration, Some(task))).await;
    loaded.map_err(|error| index_error(&error))?;
    let removed = async {
        let had_earlier = remove_earlier(core, name, Some(&index)).await?;
        if name.attempt.0 > 1 && !had_earlier { note_leftovers(core, name.registration).await } else { Ok(()) }
    };
    removed.await.map_err(|error| index_error(&error))
}

/// Removes the indices of the attempts before this one, each behind the rows that it names but `except` doesn't. Returns
/// whether there was one: attempts without an index failed, as a rule, but where none has one, it may have been lost.
async fn remove_earlier(
    core: &Arc<Core>,
    name: OwnName,
    except: Option<&Arc<dyn FullIndex>>,
) -> Result<bool, IndexError> {
    let mut had_index = false;
    for attempt in (1..name.attempt.0).rev().map(Attempt) {
        had_index |= remove_index(core, of_attempt(name, attempt), except).await?;
    }
    Ok(had_index)
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
/// rule. `is_complete` says that the shard has been Available by this attempt, which had left nothing of those before it.
pub(crate) async fn remove_all(core: &Arc<Core>, name: OwnName, is_complete: bool) -> Result<(), IndexError> {
    let had_last = remove_index(core, name, None).await?;
    let had_earlier = remove_earlier(core, name, None).await?;
    // Without the last index nobody knows which rows it named, though an earlier one is there: a crash may have brought it back.
    let is_all = had_last && (had_earlier || is_complete || name.attempt.0 == 1);
    if name.attempt.0 > 0 && !is_all {
        note_leftovers(core, name.registration).await?;
    }
    Ok(())
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
