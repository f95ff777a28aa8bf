//! Where the workspace lies, and the few facts the commands read from its lock file.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

use crate::shell;

/// The root folder of this workspace.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the workspace this tool was started from.
    ///
    /// Cargo tells the running program its manifest's folder; the folder it was compiled in is the fallback, and may
    /// be another clone's where two clones share one target directory.
    pub(crate) fn locate() -> Result<Self> {
        let manifest_folder =
            std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let root = manifest_folder.parent().context("xtask's folder has no parent")?.to_owned();
        Ok(Self { root })
    }

    /// The workspace in this folder.
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder of the root manifest.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The version of `package` that Cargo.lock names, the first where there are several.
    pub(crate) fn locked_version(&self, package: &str) -> Result<Option<String>> {
        let path = self.root.join("Cargo.lock");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(version_in_lock(&text, package))
    }

    /// What cargo says about the workspace and its dependencies on this machine's target; fetches what is missing.
    pub(crate) fn metadata(&self) -> Result<Metadata> {
        self.metadata_with(CargoOpt::SomeFeatures(Vec::new()))
    }

    /// As [`Self::metadata`], with a choice of features.
    pub(crate) fn metadata_with(&self, features: CargoOpt) -> Result<Metadata> {
        let mut command = MetadataCommand::new();
        command.current_dir(&self.root).features(features);
        if let Some(host) = host_target() {
            command.other_options(["--filter-platform".to_owned(), host]);
        }
        command.exec().context("asking cargo for the workspace's metadata")
    }

    /// Where cargo puts what it builds.
    pub(crate) fn target_folder(&self) -> Result<PathBuf> {
        let metadata = MetadataCommand::new().current_dir(&self.root).no_deps().exec();
        Ok(metadata.context("asking cargo for its target folder")?.target_directory.into())
    }

    /// The folder with the sources of a dependency.
    pub(crate) fn package_folder(&self, package: &str) -> Result<Option<PathBuf>> {
        let metadata = self.metadata()?;
        let found = metadata.packages.iter().find(|candidate| candidate.name.as_str() == package);
        Ok(found.and_then(|found| found.manifest_path.parent()).map(|folder| folder.as_std_path().to_owned()))
    }
}

/// The triple rustc compiles for by default.
pub(crate) fn host_target() -> Option<String> {
    let text = shell::capture(Command::new("rustc").arg("-vV")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

/// Reads a version out of the text of a Cargo.lock, in which `version` follows `name` directly.
fn version_in_lock(text: &str, package: &str) -> Option<String> {
    let wanted = format!("name = \"{package}\"");
    let mut lines = text.lines();
    lines.find(|line| *line == wanted)?;
    let version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::version_in_lock;

    const LOCK: &str = "[[package]]\nname = \"librocksdb-sys\"\nversion = \"0.19.0+11.8.1\"\nsource = \"registry\"\n";

    #[test]
    fn a_locked_version_is_found() {
        assert_eq!(version_in_lock(LOCK, "librocksdb-sys").as_deref(), Some("0.19.0+11.8.1"));
    }

    #[test]
    fn a_package_that_is_not_locked_has_no_version() {
        assert_eq!(version_in_lock(LOCK, "librocksdb"), None);
    }
}
