//! The datastore keeps the contract, and what it acknowledged survives a kill.
#![cfg(test)]

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use dagstore_datastore::conformance::{self, Factory, crash};
use dagstore_datastore::{Datastore, Namespace, Result};
use dagstore_rocksdb::RocksdbDatastore;
use tempfile::TempDir;

struct Directories(TempDir);

#[async_trait::async_trait]
impl Factory for Directories {
    fn persistent(&self) -> bool {
        true
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        Ok(Arc::new(RocksdbDatastore::open(self.0.path().join(name)).await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes() {
    conformance::run(&Directories(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn the_suite_passes_on_one_thread() {
    conformance::run(&Directories(tempfile::tempdir().unwrap())).await;
}

/// The same with namespaces that are loaded in bulk, with filters on prefixes of some length.
struct Bulk(TempDir, usize);

#[async_trait::async_trait]
impl Factory for Bulk {
    fn persistent(&self) -> bool {
        true
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        let builder = ["rows", "other", "a"]
            .into_iter()
            .fold(RocksdbDatastore::builder(), |builder, name| builder.bulk_namespace(Namespace::new(name), self.1));
        Ok(Arc::new(builder.open(self.0.path().join(name)).await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_with_filters_on_short_prefixes() {
    conformance::run(&Bulk(tempfile::tempdir().unwrap(), 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_passes_with_filters_on_long_prefixes() {
    conformance::run(&Bulk(tempfile::tempdir().unwrap(), 16)).await;
}

/// Starts itself again as the child that is killed.
#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    const DATABASE: &str = "DAGSTORE_ROCKSDB_KILL_TEST";
    if let Some(path) = env::var_os(DATABASE) {
        let store = RocksdbDatastore::open(PathBuf::from(path)).await.unwrap();
        let end = crash::write_until_killed(&store, std::io::stdout()).await;
        panic!("the child was not killed: {end:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    let child = || {
        let mut child = Command::new(env::current_exe().unwrap());
        child.args(["--exact", "what_was_acknowledged_survives_a_kill", "--nocapture"]).env(DATABASE, &path);
        child
    };
    crash::run(child, || async { Ok(Arc::new(RocksdbDatastore::open(&path).await?) as Arc<dyn Datastore>) }).await;
}
