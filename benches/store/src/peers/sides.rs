//! The two sides, each a program of its own: this one, started again, and the module of Go in `benches/peers`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::backend::Backend;

/// The module, beside this package.
const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers");

/// The Go side, built.
pub(super) struct Go {
    program: PathBuf,
    place: PathBuf,
}

/// A figure of the Go side.
#[derive(Debug, Deserialize)]
pub(super) struct GoFigure {
    pub(super) name: String,
    pub(super) median: f64,
}

impl Go {
    /// Whether Go is installed.
    pub(super) fn is_there() -> bool {
        let asked = Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    pub(super) fn build(place: &Path) -> Result<Self> {
        let program = place.join("peers-of-go");
        let status = Command::new("go").args(["build", "-o"]).arg(&program).arg(".").current_dir(MODULE).status()?;
        ensure!(
            status.success(),
            "benches/peers could not be built ({status}); its modules come from the network once"
        );
        Ok(Self { program, place: place.to_owned() })
    }

    pub(super) fn figures(&self, row: &str, arguments: &[String], runs: usize) -> Result<Vec<GoFigure>> {
        let mut command = Command::new(&self.program);
        command.args(["bench", "-runs", &runs.to_string(), "-dir"]).arg(&self.place).args(arguments).arg(row);
        // What it logs of shards that were closed while somebody waited is no news here.
        let output = command.env("GOLOG_LOG_LEVEL", "fatal").stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "Go's {row} ended with {}", output.status);
        let lines = std::str::from_utf8(&output.stdout)?.lines();
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("Go's {row} said {line:?}"))).collect()
    }
}

/// Our own side.
pub(super) struct Ourselves {
    program: PathBuf,
    place: PathBuf,
    runs: usize,
}

/// A table of ours.
#[derive(Debug, Deserialize)]
pub(super) struct Table {
    pub(super) title: String,
    pub(super) figures: Vec<OurFigure>,
}

/// A figure of ours.
#[derive(Debug, Deserialize)]
pub(super) struct OurFigure {
    pub(super) what: String,
    pub(super) unit: String,
    pub(super) runs: Vec<f64>,
}

impl Ourselves {
    pub(super) fn new(place: &Path, runs: usize) -> Result<Self> {
        Ok(Self { program: std::env::current_exe()?, place: place.to_owned(), runs })
    }

    pub(super) fn tables(&self, bench: &str, backend: Backend, arguments: &[String]) -> Result<Vec<Table>> {
        #[derive(Deserialize)]
        struct Report {
            tables: Vec<Table>,
        }
        let json = self.place.join("ours.json");
        let backend = backend.to_possible_value().context("every backend has a name")?;
        let mut command = Command::new(&self.program);
        command.args([bench, "--runs", &self.runs.to_string(), "--backend", backend.get_name(), "--dir"]);
        command.arg(&self.place).arg("--json").arg(&json).args(arguments);
        let status = command.stdout(Stdio::null()).status()?;
        ensure!(status.success(), "our own {bench} ended with {status}");
        let report: Report = serde_json::from_slice(&std::fs::read(&json)?)?;
        Ok(report.tables)
    }
}
