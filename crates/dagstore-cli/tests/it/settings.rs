//! What a store was made with is remembered, and what isn't understood is refused.

use crate::support::Place;

#[test]
fn a_store_is_made_once() {
    let place = Place::new();
    let made = place.run(&["init", "--codec", "json"]).done();
    let directory = place.store().display().to_string();
    assert_eq!(made.text(), format!("made a store in {directory}, with datastore redb and codec json\n"));
    for arguments in [&["init"][..], &["init", "--codec", "json"], &["init", "--datastore", "redb"]] {
        let again = place.run(arguments).done();
        assert!(again.text().starts_with("there is a store already in "), "{}", again.text());
    }
    let (error, advice) = place.run(&["init", "--codec", "cbor"]).failed(1);
    assert_eq!(error, format!("the store in {directory} has datastore redb and codec json, which can't be changed"));
    assert_eq!(advice, "another --dir for a store with other settings");
    let remembered = std::fs::read_to_string(place.store().join("dagstore.toml")).unwrap();
    for line in ["format = 1", "datastore = \"redb\"", "codec = \"json\""] {
        assert!(remembered.lines().any(|found| found == line), "{remembered}");
    }
    for line in ["[engine]", "#max_indexing = 4", "#first_pause = \"30s\""] {
        assert!(remembered.lines().any(|found| found == line), "{remembered}");
    }
}

#[test]
fn the_first_registration_makes_the_store() {
    let place = Place::new();
    place.car("a.car", 1, 3, 10);
    place.run(&["register", "a.car"]).done();
    let again = place.json(&["init"]);
    assert_eq!((&again["created"], &again["codec"]), (&false.into(), &"cbor".into()));
    assert_eq!(place.states().len(), 1);
}

#[test]
fn without_a_store_nothing_is_found_and_nothing_is_made() {
    let place = Place::new();
    let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    let commands: [&[&str]; 22] = [
        &["list"],
        &["info", "k"],
        &["blocks", "k"],
        &["get", cid],
        &["locate", cid],
        &["verify", "k"],
        &["verify", "--all"],
        &["index", "show", "k"],
        &["index", "verify", "k"],
        &["recover", "k"],
        &["init-all"],
        &["quarantine", "list"],
        &["quarantine", "drop", "k"],
        &["destroy", "k"],
        &["gc"],
        &["resume"],
        &["mounts"],
        &["transients"],
        &["pin", "k"],
        &["unpin", "k"],
        &["evict", "k"],
        &["adopt", "k", "file"],
    ];
    for command in commands {
        let (error, _) = place.run(command).failed(3);
        assert_eq!(error, format!("there is no store in {}", place.store().display()), "{command:?}");
    }
    assert_eq!(place.files(""), [""; 0]);
}

#[test]
fn settings_that_are_not_understood_are_refused() {
    let place = Place::with_store();
    let path = place.store().join("dagstore.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let in_engine = |lines: &str| good.replace("\n[engine]\n", &format!("\n[engine]\n{lines}"));
    let cases = [
        (
            "format = 2\nshiny = true\n".to_owned(),
            "it has format 2, and this program knows up to 1; use a newer program",
        ),
        (format!("speed = 9\n{good}"), "line 1: unknown field `speed`, expected one of "),
        (good.replace("redb", "sled"), "\"sled\" is no datastore, but redb, rocksdb, or a URL"),
        (in_engine("keep_open = 1\nsync = false\n"), "unknown field `sync`, expected one of `recovery`, "),
        (in_engine("max_indexing = 0\n"), "invalid value: integer `0`, expected a nonzero"),
        ("format = = 1".to_owned(), "line 1: "),
        (String::new(), "it has no number under format"),
        ("#".repeat(70_000), "it has more than 65536 bytes"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, &text).unwrap();
        for command in ["list", "init", "gc"] {
            let (error, _) = place.run(&[command]).failed(1);
            assert!(error.contains("dagstore.toml") && error.contains(expected), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::write(&path, good).unwrap();
    place.run(&["list"]).done();
}

#[test]
fn the_engine_works_as_the_file_or_the_command_line_says() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 3, 10);
    place.run(&["register", "--lazy", "a.car"]).done();
    std::fs::rename(&car.path, place.root().join("away")).unwrap();
    let next_try = || place.json(&["info", "a"])["next_try"].as_str().map(str::to_owned);
    place.run(&["blocks", "a"]).failed(1);
    assert_eq!(next_try(), None);
    place.run(&["recover", "a", "--max-retries", "2", "--first-pause", "1h"]).failed(1);
    assert!(next_try().is_some());
    let path = place.store().join("dagstore.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    let with = |lines: &str| std::fs::write(&path, file.replace("[engine]\n", &format!("[engine]\n{lines}"))).unwrap();
    with("max_retries = 2\nfirst_pause = \"1h\"\n");
    place.run(&["recover", "a"]).failed(1);
    assert!(next_try().is_some());
    place.run(&["recover", "a", "--max-retries", "0"]).failed(1);
    assert_eq!(next_try(), None);
    std::fs::rename(place.root().join("away"), &car.path).unwrap();
    // Nobody has to recover it where the store does so when it is read.
    place.run(&["blocks", "a"]).failed(1);
    with("recovery = \"on-acquire\"\n");
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), 3);
    let cases: [(&[&str], &str); 4] = [
        (&["--first-pause", "1s"], "first_pause and longest_pause mean nothing without max_retries"),
        (&["--max-indexing", "0"], "invalid value '0' for '--max-indexing <N>'"),
        (&["--persist-deadline", "soon"], "invalid value 'soon' for '--persist-deadline <TIME>'"),
        (&["--recovery", "soon"], "invalid value 'soon' for '--recovery <WHEN>'"),
    ];
    for (arguments, expected) in cases {
        let (error, _) = place.run(&[&["resume"], arguments].concat()).failed(2);
        assert!(error.starts_with(expected), "{error}");
    }
}

#[cfg(not(feature = "postgres"))]
#[test]
fn a_program_without_postgres_says_how_to_get_one_with_it() {
    let place = Place::new();
    let url = "postgres://me@127.0.0.1:1/none";
    let (error, advice) = place.run(&["init", "--datastore", url]).failed(1);
    assert_eq!(error, "this program was built without postgres");
    assert_eq!(advice, "cargo install --path crates/dagstore-cli --features postgres");
    let settings = format!("format = 1\ndatastore = \"{url}\"\ncodec = \"cbor\"\n");
    std::fs::create_dir_all(place.store()).unwrap();
    std::fs::write(place.store().join("dagstore.toml"), settings).unwrap();
    assert_eq!(place.run(&["list"]).failed(1).0, error);
}

#[cfg(not(feature = "rocksdb"))]
#[test]
fn a_program_without_rocksdb_says_how_to_get_one_with_it() {
    let place = Place::new();
    let (error, advice) = place.run(&["init", "--datastore", "rocksdb"]).failed(1);
    assert_eq!(error, "this program was built without rocksdb");
    assert_eq!(advice, "cargo install --path crates/dagstore-cli --features rocksdb");
    assert_eq!(place.files(""), [""; 0]);
    std::fs::create_dir(place.store()).unwrap();
    let settings = "format = 1\ndatastore = \"rocksdb\"\ncodec = \"cbor\"\n";
    std::fs::write(place.store().join("dagstore.toml"), settings).unwrap();
    let (error, advice) = place.run(&["gc"]).failed(1);
    assert!(error.contains("rocksdb") && advice.ends_with("--features rocksdb"), "{error}: {advice}");
}
