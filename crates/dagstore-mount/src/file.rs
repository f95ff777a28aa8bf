//! A mount of a file on this machine.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use dagstore_fs::RegularFile;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

use crate::{Capabilities, Error, Mount, Opened, Result, Stat};

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

/// A regular file, by its absolute path: `file:///srv/pieces/a.car`. Any path can be written, bytes that aren't UTF-8
/// included. Needs a tokio runtime: it looks at files on the blocking pool, because a network file system can hang.
///
/// Its validator is made of inode, size and time of modification.
#[derive(Debug, Clone)]
pub struct FileMount {
    path: PathBuf,
}

impl FileMount {
    /// A mount of the file at `path`, made absolute against the working directory.
    ///
    /// # Errors
    /// [`Error::BadUrl`] when the path is empty or the working directory is gone.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let absolute =
            std::path::absolute(path).map_err(|error| bad(&path.display().to_string(), &error.to_string()))?;
        Ok(Self { path: absolute })
    }

    /// The template for a registry.
    pub fn template() -> Self {
        Self { path: PathBuf::new() }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(RegularFile) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let path = self.path.clone();
        let open = move || {
            let place = path.display().to_string();
            if let Some(what) = not_a_file(&path) {
                return Err(Error::NotAFile { place, what });
            }
            RegularFile::open(&path).and_then(work).map_err(|error| Error::from_io(&place, error))
        };
        tokio::task::spawn_blocking(open)
            .await
            .unwrap_or_else(|error| Err(Error::from_io(&self.path.display().to_string(), io::Error::other(error))))
    }
}

#[async_trait]
impl Mount for FileMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        format!("//{}", percent_encode(self.path.as_os_str().as_bytes(), NOT_IN_PATHS))
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        let path = match location.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest),
            None => location,
        };
        if path.contains(['?', '#']) {
            return Err(bad(location, "a file URL has no query and no fragment; write ? as %3F and # as %23"));
        }
        let path = PathBuf::from(OsString::from_vec(percent_decode_str(path).collect()));
        if !path.is_absolute() || path.as_os_str().as_bytes().contains(&0) {
            return Err(bad(location, "a file URL has an absolute path, as in file:///srv/a.car"));
        }
        Ok(Arc::new(Self { path }))
    }

    async fn stat(&self) -> Result<Stat> {
        self.with_file(|file| stat_of(&file)).await
    }

    async fn open(&self) -> Result<Opened> {
        let opened = |file: RegularFile| Ok(Opened::new(stat_of(&file)?, Arc::new(file)));
        self.with_file(opened).await
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

fn bad(location: &str, why: &str) -> Error {
    Error::BadUrl { url: format!("file:{location}"), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{MountUrl, conformance};

    #[tokio::test]
    async fn conforms() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["plain.car", "with space.car", "%2F.car", "a?b#c.car", "ключ <&> 🚢.car", "new\nline"] {
            let path = directory.path().join(name);
            std::fs::write(&path, name).unwrap();
            let mount = FileMount::new(&path).unwrap();
            conformance::check(&FileMount::template(), &mount, name.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn what_is_no_regular_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let missing = FileMount::new(directory.path().join("missing")).unwrap();
        assert!(matches!(missing.stat().await, Err(Error::NotFound { .. })));
        let folder = FileMount::new(directory.path()).unwrap();
        assert!(matches!(folder.open().await, Err(Error::NotAFile { what: "a directory", .. })));
        let device = FileMount::new("/dev/null").unwrap();
        assert!(matches!(device.open().await, Err(Error::NotAFile { .. })));
    }

    #[tokio::test]
    async fn a_file_that_was_written_again_has_another_validator() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.car");
        let mount = FileMount::new(&path).unwrap();
        std::fs::write(&path, "one").unwrap();
        let one = mount.stat().await.unwrap();
        assert_eq!(mount.stat().await.unwrap(), one);
        std::fs::write(directory.path().join("b.car"), "two").unwrap();
        std::fs::rename(directory.path().join("b.car"), &path).unwrap();
        assert_ne!(mount.stat().await.unwrap().validator, one.validator);
    }

    #[test]
    fn locations_that_are_no_absolute_path_are_refused() {
        for bad in ["", "//", "//host/a.car", "a.car", "///a?b", "///a#b", "///a%00"] {
            assert!(matches!(FileMount::template().instantiate(bad), Err(Error::BadUrl { .. })), "{bad}");
        }
        for good in ["///a.car", "//localhost/a.car", "/a.car"] {
            assert_eq!(FileMount::template().instantiate(good).unwrap().location(), "///a.car");
        }
    }

    proptest! {
        #[test]
        fn any_path_comes_back(bytes in prop::collection::vec(1_u8.., 1..300)) {
            let path = Path::new("/").join(OsString::from_vec(bytes));
            let location = FileMount { path: path.clone() }.location();
            prop_assert!(MountUrl::new("file", &location).is_ok());
            let again = FileMount::template().instantiate(&location).unwrap();
            prop_assert_eq!(again.location(), location);
        }
    }
}
