//! `cargo xtask setup`: what the workspace needs of the machine beyond the Rust toolchain.
//!
//! Nearly all of it is RocksDB's: a C++ compiler and an archive for linking, a libclang for its bindings. Crates without
//! RocksDB build and test without any of it. A server that a test runs against is installed where that is easy. Start with [`run`].

pub(crate) mod archive;
pub(crate) mod compiler;
pub(crate) mod environment;
mod joined;
mod libclang;
mod packages;
mod probe;
mod recipe;
mod seaweed;
mod servers;

use std::time::Instant;

use anyhow::Result;

use crate::workspace::Workspace;

/// Whether a build with RocksDB will find what it needs.
pub(crate) fn is_done(workspace: &Workspace) -> bool {
    if environment::has_own_rocksdb() {
        return libclang::Libclang::find().is_some();
    }
    let archive = compiler::Compiler::find().and_then(|compiler| archive::Archive::of(workspace, &compiler));
    libclang::Libclang::find().is_some() && archive.is_ok_and(|archive| archive.is_there())
}

/// Makes sure that everything is there; returns quickly where it is.
///
/// # Errors
///
/// When a system package is missing and can't be installed, or the archive can't be made; the message says what to do.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    packages::install_missing()?;
    servers::install_missing();
    seaweed::fetch_missing();
    if environment::has_own_rocksdb() {
        println!("setup: RocksDB comes from where ROCKSDB_LIB_DIR or ROCKSDB_COMPILE says, nothing to make");
        return Ok(());
    }
    let compiler = compiler::Compiler::find()?;
    let archive = archive::Archive::of(workspace, &compiler)?;
    if archive.is_there() {
        println!("setup: RocksDB archive {}", archive.folder().display());
    } else {
        archive.make(workspace, &compiler)?;
    }
    println!("setup: ready in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
