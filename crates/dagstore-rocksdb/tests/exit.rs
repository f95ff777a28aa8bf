//! A program that ends while a database is being closed: RocksDB's own statics must not go before it.

use std::env;
use std::process::{self, Command};

use dagstore_datastore::{Batch, Datastore, Durability, Namespace};
use dagstore_rocksdb::RocksdbDatastore;

/// Where the program of the next test puts its database; without it, it isn't asked for.
const DATABASE: &str = "DAGSTORE_ROCKSDB_EXIT_DATABASE";

#[test]
fn a_program_that_drops_a_datastore_and_ends_is_not_aborted() {
    for round in 0..40 {
        let directory = tempfile::tempdir().unwrap();
        let program = Command::new(env::current_exe().unwrap())
            .args(["--exact", "program", "--nocapture"])
            .env(DATABASE, directory.path().join("rows"))
            .output()
            .unwrap();
        assert!(program.status.success(), "round {round}: {program:?}");
    }
}

/// What the test above runs in a process of its own.
#[test]
fn program() {
    let Some(place) = env::var_os(DATABASE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let store = runtime.block_on(async {
        let store = RocksdbDatastore::open(&place).await.unwrap();
        for family in ["a", "b", "c", "d"] {
            let mut batch = Batch::new();
            batch.put(Namespace::new(family), b"key", &[7; 4096].repeat(256));
            store.write(batch, Durability::Synced).await.unwrap();
        }
        store
    });
    drop(store);
    process::exit(0);
}
