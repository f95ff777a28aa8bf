//! `cargo xtask ci`: what continuous integration runs, set-up included.

use anyhow::Result;

use crate::verify::{self, Mode};
use crate::workspace::Workspace;

/// Verifies the workspace, plants a few faults, and sets up RocksDB on the way, after the lean crates have been tested.
///
/// # Errors
///
/// When the manifests can't be read.
pub(crate) fn run(workspace: &Workspace) -> Result<bool> {
    verify::run_mode(workspace, Mode::CompleteWithSetup)
}
