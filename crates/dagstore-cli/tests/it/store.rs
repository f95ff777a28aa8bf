//! Stores are moved from one datastore to another, and to and from Go's dagstore.
#![cfg(feature = "redb")]

use std::fs;
#[cfg(feature = "import")]
use std::path::Path;

use serde_json::{Value, json};

use crate::support::Place;
#[cfg(all(feature = "postgres", unix))]
use crate::support::run;

/// A store with two shards and a record that can't be read any more.
fn place() -> Place {
    let place = Place::with_store();
    for name in ["one", "two"] {
        place.car(&format!("{name}.car"), 1, 3, 10);
    }
    place.run(&["register", "one.car", "two.car"]).done();
    place
}

fn copy(place: &Place, from: &str, to: &str) -> Value {
    place.json(&["store", "copy", "--from", from, "--to", to])
}

#[test]
fn a_store_is_copied_elsewhere_with_its_settings_and_indices() {
    let place = place();
    let settings = place.store().join("dagstore.toml");
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + "# kept\n").unwrap();
    let from = format!("redb:{}", place.store().display());
    let elsewhere = place.root().join("elsewhere");
    let to = format!("redb:{}", elsewhere.display());
    let told = copy(&place, &from, &to);
    assert_eq!((&told["index_files"], &told["was_complete"]), (&json!(2), &json!(false)));
    let shards = told["tables"].as_array().unwrap().iter().find(|table| table["name"] == "shards").unwrap();
    assert_eq!(shards["rows"], 2);
    assert!(fs::read_to_string(elsewhere.join("dagstore.toml")).unwrap().ends_with("# kept\n"));
    let elsewhere = elsewhere.to_str().unwrap();
    assert_eq!(copy(&place, &from, &to)["was_complete"], true);
    assert_eq!(place.run(&["--dir", elsewhere, "verify", "--all"]).done().code, Some(0));

    // Both are stores now, and each goes its own way.
    place.car("three.car", 1, 3, 10);
    place.run(&["register", "three.car"]).done();
    let (error, _) = place.run(&["store", "copy", "--from", &from, "--to", &to]).failed(1);
    assert!(error.contains("isn't empty"), "{error}");
}

/// The whole switch: a copy, and one line.
#[cfg(feature = "rocksdb")]
#[test]
fn a_store_changes_its_datastore_by_one_line() {
    let place = place();
    let store = place.store();
    let listed = place.states();
    let told = copy(&place, &format!("redb:{}", store.display()), &format!("rocksdb:{}", store.display()));
    assert_eq!((&told["switch"], &told["settings"]), (&json!("datastore = \"rocksdb\""), &Value::Null));
    let settings = store.join("dagstore.toml");
    let text = fs::read_to_string(&settings).unwrap();
    let switched = text.replace("datastore = \"redb\"", "datastore = \"rocksdb\"");
    assert_eq!(text.lines().zip(switched.lines()).filter(|(old, new)| old != new).count(), 1);
    fs::write(&settings, switched).unwrap();
    fs::remove_dir_all(store.join("redb")).unwrap();
    assert_eq!(place.states(), listed);
    place.run(&["verify", "--all"]).done();
    let cid = place.json_lines(&["blocks", "one"])[0]["cid"].as_str().unwrap().to_owned();
    assert!(!place.run(&["get", &cid]).done().stdout.is_empty());
}

/// Another codec in the settings is for new records; the old ones are read all the same.
#[test]
fn the_codec_is_changed_by_one_line() {
    let place = place();
    let settings = place.store().join("dagstore.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("codec = \"cbor\"", "codec = \"json\"")).unwrap();
    place.car("three.car", 1, 3, 10);
    place.run(&["register", "three.car"]).done();
    let states = place.states();
    assert_eq!(states.len(), 3);
    assert!(states.iter().all(|(_, state)| state == "Available"), "{states:?}");
}

#[test]
fn what_can_not_be_copied_is_told() {
    let place = place();
    let from = format!("redb:{}", place.store().display());
    let (error, _) = place.run(&["store", "copy", "--from", &from, "--to", &from]).failed(2);
    assert!(error.contains("source and target"), "{error}");
    let (error, _) = place.run(&["store", "copy", "--from", &from, "--to", "sled:/x"]).failed(2);
    assert!(error.contains("redb, rocksdb"), "{error}");
    let (_, advice) = place.run(&["store", "copy", "--from", "redb:/nowhere", "--to", "redb:/x"]).failed(3);
    assert!(!advice.is_empty());
}

/// To a server and back, beside the same directory; and what is said to whoever finds it taken.
#[cfg(all(feature = "postgres", unix))]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_to_a_server_by_one_line() {
    use dagstore_testkit::postgres::Server;
    let Some(server) = Server::start("a_store_moves_to_a_server_by_one_line").await else { return };
    let place = place();
    let listed = place.states();
    let (from, database) = (format!("redb:{}", place.store().display()), format!("{}?table=one", server.url()));
    // Without --dir it is the directory of the other place.
    let mut copying = place.command(&["--json", "store", "copy", "--from", &from, "--to", &database]);
    let told: Value = serde_json::from_str(run(copying.env_remove("DAGSTORE_DIR")).done().text()).unwrap();
    let switch = &told["switch"];
    assert_eq!(*switch, format!("datastore = \"{database}\""));
    assert_eq!((&told["index_files"], &told["settings"]), (&Value::Null, &Value::Null), "the directory is the same");
    let settings = place.store().join("dagstore.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace("datastore = \"redb\"", switch.as_str().unwrap())).unwrap();
    fs::remove_dir_all(place.store().join("redb")).unwrap();
    assert_eq!(place.states(), listed);
    place.car("three.car", 1, 3, 10);
    place.run(&["register", "three.car"]).done();

    let builder = dagstore::postgres::PostgresDatastore::builder().table("one");
    let holder = builder.open(&server.url()).await.unwrap();
    for arguments in [&["register", "three.car"][..], &["store", "copy", "--from", &database, "--to", &from]] {
        let (error, advice) = place.run(arguments).failed(1);
        assert!(error.contains("already open") && error.contains("held by process"), "{error}");
        assert!(advice.contains("30 s after it was killed"), "{advice}");
    }
    dagstore::datastore::Datastore::close(&holder).await.unwrap();
    assert_eq!(copy(&place, &database, &from)["was_complete"], false);
    fs::write(&settings, text).unwrap();
    assert_eq!(place.states().len(), listed.len() + 1);
}

#[test]
fn records_are_exported_as_go_writes_them() {
    let place = place();
    let told = place.run(&["store", "export", "--format", "go-json"]);
    assert_eq!(told.code, Some(0));
    let lines: Vec<&str> = told.text().lines().collect();
    let url = format!("file://{}", place.root().canonicalize().unwrap().join("one.car").display());
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], format!(r#"{{"k":"one","u":"{url}","t":"","s":2,"l":false,"e":""}}"#));
    assert_eq!(told.stderr, "2 records, 0 of them as they came from Go\n");
    assert_eq!(place.run(&["store", "export", "--format", "go-json", "-o", "records.json"]).code, Some(0));
    assert_eq!(fs::read_to_string(place.root().join("records.json")).unwrap(), told.text());
}

/// A directory of Go's with these records.
#[cfg(feature = "import")]
fn go_directory(path: &Path, records: &[(&str, String)]) {
    let options = rusty_leveldb::Options::default();
    let mut database = rusty_leveldb::DB::open(path.join("datastore"), options).unwrap();
    for (row, record) in records {
        database.put(format!("/dagstore/{row}").as_bytes(), record.as_bytes()).unwrap();
    }
    database.close().unwrap();
}

#[cfg(feature = "import")]
#[test]
fn a_directory_of_go_is_taken() {
    let place = Place::new();
    let car = place.car("good.car", 1, 3, 10);
    let go = place.root().join("go");
    let host = car.path().replace('/', "%2F");
    go_directory(
        &go,
        &[
            ("good", format!(r#"{{"k":"good","u":"file://{host}","t":"","s":2,"l":false,"e":""}}"#)),
            ("rooted", r#"{"k":"rooted","u":"fs://good.car?path=good.car","t":"","s":3,"l":false,"e":""}"#.to_owned()),
            ("thawed", r#"{"k":"thawed","u":"lotus://baga","t":"","s":2,"l":false,"e":""}"#.to_owned()),
        ],
    );
    // go-car's index of the shard, as another store makes it.
    let other = place.root().join("other");
    let other = other.to_str().unwrap();
    place.run(&["--dir", other, "register", "good.car"]).done();
    fs::create_dir(go.join("index")).unwrap();
    let index = go.join("index/good.full.idx");
    place.run(&["--dir", other, "index", "export", "good", "-o", index.to_str().unwrap()]).done();

    let root = place.root().to_str().unwrap();
    let told = place.json(&["store", "import", "go", "--fs-root", root]);
    assert_eq!((&told["taken"], &told["present"], &told["quarantined"]), (&json!(3), &json!(0), &json!(0)));
    let record = |key: &str| told["records"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone();
    assert_eq!((&record("good")["state"], &record("good")["go_index"]), (&json!("Available"), &json!("agrees")));
    assert_eq!(record("rooted")["state"], "Available");
    let thawed = record("thawed");
    assert_eq!(thawed["state"], "Quarantined");
    assert!(thawed["notes"][0].as_str().unwrap().contains("lotus"), "{thawed}");
    place.run(&["verify", "--all"]).done();

    let again = place.json(&["store", "import", "go"]);
    assert_eq!((&again["taken"], &again["present"]), (&json!(0), &json!(3)));
    go_directory(&go, &[("cut", r#"{"k":"cut"#.to_owned())]);
    let ran = place.run(&["store", "import", "go", "--lazy"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.text().contains("1 in quarantine") && ran.stderr.contains("dagstore quarantine list"), "{ran:?}");
    let (error, _) = place.run(&["store", "import", other]).failed(3);
    assert!(error.contains("no directory of Go's dagstore"), "{error}");
}

/// It is only read: a store that is made in it would be written.
#[cfg(feature = "import")]
#[test]
fn nothing_is_imported_into_the_directory_that_is_read() {
    let place = Place::new();
    let theirs = place.root().join("theirs");
    fs::create_dir(&theirs).unwrap();
    for store in [theirs.clone(), theirs.join("store")] {
        let arguments = ["--dir", store.to_str().unwrap(), "store", "import", theirs.to_str().unwrap()];
        let (error, advice) = place.run(&arguments).failed(2);
        assert!(error.contains("which is only read") && advice.contains("another --dir"), "{error} {advice}");
        assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0);
    }
}
