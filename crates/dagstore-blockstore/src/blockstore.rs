//! The block store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dagstore_car::RawCid;
use dagstore_engine::Engine;
use dagstore_types::ShardKey;
use futures_util::{FutureExt, Stream, StreamExt, stream};

use crate::asking::ask;
use crate::{Builder, Error, Result, Select};

/// How many blocks of a stream are read at once.
const AT_ONCE: usize = 16;

/// The blocks of all shards of an engine that are Available. Cheap to clone. Needs a tokio runtime with its time driver.
///
/// Blocks are looked up by multihash, so a CID of another version or codec finds the same data; an identity CID is answered out
/// of itself. A call asks one shard after the other and ends with the first that has the block. Those that fail are left
/// behind; one that is slow is asked beside the next. Dropping a future or a stream leaves no trace.
#[derive(Debug, Clone)]
pub struct Blockstore {
    pub(crate) engine: Engine,
    pub(crate) setup: Setup,
}

/// How a block store works.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) selector: Arc<dyn Select>,
    pub(crate) verify: bool,
    pub(crate) most_asked: usize,
    pub(crate) patience: Duration,
}

/// A block, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The shard that had it; `None` where the CID itself has the data.
    pub shard: Option<ShardKey>,
    /// Its data.
    pub data: Bytes,
}

impl Blockstore {
    /// The blocks of an engine: shards that are open are asked first, and data is checked against its CID.
    pub fn new(engine: &Engine) -> Self {
        Self::builder(engine).build()
    }

    /// Begins to set a block store up.
    pub fn builder(engine: &Engine) -> Builder {
        Builder::new(engine)
    }

    /// The data of the block, checked against its CID unless that is [turned off](Builder::unverified).
    ///
    /// # Errors
    /// [`Error::NotFound`] where no shard has it, and none that had it failed; [`Error::Unanswered`] where some failed, now or
    /// before, and none has it;
    /// [`Error::Engine`] where the store can't tell which shards have it.
    pub async fn get(&self, cid: &RawCid) -> Result<Bytes> {
        Ok(self.find(cid).await?.data)
    }

    /// As [`get`](Self::get), and tells which shard had it.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub async fn find(&self, cid: &RawCid) -> Result<Found> {
        if cid.multihash().is_identity() {
            return Ok(Found { shard: None, data: Bytes::copy_from_slice(cid.multihash().digest()) });
        }
        let (key, data) = ask(self, cid, |shard, cid| async move { shard.get(cid).await }.boxed()).await?;
        Ok(Found { shard: Some(key), data })
    }

    /// Whether a shard has the block. Its data isn't read.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), but for [`Error::NotFound`]. None is ever mistaken for an absent block.
    pub async fn has(&self, cid: &RawCid) -> Result<bool> {
        if cid.multihash().is_identity() {
            return Ok(true);
        }
        let asked = ask(self, cid, |shard, cid| {
            async move {
                let absent = || dagstore_engine::Error::BlockNotFound { cid: cid.clone() };
                if shard.has(cid).await? { Ok(()) } else { Err(absent()) }
            }
            .boxed()
        });
        match asked.await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The size of the block's data in bytes. The data isn't read as a rule, and never checked.
    ///
    /// # Errors
    /// Those of [`get`](Self::get).
    pub async fn size(&self, cid: &RawCid) -> Result<u64> {
        if cid.multihash().is_identity() {
            return Ok(cid.multihash().digest().len() as u64);
        }
        Ok(ask(self, cid, |shard, cid| async move { shard.size(cid).await }.boxed()).await?.1)
    }

    /// The data of many blocks in the order of the CIDs, each with what [`get`](Self::get) gives for it. A few are read at once,
    /// and no more than a few ahead of whoever reads the stream.
    pub fn get_many<I>(&self, cids: I) -> impl Stream<Item = (RawCid, Result<Bytes>)> + Send + use<I>
    where
        I: IntoIterator<Item = RawCid>,
        I::IntoIter: Send,
    {
        let this = self.clone();
        let blocks = stream::iter(cids).map(move |cid| {
            let this = this.clone();
            async move {
                let data = this.get(&cid).await;
                (cid, data)
            }
        });
        blocks.buffered(AT_ONCE)
    }

    /// The shards that have the block, whether or not the selector would ask them: see [`Engine::locate`].
    pub fn locate(&self, cid: &RawCid) -> impl Stream<Item = Result<ShardKey>> + Send + use<> {
        self.engine.locate(cid).map(|key| Ok(key?))
    }
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { selector: _, verify, most_asked, patience } = self;
        f.debug_struct("Setup")
            .field("verify", verify)
            .field("most_asked", most_asked)
            .field("patience", patience)
            .finish_non_exhaustive()
    }
}
