//! What can go wrong.

use std::io;
use std::path::PathBuf;

use dagstore::OpenError;

/// Why a store can't be moved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text names no datastore.
    #[error("{text:?} names no datastore; write it as SCHEME:PLACE, with one of the schemes {known}")]
    BadPlace {
        /// The text.
        text: String,
        /// The schemes that are known.
        known: String,
    },
    /// Source and target are the same.
    #[error("source and target are both {place}; a copy needs another place")]
    SamePlace {
        /// Both.
        place: String,
    },
    /// There is no store in the source.
    #[error("there is no store in {place}; nothing was copied")]
    NoStore {
        /// The source.
        place: String,
    },
    /// The target has rows already.
    #[error("{place} isn't empty: it has rows in {namespace}; nothing was copied. Name an empty target")]
    NotEmpty {
        /// The target.
        place: String,
        /// Where the first row is.
        namespace: &'static str,
    },
    /// The target holds a half-done copy of another source, or one that was begun with another codec.
    #[error("{place} holds an unfinished copy {what}; finish that one, or remove it and begin anew")]
    OtherCopy {
        /// The target.
        place: String,
        /// Which one.
        what: String,
    },
    /// The row that says how far the copy is can't be read.
    #[error("{place} holds an unfinished copy whose progress can't be read; remove it and begin anew")]
    DamagedProgress {
        /// The target.
        place: String,
    },
    /// The target doesn't hold what the source does.
    #[error(
        "source and target differ in {namespace} at the row {row}: {what}. The target stays closed to stores; if the source was changed since the copy was begun, remove the target and copy again"
    )]
    Differs {
        /// Where.
        namespace: &'static str,
        /// The row's key in hexadecimal digits.
        row: String,
        /// What is different.
        what: &'static str,
    },
    /// The store has more rows of its own description than any store.
    #[error("the source has more than {most} rows in its own description; it is damaged")]
    TooManyNotes {
        /// The most.
        most: usize,
    },
    /// A file can't be read or written.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The directory isn't one of the Go original.
    #[error("{} is no directory of Go's dagstore: {why}", .path.display())]
    NoGoDirectory {
        /// Which directory.
        path: PathBuf,
        /// What was missed.
        why: &'static str,
    },
    /// The scratch folder is in the directory, which is only read.
    #[error("the scratch folder {} is in {}, which is only read", .scratch.display(), .directory.display())]
    ScratchInside {
        /// The scratch folder.
        scratch: PathBuf,
        /// The directory.
        directory: PathBuf,
    },
    /// The LevelDB can't be read.
    #[error("the LevelDB in {} can't be read: {why}", .path.display())]
    LevelDb {
        /// The original folder.
        path: PathBuf,
        /// What the reader said.
        why: String,
    },
    /// The LevelDB has more than is read.
    #[error("the LevelDB in {} has more than {most} {what}; raise the limit if that is right", .path.display())]
    Limit {
        /// The original folder.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// A record can't be written.
    #[error(transparent)]
    Codec(#[from] dagstore::codec::Error),
    /// A datastore failed.
    #[error(transparent)]
    Datastore(#[from] dagstore::datastore::Error),
    /// A datastore or its directory can't be opened.
    #[error(transparent)]
    Open(#[from] Box<OpenError>),
    /// The store's own description can't be read.
    #[error(transparent)]
    Engine(#[from] dagstore::Error),
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Open(Box::new(error))
    }
}

impl Error {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
