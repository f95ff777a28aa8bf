//! Every call to the file system fails while chunks are read and kept; a disk that keeps nothing; a kill.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dagstore_fs::RealFileSystem;
use dagstore_testkit::FaultyFileSystem;
use dagstore_transient::Copies;

use crate::common::{Source, content, disk_use, files, mount, name, only, open_with, remote, small_chunks, until};

const FOLDER: &str = "DAGSTORE_TEST_CHUNKS";
const TEST: &str = "chunks::chunks_survive_a_kill";
const SIZE: usize = 5_500;

/// A life that touches everything. Whatever fails beneath it, the source answers, so every read does.
async fn live(copies: &Copies, source: &Arc<Source>, data: &[u8]) {
    for _ in 0..2 {
        let Ok(reader) = copies.remote(name(1), mount(source), source.now().unwrap()).await else { return };
        for (at, len) in [(0, 1_500), (4_000, 1_500), (500, 4_000)] {
            assert!(reader.read(at as u64, len).await.unwrap() == data[at..at + len], "{len} bytes at {at}");
            settled(copies).await;
        }
        // What failed here is seen by what is there afterwards.
        let _ = copies.pin(name(1)).await;
        let _ = copies.unpin(name(1)).await;
    }
    let _ = copies.fetch(name(1), mount(source), None, None).await;
    let _ = copies.evict(name(1), true, true).await;
    let reader = copies.remote(name(1), mount(source), source.now().unwrap()).await.unwrap();
    assert!(reader.read(0, SIZE).await.unwrap() == data);
    settled(copies).await;
}

/// Waits until no request is being written down: closing does, and this is a look at the same thing.
async fn settled(copies: &Copies) {
    let mut before = copies.list();
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = copies.list();
        if now == before {
            return;
        }
        before = now;
    }
}

async fn fail(directory: &Path, call: u64, for_ever: bool) -> bool {
    let data = content(1, SIZE);
    let source = Source::new(data.clone(), Some("v1"));
    let file_system = FaultyFileSystem::new(call, for_ever);
    if let Ok(copies) = Copies::open(Arc::new(file_system.clone()), directory, small_chunks()) {
        live(&copies, &source, &data).await;
        copies.close().await;
        let (used, on_disk) = (copies.used_bytes(), disk_use(directory));
        assert!(used >= on_disk, "call {call}, for ever {for_ever}: {on_disk} bytes on disk, and {used} counted");
    }
    let copies = open_with(directory, small_chunks());
    let reader = remote(&copies, 1, &source).await;
    assert!(reader.read(0, SIZE).await.unwrap() == data, "call {call}, for ever {for_ever}");
    drop(reader);
    // The unpinning may be what failed.
    let _ = copies.unpin(name(1)).await;
    let is_settled = || copies.list().iter().all(|info| !info.is_in_use);
    until("nobody reads", is_settled).await;
    copies.close().await;
    drop(copies);
    open_with(directory, small_chunks()).gc(|_| false, false).await.unwrap();
    assert!(files(directory).is_empty(), "call {call}, for ever {for_ever}: {:?}", files(directory));
    file_system.has_failed()
}

#[tokio::test]
async fn any_call_may_fail() {
    for for_ever in [false, true] {
        let mut call = 1;
        loop {
            let directory = tempfile::tempdir().unwrap();
            if !fail(directory.path(), call, for_ever).await {
                break;
            }
            call += 1;
        }
        assert!(call > 80, "a life of {call} calls");
    }
}

/// Somebody writes zeros over the chunks all the time, and others write them anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_keeps_nothing_costs_requests_alone() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(11, SIZE);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = open_with(directory.path(), small_chunks());
    let reader = remote(&copies, 1, &source).await;
    reader.read(0, 1_000).await.unwrap();
    until("it is written", || copies.list().first().is_some_and(|info| info.done == 1_000)).await;
    let (path, is_over) = (only(directory.path(), ".chunks"), Arc::new(AtomicBool::new(false)));
    let spoiling = std::thread::spawn({
        let is_over = Arc::clone(&is_over);
        move || {
            let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
            while !is_over.load(Ordering::Relaxed) {
                let length = file.metadata().unwrap().len();
                file.write_all_at(&vec![0; usize::try_from(length).unwrap()], 0).unwrap();
            }
        }
    });
    let readers = (0..6_usize).map(|seed| {
        let (reader, data) = (reader.clone(), data.clone());
        tokio::spawn(async move {
            for step in 0..150 {
                let at = (seed * 701 + step * 1_000) % 5_000;
                assert!(reader.read(at as u64, 500).await.unwrap() == data[at..at + 500], "at {at}");
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    spoiling.join().unwrap();
}

#[tokio::test]
async fn chunks_survive_a_kill() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let copies = Copies::open(Arc::new(RealFileSystem), folder.as_ref(), small_chunks()).unwrap();
        let source = Source::new(content(1, 4_000_000), Some("v1"));
        let reader = remote(&copies, 1, &source).await;
        for number in (0..4_000).rev() {
            reader.read(number * 1_000, 10).await.unwrap();
        }
        std::future::pending::<()>().await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(FOLDER, directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let written = || {
        let chunks = files(directory.path()).into_iter().find(|file| file.ends_with(".chunks"));
        chunks.and_then(|file| directory.path().join(file).metadata().ok()).map_or(0, |chunks| chunks.len())
    };
    while written() < 300_000 {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // On Unix this is SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();

    let (source, data) = (Source::new(content(1, 4_000_000), Some("v1")), content(1, 4_000_000));
    let copies = Copies::open(Arc::new(RealFileSystem), directory.path(), small_chunks()).unwrap();
    let kept = copies.list()[0].done;
    assert!(kept >= 299_000, "{kept} bytes are left");
    let reader = remote(&copies, 1, &source).await;
    assert!(reader.read(0, 4_000_000).await.unwrap() == data, "another content");
    let asked: usize = source.reads().iter().map(|(_, len)| len).sum();
    assert_eq!(asked as u64, 4_000_000 - kept, "what was kept was asked for again");
}
