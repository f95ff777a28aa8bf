//! Shards whose sources are far away, and their local copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dagstore_engine::{Engine, Error, GcOptions};
use dagstore_index::IndexRepo;
use dagstore_testkit::Wired;
use dagstore_testkit::cars::{self, TestCar};
use dagstore_transient::Error as Copy;
use dagstore_types::{ErrorKind, ShardState};
use futures_util::FutureExt;

use super::support::*;

/// A CAR of some 256 KiB: several pieces of a stream, and several checkpoints.
pub(super) fn car() -> TestCar {
    cars::numbered(64, 4096)
}

pub(super) fn size(car: &TestCar) -> u64 {
    car.bytes.len() as u64
}

/// A world with one source, at `wire:a`.
pub(super) fn world_with(car: &TestCar) -> World {
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    world
}

pub(super) fn kind_of(error: &Error) -> Option<ErrorKind> {
    if let Error::Failed { source, .. } = error { Some(source.kind()) } else { None }
}

/// Evicts the copy of `a`, which no accessor has open.
pub(super) async fn evict(engine: &Engine) {
    engine.evict("a", false).await.unwrap();
}

#[tokio::test]
async fn a_remote_shard_is_indexed_while_it_is_fetched_and_read_once() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    read_all(&engine, "a", &car).await;
    let counts = world.wire.counts();
    assert_eq!((counts.streams, counts.reads, counts.bytes), (1, 0, size(&car)));
    let copies = engine.copies();
    assert_eq!(copies[0].key, Some("a".parse().unwrap()));
    engine.close().await.unwrap();

    let engine = world.open().await;
    read_all(&engine, "a", &car).await;
    assert_eq!(world.wire.counts().bytes, size(&car), "the copy is used after opening again");
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_acquire_a_shard_it_is_fetched_once() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    assert_eq!(world.wire.counts().streams, 0);
    let acquires = (0..64).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.acquire("a").await.map(drop) })
    });
    for acquire in acquires.collect::<Vec<_>>() {
        acquire.await.unwrap().unwrap();
    }
    let counts = world.wire.counts();
    // It is looked whether it has an index inside.
    assert_eq!((counts.streams, counts.reads, counts.bytes), (1, 1, size(&car) + 51));
    // Without a validator it can't be read piece by piece.
    world.wire.put("b", Wired::without_validator(car.bytes.clone()));
    engine.destroy("a").await.unwrap();
    engine.register("a", "wire:b").await.unwrap();
    evict(&engine).await;
    let acquires = (0..64).map(|_| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.acquire("a").await.map(drop) })
    });
    for acquire in acquires.collect::<Vec<_>>() {
        acquire.await.unwrap().unwrap();
    }
    let counts = world.wire.counts();
    assert_eq!((counts.streams, counts.bytes), (3, 3 * size(&car) + 51), "after the copy was evicted");
}

/// A store that makes copies again reads no more of the source than is missing.
#[tokio::test]
async fn a_fetch_goes_on_after_a_crash_where_it_was() {
    for is_closed in [false, true] {
        let car = car();
        let world = world_with(&car);
        world.wire.change("a", |source| source.hangs_at = Some(200_000));
        let engine = world.open().await;
        engine.register("a", "wire:a").detached().await.unwrap();
        until("half of it is there", || engine.copies().iter().any(|copy| copy.info.done >= 131_072)).await;
        if is_closed {
            engine.close().await.unwrap();
        } else {
            world.crash(engine).await;
        }
        world.wire.change("a", |source| source.hangs_at = None);
        let files = world.copy_files();
        assert!(files.iter().any(|(name, _)| name.ends_with(".part")), "{files:?}");

        let engine = world.open().await;
        engine.resumed().await.unwrap();
        read_all(&engine, "a", &car).await;
        let again = world.wire.counts().bytes.saturating_sub(size(&car));
        assert!(again <= 200_000 - 131_072, "{again} bytes came twice");
        assert_eq!(world.copy_files().len(), 2, "one copy and what is kept about it: {:?}", world.copy_files());
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn while_there_is_a_copy_the_source_may_be_gone() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    engine.close().await.unwrap();
    world.wire.remove("a");

    let engine = world.open().await;
    read_all(&engine, "a", &car).await;
    engine.rebuild_index("a").await.unwrap();
    read_all(&engine, "a", &car).await;
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    let kept = engine.evict("a", false).await;
    assert!(matches!(&kept, Err(Error::Copy { source: Copy::Kept { .. }, .. })), "{kept:?}");
    let idle = {
        let mut options = GcOptions::default();
        options.idle_copies = true;
        options
    };
    let report = engine.gc_with(idle).await.unwrap();
    assert_eq!((report.copies_removed, report.kept.len()), (0, 1), "{report:?}");
    read_all(&engine, "a", &car).await;
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    assert!(engine.evict("a", true).await.unwrap() > size(&car));
    let gone = engine.acquire("a").await.unwrap_err();
    assert_eq!(kind_of(&gone), Some(ErrorKind::SourceMissing), "{gone:?}");
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available, "a source that is missing may come back");
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    read_all(&engine, "a", &car).await;
}

/// What is fetched again must be what was indexed, whether the source can tell or not.
#[tokio::test]
async fn another_content_is_never_read_with_the_old_index() {
    let (car, other) = (car(), cars::of_blocks((0..64_u8).map(|at| vec![at; 4096])));
    assert_eq!(size(&car), size(&other));
    let sources: [fn(&TestCar, u32) -> Wired; 2] =
        [|car, version| Wired::new(car.bytes.clone(), version), |car, _| Wired::without_validator(car.bytes.clone())];
    for source in sources {
        let world = World::with_copies(None);
        world.wire.put("a", source(&car, 1));
        let engine = world.open().await;
        engine.register("a", "wire:a").await.unwrap();
        evict(&engine).await;
        read_all(&engine, "a", &car).await;
        evict(&engine).await;
        world.wire.put("a", source(&other, 2));
        let changed = engine.acquire("a").await.unwrap_err();
        assert_eq!(kind_of(&changed), Some(ErrorKind::SourceChanged), "{changed:?}");
        assert_eq!(engine.info("a").unwrap().state, ShardState::Errored);
        engine.recover("a").await.unwrap();
        read_all(&engine, "a", &other).await;
        engine.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_bad_source_leaves_nothing_that_the_next_attempt_meets() {
    let car = car();
    let world = World::with_copies(None);
    let mut broken = car.bytes.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    // The same validator: what was fetched could be gone on with, if it weren't known to be bad.
    world.wire.put("a", Wired::new(broken, 1));
    let engine = world.open_with(|options| options.verify_on_index = true).await.unwrap();
    let failed = engine.register("a", "wire:a").await.unwrap_err();
    assert_eq!(kind_of(&failed), Some(ErrorKind::Integrity), "{failed:?}");
    assert_eq!(world.copy_files(), [], "what was fetched of a bad source");
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &car).await;
}

#[tokio::test]
async fn a_source_that_breaks_off_is_gone_on_with_when_the_shard_is_recovered() {
    let car = car();
    let world = world_with(&car);
    world.wire.change("a", |source| source.breaks_at = Some(150_000));
    let engine = world.open().await;
    let failed = engine.register("a", "wire:a").await.unwrap_err();
    assert_eq!(kind_of(&failed), Some(ErrorKind::SourceUnavailable), "{failed:?}");
    world.wire.change("a", |source| source.breaks_at = None);
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &car).await;
    assert_eq!(world.wire.counts().bytes, size(&car));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_holds_while_everybody_is_served() {
    let (shards, readers) = (20, 16);
    let car = cars::numbered(16, 4096);
    let quota = 5 * (size(&car) + 1024);
    let world = World::with_copies(Some(quota));
    let engine = world.open().await;
    for shard in 0..shards {
        world.wire.put(&shard.to_string(), Wired::new(car.bytes.clone(), 1));
        engine.register(&format!("{shard}"), &format!("wire:{shard}")).lazy().await.unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let (directory, over) = (world.copies.as_ref().unwrap().path().to_owned(), done.clone());
    let sampler = std::thread::spawn(move || {
        let mut most = 0;
        while !over.load(Ordering::Relaxed) {
            let sizes = std::fs::read_dir(&directory).unwrap().filter_map(|entry| entry.ok()?.metadata().ok());
            most = most.max(sizes.map(|metadata| metadata.len()).sum());
            std::thread::yield_now();
        }
        most
    });
    let reading = (0..readers).map(|reader| {
        let (engine, car) = (engine.clone(), car.clone());
        tokio::spawn(async move {
            for at in 0..shards {
                read_all(&engine, &format!("{}", (at * 7 + reader * 3) % shards), &car).await;
            }
        })
    });
    for reader in reading.collect::<Vec<_>>() {
        answered("everybody is served", reader).await.unwrap();
    }
    done.store(true, Ordering::Relaxed);
    let most = sampler.join().unwrap();
    assert!(most <= quota && most > quota / 2, "{most} of {quota}");
    assert!(engine.copies_used_bytes() <= quota);
}

/// A block of a shard that was indexed, and whose copy is gone, costs a piece of it and not all of it.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_copy_a_block_costs_a_piece() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    evict(&engine).await;
    let before = world.wire.counts();
    let (cid, data) = &car.blocks[40];
    let shard = engine.acquire("a").await.unwrap();
    assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    let asked = world.wire.counts();
    assert!(asked.bytes - before.bytes <= size(&car) / 2 && asked.streams == before.streams, "{asked:?}");
    engine.close().await.unwrap();
    drop(shard);

    let engine = world.open().await;
    let asked = world.wire.counts();
    assert_eq!(engine.acquire("a").await.unwrap().blockstore().get(cid).await.unwrap(), *data);
    assert_eq!(world.wire.counts().bytes, asked.bytes, "what was read once is on disk, also after opening again");
    read_all(&engine, "a", &car).await;
    let shard = engine.acquire("a").await.unwrap();
    engine.pin("a").await.unwrap();
    assert!(engine.acquire_local("a").await.is_err(), "what is open stays as it is");
    assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    drop(shard);
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    assert!(engine.acquire_local("a").await.unwrap().is_local());
    assert_eq!(world.copy_files().len(), 2, "the pieces went when the copy was there: {:?}", world.copy_files());

    engine.unpin("a").await.unwrap();
    evict(&engine).await;
    let shard = engine.acquire("a").await.unwrap();
    world.wire.put("a", Wired::new(car.bytes.clone(), 2));
    let changed = shard.blockstore().get(cid).await.unwrap_err();
    assert!(matches!(changed, Error::Car(_)), "{changed:?}");
    drop(shard);
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    let changed = engine.acquire("a").await.unwrap_err();
    assert_eq!(kind_of(&changed), Some(ErrorKind::SourceChanged), "{changed:?}");
}

#[tokio::test]
async fn a_shard_is_acquired_only_if_it_is_here() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    let not_local = |acquired: Result<_, Error>| matches!(acquired.map(drop), Err(Error::NotLocal(_)));
    assert!(not_local(engine.acquire_local("a").await));
    assert_eq!(world.wire.counts().streams, 0);
    engine.acquire("a").await.unwrap();
    assert!(engine.acquire_local("a").await.unwrap().is_local());
    evict(&engine).await;
    let far = engine.acquire("a").await.unwrap();
    assert!(!far.is_local() && not_local(engine.acquire_local("a").await));
    drop(far);
    engine.destroy("a").await.unwrap();
    world.wire.put("a", Wired::without_validator(car.bytes.clone()));
    engine.register("a", "wire:a").await.unwrap();
    evict(&engine).await;
    world.wire.change("a", |source| source.hangs_at = Some(0));
    let mut fetching = Box::pin(engine.acquire("a"));
    assert!(fetching.as_mut().now_or_never().is_none());
    let acquired = answered("whoever wants what is here doesn't wait for a fetch", engine.acquire_local("a")).await;
    assert!(not_local(acquired));
    engine.register("here", URL).await.unwrap();
    engine.acquire_local("here").await.unwrap();
}

/// A copy is here, but not of what was indexed, or the index is lost: an acquire would fetch.
#[tokio::test]
async fn nothing_is_fetched_for_one_who_wants_what_is_here() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    engine.close().await.unwrap();
    drop(engine);
    let index = world.index_repo.list().unwrap()[0];
    world.index_repo.remove(index).unwrap();
    let engine = world.open().await;
    let before = world.wire.counts();
    assert!(matches!(engine.acquire_local("a").await.map(drop), Err(Error::NotLocal(_))));
    assert_eq!(world.wire.counts(), before, "the source was asked");
}

#[tokio::test]
async fn a_store_without_copies_says_so() {
    let car = car();
    let world = World::new();
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    let engine = world.open().await;
    assert!(matches!(engine.register("a", "wire:a").await, Err(Error::NeedsCopy { .. })));
    assert_eq!(engine.shards(), []);
    assert!(
        !world
            .registry()
            .instantiate(&dagstore_mount::MountUrl::parse("wire:a").unwrap())
            .unwrap()
            .capabilities()
            .opens
    );
}
