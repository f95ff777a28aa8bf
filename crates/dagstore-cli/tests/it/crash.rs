//! A process that is killed at any moment costs no more than the work that it was in the middle of.

use crate::support::{Place, Running};

/// Files of the index that are no temporaries.
fn indices(place: &Place) -> Vec<String> {
    place.files("store/index")
}

#[test]
fn what_was_told_is_there_after_the_teller_was_killed() {
    let place = Place::new();
    let car = place.car("a.car", 1, 50, 100);
    for round in 1..=5 {
        let mut running = place.start(&["register", "a.car"]);
        assert_eq!(running.line(), "registered a: Available\n", "{round}");
        end(running);
        assert_eq!(place.states(), [("a".to_owned(), "Available".to_owned())], "{round}");
        let mut running = place.start(&["blocks", "a"]);
        assert!(running.line().starts_with(&car.blocks[0].0.to_string()), "{round}");
        end(running);
        let mut running = place.start(&["destroy", "a"]);
        assert_eq!(running.line(), "destroyed a\n", "{round}");
        end(running);
        assert!(place.states().is_empty(), "{round}");
        assert_eq!(indices(&place), [""; 0], "{round}");
    }
}

/// Kills the process, if it still lives.
fn end(mut running: Running) {
    let _ = running.process.kill();
    running.process.wait().unwrap();
}

#[test]
fn killed_while_indexing() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 8000, 1000);
    let small = place.car("small.car", 2, 5, 10);
    place.run(&["register", "small.car"]).done();
    let before = indices(&place);
    place.start_indexing("a", &car).kill();
    let states = |a: &str| [("a".to_owned(), a.to_owned()), ("small".to_owned(), "Available".to_owned())];
    assert_eq!(place.states(), states("Initializing"));
    let info = place.json(&["info", "a"]);
    assert_eq!((&info["attempt"], &info["starts"]), (&1.into(), &1.into()));
    let left = indices(&place);
    // Looking changes nothing.
    assert_eq!((place.states().len(), indices(&place)), (2, left));
    let resumed = place.json(&["resume"]);
    assert_eq!((&resumed["interrupted"], &resumed["available"]), (&1.into(), &1.into()));
    assert_eq!(place.states(), states("Available"));
    let after = indices(&place);
    assert_eq!(after.len(), before.len() + 1, "{after:?}");
    assert!(after.iter().all(|name| !name.contains("tmp") && name.len() == before[0].len()), "{after:?}");
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), car.blocks.len());
    let (cid, data) = car.blocks.last().unwrap();
    assert_eq!(&place.run(&["get", &cid.to_string()]).done().stdout, data);
    assert_eq!(place.json_lines(&["blocks", "small"]).len(), small.blocks.len());
    assert_eq!(place.run(&["resume"]).done().text(), "nothing was left unfinished\n");
}

#[test]
fn whoever_needs_the_shard_finishes_what_was_interrupted() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 8000, 1000);
    place.start_indexing("a", &car).kill();
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), car.blocks.len());
    assert_eq!(place.states(), [("a".to_owned(), "Available".to_owned())]);
    assert_eq!(indices(&place).len(), 1);
}

#[test]
fn what_was_interrupted_can_be_destroyed() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 8000, 1000);
    place.start_indexing("a", &car).kill();
    place.run(&["destroy", "a"]).done();
    assert!(place.states().is_empty());
    assert_eq!(indices(&place), [""; 0]);
    assert!(car.path.exists());
}

#[test]
fn a_signal_that_asks_to_end_closes_the_store() {
    use rustix::process::Signal;
    for (signal, expected) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let place = Place::with_store();
        let car = place.car("a.car", 1, 8000, 1000);
        let mut running = place.start(&["demo-child", "--key", "a", "--bytes-per-second", "524288", car.path()]);
        assert!(running.line().starts_with("indexing "));
        let pid = rustix::process::Pid::from_child(&running.process);
        rustix::process::kill_process(pid, signal).unwrap();
        // The command isn't told of as failed.
        assert_eq!(running.line(), "");
        let (code, said) = running.end();
        assert_eq!(code, Some(expected));
        assert!(said.starts_with("error: interrupted; the store was closed\ntry: "), "{said}");
        // What was built of the index went with it, and the start that was ended isn't counted.
        assert_eq!(indices(&place), [""; 0]);
        let shard = place.json(&["info", "a"]);
        assert_eq!((shard["state"].as_str(), shard["starts"].as_u64()), (Some("Initializing"), Some(0)));
        assert_eq!(place.json(&["resume"])["available"], 1);
    }
}

#[test]
fn what_belongs_to_nobody_is_removed_and_nothing_else() {
    let place = Place::with_store();
    place.car("a.car", 1, 3, 10);
    place.run(&["register", "a.car"]).done();
    let index = place.store().join("index");
    let name = std::fs::read_dir(&index).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    let stem = name.strip_suffix(".idx").unwrap();
    let (hash, _) = stem.split_once('-').unwrap();
    // Of a registration that never was, of a build that never ended, and of somebody else.
    let other = format!("{hash}-00000000000000ff-00000001");
    for planted in [format!("{other}.idx"), format!("{other}.tmp"), format!("{other}.0.run"), "notes.txt".to_owned()] {
        std::fs::copy(index.join(&name), index.join(planted)).unwrap();
    }
    place.run(&["list"]).done();
    assert_eq!(indices(&place).len(), 5);
    place.run(&["gc"]).done();
    let mut expected = [format!("store/index/{name}"), "store/index/notes.txt".to_owned()];
    expected.sort_unstable();
    assert_eq!(indices(&place), expected);
}

#[test]
fn an_index_that_was_lost_is_built_again() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 30, 10);
    place.run(&["register", "a.car"]).done();
    for name in indices(&place) {
        std::fs::remove_file(place.root().join(name)).unwrap();
    }
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), car.blocks.len());
    assert_eq!(place.states(), [("a".to_owned(), "Available".to_owned())]);
    assert_eq!(indices(&place).len(), 1);
}
