//! The place of a file, with or without a root directory, and its spelling in URLs.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dagstore_fs::{LeavesRoot, RegularFile, open_beneath};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

use crate::{Error, Opened, Result, Stat};

/// What is encoded in the path of a file URL: what RFC 3986 doesn't allow there, and `%` itself.
const NOT_IN_PATHS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path as it stands in a URL.
pub(crate) fn encoded(path: &Path) -> String {
    percent_encode(path.as_os_str().as_bytes(), NOT_IN_PATHS).to_string()
}

/// The path that stands in a URL; `None` where no file can have it.
pub(crate) fn decoded(text: &str) -> Option<PathBuf> {
    let path = OsString::from_vec(percent_decode_str(text).collect());
    (!path.as_bytes().contains(&0)).then(|| path.into())
}

/// Whether a path is relative and goes down only, in the one spelling that it has.
pub(crate) fn is_plain(relative: &Path) -> bool {
    let is_name = |component: Component<'_>| matches!(component, Component::Normal(_));
    // `components` drops what changes nothing, such as `./` in the middle and doubled slashes.
    let spelled: PathBuf = relative.components().collect();
    relative.components().all(is_name)
        && !relative.as_os_str().is_empty()
        && spelled.as_os_str() == relative.as_os_str()
}

/// Where a file is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Its path. Beneath `root`, where there is one.
    pub(crate) path: PathBuf,
    /// The directory that isn't left.
    pub(crate) root: Option<PathBuf>,
}

impl Place {
    pub(crate) async fn stat(&self) -> Result<Stat> {
        self.with_file(|file| stat_of(&file)).await
    }

    pub(crate) async fn open(&self) -> Result<Opened> {
        self.with_file(|file| Ok(Opened::new(stat_of(&file)?, Arc::new(file)))).await
    }

    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(RegularFile) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = self.clone();
        let work = move || place.open_file().and_then(|file| work(file).map_err(|error| place.error(error)));
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(self.error(io::Error::other(error))))
    }

    fn open_file(&self) -> Result<RegularFile> {
        let Some(root) = &self.root else {
            if let Some(what) = not_a_file(&self.path) {
                return Err(Error::NotAFile { place: self.name(), what });
            }
            return RegularFile::open(&self.path).map_err(|error| self.error(error));
        };
        let relative = self.path.strip_prefix(root).map_err(|_| self.error(io::Error::other(LeavesRoot::Path)))?;
        open_beneath(root, relative).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => {
                Error::NotAFile { place: self.name(), what: "a directory, a device, a pipe or a socket" }
            }
            _ => self.error(error),
        })
    }

    fn error(&self, error: io::Error) -> Error {
        let leaves = error.get_ref().and_then(|inner| inner.downcast_ref::<LeavesRoot>());
        match leaves {
            Some(why) => Error::Refused { place: self.name(), why: why.to_string() },
            None => Error::from_io(&self.name(), error),
        }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

fn stat_of(file: &RegularFile) -> io::Result<Stat> {
    let metadata = file.metadata()?;
    let (inode, seconds, nanoseconds) = (metadata.ino(), metadata.mtime(), metadata.mtime_nsec());
    let validator = format!("{inode:x}-{:x}-{seconds:x}.{nanoseconds:09}", metadata.len());
    Ok(Stat::new(metadata.len(), Some(validator)))
}

/// What stands at `path`, where it is something else than a file, for the error's text.
fn not_a_file(path: &Path) -> Option<&'static str> {
    let kind = std::fs::metadata(path).ok()?.file_type();
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => None,
        (_, true) => Some("a directory"),
        _ => Some("a device, a pipe or a socket"),
    }
}
