//! Local copies whose bytes have changed on disk.

use std::path::PathBuf;

use dagstore_engine::{Engine, Error, Verify};
use dagstore_index::IndexRepo;
use dagstore_testkit::Wired;
use dagstore_testkit::cars::{self, TestCar};
use dagstore_types::{ErrorKind, ShardState};
use futures_util::TryStreamExt;

use super::support::*;
use super::verifying::{found, names};

/// The block whose bytes change.
const BAD: usize = 20;

fn car() -> TestCar {
    cars::numbered(64, 4096)
}

/// A store with a copy of `a`, in which a bit has changed meanwhile.
async fn with_rot(car: &TestCar) -> (World, Engine) {
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    let engine = world.open_with(|options| options.verify_on_index = true).await.unwrap();
    engine.register("a", "wire:a").await.unwrap();
    rot(&world, &engine, car).await;
    (world, engine)
}

/// Changes a bit of the block in the copy.
async fn rot(world: &World, engine: &Engine, car: &TestCar) {
    let shard = engine.acquire("a").await.unwrap();
    let entries: Vec<_> = shard.blockstore().blocks().try_collect().await.unwrap();
    assert_eq!(entries[BAD].cid, car.blocks[BAD].0);
    let path = copy(world);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(entries[BAD].data_offset).unwrap() + 100] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// The only copy's file.
fn copy(world: &World) -> PathBuf {
    let files = world.copy_files();
    let (name, _) = files.iter().find(|(name, _)| name.ends_with(".copy")).unwrap_or_else(|| panic!("{files:?}"));
    world.copies.as_ref().unwrap().path().join(name)
}

async fn get(engine: &Engine, car: &TestCar, nth: usize) -> Result<bytes::Bytes, Error> {
    engine.acquire("a").await.unwrap().blockstore().get(&car.blocks[nth].0).await
}

fn assert_damaged(read: Result<bytes::Bytes, Error>) {
    let wrong = read.expect_err("the block is damaged");
    assert!(matches!(wrong, Error::Car(dagstore_car::Error::Integrity { .. })), "{wrong:?}");
}

#[tokio::test]
async fn a_copy_with_a_damaged_block_is_given_up_and_the_source_is_read() {
    let car = car();
    let (world, engine) = with_rot(&car).await;
    let open = engine.acquire("a").await.unwrap();
    let bytes_before = world.wire.counts().bytes;
    assert_damaged(get(&engine, &car, BAD).await);
    assert!(engine.copies().is_empty(), "{:?}", engine.copies());
    assert_eq!(world.wire.counts().bytes, bytes_before, "who reads a damaged block waits for no fetch");
    read_all(&engine, "a", &car).await;
    assert_eq!(open.blockstore().get(&car.blocks[0].0).await.unwrap(), car.blocks[0].1, "who has it open goes on");
    assert_eq!(engine.info("a").unwrap().state, ShardState::Serving);
}

#[tokio::test]
async fn a_verification_gives_a_damaged_copy_up() {
    let car = car();
    let (_world, engine) = with_rot(&car).await;
    for wrong in [1, 0] {
        let shard = engine.acquire("a").await.unwrap();
        let steps: Vec<_> = engine.verify(&shard, Verify::Data).try_collect().await.unwrap();
        assert_eq!(steps.iter().map(|step| step.findings.len()).sum::<usize>(), wrong);
    }
}

/// What follows the damage can't be looked at in it.
#[tokio::test]
async fn a_verification_gives_a_copy_up_whose_sections_can_not_be_told_apart() {
    let car = car();
    let (world, engine) = with_rot(&car).await;
    let shard = engine.acquire("a").await.unwrap();
    let entries: Vec<_> = shard.blockstore().blocks().try_collect().await.unwrap();
    drop(shard);
    let mut bytes = std::fs::read(copy(&world)).unwrap();
    let length = usize::try_from(entries[BAD].offset).unwrap();
    bytes[length..length + 2].fill(0xff);
    std::fs::write(copy(&world), bytes).unwrap();
    for wrong in [vec!["unreadable"], vec![]] {
        assert_eq!(names(&found(&engine, Verify::Data).await.0), wrong);
    }
}

/// Most of it is whole, and there is nothing else.
#[tokio::test]
async fn a_damaged_copy_that_may_be_the_last_stays() {
    let car = car();
    let (world, engine) = with_rot(&car).await;
    for is_gone in [false, true] {
        // Another content is as bad as none.
        world.wire.put("a", Wired::new(cars::numbered(3, 10).bytes, 2));
        if is_gone {
            world.wire.remove("a");
        }
        assert_damaged(get(&engine, &car, BAD).await);
        assert_eq!(get(&engine, &car, 0).await.unwrap(), car.blocks[0].1);
        assert_eq!(engine.copies().len(), 1);
    }
}

#[tokio::test]
async fn a_damaged_copy_that_is_pinned_stays() {
    let car = car();
    let (_world, engine) = with_rot(&car).await;
    engine.pin("a").await.unwrap();
    assert_damaged(get(&engine, &car, BAD).await);
    assert!(engine.copies()[0].info.is_pinned);
}

/// A block may be as bad at the source. It is no reason to fetch everything each time.
#[tokio::test(start_paused = true)]
async fn a_copy_is_not_given_up_again_and_again() {
    let car = car();
    let (world, engine) = with_rot(&car).await;
    let mut given_up = 0;
    for _ in 0..4 {
        assert_damaged(get(&engine, &car, BAD).await);
        if engine.copies().is_empty() {
            given_up += 1;
            engine.pin("a").await.unwrap();
            engine.unpin("a").await.unwrap();
            rot(&world, &engine, &car).await;
        }
    }
    assert_eq!(given_up, 1);
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    assert_damaged(get(&engine, &car, BAD).await);
    assert!(engine.copies().is_empty(), "a minute later it is");
}

#[tokio::test]
async fn a_lost_index_is_built_of_the_source_where_the_copy_is_damaged() {
    let car = car();
    let (world, engine) = with_rot(&car).await;
    lose_index(&world, &engine).await;
    read_all(&engine, "a", &car).await;
    assert_eq!(engine.copies().len(), 1);
    engine.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_copy_outlasts_an_index_that_can_not_be_built_of_it() {
    let car = car();
    for is_pinned in [false, true] {
        let (world, engine) = with_rot(&car).await;
        if is_pinned {
            engine.pin("a").await.unwrap();
        } else {
            world.wire.remove("a");
        }
        lose_index(&world, &engine).await;
        let failed = engine.acquire("a").await.unwrap_err();
        assert!(matches!(&failed, Error::Failed { source, .. } if source.kind() == ErrorKind::Integrity), "{failed:?}");
        assert_eq!(engine.copies().len(), 1, "pinned: {is_pinned}");
        engine.close().await.unwrap();
    }
}

async fn lose_index(world: &World, engine: &Engine) {
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    let index = world.index_repo.list().unwrap()[0];
    world.index_repo.remove(index).unwrap();
}
