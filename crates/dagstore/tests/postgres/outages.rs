//! Outages, and one who is taken over.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dagstore::mount::BytesMount;
use dagstore::postgres::PostgresDatastore;
use dagstore::{Dagstore, Error, ShardState};
use dagstore_testkit::cars;
use dagstore_testkit::postgres::Server;
use tokio::time::{sleep, timeout};

use crate::{PATIENCE, open};

/// For how many seconds the server stands still; more with this variable of the environment.
const OUTAGE: &str = "DAGSTORE_PG_OUTAGE_SECONDS";

/// Registers shards one after the other, each again until the store says that it is there; returns how many are.
async fn register_on(store: &Dagstore, writer: usize, acknowledged: &AtomicUsize, end: &AtomicUsize) -> usize {
    let mount = BytesMount::new(cars::numbered(3, 50).bytes).unwrap();
    for number in 0.. {
        if end.load(Ordering::Acquire) > 0 {
            return number;
        }
        let key = format!("{writer}-{number}");
        loop {
            match store.register_mount(&key, &mount).await {
                // What was refused for want of a server may have got there all the same.
                Ok(()) | Err(Error::Exists(_)) => break,
                Err(Error::NotDurable { .. } | Error::Datastore(_)) => sleep(Duration::from_millis(50)).await,
                Err(error) => panic!("{key}: {error:?}"),
            }
        }
        acknowledged.fetch_add(1, Ordering::AcqRel);
    }
    unreachable!("there is always a next number")
}

async fn until_more(acknowledged: &AtomicUsize) {
    let before = acknowledged.load(Ordering::Acquire);
    let more = async {
        while acknowledged.load(Ordering::Acquire) < before + 10 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, more).await.expect("the store never registers again");
}

/// A server that stands still, then one that is killed: nobody is told of what isn't there, and it goes on by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_outlives_outages_of_its_server() {
    let Some(mut server) = Server::start("a_store_outlives_outages_of_its_server").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let seconds = std::env::var(OUTAGE).map_or(3, |seconds| seconds.parse().unwrap());
    let store = open(&server.url(), Duration::from_mins(5), folder.path()).await;
    let (acknowledged, end) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, acknowledged, end) = (store.clone(), acknowledged.clone(), end.clone());
            tokio::spawn(async move { register_on(&store, writer, &acknowledged, &end).await })
        })
        .collect();
    until_more(&acknowledged).await;
    server.pause();
    // What was under way may still have been told.
    sleep(Duration::from_millis(300)).await;
    let before = acknowledged.load(Ordering::Acquire);
    sleep(Duration::from_secs(seconds)).await;
    assert_eq!(acknowledged.load(Ordering::Acquire), before, "acknowledged while the server stood still");
    server.go_on();
    until_more(&acknowledged).await;
    // In the middle of whatever commits there are.
    for _ in 0..3 {
        server.stop_at_once();
        sleep(Duration::from_millis(500)).await;
        server.start_again().await;
        until_more(&acknowledged).await;
    }
    end.store(1, Ordering::Release);
    let mut registered = Vec::new();
    for writer in writers {
        registered.push(timeout(PATIENCE, writer).await.expect("a writer hangs").unwrap());
    }
    store.close().await.unwrap();

    let store = open(&server.url(), Duration::from_mins(5), folder.path()).await;
    assert_eq!(store.quarantined(), []);
    for (writer, count) in registered.into_iter().enumerate() {
        for number in 0..count {
            let info = store.info(&format!("{writer}-{number}"));
            let state = info.unwrap_or_else(|error| panic!("it was acknowledged and is gone: {error}")).state;
            assert!(matches!(state, ShardState::Available | ShardState::Serving), "{writer}-{number}: {state:?}");
        }
    }
    store.close().await.unwrap();
}

/// One who was away for longer than its lease finds another in its place: it says so, and changes nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_taken_over_ends_for_good() {
    let Some(server) = Server::start("a_store_that_was_taken_over_ends_for_good").await else { return };
    let [first_folder, second_folder] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let lease = Duration::from_secs(2);
    let mount = BytesMount::new(cars::numbered(3, 50).bytes).unwrap();
    let first = open(&server.url(), lease, first_folder.path()).await;
    first.register_mount("early", &mount).await.unwrap();
    let taken_over = async {
        loop {
            // The server gives the lease up, as it would where the first one's process had stood still. That one may renew it
            // before it is taken.
            let psql = server.query("UPDATE dagstore_lease SET until = clock_timestamp() - interval '1 hour'");
            assert!(psql.status.success(), "{psql:?}");
            let taking = PostgresDatastore::builder().lease(lease).wait(Duration::ZERO).open(&server.url()).await;
            match taking {
                Ok(datastore) => break datastore,
                Err(error) => assert!(matches!(error, dagstore::datastore::Error::InUse { .. }), "{error:?}"),
            }
        }
    };
    let datastore = Arc::new(timeout(PATIENCE, taken_over).await.unwrap());
    let second = Dagstore::builder().directory(second_folder.path()).datastore(datastore).open().await.unwrap();
    let late = timeout(PATIENCE, first.register_mount("late", &mount)).await.unwrap();
    assert!(matches!(late, Err(Error::OwnershipLost { .. })), "{late:?}");
    let destroyed = timeout(PATIENCE, first.destroy("early")).await.unwrap();
    assert!(matches!(destroyed, Err(Error::OwnershipLost { .. })), "{destroyed:?}");
    second.register_mount("second", &mount).await.unwrap();
    drop(second.acquire("early").await.unwrap());
    assert!(matches!(first.close().await, Err(Error::OwnershipLost { .. })));
    second.close().await.unwrap();
    let third = open(&server.url(), lease, second_folder.path()).await;
    let keys: Vec<_> = third.shards().into_iter().map(|shard| shard.key.to_string()).collect();
    assert_eq!(keys, ["early", "second"]);
    third.close().await.unwrap();
}
