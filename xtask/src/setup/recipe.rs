//! How RocksDB's sources are compiled: the defines and flags of `librocksdb-sys`'s own build script, as data.
//!
//! The crate's build script cannot be asked for them without running its whole build, so they stand here, and
//! [`RECIPE_FOR`] names the release they were read from.

use anyhow::{Result, bail};

/// The release of `librocksdb-sys` whose build script this recipe repeats.
const RECIPE_FOR: &str = "0.19.";

/// The recipe for one target.
#[derive(Debug, Clone)]
pub(crate) struct Recipe {
    flags: Vec<String>,
}

impl Recipe {
    /// The recipe for `target`, a triple as the C++ compiler names it, and the locked version of `librocksdb-sys`.
    ///
    /// # Errors
    ///
    /// When the version is not the one whose build script was read, or the system is neither Linux nor macOS.
    pub(crate) fn new(target: &str, version: &str) -> Result<Self> {
        if !version.starts_with(RECIPE_FOR) {
            bail!(
                "Cargo.lock names librocksdb-sys {version}, the recipe in xtask/src/setup/recipe.rs was read from \
                 {RECIPE_FOR}x: compare it with the build.rs of that release, then raise RECIPE_FOR"
            );
        }
        let mut flags: Vec<String> = COMMON_FLAGS.map(str::to_owned).into();
        flags.extend(system_flags(target)?.iter().map(|&flag| flag.to_owned()));
        flags.extend(processor_flags(target).iter().map(|&flag| flag.to_owned()));
        Ok(Self { flags })
    }

    /// All flags but the include paths, which differ from machine to machine and change nothing.
    pub(crate) fn flags(&self) -> &[String] {
        &self.flags
    }
}

/// Flags for every target: the crate's defines with the features `lz4` and `zstd`, and what a static library in a
/// Rust program needs. Warnings are RocksDB's own affair.
const COMMON_FLAGS: [&str; 13] = [
    "-std=c++20",
    "-O2",
    "-w",
    "-fPIC",
    "-ffunction-sections",
    "-fdata-sections",
    "-DNDEBUG=1",
    "-DLZ4=1",
    "-DZSTD=1",
    "-DHAVE_ALIGNED_NEW",
    "-DHAVE_UINT128_EXTENSION",
    "-include",
    "cstdint",
];

fn system_flags(target: &str) -> Result<&'static [&'static str]> {
    if target.contains("linux") {
        Ok(&[
            "-pthread",
            "-DOS_LINUX",
            "-DROCKSDB_PLATFORM_POSIX",
            "-DROCKSDB_LIB_IO_POSIX",
            "-DROCKSDB_SCHED_GETCPU_PRESENT",
            "-DROCKSDB_AUXV_GETAUXVAL_PRESENT",
            "-DROCKSDB_FALLOCATE_PRESENT",
            "-DROCKSDB_RANGESYNC_PRESENT",
        ])
    } else if target.contains("apple") || target.contains("darwin") {
        Ok(&["-DOS_MACOSX", "-DROCKSDB_PLATFORM_POSIX", "-DROCKSDB_LIB_IO_POSIX"])
    } else {
        bail!("no recipe for {target}: only Linux and macOS are known; `cargo build` makes RocksDB from its crate")
    }
}

/// Without these RocksDB computes its checksums without the processor's instructions for them.
fn processor_flags(target: &str) -> &'static [&'static str] {
    if target.starts_with("x86_64") {
        &["-msse2", "-msse4.1", "-msse4.2", "-mpclmul"]
    } else if target.starts_with("aarch64") || target.starts_with("arm64") {
        &["-march=armv8-a+crc+aes+crypto"]
    } else {
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::Recipe;

    #[test]
    fn a_release_with_another_build_script_is_refused() {
        assert!(Recipe::new("x86_64-linux-gnu", "0.19.0+11.8.1").is_ok());
        assert!(Recipe::new("x86_64-linux-gnu", "0.20.0+12.0.0").is_err());
    }

    #[test]
    fn only_x86_gets_the_flags_of_x86() {
        let with = |target| Recipe::new(target, "0.19.0").map(|recipe| recipe.flags().contains(&"-msse4.2".to_owned()));
        assert!(with("x86_64-linux-gnu").unwrap());
        assert!(!with("aarch64-linux-gnu").unwrap());
        assert!(!with("arm64-apple-darwin23.1.0").unwrap());
        assert!(with("x86_64-pc-windows-msvc").is_err());
    }
}
