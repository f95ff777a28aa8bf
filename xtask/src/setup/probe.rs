//! Tests a new archive with a small program before anybody else gets to see it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::archive::Sources;
use super::compiler::Compiler;
use crate::shell;

/// Writes, flushes, compacts with both compressions, opens again and reads back, through the C interface that the
/// Rust crate uses.
const PROGRAM: &str = include_str!("probe.cc");

/// Links the program with the archive and runs it.
///
/// # Errors
///
/// When it does not link, or does not read what it wrote; the archive must not be used then.
pub(crate) fn test(sources: &Sources, compiler: &Compiler, scratch: &Path, archive: &Path) -> Result<()> {
    println!("setup: testing the archive");
    let program_source = scratch.join("probe.cc");
    fs::write(&program_source, PROGRAM).with_context(|| format!("writing {}", program_source.display()))?;
    let compression = compile_compression(sources, scratch)?;
    let program = scratch.join("probe");
    let mut link = Command::new(compiler.program());
    link.args(["-std=c++20", "-O1", "-pthread", "-I"]).arg(sources.rocksdb_crate.join("rocksdb/include"));
    link.arg(&program_source).arg(archive).args(&compression).arg("-o").arg(&program);
    shell::capture(&mut link).context("a program can't be linked with the new RocksDB archive")?;
    let database = scratch.join("probe-database");
    shell::capture(Command::new(&program).arg(&database)).context("the new RocksDB archive does not work")?;
    Ok(())
}

/// Compiles lz4 and zstd for the test program alone: in real builds both come from crates of their own.
fn compile_compression(sources: &Sources, scratch: &Path) -> Result<Vec<PathBuf>> {
    let mut files = c_files(&sources.lz4)?;
    for folder in ["common", "compress", "decompress", "dictBuilder"] {
        files.extend(c_files(&sources.zstd.join(folder))?);
    }
    let folder = scratch.join("compression");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut compile = Command::new(Compiler::c_program());
    compile.current_dir(&folder).args(["-O1", "-w", "-c", "-DZSTD_DISABLE_ASM=1", "-DXXH_NAMESPACE=PROBE_", "-I"]);
    compile.arg(&sources.lz4).arg("-I").arg(&sources.zstd).args(&files);
    shell::capture(&mut compile).context("compiling lz4 and zstd for the test of the archive")?;
    let mut objects: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&folder)? {
        objects.push(entry?.path());
    }
    Ok(objects)
}

fn c_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "c") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
