//! Rows in memory.

use std::collections::BTreeMap;
use std::future::ready;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;

use crate::page::{Start, stream_of_pages};
use crate::{Batch, Datastore, Durability, Error, Namespace, Result, RowPage, RowStream};

const NAME: &str = "memory";

type Rows = BTreeMap<Namespace, BTreeMap<Vec<u8>, Bytes>>;

/// A datastore for tests and throw-away stores: its rows are gone when it is closed or dropped, so "durable" means
/// nothing here. It never fails, and nothing in it blocks for longer than a batch takes to copy.
#[derive(Debug, Default)]
pub struct MemoryDatastore {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: RwLock<State>,
}

#[derive(Debug)]
enum State {
    Open(Rows),
    Closed,
}

impl Default for State {
    fn default() -> Self {
        Self::Open(Rows::new())
    }
}

impl MemoryDatastore {
    /// An empty datastore.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Datastore for MemoryDatastore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.shared.with_rows(|rows| rows.get(&namespace).and_then(|table| table.get(key)).cloned())
    }

    async fn write(&self, batch: Batch, _durability: Durability) -> Result<()> {
        batch.check_limits(NAME)?;
        let mut state = self.shared.state.write();
        let State::Open(rows) = &mut *state else { return Err(closed()) };
        for write in batch.iter() {
            let table = rows.entry(write.namespace).or_default();
            match write.value {
                Some(value) => drop(table.insert(write.key.to_vec(), Bytes::copy_from_slice(value))),
                None => drop(table.remove(write.key)),
            }
        }
        Ok(())
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let (shared, prefix) = (Arc::clone(&self.shared), prefix.to_vec());
        stream_of_pages(move |after| ready(shared.page(namespace, &prefix, after.as_deref(), usize::MAX)))
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.shared.page(namespace, prefix, after, limit)
    }

    async fn sync(&self) -> Result<()> {
        self.shared.with_rows(|_| ())
    }

    async fn reopen(&self) -> Result<()> {
        self.shared.with_rows(|_| ())
    }

    async fn close(&self) -> Result<()> {
        *self.shared.state.write() = State::Closed;
        Ok(())
    }
}

impl Shared {
    fn with_rows<T>(&self, read: impl FnOnce(&Rows) -> T) -> Result<T> {
        match &*self.state.read() {
            State::Open(rows) => Ok(read(rows)),
            State::Closed => Err(closed()),
        }
    }

    fn page(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        let start = match Start::of(prefix, after) {
            Start::First => Bound::Included(prefix),
            Start::Behind(after) => Bound::Excluded(after),
            Start::Nowhere => return self.with_rows(|_| RowPage::new()),
        };
        self.with_rows(|rows| {
            let mut page = RowPage::new();
            let Some(table) = rows.get(&namespace) else { return page };
            let range = table.range::<[u8], _>((start, Bound::Unbounded));
            for (key, value) in range.take_while(|(key, _)| key.starts_with(prefix)) {
                if page.has(limit) {
                    break;
                }
                page.push(key, value);
            }
            page
        })
    }
}

fn closed() -> Error {
    Error::Closed { backend: NAME }
}
