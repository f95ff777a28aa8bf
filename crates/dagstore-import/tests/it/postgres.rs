//! A PostgreSQL as source and as target.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dagstore::codec::Cbor;
use dagstore::datastore::Datastore;
use dagstore::postgres::PostgresDatastore;
use dagstore::{Backend, Dagstore, Databases, Directory};
use dagstore_import::{CopyOptions, CopyReport, Error, Place, Result, Role, Scheme, Schemes, copy_store};
use dagstore_testkit::postgres::Server;

use crate::backends::{OTHER, place, rows};
use crate::support::{Call, Told, make};

fn in_database(server: &Server, table: &str) -> Place {
    format!("{}?table={table}", server.url()).parse().unwrap()
}

async fn copy(from: &Place, to: &Place, directory: Option<&Path>) -> Result<CopyReport> {
    let schemes = Schemes::built_in().and_postgres(directory.map(Path::to_owned));
    copy_store(&schemes, from, to, &CopyOptions::default(), &|_| ()).await
}

/// The bar for the copy of a store, by way of a server: no row is another one at the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_shards_go_through_a_server_unchanged() {
    const SHARDS: u64 = 100_000;
    let Some(server) = Server::start("a_hundred_thousand_shards_go_through_a_server_unchanged").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let [first, third, fourth] = ["first", "third", "fourth"].map(|name| folder.path().join(name));
    make(&first, OTHER, &Cbor, SHARDS).await;
    let before = rows(OTHER, &first).await;
    let [first, third, fourth] =
        [(OTHER, first), (Backend::Redb, third), (OTHER, fourth)].map(|(backend, path)| (place(backend, &path), path));
    let second = in_database(&server, "second");
    let reports = [
        copy(&first.0, &second, None).await.unwrap(),
        copy(&second, &third.0, None).await.unwrap(),
        copy(&third.0, &fourth.0, None).await.unwrap(),
    ];
    for report in &reports {
        assert_eq!(report.tables, reports[0].tables);
        assert_eq!(report.tables.iter().map(|table| table.rows).sum::<u64>(), 4 * SHARDS + 1);
    }
    assert!(rows(OTHER, &fourth.1).await == before, "a row is another one");
    // The lease is the server's own and no row of the store: the same store is in a second table, and both can be held at once.
    let twin = in_database(&server, "twin");
    assert_eq!(copy(&second, &twin, None).await.unwrap().tables, reports[0].tables);
}

/// A store in a directory keeps it, its index files and its shards, when its datastore is a server's.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_works_on_a_server_and_back() {
    let Some(server) = Server::start("a_store_works_on_a_server_and_back").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let [path, other, elsewhere] = ["store", "other", "elsewhere"].map(|name| folder.path().join(name));
    let car = folder.path().join("one.car");
    std::fs::write(&car, dagstore_testkit::cars::one_block(b"moved").bytes).unwrap();
    let url = format!("file://{}", car.display());
    for path in [&path, &other] {
        let store = Dagstore::builder().directory(path).open().await.unwrap();
        store.register("moved", &url).await.unwrap();
        store.close().await.unwrap();
    }
    let database = in_database(&server, "moved");
    let report = copy(&place(Backend::Redb, &path), &database, Some(&path)).await.unwrap();
    assert_eq!(report.index_files, None, "both have the same directory");

    let on_server = || Dagstore::builder().directory(&path).postgres(database.to_string());
    let store = on_server().open().await.unwrap();
    drop(store.acquire("moved").await.unwrap());
    assert_eq!(store.info("moved").unwrap().attempt.0, 1, "its index was read, not built again");
    store.register("later", &url).await.unwrap();
    // While somebody has it, nobody copies it.
    let taken = copy(&database, &place(Backend::Redb, &elsewhere), None).await.unwrap_err();
    assert!(taken.to_string().contains("already open"), "{taken}");
    store.close().await.unwrap();

    // Another store's directory, or the same database, is refused; a twin beside the database isn't.
    let foreign = copy(&database, &place(Backend::Redb, &elsewhere), Some(&other)).await.unwrap_err();
    assert!(foreign.to_string().contains("belongs to another store"), "{foreign}");
    let same = copy(&database, &database, Some(&path)).await.unwrap_err();
    assert!(matches!(same, Error::SamePlace { .. }), "{same}");
    copy(&database, &in_database(&server, "twin"), Some(&path)).await.unwrap();

    let back = copy(&database, &place(Backend::Redb, &elsewhere), Some(&path)).await.unwrap();
    assert_eq!(back.index_files, Some(2));
    let store = Dagstore::builder().directory(&elsewhere).open().await.unwrap();
    for key in ["moved", "later"] {
        drop(store.acquire(key).await.unwrap());
        assert_eq!(store.info(key).unwrap().attempt.0, 1, "its index was read, not built again");
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_has_no_store_is_no_source() {
    let Some(server) = Server::start("a_server_that_has_no_store_is_no_source").await else { return };
    let folder = tempfile::tempdir().unwrap();
    let target = place(Backend::Redb, &folder.path().join("target"));
    let absent = copy(&in_database(&server, "absent"), &target, None).await;
    assert!(matches!(absent, Err(Error::Open(_))), "{absent:?}");
    let with_password: Place = "postgres://me:s3cret@127.0.0.1:1/none".parse().unwrap();
    let refused = copy(&with_password, &target, None).await.unwrap_err();
    let text = format!("{refused} {refused:?} {with_password}");
    assert!(!text.contains("s3cret"), "{text}");
}

const KILL_AT: &str = "DAGSTORE_IMPORT_KILL_AT_ON_SERVER";
const FOLDER: &str = "DAGSTORE_IMPORT_FOLDER_ON_SERVER";
const TARGET: &str = "DAGSTORE_IMPORT_TARGET_ON_SERVER";
const SHARDS: u64 = 60;

/// A server, in whose client the n-th moment before or behind a write is the last.
#[derive(Debug)]
struct Deadly(usize);

#[async_trait]
impl Scheme for Deadly {
    fn directory(&self, _location: &str) -> Option<PathBuf> {
        None
    }

    fn is_embedded(&self) -> bool {
        false
    }

    async fn open(&self, location: &str, _directory: Option<&Directory>, _role: Role) -> Result<Databases> {
        // A process that was killed keeps its lease, so that it is a short one and is waited for.
        let builder = PostgresDatastore::builder().lease(Duration::from_secs(1)).wait(Duration::from_mins(1));
        let inner = Arc::new(builder.open(&format!("postgres:{location}")).await?);
        let (moments, kill_at) = (AtomicUsize::new(0), self.0);
        let tell: Arc<dyn Fn(Call) + Send + Sync> = Arc::new(move |call| {
            if !matches!(call, Call::Uses(_)) && moments.fetch_add(1, Ordering::Relaxed) + 1 == kill_at {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            }
        });
        let records: Arc<dyn Datastore> = Arc::new(Told { inner, tell });
        Ok(Databases { inverted: Some(records.clone()), records })
    }
}

async fn copy_until_killed(folder: &Path, target: &str, kill_at: usize) -> Result<CopyReport> {
    let mut schemes = Schemes::built_in();
    schemes.add("postgres", Arc::new(Deadly(kill_at)));
    let mut options = CopyOptions::default();
    options.piece_bytes = 1500;
    let from = place(OTHER, &folder.join("source"));
    copy_store(&schemes, &from, &target.parse().unwrap(), &options, &|_| ()).await
}

/// What the killed processes run; for anybody else it does nothing.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let kill_at = std::env::var(KILL_AT).unwrap().parse().unwrap();
    copy_until_killed(Path::new(&folder), &std::env::var(TARGET).unwrap(), kill_at).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_to_a_server_that_is_killed_goes_on() {
    let Some(server) = Server::start("a_copy_to_a_server_that_is_killed_goes_on").await else { return };
    let folder = tempfile::tempdir().unwrap();
    make(&folder.path().join("source"), OTHER, &Cbor, SHARDS).await;
    let (mut kills, mut resumed) = (0, 0);
    // Each costs the rest of a lease, so that some moments stand for all.
    for kill_at in (1..).step_by(5) {
        let target = in_database(&server, &format!("target_{kill_at}")).to_string();
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["postgres::child", "--exact", "--nocapture"]);
        child.env(FOLDER, folder.path()).env(TARGET, &target).env(KILL_AT, kill_at.to_string());
        if child.output().unwrap().status.success() {
            break;
        }
        kills += 1;
        // Nobody takes it for a store, or it is a whole one already.
        let report = copy_until_killed(folder.path(), &target, usize::MAX).await.unwrap();
        resumed += usize::from(report.resumed_rows > 0);
        assert_eq!(report.tables.iter().map(|table| table.rows).sum::<u64>(), 4 * SHARDS + 1, "moment {kill_at}");
        let again = copy_until_killed(folder.path(), &target, usize::MAX).await.unwrap();
        assert!(again.was_complete, "moment {kill_at}");
    }
    assert!(kills > 4 && resumed > 2, "{kills} kills, {resumed} went on");
}
