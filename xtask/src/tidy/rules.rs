//! What `xtask/layers.toml` says, as types.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rules {
    /// For each crate the crates of this workspace it may use.
    pub(crate) may_use: BTreeMap<String, Vec<String>>,
    /// Crates for tests only, each with the crates that may not even use it for tests.
    pub(crate) dev_only: BTreeMap<String, Vec<String>>,
    /// Folders whose crates may use anything, as they are used by nothing.
    pub(crate) free_folders: Vec<String>,
    /// Who may reach RocksDB.
    pub(crate) rocksdb: RocksdbRules,
    /// What must build without heavy things.
    pub(crate) lean: LeanRules,
    /// Which crates may contain `unsafe`.
    pub(crate) unsafe_code: Vec<String>,
}

/// Who may reach RocksDB.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RocksdbRules {
    /// Crates that always do.
    pub(crate) always: Vec<String>,
    /// Crates that do with their feature `rocksdb`.
    pub(crate) with_feature: Vec<String>,
}

/// What must build without heavy things.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeanRules {
    /// Crates that are lean as they are.
    pub(crate) crates: Vec<String>,
    /// Crates that are lean without their default features.
    pub(crate) without_default_features: Vec<String>,
    /// Packages that bring C++ or its build tools.
    pub(crate) cpp: Vec<String>,
    /// Packages that speak HTTP.
    pub(crate) http: Vec<String>,
}
