//! Every target on every input that is kept, without libFuzzer: what was once found stays mended.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};

use dagstore_fuzz::TARGETS;

/// How much all inputs together may take, in bytes.
const MOST_BYTES: u64 = 500_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(corpus().join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_target_takes_its_inputs() {
    for (name, target) in TARGETS {
        let paths = inputs(name);
        assert!(!paths.is_empty(), "{name} has no inputs");
        for path in paths {
            let input = fs::read(&path).unwrap();
            let taken = panic::catch_unwind(|| target(&input));
            assert!(taken.is_ok(), "{name}: {}", path.display());
        }
    }
}

/// Whatever an input is cut to, and with any byte changed.
#[test]
fn every_target_takes_what_is_near_its_inputs() {
    for (name, target) in TARGETS {
        for (number, path) in inputs(name).iter().enumerate().step_by(20) {
            let mut input = fs::read(path).unwrap();
            let at = number * 7 % input.len().max(1);
            target(&input[..at]);
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 0x41;
                target(&input);
            }
        }
    }
}

#[test]
fn the_corpus_is_small_and_each_folder_is_a_targets() {
    let mut bytes = 0;
    for folder in fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{name} is no target");
        bytes += inputs(&name).iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
    }
    assert!(bytes <= MOST_BYTES, "{bytes} bytes: minimise the corpus with `cargo xtask fuzz --minimise`");
}
