//! Blocks of all shards, and whether everything is as it was.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use dagstore::car::RawCid;
use serde_json::{Value, json};

use super::support::*;

/// Changes the data of a block in its file, but not its size nor when it was changed.
fn forge(place: &Place, car: &Car, key: &str, block: usize) {
    let listed = place.json_lines(&["blocks", key]);
    let offset = listed[block]["data_offset"].as_u64().unwrap();
    let before = std::fs::metadata(&car.path).unwrap().modified().unwrap();
    let file = OpenOptions::new().write(true).open(&car.path).unwrap();
    file.write_all_at(b"?", offset).unwrap();
    file.set_modified(before).unwrap();
}

#[test]
fn a_block_is_located_in_every_shard_that_has_it() {
    let place = Place::new();
    let car = place.car("one.car", 1, 3, 10);
    for key in ["one", "two", "odd\u{1b}[2J"] {
        place.run(&["register", "--key", key, "one.car"]).done();
    }
    place.run(&["register", "--lazy", "--key", "lazy", "one.car"]).done();
    let cid = car.blocks[1].0.to_string();
    assert_eq!(place.run(&["locate", &cid]).done().text(), "one\ntwo\nodd\\u{1b}[2J\n");
    assert_eq!(place.run(&["locate", &cid, "--limit", "1"]).done().text(), "one\n");
    assert_eq!(place.json_lines(&["locate", &cid])[1], json!({"key": "two"}));
    let absent = RawCid::of_data(0x55, b"absent").to_string();
    let (error, advice) = place.run(&["locate", &absent]).failed(3);
    assert!(error.contains(&absent) && advice.starts_with("dagstore list"), "{error}: {advice}");
    let (error, advice) = place.run(&["locate", "bafkqaaik"]).failed(3);
    assert!(error.contains("1 byte in itself"), "{error}");
    assert_eq!(advice, "dagstore get bafkqaaik");
    place.run(&["locate", "nonsense"]).failed(2);
}

#[test]
fn a_block_is_read_from_another_shard_where_one_fails() {
    let place = Place::new();
    let car = place.car("a.car", 1, 3, 10);
    std::fs::copy(&car.path, place.root().join("b.car")).unwrap();
    // One after the other: the order in which they are asked is that of their registration.
    place.run(&["register", "a.car"]).done();
    place.run(&["register", "b.car"]).done();
    let (cid, data) = (car.blocks[1].0.to_string(), &car.blocks[1].1);
    forge(&place, &car, "a", 1);
    assert_eq!(&place.run(&["get", &cid]).done().stdout, data);
    std::fs::remove_file(place.root().join("b.car")).unwrap();
    let (error, advice) = place.run(&["get", &cid]).failed(1);
    assert!(error.contains("shard a: ") && error.contains("; shard b: "), "{error}");
    assert_eq!(advice, "dagstore verify a; --no-verify takes the block as it is");
    let (error, _) = place.run(&["get", &cid, "--shard", "a"]).failed(1);
    assert!(error.contains("doesn't hash to its CID"), "{error}");
}

#[test]
fn a_shard_that_is_as_it_was_has_no_findings() {
    let place = Place::new();
    let car = place.car("good.car", 2, 40, 100);
    place.run(&["register", "good.car"]).done();
    let verified = place.run(&["verify", "good", "--rate", "1GB"]).done();
    assert!(verified.text().starts_with("verified good: 40 blocks, "), "{}", verified.text());
    assert!(verified.text().ends_with(", 0 findings\n"), "{}", verified.text());
    for command in [&["verify", "--all"][..], &["index", "verify", "good"]] {
        let told = place.json(command);
        assert_eq!((&told["key"], &told["blocks"], &told["findings"]), (&json!("good"), &json!(40), &json!(0)));
        assert_eq!(told["bytes"].as_u64().unwrap(), std::fs::metadata(&car.path).unwrap().len() - 51);
    }
    let shown = place.json(&["index", "show", "good"]);
    assert_eq!((&shown["key"], &shown["entries"], &shown["attempt"]), (&json!("good"), &json!(40), &json!(1)));
    assert_eq!(shown["car_bytes"].as_u64(), Some(std::fs::metadata(&car.path).unwrap().len()));
    let file = std::path::Path::new(shown["file"].as_str().unwrap());
    assert_eq!(shown["file_bytes"].as_u64(), Some(file.metadata().unwrap().len()));
    let text = place.run(&["index", "show", "good"]).done();
    assert!(text.text().lines().any(|line| line.split_whitespace().eq(["entries", "40"])), "{}", text.text());
    place.run(&["index", "show", "nobody"]).failed(3);
    place.run(&["verify", "nobody"]).failed(3);
    place.run(&["verify", "good", "--rate", "slow"]).failed(2);
}

#[test]
fn every_bad_block_is_found_and_told_with_the_way_out() {
    let place = Place::new();
    let [good, bad] = ["good", "bad"].map(|name| place.car(&format!("{name}.car"), 1, 5, 100));
    place.run(&["register", "good.car", "bad.car"]).done();
    forge(&place, &bad, "bad", 1);
    forge(&place, &bad, "bad", 3);
    let ran = place.run(&["verify", "--all"]);
    let lines: Vec<_> = ran.text().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    for (line, block) in lines.iter().zip([1, 3]) {
        let begin = format!("bad: the block {} at offset ", bad.blocks[block].0);
        assert!(line.starts_with(&begin) && line.contains("doesn't hash to its CID"), "{line}");
        assert!(line.contains("; try: dagstore destroy bad, and dagstore register --key bad "), "{line}");
    }
    let (error, advice) = ran.failed(1);
    assert_eq!(error, "2 findings in 1 of 2 shards");
    assert!(advice.starts_with("dagstore destroy bad"), "{advice}");
    let ran = place.run(&["--json", "verify", "bad"]);
    let told: Vec<Value> = ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&told[0]["problem"], &told[0]["cid"]), (&json!("differs"), &json!(bad.blocks[1].0.to_string())));
    assert_eq!((&told[2]["findings"], &told[2]["blocks"]), (&json!(2), &json!(5)));
    // The indices are right, and the other shard is.
    place.run(&["index", "verify", "bad"]).done();
    place.run(&["verify", "good"]).done();
    drop(good);
}

#[test]
fn what_can_not_be_verified_is_told_and_the_others_are() {
    let place = Place::new();
    let [good, gone] = ["good", "gone"].map(|name| place.car(&format!("{name}.car"), 1, 5, 100));
    place.run(&["register", "good.car", "gone.car"]).done();
    std::fs::remove_file(&gone.path).unwrap();
    let ran = place.run(&["verify", "--all"]);
    assert!(ran.text().starts_with("verified good: 5 blocks"), "{}", ran.text());
    let (error, _) = ran.failed(1);
    assert!(error.contains("gone"), "{error}");
    drop(good);
}
