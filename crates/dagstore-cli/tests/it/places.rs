//! Where the store is, and where the CARs are.

use crate::support::{Place, run};

#[test]
fn the_directory_is_named_or_in_the_environment_or_the_users() {
    let place = Place::new();
    place.run(&["init"]).done();
    let made = place.json(&["--dir", "elsewhere", "init", "--codec", "json"]);
    assert_eq!(made["directory"], place.root().join("elsewhere").display().to_string());
    assert_eq!(place.json(&["init", "--dir", "elsewhere"])["codec"], "json");
    let mut command = place.command(&["init"]);
    let ran = run(command.env_remove("DAGSTORE_DIR").env_remove("XDG_DATA_HOME")).done();
    let home = place.root().display().to_string();
    assert!(ran.text().starts_with(&format!("made a store in {home}/")), "{}", ran.text());
    let (error, _) = run(place.command(&["list"]).env("DAGSTORE_DIR", "nowhere")).failed(3);
    assert_eq!(error, format!("there is no store in {home}/nowhere"));
}

#[test]
fn a_file_is_found_under_any_name() {
    let place = Place::new();
    for (name, key) in
        [("a:b.car", "a:b"), ("with space%20.car", "with space%20"), ("ключ.car", "ключ"), ("plain", "plain")]
    {
        let car = place.car(name, 1, 3, 10);
        assert_eq!(place.run(&["register", name]).done().text(), format!("registered {key}: Available\n"));
        let url = place.json(&["info", key])["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with("file:///") && url.is_ascii(), "{url}");
        let again = place.json(&["register", "--key", "again", &url]);
        assert_eq!(again["registered"][0]["url"], url.as_str());
        assert_eq!(place.json_lines(&["blocks", "again"]).len(), car.blocks.len());
        place.run(&["destroy", "again"]).done();
    }
}

#[test]
fn a_key_comes_out_of_a_url_too() {
    let place = Place::new();
    let car = place.car("with space.car", 1, 3, 10);
    let url = format!("file://{}", car.path().replace(' ', "%20"));
    assert_eq!(place.run(&["register", &url]).done().text(), "registered with space: Available\n");
}

#[test]
fn the_second_process_is_told_who_is_first() {
    let place = Place::with_store();
    let car = place.car("a.car", 1, 8000, 1000);
    let first = place.start_indexing("a", &car);
    let pid = first.process.id();
    for arguments in [&["list"][..], &["info", "a"], &["register", "a.car"], &["gc"], &["init"]] {
        let (error, advice) = place.run(arguments).failed(1);
        let lock = place.store().join("lock");
        assert_eq!(error, format!("{} is held by process {pid}", lock.display()), "{arguments:?}");
        assert!(advice.contains(&pid.to_string()), "{advice}");
    }
    first.kill();
    place.run(&["list"]).done();
}
