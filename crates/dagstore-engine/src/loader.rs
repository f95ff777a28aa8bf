//! Loading the rows of small shards together.

use std::sync::Arc;

use dagstore_datastore::{Error, ErrorClass};
use dagstore_index::{Fingerprint, InvertedIndex};
use dagstore_types::Registration;

use crate::core::Core;
use crate::gather::Gathering;

/// What a load gave. The error is one of the datastore: there is nothing else that can fail.
pub(crate) type Loaded = Result<(), Error>;

/// The rows that wait to be loaded.
pub(crate) type Loader = Gathering<(Registration, Vec<Fingerprint>), Loaded>;

/// Loads the rows of a shard with those of others. They are durable when this returns, whether or not others want theirs
/// any more.
pub(crate) async fn load(
    core: &Arc<Core>,
    inverted: &InvertedIndex,
    registration: Registration,
    fingerprints: Vec<Fingerprint>,
) -> Loaded {
    let inverted = inverted.clone();
    let load = move |shards: Vec<_>| {
        let inverted = inverted.clone();
        async move {
            let loaded = inverted.add_group(&shards).await;
            vec![loaded; shards.len()]
        }
    };
    let loaded = core.loader.take_part(core, (registration, fingerprints), load).await;
    let given_up = "the store closes, or its datastore panicked, which is a fault of the program";
    loaded.unwrap_or_else(|| Err(Error::failed("store", "load", ErrorClass::Permanent, given_up)))
}
