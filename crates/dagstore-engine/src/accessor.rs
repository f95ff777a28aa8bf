//! Reading an acquired shard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dagstore_car::{CarReader, MultihashRef, RawCid, Section, Verdict};
use dagstore_index::{FullIndex, Location};
use dagstore_transient::Lease;
use dagstore_types::ShardKey;
use futures_util::{Stream, StreamExt};

use crate::catalogue::Found;
use crate::core::Core;
use crate::damage::CopyHealth;
use crate::provisional::{self, Provisional};
use crate::reference::Reference;
use crate::shared::Shared;
use crate::{Blocking, Engine, Error, Result, walk};

/// What all accessors of a shard share.
#[derive(Debug)]
pub(crate) struct OpenShard {
    pub(crate) key: ShardKey,
    pub(crate) index: Arc<dyn FullIndex>,
    pub(crate) reader: CarReader,
    /// The local copy that is read, where it is one. It isn't evicted meanwhile.
    pub(crate) lease: Option<Lease>,
    pub(crate) copy: CopyHealth,
    /// Whether what is read is on this machine.
    pub(crate) is_local: bool,
    /// What it has in the place of an index of its own, where it has none yet.
    pub(crate) provisional: Option<Provisional>,
    pub(crate) verify: bool,
    pub(crate) blocking: Blocking,
    pub(crate) core: Weak<Core>,
    /// Part of the index was found damaged: the next acquire has it built again.
    pub(crate) is_index_damaged: AtomicBool,
    pub(crate) _counted: Counted,
}

impl OpenShard {
    /// The place of a multihash. An index that turns out to be damaged is given up: whoever has it open goes on with what of it
    /// is whole, and the next acquire builds another.
    pub(crate) fn find_first(&self, multihash: MultihashRef<'_>) -> dagstore_index::Result<Option<Location>> {
        let found = self.index.find_first(multihash);
        if let Err(dagstore_index::Error::Damaged { .. }) = &found {
            self.is_index_damaged.store(true, Ordering::Relaxed);
        }
        found
    }

    /// The data of the block with the multihash of `cid`, checked against it if wanted.
    pub(crate) fn read_checked(&self, cid: &RawCid, verify: bool) -> Result<Bytes> {
        self.read_where_it_is(cid, verify).inspect_err(|error| self.doubt_copy_for(error))
    }

    fn read_where_it_is(&self, cid: &RawCid, verify: bool) -> Result<Bytes> {
        let multihash = cid.multihash();
        let found = self.find_first(multihash)?;
        let location = found.ok_or_else(|| Error::BlockNotFound { cid: cid.clone() })?;
        let block = self.reader.read_block(location.offset, location.size)?;
        if block.cid.multihash() != multihash {
            return Err(Error::Misplaced { cid: cid.clone() });
        }
        if verify {
            check(location.offset, &block.cid, &block.data)?;
        }
        Ok(block.data)
    }
}

/// Counts what is open.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Shared>);

impl Counted {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.opened.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.opened.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Engine {
    /// Whether the shard's source and index are open at this moment, so that acquiring it opens nothing.
    pub fn is_open(&self, key: &ShardKey) -> bool {
        matches!(self.core.catalogue.look(key.as_str()), Some(Found::Awake(cell)) if cell.is_open())
    }
}

/// An acquired shard. While there is one, the shard is Serving and can't be destroyed; dropping it is the release, in
/// any thread, with or without a runtime, before and after the store is closed.
#[derive(Debug)]
pub struct ShardAccessor {
    shard: Arc<OpenShard>,
    /// Dropped last: with the last one, source and index are closed.
    _reference: Reference,
}

impl ShardAccessor {
    pub(crate) fn new(shard: Arc<OpenShard>, reference: Reference) -> Self {
        Self { shard, _reference: reference }
    }

    /// The shard's key.
    pub fn key(&self) -> &ShardKey {
        &self.shard.key
    }

    /// The shard's blocks.
    pub fn blockstore(&self) -> ShardBlockstore<'_> {
        ShardBlockstore { shard: &self.shard, verify: self.shard.verify }
    }

    /// The shard's full index: what it belongs to, and where each block is.
    pub fn index(&self) -> &dyn FullIndex {
        &*self.shard.index
    }

    /// Whether the shard has no index of its own yet, and goes by the one inside its CAR. What that one doesn't have, or has at a
    /// wrong place, makes the store fetch the CAR and index it, and the answer waits for that.
    pub fn is_provisional(&self) -> bool {
        self.shard.provisional.is_some()
    }

    /// Whether all that is read is on this machine.
    pub fn is_local(&self) -> bool {
        self.shard.is_local
    }

    pub(crate) fn shard(&self) -> &Arc<OpenShard> {
        &self.shard
    }
}

/// The blocks of an acquired shard.
#[derive(Debug, Clone, Copy)]
pub struct ShardBlockstore<'a> {
    shard: &'a Arc<OpenShard>,
    verify: bool,
}

/// A block's CID, and where the block is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockEntry {
    /// The block's CID, as it stands in the CAR.
    pub cid: RawCid,
    /// The size of its data in bytes.
    pub size: u64,
    /// Where its section begins, in bytes from the start of the CARv1 payload: as indices and errors tell it.
    pub offset: u64,
    /// Where its data begins, in bytes from the start of the source.
    pub data_offset: u64,
}

impl<'a> ShardBlockstore<'a> {
    /// The same blocks, hashed when they are read, whatever the store's options say.
    #[must_use]
    pub fn verified(self) -> Self {
        Self { verify: true, ..self }
    }

    /// The same blocks, without hashing them when they are read.
    #[must_use]
    pub fn unverified(self) -> Self {
        Self { verify: false, ..self }
    }

    /// The roots that the CAR names. They need not be among its blocks.
    pub fn roots(&self) -> &[RawCid] {
        &self.shard.reader.header().roots
    }

    /// The number of entries in the shard's index: one for each block of the CAR, duplicates counted, but for those whose CID
    /// has the data in itself.
    pub fn entries(&self) -> u64 {
        self.shard.index.len()
    }

    /// The data of the block with the multihash of `cid`, checked against it. An identity CID is answered out of itself. Data of
    /// a source in memory is shared, not copied.
    ///
    /// # Errors
    /// [`Error::BlockNotFound`]; [`Error::Car`] when the source can't be read, the data doesn't hash to the CID, or can't
    /// be checked (see [`unverified`](Self::unverified)); [`Error::Misplaced`], [`Error::Index`].
    pub async fn get(&self, cid: &RawCid) -> Result<Bytes> {
        let multihash = cid.multihash();
        if multihash.is_identity() {
            return Ok(Bytes::copy_from_slice(multihash.digest()));
        }
        match &self.shard.provisional {
            Some(provisional) => provisional::get(self.shard, provisional, cid, self.verify).await,
            None => self.get_out_of_it(cid).await,
        }
    }

    /// As [`get`](Self::get), by the shard's own index.
    pub(crate) async fn get_out_of_it(&self, cid: &RawCid) -> Result<Bytes> {
        let read = if self.shard.is_local {
            // To read what is on this machine takes less than to hand it over.
            self.shard.read_checked(cid, self.verify)
        } else {
            let (shard, cid, verify) = (self.shard.clone(), cid.clone(), self.verify);
            walk::off_the_runtime(shard.blocking, move || shard.read_checked(&cid, verify)).await?
        };
        if read.is_err() {
            self.shard.look_after_copy().await;
        }
        read
    }

    /// Whether a block has the multihash of `cid`. The source isn't read, but where the shard is provisional.
    ///
    /// # Errors
    /// [`Error::Index`]: the index can't be read. Never mistaken for an absent block. Of a provisional shard those of
    /// [`get`](Self::get).
    pub async fn has(&self, cid: &RawCid) -> Result<bool> {
        if self.shard.provisional.is_some() {
            return match self.get(cid).await {
                Ok(_) => Ok(true),
                Err(Error::BlockNotFound { .. }) => Ok(false),
                Err(error) => Err(error),
            };
        }
        Ok(cid.multihash().is_identity() || self.shard.find_first(cid.multihash())?.is_some())
    }

    /// The size in bytes of the data of the block with the multihash of `cid`. The source is read only where the block is
    /// too large for the index to tell.
    ///
    /// # Errors
    /// As [`get`](Self::get), but that the data isn't checked.
    pub async fn size(&self, cid: &RawCid) -> Result<u64> {
        let multihash = cid.multihash();
        if multihash.is_identity() {
            return Ok(multihash.digest().len() as u64);
        }
        if self.shard.provisional.is_some() {
            return Ok(self.get(cid).await?.len() as u64);
        }
        let Some(location) = self.shard.find_first(multihash)? else {
            return Err(Error::BlockNotFound { cid: cid.clone() });
        };
        if let Some(size) = location.size {
            return Ok(size.into());
        }
        let shard = self.shard.clone();
        let read = move || shard.reader.read_block(location.offset, None);
        Ok(walk::off_the_runtime(self.shard.blocking, read).await??.data.len() as u64)
    }

    /// Every block in the order of the CAR, duplicates and all. An error ends the stream. The CAR is walked in pieces, on the
    /// runtime's threads for blocking work, so that a large one holds nobody up; dropping the stream ends the walk.
    pub fn blocks(&self) -> impl Stream<Item = Result<BlockEntry>> + Send + Unpin + use<'a> {
        let reader = &self.shard.reader;
        let payload_offset = reader.payload_offset();
        let entries = reader.sections().map(move |section| Ok(BlockEntry::of(section?, payload_offset)));
        walk::in_pieces(self.shard.blocking, entries)
    }

    /// The CID of every block, in the order of the CAR, duplicates and all; otherwise as [`blocks`](Self::blocks). They are read
    /// out of the CAR: the index has fingerprints in place of CIDs.
    pub fn keys(&self) -> impl Stream<Item = Result<RawCid>> + Send + Unpin + use<'a> {
        self.blocks().map(|entry| Ok(entry?.cid))
    }
}

impl BlockEntry {
    fn of(section: Section, payload_offset: u64) -> Self {
        let Section { offset, cid, data_offset, data_size } = section;
        Self { cid, size: data_size, offset, data_offset: payload_offset + data_offset }
    }
}

pub(crate) fn check(offset: u64, cid: &RawCid, data: &[u8]) -> Result<()> {
    match dagstore_car::check(cid.multihash(), data) {
        Verdict::Matches => Ok(()),
        Verdict::Differs => Err(dagstore_car::Error::Integrity { cid: cid.clone(), offset }.into()),
        Verdict::Unverifiable => Err(dagstore_car::Error::Unverifiable { cid: cid.clone(), offset }.into()),
    }
}
