//! The environment in which cargo finds the RocksDB archive and libclang, and a test its server.

use std::ffi::OsString;
use std::process::Command;

use super::archive::Archive;
use super::compiler::Compiler;
use super::libclang::Libclang;
use super::seaweed;
use crate::workspace::Workspace;

/// Variables for cargo; those the user has set are left as they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: Vec<(&'static str, OsString)>,
}

impl Environment {
    /// What this machine has; empty where nothing was set up, and cargo builds as it does by itself.
    pub(crate) fn detect(workspace: &Workspace) -> Self {
        let mut variables: Vec<(&'static str, OsString)> = Vec::new();
        if let Some(libclang) = Libclang::find() {
            variables.push(("LIBCLANG_PATH", libclang.folder.into()));
            if let Some(arguments) = libclang.extra_arguments {
                variables.push(("BINDGEN_EXTRA_CLANG_ARGS", arguments.into()));
            }
        }
        // Without a compiler or an archive RocksDB is built from its crate, or not needed.
        let archive = Compiler::find().and_then(|compiler| Archive::of(workspace, &compiler)).ok();
        if let Some(archive) = archive.filter(|archive| archive.is_there() && !has_own_rocksdb()) {
            variables.push(("ROCKSDB_LIB_DIR", archive.folder().into()));
            variables.push(("ROCKSDB_STATIC", "1".into()));
        }
        // For the test that runs against it.
        if let Some(weed) = seaweed::find() {
            variables.push(("DAGSTORE_WEED", weed.into()));
        }
        variables.retain(|(name, _)| !is_set(name));
        Self { variables }
    }

    /// Gives a command these variables.
    pub(crate) fn apply(&self, command: &mut Command) {
        for (name, value) in &self.variables {
            command.env(name, value);
        }
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// Whether the user has said where RocksDB comes from, so that no archive is needed.
pub(crate) fn has_own_rocksdb() -> bool {
    is_set("ROCKSDB_LIB_DIR") || is_set("ROCKSDB_COMPILE")
}

/// Prints the variables as shell commands.
pub(crate) fn print(workspace: &Workspace) {
    for (name, value) in &Environment::detect(workspace).variables {
        println!("export {name}={}", quoted(&value.to_string_lossy()));
    }
}

/// Quotes a value for a POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_value_with_a_quote_survives_the_shell() {
        let output =
            std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted("it's $HOME"))).output();
        assert_eq!(output.unwrap().stdout, b"it's $HOME");
    }
}
