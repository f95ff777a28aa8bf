//! Which backend the tests run on.

use std::fmt;

/// The variable of the environment with the backend's name; memory where it isn't set.
pub const VARIABLE: &str = "DAGSTORE_TEST_BACKEND";

/// A backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Rows in memory, which outlive the store.
    Memory,
    /// One file of redb.
    Redb,
    /// A folder of RocksDB. Only with the feature `rocksdb`.
    Rocksdb,
    /// A table in the test program's own PostgreSQL.
    Postgres,
}

impl Backend {
    const ALL: [Self; 4] = [Self::Memory, Self::Redb, Self::Rocksdb, Self::Postgres];

    /// The one that the environment names.
    ///
    /// # Panics
    /// When there is none of that name, or this program was built without it: no test shall pass for want of a backend.
    pub fn chosen() -> Self {
        let Some(name) = std::env::var_os(VARIABLE) else { return Self::Memory };
        let found = Self::ALL.into_iter().find(|backend| name.to_str() == Some(&backend.to_string()));
        let backend = found.unwrap_or_else(|| panic!("{VARIABLE}={}: no such backend", name.display()));
        assert!(
            backend != Self::Rocksdb || cfg!(feature = "rocksdb"),
            "{VARIABLE}=rocksdb needs the feature dagstore-backends/rocksdb"
        );
        backend
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "memory",
            Self::Redb => "redb",
            Self::Rocksdb => "rocksdb",
            Self::Postgres => "postgres",
        })
    }
}
