//! A copy that is killed at every moment at which it writes goes on, and nobody takes what it left for a store.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dagstore::codec::Cbor;
use dagstore::{Backend, Dagstore, Databases, Directory};
use dagstore_import::{CopyOptions, CopyReport, Error, Place, Result, Role, Scheme, Schemes, copy_store};

use crate::support::{Call, Told, make};

const KILL_AT: &str = "DAGSTORE_IMPORT_KILL_AT";
const FOLDER: &str = "DAGSTORE_IMPORT_FOLDER";
const SHARDS: u64 = 60;

#[cfg(feature = "rocksdb")]
const SOURCE: Backend = Backend::Rocksdb;
#[cfg(not(feature = "rocksdb"))]
const SOURCE: Backend = Backend::Redb;

/// redb, in whose process the n-th moment before or behind a write is the last.
#[derive(Debug)]
struct Deadly {
    inner: Schemes,
    kill_at: usize,
}

#[async_trait]
impl Scheme for Deadly {
    fn directory(&self, location: &str) -> Option<PathBuf> {
        Some(Path::new(location).to_owned())
    }

    async fn open(&self, location: &str, directory: Option<&Directory>, role: Role) -> Result<Databases> {
        let redb = Place { scheme: "redb".to_owned(), location: location.to_owned() };
        let opened = self.inner.of(&redb)?.open(location, directory, role).await?;
        let (moments, kill_at) = (AtomicUsize::new(0), self.kill_at);
        let tell: Arc<dyn Fn(Call) + Send + Sync> = Arc::new(move |call| {
            if !matches!(call, Call::Uses(_)) && moments.fetch_add(1, Ordering::Relaxed) + 1 == kill_at {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            }
        });
        let told = |inner| Arc::new(Told { inner, tell: tell.clone() }) as Arc<_>;
        Ok(Databases { records: told(opened.records), inverted: opened.inverted.map(told) })
    }
}

async fn copy(folder: &Path, kill_at: usize) -> Result<CopyReport, Error> {
    let mut schemes = Schemes::built_in();
    schemes.add("deadly", Arc::new(Deadly { inner: Schemes::built_in(), kill_at }));
    let place = |scheme: &str, name: &str| Place {
        scheme: scheme.to_owned(),
        location: folder.join(name).display().to_string(),
    };
    let mut options = CopyOptions::default();
    options.piece_bytes = 1500;
    copy_store(&schemes, &place(SOURCE.name(), "source"), &place("deadly", "target"), &options, &|_| ()).await
}

/// What the killed processes run; for anybody else it does nothing.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let kill_at = std::env::var(KILL_AT).unwrap().parse().unwrap();
    copy(Path::new(&folder), kill_at).await.unwrap();
}

fn run_child(folder: &Path, kill_at: usize) -> std::process::ExitStatus {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program);
    child.args(["killed::child", "--exact", "--nocapture"]).env(FOLDER, folder).env(KILL_AT, kill_at.to_string());
    child.output().unwrap().status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_killed_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    make(&source, SOURCE, &Cbor, SHARDS).await;
    std::fs::create_dir(source.join("index")).unwrap();
    std::fs::write(source.join("index/0a.idx"), b"an index").unwrap();
    let (mut kills, mut resumed) = (0, 0);
    for kill_at in 1.. {
        let _fresh = std::fs::remove_dir_all(&target);
        let status = run_child(folder.path(), kill_at);
        if status.success() {
            break;
        }
        assert_eq!(status.signal(), Some(9), "moment {kill_at}");
        kills += 1;
        // Nobody but the copy takes it for anything, or it is a whole store already.
        let opened = Dagstore::builder().directory(&target).paused().open().await;
        if let Ok(store) = opened {
            assert_eq!((store.shards().len() + store.quarantined().len()) as u64, SHARDS, "moment {kill_at}");
            store.close().await.unwrap();
        }
        let report = copy(folder.path(), usize::MAX).await.unwrap();
        resumed += usize::from(report.resumed_rows > 0);
        assert_eq!(report.tables.iter().map(|table| table.rows).sum::<u64>(), 4 * SHARDS + 1, "moment {kill_at}");
        assert_eq!(std::fs::read(target.join("index/0a.idx")).unwrap(), b"an index");
        let store = Dagstore::builder().directory(&target).paused().open().await.unwrap();
        assert_eq!((store.shards().len(), store.quarantined().len()), (58, 2), "moment {kill_at}");
        store.close().await.unwrap();
    }
    assert!(kills > 20 && resumed > 10, "{kills} kills, {resumed} went on");
}
