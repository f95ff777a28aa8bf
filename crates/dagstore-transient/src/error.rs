//! What can go wrong with a copy.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::OwnName;

/// An error of the local copies. It can be cloned, because all who wait for one fetch get the same.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source failed.
    #[error("the copy {name} can't be fetched")]
    Source {
        /// Which copy.
        name: OwnName,
        /// What the mount said.
        source: dagstore_mount::Error,
    },
    /// The source isn't, or isn't any longer, the content that was asked for or that was begun with. What was fetched of
    /// it is thrown away.
    #[error("the source of the copy {name} has changed; recover the shard to take the new content")]
    SourceChanged {
        /// Which copy.
        name: OwnName,
    },
    /// The source gave fewer or more bytes than it had announced.
    #[error("the source of the copy {name} announced {announced} bytes and gave {relation} {given}")]
    WrongSize {
        /// Which copy.
        name: OwnName,
        /// The size that it had told.
        announced: u64,
        /// "only", or "at least".
        relation: &'static str,
        /// How many came before the end, or before the reading was given up.
        given: u64,
    },
    /// The copy can never fit.
    #[error("the copy {name} needs {needed} bytes of disk, and the quota is {quota}; raise the quota")]
    TooLarge {
        /// Which copy.
        name: OwnName,
        /// What it needs, the files beside it included.
        needed: u64,
        /// The quota.
        quota: u64,
    },
    /// No room was made for the copy in time.
    #[error(
        "there was no room of {needed} bytes for the copy {name} in {waited:?}: {}",
        no_room_text(*unclaimed, *disk)
    )]
    NoRoom {
        /// Which copy.
        name: OwnName,
        /// What it needs.
        needed: u64,
        /// How long was waited.
        waited: Duration,
        /// How many bytes of the room are files that no sidecar claims. They are kept until the operator removes them.
        unclaimed: u64,
        /// Where it is the disk that lacks room, and not the quota: how many bytes are free on it, and how many are to stay so.
        disk: Option<(u64, u64)>,
    },
    /// Too many fetches wait for room already.
    #[error("{most} fetches wait for room already, so the copy {name} isn't begun; try again later")]
    TooManyWaiters {
        /// Which copy.
        name: OwnName,
        /// The bound.
        most: usize,
    },
    /// The disk is full.
    #[error("the disk is full: cannot {operation} {}; make room or lower the quota", .path.display())]
    DiskFull {
        /// What was being done, in words.
        operation: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
    /// The file system failed.
    #[error("cannot {operation} {}", .path.display())]
    Io {
        /// What was being done, in words.
        operation: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// What the file system said.
        source: Arc<io::Error>,
    },
    /// There is no copy, and none was to be fetched.
    #[error("there is no local copy {name}; fetch it")]
    NotLocal {
        /// Which copy.
        name: OwnName,
    },
    /// The source can't be read piecewise.
    #[error("the source of {name} can't be read piecewise, because {why}; fetch a copy of all of it")]
    NeedsCopy {
        /// Which copy.
        name: OwnName,
        /// Why.
        why: &'static str,
    },
    /// The source gave nothing for too long.
    #[error("the source of the copy {name} gave nothing in {waited:?}; try again, or raise the idle time-out")]
    Idle {
        /// Which copy.
        name: OwnName,
        /// How long was waited.
        waited: Duration,
    },
    /// A read that has to wait for the source was made on the one thread that could bring it.
    #[error(
        "{name} can't be read here: this thread runs the runtime that would fetch it; read on a thread for blocking work"
    )]
    WrongThread {
        /// Which copy.
        name: OwnName,
    },
    /// The fetch was cancelled.
    #[error("the fetch of the copy {name} was cancelled")]
    Cancelled {
        /// Which copy.
        name: OwnName,
    },
    /// The observer wanted no more.
    #[error("the fetch of the copy {name} was stopped at byte {at} by the one who looks at its bytes")]
    Stopped {
        /// Which copy.
        name: OwnName,
        /// Up to where it had come.
        at: u64,
    },
    /// The fetch ended in a panic, or with its runtime.
    #[error("the fetch of the copy {name} broke off: {why}")]
    BrokeOff {
        /// Which copy.
        name: OwnName,
        /// Why.
        why: String,
    },
    /// What was on disk of a copy isn't what was written; it is thrown away.
    #[error("{} is damaged: {what}; it is thrown away and fetched anew when it is asked for again", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A user's own file can't serve as the copy.
    #[error("{} can't be used as the copy {name}: {why}", .path.display())]
    Unfit {
        /// Which copy.
        name: OwnName,
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The validator is longer than any that can be kept.
    #[error("the validator of the copy {name} has {length_bytes} bytes; the most is {most}")]
    ValidatorTooLong {
        /// Which copy.
        name: OwnName,
        /// Its length.
        length_bytes: usize,
        /// The most.
        most: usize,
    },
    /// The copy stays.
    #[error("the copy {name} stays: {reason}")]
    Kept {
        /// Which copy.
        name: OwnName,
        /// Why.
        reason: Reason,
    },
    /// The copies were closed.
    #[error("the local copies are closed")]
    Closed,
}

/// Why a copy or a file was not removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody reads it, or waits for it.
    #[error("it is in use")]
    InUse,
    /// It is being fetched.
    #[error("it is being fetched; cancel the fetch first")]
    BeingFetched,
    /// It is pinned.
    #[error("it is pinned; unpin it first")]
    Pinned,
    /// The source wasn't seen to have this content still, so it may be the last copy that there is.
    #[error(
        "its source was not seen to have the same content, so it may be the last copy; removing it has to be forced"
    )]
    MayBeTheLast,
    /// A file can't be adopted in its place.
    #[error("there is a copy already; evict it first")]
    Exists,
    /// Somebody names it.
    #[error("it belongs to a shard")]
    Named,
    /// The file bears one of our names, and its sidecar doesn't say that it is ours.
    #[error("nothing proves that it is the store's own")]
    NotProvablyOurs,
    /// The file system failed.
    #[error("the file system failed")]
    Failed,
}

/// What can be done about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// It may pass: try again.
    Transient,
    /// It stays until somebody changes something.
    Permanent,
}

/// Why there is no room, and the way out.
fn no_room_text(unclaimed: u64, disk: Option<(u64, u64)>) -> String {
    let unclaimed = match unclaimed {
        0 => String::new(),
        bytes => format!(
            ", and {bytes} bytes are files that no sidecar claims, which a collection names and which count until they are \
             removed and the folder is opened again"
        ),
    };
    let others = format!("all others are in use, pinned, or the last of their kind{unclaimed}");
    match disk {
        None => format!("{others}; raise the quota, unpin or evict"),
        Some((available, keep_free)) => format!(
            "the disk has {available} bytes free, of which {keep_free} are to stay free; {others}; make room on the disk, or \
             let less of it stay free"
        ),
    }
}

impl Error {
    /// What can be done.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Source { source, .. } => match source.class() {
                dagstore_mount::ErrorClass::Transient => ErrorClass::Transient,
                _ => ErrorClass::Permanent,
            },
            Self::WrongSize { .. }
            | Self::NoRoom { .. }
            | Self::TooManyWaiters { .. }
            | Self::DiskFull { .. }
            | Self::Io { .. }
            | Self::Idle { .. }
            | Self::Cancelled { .. }
            | Self::BrokeOff { .. }
            | Self::Damaged { .. } => ErrorClass::Transient,
            Self::SourceChanged { .. }
            | Self::TooLarge { .. }
            | Self::NotLocal { .. }
            | Self::NeedsCopy { .. }
            | Self::WrongThread { .. }
            | Self::Stopped { .. }
            | Self::Unfit { .. }
            | Self::ValidatorTooLong { .. }
            | Self::Kept { .. }
            | Self::Closed => ErrorClass::Permanent,
        }
    }

    /// Makes the error for what a mount said.
    pub(crate) fn of_source(name: OwnName, error: dagstore_mount::Error) -> Self {
        match error {
            dagstore_mount::Error::SourceChanged { .. } => Self::SourceChanged { name },
            source => Self::Source { name, source },
        }
    }
}

/// Makes the error of a step on a file.
pub(crate) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |error| {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let source = Arc::new(error);
        if is_full { Error::DiskFull { operation, path, source } } else { Error::Io { operation, path, source } }
    }
}
