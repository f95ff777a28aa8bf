//! The share of kills that every run of the tests has.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use dagstore::Backend;
use dagstore_crash::{Moment, Plan, run};

/// How many shards each process registers.
const FEW: usize = 6;

/// Kills somebody at every moment once, and twice where it needs a second life.
fn everybody_who_is_killed_leaves_what_was_acknowledged(backend: Backend) {
    // One more is killed at any time, from outside.
    let moments = Moment::all(backend).len() as u64 + 1;
    let plan = Plan::new(env!("CARGO_BIN_EXE_dagstore-crash").into());
    let report = run(Plan { backend, rounds: moments, shards: FEW, keeps_what_failed: false, ..plan }).unwrap();
    #[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
    {
        println!("{report}");
    }
    assert!(report.failure.is_none(), "{report}");
    assert!(report.rows().iter().all(|row| row.rounds == 1), "{report}");
    assert!(report.kills > moments && report.acknowledged > 0, "{report}");
}

// Whoever runs the tests with RocksDB has run them without it before.
#[cfg(all(feature = "redb", not(feature = "rocksdb")))]
#[test]
fn on_redb_everybody_who_is_killed_leaves_what_was_acknowledged() {
    everybody_who_is_killed_leaves_what_was_acknowledged(Backend::Redb);
}

#[cfg(feature = "rocksdb")]
#[test]
fn on_rocksdb_everybody_who_is_killed_leaves_what_was_acknowledged() {
    everybody_who_is_killed_leaves_what_was_acknowledged(Backend::Rocksdb);
}
