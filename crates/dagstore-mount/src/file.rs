//! A mount of a file on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::place::{Place, decoded, encoded, is_plain};
use crate::url::shown;
use crate::{Capabilities, Error, Mount, Opened, Result, Stat};

/// A regular file, by its absolute path: `file:///srv/pieces/a.car`. Any path can be written, bytes that aren't UTF-8
/// included. Needs a tokio runtime: it looks at files on the blocking pool, because a network file system can hang.
///
/// Its validator is made of inode, size and time of modification.
///
/// A template may have a root directory. Then its instances are beneath it, by a path without `..`, and no link beneath the
/// root is followed.
#[derive(Debug, Clone)]
pub struct FileMount {
    place: Place,
}

impl FileMount {
    /// A mount of the file at `path`, made absolute against the working directory.
    ///
    /// # Errors
    /// [`Error::BadUrl`] when the path is empty or the working directory is gone.
    pub fn new(path: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { place: Place { path: absolute(path.as_ref())?, root: None } })
    }

    /// The template for a registry, for any file.
    pub fn template() -> Self {
        Self { place: Place { path: PathBuf::new(), root: None } }
    }

    /// The template for files beneath the directory `root`, made absolute against the working directory.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn template_beneath(root: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { place: Place { path: PathBuf::new(), root: Some(absolute(root.as_ref())?) } })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.place.path
    }
}

#[async_trait]
impl Mount for FileMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        format!("//{}", encoded(&self.place.path))
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        let path = match location.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest),
            None => location,
        };
        if path.contains(['?', '#']) {
            return Err(bad(location, "a file URL has no query and no fragment; write ? as %3F and # as %23"));
        }
        let Some(path) = decoded(path).filter(|path| path.is_absolute()) else {
            return Err(bad(location, "a file URL has an absolute path, as in file:///srv/a.car"));
        };
        let root = self.place.root.clone();
        if let Some(root) = &root
            && !path.strip_prefix(root).is_ok_and(is_plain)
        {
            return Err(bad(location, &format!("it isn't plainly beneath the root directory {}", root.display())));
        }
        Ok(Arc::new(Self { place: Place { path, root } }))
    }

    async fn stat(&self) -> Result<Stat> {
        self.place.stat().await
    }

    async fn open(&self) -> Result<Opened> {
        self.place.open().await
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| bad(&path.display().to_string(), &error.to_string()))
}

fn bad(location: &str, why: &str) -> Error {
    Error::BadUrl { url: shown(&format!("file:{location}")), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

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

    #[tokio::test]
    async fn a_root_is_not_left() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a.car"), "inside").unwrap();
        std::fs::write(directory.path().join("outside"), "outside").unwrap();
        std::os::unix::fs::symlink(directory.path().join("outside"), root.join("link")).unwrap();
        let template = FileMount::template_beneath(&root).unwrap();
        let of = |path: &str| template.instantiate(&format!("//{}/{path}", root.display()));
        conformance::check(&template, &*of("a.car").unwrap(), b"inside").await;
        for path in ["../outside", "../root/a.car", ""] {
            let made = of(path);
            assert!(matches!(made, Err(Error::BadUrl { .. })), "{path}: {made:?}");
        }
        assert!(template.instantiate("///etc/passwd").is_err());
        let link = of("link").unwrap();
        assert!(matches!(link.stat().await, Err(Error::Refused { .. })), "{:?}", link.stat().await);
        assert!(matches!(link.open().await, Err(Error::Refused { .. })));
        std::fs::create_dir(root.join("folder")).unwrap();
        assert!(matches!(of("folder").unwrap().stat().await, Err(Error::NotAFile { .. })));
    }
}
