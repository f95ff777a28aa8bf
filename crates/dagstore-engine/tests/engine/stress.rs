//! Everything at once on few keys, with callers that go away. Nobody may wait for ever, and the store must come back whole.

use std::time::Duration;

use dagstore_datastore::ErrorClass;
use dagstore_engine::{Engine, ShardAccessor};
use dagstore_testkit::FaultyDatastore;
use dagstore_types::ShardState;

use super::support::*;

const WORKERS: u64 = 8;
const STEPS: u64 = 100;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    /// A number from 0 to `sides - 1`.
    fn roll(&mut self, sides: u64) -> u64 {
        // Xorshift; zero would stay zero, which no seed here is.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % sides
    }
}

/// One thing that a caller may ask. What is answered doesn't matter here.
async fn ask(engine: &Engine, key: &str, what: u64, accessors: &mut Vec<ShardAccessor>) {
    match what {
        0..3 => drop(engine.register(key, URL).lazy().await),
        3 => drop(engine.register(key, URL).await),
        4..7 => accessors.extend(engine.acquire(key).await),
        7 => drop(engine.destroy(key).await),
        8 => drop(engine.gc().await),
        _ => drop(engine.recover(key).await),
    }
}

async fn work(engine: Engine, seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut accessors = Vec::new();
    for step in 0..STEPS {
        let key = match dice.roll(3) {
            0 => "a",
            1 => "b",
            _ => "c",
        };
        let what = dice.roll(10);
        if accessors.len() > 2 || what == 7 {
            accessors.clear();
        }
        let asking = ask(&engine, key, what, &mut accessors);
        if dice.roll(7) == 0 {
            let patience = Duration::from_micros(dice.roll(800));
            let _goes_away = tokio::time::timeout(patience, asking).await;
        } else {
            answered(&format!("seed {seed}, step {step}: request {what} for {key}"), asking).await;
        }
    }
}

/// Fails writes for a while, again and again; some of them for longer than anybody has patience.
async fn disturb(datastore: FaultyDatastore) {
    for round in 0.. {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let class = if round % 2 == 0 { ErrorClass::Transient } else { ErrorClass::Permanent };
        datastore.fail_writes(class, 2, 1 + round % 4);
    }
}

/// Lets workers work, then opens the store again and looks whether it is whole.
async fn stress(world: &World, round: u64, failing: bool) {
    let change = |options: &mut dagstore_engine::Options| {
        options.max_indexing = 2;
        options.persist_deadline = Duration::from_millis(20);
    };
    let engine = world.open_with(change).await.unwrap();
    let disturbing = failing.then(|| tokio::spawn(disturb(world.datastore.clone())));
    let seeds = (1..=WORKERS).map(|worker| round * WORKERS + worker);
    let working: Vec<_> = seeds.map(|seed| tokio::spawn(work(engine.clone(), seed))).collect();
    for worker in working {
        worker.await.unwrap();
    }
    if let Some(disturbing) = disturbing {
        disturbing.abort();
    }
    world.datastore.heal();
    until("all references are back", || engine.shards().iter().all(|shard| shard.references == 0)).await;
    answered("closing", engine.close()).await.unwrap();
    drop(engine);

    let engine = world.open().await;
    answered("resuming", engine.resumed()).await.unwrap();
    assert_eq!(engine.quarantined(), []);
    engine.gc().await.unwrap();
    let available = engine.shards().iter().filter(|shard| shard.state == ShardState::Available).count();
    assert_eq!(world.indices(), available, "every index belongs to a shard: {:?}", engine.shards());
    engine.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_store_stays_whole_with_many_callers_on_several_threads() {
    for round in 0..4 {
        stress(&World::new(), round, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_stays_whole_with_many_callers_and_a_failing_datastore() {
    for round in 0..4 {
        stress(&World::new(), round, true).await;
    }
}
