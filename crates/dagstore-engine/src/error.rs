//! What callers are told.

use dagstore_types::{ErrorKind, InvalidKey, ShardError, ShardKey};

/// An engine's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The key can't be a shard's.
    #[error(transparent)]
    InvalidKey(#[from] InvalidKey),
    /// There is no such shard.
    #[error("there is no shard {0}")]
    NotFound(ShardKey),
    /// The key is taken.
    #[error("the shard {0} exists already")]
    Exists(ShardKey),
    /// The key is taken until the destruction of the shard has ended.
    #[error("the shard {0} is being destroyed; its key is free when that has ended")]
    BeingDestroyed(ShardKey),
    /// The shard was destroyed.
    #[error("the shard {0} was destroyed")]
    Destroyed(ShardKey),
    /// Only a failed shard can be recovered.
    #[error("the shard {0} hasn't failed: there is nothing to recover")]
    NotErrored(ShardKey),
    /// The shard has open accessors.
    #[error("the shard {key} is in use by {references} accessors; drop them first")]
    InUse {
        /// Which shard.
        key: ShardKey,
        /// How many accessors.
        references: u32,
    },
    /// The shard is Errored, or could not be opened.
    #[error("the shard {key} failed")]
    Failed {
        /// Which shard.
        key: ShardKey,
        /// Why.
        source: ShardError,
    },
    /// The shard is Destroying, and something that belongs to it could not be removed. Destroy, gc and the next start
    /// try again.
    #[error("the shard {key} can't be cleaned up; destroy it again when the cause is mended")]
    CleanupIncomplete {
        /// Which shard.
        key: ShardKey,
        /// What could not be removed.
        source: ShardError,
    },
    /// A change could not be made durable in time. It may have happened, but not by half.
    #[error("the change of shard {key} could not be made durable; it may have happened, but not by half")]
    NotDurable {
        /// Which shard.
        key: ShardKey,
        /// What the datastore said last.
        source: Option<dagstore_datastore::Error>,
    },
    /// The shard's record can't be read. It is kept as it is.
    #[error("the record of shard {key} is quarantined: {reason}")]
    Quarantined {
        /// Which shard.
        key: ShardKey,
        /// Why.
        reason: String,
    },
    /// The record in quarantine still can't be used.
    #[error("the record in row {row} can't be used yet: {reason}")]
    StillQuarantined {
        /// The row's key in hexadecimal digits.
        row: String,
        /// Why.
        reason: String,
    },
    /// There is no such record in quarantine.
    #[error("no record of row {row} is in quarantine")]
    NotQuarantined {
        /// The row's key in hexadecimal digits.
        row: String,
    },
    /// The shard's index was lost again and again while it was being opened.
    #[error("the index of shard {0} is lost as often as it is built; look after the disk that it is on")]
    IndexKeepsVanishing(ShardKey),
    /// The mount can't be registered.
    #[error(transparent)]
    Mount(#[from] dagstore_mount::Error),
    /// The mount can't be read at any place, or not on this machine, and the store makes no local copies.
    #[error("{url} can't be read without a local copy, and the store was opened without a folder for copies")]
    NeedsCopy {
        /// The mount's URL.
        url: String,
    },
    /// The shard goes by the index inside its CAR.
    #[error("the shard {0} has no index of its own yet; rebuild its index first")]
    Provisional(ShardKey),
    /// The shard's bytes aren't on this machine, and were wanted only if they were.
    #[error("the shard {0} isn't on this machine; acquire it, or pin it, to have it fetched")]
    NotLocal(ShardKey),
    /// The shard is read where its source is, so there is no local copy of it, and nothing to do with one.
    #[error("the shard {0} is read where its source is: there is no local copy of it to pin, unpin or evict")]
    NotCopied(ShardKey),
    /// Something could not be done with a local copy.
    #[error("the local copy of shard {key}")]
    Copy {
        /// Which shard.
        key: ShardKey,
        /// Why.
        source: dagstore_transient::Error,
    },
    /// The folder of local copies can't be read, or not everything could be removed that should.
    #[error(transparent)]
    Copies(dagstore_transient::Error),
    /// The datastore failed.
    #[error(transparent)]
    Datastore(#[from] dagstore_datastore::Error),
    /// The index repository failed.
    #[error(transparent)]
    Index(#[from] dagstore_index::Error),
    /// The store was opened without an inverted index, so it can't tell which shards have a block.
    #[error("the store has no inverted index: it can't tell which shards have a block")]
    NoInvertedIndex,
    /// The inverted index is being made of the full ones. That goes on by itself while the store is open and not paused.
    #[error(
        "the inverted index isn't complete: the store makes it while it is open, and not paused; try again in a while"
    )]
    InvertedIncomplete,
    /// As [`InvertedIncomplete`](Self::InvertedIncomplete), and it waits for the index of a shard, which can't be read.
    #[error(
        "the inverted index isn't complete: the index of shard {key} can't be read ({why}); mend the cause, or have the index built anew"
    )]
    InvertedWaits {
        /// The shard, one of several maybe.
        key: ShardKey,
        /// What the index's error is.
        why: String,
    },
    /// The CAR can't be read as it should.
    #[error(transparent)]
    Car(#[from] dagstore_car::Error),
    /// No block of the shard has this CID.
    #[error("no block has the CID {cid}")]
    BlockNotFound {
        /// The CID.
        cid: dagstore_car::RawCid,
    },
    /// The CAR no longer has at this place what was indexed there.
    #[error(
        "the block {cid} isn't where the index says; the CAR was changed while it was open: drop the accessors, and acquire the shard again"
    )]
    Misplaced {
        /// The CID.
        cid: dagstore_car::RawCid,
    },
    /// The store was opened to be looked at only.
    #[error("the store is open paused: it only answers questions")]
    Paused,
    /// Somebody else owns the store's datastore now. Nothing is written or removed any more, for good; open accessors read
    /// on.
    #[error(
        "the store belongs to somebody else now, and this handle is done for: close it, and open the store again where it shall be"
    )]
    OwnershipLost {
        /// What the datastore said.
        source: dagstore_datastore::Error,
    },
    /// The store is closed, or was dropped.
    #[error("the store is closed")]
    Closed,
    /// The store was written by a newer program.
    #[error("the store has format {found}, and this program knows up to {known}; use a newer program")]
    NewerFormat {
        /// The store's format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The rows of another datastore are being copied here, and not all of them are here yet.
    #[error("the datastore holds an unfinished copy of another one; finish it with the copy's command, or remove it")]
    UnfinishedCopy,
    /// The row that says whose store this is, is damaged.
    #[error("the row {row:?} of the store's own description is damaged; restore it from a backup")]
    DamagedIdentity {
        /// Which row.
        row: &'static str,
    },
    /// Some records can't be read, and the store was opened strictly.
    #[error("{count} records can't be read (the first: {first}); open without strict to set them aside")]
    Unreadable {
        /// How many.
        count: usize,
        /// What is wrong with one of them.
        first: String,
    },
    /// Closing took longer than allowed. The next opening mends what was left.
    #[error("tasks were still running when the time for closing was over; the next start takes up what they left")]
    CloseTimedOut,
}

impl Error {
    /// The error's name in metrics and for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::InvalidKey(_) => "invalid-key",
            Self::NotFound(_) => "not-found",
            Self::Exists(_) => "exists",
            Self::BeingDestroyed(_) => "being-destroyed",
            Self::Destroyed(_) => "destroyed",
            Self::NotErrored(_) => "not-errored",
            Self::InUse { .. } => "in-use",
            Self::Failed { .. } => "failed",
            Self::CleanupIncomplete { .. } => "cleanup-incomplete",
            Self::NotDurable { .. } => "not-durable",
            Self::Quarantined { .. } => "quarantined",
            Self::StillQuarantined { .. } => "still-quarantined",
            Self::NotQuarantined { .. } => "not-quarantined",
            Self::IndexKeepsVanishing(_) => "index-keeps-vanishing",
            Self::Mount(_) => "mount",
            Self::NeedsCopy { .. } => "needs-copy",
            Self::Provisional(_) => "provisional",
            Self::NotLocal(_) => "not-local",
            Self::NotCopied(_) => "not-copied",
            Self::Copy { .. } | Self::Copies(_) => "copy",
            Self::Datastore(_) => "datastore",
            Self::Index(_) => "index",
            Self::NoInvertedIndex => "no-inverted-index",
            Self::InvertedIncomplete | Self::InvertedWaits { .. } => "inverted-incomplete",
            Self::Car(_) => "car",
            Self::BlockNotFound { .. } => "block-not-found",
            Self::Misplaced { .. } => "misplaced",
            Self::Paused => "paused",
            Self::OwnershipLost { .. } => "ownership-lost",
            Self::Closed => "closed",
            Self::NewerFormat { .. } => "newer-format",
            Self::UnfinishedCopy => "unfinished-copy",
            Self::DamagedIdentity { .. } => "damaged-identity",
            Self::Unreadable { .. } => "unreadable",
            Self::CloseTimedOut => "close-timed-out",
        }
    }
}

/// What a shard keeps of a mount's error.
pub(crate) fn mount_error(error: &dagstore_mount::Error) -> ShardError {
    use dagstore_mount::Error as Mount;
    let kind = match error {
        Mount::NotFound { .. } => ErrorKind::SourceMissing,
        Mount::Unavailable { .. } | Mount::Truncated { .. } => ErrorKind::SourceUnavailable,
        Mount::SourceChanged { .. } => ErrorKind::SourceChanged,
        _ => ErrorKind::SourceRejected,
    };
    shard_error(kind, error)
}

/// What a shard keeps of a local copy's error.
pub(crate) fn copy_error(error: &dagstore_transient::Error) -> ShardError {
    use dagstore_transient::Error as Copy;
    let kind = match error {
        Copy::Source { source, .. } => return mount_error(source),
        Copy::SourceChanged { .. } => ErrorKind::SourceChanged,
        // What came short may come whole the next time.
        Copy::WrongSize { .. } | Copy::Idle { .. } => ErrorKind::SourceUnavailable,
        Copy::TooLarge { .. } => ErrorKind::LimitExceeded,
        Copy::ValidatorTooLong { .. } => ErrorKind::SourceRejected,
        _ => ErrorKind::Storage,
    };
    shard_error(kind, error)
}

/// What a shard keeps of a CAR's error.
pub(crate) fn car_error(error: &dagstore_car::Error) -> ShardError {
    use dagstore_car::Error as Car;
    let kind = match error {
        Car::Io { .. } | Car::IndexIo { .. } => ErrorKind::SourceUnavailable,
        Car::UnexpectedEof { .. } => ErrorKind::TruncatedCar,
        Car::Limit { .. } => ErrorKind::LimitExceeded,
        Car::Integrity { .. } => ErrorKind::Integrity,
        _ => ErrorKind::MalformedCar,
    };
    shard_error(kind, error)
}

/// What a shard keeps of the index repository's error.
pub(crate) fn index_error(error: &dagstore_index::Error) -> ShardError {
    shard_error(ErrorKind::Storage, error)
}

/// What a shard keeps of an error.
pub(crate) fn shard_error(kind: ErrorKind, error: &dyn std::error::Error) -> ShardError {
    ShardError::new(kind, &with_causes(error))
}

/// The error with its causes, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
