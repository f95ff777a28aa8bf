//! Shards that go by the index inside their CAR until they have one of their own.

use dagstore_car::{CarReader, IndexCodec, RawCid, ReadOptions, V2Options};
use dagstore_engine::{Engine, Error, Remote, Verify};
use dagstore_testkit::Wired;
use dagstore_testkit::cars::{self, TestCar};
use dagstore_types::ShardState;
use futures_util::StreamExt;

use super::support::*;

/// A CARv2 of some 2 MiB with an index inside.
fn car() -> TestCar {
    let mut car = cars::numbered(128, 16 << 10);
    let reader = CarReader::open(std::sync::Arc::new(bytes::Bytes::from(car.bytes.clone())), ReadOptions::default());
    let mut whole = Vec::new();
    reader.unwrap().wrap(V2Options::default().with_index(IndexCodec::MultihashSorted), &mut whole).unwrap();
    car.bytes = whole;
    car
}

async fn lazy(world: &World) -> Engine {
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    engine
}

/// The index inside, changed by `change`, which is shown the digest and offset of each record.
fn with_index(car: &TestCar, mut change: impl FnMut(&[u8], &mut [u8])) -> Vec<u8> {
    let mut bytes = car.bytes.clone();
    for (cid, _) in &car.blocks {
        let digest = cid.multihash().digest().to_vec();
        let index = bytes.len() - car.blocks.len() * 40;
        let at = bytes[index..].windows(digest.len()).position(|window| window == digest).unwrap();
        let at = index + at + digest.len();
        change(&digest, &mut bytes[at..at + 8]);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_block_does_not_cost_the_whole_car() {
    let car = car();
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    let engine = lazy(&world).await;
    let shard = engine.acquire("a").await.unwrap();
    let (cid, data) = &car.blocks[64];
    assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
    assert!(shard.blockstore().has(cid).await.unwrap());
    assert_eq!(shard.blockstore().size(cid).await.unwrap(), data.len() as u64);
    let counts = world.wire.counts();
    assert!(counts.streams == 0 && counts.bytes < car.bytes.len() as u64 / 4, "{counts:?}");
    let info = engine.info("a").unwrap();
    assert_eq!((info.state, info.provisional, shard.is_provisional()), (ShardState::Serving, true, true));
    assert_eq!(world.inverted_rows().await, 0, "rows were made of an index that isn't believed");
    let verified = engine.verify(&shard, Verify::Index).next().await.unwrap();
    assert!(matches!(verified, Err(Error::Provisional(_))), "{verified:?}");
    drop(shard);
    engine.close().await.unwrap();

    let engine = world.open().await;
    assert!(engine.info("a").unwrap().provisional);
    read_all(&engine, "a", &car).await;
    assert_eq!(world.wire.counts().streams, 0);
    engine.rebuild_index("a").await.unwrap();
    let info = engine.info("a").unwrap();
    assert_eq!((info.provisional, world.wire.counts().streams), (false, 1));
    assert_eq!(world.inverted_rows().await, car.blocks.len());
    read_all(&engine, "a", &car).await;
}

/// What becomes of the eight bytes of an offset.
type Lie = fn(&mut [u8]);

/// Neither what it doesn't name nor what it names wrongly is believed of the index inside.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_lies_is_found_out() {
    let car = car();
    let (victim, data) = &car.blocks[64];
    let lies: [(&str, Lie); 4] = [
        ("it names another block's place", |offset| offset.copy_from_slice(&59_u64.to_le_bytes())),
        ("it names a place inside a block", |offset| offset[0] ^= 1),
        ("it names a place behind the end", |offset| offset[6] = 1),
        ("it names a place that can't be", |offset| offset.fill(255)),
    ];
    for (lie, change) in lies {
        let world = World::with_copies(None);
        let bytes = with_index(&car, |digest, offset| {
            if digest == victim.multihash().digest() {
                change(offset);
            }
        });
        world.wire.put("a", Wired::new(bytes, 1));
        let engine = lazy(&world).await;
        let shard = engine.acquire("a").await.unwrap();
        let honest = &car.blocks[3];
        assert_eq!(shard.blockstore().get(&honest.0).await.unwrap(), honest.1, "{lie}");
        assert_eq!(world.wire.counts().streams, 0, "{lie}");
        assert_eq!(shard.blockstore().unverified().get(victim).await.unwrap(), *data, "{lie}");
        assert_eq!(world.wire.counts().streams, 1, "{lie}");
        assert!(!engine.info("a").unwrap().provisional, "{lie}");
        assert_eq!(shard.blockstore().get(victim).await.unwrap(), *data, "{lie}");
        drop(shard);
        read_all(&engine, "a", &car).await;
        engine.close().await.unwrap();
    }
}

/// A block that the index inside doesn't have is looked for in the whole CAR before it is called absent.
#[tokio::test(flavor = "multi_thread")]
async fn a_miss_is_no_answer() {
    let car = car();
    let world = World::with_copies(None);
    let (hidden, data) = &car.blocks[10];
    let absent = RawCid::of_data(0x55, b"nowhere");
    let mut bytes = car.bytes.clone();
    let index = bytes.len() - car.blocks.len() * 40;
    let digest = hidden.multihash().digest();
    let at = index + bytes[index..].windows(digest.len()).position(|window| window == digest).unwrap();
    bytes[at + 31] ^= 1;
    world.wire.put("a", Wired::new(bytes, 1));
    let engine = lazy(&world).await;
    let shard = engine.acquire("a").await.unwrap();
    let (readers, blocks) = (shard.blockstore(), [hidden, &absent, hidden, &absent]);
    let answers = futures_util::future::join_all(blocks.map(|cid| readers.get(cid))).await;
    assert_eq!(world.wire.counts().streams, 1, "it is fetched once, however many miss something");
    for (cid, answer) in blocks.into_iter().zip(answers) {
        match answer {
            Ok(found) => assert_eq!((cid, &found[..]), (hidden, &data[..])),
            Err(error) => assert!(cid == &absent && matches!(error, Error::BlockNotFound { .. }), "{error:?}"),
        }
    }
    assert!(!readers.has(&absent).await.unwrap() && readers.has(hidden).await.unwrap());
}

#[tokio::test]
async fn what_can_not_go_by_an_index_inside_is_fetched() {
    let (inside, without) = (car(), cars::numbered(20, 100));
    let sources = [
        Wired::new(without.bytes.clone(), 1),
        Wired::without_validator(inside.bytes.clone()),
        Wired::new(inside.bytes.clone(), 1),
    ];
    for (number, source) in sources.into_iter().enumerate() {
        let world = World::with_copies(None);
        world.wire.put("a", source);
        let engine = world.open_with(|options| {
            if number == 2 {
                options.remote = Remote::Copied;
            }
        });
        let engine = engine.await.unwrap();
        engine.register("a", "wire:a").lazy().await.unwrap();
        drop(engine.acquire("a").await.unwrap());
        assert_eq!((engine.info("a").unwrap().provisional, world.wire.counts().streams), (false, 1), "{number}");
    }
    // Nor is one that nobody waits for, or that was indexed before.
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(inside.bytes.clone(), 1));
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    assert!(!engine.info("a").unwrap().provisional);
}

/// A source that changes is another content, and an index inside of it is that of the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_provisional_shard_goes_by_what_its_source_is_now() {
    let car = car();
    let other = cars::numbered(30, 100);
    let world = World::with_copies(None);
    world.wire.put("a", Wired::new(car.bytes.clone(), 1));
    let engine = lazy(&world).await;
    drop(engine.acquire("a").await.unwrap());
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    world.wire.put("a", Wired::new(other.bytes.clone(), 2));
    read_all(&engine, "a", &other).await;
    assert!(!engine.info("a").unwrap().provisional);
}
