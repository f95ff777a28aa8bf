//! The share of the load that every run of the tests has, and leaks that are seen.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]
#![cfg(target_os = "linux")]

use std::process::Command;
use std::time::Duration;

use dagstore_soak::{Leak, Measure, Plan, Verdict, run};

/// In processes of their own, because what they have is what is looked at.
#[test]
fn nothing_grows_under_load_with_failing_sources() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dagstore-soak"));
    let output = command.args(["--seconds", "12"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    #[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
    {
        println!("{said}");
    }
    assert!(output.status.success(), "{said}");
}

/// One after the other in one process: each leak is seen in the measure that it belongs to.
#[test]
fn every_planted_leak_is_seen() {
    let leaks =
        [(Leak::Descriptor, Measure::Descriptors), (Leak::Thread, Measure::Threads), (Leak::Memory, Measure::Resident)];
    for (leak, measure) in leaks {
        let report = run(Plan { seed: 1, lasts: Duration::from_secs(3), leak: Some(leak) }).unwrap();
        let grows = |measure| {
            let grows = |verdict: &Verdict| verdict.is_founded && !verdict.is_flat();
            report.verdicts.iter().any(|verdict| verdict.measure == measure && grows(verdict))
        };
        assert!(report.broken.is_none() && !report.is_good() && grows(measure), "{leak:?}\n{report}");
        assert!(leak == Leak::Memory || !grows(Measure::Resident), "{leak:?}\n{report}");
    }
}
