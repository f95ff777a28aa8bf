//! The disk of a machine whose power can go.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dagstore_fs::{DirectoryEntry, FileSystem, ReadAt, WriteFile};

use super::{FileImage, Power, what_of};

/// A disk in memory. What isn't synced may be lost: bytes to zeros, to the half, or to what they were, and each creation, renaming
/// and removal of a name in a directory.
#[derive(Debug, Clone)]
pub struct PowerDisk {
    power: Power,
}

impl PowerDisk {
    pub(super) fn new(power: Power) -> Self {
        Self { power }
    }

    /// A disk with these files and nothing else, of which every moment is written down.
    pub fn of(files: &FileImage) -> Self {
        let directories = files.keys().filter_map(|path| path.parent()).flat_map(Path::ancestors);
        let image = super::Image {
            files: files.clone(),
            directories: directories.map(Path::to_owned).collect(),
            ..Default::default()
        };
        let power = Power::of(&image);
        power.watch();
        Self::new(power)
    }

    /// All that a power cut could have left since the disk was made or this was asked last.
    pub fn images(&self) -> BTreeSet<FileImage> {
        let moments = self.power.take_moments();
        self.power.watch();
        moments.iter().flat_map(super::Moment::file_images).collect()
    }

    /// What a power cut leaves now at the least: synced bytes under synced names.
    pub fn least(&self) -> FileImage {
        self.power.with_files(super::Files::least)
    }

    /// The files that are there now.
    pub fn names(&self) -> Vec<PathBuf> {
        self.power.with_files(|files| files.names().map(|(path, _)| path.clone()).collect())
    }

    /// A sync of the file has failed: what was written to it since the last one never becomes durable.
    pub(crate) fn fail_sync(&self, path: &Path) {
        let what = || format!("fail to sync {}", what_of(path));
        // A file whose name was removed meanwhile is lost in any case.
        let _lost = self.power.change_files(what, |files| {
            let number = files.number(path)?;
            files.fail_sync(number);
            Ok::<_, io::Error>(())
        });
    }
}

impl Default for PowerDisk {
    fn default() -> Self {
        Self::of(&FileImage::default())
    }
}

impl FileSystem for PowerDisk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let bytes = self.power.with_files(|files| files.bytes(path))?;
        Ok(Arc::new(Reading(bytes)))
    }

    fn open_mapped(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let bytes = self.power.with_files(|files| files.bytes(path))?;
        Ok(Arc::new(Bytes::from(bytes.to_vec())))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let number = self.power.change_files(|| format!("create {}", what_of(path)), |files| files.create(path))?;
        Ok(Box::new(Writing { power: self.power.clone(), number, what: what_of(path) }))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        let what = || format!("append {}", what_of(path));
        let number = self.power.change_files(what, |files| files.truncate(path, length))?;
        Ok(Box::new(Writing { power: self.power.clone(), number, what: what_of(path) }))
    }

    fn available_bytes(&self, _: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.power.change_files(|| format!("rename {}", what_of(to)), |files| files.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.power.change_files(|| format!("remove {}", what_of(path)), |files| files.remove(path))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.power.change_files(
            || format!("create directory {}", what_of(path)),
            |files| {
                files.create_directory(path);
                Ok(())
            },
        )
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        self.power.with_files(|files| {
            if !files.directories().contains(directory) {
                return Err(io::ErrorKind::NotFound.into());
            }
            let within = files.names().filter(|(path, _)| path.parent() == Some(directory));
            let entry = |(path, size): (&PathBuf, usize)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some(DirectoryEntry { name, size: size as u64, is_file: true })
            };
            Ok(within.filter_map(entry).collect())
        })
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let what = || format!("sync directory {}", what_of(directory));
        self.power.change_files(what, |files| files.sync_directory(directory))
    }
}

/// An open file, as it was then: the store reads none that it still writes.
#[derive(Debug)]
struct Reading(Arc<Vec<u8>>);

impl ReadAt for Reading {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let count = buffer.len().min(self.0.len() - start);
        buffer[..count].copy_from_slice(&self.0[start..start + count]);
        Ok(count)
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(true)
    }
}

#[derive(Debug)]
struct Writing {
    power: Power,
    number: usize,
    what: String,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.power.change_files(
            || format!("write {}", self.what),
            |files| {
                files.write(self.number, bytes);
                Ok(bytes.len())
            },
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for Writing {
    fn sync(&mut self) -> io::Result<()> {
        self.power.change_files(
            || format!("sync {}", self.what),
            |files| {
                files.sync(self.number);
                Ok(())
            },
        )
    }
}
