//! Making the rows of shards that are Available already.

use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::OwnName;
use dagstore_index::Error as IndexError;
use dagstore_types::{ShardKey, ShardState};

use super::patience::{FIRST_PAUSE, LONGEST_PAUSE, reopened};
use super::{Inverted, load, open};
use crate::Error;
use crate::catalogue::is_available;
use crate::core::Core;
use crate::error::with_causes;
use crate::info::ShardInfo;

/// How often is tried before whoever resumes the store waits for it no more. It goes on.
const PASSES_WAITED_FOR: u32 = 8;

/// The longest pause between two passes that nobody waits for.
const LONGEST_REST: Duration = Duration::from_mins(1);

/// Gives every shard that is Available its rows: in a datastore that is new, or that an earlier program filled. Tries again
/// until it succeeds or the store closes; after some passes this returns, and that goes on.
pub(crate) async fn fill(core: &Arc<Core>) {
    if core.inverted.as_ref().is_none_or(Inverted::is_complete) {
        return;
    }
    let (mut filling, mut pause) = (Filling::default(), FIRST_PAUSE);
    for _ in 0..PASSES_WAITED_FOR {
        if filling.pass(core).await || core.unless_closed(tokio::time::sleep(pause)).await.is_err() {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    let shared = core.clone();
    core.spawn(async move {
        while !filling.pass(&shared).await && shared.unless_closed(tokio::time::sleep(pause)).await.is_ok() {
            pause = (pause * 2).min(LONGEST_REST);
        }
    });
}

/// The shards that have yet to get their rows; none says all.
#[derive(Debug, Default)]
struct Filling(Option<Vec<ShardKey>>);

impl Filling {
    /// Gives rows to those that can have them, and returns whether there is nothing left to do.
    async fn pass(&mut self, core: &Arc<Core>) -> bool {
        let Some(inverted) = &core.inverted else { return true };
        let keys = self.0.take();
        let keys = keys.unwrap_or_else(|| core.catalogue.keys_in(&[ShardState::Available, ShardState::Serving]));
        let (mut keys, mut left, mut unread) = (keys.into_iter(), Vec::new(), None);
        while let Some(key) = keys.next() {
            if core.is_closed() {
                return true;
            }
            let Err(error) = give_rows(core, &key).await else { continue };
            let why = with_causes(&error);
            tracing::warn!(shard = %key, error = why, "the shard gets no rows in the inverted index yet");
            left.push(key.clone());
            if matches!(error, IndexError::Rows(_)) {
                // The datastore's own, which the next shard would meet as well.
                reopened(inverted, &error).await;
                left.extend(keys);
                break;
            }
            unread = Some((key, why));
        }
        *inverted.unread.lock() = unread;
        let is_left = !left.is_empty();
        self.0 = Some(left);
        !is_left && complete(inverted).await
    }
}

/// Says that every shard has its rows, and returns whether that could be written.
async fn complete(inverted: &Inverted) -> bool {
    match inverted.complete().await {
        Ok(()) => {
            tracing::info!("the inverted index was made of the full ones");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "that the inverted index is complete can't be written yet");
            if let Error::Index(error) = &error {
                reopened(inverted, error).await;
            }
            false
        }
    }
}

/// Adds a shard's rows. One that isn't Available any more gets them when it is again.
async fn give_rows(core: &Arc<Core>, key: &ShardKey) -> Result<(), IndexError> {
    let info = core.catalogue.look(key.as_str()).and_then(ShardInfo::of_found);
    let Some(info) = info.filter(|info| is_available(info.state)) else { return Ok(()) };
    add_if_indexed(core, OwnName::new(key, info.registration, info.attempt)).await
}

/// Adds the rows of an index that may be lost: the first acquire notices that then.
pub(crate) async fn add_if_indexed(core: &Arc<Core>, name: OwnName) -> Result<(), IndexError> {
    let Some(inverted) = &core.inverted else { return Ok(()) };
    let added = match open(core, name).await {
        Ok(Some(index)) => load(core, &inverted.index, &index, name.registration, None).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    match added {
        Err(IndexError::Damaged { .. }) => Ok(()),
        added => added,
    }
}
