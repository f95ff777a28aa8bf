//! Indices that are built anew on request.

use std::sync::Arc;

use dagstore_engine::{Engine, Error, Options, Parts, Verify};
use dagstore_fs::RealFileSystem;
use dagstore_index::conformance::KEY;
use dagstore_index::{FsIndexRepo, IndexRepo};
use dagstore_testkit::cars;
use dagstore_types::{Attempt, ErrorKind, ShardState};

use super::support::*;
use super::verifying::{delete_row, found, names, replace_index};

#[tokio::test]
async fn what_is_wrong_with_the_indices_is_mended() {
    for keep_open in [0, 256] {
        let world = World::new();
        let engine = world.open_with(|options| options.keep_open = keep_open).await.unwrap();
        engine.register("a", URL).await.unwrap();
        replace_index(&world, &engine, |place, offset, size| match place {
            3 => None,
            4 => Some((offset + 1, size)),
            _ => Some((offset, size)),
        });
        delete_row(&world, &engine, &world.car.blocks[5].0).await;
        let (findings, _) = found(&engine, Verify::Index).await;
        assert_eq!(names(&findings), ["not-indexed", "misindexed", "not-inverted", "entries"]);
        engine.rebuild_index("a").await.unwrap();
        assert_eq!(names(&found(&engine, Verify::Index).await.0), [""; 0], "open: {keep_open}");
        read_all(&engine, "a", &world.car).await;
        let info = engine.info("a").unwrap();
        assert!(info.state == ShardState::Available && info.attempt > Attempt(1), "{info:?}");
        engine.close().await.unwrap();

        let engine = world.open().await;
        engine.gc().await.unwrap();
        assert_eq!(world.indices(), 1, "the old index is left");
        assert_eq!(world.inverted_rows().await, world.car.blocks.len());
        assert_eq!(names(&found(&engine, Verify::Data).await.0), [""; 0], "after opening again");
    }
}

/// Nobody can acquire the shard, nor recover it: it is Available.
#[tokio::test]
async fn an_index_that_can_not_be_read_is_built_anew() {
    let (world, folder) = (World::new(), tempfile::tempdir().unwrap());
    let repo = Arc::new(FsIndexRepo::open(Arc::new(RealFileSystem), folder.path(), KEY).unwrap());
    let mut options = Options::default();
    options.keep_open = 0;
    let engine = Engine::open(Parts { index_repo: repo.clone(), ..world.parts() }, options).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let [name] = repo.list().unwrap()[..] else { panic!("one shard, one index") };
    make_newer(&folder.path().join(format!("{name}.idx")));
    let refused = engine.acquire("a").await.unwrap_err();
    assert!(matches!(refused, Error::Failed { .. }), "{refused:?}");
    engine.rebuild_index("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
    engine.gc().await.unwrap();
    assert_eq!((repo.list().unwrap().len(), world.inverted_rows().await), (1, world.car.blocks.len()));
}

#[tokio::test]
async fn a_good_index_is_built_anew_under_those_who_read() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let reader = engine.acquire("a").await.unwrap();
    engine.rebuild_index("a").await.unwrap();
    let info = engine.info("a").unwrap();
    assert_eq!((info.state, info.references), (ShardState::Serving, 1));
    for (cid, data) in &world.car.blocks {
        assert_eq!(reader.blockstore().get(cid).await.unwrap(), *data);
    }
    let another = engine.acquire("a").await.unwrap();
    let attempts = [&reader, &another].map(|shard| shard.index().meta().name.attempt);
    assert!(attempts[0] < attempts[1], "{attempts:?}");
    drop((reader, another));
    assert_eq!(engine.info("a").unwrap().state, ShardState::Available);
}

#[tokio::test]
async fn an_index_that_was_built_just_now_is_not_built_twice() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).lazy().await.unwrap();
    engine.rebuild_index("a").await.unwrap();
    assert_eq!(engine.info("a").unwrap().attempt, Attempt(1));
    // One that is lost is built by the acquire already.
    let [name] = world.index_repo.list().unwrap()[..] else { panic!("one shard, one index") };
    world.index_repo.remove(name).unwrap();
    let opens = world.gate.opens();
    engine.rebuild_index("a").await.unwrap();
    let read_again = world.gate.opens() - opens;
    let of_one_build = {
        let opens = world.gate.opens();
        engine.rebuild_index("a").await.unwrap();
        world.gate.opens() - opens
    };
    assert!(read_again <= of_one_build, "{read_again} and {of_one_build}");
    let (one, other) = tokio::join!(engine.rebuild_index("a"), engine.rebuild_index("a"));
    one.unwrap();
    other.unwrap();
    read_all(&engine, "a", &world.car).await;
}

#[tokio::test]
async fn a_shard_that_can_not_be_read_is_not_given_up() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let before = engine.info("a").unwrap().attempt;
    world.gate.serve(None);
    let refused = engine.rebuild_index("a").await;
    assert!(matches!(refused, Err(Error::Failed { .. })), "{refused:?}");
    assert_eq!(engine.info("a").unwrap().attempt, before, "the index was given up");
    let refused = engine.rebuild_index("nobody").await;
    assert!(matches!(refused, Err(Error::NotFound(_))), "{refused:?}");
    engine.close().await.unwrap();
    let refused = engine.rebuild_index("a").await;
    assert!(matches!(refused, Err(Error::Closed)), "{refused:?}");
    let engine = world.open_paused().await;
    let refused = engine.rebuild_index("a").await;
    assert!(matches!(refused, Err(Error::Paused)), "{refused:?}");
}

#[tokio::test]
async fn an_index_that_is_being_built_is_not_built_once_more() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    // So that nobody comes to the gate but who builds.
    let _open = engine.acquire("a").await.unwrap();
    let rebuild = |engine: &Engine| {
        let engine = engine.clone();
        tokio::spawn(async move { engine.rebuild_index("a").await })
    };
    world.gate.shut();
    let first = rebuild(&engine);
    reader_at(&world.gate).await;
    let is_built = engine.info("a").unwrap().attempt;
    let second = rebuild(&engine);
    let_others_run().await;
    world.gate.open();
    for rebuilt in [first, second] {
        answered("the index", rebuilt).await.unwrap().unwrap();
    }
    assert_eq!(engine.info("a").unwrap().attempt, is_built);
}

/// Whether or not the shard happens to be open.
#[tokio::test]
async fn an_index_is_not_given_up_for_that_of_another_source() {
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let reader = engine.acquire("a").await.unwrap();
    let other = cars::numbered(5, 100);
    world.gate.serve(Some(other.bytes.clone().into()));
    let refused = engine.rebuild_index("a").await;
    let Err(Error::Failed { source, .. }) = refused else { panic!("another source was indexed: {refused:?}") };
    assert_eq!(source.kind(), ErrorKind::SourceChanged);
    for (cid, data) in &world.car.blocks {
        assert_eq!(reader.blockstore().get(cid).await.unwrap(), *data);
    }
    // What the error says.
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &other).await;
    let before = engine.info("a").unwrap().attempt;
    world.gate.serve(None);
    let refused = engine.rebuild_index("a").await;
    assert!(matches!(refused, Err(Error::Failed { .. })), "{refused:?}");
    assert_eq!(engine.info("a").unwrap().attempt, before, "the index was given up");
}
