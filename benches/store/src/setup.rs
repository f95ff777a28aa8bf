//! What all benches are told: where, how often, how large, on which backends.

use std::path::PathBuf;

use clap::Args;

use crate::backend::Backend;

/// Options that every bench has.
#[derive(Debug, Args)]
pub(crate) struct Setup {
    /// Where the stores are made; the system's temporary directory if not given. It should be on the disk to be measured.
    #[arg(long, global = true)]
    pub(crate) dir: Option<PathBuf>,
    /// How often each figure is measured; its median is what counts.
    #[arg(long, global = true, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Measures the large sizes, too, which takes minutes.
    #[arg(long, global = true)]
    pub(crate) full: bool,
    /// Measures this backend only; may be given several times.
    #[arg(long = "backend", global = true)]
    backends: Vec<Backend>,
    /// Measures a datastore that speaks PostgreSQL's protocol, too, where datastores by themselves are measured: the URL of a
    /// database that may be thrown away, because tables are left in it.
    #[arg(long, global = true)]
    pub(crate) postgres: Option<String>,
    /// Writes the figures to this file, as JSON.
    #[arg(long, global = true)]
    pub(crate) json: Option<PathBuf>,
}

impl Setup {
    pub(crate) fn place(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    pub(crate) fn backends(&self) -> &[Backend] {
        if self.backends.is_empty() { Backend::ALL } else { &self.backends }
    }

    /// How often, at least once.
    pub(crate) fn runs(&self) -> usize {
        self.runs.max(1)
    }
}
