//! Installs the system's compiler packages where that needs no question (root on Debian), names them where it does.

use std::process::Command;

use anyhow::{Result, bail};

use super::compiler;
use super::libclang::Libclang;
use crate::shell;

/// The libclang that Debian 12 ships, tried first.
const PREFERRED_VERSION: u32 = 14;

/// Something the build of RocksDB can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    CppCompiler,
    Libclang,
}

/// Checks for a C++ compiler and libclang, and installs what is missing.
///
/// # Errors
///
/// When something is missing and can't be installed; the message has the command that installs it.
pub(crate) fn install_missing() -> Result<()> {
    let tools = missing_tools();
    if tools.is_empty() {
        return Ok(());
    }
    if can_install() {
        install(&tools);
    }
    let tools = missing_tools();
    if tools.is_empty() { Ok(()) } else { bail!("{}", advice(&tools)) }
}

fn missing_tools() -> Vec<Tool> {
    let mut tools = Vec::new();
    if compiler::program_name().is_none() {
        tools.push(Tool::CppCompiler);
    }
    if Libclang::find().is_none() {
        tools.push(Tool::Libclang);
    }
    tools
}

/// Whether this is root on a system with apt.
pub(super) fn can_install() -> bool {
    let root = shell::capture(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0");
    root && shell::in_path("apt-get")
}

/// Tries to install; whether that worked is seen by looking again, so failures are only printed.
fn install(tools: &[Tool]) {
    let mut update = apt("update");
    println!("setup: {}", shell::describe(&update));
    if let Err(error) = shell::capture(&mut update) {
        println!("setup: {error:#}");
    }
    let mut packages: Vec<String> = Vec::new();
    if tools.contains(&Tool::CppCompiler) {
        packages.push("g++".to_owned());
    }
    if tools.contains(&Tool::Libclang) {
        let names = shell::capture(Command::new("apt-cache").args(["pkgnames", "libclang"])).unwrap_or_default();
        packages.extend(libclang_packages(&names));
    }
    if packages.is_empty() {
        return;
    }
    let mut install = apt("install");
    install.args(["-y", "--no-install-recommends"]).args(&packages);
    println!("setup: {}", shell::describe(&install));
    if let Err(error) = shell::capture(&mut install) {
        println!("setup: {error:#}");
    }
}

pub(super) fn apt(action: &str) -> Command {
    let mut command = Command::new("apt-get");
    // Another set-up may hold the package system's lock.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300", action]);
    command
}

/// The packages of libclang and its headers in the preferred version, else the newest that has both.
fn libclang_packages(names: &str) -> Vec<String> {
    let names: Vec<&str> = names.lines().map(str::trim).collect();
    let headers = |version: u32| format!("libclang-common-{version}-dev");
    let mut versions: Vec<u32> = names
        .iter()
        .filter_map(|name| name.strip_prefix("libclang1-")?.parse().ok())
        .filter(|version| names.contains(&headers(*version).as_str()))
        .collect();
    versions.sort_by_key(|version| (*version == PREFERRED_VERSION, *version));
    versions.last().map_or_else(Vec::new, |version| vec![format!("libclang1-{version}"), headers(*version)])
}

fn advice(tools: &[Tool]) -> String {
    let mut text = String::from("RocksDB can't be built here, install what is missing and run this again:");
    for tool in tools {
        let (what, commands) = match tool {
            Tool::CppCompiler => ("a C++ compiler", CPP_COMMANDS),
            Tool::Libclang => ("libclang (or set LIBCLANG_PATH to the folder that holds it)", LIBCLANG_COMMANDS),
        };
        text.push_str("\n  ");
        text.push_str(what);
        for (system, command) in commands {
            text.push_str(&format_line(system, command));
        }
    }
    text.push_str("\nEverything but the RocksDB back end builds without them: `cargo xtask test --lean`.");
    text
}

fn format_line(system: &str, command: &str) -> String {
    format!("\n    {system:<15} {command}")
}

const CPP_COMMANDS: [(&str, &str); 4] = [
    ("Debian, Ubuntu", "apt-get update && apt-get install g++"),
    ("Fedora", "dnf install gcc-c++"),
    ("Arch", "pacman -S gcc"),
    ("macOS", "xcode-select --install"),
];

const LIBCLANG_COMMANDS: [(&str, &str); 4] = [
    ("Debian, Ubuntu", "apt-get update && apt-get install libclang1-14 libclang-common-14-dev (or a later version)"),
    ("Fedora", "dnf install clang-libs clang-resource-filesystem"),
    ("Arch", "pacman -S clang"),
    ("macOS", "brew install llvm"),
];

#[cfg(test)]
mod tests {
    use super::{Tool, advice, libclang_packages};

    #[test]
    fn the_preferred_version_wins_over_a_newer_one() {
        let names = "libclang1-16\nlibclang-common-16-dev\nlibclang1-14\nlibclang-common-14-dev\n";
        assert_eq!(libclang_packages(names), ["libclang1-14", "libclang-common-14-dev"]);
    }

    #[test]
    fn without_it_the_newest_with_headers_is_taken() {
        let names = "libclang1-19\nlibclang1-16\nlibclang-common-16-dev\nlibclang1-9\nlibclang-common-9-dev\n";
        assert_eq!(libclang_packages(names), ["libclang1-16", "libclang-common-16-dev"]);
        assert!(libclang_packages("libclang-dev\nlibclang-cpp14\n").is_empty());
    }

    #[test]
    fn advice_names_only_what_is_missing() {
        let text = advice(&[Tool::Libclang]);
        assert!(text.contains("libclang-common-14-dev") && text.contains("brew install llvm"));
        assert!(!text.contains("gcc-c++"));
    }
}
