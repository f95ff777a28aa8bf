//! What a process leaves that is killed.

use dagstore_crash::{Kill, Kills, Plan, run};

/// Killed around the load of rows, and before the batch that would make a shard Available.
#[test]
fn fault_12_whoever_is_killed_leaves_no_available_shard_without_its_rows() {
    for at in ["before-row-load:2", "before-row-write:2", "after-row-load:2", "before-record-write:9"] {
        let first = Some(Kill::At(at.parse().unwrap()));
        let again = Some(Kills { width: 4, first, second: None });
        let plan = Plan::new(env!("CARGO_BIN_EXE_dagstore-crash").into());
        let report = run(Plan { shards: 6, rounds: 2, keeps_what_failed: false, again, ..plan }).unwrap();
        assert!(report.failure.is_none(), "{report}");
        assert!(report.kills > 0, "{report}");
    }
}
