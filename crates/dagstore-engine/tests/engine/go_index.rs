//! go-car's index files: made of shards, and compared with them.

use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{
    CarReader, CarWriter, GoIndex, GoIndexBuilder, IndexCodec, IndexFinding, Limits, RawCid, ReadOptions,
};
use dagstore_engine::{Engine, Error};
use dagstore_fs::ReadAt;
use dagstore_testkit::cars::{self, TestCar};
use dagstore_types::{Attempt, ErrorKind, ShardState};

use super::support::*;

const CODECS: [IndexCodec; 2] = [IndexCodec::Sorted, IndexCodec::MultihashSorted];

fn opened(builder: GoIndexBuilder) -> GoIndex {
    let mut bytes = Vec::new();
    builder.write(&mut bytes).unwrap();
    GoIndex::open(Arc::new(Bytes::from(bytes)), &Limits::default()).unwrap()
}

/// The index of the blocks, each at the place that `change` makes of its own.
fn index_of(car: &TestCar, codec: IndexCodec, change: impl Fn(usize, u64) -> Option<u64>) -> GoIndex {
    let mut builder = GoIndexBuilder::new(codec);
    let reader = CarReader::open(Arc::new(Bytes::from(car.bytes.clone())), ReadOptions::default()).unwrap();
    for (number, section) in reader.sections().map(Result::unwrap).enumerate() {
        if let Some(offset) = change(number, section.offset) {
            builder.add(section.cid.multihash(), offset);
        }
    }
    opened(builder)
}

async fn import(engine: &Engine, index: GoIndex) -> Vec<IndexFinding> {
    engine.import_index("a", index, 100).await.unwrap().findings
}

#[tokio::test]
async fn an_export_is_imported_again() {
    let world = World::new();
    let engine = world.open().await;
    let identity = RawCid::from_bytes(&[1, 0x55, 0, 1, b'x']).unwrap();
    let mut writer = CarWriter::new(Vec::new(), &world.car.roots).unwrap();
    let blocks = [&world.car.blocks[..], &[(identity, b"x".to_vec())]].concat();
    for (cid, data) in &blocks {
        writer.write(cid, data).unwrap();
    }
    world.gate.serve(Some(writer.finish().unwrap().into()));
    engine.register("a", URL).await.unwrap();
    for codec in CODECS {
        for with_identity in [false, true] {
            let shard = engine.acquire("a").await.unwrap();
            let index = opened(engine.go_index(&shard, codec, with_identity).await.unwrap());
            assert_eq!(index.records(), blocks.len() as u64 - u64::from(!with_identity));
            assert_eq!(import(&engine, index).await, []);
        }
    }
    assert_eq!(engine.info("a").unwrap().attempt, Attempt(1), "there was an index already");
}

#[tokio::test]
async fn an_index_that_agrees_makes_a_shard_available() {
    for codec in CODECS {
        let world = World::new();
        let engine = world.open().await;
        engine.register("a", URL).lazy().await.unwrap();
        assert_eq!(import(&engine, index_of(&world.car, codec, |_, offset| Some(offset))).await, []);
        assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
        read_all(&engine, "a", &world.car).await;
        // One that failed.
        world.gate.serve(Some(world.car.bytes[..1000].to_vec().into()));
        engine.register("b", URL).await.unwrap_err();
        world.gate.serve(Some(world.car.bytes.clone().into()));
        let index = index_of(&world.car, codec, |_, offset| Some(offset));
        assert_eq!(engine.import_index("b", index, 100).await.unwrap().findings, []);
        assert_eq!(engine.info("b").unwrap().state, ShardState::Available);
    }
}

#[tokio::test]
async fn an_index_that_does_not_agree_changes_nothing() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    let before = engine.info("a").unwrap();
    for codec in CODECS {
        let missing = index_of(&world.car, codec, |number, offset| (number != 3).then_some(offset));
        let [IndexFinding::Missing { cid, .. }] = &import(&engine, missing).await[..] else { panic!("one finding") };
        assert_eq!(cid, &world.car.blocks[3].0);
        let moved = index_of(&world.car, codec, |number, offset| Some(offset + u64::from(number == 3)));
        let found = import(&engine, moved).await;
        assert!(matches!(found[..], [IndexFinding::NotASection { .. }, IndexFinding::Missing { .. }]), "{found:?}");
        // What doesn't fit into the list counts as well.
        let missing = index_of(&world.car, codec, |number, offset| (number != 3).then_some(offset));
        let report = engine.import_index("a", missing, 0).await.unwrap();
        assert_eq!((report.findings.len(), report.left_out), (0, 1));
        assert_eq!(engine.info("a").unwrap(), before);
    }
    assert_eq!(world.indices(), 0);
}

#[tokio::test]
async fn a_source_that_can_not_be_compared_is_an_error() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    let index = || index_of(&world.car, IndexCodec::MultihashSorted, |_, offset| Some(offset));
    world.gate.serve(Some(world.car.bytes[..world.car.bytes.len() - 1].to_vec().into()));
    let cut = engine.import_index("a", index(), 100).await;
    assert!(matches!(cut, Err(Error::Car(_))), "{cut:?}");
    world.gate.serve(None);
    let gone = engine.import_index("a", index(), 100).await;
    assert!(matches!(gone, Err(Error::Mount(_))), "{gone:?}");
    assert_eq!(engine.info("a").unwrap().state, ShardState::New);
    let nobody = engine.import_index("nobody", index(), 100).await;
    assert!(matches!(nobody, Err(Error::NotFound(_))), "{nobody:?}");
    world.gate.serve(Some(world.car.bytes.clone().into()));
    engine.close().await.unwrap();
    let paused = world.open_paused().await;
    let refused = paused.import_index("a", index(), 100).await;
    assert!(matches!(refused, Err(Error::Paused)), "{refused:?}");
}

/// What was indexed before is another content than what is compared now.
#[tokio::test]
async fn a_source_that_changed_since_it_was_indexed_is_told() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let other = cars::numbered(5, 100);
    world.gate.serve(Some(other.bytes.clone().into()));
    let index = index_of(&other, IndexCodec::MultihashSorted, |_, offset| Some(offset));
    let Err(Error::Failed { source, .. }) = engine.import_index("a", index, 100).await else { panic!("it changed") };
    assert_eq!(source.kind(), ErrorKind::SourceChanged);
}

/// What is indexed after the comparison must be what was compared.
#[tokio::test]
async fn a_source_that_changes_after_it_was_compared_is_told() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).lazy().await.unwrap();
    world.gate.shut();
    let index = index_of(&world.car, IndexCodec::MultihashSorted, |_, offset| Some(offset));
    let importing = engine.clone();
    let import = tokio::spawn(async move { importing.import_index("a", index, 100).await });
    reader_at(&world.gate).await;
    world.gate.serve(Some(cars::numbered(5, 100).bytes.into()));
    world.gate.open();
    let Err(Error::Failed { source, .. }) = answered("the import", import).await.unwrap() else { panic!("it changed") };
    assert_eq!(source.kind(), ErrorKind::SourceChanged);
}

/// An index of two contents, or of another one than the shard's, is worth nothing.
#[tokio::test]
async fn a_source_that_changes_while_its_index_is_made_is_told() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    world.gate.shut();
    let made = {
        let engine = engine.clone();
        tokio::spawn(async move { engine.go_index(&shard, IndexCodec::MultihashSorted, true).await })
    };
    reader_at(&world.gate).await;
    world.gate.serve(Some(cars::numbered(5, 100).bytes.into()));
    world.gate.open();
    let Err(Error::Failed { source, .. }) = answered("the index", made).await.unwrap() else { panic!("it changed") };
    assert_eq!(source.kind(), ErrorKind::SourceChanged);
}

/// An index file that is cut while it is read.
#[derive(Debug)]
struct Cut(Bytes);

impl ReadAt for Cut {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        // What is announced is read in small pieces, and records in large ones.
        if buffer.len() > 12 { Ok(0) } else { self.0.read_at(offset, buffer) }
    }
}

#[tokio::test]
async fn an_index_that_can_not_be_read_is_not_the_cars_fault() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let mut bytes = Vec::new();
    engine.go_index(&shard, IndexCodec::Sorted, false).await.unwrap().write(&mut bytes).unwrap();
    let index = GoIndex::open(Arc::new(Cut(bytes.into())), &Limits::default()).unwrap();
    let refused = engine.import_index("a", index, 100).await;
    let Err(Error::Car(dagstore_car::Error::IndexIo { place, .. })) = refused else { panic!("{refused:?}") };
    assert_eq!(place, 2 + 4 + 12, "behind codec, count and the front of the only bucket");
}
