//! The RocksDB archive: made once for each machine, kept outside the clone, published only when it has been tested.
//!
//! The crate's own build of RocksDB takes 16 to 26 minutes on two cores, in every target directory and for every
//! profile again. The archive takes a few minutes once, and cargo links it through `ROCKSDB_LIB_DIR`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::compiler::Compiler;
use super::joined;
use super::probe;
use super::recipe::Recipe;
use crate::workspace::Workspace;

/// The package whose sources the archive is made of.
const PACKAGE: &str = "librocksdb-sys";

/// The file name the linker looks for.
const FILE_NAME: &str = "librocksdb.a";

/// Begins the ending of the folders in which archives are made.
const BUILDING: &str = "building";

/// Raised when this tool changes the way it makes archives, so that old ones are not taken for new ones.
const FORMAT: u32 = 1;

/// One archive in the machine's cache, there or not yet there.
#[derive(Debug)]
pub(crate) struct Archive {
    folder: PathBuf,
    recipe: Recipe,
}

impl Archive {
    /// The archive that belongs to the locked version of RocksDB, this compiler and its flags.
    ///
    /// # Errors
    ///
    /// When the lock file can't be read or names no RocksDB, or there is no recipe for it.
    pub(crate) fn of(workspace: &Workspace, compiler: &Compiler) -> Result<Self> {
        let version = workspace.locked_version(PACKAGE)?.with_context(|| format!("Cargo.lock names no {PACKAGE}"))?;
        let recipe = Recipe::new(compiler.target(), &version)?;
        let identity =
            format!("{FORMAT}\n{}\n{}\n{}", compiler.version(), compiler.target(), recipe.flags().join("\n"));
        let folder = cache_folder()?.join(format!("rocksdb-{version}-{:016x}", fingerprint(&identity)));
        Ok(Self { folder, recipe })
    }

    /// The folder for `ROCKSDB_LIB_DIR`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it can be linked: it is published whole or not at all.
    pub(crate) fn is_there(&self) -> bool {
        self.folder.join(FILE_NAME).is_file()
    }

    /// Makes, tests and publishes the archive. Of several set-ups at once one does the work, the others wait for it.
    ///
    /// # Errors
    ///
    /// When the sources can't be fetched or compiled, or a program linked with the result does not work.
    pub(crate) fn make(&self, workspace: &Workspace, compiler: &Compiler) -> Result<()> {
        let parent = self.folder.parent().context("the archive's folder has no parent")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        let _lock = lock(&self.folder.with_added_extension("lock"))?;
        if self.is_there() {
            println!("setup: another set-up has made {}", self.folder.display());
            return Ok(());
        }
        let start = Instant::now();
        // Only the holder of the lock makes such folders, so what is found is left from a set-up that was killed. Its
        // compilers may still run and write there, hence a name of our own.
        self.remove_leftovers(parent)?;
        let scratch = self.folder.with_added_extension(format!("{BUILDING}-{}", std::process::id()));
        fs::create_dir(&scratch).with_context(|| format!("creating {}", scratch.display()))?;
        let sources = Sources::locate(workspace)?;
        let finished = scratch.join("finished");
        fs::create_dir(&finished).with_context(|| format!("creating {}", finished.display()))?;
        let archive = finished.join(FILE_NAME);
        joined::build(&sources, compiler, &self.recipe, &scratch, &archive)?;
        probe::test(&sources, compiler, &scratch, &archive)?;
        File::open(&archive)?.sync_all().with_context(|| format!("syncing {}", archive.display()))?;
        remove_folder(&self.folder)?;
        fs::rename(&finished, &self.folder).with_context(|| format!("publishing {}", self.folder.display()))?;
        self.remove_leftovers(parent)?;
        println!("setup: made {} in {:.0} s", self.folder.display(), start.elapsed().as_secs_f64());
        Ok(())
    }

    /// Removes the folders in which this archive was being made; asks for the lock to be held.
    fn remove_leftovers(&self, parent: &Path) -> Result<()> {
        let prefix = self.folder.with_added_extension(BUILDING);
        let prefix = prefix.file_name().unwrap_or_default().to_string_lossy();
        for entry in fs::read_dir(parent).with_context(|| format!("reading {}", parent.display()))? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&*prefix) {
                // A compiler that outlived its set-up may write there at this moment: the next set-up removes it.
                if let Err(error) = remove_folder(&entry.path()) {
                    println!("setup: {error:#}");
                }
            }
        }
        Ok(())
    }
}

/// The folders of the crates whose C and C++ sources are compiled.
#[derive(Debug)]
pub(crate) struct Sources {
    /// Of `librocksdb-sys`.
    pub(crate) rocksdb_crate: PathBuf,
    /// With `lz4.h` and the library's sources.
    pub(crate) lz4: PathBuf,
    /// With `zstd.h`, `zdict.h` and the folders of the library's sources.
    pub(crate) zstd: PathBuf,
}

impl Sources {
    fn locate(workspace: &Workspace) -> Result<Self> {
        println!("setup: fetching the sources of {PACKAGE}");
        let folder = |package| {
            workspace.package_folder(package)?.with_context(|| format!("{package} is not among the dependencies"))
        };
        let sources = Self {
            rocksdb_crate: folder(PACKAGE)?,
            lz4: folder("lz4-sys")?.join("liblz4/lib"),
            zstd: folder("zstd-sys")?.join("zstd/lib"),
        };
        for header in [sources.lz4.join("lz4.h"), sources.zstd.join("zstd.h")] {
            if !header.is_file() {
                bail!("{} is missing: the crate keeps its headers elsewhere now", header.display());
            }
        }
        Ok(sources)
    }
}

/// `$DAGSTORE_CACHE`, else the user's cache folder.
pub(super) fn cache_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("DAGSTORE_CACHE") {
        return std::path::absolute(&folder).with_context(|| format!("DAGSTORE_CACHE={}", folder.display()));
    }
    let parent = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
    Ok(parent.context("no place for what is made or fetched once: set DAGSTORE_CACHE or HOME")?.join("dagstore"))
}

/// Waits until no other set-up makes the same archive; the lock goes with the returned file.
fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    if file.try_lock().is_err() {
        println!("setup: waiting for another set-up that makes the same archive");
        file.lock().with_context(|| format!("locking {}", path.display()))?;
    }
    Ok(file)
}

pub(super) fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// 64-bit FNV-1a: the standard library's hasher may change with the compiler, and the name must not.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::{Archive, fingerprint};
    use crate::setup::recipe::Recipe;

    #[test]
    fn leftovers_of_this_archive_alone_are_removed() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["a", "a.building-7", "a.building-8", "a.lock", "b.building-7"] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let recipe = Recipe::new("x86_64-linux-gnu", "0.19.0").unwrap();
        Archive { folder: parent.path().join("a"), recipe }.remove_leftovers(parent.path()).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a", "a.lock", "b.building-7"]);
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fingerprint("foobar"), 0x8594_4171_f739_67e8);
    }
}
