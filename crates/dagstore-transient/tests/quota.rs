//! Room: the quota, the line of those who wait, eviction.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::weighing::Weighing;
use common::{Source, content, disk_use, files, mount, name, open_with, options, read, until};
use dagstore_fs::OwnName;
use dagstore_mount::Stat;
use dagstore_testkit::FaultyFileSystem;
use dagstore_transient::{Copies, CopyState, Error, Options, Sources};

const MIB: usize = 1 << 20;

fn with_quota(quota_bytes: u64) -> Options {
    let mut options = options();
    options.quota_bytes = Some(quota_bytes);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn forty_copies_and_sixteen_readers_stay_within_a_quota_of_ten() {
    let directory = tempfile::tempdir().unwrap();
    let weighing = Weighing::new(directory.path());
    let (most, calls) = (Arc::clone(&weighing.most), Arc::clone(&weighing.calls));
    let quota = 10 * MIB as u64;
    let mut settings = with_quota(quota);
    (settings.chunk_bytes, settings.checkpoint_bytes) = (128 << 10, 256 << 10);
    let copies = Copies::open(Arc::new(weighing), directory.path(), settings).unwrap();
    let sources: Arc<Vec<_>> = Arc::new((0..40).map(|number| Source::new(content(number, MIB), Some("v1"))).collect());
    sources.iter().for_each(|source| source.change(|manners| manners.piece_bytes = 64 << 10));
    let readers = (0..16_usize).map(|reader| {
        let (copies, sources) = (copies.clone(), Arc::clone(&sources));
        tokio::spawn(async move {
            for step in 0..20 {
                let number = (reader * 7 + step * 3) % 40;
                let lease = copies.fetch(name(number as u64), mount(&sources[number]), None, None).await.unwrap();
                assert!(read(&lease) == content(number as u64, MIB), "{number}");
                if step % 5 == reader % 5 {
                    // One of those who wait for nobody any more.
                    let (copies, mount) = (copies.clone(), mount(&sources[(number + 1) % 40]));
                    let ask = tokio::spawn(async move {
                        drop(copies.fetch(name((number as u64 + 1) % 40), mount, None, None).await);
                    });
                    ask.abort();
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
    assert_eq!(copies.used_bytes() / MIB as u64, disk_use(directory.path()) / MIB as u64);
}

#[tokio::test]
async fn what_can_never_fit_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(1, 10_000), Some("v1"));
    let copies = open_with(directory.path(), with_quota(10_000));
    let error = copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { quota: 10_000, .. }), "{error}");
    assert_eq!((source.streams(), files(directory.path()).len()), (0, 0));
}

#[tokio::test]
async fn the_least_recently_used_goes_and_what_is_pinned_or_open_stays() {
    let directory = tempfile::tempdir().unwrap();
    let sources: Vec<_> = (0..6).map(|number| Source::new(content(number, 10_000), Some("v1"))).collect();
    let mut settings = with_quota(45_000);
    let ticks = Ticks::default();
    settings.clock = Arc::new(ticks);
    let copies = open_with(directory.path(), settings);
    let fetch = async |number: usize| copies.fetch(name(number as u64), mount(&sources[number]), None, None).await;
    for number in 0..4 {
        drop(fetch(number).await.unwrap());
    }
    copies.pin(name(1)).await.unwrap();
    let open = fetch(2).await.unwrap();
    drop(fetch(0).await.unwrap());
    drop(fetch(4).await.unwrap());
    let there = || copies.list().into_iter().map(|info| info.name).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(there(), [0, 1, 2, 4].map(name).into());
    drop(fetch(5).await.unwrap());
    assert_eq!(there(), [1, 2, 4, 5].map(name).into());
    assert_eq!(read(&open), content(2, 10_000));
}

/// A clock that never shows a time twice.
#[derive(Debug, Default)]
struct Ticks(AtomicU64);

impl dagstore_fs::Clock for Ticks {
    fn now(&self) -> dagstore_types::UnixMillis {
        dagstore_types::UnixMillis(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_order_bounded_and_not_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let sources: Vec<_> = (0..5).map(|number| Source::new(content(number, 10_000), Some("v1"))).collect();
    let mut settings = with_quota(15_000);
    settings.max_waiters = 2;
    let copies = open_with(directory.path(), settings);
    let first = copies.fetch(name(0), mount(&sources[0]), None, None).await.unwrap();
    let ask = |number: usize| {
        let (copies, mount) = (copies.clone(), mount(&sources[number]));
        tokio::spawn(async move { copies.fetch(name(number as u64), mount, None, None).await })
    };
    let waiting = [ask(1), ask(2)];
    until("both stand in line", || sources[1..3].iter().all(|source| source.stats.load(Ordering::Relaxed) == 1)).await;
    let error = copies.fetch(name(3), mount(&sources[3]), None, None).await.unwrap_err();
    assert!(matches!(error, Error::TooManyWaiters { most: 2, .. }), "{error}");
    assert!(waiting.iter().all(|ask| !ask.is_finished()));
    for ask in waiting {
        let error = ask.await.unwrap().unwrap_err();
        assert!(matches!(error, Error::NoRoom { disk: None, .. }), "{error}");
    }
    let [second, third] = [ask(1), ask(2)];
    drop(first);
    let lease = second.await.unwrap().unwrap();
    assert!(!third.is_finished(), "two where there is room for one");
    drop(lease);
    drop(third.await.unwrap().unwrap());
}

/// Sources that have another content by now, or still the one with the validator `v1`.
#[derive(Debug, Default)]
struct Known(AtomicBool);

impl Sources for Known {
    fn still_has(&self, _: OwnName, content: Stat) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let has = Stat::new(10_000, Some(if self.0.load(Ordering::Relaxed) { "v1" } else { "v2" }.to_owned()));
        Box::pin(async move { has.same_content(&content) })
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_copy_is_not_evicted_for_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let sources: Vec<_> = (0..2).map(|number| Source::new(content(number, 10_000), Some("v1"))).collect();
    let known = Arc::new(Known::default());
    let mut settings = with_quota(15_000);
    settings.sources = Some(Arc::<Known>::clone(&known));
    let copies = open_with(directory.path(), settings);
    // That it was seen when it was fetched says nothing of what is there by now.
    drop(copies.fetch(name(0), mount(&sources[0]), None, None).await.unwrap());
    let error = copies.fetch(name(1), mount(&sources[1]), None, None).await.unwrap_err();
    assert!(matches!(error, Error::NoRoom { .. }), "{error}");
    assert_eq!(copies.list()[0].name, name(0));
    known.0.store(true, Ordering::Relaxed);
    drop(copies.fetch(name(1), mount(&sources[1]), None, None).await.unwrap());
    assert_eq!(copies.list().iter().map(|info| info.name).collect::<Vec<_>>(), [name(1)]);
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_was_durable_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (data, file_system) = (content(1, 50_000), FaultyFileSystem::faultless());
    let source = Source::new(data.clone(), Some("v1"));
    let copies = Copies::open(Arc::new(file_system.clone()), directory.path(), options()).unwrap();
    let filling = file_system.clone();
    let observer = move |offset: u64, _: &[u8]| {
        filling.set_full(offset > 20_000);
        std::ops::ControlFlow::Continue(())
    };
    let error = copies.fetch(name(1), mount(&source), None, Some(Box::new(observer))).await.unwrap_err();
    assert!(matches!(error, Error::DiskFull { .. }), "{error}");
    let info = copies.list().remove(0);
    assert_eq!(info.state, CopyState::Partial);
    assert!(info.done >= 8_000, "{}", info.done);
    assert!(copies.used_bytes() >= disk_use(directory.path()));
    file_system.set_full(false);
    let before = source.given();
    assert_eq!(read(&copies.fetch(name(1), mount(&source), None, None).await.unwrap()), data);
    assert_eq!(source.given() - before, 50_000 - info.done);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_stay_free_on_the_disk_stays_free() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = options();
    settings.keep_free_bytes = u64::MAX / 2;
    settings.room_deadline = Duration::from_secs(5);
    let source = Source::new(content(1, 10_000), Some("v1"));
    let copies = open_with(directory.path(), settings);
    let error = copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    assert!(matches!(error, Error::NoRoom { disk: Some((_, keep_free)), .. } if keep_free == u64::MAX / 2), "{error}");
    assert!(error.to_string().contains("make room on the disk"), "{error}");
    assert_eq!(source.streams(), 0);
}

/// Many do everything at once: nobody is stuck, nothing that is read is wrong, and the accounts are right to the byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_accounts_are_right_behind_a_crowd() {
    let directory = tempfile::tempdir().unwrap();
    let copies = open_with(directory.path(), with_quota(35_000));
    let sources: Arc<Vec<_>> =
        Arc::new((0..6).map(|number| Source::new(content(number, 10_000), Some("v1"))).collect());
    let crowd = (0..8_u64).map(|seed| {
        let (copies, sources) = (copies.clone(), Arc::clone(&sources));
        tokio::spawn(async move {
            for choice in content(100 + seed, 400).chunks_exact(2) {
                let number = u64::from(choice[0]) % 6;
                let source = &sources[usize::try_from(number).unwrap()];
                match choice[1] % 16 {
                    0 => drop(copies.cancel(name(number)).await),
                    1 => drop(copies.pin(name(number)).await),
                    2..=4 => drop(copies.unpin(name(number)).await),
                    5 => drop(copies.evict(name(number), true, true).await),
                    6 => drop(copies.gc(|found| found.registration.0 % 2 == 0, false).await),
                    7 => source.change(|manners| manners.breaks_at = Some(7_000)),
                    8 => {
                        let fetch = copies.fetch(name(number), mount(source), None, None);
                        drop(tokio::time::timeout(Duration::from_micros(300), fetch).await);
                    }
                    _ => {
                        source.change(|manners| manners.breaks_at = None);
                        // At most three fit, and pins of others may take all the room for a while.
                        let fetch = copies.fetch(name(number), mount(source), None, None);
                        if let Ok(Ok(lease)) = tokio::time::timeout(Duration::from_millis(50), fetch).await {
                            assert!(read(&lease) == content(number, 10_000), "{number}");
                        }
                    }
                }
            }
        })
    });
    for one in crowd.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    // Whatever the crowd has left, a partial copy is among it.
    for number in 0..6 {
        let _ = copies.unpin(name(number)).await;
    }
    let _ = copies.evict(name(0), true, true).await;
    sources[0].change(|manners| manners.breaks_at = Some(7_000));
    let error = copies.fetch(name(0), mount(&sources[0]), None, None).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    copies.close().await;
    let metas = || files(directory.path()).into_iter().filter(|file| file.ends_with(".meta"));
    let sidecars = || metas().map(|file| directory.path().join(file).metadata().unwrap().len()).sum::<u64>();
    // Beside each sidecar there is room for the next one.
    until("all is counted", || copies.used_bytes() == disk_use(directory.path()) + sidecars()).await;
    assert!(copies.used_bytes() <= 35_000);
    assert!(copies.list().iter().all(|info| !info.is_in_use && info.state != CopyState::Fetching));
}
