//! A datastore that counts and times its calls.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use metrics::{Counter, Histogram, counter, histogram};

use crate::{Batch, Datastore, Durability, Error, ErrorClass, Namespace, Result, RowPage, RowStream};

/// Counter of calls that have ended, by `backend`, `operation` and `result`.
///
/// Operations: `get`, `rows`, `write` (synced), `write_buffered`, `bulk_load`, `scan_page`, `sync`, `reopen`, `close`.
/// Results: `ok`, `transient`, `needs_reopen`, `fenced`, `permanent`, `corrupt`, and `dropped` for a call whose caller went away
/// before it ended. A page of a scan counts as a call, and so does the end behind the last one.
pub const CALLS: &str = "dagstore_datastore_calls_total";

/// Histogram of seconds a call took, by `backend`, `operation` and `result`, as in [`CALLS`]. That of `write` and `sync` is
/// the disk's. A page of a scan takes as long as its reader waits for it.
pub const CALL_SECONDS: &str = "dagstore_datastore_call_seconds";

/// Counter of rows, by `backend` and `operation`: those of a `write`, `write_buffered` or `bulk_load` (puts and deletions)
/// that ended well, and those that a `get`, a `rows` or a `scan_page` returned.
pub const ROWS: &str = "dagstore_datastore_rows_total";

/// Counter of the bytes of keys and values, by `backend` and `operation`, of the rows in [`ROWS`]; of a `get` those of the
/// value.
pub const BYTES: &str = "dagstore_datastore_bytes_total";

/// Another datastore, whose calls are counted and timed with the crate `metrics`: [`CALLS`], [`CALL_SECONDS`], [`ROWS`],
/// [`BYTES`].
///
/// Install the recorder first: the counters of calls that end well are looked up once, in [`new`](Self::new). Where there
/// is none, a call costs two looks at the clock, some 50 ns.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn Datastore>,
    get: Meter,
    rows: Meter,
    write: Meter,
    write_buffered: Meter,
    bulk_load: Meter,
    scan_page: Meter,
    sync: Meter,
    reopen: Meter,
    close: Meter,
}

impl Metered {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Datastore>) -> Self {
        let meter = |operation| Meter::new(inner.name(), operation);
        Self {
            get: meter("get"),
            rows: meter("rows"),
            write: meter("write"),
            write_buffered: meter("write_buffered"),
            bulk_load: meter("bulk_load"),
            scan_page: meter("scan_page"),
            sync: meter("sync"),
            reopen: meter("reopen"),
            close: meter("close"),
            inner,
        }
    }
}

#[async_trait]
impl Datastore for Metered {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        let call = self.get.begin();
        let found = call.end(self.inner.get(namespace, key).await)?;
        if let Some(value) = &found {
            self.get.count(1, value.len());
        }
        Ok(found)
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        let meter = match durability {
            Durability::Synced => &self.write,
            Durability::Buffered => &self.write_buffered,
        };
        let (rows, bytes) = (batch.len(), batch.byte_len());
        let call = meter.begin();
        call.end(self.inner.write(batch, durability).await)?;
        meter.count(rows, bytes);
        Ok(())
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let (pages, meter) = (self.inner.scan(namespace, prefix), self.scan_page.clone());
        let metered = futures_util::stream::unfold((pages, meter), |(mut pages, meter)| async {
            let call = meter.begin();
            let page = call.end(pages.next().await.transpose());
            if let Ok(Some(page)) = &page {
                meter.count(page.len(), page.byte_len());
            }
            Some((page.transpose()?, (pages, meter)))
        });
        metered.boxed()
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        let call = self.rows.begin();
        let page = call.end(self.inner.rows(namespace, prefix, after, limit).await)?;
        self.rows.count(page.len(), page.byte_len());
        Ok(page)
    }

    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        let loaded = Arc::new(parking_lot::Mutex::new((0, 0)));
        let counted = Arc::clone(&loaded);
        let rows = rows.inspect(move |page| {
            if let Ok(page) = page {
                let mut counted = counted.lock();
                *counted = (counted.0 + page.len(), counted.1 + page.byte_len());
            }
        });
        let call = self.bulk_load.begin();
        call.end(self.inner.bulk_load(namespace, rows.boxed()).await)?;
        let (rows, bytes) = *loaded.lock();
        self.bulk_load.count(rows, bytes);
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        let call = self.sync.begin();
        call.end(self.inner.sync().await)
    }

    async fn reopen(&self) -> Result<()> {
        let call = self.reopen.begin();
        call.end(self.inner.reopen().await)
    }

    async fn close(&self) -> Result<()> {
        let call = self.close.begin();
        call.end(self.inner.close().await)
    }
}

/// The counters of one operation. Those of failures are looked up when there is one.
#[derive(Debug, Clone)]
struct Meter {
    backend: &'static str,
    operation: &'static str,
    calls: Counter,
    seconds: Histogram,
    rows: Counter,
    bytes: Counter,
}

impl Meter {
    fn new(backend: &'static str, operation: &'static str) -> Self {
        Self {
            backend,
            operation,
            calls: counter!(CALLS, "backend" => backend, "operation" => operation, "result" => "ok"),
            seconds: histogram!(CALL_SECONDS, "backend" => backend, "operation" => operation, "result" => "ok"),
            rows: counter!(ROWS, "backend" => backend, "operation" => operation),
            bytes: counter!(BYTES, "backend" => backend, "operation" => operation),
        }
    }

    fn begin(&self) -> Call<'_> {
        Call { meter: self, begin: Instant::now(), result: "dropped" }
    }

    fn count(&self, rows: usize, bytes: usize) {
        self.rows.increment(rows as u64);
        self.bytes.increment(bytes as u64);
    }
}

/// A call under way. It is counted when this is dropped, so also when its future is.
struct Call<'a> {
    meter: &'a Meter,
    begin: Instant,
    result: &'static str,
}

impl Call<'_> {
    fn end<T>(mut self, result: Result<T>) -> Result<T> {
        self.result = result.as_ref().map_or_else(name_of_class, |_| "ok");
        result
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let (backend, operation, result) = (self.meter.backend, self.meter.operation, self.result);
        let seconds = self.begin.elapsed();
        if result == "ok" {
            self.meter.calls.increment(1);
            self.meter.seconds.record(seconds);
        } else {
            counter!(CALLS, "backend" => backend, "operation" => operation, "result" => result).increment(1);
            histogram!(CALL_SECONDS, "backend" => backend, "operation" => operation, "result" => result)
                .record(seconds);
        }
    }
}

fn name_of_class(error: &Error) -> &'static str {
    match error.class() {
        ErrorClass::Transient => "transient",
        ErrorClass::NeedsReopen => "needs_reopen",
        ErrorClass::Fenced => "fenced",
        ErrorClass::Permanent => "permanent",
        ErrorClass::Corrupt => "corrupt",
    }
}
