//! Why there is no block.

use std::fmt;

use dagstore_car::RawCid;
use dagstore_types::ShardKey;

/// A block store's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No shard has the block: every one that could have it has said so. Shards that were never indexed aren't known to have any.
    #[error("no shard has a block with the CID {cid}")]
    NotFound {
        /// The CID.
        cid: RawCid,
    },
    /// Whether there is such a block nobody can tell: shards that may have it could not answer.
    #[error("the block {cid} can't be read: {}", Unanswered { failures, skipped: *skipped })]
    Unanswered {
        /// The CID.
        cid: RawCid,
        /// Which shards failed, and why, in the order in which they did.
        failures: Vec<ShardFailure>,
        /// Whether there are more shards that may have it, which weren't asked because too many had failed.
        skipped: bool,
    },
    /// The store itself could not answer.
    #[error(transparent)]
    Engine(#[from] dagstore_engine::Error),
}

/// A shard that could not answer.
#[derive(Debug)]
#[non_exhaustive]
pub struct ShardFailure {
    /// Which shard.
    pub key: ShardKey,
    /// Why.
    pub error: dagstore_engine::Error,
}

struct Unanswered<'a> {
    failures: &'a [ShardFailure],
    skipped: bool,
}

impl fmt::Display for Unanswered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, failure) in self.failures.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{failure}")?;
        }
        match (self.skipped, self.failures.is_empty()) {
            (false, _) => Ok(()),
            (true, true) => f.write_str("too many shards that should have it don't, and others weren't asked"),
            (true, false) => f.write_str("; more shards may have it, and weren't asked"),
        }
    }
}

impl fmt::Display for ShardFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, error } = self;
        // A failed shard's error begins with its key.
        let mut cause: Option<&dyn std::error::Error> = match error {
            dagstore_engine::Error::Failed { source, .. } => Some(source),
            error => Some(error),
        };
        write!(f, "shard {key}")?;
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
