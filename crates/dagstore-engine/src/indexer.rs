//! The seam: which blocks of a shard are indexed.

use std::fmt::Debug;

use dagstore_car::MultihashRef;
use dagstore_types::ShardKey;

/// Decides which blocks are indexed, and sees each of them pass. A store without one indexes all.
///
/// A block that is left out isn't found by its CID: neither in its shard nor over all shards. Only
/// [`blocks`](crate::ShardBlockstore::blocks) and [`keys`](crate::ShardBlockstore::keys), which read the CAR itself, still
/// show it. The answer for a block must always be the same: [`verify`](crate::Engine::verify) asks again, and an index that was
/// made under other answers stays as it is until the shard is registered anew.
pub trait Indexer: Debug + Send + Sync + 'static {
    /// Whether a block is indexed. Called on threads for blocking work, for one shard never from two at a time while it is being
    /// indexed; blocks come in the order of the CAR unless they are hashed meanwhile. A panic fails the shard.
    fn wants(&self, block: &Candidate<'_>) -> bool;
}

/// A block that may be indexed. Those with an identity CID aren't asked about: they have their data in the CID.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Candidate<'a> {
    /// The shard.
    pub shard: &'a ShardKey,
    /// The block's multihash.
    pub multihash: MultihashRef<'a>,
    /// Where its section begins, in bytes from the start of the CARv1 payload.
    pub offset: u64,
    /// The size of its data in bytes.
    pub data_size: u64,
}

/// Whether a block belongs into an index.
pub(crate) fn is_indexed(indexer: Option<&dyn Indexer>, block: &Candidate<'_>) -> bool {
    !block.multihash.is_identity() && indexer.is_none_or(|indexer| indexer.wants(block))
}
