//! Tables of type `file` and `fs`: files of this machine.

use std::path::PathBuf;
use std::sync::Arc;

use dagstore::mount::{BytesMount, FileMount, FsMount, Registry, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::de::ValueDeserializer;

use super::{Description, Template, Wrong};

/// Regular files by their absolute paths, all of them or those beneath a root.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) root: Option<PathBuf>,
}

/// A tree of files, by their paths in it.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
}

/// Data in the URL itself.
#[derive(Debug)]
pub(super) struct InUrl;

/// Both types have this.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    root: PathBuf,
}

pub(super) fn read_file(_scheme: &str, table: ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong> {
    Ok(Arc::new(Files { root: Some(root(table)?) }))
}

pub(super) fn read_fs(_scheme: &str, table: ValueDeserializer<'_>) -> Result<Arc<dyn Template>, Wrong> {
    Ok(Arc::new(Tree { root: root(table)? }))
}

fn root(table: ValueDeserializer<'_>) -> Result<PathBuf, Wrong> {
    let Table { root, .. } = Table::deserialize(table)?;
    // The program may be started in any directory.
    if root.is_absolute() { Ok(root) } else { Err(Wrong::of("root must be an absolute path")) }
}

impl Template for Files {
    fn register(&self, scheme: &str, registry: &mut Registry) -> Result<()> {
        let template = self.root.as_ref().map_or_else(|| Ok(FileMount::template()), FileMount::template_beneath)?;
        registry.register(scheme, template)
    }

    fn describe(&self) -> Description {
        Description::of("file", self.root.as_ref().map(|root| root.display().to_string()))
    }
}

impl Template for Tree {
    fn register(&self, scheme: &str, registry: &mut Registry) -> Result<()> {
        registry.register(scheme, FsMount::template(&self.root)?)
    }

    fn describe(&self) -> Description {
        Description::of("fs", Some(self.root.display().to_string()))
    }
}

impl Template for InUrl {
    fn register(&self, scheme: &str, registry: &mut Registry) -> Result<()> {
        registry.register(scheme, BytesMount::template())
    }

    fn describe(&self) -> Description {
        Description::of("bytes", None)
    }
}
