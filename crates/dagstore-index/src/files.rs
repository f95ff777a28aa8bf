//! A repository of index files in one directory.

use std::any::Any;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_fs::{FileSystem, OwnName};

use crate::builder::FileIndexBuilder;
use crate::claims::Claims;
use crate::reader::FileIndex;
use crate::repo::MAX_VALIDATOR_BYTES;
use crate::sorter::{RUN_ENTRIES, Sorter};
use crate::{Error, FingerprintKey, FullIndex, IndexBuilder, IndexMeta, IndexRepo, IndexSummary, Result};

/// Elsewhere a few large files fill up the addresses.
const MAPPED_UNLESS_TOLD: bool = cfg!(target_pointer_width = "64");

/// Index files in one directory: `<name>.idx`, and while one is built `<name>.tmp` and `<name>.<number>.run`.
///
/// The directory may hold other files; they are never touched. Only one process at a time may use it
/// ([`DirectoryLock`](dagstore_fs::DirectoryLock) is the caller's), and only one repository in it.
#[derive(Debug)]
pub struct FsIndexRepo {
    file_system: Arc<dyn FileSystem>,
    directory: PathBuf,
    key: FingerprintKey,
    run_entries: usize,
    is_mapped: bool,
    claims: Claims,
}

impl FsIndexRepo {
    /// Takes a directory, which is created if it doesn't exist, as the place of a store's indices. None is opened.
    ///
    /// # Errors
    /// [`Error::Io`] when the directory can't be created.
    pub fn open(file_system: Arc<dyn FileSystem>, directory: &Path, key: FingerprintKey) -> Result<Self> {
        file_system.create_directory(directory).map_err(|source| failed("create the directory", directory, source))?;
        let directory = directory.to_owned();
        let (run_entries, is_mapped, claims) = (RUN_ENTRIES, MAPPED_UNLESS_TOLD, Claims::default());
        Ok(Self { file_system, directory, key, run_entries, is_mapped, claims })
    }

    /// Sets how many entries a builder sorts in memory, at 24 bytes each, before it spills them into a temporary
    /// file. It is 2^20 otherwise; 0 counts as 1.
    #[must_use]
    pub fn with_run_entries(mut self, run_entries: usize) -> Self {
        self.run_entries = run_entries.max(1);
        self
    }

    /// Sets whether open indices are mapped into memory, where the file system can do that. Otherwise they are, on
    /// processors of 64 bits.
    ///
    /// Mapped, a look-up is a few times faster. The price is what happens when a part that this process has read before
    /// can't be read again, because its disk fails later or somebody cut the file: the process ends by SIGBUS, where a
    /// positioned read tells an error. A part that can't be read from the start is an error both ways.
    #[must_use]
    pub fn with_mapping(mut self, is_mapped: bool) -> Self {
        self.is_mapped = is_mapped;
        self
    }

    /// A builder that may share a group's file system, or the builder as it came, which then publishes for itself.
    #[expect(clippy::expect_used, reason = "its type was looked at")]
    fn own_builder(&self, builder: Box<dyn IndexBuilder>) -> Result<Box<FileIndexBuilder>, Box<dyn IndexBuilder>> {
        let any: &dyn Any = &*builder;
        match any.downcast_ref::<FileIndexBuilder>() {
            Some(ours) if Arc::ptr_eq(&ours.file_system, &self.file_system) => {
                let any: Box<dyn Any> = builder;
                Ok(any.downcast().expect("it is one of ours"))
            }
            _ => Err(builder),
        }
    }

    /// The kinds of our own files in the directory.
    fn own_files(&self) -> Result<Vec<(String, OwnFile)>> {
        let entries =
            self.file_system.list(&self.directory).map_err(|source| failed("list", &self.directory, source))?;
        let files = entries.into_iter().filter(|entry| entry.is_file);
        Ok(files.filter_map(|entry| OwnFile::parse(&entry.name).map(|file| (entry.name, file))).collect())
    }

    /// Removes a file, and returns whether there was one.
    fn remove_file(&self, path: &Path) -> Result<bool> {
        match self.file_system.remove(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(failed("remove", path, source)),
        }
    }
}

impl IndexRepo for FsIndexRepo {
    fn builder(&self, meta: IndexMeta) -> Result<Box<dyn IndexBuilder>> {
        check_meta(&meta)?;
        let claim = self.claims.claim(meta.name)?;
        let (file_system, directory) = (Arc::clone(&self.file_system), self.directory.clone());
        let sorter = Sorter::new(Arc::clone(&file_system), directory.clone(), meta.name, self.run_entries);
        Ok(Box::new(FileIndexBuilder { file_system, directory, key: self.key, meta, sorter, claim }))
    }

    fn publish_group(&self, builders: Vec<Box<dyn IndexBuilder>>) -> Vec<Result<IndexSummary>> {
        let mut results: Vec<_> = builders.iter().map(|_| None).collect();
        let (mut places, mut ours) = (Vec::new(), Vec::new());
        for (place, builder) in builders.into_iter().enumerate() {
            match self.own_builder(builder) {
                Ok(builder) => {
                    places.push(place);
                    ours.push(*builder);
                }
                Err(other) => results[place] = Some(other.publish()),
            }
        }
        for (place, result) in places.into_iter().zip(FileIndexBuilder::publish_group(ours)) {
            results[place] = Some(result);
        }
        results.into_iter().flatten().collect()
    }

    fn open(&self, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>> {
        let path = index_path(&self.directory, name);
        let opened = if self.is_mapped { self.file_system.open_mapped(&path) } else { self.file_system.open(&path) };
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed("open", &path, source)),
        };
        Ok(Some(Arc::new(FileIndex::open(path, file, name, self.key)?)))
    }

    fn remove(&self, name: OwnName) -> Result<bool> {
        self.remove_file(&index_path(&self.directory, name))
    }

    fn list(&self) -> Result<Vec<OwnName>> {
        let is_index = |(_, file)| if let OwnFile::Index(name) = file { Some(name) } else { None };
        Ok(self.own_files()?.into_iter().filter_map(is_index).collect())
    }

    fn remove_temporaries(&self) -> Result<usize> {
        let being_built = self.claims.hold();
        let mut removed = 0;
        for (file_name, file) in self.own_files()? {
            if let OwnFile::Temporary(name) = file
                && !being_built.contains(&name)
                && self.remove_file(&self.directory.join(file_name))?
            {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// What a file name of ours stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnFile {
    Index(OwnName),
    Temporary(OwnName),
}

impl OwnFile {
    /// `None` for every name that isn't exactly one of ours.
    fn parse(file_name: &str) -> Option<Self> {
        let (stem, extension) = file_name.rsplit_once('.')?;
        match extension {
            "idx" => OwnName::parse(stem).map(Self::Index),
            "tmp" => OwnName::parse(stem).map(Self::Temporary),
            "run" => {
                let (stem, number) = stem.split_once('.')?;
                let is_ours = number.parse::<u64>().is_ok_and(|value| value.to_string() == number);
                OwnName::parse(stem).filter(|_| is_ours).map(Self::Temporary)
            }
            _ => None,
        }
    }
}

pub(crate) fn index_path(directory: &Path, name: OwnName) -> PathBuf {
    directory.join(format!("{name}.idx"))
}

pub(crate) fn temporary_path(directory: &Path, name: OwnName) -> PathBuf {
    directory.join(format!("{name}.tmp"))
}

pub(crate) fn run_path(directory: &Path, name: OwnName, number: u64) -> PathBuf {
    directory.join(format!("{name}.{number}.run"))
}

/// What every repository refuses to build.
pub(crate) fn check_meta(meta: &IndexMeta) -> Result<()> {
    let length_bytes = meta.validator.as_ref().map_or(0, String::len);
    if length_bytes > MAX_VALIDATOR_BYTES { Err(Error::ValidatorTooLong { length_bytes }) } else { Ok(()) }
}

fn failed(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use dagstore_types::{Attempt, Registration, ShardKey};

    use super::*;

    #[test]
    fn names_are_ours_byte_for_byte_or_not_at_all() {
        let name = OwnName::new(&ShardKey::new("k").unwrap(), Registration(1), Attempt(2));
        let file_name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let directory = Path::new("d");
        assert_eq!(OwnFile::parse(&file_name(index_path(directory, name))), Some(OwnFile::Index(name)));
        assert_eq!(OwnFile::parse(&file_name(temporary_path(directory, name))), Some(OwnFile::Temporary(name)));
        for number in [0, 10, u64::MAX] {
            assert_eq!(OwnFile::parse(&file_name(run_path(directory, name, number))), Some(OwnFile::Temporary(name)));
        }
        for other in ["", ".", ".idx", "x.idx", "notes.tmp"].map(str::to_owned) {
            assert_eq!(OwnFile::parse(&other), None, "{other}");
        }
        for end in
            ["", ".car", ".IDX", ".idx.bak", ".0.idx", ".run", ".00.run", ".+1.run", ".1.2.run", ".x.run", ".0.tmp"]
        {
            assert_eq!(OwnFile::parse(&format!("{name}{end}")), None, "{end}");
        }
    }
}
