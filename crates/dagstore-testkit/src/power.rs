//! A machine whose power can go: a disk and a datastore in memory, and one order of all that happens to both.
//!
//! [`Power`] writes a [`Moment`] down behind each change, where it is asked to. A cut is one moment for the files and for the
//! rows; [`Moment::images`] tells what it can leave, and [`Power::of`] is the machine that is switched on again.

mod disk;
mod files;
mod moment;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dagstore_datastore::Namespace;
use parking_lot::Mutex;

pub use disk::PowerDisk;
pub use moment::Moment;
pub(crate) use rows::namespaces;
pub use rows::{Changes, LossyRows, PowerDatastore};

use files::Files;

/// A row's place.
pub type Place = (Namespace, Vec<u8>);

/// The files of a disk, by path.
pub type FileImage = BTreeMap<PathBuf, Arc<Vec<u8>>>;

/// What is on a machine that is switched off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Image {
    /// The files.
    pub files: FileImage,
    /// The directories, which are durable as soon as they are made.
    pub directories: BTreeSet<PathBuf>,
    /// The rows of the datastore.
    pub rows: BTreeMap<Place, Bytes>,
}

/// The machine. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Power(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    files: Files,
    rows: LossyRows<Bytes>,
    mark: usize,
    /// `None` where nobody wants to know.
    moments: Option<Vec<Moment>>,
}

impl Power {
    /// A machine that is switched on with this on it.
    pub fn of(image: &Image) -> Self {
        let files = Files::of(&image.files, image.directories.clone());
        let rows = LossyRows::of(image.rows.clone());
        Self(Arc::new(Mutex::new(Inner { files, rows, ..Inner::default() })))
    }

    /// Its disk.
    pub fn disk(&self) -> PowerDisk {
        PowerDisk::new(self.clone())
    }

    /// Its datastore, as one process opens it.
    pub fn datastore(&self) -> PowerDatastore {
        PowerDatastore::new(self.clone())
    }

    /// Writes moments down from now on; what is there now is the first.
    pub fn watch(&self) {
        let mut inner = self.0.lock();
        inner.moments = Some(Vec::new());
        inner.note("before all".to_owned());
    }

    /// Moments bear this mark from now on, the first of them now: so a test knows what it had been told by then.
    pub fn mark(&self, mark: usize) {
        let mut inner = self.0.lock();
        inner.mark = mark;
        inner.note("told".to_owned());
    }

    /// The moments that were written down so far; none are from now on.
    pub fn take_moments(&self) -> Vec<Moment> {
        self.0.lock().moments.take().unwrap_or_default()
    }

    /// What is there when the process ends and the power stays.
    pub fn kept(&self) -> Image {
        let inner = self.0.lock();
        Image {
            files: inner.files.kept(),
            directories: inner.files.directories().clone(),
            rows: inner.rows.current().clone(),
        }
    }

    /// What a power cut leaves now at the least: synced bytes under synced names, and synced rows.
    pub fn least(&self) -> Image {
        let inner = self.0.lock();
        Image {
            files: inner.files.least(),
            directories: inner.files.directories().clone(),
            rows: inner.rows.durable().clone(),
        }
    }

    /// Does something to the files, and writes the moment behind it down. `what` says what was done.
    fn change_files<T, E>(
        &self,
        what: impl FnOnce() -> String,
        change: impl FnOnce(&mut Files) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut inner = self.0.lock();
        let done = change(&mut inner.files)?;
        inner.note_with(what);
        Ok(done)
    }

    fn change_rows<T>(&self, what: impl FnOnce() -> String, change: impl FnOnce(&mut LossyRows<Bytes>) -> T) -> T {
        let mut inner = self.0.lock();
        let done = change(&mut inner.rows);
        inner.note_with(what);
        done
    }

    fn with_files<T>(&self, read: impl FnOnce(&Files) -> T) -> T {
        read(&self.0.lock().files)
    }

    fn with_rows<T>(&self, read: impl FnOnce(&LossyRows<Bytes>) -> T) -> T {
        read(&self.0.lock().rows)
    }
}

impl Inner {
    fn note_with(&mut self, point: impl FnOnce() -> String) {
        if self.moments.is_some() {
            self.note(point());
        }
    }

    fn note(&mut self, point: String) {
        let Self { files, rows, mark, moments } = self;
        if let Some(moments) = moments {
            let number = moments.len();
            moments.push(Moment::new(number, point, *mark, files.clone(), rows.clone()));
        }
    }
}

/// What a path stands for, in words that are the same for every file of its kind: its extension, or its name.
pub(crate) fn what_of(path: &Path) -> String {
    let word = path.extension().or(path.file_name()).map(|word| word.to_string_lossy().into_owned());
    word.unwrap_or_else(|| path.display().to_string())
}
