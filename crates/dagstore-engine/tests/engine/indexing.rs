//! Which blocks are indexed, where that is for somebody to say.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dagstore_engine::{Candidate, Engine, Error, Indexer, Verify};
use dagstore_types::ErrorKind;
use futures_util::TryStreamExt;

use super::support::*;

/// Indexes the blocks from some place on.
#[derive(Debug, Default)]
struct Beginning {
    /// Blocks that begin before this place are left out.
    from: u64,
    seen: AtomicU64,
    panics: bool,
}

impl Indexer for Beginning {
    fn wants(&self, block: &Candidate<'_>) -> bool {
        assert!(!self.panics, "planted");
        assert_eq!(block.shard.as_str(), "a");
        self.seen.fetch_add(1, Ordering::Relaxed);
        block.offset >= self.from
    }
}

async fn open(world: &World, indexer: &Arc<Beginning>) -> Engine {
    world.open_with(|options| options.indexer = Some(indexer.clone())).await.unwrap()
}

#[tokio::test]
async fn a_block_that_is_left_out_is_not_found_and_not_missed() {
    let world = World::new();
    let all = world.open().await;
    all.register("a", URL).await.unwrap();
    let offsets: Vec<u64> = {
        let shard = all.acquire("a").await.unwrap();
        shard.blockstore().blocks().map_ok(|block| block.offset).try_collect().await.unwrap()
    };
    all.destroy("a").await.unwrap();
    all.close().await.unwrap();

    let half = offsets.len() / 2;
    let indexer = Arc::new(Beginning { from: offsets[half], ..Beginning::default() });
    let engine = open(&world, &indexer).await;
    engine.register("a", URL).await.unwrap();
    assert_eq!(indexer.seen.load(Ordering::Relaxed), offsets.len() as u64);
    let shard = engine.acquire("a").await.unwrap();
    let blocks = shard.blockstore();
    assert_eq!(blocks.entries(), (offsets.len() - half) as u64);
    for (number, (cid, data)) in world.car.blocks.iter().enumerate() {
        let located: Vec<_> = engine.locate(cid).try_collect().await.unwrap();
        assert_eq!(located.len(), usize::from(number >= half));
        match blocks.get(cid).await {
            Err(Error::BlockNotFound { .. }) => assert!(number < half),
            found => assert_eq!((found.unwrap(), number >= half), (data.clone().into(), true)),
        }
    }
    assert_eq!(blocks.keys().try_collect::<Vec<_>>().await.unwrap().len(), offsets.len(), "the CAR itself has all");
    let verified: Vec<_> = engine.verify(&shard, Verify::Data).try_collect().await.unwrap();
    assert!(verified.iter().all(|step| step.findings.is_empty()), "{verified:?}");
}

#[tokio::test]
async fn an_indexer_that_panics_fails_the_shard_and_nothing_else() {
    let world = World::new();
    let engine = open(&world, &Arc::new(Beginning { panics: true, ..Beginning::default() })).await;
    let registered = answered("the registration", async { engine.register("a", URL).await }).await;
    assert!(
        matches!(&registered, Err(Error::Failed { source, .. }) if source.kind() == ErrorKind::Internal),
        "{registered:?}"
    );
    engine.close().await.unwrap();
    let engine = world.open().await;
    engine.recover("a").await.unwrap();
    read_all(&engine, "a", &world.car).await;
}
