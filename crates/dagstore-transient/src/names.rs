//! Names of the files in a folder of copies.

use std::path::{Path, PathBuf};

use dagstore_fs::OwnName;
use dagstore_types::{Attempt, Registration};

/// What all attempts of one registration share: there is one copy for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    key_hash: [u8; 16],
    registration: Registration,
}

impl Id {
    pub(crate) fn of(name: OwnName) -> Self {
        Self { key_hash: name.key_hash(), registration: name.registration }
    }

    /// The name that the files bear. The attempt is left at 0, because a later attempt goes on with what an earlier one
    /// has fetched; and no late rename can hit a newer file, because all work on one registration stands in one line.
    fn file_name(self) -> OwnName {
        OwnName::from_parts(self.key_hash, self.registration, Attempt(0))
    }
}

/// The files of one copy.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// What says whose the copy is and how far it got.
    pub(crate) sidecar: PathBuf,
    /// The next sidecar while it is written.
    pub(crate) temporary: PathBuf,
    /// The bytes while they are fetched.
    pub(crate) partial: PathBuf,
    /// All of them.
    pub(crate) copy: PathBuf,
    /// Chunks of the source, in the order in which they came.
    pub(crate) chunks: PathBuf,
    /// Whose they are, and which.
    pub(crate) table: PathBuf,
}

impl Paths {
    pub(crate) fn new(directory: &Path, id: Id) -> Self {
        let path = |extension| directory.join(format!("{}.{extension}", id.file_name()));
        Self {
            sidecar: path("meta"),
            temporary: path("meta-new"),
            partial: path("part"),
            copy: path("copy"),
            chunks: path("chunks"),
            table: path("chunks-table"),
        }
    }
}

impl Paths {
    /// Those of a copy that may be left without one that claims them.
    pub(crate) fn of_copy(&self) -> [&Path; 3] {
        [&self.sidecar, &self.partial, &self.copy]
    }
}

/// What a file name of ours stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sidecar,
    Temporary,
    Partial,
    Copy,
    Chunks,
    ChunkTable,
}

/// `None` for every name that isn't exactly one of ours.
pub(crate) fn parse(file_name: &str) -> Option<(OwnName, Kind)> {
    let (stem, extension) = file_name.split_once('.')?;
    let kind = match extension {
        "meta" => Kind::Sidecar,
        "meta-new" => Kind::Temporary,
        "part" => Kind::Partial,
        "copy" => Kind::Copy,
        "chunks" => Kind::Chunks,
        "chunks-table" => Kind::ChunkTable,
        _ => return None,
    };
    let name = OwnName::parse(stem)?;
    (name.attempt == Attempt(0)).then_some((name, kind))
}

#[cfg(test)]
mod tests {
    use dagstore_types::ShardKey;

    use super::*;

    #[test]
    fn names_are_ours_byte_for_byte_or_not_at_all() {
        let name = OwnName::new(&ShardKey::new("../../x").unwrap(), Registration(1), Attempt(2));
        let paths = Paths::new(Path::new("d"), Id::of(name));
        let own = [
            (paths.sidecar, Kind::Sidecar),
            (paths.temporary, Kind::Temporary),
            (paths.partial, Kind::Partial),
            (paths.copy, Kind::Copy),
            (paths.chunks, Kind::Chunks),
            (paths.table, Kind::ChunkTable),
        ];
        for (path, kind) in own {
            assert_eq!(path.parent(), Some(Path::new("d")));
            let text = path.file_name().unwrap().to_str().unwrap();
            let (found, found_kind) = parse(text).unwrap();
            assert_eq!((Id::of(found), found_kind), (Id::of(name), kind));
            for other in [&text[1..], &format!("{text}.bak"), &text.to_uppercase(), &format!(" {text}")] {
                assert_eq!(parse(other), None, "{other}");
            }
        }
        for other in ["", ".", ".copy", "notes.part", &format!("{name}.copy"), &name.to_string()] {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
