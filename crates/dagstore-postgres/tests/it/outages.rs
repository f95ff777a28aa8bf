//! A server that stands still, or is killed, while it is written to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dagstore_datastore::{Batch, Datastore, Durability, ErrorClass, Namespace};
use dagstore_postgres::PostgresDatastore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::server::{self, Server, builder};

const ROWS: Namespace = Namespace::new("rows");

/// Writers of their own rows, as an engine would write them: again and again until it is told that they are there.
struct Load {
    writers: Vec<JoinHandle<()>>,
    acknowledged: Arc<[AtomicU64]>,
    reopened: Arc<AtomicU64>,
    end: Arc<AtomicU64>,
}

const WRITERS: usize = 3;

impl Load {
    fn start(store: &Arc<PostgresDatastore>) -> Self {
        let acknowledged: Arc<[AtomicU64]> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
        let (reopened, end) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        let writers = (0..WRITERS).map(|writer| {
            let (store, acknowledged, reopened, end) =
                (store.clone(), acknowledged.clone(), reopened.clone(), end.clone());
            tokio::spawn(async move {
                for number in 1.. {
                    if number > end.load(Ordering::Acquire) {
                        return;
                    }
                    write_until_there(&store, &reopened, writer, number).await;
                    acknowledged[writer].store(number, Ordering::Release);
                }
            })
        });
        let writers = writers.collect();
        Self { writers, acknowledged, reopened, end }
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.iter().map(|number| number.load(Ordering::Acquire)).sum()
    }

    /// Waits until more was written, by itself.
    async fn goes_on(&self) {
        let before = self.acknowledged();
        while self.acknowledged() < before + 20 {
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the writers, and returns what each of them has been told is there.
    async fn end(self) -> Vec<u64> {
        self.end.store(0, Ordering::Release);
        for writer in self.writers {
            writer.await.unwrap();
        }
        self.acknowledged.iter().map(|number| number.load(Ordering::Acquire)).collect()
    }
}

async fn write_until_there(store: &PostgresDatastore, reopened: &AtomicU64, writer: usize, number: u64) {
    let mut batch = Batch::new();
    for part in [b'a', b'b'] {
        batch.put(ROWS, &[u8::try_from(writer).unwrap(), part], &number.to_be_bytes());
    }
    batch.put(ROWS, &[&[u8::try_from(writer).unwrap(), b'c'][..], &number.to_be_bytes()].concat(), b"");
    while let Err(error) = store.write(batch.clone(), Durability::Synced).await {
        match error.class() {
            ErrorClass::Transient => {}
            ErrorClass::NeedsReopen => {
                if store.reopen().await.is_ok() {
                    reopened.fetch_add(1, Ordering::AcqRel);
                }
            }
            class => panic!("{class:?}: {error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// What was acknowledged is there: the last number in both rows, and a row of each.
async fn expect_all(store: &PostgresDatastore, acknowledged: &[u64]) {
    for (writer, last) in acknowledged.iter().enumerate() {
        let writer = u8::try_from(writer).unwrap();
        for part in [b'a', b'b'] {
            let value = store.get(ROWS, &[writer, part]).await.unwrap().unwrap();
            assert_eq!(u64::from_be_bytes(value.as_ref().try_into().unwrap()), *last);
        }
        let rows = store.rows(ROWS, &[writer, b'c'], None, usize::MAX).await.unwrap();
        assert_eq!(rows.len() as u64, *last, "writer {writer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stands_still_for_a_while_is_waited_for() {
    let test = "a_server_that_stands_still_for_a_while_is_waited_for";
    let Some(server) = Server::start(test).await else { return };
    let store = Arc::new(server::open(&server, "rows").await);
    let load = Load::start(&store);
    for _ in 0..2 {
        load.goes_on().await;
        server.pause();
        // What was under way may still have been told.
        sleep(Duration::from_millis(200)).await;
        let before = load.acknowledged();
        sleep(Duration::from_secs(2)).await;
        assert_eq!(load.acknowledged(), before, "a server that stands still has committed");
        server.go_on();
        load.goes_on().await;
    }
    let acknowledged = load.end().await;
    expect_all(&store, &acknowledged).await;
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_is_found_again() {
    let test = "a_server_that_is_killed_and_comes_back_is_found_again";
    let Some(mut server) = Server::start(test).await else { return };
    let store = Arc::new(server::open(&server, "rows").await);
    let load = Load::start(&store);
    for _ in 0..3 {
        load.goes_on().await;
        server.stop_at_once();
        sleep(Duration::from_secs(1)).await;
        server.start_again().await;
        load.goes_on().await;
    }
    assert!(load.reopened.load(Ordering::Acquire) > 0, "no commit was ever cut: the test has lost its point");
    let acknowledged = load.end().await;
    expect_all(&store, &acknowledged).await;
    store.close().await.unwrap();
    // And the same from the outside.
    let store = server::open(&server, "rows").await;
    expect_all(&store, &acknowledged).await;
    store.close().await.unwrap();
}

/// A server that takes connections and says nothing, as one that stands still does: whoever opens is told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_not_waited_for_without_an_end() {
    let test = "a_server_that_says_nothing_is_not_waited_for_without_an_end";
    let Some(server) = Server::start(test).await else { return };
    let url = server.url();
    let open = || builder("rows").lease(Duration::from_secs(1)).open(&url);
    open().await.unwrap().close().await.unwrap();
    server.pause();
    let error = timeout(Duration::from_mins(2), open()).await.expect("it hangs").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert!(error.to_string().contains("look after the server"), "{error}");
    server.go_on();

    // Somebody's transaction holds the row of the lease, and nothing ends it.
    let mut client = server::client(&server).await;
    let holding = client.transaction().await.unwrap();
    holding.batch_execute("SELECT epoch FROM rows_lease FOR SHARE").await.unwrap();
    let error = timeout(Duration::from_mins(2), open()).await.expect("it hangs").unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    holding.rollback().await.unwrap();
    let store = builder("rows").wait(Duration::from_mins(2)).open(&server.url()).await.unwrap();
    store.close().await.unwrap();
}
