//! A disk in memory that knows what a power cut would leave of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dagstore_fs::{DirectoryEntry, FileSystem, ReadAt, WriteFile};
use parking_lot::Mutex;

/// The files of a disk, by path.
pub(crate) type Image = BTreeMap<PathBuf, Vec<u8>>;

/// A disk. After each call it writes down every image that a power cut could leave at that moment: bytes that were synced
/// under names that were, or under all names, and the same with zeros in the place of bytes that weren't.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    images: BTreeSet<Image>,
}

#[derive(Debug, Default, Clone)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

impl Disk {
    pub(crate) fn of(image: &Image) -> Self {
        let disk = Self::default();
        {
            let mut inner = disk.0.lock();
            for (path, bytes) in image {
                let number = inner.files.len();
                inner.files.push(File { bytes: bytes.clone(), synced: bytes.clone() });
                inner.names.insert(path.clone(), number);
            }
            inner.synced_names = inner.names.clone();
        }
        disk
    }

    /// Everything that a power cut could have left since the disk was made.
    pub(crate) fn images(&self) -> BTreeSet<Image> {
        self.0.lock().images.clone()
    }

    /// What a power cut leaves now at the least: synced bytes under synced names.
    pub(crate) fn least(&self) -> Image {
        let inner = self.0.lock();
        let synced = |number: &usize| inner.files[*number].synced.clone();
        inner.synced_names.iter().map(|(path, number)| (path.clone(), synced(number))).collect()
    }

    pub(crate) fn names(&self) -> Vec<PathBuf> {
        self.0.lock().names.keys().cloned().collect()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> io::Result<T>) -> io::Result<T> {
        let mut inner = self.0.lock();
        let done = change(&mut inner)?;
        let mut images = Vec::new();
        for names in [&inner.names, &inner.synced_names] {
            let synced = |number: &usize| inner.files[*number].synced.clone();
            images.push(names.iter().map(|(path, number)| (path.clone(), synced(number))).collect());
            let with_zeros = |number: &usize| {
                let mut bytes = synced(number);
                bytes.resize(inner.files[*number].bytes.len(), 0);
                bytes
            };
            images.push(names.iter().map(|(path, number)| (path.clone(), with_zeros(number))).collect());
        }
        inner.images.extend(images);
        Ok(done)
    }

    fn number(&self, path: &Path) -> io::Result<usize> {
        self.0.lock().names.get(path).copied().ok_or(ErrorKind::NotFound.into())
    }
}

impl FileSystem for Disk {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let number = self.number(path)?;
        Ok(Arc::new(Bytes::from(self.0.lock().files[number].bytes.clone())))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let number = self.change(|inner| {
            if inner.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            let number = inner.files.len();
            inner.files.push(File::default());
            inner.names.insert(path.to_owned(), number);
            Ok(number)
        })?;
        Ok(Box::new(Writing(self.clone(), number)))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        let number = self.number(path)?;
        self.change(|inner| {
            let length = usize::try_from(length).unwrap();
            let bytes = &mut inner.files[number].bytes;
            if bytes.len() < length {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            bytes.truncate(length);
            Ok(())
        })?;
        Ok(Box::new(Writing(self.clone(), number)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|inner| {
            let number = inner.names.remove(from).ok_or(ErrorKind::NotFound)?;
            inner.names.insert(to.to_owned(), number);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(|inner| inner.names.remove(path).map(|_| ()).ok_or(ErrorKind::NotFound.into()))
    }

    fn create_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let inner = self.0.lock();
        let within = inner.names.iter().filter(|(path, _)| path.parent() == Some(directory));
        let entry = |(path, number): (&PathBuf, &usize)| DirectoryEntry {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            size: inner.files[*number].bytes.len() as u64,
            is_file: true,
        };
        Ok(within.map(entry).collect())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        self.change(|inner| {
            inner.synced_names = inner.names.clone();
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Writing(Disk, usize);

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.change(|inner| {
            inner.files[self.1].bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteFile for Writing {
    fn sync(&mut self) -> io::Result<()> {
        self.0.change(|inner| {
            let file = &mut inner.files[self.1];
            file.synced.clone_from(&file.bytes);
            Ok(())
        })
    }
}
