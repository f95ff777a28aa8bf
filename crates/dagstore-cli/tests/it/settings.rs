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
    let commands: [&[&str]; 8] = [
        &["list"],
        &["info", "k"],
        &["blocks", "k"],
        &["get", cid],
        &["recover", "k"],
        &["destroy", "k"],
        &["gc"],
        &["resume"],
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
    let cases = [
        (
            "format = 2\nshiny = true\n".to_owned(),
            "it has format 2, and this program knows up to 1; use a newer program",
        ),
        (format!("{good}sync = false\nspeed = 9\n"), "it has keys that nobody knows: speed, sync"),
        (good.replace("redb", "sled"), "unknown variant `sled`"),
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
