//! The share of both loops that every run of the tests has, and that no operation is forgotten.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::Path;

use dagstore_world::{OPERATIONS, Plan, Report, cuts, errors};

/// One of so many calls fails in a plain run of the tests; `cargo xtask errors` takes them all.
const STRIDE: u64 = 11;
/// At one of so many moments of an opening the power goes again.
const AGAIN: u64 = 16;
/// Which ones: the same in every run, so that what fails is new.
const SEED: u64 = 3;

fn tell(report: &Report) {
    #[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
    {
        println!("stride {STRIDE}, again {AGAIN}, seed {SEED}: {report}");
    }
    assert!(report.failure.is_none(), "a rule was broken; it is printed above");
    let run: BTreeSet<_> = report.counts.keys().map(|(of, _)| *of).collect();
    assert_eq!(run.len(), OPERATIONS.len(), "an operation was left out of {run:?}");
}

#[test]
fn every_call_fails_and_nothing_is_lost() {
    let report = errors(&Plan { stride: STRIDE, seed: SEED, ..Plan::all() });
    tell(&report);
    assert!(report.total().points > 300, "{:?}", report.total());
}

#[test]
fn the_power_goes_at_every_moment_and_nothing_is_lost() {
    let report = cuts(&Plan { again: AGAIN, seed: SEED, ..Plan::all() });
    tell(&report);
    assert!(report.total().checks > 1000, "{:?}", report.total());
}

/// Every public method of the engine is one of an operation's.
#[test]
fn no_method_of_the_engine_is_forgotten() {
    let covered: BTreeSet<_> = OPERATIONS.iter().flat_map(|operation| operation.methods.iter().copied()).collect();
    let mut methods = BTreeSet::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dagstore-engine/src");
    for file in std::fs::read_dir(source).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(file).unwrap();
        for block in text.split("\nimpl Engine {").skip(1) {
            let block = block.split("\n}\n").next().unwrap();
            let names = block.lines().filter_map(|line| {
                let line = line.strip_prefix("    pub ")?;
                let name = line.strip_prefix("async fn ").or(line.strip_prefix("fn "))?;
                Some(name.split(['(', '<']).next().unwrap().to_owned())
            });
            methods.extend(names);
        }
    }
    assert!(methods.len() > 30, "the engine's sources look otherwise by now: {methods:?}");
    let covered: BTreeSet<_> = covered.into_iter().map(str::to_owned).collect();
    assert_eq!(methods, covered, "the table of operations and the engine differ");
}
