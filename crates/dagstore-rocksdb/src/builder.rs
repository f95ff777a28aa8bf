//! Options, and how a database directory is opened and made.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_datastore::embedded::Opening;
use dagstore_datastore::{Error, ErrorClass, Namespace, Result};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    DEFAULT_COLUMN_FAMILY_NAME, LogLevel, Options,
};

use crate::RocksdbDatastore;
use crate::error::{BACKEND, DAMAGED, failed, out_of_reach};
use crate::families::Families;
use crate::load::{Loads, is_new_file, remove_new_files};
use crate::logs::check_logs;

const MIB: usize = 1024 * 1024;

/// How to open a [`RocksdbDatastore`].
///
/// Memory is bounded by the block cache, which holds indices and filters too, and about twice the write buffer: one that
/// fills while another is flushed. [Namespaces that are loaded in bulk](Self::bulk_namespace) have their indices and filters
/// beside the cache, about a byte for each row.
#[derive(Debug, Clone)]
pub struct RocksdbBuilder {
    block_cache_bytes: usize,
    write_buffer_bytes: usize,
    max_open_files: u16,
    bulk_namespaces: Vec<(Namespace, usize)>,
    create_if_missing: bool,
}

impl Default for RocksdbBuilder {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 * MIB,
            write_buffer_bytes: 64 * MIB,
            max_open_files: 512,
            bulk_namespaces: Vec::new(),
            create_if_missing: true,
        }
    }
}

impl RocksdbBuilder {
    /// Bounds the cache of blocks that were read, 64 MiB unless told.
    #[must_use]
    pub fn block_cache_bytes(mut self, block_cache_bytes: usize) -> Self {
        self.block_cache_bytes = block_cache_bytes;
        self
    }

    /// How much is written, in all namespaces together, before it goes from memory to a file of its own; 64 MiB unless
    /// told. The log that is replayed after a crash is at most about four times as large.
    #[must_use]
    pub fn write_buffer_bytes(mut self, write_buffer_bytes: usize) -> Self {
        self.write_buffer_bytes = write_buffer_bytes;
        self
    }

    /// Bounds the files that RocksDB keeps open, 512 unless told.
    #[must_use]
    pub fn max_open_files(mut self, max_open_files: u16) -> Self {
        self.max_open_files = max_open_files;
        self
    }

    /// Says that rows of `namespace` come by [bulk loads](dagstore_datastore::Datastore::bulk_load), are small and many, and
    /// are [looked up](dagstore_datastore::Datastore::rows) by the first `prefix_bytes` of their keys or more, most often in
    /// vain. Its files get filters on those prefixes, which stay in memory (about a byte for each row), and are compacted
    /// rarely; a load waits while compaction is behind.
    ///
    /// What is on disk stays readable with and without this, and with other lengths. Where the namespace was filled without
    /// it, look-ups take twice as long, but are right.
    #[must_use]
    pub fn bulk_namespace(mut self, namespace: Namespace, prefix_bytes: usize) -> Self {
        self.bulk_namespaces.push((namespace, prefix_bytes));
        self
    }

    /// Whether a database is made where there is none, which it is unless told. The directory above must exist.
    #[must_use]
    pub fn create_if_missing(mut self, create_if_missing: bool) -> Self {
        self.create_if_missing = create_if_missing;
        self
    }

    /// Opens the database in the directory `path`.
    ///
    /// # Errors
    /// [`Error::InUse`] while another process or handle has it open. Of class [`Corrupt`](ErrorClass::Corrupt) when it is
    /// damaged, and [`Permanent`](ErrorClass::Permanent) when it can't be reached or made.
    pub async fn open(self, path: impl AsRef<Path>) -> Result<RocksdbDatastore> {
        // Reopening must find the same directory, wherever the process has gone by then.
        let path = std::path::absolute(path.as_ref()).map_err(|error| out_of_reach("open", error))?;
        let place = path.display().to_string();
        let cache = Cache::new_lru_cache(self.block_cache_bytes);
        let families = Arc::new(Families::new(self.options(&cache), &cache, &self.bulk_namespaces));
        let loads = Loads { directory: path.clone(), families: Arc::clone(&families) };
        let open = move |opening| open_database(&path, &families, opening, self.create_if_missing);
        RocksdbDatastore::open_with(place, loads, open).await
    }

    /// The options of the database, and of each column family that has none of its own.
    pub(crate) fn options(&self, cache: &Cache) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(cache);
        // Without this, indices and filters of all files are in memory, and nothing bounds them.
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        blocks.set_bloom_filter(10.0, false);

        let mut options = Options::default();
        options.set_block_based_table_factory(&blocks);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_bottommost_compression_type(DBCompressionType::Zstd);
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_db_write_buffer_size(self.write_buffer_bytes);
        // A namespace that is hardly written to would otherwise keep old logs alive for ever.
        options.set_max_total_wal_size(u64::try_from(self.write_buffer_bytes).unwrap_or(u64::MAX).saturating_mul(4));
        options.set_max_open_files(i32::from(self.max_open_files));
        // A log may end in the middle of its last write, because the power went. A log that is damaged before its end is
        // refused: by default what stands behind the damage would be dropped in silence, acknowledged or not.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(4);
        options.set_max_log_file_size(4 * MIB);
        options
    }
}

/// How often opening is tried where it meets another over old logs of what was done.
const TRIES: usize = 5;

pub(crate) fn open_database(path: &Path, families: &Families, opening: Opening, create_if_missing: bool) -> Result<DB> {
    let mut options = families.plain().clone();
    let names = match look_at(path)? {
        Found::Database => {
            check_logs(path)?;
            list_families(path, &options)?
        }
        Found::Nothing if create_if_missing && opening == Opening::First => {
            make_directory(path).map_err(|error| out_of_reach("open", error))?;
            options.create_if_missing(true);
            vec![DEFAULT_COLUMN_FAMILY_NAME.to_owned()]
        }
        Found::Nothing => {
            let absent = io::Error::new(io::ErrorKind::NotFound, "there is no database");
            return Err(out_of_reach("open", absent));
        }
    };
    let try_to_open = |options_of: &dyn Fn(&str) -> Options| {
        let descriptors = names.iter().map(|name| ColumnFamilyDescriptor::new(name, options_of(name)));
        DB::open_cf_descriptors(&options, path, descriptors)
    };
    let open = |options_of: &dyn Fn(&str) -> Options| {
        let mut opened = try_to_open(options_of);
        for _ in 1..TRIES {
            match &opened {
                Err(error) if has_met_another(error.as_ref()) => opened = try_to_open(options_of),
                _ => break,
            }
        }
        opened
    };
    let opened = open(&|name| families.options(name).clone()).or_else(|error| match error {
        error if error.as_ref().contains("more levels than options.num_levels") => {
            open(&|name| families.levelled(name))
        }
        error => Err(error),
    });
    let database = opened.map_err(|error| refused(path, error))?;
    if opening == Opening::First {
        // Later a load of this very process may be at work.
        remove_new_files(path)?;
    }
    Ok(database)
}

/// Before it takes its lock RocksDB removes old logs of what it has done. One who is just closing the database does so, too, and
/// they meet over a file, which says nothing about the database.
fn has_met_another(message: &str) -> bool {
    message.contains("LOG.old") && message.contains("No such file or directory")
}

/// The names of the column families that there are, which must all be opened.
fn list_families(path: &Path, options: &Options) -> Result<Vec<String>> {
    DB::list_cf(options, path).map_err(|error| match DB::open(options, path) {
        // Listing takes no lock: while another process writes, it can meet files that are just being replaced.
        Err(locked) if matches!(refused(path, locked.clone()), Error::InUse { .. }) => refused(path, locked),
        _ => refused(path, error),
    })
}

fn refused(path: &Path, error: rocksdb::Error) -> Error {
    let message = error.as_ref();
    let is_locked_here = message.contains("lock hold by current process");
    let is_locked_elsewhere =
        message.contains("While lock file") && message.contains("Resource temporarily unavailable");
    if is_locked_here || is_locked_elsewhere {
        return Error::InUse { backend: BACKEND, place: path.display().to_string() };
    }
    failed("open", error)
}

enum Found {
    Database,
    /// No directory, an empty one, or what is left where making a database was cut short.
    Nothing,
}

/// Looks what a directory holds. RocksDB itself would make a new database over whatever is there, and remove the rows of
/// one that has lost nothing but its file `CURRENT`.
fn look_at(path: &Path) -> Result<Found> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        entries => entries.map_err(|error| out_of_reach("open", error))?,
    };
    let (mut holds_rows, mut stranger) = (false, None);
    for entry in entries {
        let entry = entry.map_err(|error| out_of_reach("open", error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "CURRENT" {
            return Ok(Found::Database);
        }
        match kind_of(&name) {
            FileKind::Rows => holds_rows = true,
            FileKind::Other => {}
            FileKind::Stranger => stranger = Some(name),
        }
    }
    if holds_rows {
        let lost = "the file CURRENT is missing, and files with rows are there";
        return Err(Error::failed(BACKEND, "open", ErrorClass::Corrupt, lost).advise(DAMAGED));
    }
    if let Some(name) = stranger {
        let foreign = format!("the directory holds no database, but other things, {name:?} for one");
        let way_out = "give the database a directory of its own";
        return Err(Error::failed(BACKEND, "open", ErrorClass::Permanent, foreign).advise(way_out));
    }
    Ok(Found::Nothing)
}

enum FileKind {
    /// One of RocksDB's that comes after `CURRENT`.
    Rows,
    /// One of RocksDB's that comes before it.
    Other,
    Stranger,
}

fn kind_of(name: &str) -> FileKind {
    let is_numbered = |suffix: &str| {
        name.strip_suffix(suffix).is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_other = is_new_file(name)
        || ["LOCK", "LOG", "IDENTITY"].contains(&name)
        || ["LOG.old.", "MANIFEST-", "OPTIONS-"].iter().any(|prefix| name.starts_with(prefix));
    if is_numbered(".sst") || is_numbered(".log") {
        FileKind::Rows
    } else if is_other || is_numbered(".dbtmp") {
        FileKind::Other
    } else {
        FileKind::Stranger
    }
}

/// Makes the directory, for this user only and for good. One that exists is left as it is.
fn make_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made?;
            let above = path.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf);
            File::open(above)?.sync_all()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::has_met_another;

    #[test]
    fn only_an_old_log_that_another_has_removed_is_a_reason_to_open_again() {
        let says = |path: &str| format!("IO error: No such file or directory: while unlink() file: {path}: gone");
        assert!(has_met_another(&says("/store/rocksdb/LOG.old.1763827200000000")));
        assert!(!has_met_another(&says("/store/rocksdb/MANIFEST-000005")));
        assert!(!has_met_another("IO error: No space left on device: While open a file: /store/rocksdb/LOG.old.1"));
    }
}
