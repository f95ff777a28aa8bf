//! What is printed where, and what happens when nobody reads it.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use crate::support::{Place, run};

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    let place = Place::new();
    // Far more lines than a pipe holds.
    place.car("a.car", 1, 4000, 20);
    place.run(&["register", "a.car"]).done();
    for arguments in [&["blocks", "a"][..], &["--json", "blocks", "a"]] {
        let mut running = place.start(arguments);
        assert!(!running.line().is_empty());
        running.close_stdout();
        assert_eq!(running.end(), (Some(0), String::new()), "{arguments:?}");
    }
    place.run(&["list"]).done();
}

#[test]
fn what_nobody_reads_is_done_all_the_same() {
    let place = Place::new();
    // More than are registered at once.
    let names: Vec<_> = (0..40).map(|number| format!("{number}.car")).collect();
    let cars = names.iter().map(|name| place.car(name, 1, 3, 10)).collect::<Vec<_>>();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = run(place.command(&["register"]).args(&names).stdout(writer));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(place.states().len(), cars.len());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = place.command(&["info", "nobody"]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_can_not_be_written_is_a_failure() {
    let place = Place::new();
    place.car("a.car", 1, 3, 10);
    place.run(&["register", "a.car"]).done();
    for arguments in
        [&["list"][..], &["--json", "list"], &["blocks", "a"], &["info", "a"], &["gc"], &["completions", "fish"]]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output =
            place.command(arguments).stdout(full).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output: "), "{arguments:?}: {said}");
    }
}

#[test]
fn with_json_there_is_nothing_else() {
    let place = Place::new();
    let car = place.car("a.car", 1, 3, 10);
    std::fs::write(place.root().join("bad.car"), "no CAR").unwrap();
    place.json(&["init"]);
    place.json(&["register", "a.car"]);
    let ran = place.run(&["--json", "register", "bad.car"]);
    let document: serde_json::Value = serde_json::from_str(ran.text()).unwrap();
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(document["failed"][0]["error"], error["error"]);
    assert_eq!((ran.code, &error["try"]), (Some(1), &"dagstore destroy bad, and register an intact file".into()));
    let fields = [
        "key",
        "state",
        "url",
        "lazy",
        "error",
        "references",
        "registration",
        "attempt",
        "starts",
        "retries",
        "next_try",
        "changed",
        "copy",
    ];
    for shard in place.json_lines(&["list"]) {
        let mut found: Vec<_> = shard.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = fields.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        let changed = shard["changed"].as_str().unwrap();
        assert!(changed.len() == "2000-01-01T00:00:00.000Z".len() && changed.ends_with('Z'), "{changed}");
    }
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), 3);
    let gc = serde_json::json!({"indices_removed": 0, "rows_removed": 0, "temporaries_removed": 0, "destroyed": 0, "copies_removed": 0, "copy_bytes": 0, "dry_run": false, "kept": []});
    assert_eq!(place.json(&["gc"]), gc);
    let resumed = serde_json::json!({"interrupted": 0, "available": 0, "failed": 0, "destroyed": 0, "unsettled": 0});
    assert_eq!(place.json(&["resume"]), resumed);
    let ran = place.run(&["--json", "get", &car.blocks[0].0.to_string()]);
    assert_eq!((ran.code, ran.text()), (Some(2), ""));
    assert!(place.json_lines(&["list", "--state", "destroying"]).is_empty());
}

#[test]
fn verbose_tells_on_standard_error_only() {
    let place = Place::new();
    place.car("a.car", 1, 3, 10);
    let ran = place.run(&["-v", "--json", "register", "a.car"]);
    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("dagstore_engine") && !ran.stderr.contains('\u{1b}'), "{}", ran.stderr);
    serde_json::from_str::<serde_json::Value>(ran.text()).unwrap();
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let place = Place::new();
    let car = place.car("a.car", 1, 3, 10);
    place.run(&["register", "a.car"]).done();
    let (cid, data) = &car.blocks[1];
    File::create(place.root().join("block")).unwrap().write_all(b"old").unwrap();
    let ran = place.run(&["get", &cid.to_string(), "-o", "block"]).done();
    assert_eq!(ran.text(), format!("wrote block: {} bytes out of the shard a\n", data.len()));
    assert_eq!(&std::fs::read(place.root().join("block")).unwrap(), data);
    let ran = place.run(&["get", &cid.to_string(), "-o", "\u{1b}[2J"]).done();
    assert!(ran.text().starts_with("wrote \\u{1b}[2J: "), "{}", ran.text());
    let (error, _) = place.run(&["get", &cid.to_string(), "-o", "absent/block"]).failed(1);
    assert!(error.starts_with("cannot write absent/block: "), "{error}");
    let (error, _) = place.run(&["get", &cid.to_string(), "-o", "store"]).failed(1);
    assert!(error.starts_with("cannot write store: "), "{error}");
    assert!(place.files("").iter().all(|name| !name.contains(".dagstore-")), "{:?}", place.files(""));
}

#[test]
fn every_shell_gets_its_completions() {
    let place = Place::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = place.run(&["completions", shell]).done();
        assert!(ran.text().contains("register") && !ran.text().contains("demo-child"), "{shell}");
        for word in
            ["init-all", "quarantine", "max-retries", "concurrency", "trace", "on-acquire", "transients", "keep-free"]
        {
            assert!(ran.text().contains(word), "{shell}: {word}");
        }
    }
}
