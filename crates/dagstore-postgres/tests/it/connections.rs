//! Connections that are cut, transactions that lose, settings and passwords.

use std::time::Duration;

use dagstore_datastore::{Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, Namespace};
use dagstore_postgres::PostgresDatastore;
use dagstore_testkit::postgres::{Proxy, Way};
use tokio::time::sleep;

use crate::server::{self, Server, builder, url};

const ROWS: Namespace = Namespace::new("rows");

fn batch(value: &[u8]) -> Batch {
    let mut batch = Batch::new();
    for key in [b"a", b"b", b"c"] {
        batch.put(ROWS, key, value);
    }
    batch
}

/// All values, each once: one where a batch is there as a whole.
async fn values(store: &PostgresDatastore) -> Vec<Vec<u8>> {
    let page = store.rows(ROWS, b"", None, 100).await.unwrap();
    let mut values: Vec<_> = page.iter().map(|(_, value)| value.to_vec()).collect();
    values.dedup();
    values
}

/// A commit whose answer nobody hears is neither acknowledged nor given up: the handle is opened again, and the batch
/// written again.
#[tokio::test]
async fn a_connection_that_is_cut_in_a_commit_leaves_the_outcome_open() {
    let test = "a_connection_that_is_cut_in_a_commit_leaves_the_outcome_open";
    let Some(server) = Server::start(test).await else { return };
    let proxy = Proxy::start(server.port).await;
    let store = builder("cut").open(&url(proxy.port)).await.unwrap();
    for (round, way) in [Way::CutBeforeCommit, Way::CutBehindCommit].into_iter().enumerate() {
        let (old, new) = ([b'o', u8::try_from(round).unwrap()], [b'n', u8::try_from(round).unwrap()]);
        store.write(batch(&old), Durability::Synced).await.unwrap();
        proxy.set(way);
        let error = store.write(batch(&new), Durability::Synced).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NeedsReopen, "{way:?}: {error}");
        assert_eq!(proxy.cuts(), 1 + round as u64);
        for refused in [store.write(batch(b"refused"), Durability::Synced).await, store.sync().await] {
            assert_eq!(refused.unwrap_err().class(), ErrorClass::NeedsReopen, "{way:?}");
        }
        let expected = if way == Way::CutBeforeCommit { &old } else { &new };
        assert_eq!(values(&store).await, [expected.to_vec()], "{way:?}");
        store.reopen().await.unwrap();
        store.write(batch(&new), Durability::Synced).await.unwrap();
        assert_eq!(values(&store).await, [new.to_vec()], "{way:?}");
    }
    store.close().await.unwrap();
}

/// The server is given an old commit when its client has long gone on: it mustn't undo what was written since.
#[tokio::test]
async fn a_commit_that_comes_late_changes_nothing_behind_a_reopening() {
    let test = "a_commit_that_comes_late_changes_nothing_behind_a_reopening";
    let Some(server) = Server::start(test).await else { return };
    let proxy = Proxy::start(server.port).await;
    let store = builder("late").lease(Duration::from_secs(8)).open(&url(proxy.port)).await.unwrap();
    // The statements are prepared, so that the next transaction begins at once and waits with all that it writes.
    store.write(batch(b"first"), Durability::Synced).await.unwrap();
    proxy.set(Way::KeepCommit);
    let error = store.write(batch(b"late"), Durability::Synced).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::NeedsReopen, "{error}");
    store.reopen().await.unwrap();
    store.write(batch(b"newer"), Durability::Synced).await.unwrap();
    proxy.deliver().await;
    assert_eq!(values(&store).await, [b"newer".to_vec()]);
    store.close().await.unwrap();
}

/// The server says that the transaction lost: it is run again, so often and no more.
#[tokio::test]
async fn transactions_that_lose_are_run_again() {
    let Some(server) = Server::start("transactions_that_lose_are_run_again").await else { return };
    let store = server::open(&server, "loses").await;
    let client = server::client(&server).await;
    // A sequence counts on also where a transaction is rolled back.
    let trap = "CREATE SEQUENCE losses; \
                CREATE FUNCTION lose() RETURNS trigger AS $$ BEGIN \
                IF nextval('losses') <= TG_ARGV[0]::bigint THEN RAISE EXCEPTION 'lost' USING ERRCODE = TG_ARGV[1]; END IF; \
                RETURN NEW; END $$ LANGUAGE plpgsql;";
    client.batch_execute(trap).await.unwrap();
    for (code, times, outcome) in [
        ("40001", 4, None),
        ("40P01", 4, None),
        ("40001", 1_000_000, Some(ErrorClass::Transient)),
        ("57014", 1_000_000, Some(ErrorClass::Transient)),
        ("22000", 1_000_000, Some(ErrorClass::Permanent)),
        ("XX001", 1_000_000, Some(ErrorClass::Corrupt)),
    ] {
        let set = format!(
            "SELECT setval('losses', 1, false); CREATE TRIGGER loses BEFORE INSERT ON loses \
             FOR EACH STATEMENT EXECUTE FUNCTION lose('{times}', '{code}')"
        );
        client.batch_execute(&set).await.unwrap();
        let written = store.write(batch(code.as_bytes()), Durability::Synced).await;
        let class = written.err().map(|error| error.class());
        assert_eq!(class, outcome, "{code} {times} times");
        client.batch_execute("DROP TRIGGER loses ON loses").await.unwrap();
        let is_there = values(&store).await == [code.as_bytes().to_vec()];
        assert_eq!(is_there, outcome.is_none(), "{code} {times} times");
        // Nothing is left of the transaction, so the connection can be used.
        store.put(ROWS, b"behind", b"").await.unwrap();
        store.delete(ROWS, b"behind").await.unwrap();
    }
    store.close().await.unwrap();
}

/// A batch may need several statements: where one of them fails, nothing of the others is there.
#[tokio::test]
async fn a_batch_that_fails_in_one_part_leaves_nothing_of_the_others() {
    let test = "a_batch_that_fails_in_one_part_leaves_nothing_of_the_others";
    let Some(server) = Server::start(test).await else { return };
    let store = server::open(&server, "parts").await;
    store.put(ROWS, b"zz", b"old").await.unwrap();
    let trap = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN \
                RAISE EXCEPTION 'refused' USING ERRCODE = '22000'; END $$ LANGUAGE plpgsql; \
                CREATE TRIGGER refuses BEFORE DELETE ON parts FOR EACH ROW EXECUTE FUNCTION refuse()";
    server::client(&server).await.batch_execute(trap).await.unwrap();
    // One piece, and several.
    for bytes in [10, 3_000_000] {
        let mut batch = Batch::new();
        for key in [b"a", b"b", b"c"] {
            batch.put(ROWS, key, &vec![1; bytes]);
        }
        batch.delete(ROWS, b"zz");
        let error = store.write(batch, Durability::Synced).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Permanent, "{}", full(&error));
        assert_eq!(values(&store).await, [b"old".to_vec()], "rows of {bytes} bytes");
    }
    store.close().await.unwrap();
}

/// Without `synchronous_commit` a commit would be acknowledged before it is on the disk.
#[tokio::test]
async fn commits_that_wait_for_no_disk_are_not_had() {
    let test = "commits_that_wait_for_no_disk_are_not_had";
    let Some(server) = Server::start_with(test, &["--auth=trust"], &["synchronous_commit=off"]).await else { return };
    let store = server::open(&server, "rows").await;
    server::client(&server).await.batch_execute(TELL).await.unwrap();
    let error = store.put(ROWS, b"key", b"").await.unwrap_err();
    assert!(full(&error).contains("has on"), "{}", full(&error));
    store.close().await.unwrap();
}

/// Nor where the server's configuration changes while the session lasts: what a session hasn't set itself changes with it.
#[tokio::test]
async fn commits_wait_for_the_disk_though_the_server_is_told_otherwise_meanwhile() {
    let test = "commits_wait_for_the_disk_though_the_server_is_told_otherwise_meanwhile";
    let Some(server) = Server::start(test).await else { return };
    let store = server::open(&server, "rows").await;
    let client = server::client(&server).await;
    client.batch_execute(TELL).await.unwrap();
    client.batch_execute("ALTER SYSTEM SET synchronous_commit = off").await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while client.query_one("SHOW synchronous_commit", &[]).await.unwrap().get::<_, &str>(0) != "off" {
        sleep(Duration::from_millis(10)).await;
    }
    // The store's session hears of it at about the same time.
    for _ in 0..5 {
        sleep(Duration::from_millis(100)).await;
        let error = store.put(ROWS, b"key", b"").await.unwrap_err();
        assert!(full(&error).contains("has on"), "{}", full(&error));
    }
    store.close().await.unwrap();
}

/// Lets every insertion fail, and tell what the session that writes has.
const TELL: &str = "CREATE FUNCTION tell() RETURNS trigger AS $$ BEGIN \
                    RAISE EXCEPTION 'has %', current_setting('synchronous_commit') USING ERRCODE = '22000'; END $$ \
                    LANGUAGE plpgsql; \
                    CREATE TRIGGER tells BEFORE INSERT ON rows FOR EACH STATEMENT EXECUTE FUNCTION tell()";

/// A password comes from the environment, and is seen nowhere; a wrong one is told apart from an absent server.
#[tokio::test]
async fn passwords_come_from_the_environment_and_stay_there() {
    let test = "passwords_come_from_the_environment_and_stay_there";
    let file = tempfile::NamedTempFile::new().unwrap();
    // Cargo sets these for every test, so that nothing has to change this process's environment. One is the password.
    let (right, wrong) = ("CARGO_PKG_NAME", "CARGO_PKG_VERSION");
    std::fs::write(file.path(), env!("CARGO_PKG_NAME")).unwrap();
    std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let pwfile = format!("--pwfile={}", file.path().display());
    let Some(server) = Server::start_with(test, &["--auth=scram-sha-256", &pwfile], &[]).await else { return };
    for variable in [wrong, "DAGSTORE_NO_SUCH_VARIABLE"] {
        let builder = builder("rows").password_variable(variable);
        let error = builder.open(&server.url()).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Permanent, "{}", full(&error));
        assert!(!full(&error).contains(env!("CARGO_PKG_VERSION")), "{}", full(&error));
        assert!(error.to_string().contains("DAGSTORE_PG_PASSWORD"), "{error}");
    }
    let store = builder("rows").password_variable(right).open(&server.url()).await.unwrap();
    store.put(ROWS, b"key", b"value").await.unwrap();
    let shown = format!("{store:?} {:?}", builder("rows").password_variable(right));
    assert!(!shown.contains(env!("CARGO_PKG_NAME")), "{shown}");
    store.close().await.unwrap();
}

/// The error with its causes.
fn full(error: &Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error} {error:?}");
        cause = error.source();
    }
    text
}
