//! Look-ups of a few rows by a prefix, by iterators that are kept for the next look-up.
//!
//! Making an iterator takes several times as long as looking a prefix up with it. One that is kept holds on to the files and
//! tables in memory of its last use: each use begins with bringing it up to date, which is cheap as long as there are no new
//! ones, and those that nobody used for a while are [swept](Sweeper) away. They are dropped before the database is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use dagstore_datastore::embedded::Embedded;
use dagstore_datastore::{Result, RowPage};
use parking_lot::Mutex;
use rocksdb::{BoundColumnFamily, DB, DBRawIterator, PrefixRange, ReadOptions};
use self_cell::self_cell;

use crate::error::failed;
use crate::store::RocksdbEngine;

const OPERATION: &str = "rows";

/// As many iterators are kept as can be in use at the same time on a large machine.
const MOST_KEPT: usize = 32;

self_cell!(
    /// A database, and iterators over it.
    pub(crate) struct Opened {
        owner: DB,
        #[not_covariant]
        dependent: Kept,
    }
);

/// Iterators that nobody uses just now.
struct Kept<'database>(Mutex<Vec<KeptIterator<'database>>>);

struct KeptIterator<'database> {
    family: &'static str,
    rows: DBRawIterator<'database>,
    /// Whether somebody has used it since they were last swept.
    was_used: bool,
}

/// Which rows are looked up.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) prefix: &'a [u8],
    /// Starts with the prefix.
    pub(crate) after: Option<&'a [u8]>,
    pub(crate) limit: usize,
}

impl Opened {
    pub(crate) fn of(database: DB) -> Self {
        Self::new(database, |_| Kept(Mutex::default()))
    }

    pub(crate) fn database(&self) -> &DB {
        self.borrow_owner()
    }

    /// Looks rows up in a family whose filters know prefixes that aren't longer than the one that is wanted.
    pub(crate) fn rows_of_filtered(&self, family: &'static str, wanted: Wanted<'_>) -> Result<RowPage> {
        self.with_dependent(|database, kept| {
            let mut rows = match kept.take(family) {
                Some(mut rows) => {
                    rows.refresh().map_err(|error| failed(OPERATION, error))?;
                    rows
                }
                None => match database.cf_handle(family) {
                    Some(handle) => database.raw_iterator_cf_opt(&handle, to_be_kept()),
                    None => return Ok(RowPage::new()),
                },
            };
            let page = read(&mut rows, wanted)?;
            kept.put(family, rows);
            Ok(page)
        })
    }

    /// Looks rows up in any family.
    pub(crate) fn rows(&self, family: &Arc<BoundColumnFamily<'_>>, wanted: Wanted<'_>) -> Result<RowPage> {
        let mut options = ReadOptions::default();
        options.set_iterate_range(PrefixRange(wanted.prefix));
        options.set_total_order_seek(true);
        read(&mut self.database().raw_iterator_cf_opt(family, options), wanted)
    }

    /// Drops the iterators that nobody has used since the last sweep. Returns how many are left.
    fn sweep(&self) -> usize {
        self.with_dependent(|_, kept| {
            let mut kept = kept.0.lock();
            let unused: Vec<_> = kept.extract_if(.., |iterator| !std::mem::take(&mut iterator.was_used)).collect();
            let left = kept.len();
            // Dropping an iterator may take a while, and look-ups go on meanwhile.
            drop(kept);
            if !unused.is_empty() {
                tracing::trace!(unused = unused.len(), left, "iterators swept");
            }
            left
        })
    }

    /// How many iterators are kept.
    pub(crate) fn kept(&self) -> usize {
        self.with_dependent(|_, kept| kept.0.lock().len())
    }
}

impl<'database> Kept<'database> {
    /// The one that was used last, so that those that aren't needed go unused.
    fn take(&self, family: &str) -> Option<DBRawIterator<'database>> {
        let mut kept = self.0.lock();
        let at = kept.iter().rposition(|iterator| iterator.family == family)?;
        Some(kept.remove(at).rows)
    }

    fn put(&self, family: &'static str, rows: DBRawIterator<'database>) {
        let mut kept = self.0.lock();
        if kept.len() < MOST_KEPT {
            kept.push(KeptIterator { family, rows, was_used: true });
        }
    }
}

/// The options of an iterator that goes from prefix to prefix.
fn to_be_kept() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_prefix_same_as_start(true);
    // Letting go of files that are no longer needed mustn't make a look-up wait until they are removed.
    options.set_background_purge_on_iterator_cleanup(true);
    options
}

fn read(rows: &mut DBRawIterator<'_>, wanted: Wanted<'_>) -> Result<RowPage> {
    let mut page = RowPage::new();
    match wanted.after {
        None => rows.seek(wanted.prefix),
        // The key that comes next after another one is that one and a zero byte.
        Some(after) => rows.seek([after, &[0]].concat()),
    }
    while let Some((key, value)) = rows.item().filter(|(key, _)| key.starts_with(wanted.prefix)) {
        page.push(key, value);
        if page.len() >= wanted.limit || page.is_full() {
            return Ok(page);
        }
        rows.next();
    }
    rows.status().map_err(|error| failed(OPERATION, error))?;
    Ok(page)
}

/// Drops iterators that nobody uses any more, on a thread that lives as long as there are any.
#[derive(Debug)]
pub(crate) struct Sweeper {
    /// How long an iterator may be kept without being used, at least; at most twice as long.
    unused: Duration,
    is_at_work: Arc<AtomicBool>,
}

impl Sweeper {
    pub(crate) fn new(unused: Duration) -> Self {
        Self { unused, is_at_work: Arc::default() }
    }

    /// Sees to it that iterators that are kept will be swept.
    pub(crate) fn wake(&self, embedded: &Arc<Embedded<RocksdbEngine>>) {
        if self.is_at_work.load(Ordering::SeqCst) || self.is_at_work.swap(true, Ordering::SeqCst) {
            return;
        }
        let (weak, unused, is_at_work) = (Arc::downgrade(embedded), self.unused, Arc::clone(&self.is_at_work));
        let thread = thread::Builder::new().name("dagstore-sweep".to_owned());
        if thread.spawn(move || sweep_until_none_is_left(&weak, unused, &is_at_work)).is_err() {
            // Without a thread nothing can be kept for later.
            self.is_at_work.store(false, Ordering::SeqCst);
            let _swept = embedded.read("sweep", |engine| Ok((engine.opened.sweep(), engine.opened.sweep())));
        }
    }
}

fn sweep_until_none_is_left(embedded: &Weak<Embedded<RocksdbEngine>>, unused: Duration, is_at_work: &AtomicBool) {
    loop {
        thread::sleep(unused);
        let Some(embedded) = embedded.upgrade() else { return };
        // A database that can't be read keeps no iterators either.
        if embedded.read("sweep", |engine| Ok(engine.opened.sweep())).is_ok_and(|left| left > 0) {
            continue;
        }
        is_at_work.store(false, Ordering::SeqCst);
        // Somebody may have left one just before.
        let is_needed = embedded.read("sweep", |engine| Ok(engine.opened.kept())).is_ok_and(|left| left > 0);
        if !is_needed || is_at_work.swap(true, Ordering::SeqCst) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dagstore_datastore::{Datastore, DatastoreExt, Namespace};

    use super::*;
    use crate::RocksdbDatastore;

    const ROWS: Namespace = Namespace::new("rows");
    const NEVER: Duration = Duration::from_hours(1);

    async fn open(path: &Path, unused: Duration) -> RocksdbDatastore {
        let mut store = RocksdbDatastore::builder().bulk_namespace(ROWS, 2).open(path).await.unwrap();
        store.sweeper = Sweeper::new(unused);
        store
    }

    fn kept(store: &RocksdbDatastore) -> usize {
        store.embedded.read("test", |engine| Ok(engine.opened.kept())).unwrap()
    }

    async fn is_there(store: &RocksdbDatastore, prefix: &[u8]) -> bool {
        !store.rows(ROWS, prefix, None, 1).await.unwrap().is_empty()
    }

    #[tokio::test]
    async fn an_iterator_is_kept_for_the_next_look_up() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory.path().join("rows"), NEVER).await;
        assert!(!is_there(&store, b"ab").await && kept(&store) == 0, "there is no family yet");
        store.put(ROWS, b"abc", b"").await.unwrap();
        for _ in 0..10 {
            assert!(is_there(&store, b"ab").await && !is_there(&store, b"ac").await && is_there(&store, b"abc").await);
            assert!(is_there(&store, b"a").await, "by a prefix that no filter knows");
            assert_eq!(kept(&store), 1);
        }
        let sweep = || store.embedded.read("test", |engine| Ok(engine.opened.sweep())).unwrap();
        assert_eq!(
            (sweep(), sweep()),
            (1, 0),
            "the first sweep takes what was used, or the second leaves what was not"
        );
    }

    #[tokio::test]
    async fn iterators_that_nobody_uses_are_swept_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory.path().join("rows"), Duration::from_millis(1)).await;
        store.put(ROWS, b"abc", b"").await.unwrap();
        for _ in 0..5 {
            assert!(is_there(&store, b"ab").await);
            while kept(&store) > 0 || store.sweeper.is_at_work.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn an_iterator_that_is_kept_keeps_no_database_open_and_no_file_for_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rows");
        let files = || {
            let names = path.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_str().unwrap().ends_with(".sst")).count()
        };
        let store = open(&path, NEVER).await;
        for key in [b"abc", b"abd", b"abe"] {
            store.put(ROWS, key, b"").await.unwrap();
            let flush = |engine: &RocksdbEngine| {
                let family = engine.opened.database().cf_handle(ROWS.name()).unwrap();
                engine.opened.database().flush_cf(&family).map_err(|error| failed("test", error))
            };
            store.embedded.read("test", flush).unwrap();
        }
        assert!(is_there(&store, b"ab").await && kept(&store) == 1);
        let compact = |engine: &RocksdbEngine| {
            let family = engine.opened.database().cf_handle(ROWS.name()).unwrap();
            engine.opened.database().compact_range_cf(&family, None::<&[u8]>, None::<&[u8]>);
            Ok(files())
        };
        let held = store.embedded.read("test", compact).unwrap();
        assert_eq!(held, 4, "the iterator doesn't hold the three files of before, so there is nothing to let go of");
        store.embedded.read("test", |engine| Ok((engine.opened.sweep(), engine.opened.sweep()))).unwrap();
        while files() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(is_there(&store, b"ab").await);
        store.close().await.unwrap();
        let again = open(&path, NEVER).await;
        assert!(is_there(&again, b"ab").await && kept(&again) == 1);
        drop(again);
        assert!(store.rows(ROWS, b"ab", None, 1).await.is_err());
    }
}
