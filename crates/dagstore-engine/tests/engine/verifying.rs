//! Walking and verifying shards.

use dagstore_car::{CarWriter, RawCid};
use dagstore_datastore::{Batch, Datastore, Durability};
use dagstore_engine::{Engine, Error, Finding, Problem, Verify};
use dagstore_fs::OwnName;
use dagstore_index::conformance::KEY;
use dagstore_index::{IndexMeta, IndexRepo, InvertedIndex};
use dagstore_testkit::cars;
use dagstore_types::ShardKey;
use futures_util::{StreamExt, TryStreamExt};

use super::support::*;

/// What is found in the shard "a", and how many blocks it has.
pub(super) async fn found(engine: &Engine, what: Verify) -> (Vec<Finding>, u64) {
    let shard = engine.acquire("a").await.unwrap();
    let steps: Vec<_> = engine.verify(&shard, what).try_collect().await.unwrap();
    let blocks = steps.last().unwrap().blocks;
    (steps.into_iter().flat_map(|step| step.findings).collect(), blocks)
}

pub(super) fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.problem.name()).collect()
}

#[tokio::test]
async fn keys_and_blocks_come_in_the_order_of_the_car() {
    let world = World::new();
    let engine = world.open().await;
    let (identity, twice) = (RawCid::from_bytes(&[1, 0x55, 0, 1, b'x']).unwrap(), world.car.blocks[0].clone());
    let blocks = [&world.car.blocks[..], &[twice, (identity, b"x".to_vec())]].concat();
    let mut writer = CarWriter::new(Vec::new(), &world.car.roots).unwrap();
    for (cid, data) in &blocks {
        writer.write(cid, data).unwrap();
    }
    let bytes = writer.finish().unwrap();
    world.gate.serve(Some(bytes.clone().into()));
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let keys: Vec<_> = shard.blockstore().keys().try_collect().await.unwrap();
    assert_eq!(keys, blocks.iter().map(|(cid, _)| cid.clone()).collect::<Vec<_>>());
    let entries: Vec<_> = shard.blockstore().blocks().try_collect().await.unwrap();
    for (entry, (cid, data)) in entries.iter().zip(&blocks) {
        let begin = usize::try_from(entry.data_offset).unwrap();
        assert_eq!((&entry.cid, entry.size, &bytes[begin..begin + data.len()]), (cid, data.len() as u64, &data[..]));
    }
    assert_eq!(shard.blockstore().entries(), blocks.len() as u64 - 1, "an identity CID has no entry");
    assert_eq!(names(&found(&engine, Verify::Data).await.0), [""; 0]);
}

#[tokio::test]
async fn a_walk_reads_no_further_than_it_is_read() {
    let world = World::new();
    world.gate.serve(Some(cars::numbered(2000, 32 * 1024).bytes.into()));
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let reads = world.gate.reads();
    let first: Vec<_> = shard.blockstore().keys().take(3).try_collect().await.unwrap();
    assert_eq!(first.len(), 3);
    assert!(world.gate.reads() - reads < 100, "{} reads", world.gate.reads() - reads);
}

#[tokio::test]
async fn accessors_are_walked_when_their_store_is_closed() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    engine.close().await.unwrap();
    assert_eq!(shard.blockstore().keys().count().await, world.car.blocks.len());
    let verified: Result<Vec<_>, _> = engine.verify(&shard, Verify::Data).try_collect().await;
    assert!(matches!(verified, Err(Error::Closed)), "the rows can't be looked up any more: {verified:?}");
}

#[tokio::test]
async fn a_source_that_fails_is_a_finding() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    world.gate.set_broken(true);
    let steps: Vec<_> = engine.verify(&shard, Verify::Data).try_collect().await.unwrap();
    let findings: Vec<_> = steps.into_iter().flat_map(|step| step.findings).collect();
    assert_eq!(names(&findings), ["unreadable"]);
}

/// Puts another index in the place of that of the shard "a".
pub(super) fn replace_index(world: &World, engine: &Engine, change: impl Fn(usize, u64, u64) -> Option<(u64, u64)>) {
    let info = engine.info("a").unwrap();
    let name = OwnName::new(&ShardKey::new("a").unwrap(), info.registration, info.attempt);
    let index = world.index_repo.open(name).unwrap().unwrap();
    let IndexMeta { car_size, validator, .. } = index.meta().clone();
    let mut builder = world.index_repo.builder(IndexMeta { name, car_size, validator }).unwrap();
    for (place, (cid, _)) in world.car.blocks.iter().enumerate() {
        let location = index.find_first(cid.multihash()).unwrap().unwrap();
        if let Some((offset, size)) = change(place, location.offset, location.size.unwrap().into()) {
            builder.add(cid.multihash(), offset, size).unwrap();
        }
    }
    builder.publish().unwrap();
}

#[tokio::test]
async fn an_index_that_does_not_tell_every_block_where_it_is_is_found_out() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let blocks = world.car.blocks.len() as u64;
    assert_eq!(
        (names(&found(&engine, Verify::Index).await.0).len(), found(&engine, Verify::Index).await.1),
        (0, blocks)
    );
    replace_index(&world, &engine, |place, offset, size| (place != 3).then_some((offset, size)));
    let (findings, _) = found(&engine, Verify::Index).await;
    assert_eq!(names(&findings), ["not-indexed", "entries"]);
    assert_eq!(findings[0].cid.as_ref(), Some(&world.car.blocks[3].0));
    assert!(
        matches!(findings[1].problem, Problem::Entries { entries, blocks: of } if (entries + 1, of) == (blocks, blocks))
    );
}

#[tokio::test]
async fn an_index_that_tells_a_block_elsewhere_is_found_out() {
    type Change = fn(u64, u64) -> (u64, u64);
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let changes: [Change; 3] =
        [|offset, size| (offset + 1, size), |offset, size| (offset - 1, size), |offset, size| (offset, size - 1)];
    for change in changes {
        replace_index(&world, &engine, |place, offset, size| {
            Some(if place == 3 { change(offset, size) } else { (offset, size) })
        });
        let (findings, _) = found(&engine, Verify::Index).await;
        assert_eq!(names(&findings), ["misindexed"]);
        replace_index(&world, &engine, |place, offset, size| {
            // Back to what it was: the change is undone where it was made.
            Some(if place == 3 { undone(change, offset, size) } else { (offset, size) })
        });
        assert_eq!(names(&found(&engine, Verify::Index).await.0), [""; 0]);
    }
}

/// What `change` made this of.
fn undone(change: fn(u64, u64) -> (u64, u64), offset: u64, size: u64) -> (u64, u64) {
    let (changed_offset, changed_size) = change(offset, size);
    (2 * offset - changed_offset, 2 * size - changed_size)
}

/// Deletes the row that tells the shard "a" for the block.
pub(super) async fn delete_row(world: &World, engine: &Engine, cid: &RawCid) {
    let registration = engine.info("a").unwrap().registration;
    let fingerprint = KEY.fingerprint(cid.multihash());
    let mut batch = Batch::new();
    batch.delete(InvertedIndex::ROWS, &[&fingerprint.0[..], &registration.0.to_be_bytes()[3..]].concat());
    world.inverted.write(batch, Durability::Synced).await.unwrap();
}

#[tokio::test]
async fn a_row_that_is_missing_is_found_out() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    engine.register("b", URL).await.unwrap();
    let cid = &world.car.blocks[5].0;
    delete_row(&world, &engine, cid).await;
    let (findings, _) = found(&engine, Verify::Index).await;
    assert_eq!(names(&findings), ["not-inverted"]);
    assert_eq!(findings[0].cid.as_ref(), Some(cid));
}

#[tokio::test]
async fn what_is_open_is_told() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let key = ShardKey::new("a").unwrap();
    assert!(!engine.is_open(&key));
    let shard = engine.acquire("a").await.unwrap();
    assert!(engine.is_open(&key));
    assert_eq!(shard.index().len(), shard.blockstore().entries());
    drop(shard);
    assert!(!engine.is_open(&key));
    assert!(!engine.is_open(&ShardKey::new("nobody").unwrap()));
}
