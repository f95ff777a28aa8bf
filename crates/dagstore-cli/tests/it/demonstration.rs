//! The demonstration says what is true, and leaves nothing behind.

use serde_json::Value;

use crate::support::Place;

#[test]
fn it_tells_its_story_and_cleans_up() {
    let place = Place::new();
    // It must not touch the store of everyday.
    place.run(&["init"]).done();
    let before = place.files("");
    let ran = place.run(&["demo"]).done();
    for words in ["with SIGKILL", "atlas is Initializing", "every shard is Available", "all of them hash to it"] {
        assert!(ran.text().contains(words), "{words}: {}", ran.text());
    }
    assert_eq!(place.files(""), before);
}

#[test]
fn its_facts_are_for_programs_too() {
    let place = Place::new();
    let told = place.json(&["--dir", "try", "demo"]);
    let facts = &told["facts"];
    let number = |name: &str| facts[name].as_u64().unwrap();
    assert!(0 < number("indexed_bytes_before_kill") && number("indexed_bytes_before_kill") < number("bytes_to_index"));
    assert_eq!((&facts["state_after_kill"], number("interrupted"), number("resumed")), (&"Initializing".into(), 1, 1));
    assert!(number("blocks_read") > 1000 && number("blocks_read") == number("blocks_that_hash_to_their_cid"));
    let shards = facts["shards"].as_array().unwrap();
    assert_eq!(shards.iter().map(|shard| shard["state"].as_str().unwrap()).collect::<Vec<_>>(), ["Available"; 4]);
    assert!(told["steps"].as_array().unwrap().iter().all(|step| step["text"].is_string() && step["ms"].is_u64()));
    assert_eq!(place.files(""), [""; 0]);
}

#[test]
fn what_it_leaves_can_be_looked_at() {
    let place = Place::new();
    std::fs::create_dir(place.root().join("try")).unwrap();
    let ran = place.run(&["--dir", "try", "demo", "--keep"]).done();
    let (_, commands) = ran.text().split_once("Look around:\n").unwrap();
    let (remove, commands): (Vec<_>, Vec<_>) = commands.lines().partition(|line| line.trim().starts_with("rm "));
    assert_eq!((remove.len(), commands.len()), (1, 4));
    for command in commands {
        let words: Vec<_> = command.split_whitespace().collect();
        assert!(words[0] == "dagstore" || words[0].ends_with("/dagstore"), "{command}");
        assert!(!place.run(&words[1..]).done().text().is_empty(), "{command}");
    }
    let (error, _) = place.run(&["--dir", "try", "demo"]).failed(2);
    assert!(error.contains("isn't empty"), "{error}");
    let kept: Vec<Value> = place.json_lines(&["--dir", "try/store", "list"]);
    assert_eq!(kept.len(), 5);
}
