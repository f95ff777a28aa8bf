//! What makes no sense is refused, with a reason, and leaves nothing.

use crate::support::Place;

#[test]
fn what_can_not_be_registered_leaves_nothing() {
    let place = Place::with_store();
    place.car("a.car", 1, 3, 10);
    std::fs::create_dir_all(place.root().join("folder/sub")).unwrap();
    place.car("folder/a.car", 1, 3, 20);
    let long = "k".repeat(10_000);
    let cases: [(&[&str], i32, &str); 17] = [
        (&["absent.car"], 1, "absent.car doesn't exist"),
        (&["folder"], 1, "folder is a directory; a regular file is wanted"),
        (&["/dev/null"], 1, "/dev/null is a device, a pipe or a socket; a regular file is wanted"),
        (&["quux://host/b.car"], 1, "the scheme \"quux\" is unknown; known are: bytes, file, "),
        (&["absent:b.car", "--key", "k"], 1, "the scheme \"absent\" is unknown; known are: bytes, file, "),
        (&["file:///srv/a b.car"], 1, "it has spaces, control characters or letters beyond ASCII"),
        (&["file://host/b.car"], 1, "a file URL has an absolute path"),
        (&["https://pieces.example/b.car"], 1, "https://pieces.example/b.car can't be read"),
        (&["https://user:secret@pieces.example/b.car"], 1, "https://***@pieces.example/b.car\" is no mount URL"),
        (&["https://pieces.example/b.car?sig=secret"], 1, "the parameter sig is a secret"),
        (&["http://127.0.0.1/b.car"], 1, "127.0.0.1 is no public address"),
        (&["a.car", "--key", ""], 2, "the shard key is empty"),
        (&["a.car", "--key", &long], 2, "the shard key has 10000 bytes, the most is 1024"),
        (&["a.car", "folder/a.car"], 2, "would both have the key a"),
        (&["--key", "k", "a.car", "folder/a.car"], 2, "--key names one shard, and there are 2 URLs"),
        (&["bytes:aGk"], 2, "has no file name that could be the shard's key"),
        (&[], 2, "the following required arguments were not provided: <URL>..."),
    ];
    for (arguments, code, expected) in cases {
        let (error, _) = place.run(&[&["register"], arguments].concat()).failed(code);
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!error.contains("secret@") && !error.contains("=secret"), "{error}");
        assert!(place.states().is_empty(), "{arguments:?}");
    }
    assert_eq!(place.files("store/index"), [""; 0]);
}

#[test]
fn one_that_fails_does_not_hold_the_others_up() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.car(&format!("{name}.car"), 1, 3, 10);
    }
    let ran = place.run(&["register", "a.car", "absent.car", "b.car"]);
    let mut lines: Vec<_> = ran.text().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["registered a: Available", "registered b: Available"]);
    let (error, _) = ran.failed(1);
    assert!(error.ends_with("absent.car doesn't exist"), "{error}");
    let ran = place.run(&["register", "a.car", "absent.car"]);
    let (told, error, advice) = ran.failed_each();
    assert_eq!((ran.text(), error, advice), ("", "2 of 2 shards failed", "dagstore info a, or another --key"));
    assert_eq!(told[0], "a: the shard a exists already");
    assert!(told[1].starts_with("absent: ") && told[1].ends_with("absent.car doesn't exist"), "{told:?}");
    let ran = place.run(&["--json", "register", "a.car", "absent.car", "b.car"]);
    let document: serde_json::Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!(document["registered"].as_array().unwrap().len(), 0);
    let keys: Vec<_> = document["failed"].as_array().unwrap().iter().map(|failed| failed["key"].clone()).collect();
    assert_eq!(keys, ["a", "absent", "b"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"], "3 of 3 shards failed; the first, a: the shard a exists already");
    assert_eq!((ran.code, &error["code"]), (Some(1), &serde_json::json!(1)));
}

#[test]
fn a_key_is_taken_once() {
    let place = Place::new();
    let car = place.car("a.car", 1, 3, 10);
    place.run(&["register", "a.car"]).done();
    let before = place.json(&["info", "a"]);
    place.car("b.car", 1, 3, 20);
    let (error, advice) = place.run(&["register", "--key", "a", "b.car"]).failed(1);
    assert_eq!((error.as_str(), advice.as_str()), ("the shard a exists already", "dagstore info a, or another --key"));
    assert_eq!(place.json(&["info", "a"]), before);
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), car.blocks.len());
}

#[test]
fn a_key_is_no_path() {
    let place = Place::new();
    place.car("a.car", 1, 3, 10);
    place.run(&["init"]).done();
    let before = place.files("");
    for key in ["../../x", "/", "-x", "a\nb\u{1b}[2J", "\u{9b}2J\u{202e}", "..", "é".repeat(512).as_str()] {
        place.run(&["register", "--key", key, "a.car"]).done();
        let shown = place.run(&["list"]).done();
        assert!(!shown.text().contains(['\u{1b}', '\u{9b}', '\u{202e}']));
        let shown = place.run(&["--json", "list"]).done();
        assert!(!shown.text().contains(['\u{1b}', '\u{9b}', '\u{202e}']));
        assert_eq!(place.json_lines(&["list"])[0]["key"], key);
        assert_eq!(place.json_lines(&["blocks", "--", key]).len(), 3, "{key:?}");
        place.run(&["destroy", "--", key]).done();
        assert_eq!(place.files(""), before, "{key:?}");
    }
}

#[test]
fn what_is_no_cid_is_told() {
    let place = Place::with_store();
    for text in ["", "x", "bafy", "Qm", "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52z!", "b\u{1b}[2J"] {
        let (error, advice) = place.run(&["get", "--", text]).failed(2);
        assert!(error.contains("is no CID: ") && !error.contains('\u{1b}'), "{error}");
        assert_eq!(advice, "dagstore blocks KEY, which shows CIDs");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let place = Place::with_store();
    for command in ["info", "blocks", "recover", "destroy"] {
        let (error, advice) = place.run(&[command, "nobody"]).failed(3);
        assert_eq!((error.as_str(), advice.as_str()), ("there is no shard nobody", "dagstore list"), "{command}");
        place.run(&[command, ""]).failed(2);
    }
}

#[test]
fn wrong_usage_is_two_lines_too() {
    let place = Place::new();
    let cases: [(&[&str], &str, &str); 5] = [
        (&["nonsense"], "unrecognized subcommand 'nonsense'", "dagstore --help"),
        (&["info"], "the following required arguments were not provided: <KEY>", "dagstore info --help"),
        (&["list", "--x\u{202e}"], "unexpected argument '--x\\u{202e}' found", "dagstore list --help"),
        (&["init", "--codec", "xml"], "invalid value 'xml' for '--codec <CODEC>'", "dagstore init --help"),
        (&["--dir", "", "list"], "a value is required for '--dir <DIR>'", "dagstore list --help"),
    ];
    for (arguments, expected, way_out) in cases {
        let (error, advice) = place.run(arguments).failed(2);
        assert!(error.starts_with(expected) && advice.starts_with(way_out), "{error}: {advice}");
    }
    let ran = place.run(&["--json", "info"]);
    let document: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, document["code"].as_i64(), ran.text()), (Some(2), Some(2), ""));
    let ran = place.run(&[]);
    assert!(ran.code == Some(2) && ran.stderr.contains("Usage: dagstore"));
    assert_eq!(place.files(""), [""; 0]);
}

#[test]
fn every_command_helps_with_an_example() {
    let place = Place::new();
    let help = place.run(&["--help"]).done();
    let (_, commands) = help.text().split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = commands
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(names.len(), 26, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(place.run(&[name, "--help"]).done().text().contains("\nExample"), "{name}");
    }
    let version = place.run(&["--version"]).done();
    assert_eq!(version.text(), format!("dagstore {}\n", env!("CARGO_PKG_VERSION")));
}
