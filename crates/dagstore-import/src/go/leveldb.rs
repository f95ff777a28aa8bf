//! Reading the LevelDB: always a copy of it, for opening one writes to it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use dagstore::codec::go::MAX_RECORD_BYTES;
use rusty_leveldb::{DB, LdbIterator, Options};

use super::check::check_folder;
use super::{GoFiles, GoRow};
use crate::{Error, Result};

/// Where the records are. Everything else in the LevelDB is the inverted index, which is made anew.
const PREFIX: &[u8] = b"/dagstore";

/// How to read a directory of Go's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Where the copy of the LevelDB is made, and removed again; none is the system's folder for such things. It needs as much
    /// room as the LevelDB has.
    pub scratch: Option<PathBuf>,
    /// The most records.
    pub max_records: u64,
    /// The most bytes of the LevelDB.
    pub max_bytes: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { scratch: None, max_records: 10_000_000, max_bytes: 1 << 40 }
    }
}

/// Reads the records and the names of the files of a directory. It blocks. The directory isn't written to, and nobody may write to
/// it meanwhile.
///
/// # Errors
/// [`Error::NoGoDirectory`], [`Error::LevelDb`] where any of it is damaged or missing, [`Error::ScratchInside`], [`Error::Limit`], [`Error::File`].
pub fn read(directory: &Path, options: &ReadOptions) -> Result<(Vec<GoRow>, GoFiles)> {
    let folder = directory.join("datastore");
    if !folder.join("CURRENT").is_file() {
        let why = "it has no datastore/CURRENT, with which a LevelDB begins";
        return Err(Error::NoGoDirectory { path: directory.to_owned(), why });
    }
    let files = GoFiles::list(directory)?;
    let scratch = make_scratch(directory, options.scratch.clone().unwrap_or_else(std::env::temp_dir))?;
    copy_folder(&folder, scratch.path(), options.max_bytes)?;
    check_folder(scratch.path()).map_err(|why| Error::LevelDb { path: folder.clone(), why })?;
    // The reader panics at some of what a hostile file can say.
    let rows = catch_unwind(AssertUnwindSafe(|| read_rows(scratch.path(), &folder, options)));
    let rows = rows.unwrap_or_else(|_| {
        Err(Error::LevelDb { path: folder.clone(), why: "it is damaged: its reader gave up".to_owned() })
    })?;
    Ok((rows, files))
}

fn make_scratch(directory: &Path, scratch: PathBuf) -> Result<tempfile::TempDir> {
    let real = |path: &Path| path.canonicalize().map_err(Error::file(path));
    if real(&scratch)?.starts_with(real(directory)?) {
        return Err(Error::ScratchInside { scratch, directory: directory.to_owned() });
    }
    tempfile::tempdir_in(&scratch).map_err(Error::file(&scratch))
}

fn copy_folder(from: &Path, to: &Path, max_bytes: u64) -> Result<()> {
    let mut total = 0;
    for entry in std::fs::read_dir(from).map_err(Error::file(from))? {
        let entry = entry.map_err(Error::file(from))?;
        let path = entry.path();
        let metadata = std::fs::symlink_metadata(&path).map_err(Error::file(&path))?;
        // A LevelDB is a folder of plain files; LOG is for people alone.
        if !metadata.is_file() || entry.file_name() == "LOG" || entry.file_name() == "LOCK" {
            continue;
        }
        total += metadata.len();
        if total > max_bytes {
            return Err(Error::Limit { path: from.to_owned(), what: "bytes", most: max_bytes });
        }
        let target = to.join(entry.file_name());
        let copied = io::copy(
            &mut std::fs::File::open(&path).map_err(Error::file(&path))?,
            &mut std::fs::File::create(&target).map_err(Error::file(&target))?,
        );
        copied.map_err(Error::file(&path))?;
    }
    Ok(())
}

fn read_rows(copy: &Path, folder: &Path, options: &ReadOptions) -> Result<Vec<GoRow>> {
    let failed = |error: rusty_leveldb::Status| Error::LevelDb { path: folder.to_owned(), why: error.to_string() };
    let settings = Options { create_if_missing: false, paranoid_checks: true, ..Options::default() };
    let mut database = DB::open(copy, settings).map_err(failed)?;
    let mut iterator = database.new_iter().map_err(failed)?;
    iterator.seek(PREFIX);
    let mut rows = Vec::new();
    while let Some((key, value)) = iterator.current() {
        let Some(name) = key.strip_prefix(PREFIX) else { break };
        // The row of an empty key is the prefix itself.
        let name = if name.is_empty() { Some(name) } else { name.strip_prefix(b"/") };
        if let Some(name) = name {
            if rows.len() as u64 >= options.max_records {
                let (path, most) = (folder.to_owned(), options.max_records);
                return Err(Error::Limit { path, what: "records", most });
            }
            // What is larger is no record, and its beginning is enough to tell so.
            let value = value[..value.len().min(MAX_RECORD_BYTES + 1)].to_vec();
            rows.push(GoRow { name: name.to_vec(), value });
        }
        if !iterator.advance() {
            break;
        }
    }
    Ok(rows)
}
