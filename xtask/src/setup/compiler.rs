//! The C++ compiler that makes the RocksDB archive.

use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// A C++ compiler, with the words that tell its output from another's.
#[derive(Debug, Clone)]
pub(crate) struct Compiler {
    program: String,
    version: String,
    target: String,
}

impl Compiler {
    /// Takes `$CXX`, else the first of the usual names that answers.
    ///
    /// # Errors
    ///
    /// When there is none, or it does not tell its version.
    pub(crate) fn find() -> Result<Self> {
        let program = program_name().context("no C++ compiler found: tried $CXX, g++, c++ and clang++")?;
        let version = shell::capture(Command::new(&program).arg("--version"))?;
        let version = version.lines().next().unwrap_or_default().trim().to_owned();
        let target = shell::capture(Command::new(&program).arg("-dumpmachine"))?.trim().to_owned();
        Ok(Self { program, version, target })
    }

    /// The name it is started by.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// The first line of its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The triple of the machine it compiles for, such as `x86_64-linux-gnu`.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The C compiler that goes with it, for the two compression libraries of the test program.
    pub(crate) fn c_program() -> String {
        std::env::var("CC").unwrap_or_else(|_| "cc".to_owned())
    }
}

/// The compiler's name, or nothing where no candidate can be started.
pub(crate) fn program_name() -> Option<String> {
    let named = std::env::var("CXX").ok().filter(|name| !name.is_empty());
    let candidates = named.into_iter().chain(["g++", "c++", "clang++"].map(str::to_owned));
    candidates.into_iter().find(|candidate| shell::exists(candidate))
}
