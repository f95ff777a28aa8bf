//! Blocks that are answered while their shard is being fetched.

use dagstore_car::RawCid;
use dagstore_engine::{Engine, Error};
use dagstore_testkit::Wired;
use dagstore_testkit::cars::{self, TestCar};
use dagstore_types::{ErrorKind, ShardState};
use futures_util::FutureExt;

use super::support::*;

/// A shard `a` of some 1 MiB, which is fetched up to `hangs_at` and no further.
async fn hanging(world: &World, car: &TestCar, hangs_at: u64) -> Engine {
    world.wire.put("a", Wired { hangs_at: Some(hangs_at), ..Wired::new(car.bytes.clone(), 1) });
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    engine
}

#[tokio::test]
async fn a_block_is_answered_when_it_has_passed() {
    let car = cars::numbered(256, 4096);
    let world = World::with_copies(None);
    let engine = hanging(&world, &car, 600_000).await;
    let [early, late] = [&car.blocks[100], &car.blocks[200]];
    let got = answered("a block that has passed", engine.get("a", &early.0)).await.unwrap();
    assert_eq!(got, early.1);
    assert_eq!(engine.info("a").unwrap().state, ShardState::Initializing, "the fetch goes on");
    let mut waiting = Box::pin(engine.get("a", &late.0));
    assert!(waiting.as_mut().now_or_never().is_none());
    let absent = RawCid::of_data(0x55, b"nowhere");
    let mut nowhere = Box::pin(engine.get("a", &absent));
    assert!(nowhere.as_mut().now_or_never().is_none());
    // Whoever goes away takes nothing along.
    drop(engine.get("a", &late.0).now_or_never());
    world.wire.change("a", |source| source.hangs_at = None);
    assert_eq!(answered("the other block", waiting).await.unwrap(), late.1);
    let nowhere = answered("the absent block", nowhere).await.unwrap_err();
    assert!(matches!(nowhere, Error::BlockNotFound { .. }), "{nowhere:?}");
    assert_eq!(engine.get("a", &early.0).await.unwrap(), early.1);
    assert_eq!(world.wire.counts().streams, 1);
    read_all(&engine, "a", &car).await;
}

#[tokio::test]
async fn a_block_of_a_shard_that_fails_is_answered_with_its_error() {
    let car = cars::numbered(256, 4096);
    let world = World::with_copies(None);
    world.wire.put("a", Wired { breaks_at: Some(600_000), ..Wired::new(car.bytes.clone(), 1) });
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    let failed = answered("the failure", engine.get("a", &car.blocks[200].0)).await.unwrap_err();
    assert!(
        matches!(&failed, Error::Failed { source, .. } if source.kind() == ErrorKind::SourceUnavailable),
        "{failed:?}"
    );
    assert!(matches!(engine.get("absent", &car.blocks[0].0).await, Err(Error::NotFound(_))));
}

/// What passes is hashed, for nobody has looked at it yet.
#[tokio::test]
async fn a_block_that_does_not_match_is_not_answered() {
    let car = cars::numbered(256, 4096);
    let mut broken = car.bytes.clone();
    let at = broken.windows(16).position(|window| *window == car.blocks[50].1[..16]).unwrap();
    broken[at] ^= 1;
    let world = World::with_copies(None);
    let engine = hanging(&world, &TestCar { bytes: broken, ..car.clone() }, 600_000).await;
    let mut waiting = Box::pin(engine.get("a", &car.blocks[50].0));
    assert!(waiting.as_mut().now_or_never().is_none());
    until("it has passed", || {
        assert!(waiting.as_mut().now_or_never().is_none(), "it doesn't match its CID");
        engine.copies().iter().any(|copy| copy.info.done >= 500_000)
    })
    .await;
    world.wire.change("a", |source| source.hangs_at = None);
    let failed = answered("the end", waiting).await.unwrap_err();
    assert!(matches!(failed, Error::Car(dagstore_car::Error::Integrity { .. })), "{failed:?}");
}
