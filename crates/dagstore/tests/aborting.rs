//! A CAR that takes the whole process down every time it is read: it is given up, and nobody else is blamed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]
#![cfg(all(feature = "redb", unix))]

use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, abort};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore::fs::ReadAt;
use dagstore::mount::{self, Capabilities, Mount, Opened, Registry, Stat};
use dagstore::{Dagstore, ErrorKind, ShardState};
use dagstore_testkit::cars;

/// Tells a child where the store is, and which child it is.
const DIRECTORY: &str = "DAGSTORE_ABORTING_TEST";
const CHILD: &str = "DAGSTORE_ABORTING_TEST_CHILD";

/// The signal of a process that aborts itself.
const SIGABRT: i32 = 6;

/// How many starts are allowed.
const MAX_STARTS: u32 = 3;

/// A CAR that aborts the process while it is read, when it is told to. In a process that isn't to be aborted it is good.
#[derive(Debug, Clone, Default)]
struct AbortingMount {
    trigger: Option<Arc<Trigger>>,
}

#[derive(Debug, Default)]
struct Trigger {
    reading: AtomicBool,
    pulled: AtomicBool,
}

fn content() -> Bytes {
    cars::numbered(20, 100).bytes.into()
}

#[async_trait]
impl Mount for AbortingMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        String::new()
    }

    fn instantiate(&self, _location: &str) -> mount::Result<Arc<dyn Mount>> {
        Ok(Arc::new(self.clone()))
    }

    async fn stat(&self) -> mount::Result<Stat> {
        Ok(Stat::new(content().len() as u64, None))
    }

    async fn open(&self) -> mount::Result<Opened> {
        Ok(Opened::new(self.stat().await?, Arc::new(AbortingReader(self.clone(), content()))))
    }
}

#[derive(Debug)]
struct AbortingReader(AbortingMount, Bytes);

impl ReadAt for AbortingReader {
    fn size(&self) -> u64 {
        self.1.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(trigger) = &self.0.trigger {
            trigger.reading.store(true, Ordering::SeqCst);
            while !trigger.pulled.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            abort();
        }
        self.1.read_at(offset, buffer)
    }
}

fn registry(trigger: Option<Arc<Trigger>>) -> Registry {
    let mut registry = Registry::with_defaults();
    registry.register("aborting", AbortingMount { trigger }).unwrap();
    registry
}

/// One shard is indexed at a time, so that others wait in line behind the one that aborts.
async fn open(directory: &Path, trigger: Option<Arc<Trigger>>) -> Dagstore {
    let builder = Dagstore::builder().directory(directory.join("store")).registry(registry(trigger));
    let builder = builder.configure(|options| (options.max_indexing, options.max_starts) = (1, MAX_STARTS));
    builder.open().await.unwrap()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(2), waiting).await.unwrap_or_else(|_| panic!("it never happened: {what}"));
}

/// Begins to index the shard that aborts, lets another one get in line, and is aborted.
async fn be_aborted(directory: &Path, child: &str) {
    let trigger = Arc::new(Trigger::default());
    let store = open(directory, Some(trigger.clone())).await;
    let url = format!("file://{}", directory.join("good.car").display());
    if child == "1" {
        store.register("healthy", &url).await.unwrap();
        store.register("aborts", "aborting:").detached().await.unwrap();
    }
    until("the CAR is read", || trigger.reading.load(Ordering::SeqCst)).await;
    let key = format!("waits {child}");
    store.register(&key, &url).lazy().await.unwrap();
    let (other, of) = (store.clone(), key.clone());
    tokio::spawn(async move { other.acquire(&of).await.map(drop) });
    let is_in_line = || store.info(&key).is_ok_and(|shard| shard.state == ShardState::Initializing && !shard.writing);
    until("another shard is in line", is_in_line).await;
    trigger.pulled.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_mins(2)).await;
    panic!("the process was not aborted");
}

fn run_child(directory: &Path, child: u32) {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_car_that_aborts_the_process_is_given_up_and_nobody_else_is_blamed", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(CHILD, child.to_string())
        // What a system may write of a process that aborts goes away with the directory.
        .current_dir(directory)
        // Kept apart: the child's own count of tests would be read as one of this program's.
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.signal(), Some(SIGABRT), "child {child}: {}: {said}", output.status);
}

async fn look_at_what_the_children_left(directory: &Path) {
    let builder = Dagstore::builder().directory(directory.join("store")).registry(registry(None));
    let store = builder.paused().open().await.unwrap();
    let aborting = store.info("aborts").unwrap();
    assert_eq!((aborting.state, aborting.starts), (ShardState::Initializing, MAX_STARTS));
    for child in 1..=MAX_STARTS {
        let waiting = store.info(&format!("waits {child}")).unwrap();
        assert_eq!(waiting.starts, 0, "it only waited: {waiting:?}");
    }
    let last = store.info(&format!("waits {MAX_STARTS}")).unwrap();
    assert_eq!((last.state, last.attempt.0), (ShardState::Initializing, 0));
    store.close().await.unwrap();
}

async fn read(store: &Dagstore, key: &str) {
    let shard = store.acquire(key).await.unwrap();
    for (cid, data) in cars::numbered(20, 100).blocks {
        assert_eq!(shard.blockstore().get(&cid).await.unwrap(), data);
    }
}

#[tokio::test]
async fn a_car_that_aborts_the_process_is_given_up_and_nobody_else_is_blamed() {
    if let (Some(directory), Ok(child)) = (env::var_os(DIRECTORY), env::var(CHILD)) {
        return be_aborted(Path::new(&directory), &child).await;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("good.car"), content()).unwrap();
    for child in 1..=MAX_STARTS {
        run_child(directory.path(), child);
    }
    look_at_what_the_children_left(directory.path()).await;

    // The source would still abort the process if it was read.
    let trigger = Arc::new(Trigger::default());
    let store = open(directory.path(), Some(trigger.clone())).await;
    store.resumed().await.unwrap();
    let given_up = store.info("aborts").unwrap();
    let error = given_up.error.unwrap();
    assert_eq!((given_up.state, error.kind()), (ShardState::Errored, ErrorKind::TooManyStarts), "{error}");
    assert_eq!(given_up.attempt.0, MAX_STARTS, "it was begun again");
    assert!(!trigger.reading.load(Ordering::SeqCst), "it was read again");
    read(&store, "healthy").await;
    for child in 1..=MAX_STARTS {
        read(&store, &format!("waits {child}")).await;
    }
    store.close().await.unwrap();
    drop(store);

    let store = open(directory.path(), None).await;
    store.resumed().await.unwrap();
    assert_eq!(store.info("aborts").unwrap().state, ShardState::Errored, "it stays so until it is recovered");
    store.recover("aborts").await.unwrap();
    read(&store, "aborts").await;
    assert_eq!(store.info("aborts").unwrap().starts, 0);
    store.close().await.unwrap();
}
