//! The facade with redb alone is built where there is neither a C++ compiler nor libclang.
//!
//! A C compiler stays: Rust itself links by it, and blake3 has its assembler put its routines together. Nothing else is in
//! the build's `PATH`. It has a target folder of its own, for in the common one may lie what was built with more.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::cargo::Cargo;
use crate::shell;
use crate::workspace::Workspace;

/// What is built.
const WHAT: [&str; 5] = ["-p", "dagstore", "--no-default-features", "--features", "redb"];

/// The one of C's tools that could build C++, and the others that linking and assembling need.
const COMPILER: &str = "cc";
const TOOLS: [&str; 3] = ["ar", "as", "ld"];

/// Stands for [`COMPILER`], which would compile C++ if it were given some.
const REFUSING: &str = r#"#!/bin/sh
for argument; do
    case "$argument" in
    *.cc | *.cpp | *.cxx | *.C | c++ | -xc++ | -std=*++* | -lstdc++ | -lc++) echo "no C++ here: $argument" >&2; exit 1 ;;
    esac
done
"#;

/// Crates that open libclang wherever they find it, so that no environment keeps them from it.
const OF_LIBCLANG: [&str; 2] = ["bindgen", "clang-sys"];

/// Checks the build, with its build scripts run and its procedural macros linked.
///
/// # Errors
///
/// When it needs more than it may, or C++ could be built here all the same.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let needed = Cargo::plain(workspace).tree_of_kinds("dagstore", "normal,build", &WHAT[2..])?;
    for name in OF_LIBCLANG {
        ensure!(
            !needed.iter().any(|needed| needed == name),
            "the facade with redb alone needs {name}, and so libclang"
        );
    }
    let folder = workspace.target_folder()?.join("xtask").join("without-cpp");
    let tools = folder.join("bin");
    make_tools(&tools)?;
    refuses_cpp(&tools, &folder)?;
    let mut command = Cargo::plain(workspace).command(["check", "--quiet", "--locked"]);
    restrict(command.args(WHAT), &tools)?;
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    // The cargo of a toolchain, not the one that chooses a toolchain, asks for the compiler by name.
    command.env("RUSTC", rustc(workspace)?);
    shell::run(&mut command)
}

/// Leaves a command these programs, no compiler for C++ and no libclang.
fn restrict(command: &mut Command, tools: &Path) -> Result<()> {
    let absent = tools.join("absent");
    for (name, _) in std::env::vars_os() {
        let is_of_compiler = name.to_str().is_some_and(|name| {
            ["CC_", "CXX", "HOST_C", "TARGET_C", "CFLAGS", "LIBCLANG", "LLVM", "BINDGEN", "ROCKSDB"]
                .iter()
                .any(|of| name.starts_with(of))
        });
        if is_of_compiler || name == "CC" {
            command.env_remove(name);
        }
    }
    command.env("PATH", std::env::join_paths([tools])?);
    command.envs([
        ("CXX", &absent),
        ("LIBCLANG_PATH", &absent),
        ("CLANG_PATH", &absent),
        ("LLVM_CONFIG_PATH", &absent),
    ]);
    Ok(())
}

/// Makes a folder with the programs that may be used, and nothing else.
fn make_tools(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    for tool in TOOLS {
        symlink(in_path(tool)?, folder.join(tool)).with_context(|| format!("linking {tool}"))?;
    }
    let (compiler, script) = (in_path(COMPILER)?, folder.join(COMPILER));
    // The shell is named whole, and so is the compiler: neither needs the path.
    fs::write(&script, format!("{REFUSING}exec '{}' \"$@\"\n", compiler.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Makes sure that a build could fail here: C is compiled and C++ is not, by whatever name.
fn refuses_cpp(tools: &Path, folder: &Path) -> Result<()> {
    for (name, is_compiled) in [("probe.c", true), ("probe.cpp", false)] {
        let source = folder.join(name);
        fs::write(&source, "int probe(void) { return 0; }\n")?;
        let mut command = Command::new(tools.join(COMPILER));
        restrict(command.arg("-c").arg(&source).arg("-o").arg(folder.join("probe.o")), tools)?;
        let status = command.stderr(Stdio::null()).status().with_context(|| shell::describe(&command))?;
        ensure!(status.success() == is_compiled, "{} ended with {status}", shell::describe(&command));
    }
    for name in ["c++", "g++", "clang++", "clang", "gcc"] {
        ensure!(!tools.join(name).exists(), "{name} is among the tools");
    }
    Ok(())
}

fn in_path(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file());
    let Some(found) = found else { bail!("there is no {program} in the PATH") };
    Ok(found)
}

fn rustc(workspace: &Workspace) -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    let root = shell::capture(command.args(["--print", "sysroot"]).current_dir(workspace.root()))?;
    Ok(Path::new(root.trim()).join("bin").join("rustc"))
}
