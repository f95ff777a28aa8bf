//! Which shards are asked for a block, and in which order.

use dagstore_car::RawCid;
use dagstore_engine::Engine;
use dagstore_types::ShardKey;

/// Chooses among the shards that may have a block. A closure from CID and candidates to candidates is one.
///
/// Called for a few candidates at a time, in the order of their registration: a block may be in very many shards, and those
/// that come later are looked up only where none of the earlier ones has answered.
pub trait Select: Send + Sync + 'static {
    /// The shards to ask, the best first. Those that are left out aren't asked, as if they didn't have the block.
    fn select(&self, engine: &Engine, cid: &RawCid, candidates: Vec<ShardKey>) -> Vec<ShardKey>;
}

impl<F: Fn(&RawCid, Vec<ShardKey>) -> Vec<ShardKey> + Send + Sync + 'static> Select for F {
    fn select(&self, _engine: &Engine, cid: &RawCid, candidates: Vec<ShardKey>) -> Vec<ShardKey> {
        self(cid, candidates)
    }
}

/// Those that are open already go first, all others in the order of their registration.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenFirst;

impl Select for OpenFirst {
    fn select(&self, engine: &Engine, _cid: &RawCid, mut candidates: Vec<ShardKey>) -> Vec<ShardKey> {
        if candidates.len() > 1 {
            candidates.sort_by_cached_key(|key| !engine.is_open(key));
        }
        candidates
    }
}
