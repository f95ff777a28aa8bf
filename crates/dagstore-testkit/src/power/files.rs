//! The files of a disk, and what of them is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FileImage;

/// Up to how many changes of names each is lost or kept for itself; of more, only the last ones are lost.
const INDEPENDENT: usize = 4;

/// The files, as they are and as a cut leaves them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Files {
    contents: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directories were synced, in their order.
    pending: Vec<Entry>,
    directories: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Arc<Vec<u8>>,
    synced: Arc<Vec<u8>>,
    /// Up to where the bytes are the synced ones.
    clean: usize,
    /// Bytes that a failed sync has lost: zeros are durable in their place.
    lost: Vec<Range<usize>>,
}

/// A change of names.
#[derive(Debug, Clone)]
enum Entry {
    Created(PathBuf, usize),
    Renamed(PathBuf, PathBuf, usize),
    Removed(PathBuf),
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Created(path, number) => drop(names.insert(path.clone(), *number)),
            Self::Renamed(from, to, number) => {
                if names.get(from) == Some(number) {
                    names.remove(from);
                }
                names.insert(to.clone(), *number);
            }
            Self::Removed(path) => drop(names.remove(path)),
        }
    }

    fn is_in(&self, directory: &Path) -> bool {
        let (Self::Created(path, _) | Self::Renamed(_, path, _) | Self::Removed(path)) = self;
        path.parent() == Some(directory)
    }
}

/// How much of the bytes that weren't synced a cut leaves.
#[derive(Debug, Clone, Copy)]
enum Left {
    Nothing,
    Zeros,
    Half,
    All,
}

impl Files {
    pub(crate) fn of(image: &FileImage, directories: BTreeSet<PathBuf>) -> Self {
        let mut files = Self { directories, ..Self::default() };
        for (path, bytes) in image {
            files.names.insert(path.clone(), files.contents.len());
            let (bytes, synced, clean) = (bytes.clone(), bytes.clone(), bytes.len());
            files.contents.push(File { bytes, synced, clean, lost: Vec::new() });
        }
        files.synced_names = files.names.clone();
        files
    }

    pub(crate) fn directories(&self) -> &BTreeSet<PathBuf> {
        &self.directories
    }

    pub(crate) fn kept(&self) -> FileImage {
        self.image(&self.names, Left::All)
    }

    pub(crate) fn least(&self) -> FileImage {
        self.image(&self.synced_names, Left::Nothing)
    }

    /// All that a cut can leave now, the least first.
    pub(crate) fn images(&self) -> Vec<FileImage> {
        let mut images = Vec::new();
        for names in self.possible_names() {
            for left in [Left::Nothing, Left::Zeros, Left::Half, Left::All] {
                let image = self.image(&names, left);
                if !images.contains(&image) {
                    images.push(image);
                }
            }
        }
        images
    }

    /// The names that a cut can leave: each change lost or kept.
    fn possible_names(&self) -> Vec<BTreeMap<PathBuf, usize>> {
        let count = self.pending.len();
        let with = |is_kept: &dyn Fn(usize) -> bool| {
            let mut names = self.synced_names.clone();
            let kept = self.pending.iter().enumerate().filter(|(at, _)| is_kept(*at));
            kept.for_each(|(_, entry)| entry.apply(&mut names));
            names
        };
        if count <= INDEPENDENT {
            return (0..1_usize << count).map(|kept| with(&|at| kept >> at & 1 == 1)).collect();
        }
        (0..=count).map(|first| with(&|at| at < first)).collect()
    }

    fn image(&self, names: &BTreeMap<PathBuf, usize>, left: Left) -> FileImage {
        names.iter().map(|(path, number)| (path.clone(), self.contents[*number].left(left))).collect()
    }

    pub(crate) fn bytes(&self, path: &Path) -> io::Result<Arc<Vec<u8>>> {
        Ok(self.contents[self.number(path)?].bytes.clone())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&PathBuf, usize)> {
        self.names.iter().map(|(path, number)| (path, self.contents[*number].bytes.len()))
    }

    pub(crate) fn number(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or(ErrorKind::NotFound.into())
    }

    pub(crate) fn create(&mut self, path: &Path) -> io::Result<usize> {
        if self.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let is_there = path.parent().is_some_and(|parent| self.directories.contains(parent));
        if !is_there {
            return Err(ErrorKind::NotFound.into());
        }
        let number = self.contents.len();
        self.contents.push(File::default());
        self.enter(Entry::Created(path.to_owned(), number));
        Ok(number)
    }

    pub(crate) fn truncate(&mut self, path: &Path, length: u64) -> io::Result<usize> {
        let number = self.number(path)?;
        let file = &mut self.contents[number];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if file.bytes.len() < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if length < file.bytes.len() {
            Arc::make_mut(&mut file.bytes).truncate(length);
            file.clean = file.clean.min(length);
            file.lost.iter_mut().for_each(|lost| lost.end = lost.end.min(length));
            file.lost.retain(|lost| !lost.is_empty());
        }
        Ok(number)
    }

    pub(crate) fn write(&mut self, number: usize, bytes: &[u8]) {
        Arc::make_mut(&mut self.contents[number].bytes).extend_from_slice(bytes);
    }

    pub(crate) fn sync(&mut self, number: usize) {
        let file = &mut self.contents[number];
        file.synced = file.left(Left::All);
        file.clean = file.bytes.len();
    }

    /// What was written since the last sync is never durable.
    pub(crate) fn fail_sync(&mut self, number: usize) {
        let file = &mut self.contents[number];
        file.lost.push(file.clean..file.bytes.len());
        file.clean = file.bytes.len();
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let number = self.number(from)?;
        self.enter(Entry::Renamed(from.to_owned(), to.to_owned(), number));
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.number(path)?;
        self.enter(Entry::Removed(path.to_owned()));
        Ok(())
    }

    pub(crate) fn create_directory(&mut self, path: &Path) {
        self.directories.extend(path.ancestors().map(Path::to_owned));
    }

    pub(crate) fn sync_directory(&mut self, directory: &Path) -> io::Result<()> {
        if !self.directories.contains(directory) {
            return Err(ErrorKind::NotFound.into());
        }
        let (synced, pending) = std::mem::take(&mut self.pending).into_iter().partition(|e| e.is_in(directory));
        let synced: Vec<Entry> = synced;
        for entry in &synced {
            entry.apply(&mut self.synced_names);
        }
        self.pending = pending;
        Ok(())
    }

    fn enter(&mut self, entry: Entry) {
        entry.apply(&mut self.names);
        self.pending.push(entry);
    }
}

impl File {
    fn left(&self, left: Left) -> Arc<Vec<u8>> {
        let length = self.bytes.len();
        let is_synced = self.clean == length && self.synced.len() == length;
        let part = match left {
            Left::Nothing => return self.synced.clone(),
            Left::All if is_synced && self.lost.is_empty() => return self.bytes.clone(),
            _ if is_synced => return self.synced.clone(),
            Left::Zeros => self.clean,
            Left::Half => self.clean + (length - self.clean) / 2,
            Left::All => length,
        };
        let mut bytes = self.bytes.to_vec();
        match left {
            Left::Half => bytes.truncate(part),
            _ => bytes[part..].fill(0),
        }
        for lost in &self.lost {
            let end = lost.end.min(bytes.len());
            bytes[lost.start.min(end)..end].fill(0);
        }
        Arc::new(bytes)
    }
}
