//! A mount of the files of a directory tree, under a name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use crate::place::{Place, decoded, encoded, is_plain};
use crate::url::shown;
use crate::{Capabilities, Error, Mount, Opened, Result, Stat};

/// A regular file in a directory tree: `pieces:a/b.car`, where the template that is registered as `pieces` has the tree's
/// root. A tree that moves to another place needs another template, and its URLs stay what they are. The root isn't left:
/// paths go down only, and no link beneath it is followed. Otherwise like [`FileMount`](crate::FileMount).
#[derive(Debug, Clone)]
pub struct FsMount {
    root: PathBuf,
    relative: PathBuf,
}

impl FsMount {
    /// The template of the tree beneath `root`, made absolute against the working directory.
    ///
    /// # Errors
    /// [`Error::BadUrl`] when the path is empty or the working directory is gone.
    pub fn template(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = std::path::absolute(root).map_err(|error| bad(&root.display().to_string(), &error.to_string()))?;
        Ok(Self { root, relative: PathBuf::new() })
    }

    /// The file at `relative` in the same tree.
    ///
    /// # Errors
    /// [`Error::BadUrl`] unless the path is relative, and without `.`, `..` and empty parts.
    pub fn at(&self, relative: impl AsRef<Path>) -> Result<Self> {
        let relative = relative.as_ref().to_owned();
        if !is_plain(&relative) {
            let why = "it is to be a relative path without . and .., such as a/b.car";
            return Err(bad(&encoded(&relative), why));
        }
        Ok(Self { root: self.root.clone(), relative })
    }

    /// The tree's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file's path in the tree.
    pub fn relative(&self) -> &Path {
        &self.relative
    }

    fn place(&self) -> Place {
        Place { path: self.root.join(&self.relative), root: Some(self.root.clone()) }
    }
}

#[async_trait]
impl Mount for FsMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        encoded(&self.relative)
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        if location.contains(['?', '#']) {
            return Err(bad(location, "it has no query and no fragment; write ? as %3F and # as %23"));
        }
        let relative = decoded(location).ok_or_else(|| bad(location, "no path has a byte of zero"))?;
        Ok(Arc::new(self.at(relative)?))
    }

    async fn stat(&self) -> Result<Stat> {
        self.place().stat().await
    }

    async fn open(&self) -> Result<Opened> {
        self.place().open().await
    }
}

fn bad(location: &str, why: &str) -> Error {
    Error::BadUrl { url: shown(location), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[tokio::test]
    async fn conforms() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/b c")).unwrap();
        let template = FsMount::template(directory.path()).unwrap();
        for name in ["plain", "a/%2F", "a/b c/ü?#", ":", "a/..."] {
            std::fs::write(directory.path().join(name), name).unwrap();
            conformance::check(&template, &template.at(name).unwrap(), name.as_bytes()).await;
        }
    }

    #[tokio::test]
    async fn the_tree_is_not_left() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(directory.path().join("outside"), "outside").unwrap();
        std::os::unix::fs::symlink(directory.path(), root.join("up")).unwrap();
        let template = FsMount::template(&root).unwrap();
        for location in [
            "",
            "/etc/passwd",
            "../outside",
            "a/../../outside",
            "%2e%2e/outside",
            "a%2F..%2F..%2Foutside",
            "a//b",
            "a/",
            "./a",
            "a%00b",
            "a?b",
            "a#b",
        ] {
            let made = template.instantiate(location);
            assert!(matches!(made, Err(Error::BadUrl { .. })), "{location}: {made:?}");
        }
        let linked = template.at("up/outside").unwrap();
        assert!(matches!(linked.open().await, Err(Error::Refused { .. })), "{:?}", linked.open().await);
    }
}
