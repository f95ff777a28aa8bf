//! Finds the libclang that `bindgen` loads to make RocksDB's bindings, and the compiler headers it needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::compiler;
use crate::shell;

/// A libclang, and what bindgen must be told to work with it.
#[derive(Debug, Clone)]
pub(crate) struct Libclang {
    /// For `LIBCLANG_PATH`.
    pub(crate) folder: PathBuf,
    /// For `BINDGEN_EXTRA_CLANG_ARGS`, where it was installed without its own builtin headers (`stdbool.h`).
    pub(crate) extra_arguments: Option<String>,
}

impl Libclang {
    /// Looks where `LIBCLANG_PATH` says, else where systems keep it; of several versions the newest.
    pub(crate) fn find() -> Option<Self> {
        let named = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
        // The variable may name the library itself.
        let named = named.map(|path| if path.is_file() { path.parent().map(Path::to_owned) } else { Some(path) });
        let folder = match named.flatten() {
            Some(folder) => Some(folder).filter(|folder| holds_libclang(folder)),
            None => usual_folders().into_iter().find(|folder| holds_libclang(folder)),
        }?;
        let extra_arguments = if has_builtin_headers(&folder) { None } else { compiler_headers() };
        Some(Self { folder, extra_arguments })
    }
}

/// Where Debian, Fedora, Arch, Homebrew and Apple's tools put it.
fn usual_folders() -> Vec<PathBuf> {
    let mut folders = versioned_folders(Path::new("/usr/lib"), "llvm-", "lib");
    folders.extend(versioned_folders(Path::new("/usr/lib64"), "llvm", "lib"));
    folders.extend(versioned_folders(Path::new("/usr/lib64"), "llvm", "lib64"));
    let architecture = std::env::consts::ARCH;
    folders.push(format!("/usr/lib/{architecture}-linux-gnu").into());
    folders.extend(FIXED_FOLDERS.map(PathBuf::from));
    folders
}

const FIXED_FOLDERS: [&str; 7] = [
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/opt/homebrew/opt/llvm/lib",
    "/usr/local/opt/llvm/lib",
    "/Library/Developer/CommandLineTools/usr/lib",
    "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
];

/// `parent/prefixNUMBER/child` for every number there is, the highest first.
fn versioned_folders(parent: &Path, prefix: &str, child: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join(child)))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn holds_libclang(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_libclang) && entry.path().exists())
}

/// Whether a file is the library itself and not its C++ interface, `libclang-cpp.so`, which bindgen can't use.
fn is_libclang(name: &str) -> bool {
    if name == "libclang.so" || name == "libclang.dylib" || name.starts_with("libclang.so.") {
        return true;
    }
    let versioned = name.strip_prefix("libclang-").filter(|_| name.contains(".so"));
    versioned.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// libclang takes its headers from `clang/VERSION/include` beside the real file of the library.
fn has_builtin_headers(folder: &Path) -> bool {
    let beside = [folder.join("clang"), folder.join("../lib/clang")];
    beside
        .iter()
        .filter_map(|clang| std::fs::read_dir(clang).ok())
        .any(|versions| versions.flatten().any(|version| version.path().join("include/stdbool.h").is_file()))
}

/// The headers of the C++ compiler stand in for missing ones.
fn compiler_headers() -> Option<String> {
    let program = compiler::program_name()?;
    let folder = shell::capture(Command::new(program).arg("-print-file-name=include")).ok()?;
    let folder = folder.trim();
    Path::new(folder).join("stdbool.h").is_file().then(|| format!("-I{folder}"))
}

#[cfg(test)]
mod tests {
    use super::{has_builtin_headers, holds_libclang, is_libclang, versioned_folders};

    #[test]
    fn the_cpp_interface_is_not_taken_for_the_library() {
        for name in ["libclang.so", "libclang.so.1", "libclang-14.so.14.0.6", "libclang.dylib"] {
            assert!(is_libclang(name), "{name}");
        }
        for name in ["libclang-cpp.so.14", "libclang-cpp.so", "libclang.a", "libclangAST.so"] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn the_highest_version_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["llvm-9", "llvm-14", "llvm-14-old", "other"] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let expected = [parent.path().join("llvm-14/lib"), parent.path().join("llvm-9/lib")];
        assert_eq!(versioned_folders(parent.path(), "llvm-", "lib"), expected);
    }

    #[test]
    fn a_dangling_link_is_no_library() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("libclang.so")).unwrap();
        assert!(!holds_libclang(folder.path()));
        std::fs::write(folder.path().join("libclang.so.1"), "").unwrap();
        assert!(holds_libclang(folder.path()));
    }

    #[test]
    fn headers_count_only_where_they_are_complete() {
        let folder = tempfile::tempdir().unwrap();
        let include = folder.path().join("clang/14.0.6/include");
        std::fs::create_dir_all(&include).unwrap();
        assert!(!has_builtin_headers(folder.path()));
        std::fs::write(include.join("stdbool.h"), "").unwrap();
        assert!(has_builtin_headers(folder.path()));
    }
}
