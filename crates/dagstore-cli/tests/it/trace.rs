//! What happens is told on standard error while it happens.

use std::io::Read;

use serde_json::Value;

use crate::support::Place;

/// Operation, state and key of each line.
fn events(text: &str) -> Vec<(String, String, String)> {
    let event = |line: &str| {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let [time, operation, state, key] = &words[..] else { panic!("{line}") };
        assert!(time.len() == "2000-01-01T00:00:00.000Z".len() && time.ends_with('Z'), "{line}");
        (operation.clone(), state.clone(), key.clone())
    };
    text.lines().map(event).collect()
}

fn event(operation: &str, state: &str, key: &str) -> (String, String, String) {
    (operation.to_owned(), state.to_owned(), key.to_owned())
}

#[test]
fn a_command_traces_its_work() {
    let place = Place::with_store();
    place.car("a.car", 1, 3, 10);
    let ran = place.run(&["--trace", "register", "a.car"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "registered a: Available\n"));
    let expected =
        [("ShardRegister", "Initializing"), ("ShardInitialize", "Initializing"), ("ShardMakeAvailable", "Available")];
    assert_eq!(events(&ran.stderr), expected.map(|(operation, state)| event(operation, state, "a")));
    let ran = place.run(&["destroy", "a", "--trace"]);
    assert_eq!(events(&ran.stderr), [event("ShardDestroy", "Destroying", "a")].to_vec());
    assert_eq!(place.run(&["list", "--trace"]).done().text(), "no shards\n");
}

#[test]
fn for_programs_it_is_a_document_a_line() {
    let place = Place::with_store();
    place.car("a.car", 1, 3, 10);
    std::fs::write(place.root().join("bad.car"), "no CAR").unwrap();
    let ran = place.run(&["--trace", "--json", "register", "--key", "b\u{1b}", "bad.car"]);
    serde_json::from_str::<Value>(ran.text()).unwrap();
    assert!(!ran.stderr.contains('\u{1b}'));
    let lines: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().filter_map(|line| line["operation"].as_str()).collect();
    assert_eq!(told, ["ShardRegister", "ShardInitialize", "ShardFail"]);
    assert_eq!((&lines[2]["key"], &lines[2]["state"]), (&"b\u{1b}".into(), &"Errored".into()));
    assert_eq!((lines.len(), lines[3]["code"].as_u64()), (4, Some(1)));
}

#[test]
fn what_the_store_does_by_itself_is_told_from_its_first_step() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 2000, 1000);
    // What goes on as soon as the store is open is told each time.
    for _ in 0..10 {
        place.start_indexing("a", &car).kill();
        let ran = place.run(&["resume", "--trace"]);
        assert_eq!(ran.text(), "resumed 1 shard: 1 available, 0 failed, 0 destroyed, 0 not settled\n");
        let expected = [("ShardInitialize", "Initializing"), ("ShardMakeAvailable", "Available")];
        assert_eq!(events(&ran.stderr), expected.map(|(operation, state)| event(operation, state, "a")));
        place.run(&["destroy", "a"]).done();
    }
}

#[test]
fn who_reads_too_slowly_is_told_what_was_missed() {
    const SHARDS: usize = 6000;
    let place = Place::with_store();
    let names: Vec<_> = (0..SHARDS).map(|number| format!("{number}.car")).collect();
    for name in &names {
        std::fs::write(place.root().join(name), "").unwrap();
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut running = place.start(&[&["--trace", "register", "--lazy"], &names[..]].concat());
    // All is done before anybody reads the trace.
    for _ in 0..SHARDS {
        assert!(running.line().starts_with("registered "));
    }
    let mut said = String::new();
    running.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
    let (missed, told): (Vec<_>, Vec<_>) = said.lines().partition(|line| line.contains("  Missed "));
    let count = |line: &&str| line.split_whitespace().nth(2).unwrap().trim_end_matches(':').parse::<usize>().unwrap();
    let missed: usize = missed.iter().map(count).sum();
    assert!(missed > 0, "{}", told.len());
    assert_eq!(missed + told.len(), SHARDS);
}

#[cfg(target_os = "linux")]
#[test]
fn that_nothing_can_be_written_is_told_while_work_waits() {
    let place = Place::with_store();
    place.car("a.car", 1, 3, 10);
    place.run(&["register", "--lazy", "a.car"]).done();
    let program = place.command(&[]).get_program().to_owned();
    // With a limit on the size of files a disk is full: for some limit the store can be opened, but not written.
    let ran = (16..400).step_by(16).find_map(|blocks| {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" --json init-all --persist-deadline 1s");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).arg(&program).env("DAGSTORE_DIR", place.store()).current_dir(place.root());
        let ran = crate::support::run(&mut command);
        ran.stderr.contains("warning").then_some(ran)
    });
    let ran = ran.unwrap();
    let lines: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let warning = lines[0]["warning"].as_str().unwrap();
    assert!(
        warning.starts_with("the datastore refuses writes, which are tried again: ") && warning.contains("os error")
    );
    assert_eq!((&lines[0]["try"], ran.code), (&"again, when the disk has room and works".into(), Some(1)));
}
