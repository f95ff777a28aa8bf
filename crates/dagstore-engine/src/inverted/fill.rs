//! Making the rows of shards that are Available already.

use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_index::Error as IndexError;
use dagstore_types::ShardState;

use super::patience::{FIRST_PAUSE, LONGEST_PAUSE, reopened};
use super::{Inverted, load, open};
use crate::core::Core;
use crate::info::ShardInfo;
use crate::{Error, Result};

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
