//! Rows that no index names: noted when they come to be, and collected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dagstore_fs::OwnName;
use dagstore_index::{Error as IndexError, Kept};
use dagstore_types::Registration;

use super::fill::add_if_indexed;
use super::open;
use super::patience::patiently;
use crate::Result;
use crate::core::Core;

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

/// Looks for rows that no index names, where there may be any, and returns how many were removed.
pub(crate) async fn collect_leftovers(core: &Arc<Core>) -> Result<u64> {
    let Some(inverted) = &core.inverted else { return Ok(0) };
    let _no_rows_come = inverted.collecting.write().await;
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
