//! What `list` and `info` tell, in lines that fit.

use serde_json::json;

use crate::support::{Place, Terminal};

/// A store with a shard that is well and one that waits for its next try; the URLs are longer than a narrow line.
fn place() -> Place {
    let place = Place::with_store();
    std::fs::create_dir(place.root().join("folder-with-a-long-name-".repeat(4))).unwrap();
    for name in ["good", "gone"] {
        let car = place.car(&format!("{}/{name}.car", "folder-with-a-long-name-".repeat(4)), 1, 3, 10);
        place.run(&["register", "--lazy", car.path()]).done();
        if name == "gone" {
            std::fs::remove_file(&car.path).unwrap();
        }
        place.run(&["blocks", name, "--max-retries", "5", "--first-pause", "100h", "--longest-pause", "100h"]);
    }
    place
}

#[test]
fn what_was_tried_and_what_comes_next_is_told() {
    let place = place();
    let shard = place.json(&["info", "gone"]);
    assert_eq!((&shard["attempt"], &shard["starts"], &shard["retries"]), (&json!(1), &json!(0), &json!(0)));
    let next_try = shard["next_try"].as_str().unwrap();
    assert!(next_try.ends_with('Z') && next_try > shard["changed"].as_str().unwrap(), "{shard}");
    assert!(place.json(&["info", "good"])["next_try"].is_null());
    let info = place.run(&["info", "gone"]).done();
    let line = info.text().lines().find(|line| line.starts_with("next try")).unwrap();
    assert!(line.contains(next_try) && (line.contains("(in 2d") || line.contains("(in 3d") || line.contains("(in 4d")));
    assert!(info.text().lines().any(|line| line.split_whitespace().eq(["retries", "0"])), "{}", info.text());
    let list = place.run(&["list"]).done();
    let lines: Vec<_> = list.text().lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let header: Vec<_> = lines[0].split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    assert_eq!(header, ["KEY", "STATE", "TRIES", "NEXT TRY", "URL", "ERROR"]);
    assert!(lines[2].contains("Available") && !lines[2].contains("attempt"), "{lines:?}");
    assert!(lines[1].contains("attempt 1 ") && lines[1].contains("  in ") && lines[1].contains("Errored"), "{lines:?}");
}

#[test]
fn counts_are_by_state() {
    let place = place();
    place.car("lazy.car", 1, 3, 10);
    place.run(&["register", "--lazy", "lazy.car"]).done();
    let counts = place.json(&["list", "--counts"]);
    assert_eq!(counts["shards"], 3);
    let states = ["New", "Available", "Errored", "Quarantined", "Serving"].map(|state| counts["states"][state].clone());
    assert_eq!(states, [1, 1, 1, 0, 0].map(serde_json::Value::from));
    let text = place.run(&["list", "--counts"]).done();
    let lines: Vec<Vec<_>> = text.text().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines, [["STATE", "SHARDS"], ["New", "1"], ["Available", "1"], ["Errored", "1"], ["all", "3"]]);
    place.run(&["list", "--counts", "--state", "new"]).failed(2);
}

#[test]
fn a_narrow_terminal_gets_narrow_lines() {
    let place = place();
    let seen = |columns| {
        let terminal = Terminal::new(columns);
        let mut command = place.command(&["list"]);
        command.stdout(terminal.stream());
        let (code, _, seen) = terminal.run(command, "");
        assert_eq!(code, Some(0), "{seen}");
        seen.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let lines = seen(80);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    for (start, count) in [("Errored       gone", 1), ("Available     good", 1), ("              file:///", 2)] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(start)).count(), count, "{lines:#?}");
    }
    assert!(lines.iter().any(|line| line.contains("attempt 1, next try in ")), "{lines:#?}");
    // Where there is room each shard has its line.
    assert_eq!(seen(1000).len(), 3);
    assert_eq!(place.run(&["list"]).done().text().lines().count(), 3);
}
