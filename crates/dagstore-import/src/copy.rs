//! Copies of stores: every row from one datastore to another.
//!
//! The target is no store before every row was copied and held against the source. What was copied is written down behind each
//! piece, so a copy that was killed goes on where it was; pieces are absolute, so what it had begun is done once more.

use std::sync::Arc;

use dagstore::codec::Codec;
use dagstore::datastore::{Batch, Durability, RowPage};
use dagstore::fs::RealFileSystem;
use dagstore::rows::META;
use dagstore::{Databases, Directory, Identity};
use futures_util::{StreamExt, stream};

use crate::compare::{TableReport, compare};
use crate::files::copy_indices;
use crate::progress::{PROGRESS, Progress};
use crate::rows::{Recoding, rows_behind};
use crate::tables::{TABLES, Table, check_empty};
use crate::{Error, Place, Result, Role, Schemes};

/// The most rows of a store's own description. It has three.
const MOST_NOTES: usize = 1000;

/// How to copy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Writes records in this codec; none leaves them as they are. Records that can't be read stay as they are in any case.
    pub codec: Option<Arc<dyn Codec>>,
    /// How many bytes of rows are written between two notes of how far the copy is.
    pub piece_bytes: usize,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { codec: None, piece_bytes: 32 * 1024 * 1024 }
    }
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyStep {
    /// So many rows are in the target, durably.
    Copied {
        /// Which table is being copied.
        table: &'static str,
        /// Rows of all tables.
        rows: u64,
    },
    /// So many rows of a table were compared.
    Comparing {
        /// Which table.
        table: &'static str,
        /// Its rows.
        rows: u64,
    },
    /// So many index files are in the target.
    Files {
        /// Files.
        files: u64,
    },
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyReport {
    /// The tables, as both sides have them.
    pub tables: Vec<TableReport>,
    /// Rows that an earlier, unfinished copy had brought.
    pub resumed_rows: u64,
    /// Whether the target was a finished copy already: then nothing but the comparison was done.
    pub was_complete: bool,
    /// Records that can't be read, and were copied as they are; counted where records are written in another codec.
    pub unread: u64,
    /// Index files in the target's directory; `None` where both have the same directory, or one has none.
    pub index_files: Option<u64>,
}

/// Hears how far the copy is.
pub(crate) type Tell<'a> = &'a (dyn Fn(CopyStep) + Send + Sync);

/// Copies the store in `from` to `to`, which must be empty, or hold an unfinished copy of the same source. Both directories are
/// locked meanwhile. Of another directory, the index files are copied, too; local copies of remote shards stay where they are.
/// When it returns, the target is durable, equal to the source, and a store.
///
/// # Errors
/// See [`Error`]. Behind any but [`Error::NotEmpty`] the same call goes on with the copy.
pub async fn copy_store(
    schemes: &Schemes,
    from: &Place,
    to: &Place,
    options: &CopyOptions,
    tell: Tell<'_>,
) -> Result<CopyReport> {
    let (source_scheme, target_scheme) = (schemes.of(from)?, schemes.of(to)?);
    let source_directory =
        source_scheme.directory(&from.location).map(|path| Directory::lock_existing(&path)).transpose()?;
    let target_path = target_scheme.directory(&to.location);
    let is_shared = match (&source_directory, &target_path) {
        (Some(source), Some(target)) => {
            target.canonicalize().is_ok_and(|target| source.path().canonicalize().is_ok_and(|source| source == target))
        }
        _ => false,
    };
    let is_same_directory = is_shared && source_scheme.is_embedded();
    if from.scheme == to.scheme && (is_same_directory || from.location == to.location) {
        return Err(Error::SamePlace { place: from.to_string() });
    }
    let target_directory = match target_path {
        Some(path) if !is_shared => Some(Directory::lock(&RealFileSystem, &path)?),
        _ => None,
    };
    let source = source_scheme.open(&from.location, source_directory.as_ref(), Role::Source).await?;
    let copied = async {
        // Of a datastore elsewhere, the directory beside it may be another store's.
        if let (Some(directory), Some(identity)) = (&source_directory, Identity::read(&*source.records).await?) {
            directory.check_owner(&RealFileSystem, Some(&identity))?;
        }
        let directory = if is_shared { source_directory.as_ref() } else { target_directory.as_ref() };
        let target = target_scheme.open(&to.location, directory, Role::Target).await?;
        let finish = async |identity: &Identity| {
            let Some(target) = &target_directory else { return Ok(None) };
            target.check_owner(&RealFileSystem, Some(identity))?;
            target.claim(&RealFileSystem, identity)?;
            match &source_directory {
                Some(source) => copy_indices(&source.indices(), &target.indices(), tell).await.map(Some),
                None => Ok(None),
            }
        };
        let copied = copy_databases(&source, &target, &to.to_string(), options, tell, finish).await;
        target.close().await.map_err(Error::from).and(copied)
    };
    let copied = copied.await;
    source.close().await.map_err(Error::from).and(copied)
}

/// Copies every row of `source` to `target`, compares both, calls `finish`, and makes the target a store; see [`copy_store`].
///
/// # Errors
/// Those of [`copy_store`], but for directories.
pub async fn copy_databases(
    source: &Databases,
    target: &Databases,
    place: &str,
    options: &CopyOptions,
    tell: Tell<'_>,
    finish: impl AsyncFnOnce(&Identity) -> Result<Option<u64>>,
) -> Result<CopyReport> {
    let recoding = Recoding::new(options.codec.clone());
    let identity = Identity::read(&*source.records).await?;
    let identity = identity.ok_or_else(|| Error::NoStore { place: "the source".to_owned() })?;
    let begun = Progress::new(&identity, recoding.name());
    let mut progress = if Progress::is_unfinished(&*target.records).await? {
        begun.read(&*target.records, place).await?
    } else if Identity::read(&*target.records).await? == Some(identity) {
        let compared = compare(source, target, &recoding, tell).await;
        let tables = compared.map_err(|error| match error {
            // A finished copy that was used since is a store of its own, and not to be removed.
            Error::Differs { namespace, .. } => Error::NotEmpty { place: place.to_owned(), namespace },
            error => error,
        })?;
        let index_files = finish(&identity).await?;
        return Ok(CopyReport { tables, resumed_rows: 0, was_complete: true, unread: 0, index_files });
    } else {
        check_empty(target, place).await?;
        begun.begin(&*target.records).await?;
        begun
    };
    let resumed_rows = progress.rows;
    let mut unread = 0;
    for table in TABLES.into_iter().skip(progress.tables) {
        unread += copy_table(table, source, target, &recoding, &mut progress, options.piece_bytes, tell).await?;
    }
    let tables = compare(source, target, &recoding, tell).await?;
    let index_files = finish(&identity).await?;
    describe(source, target).await?;
    Ok(CopyReport { tables, resumed_rows, was_complete: false, unread, index_files })
}

/// Copies a table from where the copy is, and returns how many records could not be read.
async fn copy_table(
    table: Table,
    source: &Databases,
    target: &Databases,
    recoding: &Recoding,
    progress: &mut Progress,
    piece_bytes: usize,
    tell: Tell<'_>,
) -> Result<u64> {
    let name = table.namespace().name();
    let mut pages = rows_behind(table.of(source), table, progress.after()).fuse();
    let mut unread = 0;
    loop {
        let (mut piece, mut bytes, mut rows) = (Vec::new(), 0, 0);
        while bytes < piece_bytes {
            let Some(page) = pages.next().await.transpose()? else { break };
            let (page, of_page) = recoding.page(table, page)?;
            (bytes, rows, unread) = (bytes + page.byte_len(), rows + page.len() as u64, unread + of_page);
            piece.push(page);
        }
        let Some(last_key) = piece.last().and_then(RowPage::last_key).map(<[u8]>::to_vec) else { break };
        let piece = stream::iter(piece.into_iter().map(Ok)).boxed();
        table.of(target).bulk_load(table.namespace(), piece).await?;
        progress.advance(&last_key, rows);
        progress.write(&*target.records).await?;
        tell(CopyStep::Copied { table: name, rows: progress.rows });
    }
    progress.next_table();
    progress.write(&*target.records).await?;
    Ok(unread)
}

/// Writes the store's own description and takes the progress away, at once: from this moment on the target is a store.
async fn describe(source: &Databases, target: &Databases) -> Result<()> {
    let notes = source.records.rows(META, &[], None, MOST_NOTES + 1).await?;
    if notes.len() > MOST_NOTES || notes.is_full() {
        return Err(Error::TooManyNotes { most: MOST_NOTES });
    }
    let mut batch = Batch::new();
    batch.delete(META, PROGRESS.as_bytes());
    for (key, value) in notes.iter() {
        batch.put(META, key, value);
    }
    target.records.write(batch, Durability::Synced).await?;
    let written = target.records.rows(META, &[], None, MOST_NOTES + 1).await?;
    if written == notes {
        return Ok(());
    }
    Err(Error::Differs { namespace: META.name(), row: String::new(), what: "the store's description" })
}
