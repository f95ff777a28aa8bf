//! Indices: exported for go-car, compared with what go-car made, and built anew.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use dagstore::car::{GoIndex, Limits};
use dagstore::fs::RegularFile;
use serde_json::{Value, json};

use super::support::*;

#[test]
fn exports_are_what_go_car_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let files = expected["index_files"].as_object().unwrap();
    let cars: BTreeSet<_> = files.values().filter_map(|index| index["car"].as_str()).collect();
    let paths: Vec<_> = cars.iter().map(|car| folder.join(car).to_str().unwrap().to_owned()).collect();
    let place = Place::new();
    place.run(&[&["register"][..], &paths.iter().map(String::as_str).collect::<Vec<_>>()].concat());
    // go-car makes an index of what is refused here, too.
    let states = place.states();
    let available: BTreeSet<_> =
        states.iter().filter(|(_, state)| state == "Available").map(|(key, _)| key.as_str()).collect();
    let mut compared = 0;
    for (name, index) in files {
        let key = Path::new(index["car"].as_str().unwrap_or_default()).file_stem().and_then(OsStr::to_str);
        let Some(key) = key.filter(|key| available.contains(key)) else { continue };
        let export = ["index", "export", key, "--with-identity", "--codec", index["codec"].as_str().unwrap()];
        let made = place.run(&export).done().stdout;
        let theirs = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(made.len(), theirs.len(), "{name}");
        if is_determined(&folder.join(name)) {
            assert!(made == theirs, "{name}");
            compared += 1;
        }
        let imported = place.json(&["index", "import", key, folder.join(name).to_str().unwrap()]);
        assert_eq!((&imported["findings"], &imported["state"]), (&json!(0), &json!("Available")), "{name}");
        assert_eq!(imported["records"], index["records"], "{name}");
    }
    assert!(compared > 30, "{compared}");
}

/// Whether each digest stands there once: records of one digest have no order in go-car's files.
fn is_determined(index: &Path) -> bool {
    let index = GoIndex::open(Arc::new(RegularFile::open(index).unwrap()), &Limits::default()).unwrap();
    let mut digests = HashSet::new();
    let mut is_new = true;
    let scanned = index.scan(|record| {
        is_new &= digests.insert((record.code, record.digest.to_vec()));
        ControlFlow::Continue(())
    });
    scanned.map(|()| is_new).unwrap()
}

#[test]
fn an_export_never_overwrites_unless_it_is_told_to() {
    let place = Place::new();
    place.car("one.car", 1, 3, 100);
    place.run(&["register", "one.car"]).done();
    let told = place.json(&["index", "export", "one", "-o", "one.idx"]);
    let size = std::fs::metadata(place.root().join("one.idx")).unwrap().len();
    let streamed = place.run(&["index", "export", "one", "-o", "-"]).done().stdout;
    assert_eq!(streamed, std::fs::read(place.root().join("one.idx")).unwrap());
    assert_eq!(told, json!({"key": "one", "file": "one.idx", "codec": "0x0401", "records": 3, "size_bytes": size}));
    std::fs::write(place.root().join("other"), "precious").unwrap();
    let (error, advice) = place.run(&["index", "export", "one", "-o", "other"]).failed(1);
    assert!(error.starts_with("cannot write other") && advice.contains("--force"), "{error}: {advice}");
    assert_eq!(std::fs::read(place.root().join("other")).unwrap(), b"precious");
    let export = ["index", "export", "one", "-o", "other", "--codec", "0x0400", "--format", "go-car"];
    let written = place.run(&[&export[..], &["--force"]].concat()).done();
    assert_eq!(written.text(), "wrote other: 3 records of one\n");
    assert_eq!(std::fs::read(place.root().join("other")).unwrap()[..2], [0x80, 0x08]);
    place.run(&["index", "export", "one", "-o", "absent/one.idx"]).failed(1);
    place.run(&["index", "export", "one", "-o", "."]).failed(1);
    place.run(&["index", "export", "one", "--force"]).failed(2);
    place.run(&["index", "export", "one", "--codec", "0x0402"]).failed(2);
    place.run(&["index", "export", "nobody", "-o", "nobody.idx"]).failed(3);
    let ran = place.run(&["--json", "index", "export", "one"]);
    assert_eq!((ran.code, ran.stdout.len()), (Some(2), 0));
    let failure: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert!(failure["error"].as_str().unwrap().contains("no JSON"), "{failure}");
    let left = place.files("").into_iter().filter(|name| name.contains(".dagstore-")).count();
    assert_eq!((left, place.root().join("nobody.idx").exists()), (0, false));
}

#[test]
fn a_terminal_is_spared_an_index() {
    let place = Place::new();
    place.car("one.car", 1, 3, 100);
    place.run(&["register", "one.car"]).done();
    let terminal = Terminal::new(80);
    let mut command = place.command(&["index", "export", "one"]);
    command.stdout(terminal.stream()).stderr(terminal.stream());
    let (code, _, seen) = terminal.run(command, "");
    assert!(code == Some(1) && seen.contains("--output FILE"), "{code:?}: {seen}");
}

#[test]
fn an_index_that_does_not_agree_is_told_and_changes_nothing() {
    let place = Place::new();
    let car = place.car("one.car", 1, 3, 100);
    place.car("odd\u{1b}[2J.car", 1, 2, 100);
    place.run(&["register", "--lazy", "one.car", "odd\u{1b}[2J.car"]).done();
    place.run(&["register", "--key", "same", "one.car"]).done();
    place.run(&["index", "export", "same", "-o", "it's \u{1b}.idx"]).done();
    let ran = place.run(&["index", "import", "odd\u{1b}[2J", "it's \u{1b}.idx"]);
    assert!(ran.text().contains("it's \\u{1b}.idx: the index record at "), "{}", ran.text());
    let (error, advice) = ran.failed(1);
    assert!(error.contains("nothing was changed") && !error.contains('\u{1b}'), "{error}");
    assert!(advice.starts_with("dagstore index export "), "{advice}");
    assert_eq!(place.json(&["info", "odd\u{1b}[2J"])["state"], "New");
    // A record less.
    let whole = std::fs::read(place.root().join("it's \u{1b}.idx")).unwrap();
    let mut less = whole.clone();
    less.truncate(whole.len() - 40);
    let length = less.len() - 80 - 8..less.len() - 80;
    less[length].copy_from_slice(&80_u64.to_le_bytes());
    std::fs::write(place.root().join("less"), &less).unwrap();
    let ran = place.run(&["--json", "index", "import", "one", "less"]);
    let told: Vec<Value> = ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((ran.code, told.len()), (Some(1), 2), "{told:?}");
    assert_eq!((&told[0]["problem"], &told[0]["file"]), (&json!("index-missing"), &json!("less")));
    assert!(car.blocks.iter().any(|(cid, _)| told[0]["cid"] == cid.to_string()));
    assert_eq!((&told[1]["findings"], &told[1]["state"]), (&json!(1), &json!("New")));
    let ran = place.run(&["index", "import", "one", "less", "--limit", "0"]);
    assert_eq!(ran.text(), "less: 1 finding more\n");
    ran.failed(1);
    std::fs::write(place.root().join("cut"), &whole[..whole.len() - 1]).unwrap();
    for file in ["cut", "one.car"] {
        let (error, advice) = place.run(&["index", "import", "one", file]).failed(1);
        assert!(error.starts_with(&format!("{file} is no index of go-car's: ")), "{error}");
        assert!(advice.starts_with("dagstore index export one --output"), "{advice}");
    }
    for file in ["absent", "."] {
        let (error, _) = place.run(&["index", "import", "one", file]).failed(1);
        assert!(error.starts_with(&format!("cannot read {file}: ")), "{error}");
    }
    place.run(&["index", "import", "nobody", "less"]).failed(3);
    assert_eq!(place.json(&["info", "one"])["state"], "New");
    let agreed = place.run(&["index", "import", "one", "it's \u{1b}.idx"]).done();
    assert_eq!(agreed.text(), "it's \\u{1b}.idx agrees with one: 3 records, 3 sections; one is Available\n");
    assert_eq!(place.json(&["info", "one"])["state"], "Available");
}

#[test]
fn a_car_that_is_cut_is_not_compared() {
    let place = Place::new();
    let car = place.car("one.car", 1, 3, 100);
    place.run(&["register", "one.car"]).done();
    place.run(&["index", "export", "one", "-o", "one.idx"]).done();
    std::fs::File::options().write(true).open(&car.path).unwrap().set_len(200).unwrap();
    let (error, advice) = place.run(&["index", "import", "one", "one.idx"]).failed(1);
    assert!(error.starts_with("the CAR of one can't be compared: the CAR ends at offset "), "{error}");
    assert_eq!(advice, "an intact copy of the CAR");
}

#[test]
fn verify_names_the_command_that_mends_an_index() {
    let place = Place::new();
    let car = place.car("one.car", 1, 40, 100);
    place.run(&["register", "one.car"]).done();
    let shown = place.json(&["index", "show", "one"]);
    let file = Path::new(shown["file"].as_str().unwrap());
    let mut bytes = std::fs::read(file).unwrap();
    // In the midst of the records.
    let at = 1024 + 200;
    bytes[at] ^= 1;
    std::fs::write(file, &bytes).unwrap();
    let ran = place.run(&["verify", "one"]);
    let (_, advice) = ran.failed(1);
    assert_eq!(advice, "dagstore index rebuild one");
    let rebuilt = place.run(&["index", "rebuild", "one"]).done();
    assert_eq!(rebuilt.text(), "rebuilt the index of one: 40 records\n");
    place.run(&["verify", "one"]).done();
    let before = place.json(&["info", "one"])["attempt"].as_u64();
    let rebuilt = place.json(&["index", "rebuild", "one"]);
    assert_eq!((&rebuilt["key"], &rebuilt["entries"]), (&json!("one"), &json!(40)));
    assert!(rebuilt["attempt"].as_u64() > before, "{rebuilt}");
    assert_eq!(place.files("store/index").len(), 1);
    let (_, advice) = place.run(&["recover", "one"]).failed(1);
    assert!(advice.contains("dagstore index rebuild one"), "{advice}");
    place.run(&["index", "rebuild", "nobody"]).failed(3);
    std::fs::remove_file(&car.path).unwrap();
    place.run(&["index", "rebuild", "one"]).failed(1);
    assert_eq!(place.json(&["info", "one"])["state"], "Available");
}
