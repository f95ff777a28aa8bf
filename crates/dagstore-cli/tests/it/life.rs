//! A whole life of shards, from `init` to `destroy`.

use dagstore::car::RawCid;
use serde_json::json;

use crate::support::{Car, Place};

#[test]
fn a_life_with_json_records() {
    live("redb", "json");
}

#[test]
fn a_life_with_cbor_records() {
    live("redb", "cbor");
}

#[cfg(feature = "rocksdb")]
#[test]
fn a_life_on_rocksdb_with_json_records() {
    live("rocksdb", "json");
}

#[cfg(feature = "rocksdb")]
#[test]
fn a_life_on_rocksdb_with_cbor_records() {
    live("rocksdb", "cbor");
}

fn live(datastore: &str, codec: &str) {
    let place = Place::new();
    let made = place.json(&["init", "--datastore", datastore, "--codec", codec]);
    let directory = place.store().display().to_string();
    assert_eq!(made, json!({"directory": directory, "datastore": datastore, "codec": codec, "created": true}));
    for version in [1, 2] {
        let key = format!("v{version}");
        let car = place.car(&format!("{key}.car"), version, 25, 100);
        let ran = place.run(&["register", car.path()]).done();
        assert_eq!(ran.text(), format!("registered {key}: Available\n"));
        is_listed(&place, &key, &car);
        has_blocks(&place, &key, &car);
    }
    assert_eq!(place.states().len(), 2);
    for key in ["v1", "v2"] {
        assert_eq!(place.json(&["destroy", key]), json!({"key": key, "destroyed": true}));
        let (error, advice) = place.run(&["blocks", key]).failed(3);
        assert_eq!((error, advice.as_str()), (format!("there is no shard {key}"), "dagstore list"));
    }
    assert_eq!(place.run(&["list"]).done().text(), "no shards\n");
    assert_eq!(place.files("store/index"), [""; 0]);
}

fn is_listed(place: &Place, key: &str, car: &Car) {
    let url = format!("file://{}", car.path());
    let shard = place.json(&["info", key]);
    let expected = ("Available", url.as_str(), false, 0, 1, 0);
    let field = |name: &str| shard[name].as_str().unwrap();
    let number = |name: &str| shard[name].as_u64().unwrap();
    let found = (field("state"), field("url"), shard["lazy"].as_bool().unwrap());
    assert_eq!((found.0, found.1, found.2, number("references"), number("attempt"), number("starts")), expected);
    assert!(shard["error"].is_null());
    assert!(place.json_lines(&["list", "--state", "available"]).contains(&shard));
    assert!(place.json_lines(&["list", "--state", "errored"]).is_empty());
    let info = place.run(&["info", key]).done();
    assert!(info.text().lines().any(|line| line.split_whitespace().eq(["state", "Available"])), "{}", info.text());
    assert!(place.run(&["list"]).done().text().contains(&url));
}

fn has_blocks(place: &Place, key: &str, car: &Car) {
    let listed = place.json_lines(&["blocks", key]);
    let file = std::fs::read(car.path()).unwrap();
    assert_eq!(listed.len(), car.blocks.len());
    for (at, (block, (cid, data))) in listed.iter().zip(&car.blocks).enumerate() {
        let expected = (json!(cid.to_string()), json!(data.len()), json!(at == 0));
        assert_eq!((&block["cid"], &block["size_bytes"], &block["is_root"]), (&expected.0, &expected.1, &expected.2));
        let begin = usize::try_from(block["data_offset"].as_u64().unwrap()).unwrap();
        assert_eq!(&file[begin..begin + data.len()], data);
        assert!(block["offset"].as_u64().unwrap() < block["data_offset"].as_u64().unwrap());
    }
    let text = place.run(&["blocks", key]).done();
    assert_eq!(text.text().lines().count(), car.blocks.len());
    let long = place.run(&["blocks", key, "--long"]).done();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (last, line) = (listed.last().unwrap(), words(long.text().lines().last().unwrap()));
    assert_eq!(line[1..], ["size_bytes", "offset", "data_offset"].map(|field| last[field].to_string()));
    for (cid, data) in car.blocks.iter().take(3) {
        let ran = place.run(&["get", &cid.to_string(), "--shard", key]).done();
        assert_eq!(&ran.stdout, data);
        assert_eq!(&RawCid::of_data(0x55, &ran.stdout), cid);
    }
    let (cid, data) = car.blocks.last().unwrap();
    let file = place.root().join("block");
    let got = place.json(&["get", &cid.to_string(), "-o", "block"]);
    assert_eq!(got, json!({"cid": cid.to_string(), "shard": key, "size_bytes": data.len(), "file": "block"}));
    assert_eq!(&std::fs::read(file).unwrap(), data);
}

#[test]
fn a_lazy_shard_waits_for_its_first_reader() {
    let place = Place::new();
    let car = place.car("lazy.car", 1, 5, 10);
    assert_eq!(place.run(&["register", "--lazy", "lazy.car"]).done().text(), "registered lazy: New\n");
    assert_eq!(place.states(), [("lazy".to_owned(), "New".to_owned())]);
    assert_eq!(place.run(&["resume"]).done().text(), "nothing was left unfinished\n");
    assert_eq!(place.states(), [("lazy".to_owned(), "New".to_owned())]);
    assert_eq!(place.json_lines(&["blocks", "lazy"]).len(), car.blocks.len());
    assert_eq!(place.states(), [("lazy".to_owned(), "Available".to_owned())]);
}

#[test]
fn a_shard_recovers_when_its_file_is_mended() {
    let place = Place::new();
    let car = place.car("a.car", 1, 50, 100);
    let whole = std::fs::read(&car.path).unwrap();
    std::fs::write(&car.path, &whole[..whole.len() - 1]).unwrap();
    let (error, advice) = place.run(&["register", "a.car"]).failed(1);
    assert!(error.starts_with("the shard a failed: the CAR ends at offset "), "{error}");
    assert_eq!(advice, "dagstore destroy a, and register an intact file");
    let shard = place.json(&["info", "a"]);
    assert_eq!((&shard["state"], &shard["error"]["kind"]), (&json!("Errored"), &json!("truncated-car")));
    place.run(&["recover", "a"]).failed(1);
    std::fs::write(&car.path, &whole).unwrap();
    assert_eq!(place.json(&["recover", "a"])["recovered"][0]["state"], "Available");
    let (error, _) = place.run(&["recover", "a"]).failed(1);
    assert_eq!(error, "the shard a hasn't failed: there is nothing to recover");
    assert_eq!(place.files("store/index").len(), 1);
}

#[test]
fn a_file_that_changed_is_told_and_indexed_anew() {
    let place = Place::new();
    let car = place.car("a.car", 1, 5, 10);
    place.run(&["register", "a.car"]).done();
    place.car("a.car", 1, 7, 10);
    let (error, advice) = place.run(&["blocks", "a"]).failed(1);
    assert!(error.contains("isn't what was indexed"), "{error}");
    assert!(advice.starts_with("dagstore recover a"), "{advice}");
    place.run(&["recover", "a"]).done();
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), 7);
    assert_eq!(&place.run(&["get", &car.blocks[0].0.to_string()]).done().stdout, &car.blocks[0].1);
}

#[test]
fn a_shard_that_failed_is_not_taken_for_one_without_the_block() {
    let place = Place::new();
    let car = place.car("a.car", 1, 5, 10);
    place.run(&["register", "a.car"]).done();
    place.car("a.car", 2, 7, 20);
    let cid = car.blocks[0].0.to_string();
    // The first time it fails, and then it has failed.
    for _ in 0..2 {
        let (error, advice) = place.run(&["get", &cid]).failed(1);
        assert!(error.starts_with("the shard a failed: the source"), "{error}");
        assert_eq!(advice, "dagstore recover a, when the cause is mended");
    }
    let (error, advice) = place.run(&["locate", &cid]).failed(1);
    assert_eq!(error, format!("the shard a had the block {cid} when it was indexed, and isn't available now"));
    assert_eq!(advice, "dagstore info a");
    let absent = RawCid::of_data(0x55, b"absent").to_string();
    for command in ["get", "locate"] {
        place.run(&[command, &absent]).failed(3);
    }
    place.run(&["recover", "a", "--verify"]).done();
    place.run(&["locate", &cid]).failed(3);
}

#[test]
fn what_recover_is_to_verify_it_hashes() {
    let place = Place::new();
    let car = place.car("a.car", 1, 5, 10);
    let mut bytes = std::fs::read(&car.path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&car.path, bytes).unwrap();
    place.run(&["register", "--verify", "a.car"]).failed(1);
    place.run(&["recover", "--verify", "a"]).failed(1);
    place.run(&["recover", "a"]).done();
    let (error, advice) = place.run(&["get", &car.blocks[4].0.to_string()]).failed(1);
    assert!(error.contains("shard a: ") && error.contains("doesn't hash to its CID"), "{error}");
    assert_eq!(advice, "dagstore verify a; --no-verify takes the block as it is");
    assert_eq!(place.run(&["get", &car.blocks[0].0.to_string()]).done().stdout, car.blocks[0].1);
}

#[test]
fn blocks_are_found_wherever_they_are() {
    let place = Place::new();
    let [one, other] = ["one", "other"].map(|name| place.car(&format!("{name}.car"), 1, 5, 10));
    std::fs::write(place.root().join("bad.car"), "no CAR at all").unwrap();
    let registered = place.run(&["register", "one.car", "bad.car"]);
    assert!(registered.text().contains("registered one: Available\n"), "{}", registered.text());
    registered.failed(1);
    place.run(&["register", "--lazy", "other.car"]).done();
    let cid = other.blocks[3].0.to_string();
    assert_eq!(place.run(&["get", &cid]).done().stdout, other.blocks[3].1);
    let (error, advice) = place.run(&["get", &cid, "--shard", "one"]).failed(3);
    assert_eq!((error, advice), (format!("the shard one has no block {cid}"), "dagstore blocks one".to_owned()));
    let absent = RawCid::of_data(0x55, b"absent").to_string();
    let (error, _) = place.run(&["get", &absent]).failed(3);
    let expected = "in 2 shards; 1 shard failed and can't be looked into";
    assert_eq!(error, format!("no block has the CID {absent} {expected}"));
    place.run(&["get", &absent, "--shard", "nobody"]).failed(3);
    assert_eq!(place.run(&["get", &one.blocks[0].0.to_string(), "-o", "-"]).done().stdout, one.blocks[0].1);
    // An identity CID has its data in itself.
    assert_eq!(place.run(&["get", "bafkqaaik"]).done().stdout, b"\n");
}

#[test]
fn indexed_shards_are_looked_into_first() {
    let place = Place::new();
    place.car("a.car", 1, 5, 10);
    let car = place.car("z.car", 1, 5, 10);
    place.run(&["register", "--lazy", "a.car"]).done();
    place.run(&["register", "z.car"]).done();
    assert_eq!(place.run(&["get", &car.blocks[2].0.to_string()]).done().stdout, car.blocks[2].1);
    assert_eq!(place.json(&["info", "a"])["state"], "New");
}

#[test]
fn what_was_not_verified_when_it_was_indexed_is_when_it_is_read() {
    let place = Place::new();
    let mut blocks = place.car("good.car", 1, 3, 10).blocks;
    blocks[1].1 = b"forged".to_vec();
    let car = place.car_of("forged.car", 1, blocks);
    let cid = car.blocks[1].0.to_string();
    let (error, _) = place.run(&["register", "--verify", "--key", "checked", "forged.car"]).failed(1);
    assert!(error.contains("doesn't hash to its CID"), "{error}");
    place.run(&["register", "forged.car"]).done();
    let (error, advice) = place.run(&["get", &cid]).failed(1);
    assert!(error.contains("doesn't hash to its CID") && advice.contains("--no-verify"), "{error}: {advice}");
    assert_eq!(place.run(&["get", "--no-verify", &cid]).done().stdout, b"forged");
}
