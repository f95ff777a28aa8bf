//! The trait.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use crate::{Batch, Namespace, Result, RowPage, load_by_batches};

/// The rows of a scan, in ascending order of their keys, a page at a time.
pub type RowStream = BoxStream<'static, Result<RowPage>>;

/// Whether a write waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// When the call returns, the write survives power loss, and so does every write that returned before it.
    Synced,
    /// The write is visible when the call returns, and survives the end of the process or the machine only after a
    /// later [`Synced`](Self::Synced) write, a [`sync`](Datastore::sync) or a [`close`](Datastore::close). Until then
    /// a crash or a [`reopen`](Datastore::reopen) after an error may take it back, but only as a whole, and never
    /// while a later write survives.
    Buffered,
}

/// An ordered key-value store with atomic batches.
///
/// All methods may be called at the same time from any number of tasks. They do nothing until they are polled;
/// dropping a future that was polled leaves the outcome open, as a crash would, and never leaves half a batch.
///
/// Keys are 0 to [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES) bytes, values up to
/// [`MAX_VALUE_BYTES`](crate::MAX_VALUE_BYTES), both opaque; order is bytewise. A write over these limits is refused, a
/// key over them is never there. A namespace that was never written to reads as empty.
///
/// A backend whose writes block does them on a thread of its own ([`thread::Worker`](crate::thread::Worker)): a
/// database that hangs must not hang the runtime's exit. Embedded engines get that, reopening and closing from
/// [`Embedded`](crate::embedded::Embedded).
#[async_trait]
pub trait Datastore: Debug + Send + Sync + 'static {
    /// The backend's name in errors and metrics, `redb` for instance.
    fn name(&self) -> &'static str;

    /// The value of the row `key`, or `None` where there is no such row. Sees every write that has returned.
    ///
    /// # Errors
    /// Of any class; an absent row is none.
    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>>;

    /// Applies `batch` as a whole or not at all, its writes in their order. An empty batch with
    /// [`Durability::Synced`] is a [`sync`](Self::sync).
    ///
    /// # Errors
    /// [`ErrorClass::NeedsReopen`](crate::ErrorClass::NeedsReopen): the batch was applied, or will be seen after
    /// reopening, or not at all: reopen and write it again. Until then the backend refuses every write and sync with
    /// the same class, for it never retries a failed sync on the same handle: what the operating system dropped then
    /// is gone.
    /// [`ErrorClass::Corrupt`](crate::ErrorClass::Corrupt) leaves the outcome open as well, and so does
    /// [`ErrorClass::Fenced`](crate::ErrorClass::Fenced): what was applied, was so before somebody else owned the database.
    /// Of any other class: nothing was applied.
    /// [`Error::TooLarge`](crate::Error::TooLarge) for a key or value over the limits.
    async fn write(&self, batch: Batch, durability: Durability) -> Result<()>;

    /// The rows whose keys start with `prefix`, in ascending order, each key at most once.
    ///
    /// A page shows one state of the namespace, so a batch is in it as a whole or not at all. The first page's state is
    /// at least as new as every write that returned before the call, and each page's state at least as new as that of
    /// the page before. So a row that nobody writes meanwhile is there exactly once, and one that somebody writes is
    /// seen as it was or as it is, or not at all. The stream holds nothing open between two pages, and the datastore
    /// neither: behind its drop the stream may end with [`Error::Closed`](crate::Error::Closed).
    ///
    /// An error ends the stream: rows before it are valid, and the scan is incomplete.
    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream;

    /// The first rows whose keys start with `prefix` and come behind `after`, in ascending order: at most `limit` of them,
    /// and none behind the one with which they are a [full page](RowPage::is_full). So an answer of fewer rows than
    /// `limit` that isn't full has all there are, and the last key of any other is the next call's `after`.
    ///
    /// `after` needs to be no key of a row, and may be any bytes: without the prefix, it lies before all rows or behind
    /// them. A `limit` of 0 gives no rows, and tells nothing about what is there.
    ///
    /// What it shows is at least as new as every write that returned before the call. It is one state, as a page of a
    /// scan is; the default's may be several, in the order of the rows, where it takes them out of several pages.
    ///
    /// This is for looking a few rows up, again and again, by prefixes most of which may have none; a
    /// [scan](Self::scan) is for many. The default takes the rows out of a scan, which reads all that come before
    /// `after`, and more than it needs.
    ///
    /// # Errors
    /// Of any class; that there are no such rows is none. A closed datastore fails whatever the `limit` is.
    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        rows_of_scan(self.scan(namespace, prefix), after, limit).await
    }

    /// Puts many rows, which `rows` yields in ascending order of their keys, each key once. A
    /// [scan](Self::scan) of another datastore is such a stream, and [`stream_of_rows`](crate::stream_of_rows) makes one
    /// of rows in memory. Pages of about [`RowPage::TARGET_BYTES`] are best; they may be of any size, and empty.
    ///
    /// When the call returns, all rows survive power loss, and so does every write that returned before the call. Rows
    /// are absolute, as in a batch: a load replaces what was there before the call, and loading the same rows again
    /// changes nothing. A write to one of these rows while the load is under way comes before it or behind it.
    ///
    /// A load is not atomic. Its rows appear in pieces, in their order: while it is under way, and behind an error, a
    /// drop of the future or a crash, a beginning of the rows is there, from none to all, and nothing of the rest. To go
    /// on, load all of them again. Where rows mustn't be seen before all are there, write the row that makes them valid
    /// when the load has returned.
    ///
    /// Pieces are bounded in size, so other calls never wait for a load, but for one of its pieces at most, not even
    /// while `rows` has nothing to give. A load may be made to wait until the database has digested earlier ones.
    ///
    /// The default is [`load_by_batches`](crate::load_by_batches).
    ///
    /// # Errors
    /// [`Error::NotAscending`](crate::Error::NotAscending) names the first key that isn't behind the one before it, and
    /// [`Error::TooLarge`](crate::Error::TooLarge) is as in [`write`](Self::write); rows from that one on are not loaded.
    /// An error that `rows` yields is returned as it is. All others are as in [`write`](Self::write), but for the rows
    /// that may be there.
    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        load_by_batches(self, namespace, rows).await
    }

    /// Makes every write that has returned durable.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    async fn sync(&self) -> Result<()>;

    /// Closes the database and opens it again, after an error of class
    /// [`NeedsReopen`](crate::ErrorClass::NeedsReopen). Other calls wait meanwhile, or fail as transient. A datastore
    /// that needs no reopening returns at once, so two tasks that met the same error may both call it. It never makes
    /// a new database where the old one has vanished.
    ///
    /// What was [`Buffered`](Durability::Buffered) may be gone, as after a crash.
    ///
    /// # Errors
    /// Of any class, [`Error::InUse`](crate::Error::InUse) among them, for the database is free for a moment. The
    /// datastore stays unusable then, all calls fail with [`NeedsReopen`](crate::ErrorClass::NeedsReopen), and `reopen`
    /// can be called again.
    async fn reopen(&self) -> Result<()>;

    /// Makes everything durable and frees the database: when the call returns, another process can open it. Calls under
    /// way are done first, or fail as later ones and streams at their next page do: with
    /// [`Error::Closed`](crate::Error::Closed). A second `close` returns `Ok`.
    ///
    /// A datastore that is dropped without being closed is as after a crash, and frees its database a moment later.
    ///
    /// # Errors
    /// When writes that had returned could not be made durable. The database is closed all the same.
    async fn close(&self) -> Result<()>;
}

/// What [`Datastore::rows`] gives where a backend has nothing better than a scan.
async fn rows_of_scan(mut scan: RowStream, after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
    let mut rows = RowPage::new();
    while let Some(page) = scan.next().await.transpose()? {
        for (key, value) in page.iter().filter(|(key, _)| after.is_none_or(|after| after < *key)) {
            if rows.has(limit) {
                return Ok(rows);
            }
            rows.push(key, value);
        }
        if rows.has(limit) {
            break;
        }
    }
    Ok(rows)
}

/// Conveniences for every [`Datastore`].
#[async_trait]
pub trait DatastoreExt: Datastore {
    /// Writes one row, durably.
    ///
    /// # Errors
    /// As [`Datastore::write`].
    async fn put(&self, namespace: Namespace, key: &[u8], value: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.put(namespace, key, value);
        self.write(batch, Durability::Synced).await
    }

    /// Deletes one row, durably. Deleting an absent row is no error.
    ///
    /// # Errors
    /// As [`Datastore::write`].
    async fn delete(&self, namespace: Namespace, key: &[u8]) -> Result<()> {
        let mut batch = Batch::new();
        batch.delete(namespace, key);
        self.write(batch, Durability::Synced).await
    }
}

impl<D: Datastore + ?Sized> DatastoreExt for D {}
