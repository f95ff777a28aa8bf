//! The store tries again by itself what may pass.

use std::time::Duration;

use dagstore_engine::{Engine, Error, Retry, ShardInfo};
use dagstore_types::{ErrorKind, ShardState};

use super::support::*;

const PAUSE: Duration = Duration::from_secs(1);
const MOST: u32 = 3;

async fn open(world: &World) -> Engine {
    let mut retry = Retry::default();
    retry.max_retries = MOST;
    retry.first_pause = PAUSE;
    retry.longest_pause = 8 * PAUSE;
    world.open_with(|options| options.retry = Some(retry)).await.unwrap()
}

fn info(engine: &Engine) -> ShardInfo {
    engine.info("a").unwrap()
}

/// How long it takes from now until the shard is tried again.
fn until_next_try(world: &World, engine: &Engine) -> Duration {
    let next = info(engine).next_try.expect("the time of the next try");
    Duration::from_millis(next.0.checked_sub(world.clock.now().0).expect("a time to come"))
}

/// Waits until the store has tried so often, and has failed.
async fn tried(engine: &Engine, retries: u32) {
    let is_tried = || info(engine).state == ShardState::Errored && info(engine).retries == retries;
    until(&format!("{retries} tries"), is_tried).await;
}

/// A store with a shard whose source can't be read.
async fn open_failed(world: &World) -> Engine {
    let engine = open(world).await;
    world.gate.set_broken(true);
    let registered = engine.register("a", URL).await;
    assert!(
        matches!(&registered, Err(Error::Failed { source, .. }) if source.kind() == ErrorKind::SourceUnavailable),
        "{registered:?}"
    );
    engine
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_is_tried_again_until_it_has() {
    let world = World::with_virtual_time();
    let engine = open_failed(&world).await;
    for retries in 0..2 {
        tried(&engine, retries).await;
        let longest = PAUSE * 2_u32.pow(retries);
        let pause = until_next_try(&world, &engine);
        // Up to 100 ms of it are over: the sleep below goes on behind the try.
        assert!(longest / 2 <= pause + Duration::from_millis(150) && pause <= longest, "{pause:?} of {longest:?}");
        // Nothing happens before its time.
        let opens = world.gate.opens();
        tokio::time::sleep(pause.saturating_sub(Duration::from_millis(100))).await;
        assert_eq!((world.gate.opens(), info(&engine).retries), (opens, retries));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tried(&engine, 2).await;
    world.gate.set_broken(false);
    until("the shard is Available", || info(&engine).state == ShardState::Available).await;
    assert_eq!((info(&engine).retries, info(&engine).next_try, info(&engine).error), (0, None, None));
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn tries_come_to_an_end() {
    let world = World::with_virtual_time();
    let engine = open_failed(&world).await;
    tried(&engine, MOST).await;
    assert_eq!(info(&engine).next_try, None);
    tokio::time::sleep(100 * PAUSE).await;
    assert_eq!(world.gate.opens(), u64::from(1 + MOST));
    assert_eq!((info(&engine).state, info(&engine).retries), (ShardState::Errored, MOST));
}

#[tokio::test(start_paused = true)]
async fn count_and_time_are_kept_over_a_restart() {
    let world = World::with_virtual_time();
    let engine = open_failed(&world).await;
    tried(&engine, 1).await;
    let (opens, next_try) = (world.gate.opens(), info(&engine).next_try);
    assert!(next_try.is_some());
    world.crash(engine).await;

    let paused = world.open_paused().await;
    assert_eq!((info(&paused).retries, info(&paused).next_try), (1, next_try));
    drop(paused);
    let engine = open(&world).await;
    engine.resumed().await.unwrap();
    assert_eq!((info(&engine).retries, info(&engine).next_try), (1, next_try));
    tokio::time::sleep(until_next_try(&world, &engine).saturating_sub(Duration::from_millis(100))).await;
    assert_eq!(world.gate.opens(), opens, "nothing is tried before its time");
    tried(&engine, MOST).await;
    assert_eq!(world.gate.opens(), u64::from(1 + MOST), "the tries of both processes are counted together");
    tokio::time::sleep(100 * PAUSE).await;
    assert_eq!(world.gate.opens(), u64::from(1 + MOST));
}

#[tokio::test(start_paused = true)]
async fn a_time_that_passed_while_the_store_was_closed_is_made_up_for() {
    let world = World::with_virtual_time();
    let engine = open_failed(&world).await;
    tried(&engine, 0).await;
    engine.close().await.unwrap();
    world.gate.set_broken(false);
    tokio::time::sleep(100 * PAUSE).await;
    let engine = open(&world).await;
    until("the shard is Available", || info(&engine).state == ShardState::Available).await;
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not_tried_again() {
    let world = World::with_virtual_time();
    let engine = open(&world).await;
    world.gate.serve(Some(bytes::Bytes::from_static(b"this is no CAR")));
    engine.register("a", URL).await.unwrap_err();
    assert_eq!((info(&engine).state, info(&engine).next_try), (ShardState::Errored, None));
    let opens = world.gate.opens();
    world.gate.serve(Some(world.car.bytes.clone().into()));
    tokio::time::sleep(100 * PAUSE).await;
    assert_eq!((world.gate.opens(), info(&engine).state), (opens, ShardState::Errored));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_by_hand_begins_to_count_again() {
    let world = World::with_virtual_time();
    let engine = open_failed(&world).await;
    tried(&engine, MOST).await;
    assert!(matches!(engine.recover("a").await, Err(Error::Failed { .. })));
    assert_eq!(info(&engine).retries, 0);
    assert!(until_next_try(&world, &engine) <= PAUSE);
    tried(&engine, MOST).await;
    assert_eq!(world.gate.opens(), u64::from(2 * (1 + MOST)));
    engine.recover("a").await.unwrap_err();
    world.gate.set_broken(false);
    engine.recover("a").await.unwrap();
    // The try that was to come finds nothing to do.
    let opens = world.gate.opens();
    tokio::time::sleep(100 * PAUSE).await;
    assert_eq!((world.gate.opens(), info(&engine).state), (opens, ShardState::Available));
}
