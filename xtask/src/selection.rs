//! Which crates are lean and which bring RocksDB, read from the manifests so that a new crate needs no entry here.

use anyhow::Result;
use cargo_metadata::{CargoOpt, Metadata};

use crate::cargo::Cargo;
use crate::workspace::Workspace;

/// The package that stands for RocksDB and its C++.
pub(crate) const ROCKSDB_SYS: &str = "librocksdb-sys";

/// The feature that brings RocksDB to the crates that have it.
pub(crate) const ROCKSDB_FEATURE: &str = "rocksdb";

/// Features that are nobody's default, so that nothing else would build and test them.
const LEAN_FEATURES: [&str; 5] = [
    "bench-store/postgres",
    "dagstore/postgres",
    "dagstore-cli/postgres",
    "dagstore-import/postgres",
    "dagstore-import/redb",
];

/// The same, where they are built late in a run because that takes long.
const LATE_FEATURES: [&str; 1] = ["dagstore-cli/object"];

/// The workspace's crates by what they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Those that need RocksDB whatever their features, tests included.
    heavy: Vec<String>,
    /// Those that need it with their feature `rocksdb`.
    optional: Vec<String>,
}

impl Selection {
    /// Sorts the workspace's crates.
    ///
    /// # Errors
    ///
    /// When cargo can't read the manifests.
    pub(crate) fn of(workspace: &Workspace) -> Result<Self> {
        let metadata = workspace.metadata_with(CargoOpt::AllFeatures)?;
        let cargo = Cargo::plain(workspace);
        let mut heavy = Vec::new();
        let mut optional = Vec::new();
        for name in members_reaching(&metadata, ROCKSDB_SYS) {
            // What cargo resolved is for the whole workspace at once; only a tree tells about one crate alone.
            let has = |names: Vec<String>| names.iter().any(|name| name == ROCKSDB_SYS);
            if has(cargo.tree_of_kinds(&name, "normal,build,dev", &[])?) {
                heavy.push(name.clone());
            }
            if has_feature(&metadata, &name) {
                optional.push(name);
            }
        }
        Ok(Self { heavy, optional })
    }

    /// Arguments that choose everything that builds without RocksDB.
    pub(crate) fn lean(&self) -> Vec<String> {
        let mut arguments = vec!["--workspace".to_owned()];
        arguments.extend(self.heavy.iter().flat_map(|name| ["--exclude".to_owned(), name.clone()]));
        arguments.extend(["--features".to_owned(), LEAN_FEATURES.join(",")]);
        arguments
    }

    /// Arguments that choose the crates with RocksDB, with their features; nothing where there are none.
    pub(crate) fn rocksdb(&self) -> Option<Vec<String>> {
        let mut names: Vec<&String> = self.heavy.iter().chain(&self.optional).collect();
        names.sort();
        names.dedup();
        if names.is_empty() {
            return None;
        }
        let mut arguments: Vec<String> = names.iter().flat_map(|name| ["-p".to_owned(), (*name).clone()]).collect();
        arguments.extend(self.features());
        Some(arguments)
    }

    /// Arguments that choose the whole workspace with RocksDB.
    pub(crate) fn everything(&self) -> Vec<String> {
        let mut arguments = vec!["--workspace".to_owned()];
        arguments.extend(self.features());
        arguments
    }

    /// The features that are turned on when the whole workspace is tested.
    pub(crate) fn tested_features(&self) -> Vec<String> {
        let features = self.optional.iter().map(|name| format!("{name}/{ROCKSDB_FEATURE}"));
        features.chain(LEAN_FEATURES.into_iter().chain(LATE_FEATURES).map(str::to_owned)).collect()
    }

    fn features(&self) -> Vec<String> {
        vec!["--features".to_owned(), self.tested_features().join(",")]
    }
}

/// The workspace's crates from which `target` can be reached by dependencies of any kind.
pub(crate) fn members_reaching(metadata: &Metadata, target: &str) -> Vec<String> {
    let mut reaching: Vec<_> =
        metadata.packages.iter().filter(|package| package.name.as_str() == target).map(|package| &package.id).collect();
    let nodes = metadata.resolve.as_ref().map_or(&[][..], |resolve| &resolve.nodes[..]);
    let mut next = 0;
    while let Some(&reached) = reaching.get(next) {
        let users = nodes.iter().filter(|node| node.dependencies.contains(reached)).map(|node| &node.id);
        for user in users {
            if !reaching.contains(&user) {
                reaching.push(user);
            }
        }
        next += 1;
    }
    let members = metadata.workspace_packages();
    let found = members.iter().filter(|member| reaching.contains(&&member.id));
    found.map(|member| member.name.to_string()).collect()
}

fn has_feature(metadata: &Metadata, name: &str) -> bool {
    let members = metadata.workspace_packages();
    members.iter().any(|member| member.name.as_str() == name && member.features.contains_key(ROCKSDB_FEATURE))
}

#[cfg(test)]
mod tests {
    use super::Selection;

    fn selection(heavy: &[&str], optional: &[&str]) -> Selection {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Selection { heavy: owned(heavy), optional: owned(optional) }
    }

    #[test]
    fn lean_leaves_out_what_always_needs_rocksdb() {
        let lean = selection(&["store-rocksdb"], &["cli"]).lean();
        assert_eq!(lean[..4], ["--workspace", "--exclude", "store-rocksdb", "--features"]);
        assert!(lean[4].contains("dagstore-import/redb") && !lean[4].contains("rocksdb"), "{lean:?}");
    }

    #[test]
    fn rocksdb_takes_each_crate_once_and_turns_features_on() {
        let arguments = selection(&["store-rocksdb", "bench"], &["facade", "bench"]).rocksdb().unwrap();
        assert_eq!(arguments[..7], ["-p", "bench", "-p", "facade", "-p", "store-rocksdb", "--features"]);
        assert!(arguments[7].starts_with("facade/rocksdb,bench/rocksdb,"), "{arguments:?}");
        assert!(arguments[7].contains("dagstore-import/redb") && arguments[7].ends_with(",dagstore-cli/object"));
    }

    #[test]
    fn a_workspace_without_rocksdb_has_nothing_to_choose() {
        assert_eq!(selection(&[], &[]).rocksdb(), None);
    }
}
