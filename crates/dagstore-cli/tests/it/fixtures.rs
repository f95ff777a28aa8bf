//! CAR files that others wrote: the valid ones give the blocks that go-car gives, the malformed ones are refused.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, skipped};

/// The number of blocks of the CAR that everybody has.
const SAMPLE: (&str, usize) = ("car/sample-v1.car", 1049);

/// What is to become of a CAR.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// It has so many blocks.
    Blocks(u64),
    Refused,
    /// The format leaves it open.
    Either,
}

#[test]
fn files_made_for_this_project() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let (accepted, refused) = register_all(&folder, "json");
    assert!(accepted > 20 && refused > 20, "{accepted} and {refused}");
}

#[test]
fn files_of_others() {
    let folder = std::env::var_os("DAGSTORE_FIXTURES").map(PathBuf::from).filter(|folder| folder.is_dir());
    let Some(folder) = folder else {
        return skipped("fixtures", "DAGSTORE_FIXTURES is not set");
    };
    let (accepted, refused) = register_all(&folder, "cbor");
    assert!(accepted > 30 && refused > 40, "{accepted} and {refused}");
    let place = Place::new();
    let (name, entries) = SAMPLE;
    place.run(&["register", folder.join(name).to_str().unwrap()]).done();
    assert_eq!(place.json_lines(&["blocks", "sample-v1"]).len(), entries);
}

/// Registers every CAR of the folder in one store, and destroys what failed. Returns how many of each there were.
fn register_all(folder: &Path, codec: &str) -> (usize, usize) {
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let place = Place::new();
    place.run(&["init", "--codec", codec]).done();
    let (mut accepted, mut refused) = (0, 0);
    for (name, car) in expected["cars"].as_object().unwrap() {
        if !name.starts_with("car/") {
            continue;
        }
        let path = folder.join(name);
        let ran = place.run(&["register", "--verify", "--key", name, path.to_str().unwrap()]);
        let wanted = wanted(name, car);
        let is_accepted = ran.code == Some(0);
        match wanted {
            Wanted::Blocks(_) => assert!(is_accepted, "{name}: {}", ran.stderr),
            Wanted::Refused => assert!(!is_accepted, "{name}"),
            Wanted::Either => {}
        }
        if is_accepted {
            accepted += 1;
            has_blocks(&place, name, &wanted);
        } else {
            refused += 1;
            ran.failed(1);
            is_errored(&place, name);
        }
    }
    assert_eq!(place.states().len(), accepted);
    assert_eq!(place.files("store/index").len(), accepted);
    (accepted, refused)
}

fn wanted(name: &str, car: &Value) -> Wanted {
    let file = name.rsplit('/').next().unwrap();
    if file.starts_with("odd-") {
        return Wanted::Either;
    }
    if file.starts_with("bad") || !car["valid"].as_bool().unwrap() {
        return Wanted::Refused;
    }
    let blocks = car["go"]["blocks_zero_is_end"]["blocks"].as_u64().unwrap();
    assert_eq!(car["go"]["index_payload"]["records"].as_u64(), Some(blocks), "{name}");
    Wanted::Blocks(blocks)
}

fn has_blocks(place: &Place, key: &str, wanted: &Wanted) {
    let blocks = place.json_lines(&["blocks", key]);
    if let Wanted::Blocks(count) = wanted {
        assert_eq!(blocks.len() as u64, *count, "{key}");
    }
    let Some(last) = blocks.last().filter(|_| *wanted != Wanted::Either) else { return };
    let got = place.run(&["get", last["cid"].as_str().unwrap(), "--shard", key]).done();
    assert_eq!(got.stdout.len() as u64, last["size_bytes"].as_u64().unwrap(), "{key}");
}

fn is_errored(place: &Place, key: &str) {
    let errored = place.json_lines(&["list", "--state", "errored"]);
    assert_eq!(errored.len(), 1, "{errored:?}");
    assert_eq!(errored[0]["key"], key);
    assert!(!errored[0]["error"]["text"].as_str().unwrap().is_empty(), "{key}");
    place.run(&["destroy", key]).done();
}
