//! The suite passes on the stores of this crate.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use dagstore_datastore::conformance::{self, Factory};
use dagstore_datastore::{Datastore, MemoryDatastore, Result};
use parking_lot::Mutex;

use crate::disk::Disk;

pub(crate) struct Memory;

#[async_trait]
impl Factory for Memory {
    fn persistent(&self) -> bool {
        false
    }

    async fn open(&self, _name: &str) -> Result<Arc<dyn Datastore>> {
        Ok(Arc::new(MemoryDatastore::new()))
    }
}

#[derive(Default)]
struct Disks(Mutex<HashMap<String, Disk>>);

#[async_trait]
impl Factory for Disks {
    fn persistent(&self) -> bool {
        true
    }

    async fn open(&self, name: &str) -> Result<Arc<dyn Datastore>> {
        let disk = self.0.lock().entry(name.to_owned()).or_default().clone();
        Ok(Arc::new(disk.open().await?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    conformance::run(&Memory).await;
}

#[tokio::test]
async fn memory_with_one_thread() {
    conformance::run(&Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    conformance::run(&Disks::default()).await;
}

#[tokio::test]
async fn embedded_with_one_thread() {
    conformance::run(&Disks::default()).await;
}
