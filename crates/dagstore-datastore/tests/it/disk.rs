//! An engine whose disk is in memory: it outlives its stores, can be told to fail, and forgets what wasn't synced.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::embedded::{Embedded, Engine, Opening};
use dagstore_datastore::{
    Batch, Datastore, Durability, Error, ErrorClass, Namespace, Result, RowPage, RowStream, load_by_batches,
};
use futures_util::StreamExt;
use parking_lot::Mutex;

const NAME: &str = "disk";

type Rows = BTreeMap<(Namespace, Vec<u8>), Bytes>;

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is left after a crash.
    durable: Rows,
    is_locked: bool,
    openings: Vec<Opening>,
    /// What the next call of this name does.
    script: Vec<(&'static str, Act)>,
    defect: Option<Defect>,
}

/// What is wrong with a broken disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Anybody can open it at any time.
    IgnoresLock,
    /// A sync does nothing.
    IgnoresSync,
    /// Nobody frees it.
    StaysLocked,
    /// Bulk loads don't wait for the disk, and nothing does it for them.
    LoadsAreBuffered,
    /// A bulk load that meets a closing fails as if something were broken.
    ClosedLoadsFail,
}

/// What a call does instead of its work.
#[derive(Debug)]
pub(crate) enum Act {
    /// Just its work.
    None,
    Fail(ErrorClass),
    Panic,
    /// Says that it has begun, and goes on with its work when it is told to.
    Stop(Sender<()>, Receiver<()>),
}

impl Disk {
    /// Lets the next call of `operation` (`open`, `get`, `page`, `rows`, `write`, `sync`) do something else.
    pub(crate) fn next(&self, operation: &'static str, act: Act) {
        self.0.lock().script.push((operation, act));
    }

    /// How the disk was opened so far.
    pub(crate) fn openings(&self) -> Vec<Opening> {
        self.0.lock().openings.clone()
    }

    /// The same disk, broken.
    pub(crate) fn broken(&self, defect: Defect) -> Self {
        self.0.lock().defect = Some(defect);
        self.clone()
    }

    pub(crate) async fn open(&self) -> Result<DiskStore> {
        let disk = self.clone();
        let defect = self.0.lock().defect;
        let embedded = Embedded::open(NAME, "the disk", move |opening| disk.open_engine(opening)).await?;
        Ok(DiskStore { embedded, defect })
    }

    fn open_engine(&self, opening: Opening) -> Result<DiskEngine> {
        self.0.lock().openings.push(opening);
        self.act("open")?;
        let mut state = self.0.lock();
        if state.is_locked && state.defect != Some(Defect::IgnoresLock) {
            return Err(Error::InUse { backend: NAME, place: "the disk".to_owned() });
        }
        state.is_locked = true;
        Ok(DiskEngine { rows: Mutex::new(state.durable.clone()), disk: self.clone() })
    }

    fn act(&self, operation: &'static str) -> Result<()> {
        let act = {
            let script = &mut self.0.lock().script;
            script.iter().position(|(name, _)| *name == operation).map(|at| script.remove(at).1)
        };
        match act {
            None | Some(Act::None) => Ok(()),
            Some(Act::Fail(class)) => Err(Error::failed(NAME, operation, class, "as told")),
            Some(Act::Panic) => panic!("as told"),
            Some(Act::Stop(has_begun, may_go_on)) => {
                has_begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok(())
            }
        }
    }
}

pub(crate) struct DiskEngine {
    rows: Mutex<Rows>,
    disk: Disk,
}

impl Drop for DiskEngine {
    fn drop(&mut self) {
        let mut state = self.disk.0.lock();
        state.is_locked = state.defect == Some(Defect::StaysLocked);
        drop(state);
        self.disk.act("drop").unwrap();
    }
}

impl DiskEngine {
    fn read(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> RowPage {
        let start = match after {
            None => Bound::Included((namespace, prefix.to_vec())),
            Some(after) => Bound::Excluded((namespace, after.to_vec())),
        };
        let (rows, mut page) = (self.rows.lock(), RowPage::new());
        for ((of, key), value) in rows.range((start, Bound::Unbounded)) {
            if *of != namespace || !key.starts_with(prefix) || page.len() >= limit || page.is_full() {
                break;
            }
            page.push(key, value);
        }
        page
    }
}

impl Engine for DiskEngine {
    fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.disk.act("get")?;
        Ok(self.rows.lock().get(&(namespace, key.to_vec())).cloned())
    }

    fn page(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>) -> Result<RowPage> {
        self.disk.act("page")?;
        Ok(self.read(namespace, prefix, after, usize::MAX))
    }

    fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.disk.act("rows")?;
        Ok(self.read(namespace, prefix, after, limit))
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<()> {
        self.disk.act("write")?;
        let mut rows = self.rows.lock();
        for write in batch.iter() {
            let key = (write.namespace, write.key.to_vec());
            match write.value {
                Some(value) => rows.insert(key, Bytes::copy_from_slice(value)),
                None => rows.remove(&key),
            };
        }
        if durability == Durability::Synced {
            self.disk.0.lock().durable = rows.clone();
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.disk.act("sync")?;
        let mut state = self.disk.0.lock();
        if !matches!(state.defect, Some(Defect::IgnoresSync | Defect::LoadsAreBuffered)) {
            state.durable = self.rows.lock().clone();
        }
        Ok(())
    }
}

/// The datastore as a backend would write it.
#[derive(Debug)]
pub(crate) struct DiskStore {
    embedded: Embedded<DiskEngine>,
    defect: Option<Defect>,
}

#[async_trait]
impl Datastore for DiskStore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.embedded.get(namespace, key)
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.embedded.write(batch, durability).await
    }

    async fn bulk_load(&self, namespace: Namespace, mut rows: RowStream) -> Result<()> {
        if self.defect == Some(Defect::LoadsAreBuffered) {
            while let Some(page) = rows.next().await {
                let mut batch = Batch::new();
                page?.iter().for_each(|(key, value)| batch.put(namespace, key, value));
                self.write(batch, Durability::Buffered).await?;
            }
            return Ok(());
        }
        load_by_batches(self, namespace, rows).await.map_err(|error| match (error, self.defect) {
            (Error::Closed { .. }, Some(Defect::ClosedLoadsFail)) => {
                Error::failed(NAME, "load", ErrorClass::Permanent, "something is broken")
            }
            (error, _) => error,
        })
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.embedded.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.embedded.rows(namespace, prefix, after, limit)
    }

    async fn sync(&self) -> Result<()> {
        self.embedded.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.embedded.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.embedded.close().await
    }
}
