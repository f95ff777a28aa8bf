//! A disk that is full under the whole store, records and indices, and has room again later.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::Duration;

use dagstore::mount::{BytesMount, Mount};
use dagstore::{Backend, Dagstore, Error, ErrorKind, ShardState};
use dagstore_testkit::cars::{self, TestCar};
use dagstore_testkit::full_disk::small_disk;
use futures_util::future::join_all;

/// The disk and what stands on it to be removed, in MiB.
const DISK: u32 = 96;
const BALLAST: usize = 64;

/// Longer than a piece of a bulk load takes, which records of the same database wait for: a write that is only slow doesn't
/// tell of the disk.
const PERSIST_DEADLINE: Duration = Duration::from_secs(3);

/// How many ask at once.
const AT_ONCE: usize = 8;

/// How many refusals of records are waited for.
const REFUSALS: usize = 3 * AT_ONCE;

/// How many refusals may be for a write that was slow, as on a busy machine, and not for the disk.
const SLOW: usize = 2 * AT_ONCE;

/// What became of the shards that were registered.
#[derive(Debug, Default)]
struct Outcomes {
    available: Vec<String>,
    /// Errored, because its index found no room.
    errored: Vec<String>,
    /// Refused, because its record found no room. It may be there all the same.
    refused: Vec<String>,
    /// As many of those were refused before the datastore said why.
    slow: usize,
}

impl Outcomes {
    /// Notes what became of a shard. Nearly every refusal must be one that tells why.
    fn note(&mut self, key: &str, registered: Result<(), Error>) {
        let list = match registered {
            Ok(()) => &mut self.available,
            Err(Error::Failed { source, .. }) if source.kind() == ErrorKind::Storage => &mut self.errored,
            Err(Error::NotDurable { source, .. }) => {
                let tells = source.as_ref().is_some_and(|source| source.to_string().contains("make room"));
                self.slow += usize::from(!tells);
                assert!(self.slow <= SLOW, "it isn't told what is wrong: {source:?}");
                &mut self.refused
            }
            Err(other) => panic!("{key}: {other:?}"),
        };
        list.push(key.to_owned());
    }

    /// Whether the datastore has said often enough that it has no room for records.
    fn says_full(&self) -> bool {
        self.refused.len() - self.slow >= REFUSALS
    }
}

async fn open(disk: &Path, backend: Backend) -> Dagstore {
    let builder = Dagstore::builder().directory(disk.join("store")).backend(backend);
    builder.configure(|options| options.persist_deadline = PERSIST_DEADLINE).open().await.unwrap()
}

/// What the shards are of.
struct Sources {
    /// A CAR that fits into a URL, so that its record takes room.
    small: (TestCar, String),
    /// A CAR elsewhere, whose index takes much more room than its record.
    large: (TestCar, String),
}

impl Sources {
    fn new(elsewhere: &Path) -> Self {
        let small = cars::numbered(10, 200);
        let location = BytesMount::new(small.bytes.clone()).unwrap().location();
        let large = cars::numbered(20_000, 16);
        let path = elsewhere.join("large.car");
        std::fs::write(&path, &large.bytes).unwrap();
        Self { small: (small, format!("bytes:{location}")), large: (large, format!("file://{}", path.display())) }
    }

    /// The source of a shard.
    fn of(&self, key: &str) -> &(TestCar, String) {
        if key.starts_with("large") { &self.large } else { &self.small }
    }
}

async fn read(store: &Dagstore, keys: &[String], sources: &Sources) {
    for key in keys {
        let shard = store.acquire(key).await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        let (cid, data) = sources.of(key).0.blocks.last().unwrap();
        assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data, "{key}");
    }
}

/// Registers shards until it is enough.
async fn fill(
    store: &Dagstore,
    prefix: &str,
    sources: &Sources,
    outcomes: &mut Outcomes,
    is_enough: impl Fn(&Outcomes) -> bool,
) {
    for round in 0.. {
        assert!(round < 5_000, "the disk is never full");
        let keys: Vec<_> = (0..AT_ONCE).map(|number| format!("{prefix} {round}-{number}")).collect();
        let registering = keys.iter().map(|key| async { store.register(key, &sources.of(key).1).await });
        for (key, registered) in keys.iter().zip(join_all(registering).await) {
            outcomes.note(key, registered);
        }
        if is_enough(outcomes) {
            return;
        }
    }
}

/// While the disk is full the store says so, and what is Available is served.
async fn check_while_full(store: &Dagstore, sources: &Sources, outcomes: &mut Outcomes) {
    // A look now and then finds that an empty write passes, so only what was said behind a refusal tells.
    let mut degraded = None;
    for number in 0..20 {
        let key = format!("too much {number}");
        let registered = store.register(&key, &sources.of(&key).1).await;
        degraded = store.degraded();
        outcomes.note(&key, registered);
        if degraded.is_some() {
            break;
        }
    }
    let degraded = degraded.expect("the store says that its disk is full");
    assert!(degraded.to_string().contains("make room"), "{degraded}");
    read(store, &outcomes.available, sources).await;
}

/// The disk has room: the same process goes on, and whatever was refused can be done.
async fn go_on(store: &Dagstore, sources: &Sources, outcomes: &mut Outcomes) {
    let writable = async {
        while matches!(store.register("again", &sources.small.1).await, Err(Error::NotDurable { .. })) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), writable).await.expect("the store can be written again");
    assert!(store.degraded().is_none(), "{:?}", store.degraded());
    outcomes.available.push("again".to_owned());
    for key in std::mem::take(&mut outcomes.errored) {
        store.recover(&key).await.unwrap_or_else(|error| panic!("{key}: {error:?}"));
        outcomes.available.push(key);
    }
    for key in std::mem::take(&mut outcomes.refused) {
        match store.register(&key, &sources.of(&key).1).await {
            Ok(()) => outcomes.available.push(key),
            // What was refused may have happened; it isn't Available by itself where its work failed for want of room.
            Err(Error::Exists(_)) => {
                if let Err(error) = store.recover(&key).await {
                    assert!(matches!(error, Error::NotErrored(_)), "{key}: {error:?}");
                }
                outcomes.available.push(key);
            }
            Err(other) => panic!("{key}: {other:?}"),
        }
    }
    read(store, &outcomes.available, sources).await;
}

async fn fill_up_and_go_on(disk: &Path, backend: Backend) {
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST << 20]).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let sources = Sources::new(elsewhere.path());
    let store = open(disk, backend).await;
    let mut outcomes = Outcomes::default();
    fill(&store, "first", &sources, &mut outcomes, |outcomes| outcomes.available.len() >= 100).await;
    // Where the database is full before an index finds no room, none will.
    let is_full = |outcomes: &Outcomes| !outcomes.errored.is_empty() || outcomes.says_full();
    fill(&store, "large", &sources, &mut outcomes, is_full).await;
    // Records have a file of their own there, which is never the first to be full.
    assert!(backend.name() != "redb" || !outcomes.errored.is_empty());
    fill(&store, "last", &sources, &mut outcomes, Outcomes::says_full).await;
    check_while_full(&store, &sources, &mut outcomes).await;
    std::fs::remove_file(&ballast).unwrap();
    go_on(&store, &sources, &mut outcomes).await;
    store.close().await.unwrap();
    drop(store);

    let store = open(disk, backend).await;
    store.resumed().await.unwrap();
    assert_eq!((store.shards().len(), store.quarantined()), (outcomes.available.len(), vec![]));
    assert!(store.shards().iter().all(|shard| shard.state == ShardState::Available));
    read(&store, &outcomes.available, &sources).await;
    assert_eq!(store.gc().await.unwrap().kept, []);
    store.close().await.unwrap();
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_store_on_redb_outlives_a_full_disk() {
    let Some(disk) = small_disk("a_store_on_redb_outlives_a_full_disk", DISK) else { return };
    fill_up_and_go_on(&disk, Backend::Redb).await;
}

#[cfg(feature = "rocksdb")]
#[tokio::test]
async fn a_store_on_rocksdb_outlives_a_full_disk() {
    let Some(disk) = small_disk("a_store_on_rocksdb_outlives_a_full_disk", DISK) else { return };
    fill_up_and_go_on(&disk, Backend::Rocksdb).await;
}
