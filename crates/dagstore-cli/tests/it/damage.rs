//! Databases that are damaged.
#![cfg(feature = "redb")]

use std::fs;
use std::path::PathBuf;

use crate::support::Place;

/// Of redb.
const PAGE_BYTES: usize = 4096;

/// A store with a shard, and the file of a database in it.
fn place(file: &str) -> (Place, PathBuf) {
    let place = Place::with_store();
    place.car("a.car", 1, 3, 10);
    place.run(&["register", "a.car"]).done();
    let path = place.store().join("redb").join(file);
    (place, path)
}

/// redb panics over some damage. That is told as any other error.
#[test]
fn a_damaged_database_is_told_in_a_line_with_the_way_out() {
    let (place, path) = place("store.redb");
    let whole = fs::read(&path).unwrap();
    let mut panics = 0;
    for page in (0..whole.len()).step_by(PAGE_BYTES).filter(|page| whole[page + 2] != 0) {
        let mut bytes = whole.clone();
        bytes[page + 2] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let ran = place.run(&["list"]);
        if ran.code == Some(0) {
            continue;
        }
        let (error, _) = ran.failed(1);
        assert!(error.contains("store.redb") && error.contains("backup"), "{error}");
        panics += usize::from(error.contains("panicked"));
    }
    assert!(panics > 0, "redb met nothing that it panics over");
}

#[test]
fn a_damaged_inverted_index_is_made_anew_when_it_is_moved_away() {
    let (place, path) = place("inverted.redb");
    let car = place.car("a.car", 1, 3, 10);
    let cid = car.blocks[1].0.to_string();
    fs::write(&path, [b'x'; 10_000]).unwrap();
    let (error, advice) = place.run(&["locate", &cid]).failed(1);
    assert!(error.contains("inverted.redb") && advice.contains("moved away"), "{error}: {advice}");
    fs::rename(&path, place.root().join("damaged")).unwrap();
    assert_eq!(place.run(&["locate", &cid]).done().text(), "a\n");
}
