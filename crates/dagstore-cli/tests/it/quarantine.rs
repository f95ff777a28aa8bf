//! Records that can't be read are shown, tried again and given up.
#![cfg(feature = "redb")]

use dagstore::Dagstore;
use dagstore::datastore::{Datastore, DatastoreExt, Namespace};
use dagstore::mount::{FileMount, Registry};
use dagstore::redb::RedbDatastore;
use serde_json::json;

use crate::support::{Place, Terminal};

const SHARDS: Namespace = Namespace::new("shards");

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// A place with a good shard, one whose scheme this program doesn't know, and a row that says nothing.
fn place() -> Place {
    let place = Place::with_store();
    place.car("good.car", 1, 3, 10);
    place.run(&["register", "good.car"]).done();
    let car = place.car("odd.car", 1, 3, 10);
    wait(async {
        let mut registry = Registry::with_defaults();
        registry.register("quux", FileMount::template()).unwrap();
        let store = Dagstore::builder().directory(place.store()).registry(registry).open().await.unwrap();
        store.register("odd", &format!("quux://{}", car.path())).lazy().await.unwrap();
        store.close().await.unwrap();
    });
    rows(&place, async |rows| rows.put(SHARDS, &0xffff_u64.to_be_bytes(), b"nonsense").await.unwrap());
    place
}

/// Does something with the rows of the store.
fn rows<T>(place: &Place, work: impl AsyncFn(&RedbDatastore) -> T) -> T {
    wait(async {
        let rows = RedbDatastore::open(place.store().join("redb/store.redb")).await.unwrap();
        let value = work(&rows).await;
        rows.close().await.unwrap();
        value
    })
}

const ROW: &str = "000000000000ffff";

#[test]
fn they_are_listed_with_the_reason() {
    let place = place();
    let listed = place.json_lines(&["quarantine", "list"]);
    assert_eq!(listed.len(), 2, "{listed:?}");
    let odd = listed.iter().find(|record| record["key"] == "odd").unwrap();
    assert!(odd["reason"].as_str().unwrap().contains("quux") && odd["registration"].is_u64(), "{odd}");
    let other = listed.iter().find(|record| record["key"].is_null()).unwrap();
    assert_eq!((&other["row"], &other["registration"]), (&json!(ROW), &json!(0xffff)));
    let text = place.run(&["quarantine", "list"]).done();
    assert!(text.text().lines().any(|line| line.starts_with(&format!("{ROW}  a shard whose name can't be read: "))));
    assert_eq!(place.json(&["list", "--counts"])["states"]["Quarantined"], 2);
    let (error, advice) = place.run(&["blocks", "odd"]).failed(1);
    assert!(error.contains("quarantined") && advice.starts_with("dagstore quarantine retry odd"), "{error}: {advice}");
}

#[test]
fn they_are_read_again_when_the_cause_is_mended() {
    let place = place();
    let (error, advice) = place.run(&["quarantine", "retry", "odd"]).failed(1);
    assert!(error.contains("can't be used yet: ") && error.contains("quux"), "{error}");
    assert!(advice.contains("dagstore quarantine drop --row "), "{advice}");
    place.run(&["quarantine", "retry", "--row", ROW]).failed(1);
    // The row of the good shard is damaged and mended.
    let row = place.json(&["info", "good"])["registration"].as_u64().unwrap();
    let saved = rows(&place, async |rows| {
        let saved = rows.get(SHARDS, &row.to_be_bytes()).await.unwrap().unwrap();
        rows.put(SHARDS, &row.to_be_bytes(), b"damaged").await.unwrap();
        saved
    });
    let hex = format!("{row:016x}");
    place.run(&["quarantine", "retry", "--row", &hex]).failed(1);
    rows(&place, async |rows| rows.put(SHARDS, &row.to_be_bytes(), &saved).await.unwrap());
    assert_eq!(place.run(&["quarantine", "retry", "--row", &hex]).done().text(), "good can be read: Available\n");
    assert_eq!(place.json(&["quarantine", "retry", "good"])["state"], "Available");
    let (error, advice) = place.run(&["quarantine", "retry", "nobody"]).failed(3);
    assert_eq!((error.as_str(), advice.as_str()), ("no record of nobody is in quarantine", "dagstore quarantine list"));
    place.run(&["quarantine", "retry", "--row", "xyz"]).failed(3);
    place.run(&["quarantine", "retry"]).failed(2);
}

#[test]
fn they_are_given_up_when_somebody_says_so() {
    let place = place();
    let (error, advice) = place.run(&["quarantine", "drop", "odd"]).failed(2);
    assert!(error.contains("the store forgets the shard odd with its URL"), "{error}");
    assert_eq!(advice, "the same again with --yes");
    place.run(&["--json", "quarantine", "drop", "odd"]);
    place.run(&["quarantine", "drop", "good", "--yes"]).failed(3);
    assert_eq!(place.json_lines(&["quarantine", "list"]).len(), 2);
    let ran = place.run(&["quarantine", "drop", "odd", "--yes"]).done();
    assert!(
        ran.text().starts_with("dropped the record in row ") && ran.text().contains("the shard odd"),
        "{}",
        ran.text()
    );
    let dropped = place.json(&["quarantine", "drop", "--row", &ROW.to_uppercase(), "--yes"]);
    assert_eq!(dropped, json!({"row": ROW, "key": null, "dropped": true}));
    assert_eq!(place.run(&["quarantine", "list"]).done().text(), "no record is in quarantine\n");
    assert_eq!(place.states().len(), 1);
    place.run(&["register", "odd.car"]).done();
}

#[test]
fn whoever_can_be_asked_is_asked() {
    let place = place();
    for (answer, is_dropped) in [("\n", false), ("no\n", false), ("y\n", true)] {
        let terminal = Terminal::new(80);
        let mut command = place.command(&["quarantine", "drop", "odd"]);
        command.stdin(terminal.stream()).stdout(std::process::Stdio::piped()).stderr(terminal.stream());
        let (code, text, seen) = terminal.run(command, answer);
        assert!(seen.contains("If it is dropped, the store forgets the shard odd"), "{seen}");
        assert!(seen.contains("Drop it? [y/N] "), "{seen}");
        assert_eq!((code, text.contains("dropped")), (Some(i32::from(!is_dropped)), is_dropped), "{seen}");
        assert_eq!(place.json_lines(&["quarantine", "list"]).len(), if is_dropped { 1 } else { 2 });
    }
}

#[test]
fn a_key_that_two_records_have_is_not_enough() {
    let place = place();
    let listed = place.json_lines(&["quarantine", "list"]);
    let row = listed.iter().find(|record| record["key"] == "odd").unwrap()["registration"].as_u64().unwrap();
    rows(&place, async |rows| {
        // The same record in a row that isn't its own.
        let value = rows.get(SHARDS, &row.to_be_bytes()).await.unwrap().unwrap();
        rows.put(SHARDS, &0xfffe_u64.to_be_bytes(), &value).await.unwrap();
    });
    let (error, advice) = place.run(&["quarantine", "drop", "odd", "--yes"]).failed(2);
    assert!(error.starts_with("2 records in quarantine have this key, in the rows "), "{error}");
    assert!(error.contains("000000000000fffe") && advice.contains("--row"), "{error}: {advice}");
    place.run(&["quarantine", "drop", "--row", "000000000000fffe", "--yes"]).done();
    place.run(&["quarantine", "drop", "odd", "--yes"]).done();
}
