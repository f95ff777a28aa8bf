//! A store whose catalogue a real PostgreSQL has, where there is one: outages, connections that are cut, and two who want the
//! same database.
#![cfg(all(test, unix, feature = "postgres"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod cuts;
mod outages;
mod paused;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dagstore::postgres::PostgresDatastore;
use dagstore::{Builder, Dagstore};

/// How long a good store may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The options of a store whose catalogue is at `url`, and whose files are in `directory`.
async fn builder(url: &str, lease: Duration, directory: &Path) -> Builder {
    let builder = PostgresDatastore::builder().lease(lease).wait(PATIENCE);
    let datastore = Arc::new(builder.open(url).await.unwrap());
    Dagstore::builder().directory(directory).datastore(datastore)
}

async fn open(url: &str, lease: Duration, directory: &Path) -> Dagstore {
    builder(url, lease, directory).await.open().await.unwrap()
}
