//! One owner at a time, and what becomes of one that was.

use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::{Datastore, DatastoreExt, Durability, Error, ErrorClass, Namespace};
use dagstore_postgres::PostgresDatastore;
use dagstore_testkit::postgres::{Proxy, Way};
use tokio::time::{sleep, timeout};

use crate::server::{self, Server, builder, url};

const ROWS: Namespace = Namespace::new("rows");

const LEASE: Duration = Duration::from_secs(2);

/// How long a good store may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every call fails as fenced, and goes on to do so; closing needs nothing from the server.
async fn expect_fenced(store: &PostgresDatastore) {
    for _ in 0..2 {
        let classes = [
            store.put(ROWS, b"late", b"").await.unwrap_err().class(),
            store.sync().await.unwrap_err().class(),
            store.reopen().await.unwrap_err().class(),
            store.get(ROWS, b"key").await.unwrap_err().class(),
            store.rows(ROWS, b"", None, 1).await.unwrap_err().class(),
        ];
        assert_eq!(classes, [ErrorClass::Fenced; 5]);
    }
}

async fn open_while_taken(server: &Server, wait: Duration) -> dagstore_datastore::Result<PostgresDatastore> {
    builder("rows").lease(LEASE).wait(wait).open(&server.url()).await
}

#[tokio::test]
async fn a_second_store_is_refused_while_the_first_lives() {
    let Some(server) = Server::start("a_second_store_is_refused_while_the_first_lives").await else { return };
    let first = builder("rows").lease(LEASE).open(&server.url()).await.unwrap();
    first.put(ROWS, b"key", b"value").await.unwrap();
    // Longer than a lease: it is renewed all the while.
    let error = open_while_taken(&server, LEASE * 2).await.unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("held by process {} on ", std::process::id())), "{error}");
    first.put(ROWS, b"key", b"newer").await.unwrap();
    first.close().await.unwrap();
    let second = open_while_taken(&server, Duration::ZERO).await.unwrap();
    assert_eq!(second.get(ROWS, b"key").await.unwrap().as_deref(), Some(&b"newer"[..]));
    second.close().await.unwrap();
}

/// The first hears nothing from the server, and knows by its own clock that it is over before another has the lease.
#[tokio::test]
async fn a_store_that_hears_nothing_is_over_before_another_begins() {
    let test = "a_store_that_hears_nothing_is_over_before_another_begins";
    let Some(server) = Server::start(test).await else { return };
    let proxy = Proxy::start(server.port).await;
    let first = Arc::new(builder("rows").lease(LEASE).open(&url(proxy.port)).await.unwrap());
    first.put(ROWS, b"key", b"first").await.unwrap();
    proxy.set(Way::Silent);
    // One write is under way all the time, and must not hang for ever.
    let waiting = tokio::spawn({
        let first = first.clone();
        async move { first.put(ROWS, b"key", b"late").await }
    });
    let second = open_while_taken(&server, PATIENCE).await.unwrap();
    // No time passes between the two: it was over already.
    assert_eq!(first.get(ROWS, b"key").await.unwrap_err().class(), ErrorClass::Fenced);
    let late = timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap_err();
    assert_eq!(late.class(), ErrorClass::Fenced, "{late}");
    second.put(ROWS, b"key", b"second").await.unwrap();
    // What was held back arrives now.
    proxy.set(Way::Open);
    expect_fenced(&first).await;
    sleep(LEASE / 2).await;
    assert_eq!(second.get(ROWS, b"key").await.unwrap().as_deref(), Some(&b"second"[..]));
    assert_eq!(second.get(ROWS, b"late").await.unwrap(), None);
    second.put(ROWS, b"key", b"still").await.unwrap();
    first.close().await.unwrap();
    second.sync().await.unwrap();
    second.close().await.unwrap();
}

/// Clocks that go wrong: the first believes in its lease, the server thinks it has ended. The epoch decides.
#[tokio::test]
async fn a_write_under_an_old_epoch_is_refused_by_the_server() {
    let test = "a_write_under_an_old_epoch_is_refused_by_the_server";
    let Some(server) = Server::start(test).await else { return };
    let first = server::open(&server, "rows").await;
    first.put(ROWS, b"key", b"first").await.unwrap();
    let client = server::client(&server).await;
    client.batch_execute("UPDATE rows_lease SET until = clock_timestamp() - interval '1 hour'").await.unwrap();
    let second = server::open(&server, "rows").await;
    let mut batch = dagstore_datastore::Batch::new();
    batch.put(ROWS, b"key", b"late");
    batch.put(ROWS, b"late", b"");
    let error = first.write(batch, Durability::Synced).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Fenced, "{error}");
    assert_eq!(second.get(ROWS, b"key").await.unwrap().as_deref(), Some(&b"first"[..]));
    assert_eq!(second.get(ROWS, b"late").await.unwrap(), None);
    expect_fenced(&first).await;
    // The end of the first is no end of the second's lease.
    first.close().await.unwrap();
    second.put(ROWS, b"key", b"second").await.unwrap();
    second.close().await.unwrap();
}

/// The first stands still within a transaction, which holds the lease's row; it doesn't hold up the second for ever.
#[tokio::test]
async fn a_transaction_that_stands_still_is_ended_by_the_server() {
    let test = "a_transaction_that_stands_still_is_ended_by_the_server";
    let Some(server) = Server::start(test).await else { return };
    let proxy = Proxy::start(server.port).await;
    let first = builder("rows").lease(LEASE).open(&url(proxy.port)).await.unwrap();
    first.put(ROWS, b"key", b"first").await.unwrap();
    proxy.set(Way::KeepCommit);
    let error = first.put(ROWS, b"key", b"late").await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NeedsReopen, "{error}");
    proxy.set(Way::Silent);
    let second = timeout(PATIENCE, open_while_taken(&server, PATIENCE)).await.unwrap().unwrap();
    second.put(ROWS, b"key", b"second").await.unwrap();
    proxy.deliver().await;
    assert_eq!(second.get(ROWS, b"key").await.unwrap().as_deref(), Some(&b"second"[..]));
    expect_fenced(&first).await;
    second.close().await.unwrap();
}

/// A server that lets nobody in any more costs nobody the lease who is in already.
#[tokio::test]
async fn a_server_that_is_full_takes_the_lease_from_nobody() {
    let test = "a_server_that_is_full_takes_the_lease_from_nobody";
    let Some(server) = Server::start_with(test, &["--auth=trust"], &["max_connections=10"]).await else { return };
    let store = builder("rows").lease(LEASE).open(&server.url()).await.unwrap();
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await {
        others.push((client, tokio::spawn(connection)));
    }
    assert!(others.len() < 10, "the server is never full");
    sleep(LEASE * 2).await;
    store.put(ROWS, b"key", b"value").await.unwrap();
    // Reading has connections of its own, and waits for somebody to go.
    assert_eq!(store.get(ROWS, b"key").await.unwrap_err().class(), ErrorClass::Transient);
    drop(others);
    store.close().await.unwrap();
}
