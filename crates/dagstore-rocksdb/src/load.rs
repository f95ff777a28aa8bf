//! Bulk loads: sorted rows become a file beside the database's own, and the database takes that over as it is.
//!
//! The file is written on a thread that belongs to the load, so that neither writes nor other loads wait for it, and the
//! database knows nothing of it until it is complete and synced. A load that is cut short leaves at most this file, which
//! is removed when the load's thread ends, or after a crash when the database is next opened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dagstore_datastore::embedded::Embedded;
use dagstore_datastore::thread::Worker;
use dagstore_datastore::{Batch, Durability, Error, ErrorClass, LoadCheck, Namespace, Result, RowPage, RowStream};
use futures_util::StreamExt;
use futures_util::future::join;
use metrics::histogram;
use rocksdb::SstFileWriter;
use tokio::sync::mpsc;

use crate::error::{BACKEND, not_loaded, out_of_reach};
use crate::families::{Families, MAX_FRESH_FILES, family_name};
use crate::store::{Compaction, RocksdbEngine};

/// Histogram of the seconds that a file of a bulk load waited because compaction was behind, by `namespace`. A file that
/// didn't wait isn't counted.
pub const LOAD_WAIT_SECONDS: &str = "dagstore_rocksdb_load_wait_seconds";

const OPERATION: &str = "bulk load";

/// Up to so many bytes of rows are written as one batch: a file costs several syncs, a batch costs one.
const SMALL_BYTES: usize = 256 * 1024;

/// Rows of so many bytes go into one file. It bounds the memory of its filter while it is made, and what is lost by
/// dropping a load.
const FILE_BYTES: usize = 32 * 1024 * 1024;

/// Pages on their way to the thread that writes them.
const PAGES_AHEAD: usize = 2;

/// How long a load waits before it looks again whether compaction has caught up.
const PAUSE: Duration = Duration::from_millis(10);

/// How long compaction may be due without being at work, before a load no longer waits for it.
const STANDSTILL: Duration = Duration::from_secs(10);

/// What loads need beside the database.
pub(crate) struct Loads {
    pub(crate) directory: PathBuf,
    pub(crate) families: Arc<Families>,
}

impl Loads {
    pub(crate) async fn load(
        &self,
        embedded: &Embedded<RocksdbEngine>,
        namespace: Namespace,
        rows: RowStream,
    ) -> Result<()> {
        let mut source = Source { rows, check: LoadCheck::new(BACKEND), waiting: Vec::new() };
        if let Some(batch) = source.take_small(namespace).await? {
            return embedded.write(batch, Durability::Synced).await;
        }
        let worker = Worker::spawn("dagstore-load", 1)
            .map_err(|error| Error::failed(BACKEND, OPERATION, ErrorClass::Transient, error))?;
        loop {
            let (pages, received) = mpsc::channel(PAGES_AHEAD);
            let (families, file) = (Arc::clone(&self.families), NewFile::in_directory(&self.directory));
            let building = worker.run(move || build(&families, namespace, file, received));
            let (built, is_last) = join(building, source.feed(pages)).await;
            // A source that failed has made the file be given up, so its error comes first.
            let is_last = is_last?;
            let built = built.map_err(|error| Error::failed(BACKEND, OPERATION, ErrorClass::Transient, error))?;
            let Some(file) = built? else {
                return Err(Error::failed(BACKEND, OPERATION, ErrorClass::Transient, "the file was given up"));
            };
            wait_for_compaction(embedded, namespace, &worker).await?;
            embedded.change(OPERATION, move |engine| engine.ingest(namespace, &file.0)).await?;
            if is_last {
                return Ok(());
            }
        }
    }
}

/// Waits as long as a namespace has too many fresh files and compaction gets on with them, on the load's own thread and without a
/// lock: nobody else waits, and whoever drops the load ends it. Where compaction doesn't begin, going on tells why.
async fn wait_for_compaction(embedded: &Embedded<RocksdbEngine>, namespace: Namespace, worker: &Worker) -> Result<()> {
    let begin = Instant::now();
    let mut waits = false;
    let mut at_work = begin;
    loop {
        match embedded.read(OPERATION, |engine| engine.compaction(namespace, MAX_FRESH_FILES))? {
            Compaction::Idle => break,
            Compaction::AtWork => at_work = Instant::now(),
            Compaction::Pending if at_work.elapsed() < STANDSTILL => {}
            Compaction::Pending => break,
        }
        if !waits {
            waits = true;
            tracing::debug!(namespace = namespace.name(), "a load waits until compaction has caught up");
        }
        let pause = worker.run(|| thread::sleep(PAUSE)).await;
        pause.map_err(|error| Error::failed(BACKEND, OPERATION, ErrorClass::Transient, error))?;
    }
    if waits {
        let waited = begin.elapsed();
        histogram!(LOAD_WAIT_SECONDS, "namespace" => namespace.name()).record(waited);
        tracing::debug!(namespace = namespace.name(), ?waited, "compaction has caught up");
    }
    Ok(())
}

/// The rows of a load.
struct Source {
    rows: RowStream,
    check: LoadCheck,
    /// Pages that were taken out already, last one first.
    waiting: Vec<RowPage>,
}

impl Source {
    /// All rows as a batch, where they are few.
    async fn take_small(&mut self, namespace: Namespace) -> Result<Option<Batch>> {
        let (mut batch, mut pages) = (Batch::new(), Vec::new());
        while let Some(page) = self.next().await? {
            for (key, value) in page.iter() {
                batch.put(namespace, key, value);
            }
            pages.push(page);
            if batch.byte_len() > SMALL_BYTES {
                pages.reverse();
                self.waiting = pages;
                return Ok(None);
            }
        }
        Ok(Some(batch))
    }

    /// Sends the rows of one file. Returns whether they are the last ones.
    async fn feed(&mut self, pages: mpsc::Sender<Part>) -> Result<bool> {
        let (mut bytes, mut is_last) = (0, false);
        while bytes < FILE_BYTES && !is_last {
            match self.next().await? {
                Some(page) => {
                    bytes += page.byte_len();
                    if pages.send(Part::Rows(page)).await.is_err() {
                        // The thread has an error to tell.
                        break;
                    }
                }
                None => is_last = true,
            }
        }
        let _ = pages.send(Part::End).await;
        Ok(is_last)
    }

    async fn next(&mut self) -> Result<Option<RowPage>> {
        if let Some(page) = self.waiting.pop() {
            return Ok(Some(page));
        }
        let Some(page) = self.rows.next().await.transpose()? else { return Ok(None) };
        self.check.check(&page)?;
        Ok(Some(page))
    }
}

enum Part {
    Rows(RowPage),
    /// The file is complete. Without it, the load was given up.
    End,
}

/// Writes a file, or returns `None` where the load was given up.
fn build(
    families: &Families,
    namespace: Namespace,
    file: NewFile,
    mut parts: mpsc::Receiver<Part>,
) -> Result<Option<NewFile>> {
    let mut writer = SstFileWriter::create(families.options(family_name(namespace)));
    writer.open(&file.0).map_err(not_loaded)?;
    loop {
        match parts.blocking_recv() {
            Some(Part::Rows(page)) => {
                page.iter().try_for_each(|(key, value)| writer.put(key, value)).map_err(not_loaded)?;
            }
            Some(Part::End) => break,
            None => return Ok(None),
        }
    }
    // Syncs the file, too.
    writer.finish().map_err(not_loaded)?;
    Ok(Some(file))
}

/// A file that the database doesn't know yet. It is removed when this is dropped; where the database has taken it over,
/// there is nothing left to remove.
struct NewFile(PathBuf);

impl NewFile {
    fn in_directory(directory: &Path) -> Self {
        // One count for the process: a store may be opened while a load of one that was dropped is just ending.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(directory.join(format!("{PREFIX}{}{SUFFIX}", NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // What can't be removed now is removed when the database is next opened.
        let _ = fs::remove_file(&self.0);
    }
}

const PREFIX: &str = "bulk-";
const SUFFIX: &str = ".new";

/// Whether a load has made the file of that name.
pub(crate) fn is_new_file(name: &str) -> bool {
    let number = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Removes what loads of earlier processes have left. Only for whoever has locked the database.
pub(crate) fn remove_new_files(directory: &Path) -> Result<()> {
    let remove = || -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_new_file) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(|error| out_of_reach("open", error))
}

#[cfg(test)]
mod tests {
    use dagstore_datastore::{Datastore, DatastoreExt, stream_of_rows};
    use tokio::time::timeout;

    use super::*;
    use crate::RocksdbDatastore;

    const ROWS: Namespace = Namespace::new("rows");

    /// What a load takes many times over that doesn't wait. However long one that waits is watched, it isn't done.
    const A_WHILE: Duration = Duration::from_millis(500);

    /// A load of one file, of keys that lie between those of the other loads.
    fn rows(load: u32) -> RowStream {
        stream_of_rows((0..20_000_u32).map(move |at| ([at.to_be_bytes(), [0; 4], load.to_be_bytes()].concat(), [0; 9])))
    }

    fn compacts(store: &RocksdbDatastore, compacts: bool) {
        let set = |engine: &RocksdbEngine| {
            let (database, value) = (engine.opened.database(), if compacts { "false" } else { "true" });
            let family = database.cf_handle(ROWS.name()).unwrap();
            database.set_options_cf(&family, &[("disable_auto_compactions", value)]).map_err(not_loaded)
        };
        store.embedded.read("test", set).unwrap();
    }

    #[tokio::test]
    async fn a_load_waits_for_compaction_and_nobody_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows");
        let store = Arc::new(RocksdbDatastore::builder().bulk_namespace(ROWS, 4).open(&path).await.unwrap());
        store.put(ROWS, b"first", b"").await.unwrap();
        compacts(&store, false);
        let most = u32::try_from(MAX_FRESH_FILES).unwrap();
        for load in 0..most {
            store.bulk_load(ROWS, rows(load)).await.unwrap();
        }
        // One that is dropped while it waits leaves neither its rows nor its file.
        assert!(timeout(A_WHILE, store.bulk_load(ROWS, rows(most + 1))).await.is_err(), "a load doesn't wait");
        let waiting = Arc::clone(&store);
        let waiting = tokio::spawn(async move { waiting.bulk_load(ROWS, rows(most)).await });
        for at in 0..100_u8 {
            store.put(ROWS, &[b"beside", &[at][..]].concat(), b"").await.unwrap();
        }
        store.sync().await.unwrap();
        assert!(!waiting.is_finished());
        compacts(&store, true);
        waiting.await.unwrap().unwrap();
        let rows = store.rows(ROWS, &[0; 8], None, 100).await.unwrap();
        let loads: Vec<_> = rows.iter().map(|(key, _)| u32::from_be_bytes(key[8..].try_into().unwrap())).collect();
        assert_eq!(loads, (0..=most).collect::<Vec<_>>());
        while path.read_dir().unwrap().any(|entry| is_new_file(entry.unwrap().file_name().to_str().unwrap())) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_load_goes_on_where_compaction_does_not_begin() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows");
        let store = Arc::new(RocksdbDatastore::builder().bulk_namespace(ROWS, 4).open(&path).await.unwrap());
        store.put(ROWS, b"first", b"").await.unwrap();
        compacts(&store, false);
        for load in 0..=u32::try_from(MAX_FRESH_FILES).unwrap() {
            timeout(Duration::from_mins(2), store.bulk_load(ROWS, rows(load)))
                .await
                .expect("it waits for ever")
                .unwrap();
        }
    }
}
