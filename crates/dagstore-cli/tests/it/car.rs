//! CAR files without a store: what is in them, and whether it is as it should be.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Stdio;

use dagstore::car::RawCid;
use serde_json::{Value, json};

use super::support::*;

fn lines(ran: &Ran) -> Vec<Value> {
    ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Changes a byte of the file, counted from its end.
fn flip(car: &Car, from_end: usize) {
    let mut bytes = std::fs::read(&car.path).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] ^= 1;
    std::fs::write(&car.path, bytes).unwrap();
}

#[test]
fn a_car_is_inspected_without_a_store() {
    let place = Place::new();
    let sha = RawCid::of_data(0x70, b"protobuf");
    let identity = RawCid::from_bytes(&[1, 0x55, 0, 1, b'x']).unwrap();
    let raw = RawCid::of_data(0x55, b"raw data");
    let blocks = vec![
        (raw.clone(), b"raw data".to_vec()),
        (sha, b"protobuf".to_vec()),
        (identity, b"x".to_vec()),
        (raw.clone(), b"raw data".to_vec()),
    ];
    let car = place.car_of("two.car", 2, blocks);
    let size = std::fs::metadata(&car.path).unwrap().len();
    let told = place.json(&["car", "inspect", "two.car"]);
    let expected = json!({
        "file": "two.car", "file_bytes": size, "version": 2, "fully_indexed": false,
        "roots": [{"cid": raw.to_string(), "is_present": true}],
        "header": {"offset": 51, "bytes": 59}, "payload": {"offset": 51, "bytes": size - 51},
        "index": null, "sections": 4, "distinct_cids": 3, "data_bytes": 25,
        "cid_versions": {"1": 4}, "codecs": {"dag-pb": 1, "raw": 3}, "hash_functions": {"identity": 1, "sha2-256": 3},
        "largest_section": {"offset": 59, "bytes": 45},
        "ends": {"offset": size - 51, "why": "payload", "bytes_behind": 0}, "trailing_bytes": 0,
        "findings": [], "findings_left_out": 0,
    });
    assert_eq!(told, expected);
    let text = place.run(&["car", "inspect", "two.car"]).done();
    for words in [["sections", "4"], ["distinct CIDs", "3"], ["hash functions", "identity 1, sha2-256 3"]] {
        let has = text.text().lines().any(|line| line.starts_with(words[0]) && line.ends_with(words[1]));
        assert!(has, "{words:?}: {}", text.text());
    }
    assert!(!place.store().exists(), "a store was made");
    let zeros = [&std::fs::read(&car.path).unwrap()[51..], &[0; 100]].concat();
    std::fs::write(place.root().join("zeros.car"), zeros).unwrap();
    let told = place.json(&["car", "inspect", "zeros.car"]);
    assert_eq!(told["ends"], json!({"offset": size - 51, "why": "zero-length", "bytes_behind": 100}));
}

#[test]
fn no_store_and_no_lock_are_needed() {
    let place = Place::new();
    let big = place.car("big.car", 1, 1000, 32 * 1024);
    place.car("one.car", 1, 3, 100);
    place.run(&["init"]).done();
    let running = place.start_indexing("big", &big);
    place.run(&["list"]).failed(1);
    place.run(&["car", "inspect", "one.car"]).done();
    place.run(&["car", "verify", "one.car"]).done();
    running.kill();
}

#[test]
fn a_damaged_car_is_inspected_as_far_as_it_goes() {
    let place = Place::new();
    let car = place.car("cut.car", 1, 3, 100);
    let whole = std::fs::read(&car.path).unwrap();
    std::fs::write(&car.path, &whole[..whole.len() - 1]).unwrap();
    let last = whole.len() as u64 - 138;
    let ran = place.run(&["--json", "car", "inspect", "cut.car"]);
    let told = &lines(&ran)[0];
    assert_eq!((ran.code, &told["sections"], &told["ends"]["offset"]), (Some(1), &json!(2), &json!(last)));
    assert_eq!((&told["ends"]["why"], &told["ends"]["bytes_behind"]), (&json!("damage"), &json!(137)));
    assert_eq!((&told["findings"][0]["problem"], &told["findings"][0]["offset"]), (&json!("truncated"), &json!(last)));
    let ran = place.run(&["car", "inspect", "cut.car"]);
    assert!(ran.text().contains("damaged; 137 bytes from there on"), "{}", ran.text());
    let (error, advice) = ran.failed(1);
    assert_eq!((error.as_str(), advice.as_str()), ("1 finding in cut.car", "an intact copy of cut.car"));
    // A CARv2 of which the end is missing.
    let two = place.car("two.car", 2, 3, 100);
    std::fs::write(&two.path, &std::fs::read(&two.path).unwrap()[..51 + 59 + 138]).unwrap();
    let told = &lines(&place.run(&["--json", "car", "inspect", "two.car"]))[0];
    assert_eq!((&told["sections"], &told["findings"][0]["problem"]), (&json!(1), &json!("malformed-v2-header")));
    std::fs::write(place.root().join("no.car"), "this is no CAR").unwrap();
    let (error, _) = place.run(&["car", "inspect", "no.car"]).failed(1);
    assert!(error.starts_with("no.car can't be read as a CAR: "), "{error}");
    for file in ["absent.car", "."] {
        let (error, advice) = place.run(&["car", "inspect", file]).failed(1);
        assert!(error.starts_with(&format!("cannot read {file}: ")), "{error}");
        assert_eq!(advice, "the path of a CAR file");
    }
    place.run(&["car", "inspect"]).failed(2);
    place.run(&["car", "inspect", "a", "b"]).failed(2);
}

#[test]
fn every_file_is_verified_whatever_the_one_before_was() {
    let place = Place::new();
    let [good, bad, cut] = ["good", "bad", "cut"].map(|name| place.car(&format!("{name}.car"), 1, 300, 10_000));
    flip(&bad, 5_000);
    flip(&bad, 5_000 + 10_000);
    std::fs::write(&cut.path, &std::fs::read(&cut.path).unwrap()[..100_000]).unwrap();
    std::fs::write(place.root().join("no.car"), "this is no CAR").unwrap();
    let files = ["bad.car", "absent.car", "cut.car", "no.car", "good.car"];
    let ran = place.run(&[&["car", "verify"][..], &files].concat());
    let text = ran.text().to_owned();
    let begins = ["bad.car: the data of block", "bad.car: the data of block", "verified bad.car: 300 blocks, "];
    let more = [
        "cut.car: the CAR ends at",
        "verified cut.car: 9 blocks, ",
        "no.car: ",
        "verified no.car: 0 blocks",
        "verified good.car: 300 ",
    ];
    for (line, begin) in text.lines().zip(begins.iter().chain(&more)) {
        assert!(line.starts_with(begin), "{line}: {begin}");
    }
    assert_eq!((ran.code, text.lines().count()), (Some(1), 8), "{text}");
    let said: Vec<_> = ran.stderr.lines().collect();
    assert!(said[0].starts_with("failed: cannot read absent.car: "), "{said:?}");
    assert_eq!(said[1], "error: 4 findings in 3 of 5 files; 1 file could not be read");
    assert_eq!(said[2], "try: an intact copy of bad.car");
    let ran = place.run(&[&["--json", "car", "verify"][..], &files].concat());
    let told = lines(&ran);
    let problems: Vec<_> = told.iter().filter_map(|line| line["problem"].as_str()).collect();
    assert_eq!(problems, ["differs", "differs", "truncated", "truncated"]);
    assert!(bad.blocks.iter().any(|(cid, _)| told[0]["cid"] == cid.to_string()));
    assert!(told[0]["offset"].as_u64() < told[1]["offset"].as_u64());
    let sums: Vec<_> = told.iter().filter(|line| line["findings"].is_u64()).collect();
    let found: Vec<_> = sums.iter().map(|sum| (&sum["blocks"], &sum["verified"], &sum["findings"])).collect();
    let [n300, n298, n9, n0, n1, n2] = [300, 298, 9, 0, 1, 2].map(Value::from);
    assert_eq!(found, [(&n300, &n298, &n2), (&n9, &n9, &n1), (&n0, &n0, &n1), (&n300, &n300, &n0)]);
    assert!(told.iter().any(|line| line["file"] == "absent.car" && line["error"].is_string()));
    let limited = place.run(&["car", "verify", "bad.car", "--limit", "1"]);
    assert!(limited.text().contains("bad.car: 1 finding more\n"), "{}", limited.text());
    assert_eq!(limited.failed(1).0, "2 findings in 1 of 1 file");
    assert_eq!(place.run(&["car", "verify", "no.car", "--limit", "0"]).failed(1).0, "1 finding in 1 of 1 file");
    place.run(&["car", "verify", "absent.car"]).failed(1);
    assert_eq!(place.run(&["car", "verify", "absent.car", "also.car"]).stderr.lines().count(), 4);
    place.run(&["car", "verify"]).failed(2);
    drop(good);
}

#[test]
fn what_can_not_be_checked_and_an_index_that_lies_are_findings() {
    let place = Place::new();
    let unknown = RawCid::from_bytes(&[&[1, 0x55, 0x7f, 32][..], &[7; 32]].concat()).unwrap();
    place.car_of("unknown.car", 1, vec![(unknown.clone(), b"data".to_vec())]);
    let told = lines(&place.run(&["--json", "car", "verify", "unknown.car"]));
    assert_eq!((&told[0]["problem"], &told[0]["cid"]), (&json!("unverifiable"), &json!(unknown.to_string())));
    let lies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/car/made/v2-inline-index-lies.car");
    for command in ["verify", "inspect"] {
        let ran = place.run(&["--json", "car", command, lies.to_str().unwrap()]);
        let told = lines(&ran);
        let findings = if command == "verify" { &told[..4] } else { told[0]["findings"].as_array().unwrap() };
        let mut problems = BTreeMap::new();
        for finding in findings {
            *problems.entry(finding["problem"].as_str().unwrap()).or_insert(0) += 1;
        }
        assert_eq!(problems, BTreeMap::from([("index-missing", 2), ("index-other-block", 2)]), "{command}");
        ran_failed(&ran);
    }
}

#[track_caller]
fn ran_failed(ran: &Ran) {
    let failure: Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &failure["code"]), (Some(1), &json!(1)));
}

#[test]
fn names_of_files_can_not_drive_a_terminal() {
    let place = Place::new();
    let car = place.car("one.car", 1, 3, 100);
    flip(&car, 1);
    for name in [&b"odd\x1b[2J\n.car"[..], b"\xff\xfe.car", b"--help"] {
        let name = OsStr::from_bytes(name);
        std::fs::copy(&car.path, place.root().join(name)).unwrap();
        for command in ["verify", "inspect"] {
            let mut program = place.command(&["car", command, "--"]);
            let ran = run(program.arg(name));
            let seen = format!("{}{}", ran.text(), ran.stderr);
            assert!(!seen.contains('\u{1b}') && ran.code == Some(i32::from(command == "verify")), "{seen}");
        }
    }
    let mut program = place.command(&["car", "verify"]);
    let ran = run(program.arg(OsStr::from_bytes(b"\xff\xfe.car")));
    assert!(ran.text().contains("verified \\xff\\xfe.car: "), "{}", ran.text());
}

#[test]
fn progress_is_shown_where_somebody_looks() {
    let place = Place::new();
    place.car("one.car", 1, 2000, 10_000);
    let terminal = Terminal::new(120);
    let mut command = place.command(&["car", "verify", "one.car"]);
    command.stdout(Stdio::piped()).stderr(terminal.stream());
    let (code, text, seen) = terminal.run(command, "");
    assert_eq!(code, Some(0), "{seen}");
    assert!(text.starts_with("verified one.car: 2,000 blocks"), "{text}");
    assert!(seen.contains("one.car: ") && seen.contains("/s"), "{seen:?}");
}
