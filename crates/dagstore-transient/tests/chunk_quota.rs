//! Chunks and the room that there is: never more than the quota, and never waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::weighing::Weighing;
use common::{PATIENCE, Source, content, disk_use, files, mount, name, open_with, read, remote, small_chunks, until};
use dagstore_testkit::FaultyFileSystem;
use dagstore_transient::{Copies, CopyState};

fn with_quota(directory: &Path, quota_bytes: u64) -> Copies {
    let mut settings = small_chunks();
    settings.quota_bytes = Some(quota_bytes);
    open_with(directory, settings)
}

fn sources(count: u64) -> Vec<Arc<Source>> {
    (0..count).map(|number| Source::new(content(number, 10_000), Some("v1"))).collect()
}

/// How much of a registration's chunks is on disk.
fn done(copies: &Copies, number: u64) -> u64 {
    let list = copies.list();
    let found =
        list.iter().find(|info| info.state == CopyState::Chunks && info.name.registration == name(number).registration);
    found.map_or(0, |info| info.done)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn chunks_and_copies_together_stay_within_the_quota() {
    let directory = tempfile::tempdir().unwrap();
    let weighing = Weighing::new(directory.path());
    let (most, calls) = (Arc::clone(&weighing.most), Arc::clone(&weighing.calls));
    let quota = 200_000;
    let mut settings = small_chunks();
    settings.quota_bytes = Some(quota);
    settings.remote_chunk_bytes = 4_000;
    let copies = Copies::open(Arc::new(weighing), directory.path(), settings).unwrap();
    let sources: Arc<Vec<_>> =
        Arc::new((0..12).map(|number| Source::new(content(number, 60_000), Some("v1"))).collect());
    let readers = (0..8_u64).map(|seed| {
        let (copies, sources) = (copies.clone(), Arc::clone(&sources));
        tokio::spawn(async move {
            for choice in content(200 + seed, 4 * 60).chunks_exact(4) {
                let number = u64::from(choice[0]) % 12;
                let source = &sources[usize::try_from(number).unwrap()];
                let data = content(number, 60_000);
                match choice[1] % 16 {
                    0 => drop(copies.evict(name(number), true, choice[2] % 2 == 0).await),
                    1 => {
                        // At most three fit, and others may keep theirs for a while.
                        let fetch = copies.fetch(name(number), mount(source), None, None);
                        if let Ok(lease) = tokio::time::timeout(Duration::from_millis(200), fetch).await {
                            assert!(read(&lease.unwrap()) == data, "{number}");
                        }
                    }
                    _ => {
                        let reader = remote(&copies, number, source).await;
                        for step in 0..8 {
                            let at = (usize::from(choice[2]) * 199 + step * usize::from(choice[3]) * 31) % 59_000;
                            let bytes = reader.read(at as u64, 900).await.unwrap();
                            assert!(bytes == data[at..at + 900], "{number} at {at}");
                        }
                    }
                }
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    copies.close().await;
    let (most, calls) = (most.load(Ordering::Relaxed), calls.load(Ordering::Relaxed));
    assert!(most <= quota, "{most} bytes were on disk, {calls} calls");
    assert!(most > quota / 2 && calls > 1000, "the quota was never near: {most} bytes, {calls} calls");
    // Beside each sidecar there is room for the next one.
    let metas = files(directory.path()).into_iter().filter(|file| file.ends_with(".meta"));
    let next: u64 = metas.map(|file| directory.path().join(file).metadata().unwrap().len()).sum();
    let is_exact = || copies.used_bytes() == disk_use(directory.path()) + next;
    until("all is counted", is_exact).await;
}

#[tokio::test]
async fn the_chunks_of_others_go_first_and_what_does_not_fit_is_served_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let sources = sources(4);
    let copies = with_quota(directory.path(), 9_000);
    for number in 0..3 {
        remote(&copies, number, &sources[usize::try_from(number).unwrap()]).await.read(0, 2_000).await.unwrap();
        until("it is written", || done(&copies, number) == 2_000).await;
        let used = copies.list().last().unwrap().last_use;
        until("another millisecond", || dagstore_fs::Clock::now(&dagstore_fs::SystemClock) > used).await;
    }
    copies.pin(name(0)).await.unwrap();
    let reader = remote(&copies, 3, &sources[3]).await;
    reader.read(0, 3_000).await.unwrap();
    until("it is written", || done(&copies, 3) == 3_000).await;
    // The oldest is pinned, so the next one went, and the youngest is there.
    assert_eq!([0, 1, 2].map(|number| done(&copies, number)), [2_000, 0, 2_000]);
    let other = remote(&copies, 2, &sources[2]).await;
    // Now everything is pinned or being read.
    for _ in 0..2 {
        assert_eq!(reader.read(5_000, 4_000).await.unwrap(), content(3, 10_000)[5_000..9_000]);
    }
    assert_eq!(sources[3].reads(), [(0, 3_000), (5_000, 4_000), (5_000, 4_000)]);
    assert_eq!([0, 2, 3].map(|number| done(&copies, number)), [2_000, 2_000, 3_000]);
    drop(other);
    reader.read(5_000, 2_000).await.unwrap();
    until("it is written", || done(&copies, 3) == 5_000).await;
    assert_eq!([0, 2].map(|number| done(&copies, number)), [2_000, 0]);
    assert_eq!(copies.used_bytes(), disk_use(directory.path()));
}

#[tokio::test(start_paused = true)]
async fn a_copy_takes_the_room_of_chunks_and_chunks_none_of_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let sources = sources(3);
    let copies = with_quota(directory.path(), 15_000);
    let reader = remote(&copies, 0, &sources[0]).await;
    reader.read(0, 8_000).await.unwrap();
    until("it is written", || done(&copies, 0) == 8_000).await;
    // Those of the same registration, and those of others that are being read.
    for number in [0, 1] {
        let lease = copies.fetch(name(number), mount(&sources[usize::try_from(number).unwrap()]), None, None).await;
        assert_eq!(read(&lease.unwrap()), content(number, 10_000));
        if number == 0 {
            copies.evict(name(0), true, true).await.unwrap();
        }
    }
    // A copy that nobody holds stays, though chunks would like its room; what is left over they take.
    let third = remote(&copies, 2, &sources[2]).await;
    assert_eq!(third.read(0, 7_000).await.unwrap(), content(2, 10_000)[..7_000]);
    assert_eq!(third.read(0, 1_000).await.unwrap(), content(2, 10_000)[..1_000]);
    until("it is written", || done(&copies, 2) == 1_000).await;
    drop(copies.local(name(1), None).await.unwrap());
    // While somebody waits for room for a copy, nothing is kept that could be its room. What is pinned stays.
    copies.pin(name(2)).await.unwrap();
    let held = copies.local(name(1), None).await.unwrap();
    let stats = sources[0].stats.load(Ordering::SeqCst);
    let waiting = tokio::spawn({
        let (copies, mount) = (copies.clone(), mount(&sources[0]));
        async move { copies.fetch(name(0), mount, None, None).await }
    });
    until("it has asked for the size", || sources[0].stats.load(Ordering::SeqCst) > stats).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(third.read(3_000, 1_000).await.unwrap(), content(2, 10_000)[3_000..4_000]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(done(&copies, 2), 1_000);
    drop(held);
    drop(waiting.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_full_disk_and_one_that_is_to_stay_free_keep_nothing_and_fail_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (source, file_system) = (sources(1).remove(0), FaultyFileSystem::faultless());
    let data = content(0, 10_000);
    let copies = Copies::open(Arc::new(file_system.clone()), directory.path(), small_chunks()).unwrap();
    let reader = remote(&copies, 0, &source).await;
    file_system.set_full(true);
    assert_eq!(reader.read(0, 2_000).await.unwrap(), data[..2_000]);
    until("the writing has failed", || copies.used_bytes() == 0).await;
    file_system.set_full(false);
    assert_eq!(reader.read(2_000, 2_000).await.unwrap(), data[2_000..4_000]);
    until("it is written", || done(&copies, 0) == 2_000).await;
    file_system.set_full(true);
    assert_eq!(reader.read(1_000, 5_000).await.unwrap(), data[1_000..6_000]);
    until("what was written of it is cut off", || copies.used_bytes() == disk_use(directory.path())).await;
    assert_eq!(reader.read(2_000, 2_000).await.unwrap(), data[2_000..4_000]);
    assert_eq!(done(&copies, 0), 2_000);
    file_system.set_full(false);
    // Who asks in the moment in which a failed writing ends has the bytes of its request, and nothing is written for it.
    let written = async {
        while done(&copies, 0) != 5_000 {
            assert_eq!(reader.read(1_000, 5_000).await.unwrap(), data[1_000..6_000]);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("it is written");
    drop((reader, copies));

    let mut settings = small_chunks();
    settings.keep_free_bytes = u64::MAX / 2;
    let copies = open_with(directory.path(), settings);
    let reader = remote(&copies, 0, &source).await;
    assert_eq!(reader.read(0, 10_000).await.unwrap(), data);
    assert_eq!(done(&copies, 0), 5_000);
}
