//! Tests that can't run here.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// The folder of fixtures that aren't part of the project, or `None` after saying that `test` is skipped for the lack of
/// it.
pub fn fixtures(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("DAGSTORE_FIXTURES").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        skipped(test, "DAGSTORE_FIXTURES names no folder");
    }
    folder
}

/// Says that `test` is skipped, and why: on the terminal, and in the file that `DAGSTORE_SKIP_LOG` names, from which
/// skipped tests are counted.
///
/// # Panics
/// When the file is named but can't be written: a skip that nobody counts would look like a pass.
pub fn skipped(test: &str, reason: &str) {
    let line = format!("{test}: {reason}\n");
    if let Some(path) = std::env::var_os("DAGSTORE_SKIP_LOG") {
        let log = OpenOptions::new().create(true).append(true).open(path);
        let written = log.and_then(|mut log| log.write_all(line.as_bytes()));
        assert!(written.is_ok(), "the skip can't be counted: {written:?}");
    }
    #[expect(clippy::print_stderr, reason = "a test speaks to whoever runs it")]
    {
        eprint!("SKIPPED {line}");
    }
}
