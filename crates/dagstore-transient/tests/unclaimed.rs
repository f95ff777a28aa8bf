//! Files that no sidecar claims, and what is written while somebody closes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use common::{Source, content, disk_use, files, mount, name, only, open, open_with, options};
use dagstore_transient::Error;

/// A folder with a copy of 10,000 bytes, whose sidecar is cut to the half.
async fn torn(directory: &std::path::Path) {
    let source = Source::new(content(0, 10_000), Some("v1"));
    let copies = open(directory);
    drop(copies.fetch(name(0), mount(&source), None, None).await.unwrap());
    copies.close().await;
    let sidecar = only(directory, ".meta");
    let bytes = std::fs::read(&sidecar).unwrap();
    std::fs::write(&sidecar, &bytes[..bytes.len() / 2]).unwrap();
}

#[tokio::test]
async fn the_room_of_a_torn_sidecar_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    torn(directory.path()).await;
    let copies = open(directory.path());
    assert_eq!(copies.used_bytes(), disk_use(directory.path()));
    let source = Source::new(content(0, 10_000), Some("v1"));
    let elsewhere = tempfile::tempdir().unwrap();
    let clean = open(elsewhere.path());
    for copies in [&copies, &clean] {
        drop(copies.fetch(name(0), mount(&source), None, None).await.unwrap());
    }
    assert_eq!(copies.used_bytes(), clean.used_bytes());
    copies.evict(name(0), true, false).await.unwrap();
    assert_eq!((copies.used_bytes(), files(directory.path()).len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_lacks_room_is_told_of_what_nobody_claims() {
    let directory = tempfile::tempdir().unwrap();
    torn(directory.path()).await;
    let mut settings = options();
    settings.quota_bytes = Some(15_000);
    let copies = open_with(directory.path(), settings);
    let source = Source::new(content(1, 10_000), Some("v1"));
    let error = copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    let Error::NoRoom { unclaimed, .. } = error else { panic!("{error}") };
    assert_eq!(unclaimed, disk_use(directory.path()));
    assert!(error.to_string().contains("bytes are files that no sidecar claims"), "{error}");
}

#[test]
fn closing_waits_for_what_is_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let source = Source::new(content(0, 10_000), Some("v1"));
        let copies = open(directory.path());
        drop(copies.fetch(name(0), mount(&source), None, None).await.unwrap());
        let (release, held) = std::sync::mpsc::channel::<()>();
        // The only thread for what blocks is taken, so that the pin is still to be written when its caller goes away.
        let holding = tokio::task::spawn_blocking(move || held.recv());
        let pinning = copies.pin(name(0));
        tokio::select! { biased; _ = pinning => panic!("nothing can be written"), () = std::future::ready(()) => {} }
        let closing = copies.close();
        tokio::pin!(closing);
        tokio::select! { biased; () = &mut closing => panic!("it is still to be written"), () = std::future::ready(()) => {} }
        release.send(()).unwrap();
        holding.await.unwrap().unwrap();
        closing.await;
        assert!(open(directory.path()).list()[0].is_pinned);
        assert!(matches!(copies.unpin(name(0)).await, Err(Error::Closed)));
    });
}
