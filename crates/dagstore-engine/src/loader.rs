//! Loading the rows of small shards together: one load for all that wait, while the next ones gather.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use dagstore_datastore::ErrorClass;
use dagstore_index::{Fingerprint, InvertedIndex};
use dagstore_types::Registration;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::core::Core;

/// What a load gave. The error is one of the datastore: there is nothing else that can fail.
pub(crate) type Loaded = Result<(), dagstore_datastore::Error>;

/// The rows that wait to be loaded. How many shards wait is bounded by the room for loading.
#[derive(Debug, Default)]
pub(crate) struct Loader(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    shards: Vec<(Registration, Vec<Fingerprint>)>,
    told: Vec<oneshot::Sender<Loaded>>,
    is_loading: bool,
}

/// Loads the rows of a shard with those of others. They are durable when this returns, whether or not others want theirs
/// any more.
pub(crate) async fn load(
    core: &Arc<Core>,
    inverted: &InvertedIndex,
    registration: Registration,
    fingerprints: Vec<Fingerprint>,
) -> Loaded {
    let (tell, told) = oneshot::channel();
    let is_first = {
        let mut waiting = core.loader.0.lock();
        waiting.shards.push((registration, fingerprints));
        waiting.told.push(tell);
        !mem::replace(&mut waiting.is_loading, true)
    };
    if is_first {
        let (shared, inverted) = (core.clone(), inverted.clone());
        core.spawn(async move { load_all(&shared, &inverted).await });
    }
    told.await.unwrap_or_else(|_| failed("the store closes"))
}

/// Loads until nothing waits.
async fn load_all(core: &Core, inverted: &InvertedIndex) {
    loop {
        let (shards, told) = {
            let mut waiting = core.loader.0.lock();
            waiting.is_loading = !waiting.shards.is_empty();
            if !waiting.is_loading {
                return;
            }
            (mem::take(&mut waiting.shards), mem::take(&mut waiting.told))
        };
        // Whoever comes next must find that nobody loads, also behind a datastore that panics.
        let loading = AssertUnwindSafe(inverted.add_group(&shards)).catch_unwind().await;
        let loaded = loading.unwrap_or_else(|_| failed("the datastore panicked; this is a fault of the program"));
        for tell in told {
            let _nobody_waits = tell.send(loaded.clone());
        }
    }
}

fn failed(why: &'static str) -> Loaded {
    Err(dagstore_datastore::Error::failed("store", "load", ErrorClass::Permanent, why))
}
