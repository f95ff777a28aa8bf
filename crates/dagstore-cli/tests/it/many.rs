//! Work on many shards at once: all of them are tried, and what failed is told.

use std::process::Stdio;

use serde_json::json;

use crate::support::{Place, Terminal};

/// A place with so many lazy shards.
fn lazy(shards: usize) -> Place {
    let place = Place::new();
    let names: Vec<_> = (0..shards).map(|number| format!("{number}.car")).collect();
    for name in &names {
        place.car(name, 1, 3, 10);
    }
    let names = names.iter().map(String::as_str);
    place.run(&["register", "--lazy"].into_iter().chain(names).collect::<Vec<_>>()).done();
    place
}

fn counts(place: &Place, state: &str) -> u64 {
    place.json(&["list", "--counts"])["states"][state].as_u64().unwrap()
}

#[test]
fn all_that_wait_are_initialised() {
    let place = lazy(30);
    let large = place.car("large.car", 1, 8000, 1000);
    place.start_indexing("large", &large).kill();
    std::fs::write(place.root().join("7.car"), "no CAR").unwrap();
    let ran = place.run(&["init-all", "--concurrency", "3"]);
    assert_eq!(ran.text(), "initialised 30 of 31 shards\n");
    let (error, advice) = ran.failed(1);
    assert!(error.starts_with("the shard 7 failed: "), "{error}");
    assert_eq!(advice, "dagstore destroy 7, and register an intact file");
    assert_eq!((counts(&place, "Available"), counts(&place, "Errored")), (30, 1));
    assert_eq!(place.run(&["init-all"]).done().text(), "no shard waits to be initialised\n");
    assert_eq!(place.json(&["init-all"]), json!({"initialised": 0, "failed": []}));
    place.run(&["init-all", "--concurrency", "0"]).failed(2);
}

#[test]
fn what_failed_is_told_to_programs() {
    let place = lazy(3);
    for name in ["0.car", "2.car"] {
        std::fs::write(place.root().join(name), "no CAR").unwrap();
    }
    let ran = place.run(&["--json", "init-all"]);
    let document: serde_json::Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!((ran.code, &document["initialised"]), (Some(1), &json!(1)));
    let failed = document["failed"].as_array().unwrap();
    assert_eq!(failed.iter().map(|failed| failed["key"].clone()).collect::<Vec<_>>(), ["0", "2"]);
    assert!(failed.iter().all(|failed| failed["error"].is_string() && failed["try"].is_string()), "{failed:?}");
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert!(error["error"].as_str().unwrap().starts_with("2 of 3 shards failed; the first, 0: "), "{error}");
}

#[test]
fn all_that_failed_are_recovered() {
    let place = lazy(25);
    let away: Vec<_> = (0..24).map(|number| place.root().join(format!("{number}.car"))).collect();
    for path in &away {
        std::fs::rename(path, path.with_extension("away")).unwrap();
    }
    let ran = place.run(&["init-all"]);
    assert_eq!(ran.text(), "initialised 1 of 25 shards\n");
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!((lines.len(), lines[20], lines[21]), (23, "and 4 more", "error: 24 of 25 shards failed"));
    for path in &away[1..] {
        std::fs::rename(path.with_extension("away"), path).unwrap();
    }
    let ran = place.run(&["recover", "--failed", "--concurrency", "2"]);
    let lines: Vec<_> = ran.text().lines().collect();
    assert_eq!((lines.len(), *lines.last().unwrap()), (24, "recovered 23 of 24 shards"));
    assert!(lines.contains(&"recovered 17: Available"), "{lines:?}");
    let (error, advice) = ran.failed(1);
    assert!(error.starts_with("the shard 0 failed: ") && advice.starts_with("dagstore recover 0"), "{error}: {advice}");
    std::fs::rename(away[0].with_extension("away"), &away[0]).unwrap();
    let recovered = place.json(&["recover", "--failed"]);
    assert_eq!((&recovered["recovered"][0]["key"], &recovered["failed"]), (&json!("0"), &json!([])));
    assert_eq!(counts(&place, "Available"), 25);
    assert_eq!(place.run(&["recover", "--failed"]).done().text(), "no shard has failed\n");
}

#[test]
fn several_are_recovered_by_name() {
    let place = lazy(3);
    for number in 0..2 {
        let path = place.root().join(format!("{number}.car"));
        std::fs::rename(&path, path.with_extension("away")).unwrap();
    }
    place.run(&["init-all"]).failed_each();
    let path = place.root().join("1.car");
    std::fs::rename(path.with_extension("away"), path).unwrap();
    // One is still missing, one is mended, one never failed, one doesn't exist, one is named twice.
    let ran = place.run(&["recover", "2", "1", "nobody", "0", "1"]);
    assert_eq!(ran.text(), "recovered 1: Available\nrecovered 1 of 4 shards\n");
    let (told, error, _) = ran.failed_each();
    assert_eq!(error, "3 of 4 shards failed");
    let keys: Vec<_> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(keys, ["0", "2", "nobody"]);
    assert!(told[1].ends_with("the shard 2 hasn't failed: there is nothing to recover"), "{told:?}");
    place.run(&["recover"]).failed(2);
    place.run(&["recover", "1", "--failed"]).failed(2);
}

#[test]
fn progress_is_for_terminals_alone() {
    let place = lazy(40);
    let terminal = Terminal::new(100);
    let mut command = place.command(&["init-all"]);
    command.stdout(Stdio::piped()).stderr(terminal.stream());
    let (code, text, seen) = terminal.run(command, "");
    assert_eq!((code, text.as_str()), (Some(0), "initialised 40 shards\n"), "{seen}");
    assert!(seen.contains("initialising: 0 of 40 shards, ") && seen.contains(" a second, "), "{seen:?}");
    let place = lazy(40);
    // A pipe gets none; done() sees that.
    assert_eq!(place.run(&["init-all"]).done().text(), "initialised 40 shards\n");
}

#[test]
fn interrupted_it_goes_on_another_time() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = lazy(600);
    // Nobody reads the trace, which must not keep it from ending either.
    let running = place.start(&["--trace", "init-all"]);
    while counts_of(&place.files("store/index")) == 0 {
        std::thread::yield_now();
    }
    kill_process(Pid::from_child(&running.process), Signal::INT).unwrap();
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("error: interrupted; the store was closed\n") && !said.contains("failed "), "{said}");
    let done = counts(&place, "Available");
    assert!(done < 600, "{done}");
    place.run(&["init-all"]).done();
    assert_eq!(counts(&place, "Available"), 600);
}

/// How many indices there are.
fn counts_of(files: &[String]) -> usize {
    files.iter().filter(|name| name.ends_with(".idx")).count()
}
