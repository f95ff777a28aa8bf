//! A datastore that can be exchanged, and whose calls a paused clock waits for.

use std::future::Future;
use std::sync::{Arc, LazyLock, mpsc};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream};
use futures_util::{StreamExt, stream};
use parking_lot::RwLock;
use tokio::runtime::{Builder, Runtime};
use tokio::task::spawn_blocking;

/// Where all calls are done. It outlives every test, and with it what a handle does when it is dropped.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

/// Does `work` outside any runtime of a test, and waits for it, in a test's runtime, too.
pub(crate) fn outside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    RUNTIME.spawn(async move { sender.send(work.await) });
    receiver.recv().expect("the work has panicked")
}

/// Another datastore. A call is a blocking task of the caller's runtime: for as long as there is one, a clock that the
/// test has paused doesn't jump to whatever is waited for next, as it does where everybody waits.
#[derive(Debug, Clone)]
pub(crate) struct Steady {
    inner: Arc<RwLock<Option<Arc<dyn Datastore>>>>,
}

impl Steady {
    pub(crate) fn new(inner: Arc<dyn Datastore>) -> Self {
        Self { inner: Arc::new(RwLock::new(Some(inner))) }
    }

    /// Drops the datastore as it is.
    pub(crate) fn abandon(&self) {
        *self.inner.write() = None;
    }

    pub(crate) fn go_on(&self, inner: Arc<dyn Datastore>) {
        *self.inner.write() = Some(inner);
    }

    fn inner(&self) -> Arc<dyn Datastore> {
        self.inner.read().clone().expect("a test that calls while it crashes")
    }

    /// Whatever was begun is carried out, also where its future is dropped.
    async fn run<T, W>(&self, call: impl FnOnce(Arc<dyn Datastore>) -> W + Send + 'static) -> T
    where
        T: Send + 'static,
        W: Future<Output = T> + Send,
    {
        let inner = self.inner();
        spawn_blocking(move || RUNTIME.block_on(call(inner))).await.unwrap()
    }
}

#[async_trait]
impl Datastore for Steady {
    fn name(&self) -> &'static str {
        self.inner().name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        let key = key.to_vec();
        self.run(move |inner| async move { inner.get(namespace, &key).await }).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.run(move |inner| async move { inner.write(batch, durability).await }).await
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let rows = self.inner().scan(namespace, prefix);
        let pages = stream::unfold(rows, |mut rows| async move {
            let next = move || {
                let page = RUNTIME.block_on(rows.next())?;
                Some((page, rows))
            };
            spawn_blocking(next).await.unwrap()
        });
        pages.boxed()
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
        self.run(move |inner| async move { inner.rows(namespace, &prefix, after.as_deref(), limit).await }).await
    }

    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        // The rows are the engine's, and want its runtime.
        self.inner().bulk_load(namespace, rows).await
    }

    async fn sync(&self) -> Result<()> {
        self.run(|inner| async move { inner.sync().await }).await
    }

    async fn reopen(&self) -> Result<()> {
        self.run(|inner| async move { inner.reopen().await }).await
    }

    async fn close(&self) -> Result<()> {
        self.run(|inner| async move { inner.close().await }).await
    }
}
