//! Disks that fail: at every call once, and by losing power at every call.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use dagstore_datastore::embedded::Opening;
use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, ErrorClass, Namespace};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use redb::StorageBackend;

use super::*;

const ROWS: Namespace = Namespace::new("rows");
const OTHER: Namespace = Namespace::new("other");

/// A disk in memory, which fails when it is told to. Clones are the same disk.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What is read.
    bytes: Vec<u8>,
    /// What a power cut leaves.
    synced: Vec<u8>,
    /// Writes since the last sync, any of which may have reached the disk.
    unsynced: Vec<(usize, Vec<u8>)>,
    calls_until_failure: Option<usize>,
    /// Whether it fails at every call from the first failure on.
    stays_broken: bool,
}

impl Disk {
    fn fail_after(&self, calls: usize, stays_broken: bool) {
        let mut state = self.0.lock();
        (state.calls_until_failure, state.stays_broken) = (Some(calls), stays_broken);
    }

    /// Ends the failures, and says whether there were any.
    fn mend(&self) -> bool {
        self.0.lock().calls_until_failure.take().is_none_or(|calls| calls == 0)
    }

    /// Loses what wasn't synced, but for the writes that `reached` names by their number.
    fn cut_power(&self, reached: fn(usize) -> bool) {
        let mut state = self.0.lock();
        let unsynced = std::mem::take(&mut state.unsynced);
        for (_, (offset, data)) in unsynced.into_iter().enumerate().filter(|(number, _)| reached(*number)) {
            store_at(&mut state.synced, offset, &data);
        }
        state.bytes = state.synced.clone();
    }

    fn call(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.0.lock();
        match state.calls_until_failure {
            None => Ok(state),
            Some(0) => {
                if !state.stays_broken {
                    state.calls_until_failure = None;
                }
                Err(io::ErrorKind::StorageFull.into())
            }
            Some(calls) => {
                state.calls_until_failure = Some(calls - 1);
                Ok(state)
            }
        }
    }

    async fn open(&self) -> Result<RedbDatastore> {
        let disk = self.clone();
        let open = move |_: Opening| {
            let mut builder = redb::Builder::new();
            // So little that rows are read from the disk again.
            builder.set_cache_size(64 * 1024);
            builder.create_with_backend(disk.clone()).map_err(|error| failed("open", error))
        };
        RedbDatastore::open_with("the disk".to_owned(), open).await
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.call()?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.call()?;
        let start = usize::try_from(offset).unwrap();
        let bytes = state.bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.call()?;
        state.bytes.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.call()?;
        let (length, unsynced) = (state.bytes.len(), std::mem::take(&mut state.unsynced));
        for (offset, data) in unsynced {
            store_at(&mut state.synced, offset, &data);
        }
        state.synced.resize(length, 0);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.call()?;
        let start = usize::try_from(offset).unwrap();
        store_at(&mut state.bytes, start, data);
        state.unsynced.push((start, data.to_vec()));
        Ok(())
    }
}

fn store_at(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    bytes.resize(bytes.len().max(offset + data.len()), 0);
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Batches that grow the file, rewrite rows and delete some.
fn batches() -> Vec<(Batch, Durability)> {
    let batch = |number: u8| {
        let mut batch = Batch::new();
        for at in 0..6_u8 {
            batch.put(ROWS, &[at, number % 3], &vec![number; usize::from(at) * 600]);
            batch.put(OTHER, &[at, number], &[number]);
        }
        batch.delete(ROWS, &[number, (number + 1) % 3]);
        let durability = if number % 3 == 1 { Durability::Buffered } else { Durability::Synced };
        (batch, durability)
    };
    (0..5).map(batch).collect()
}

fn apply(model: &mut Model, batch: &Batch) {
    for write in batch.iter() {
        let key = [write.namespace.name().as_bytes(), write.key].concat();
        match write.value {
            Some(value) => model.insert(key, value.to_vec()),
            None => model.remove(&key),
        };
    }
}

async fn read_all(store: &RedbDatastore) -> Result<Model> {
    let mut rows = Model::new();
    for namespace in [ROWS, OTHER] {
        let pages: Vec<RowPage> = store.scan(namespace, b"").try_collect().await?;
        for (key, value) in pages.iter().flat_map(RowPage::iter) {
            rows.insert([namespace.name().as_bytes(), key].concat(), value.to_vec());
        }
    }
    Ok(rows)
}

/// Fails the first, second, third call and so on, until the work is done before the failure comes.
#[tokio::test]
async fn after_an_io_error_reopening_and_writing_again_loses_nothing() {
    for calls in 0.. {
        let disk = Disk::default();
        let store = disk.open().await.unwrap();
        store.put(ROWS, b"before", b"").await.unwrap();
        disk.fail_after(calls, false);
        let mut model = Model::from([(b"rowsbefore".to_vec(), Vec::new())]);
        // A buffered batch may be taken back by reopening, so all since the last synced one are written again.
        let mut since_synced: Vec<Batch> = Vec::new();
        for (batch, durability) in batches() {
            since_synced.push(batch.clone());
            if let Err(error) = store.write(batch, durability).await {
                assert_eq!(error.class(), ErrorClass::NeedsReopen, "call {calls}: {error}");
                assert!(error.to_string().contains("the disk"), "{error}");
                let refused = store.put(ROWS, b"refused", b"").await.unwrap_err();
                assert_eq!(refused.class(), ErrorClass::NeedsReopen);
                store.reopen().await.unwrap();
                for batch in &since_synced {
                    store.write(batch.clone(), Durability::Buffered).await.unwrap();
                }
                store.sync().await.unwrap();
            } else if durability == Durability::Buffered {
                continue;
            }
            since_synced.drain(..).for_each(|batch| apply(&mut model, &batch));
        }
        since_synced.drain(..).for_each(|batch| apply(&mut model, &batch));
        let is_through = !disk.mend();
        assert_eq!(read_all(&store).await.unwrap(), model, "call {calls}");
        store.close().await.unwrap();
        assert_eq!(read_all(&disk.open().await.unwrap()).await.unwrap(), model, "call {calls}, opened again");
        if is_through {
            assert!(calls > 30, "the work makes {calls} calls only: the test has lost its point");
            return;
        }
    }
}

/// The disk stays broken for a while: reopening fails too, and works later.
#[tokio::test]
async fn a_disk_that_stays_broken_can_be_reopened_once_it_is_mended() {
    let disk = Disk::default();
    let store = disk.open().await.unwrap();
    store.put(ROWS, b"before", b"value").await.unwrap();
    disk.fail_after(2, true);
    assert!(store.put(ROWS, b"lost", b"").await.is_err());
    for _ in 0..3 {
        let error = store.reopen().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NeedsReopen);
        assert!(error.to_string().contains("make room"), "{error}");
        assert_eq!(store.get(ROWS, b"before").await.unwrap_err().class(), ErrorClass::NeedsReopen);
    }
    assert!(disk.mend());
    store.reopen().await.unwrap();
    assert_eq!(store.get(ROWS, b"before").await.unwrap().as_deref(), Some(&b"value"[..]));
    store.put(ROWS, b"after", b"").await.unwrap();
}

/// Cuts the power at every call. What a synced write had acknowledged is there, and what came later is there as whole
/// batches, none without those before it.
#[tokio::test]
async fn a_power_cut_takes_back_nothing_that_was_synced_and_no_batch_in_part() {
    // Which of the writes that weren't synced have reached the disk all the same.
    let reached: [fn(usize) -> bool; 4] = [|_| false, |_| true, |number| number % 2 == 0, |number| number % 2 == 1];
    for (way, reached) in reached.into_iter().enumerate() {
        for calls in 0.. {
            let disk = Disk::default();
            let store = disk.open().await.unwrap();
            disk.fail_after(calls, true);
            let (mut states, mut synced, mut is_through) = (vec![Model::new()], 0, true);
            for (batch, durability) in batches() {
                let mut state = states[states.len() - 1].clone();
                apply(&mut state, &batch);
                states.push(state);
                if store.write(batch, durability).await.is_err() {
                    is_through = false;
                    break;
                }
                if durability == Durability::Synced {
                    synced = states.len() - 1;
                }
            }
            // The power goes before the handle can write any more.
            disk.fail_after(0, true);
            let _ = store.close().await;
            disk.mend();
            disk.cut_power(reached);
            let found = read_all(&disk.open().await.unwrap()).await.unwrap();
            assert!(states[synced..].contains(&found), "cut at call {calls} in way {way}: batch {synced} was synced");
            if is_through {
                break;
            }
        }
    }
}
