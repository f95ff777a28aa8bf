//! The seam: what a store asks of the place where its indices are.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::OwnName;
use smallvec::SmallVec;

use crate::{Fingerprint, FingerprintKey, Result};

/// The greatest offset that an index holds: 40 bits, so sections start in the first tebibyte of a CAR's payload.
pub const MAX_OFFSET: u64 = (1 << 40) - 1;

/// The greatest size of a block's data that an index holds. For a larger block the section's own length is read.
pub const MAX_SIZE: u32 = 0xff_fffe;

/// The longest validator that an index holds, in bytes.
pub const MAX_VALIDATOR_BYTES: usize = 8192;

/// A place for full indices, one for each [`OwnName`].
///
/// All methods may be called at the same time from any number of threads. An index is visible as a whole or not at
/// all, and never changes: what was opened stays readable when the index is replaced or removed.
pub trait IndexRepo: Debug + Send + Sync + 'static {
    /// Starts an index. Nothing is visible until [`IndexBuilder::publish`] returns.
    ///
    /// # Errors
    /// [`Error::BeingBuilt`](crate::Error::BeingBuilt) while another builder of this name lives;
    /// [`Error::ValidatorTooLong`](crate::Error::ValidatorTooLong).
    fn builder(&self, meta: IndexMeta) -> Result<Box<dyn IndexBuilder>>;

    /// Publishes many indices, mostly small ones, of builders that this repository made: as a whole that takes far less
    /// time than one after the other, because the disk is waited for once. The results stand in the builders' order, and
    /// each index is published or fails for itself, except where they all need what fails.
    ///
    /// # Errors
    /// For each as [`IndexBuilder::publish`].
    fn publish_group(&self, builders: Vec<Box<dyn IndexBuilder>>) -> Vec<Result<IndexSummary>> {
        builders.into_iter().map(IndexBuilder::publish).collect()
    }

    /// Opens an index; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged) when the index can't be trusted: build it anew;
    /// [`Error::NewerVersion`](crate::Error::NewerVersion) when a newer program made it;
    /// [`Error::Io`](crate::Error::Io).
    fn open(&self, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>>;

    /// Removes an index, damaged or not, and returns whether there was one. A crash right after may bring it back.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn remove(&self, name: OwnName) -> Result<bool>;

    /// The names of all visible indices, in no order. They are not opened, so some may be damaged.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn list(&self) -> Result<Vec<OwnName>>;

    /// Removes what builders left behind when the process died, and returns how much that was. What belongs to
    /// builders that live, and whatever isn't the repository's own, is left alone.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn remove_temporaries(&self) -> Result<usize>;
}

/// An index being made. Dropped unpublished, it leaves nothing.
pub trait IndexBuilder: Any + Debug + Send {
    /// Adds one block: `offset` is where its section starts in the CAR's payload, `data_size` the size of its data in
    /// bytes. Blocks come in any order, and a multihash may come any number of times.
    ///
    /// # Errors
    /// [`Error::OffsetTooLarge`](crate::Error::OffsetTooLarge) beyond [`MAX_OFFSET`];
    /// [`Error::Io`](crate::Error::Io). The block was not added then; the others stay.
    fn add(&mut self, multihash: MultihashRef<'_>, offset: u64, data_size: u64) -> Result<()>;

    /// Makes the index durable and visible, in place of one of the same name.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io). This index isn't visible then, and an older one of its name may be gone. Only
    /// where the disk refuses removals as well can it stay visible, and is complete then.
    fn publish(self: Box<Self>) -> Result<IndexSummary>;
}

/// A complete index.
pub trait FullIndex: Debug + Send + Sync + 'static {
    /// What the index belongs to.
    fn meta(&self) -> &IndexMeta;

    /// The number of entries, duplicates included.
    fn len(&self) -> u64;

    /// Whether there are no entries.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every place of a multihash, the lowest offset first. There are as many as the CAR has blocks with this
    /// multihash, and a hostile CAR may have millions: [`find_first`](Self::find_first) does for most uses.
    ///
    /// # Errors
    /// [`Error::Damaged`](crate::Error::Damaged), [`Error::Io`](crate::Error::Io).
    fn find(&self, multihash: MultihashRef<'_>) -> Result<SmallVec<[Location; 1]>>;

    /// The place of a multihash with the lowest offset.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    fn find_first(&self, multihash: MultihashRef<'_>) -> Result<Option<Location>>;

    /// The fingerprints of all multihashes under `key`, which is the store's, in ascending order, each as often as it has
    /// places. An error ends the iterator, and is one of [`find`](Self::find).
    fn fingerprints(self: Arc<Self>, key: FingerprintKey) -> Fingerprints;
}

/// What [`FullIndex::fingerprints`] gives. Reading on blocks.
pub type Fingerprints = Box<dyn Iterator<Item = Result<Fingerprint>> + Send>;

/// What an index belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexMeta {
    /// The shard, registration and attempt.
    pub name: OwnName,
    /// The size of the whole CAR file in bytes.
    pub car_size: u64,
    /// What tells the CAR's content from another one, a strong `ETag` for instance, where the source has that.
    pub validator: Option<String>,
}

/// What was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexSummary {
    /// The number of entries, duplicates included.
    pub entries: u64,
    /// The size of the index in bytes.
    pub file_bytes: u64,
}

/// Where a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Where the block's section starts in the CAR's payload.
    pub offset: u64,
    /// The size of the block's data in bytes, or `None` beyond [`MAX_SIZE`]: the section's length tells it then.
    pub size: Option<u32>,
}
