//! Tables of mounts in `dagstore.toml`: what they say, what is wrong with them, and the secrets that they name.

use serde_json::{Value, json};

use crate::remote::{place_with, put};
use crate::server::Server;
use crate::support::{Place, Ran, run};

fn listed(place: &Place, scheme: &str) -> Value {
    let mounts = place.json_lines(&["mounts"]);
    mounts.into_iter().find(|mount| mount["scheme"] == scheme).unwrap_or_else(|| panic!("no {scheme}"))
}

#[test]
fn what_a_store_may_register_is_listed() {
    let place = place_with(
        "[mounts.pieces]\ntype = \"http\"\nbase = \"https://host.example/pieces/\"\nhosts = [\"*.cdn.example\"]\n\
        credential = \"PIECES_TOKEN\"\nheader = \"X-Api-Key\"\nretries = 2\nidle_timeout = \"90s\"\nleast_rate = \"1MiB\"\n\
        [mounts.tree]\ntype = \"fs\"\nroot = \"/srv/tree\"\n[mounts.file]\ntype = \"file\"\nroot = \"/srv\"\n",
    );
    let pieces = listed(&place, "pieces");
    assert_eq!((&pieces["type"], &pieces["place"]), (&json!("http"), &json!("https://host.example/pieces/")));
    assert_eq!(pieces["credential"], json!({"name": "PIECES_TOKEN", "is_set": false}));
    let limits = &pieces["limits"];
    assert_eq!(limits["hosts"], json!(["host.example", "*.cdn.example"]));
    assert_eq!((&limits["retries"], &limits["redirects"]), (&json!(2), &json!(3)));
    assert_eq!((&limits["idle_timeout"], &limits["least_rate"]), (&json!("1m 30s"), &json!(1 << 20)));
    assert_eq!(listed(&place, "tree")["place"], "/srv/tree");
    assert_eq!(listed(&place, "https")["is_configured"], false);
    let text = run(place.command(&["mounts"]).env("PIECES_TOKEN", "CANARY")).done();
    assert!(text.text().contains("PIECES_TOKEN (set)"), "{}", text.text());
    assert!(text.text().contains("hosts host.example *.cdn.example, idle_timeout 1m 30s, "), "{}", text.text());
    assert!(!text.text().contains("CANARY"));
    // A root isn't left, and paths go down only.
    let car = place.car("a.car", 1, 3, 10);
    let (error, _) = place.run(&["register", car.path()]).failed(1);
    assert!(error.contains("/srv"), "{error}");
    place.run(&["register", "tree:../a.car"]).failed(1);
}

#[test]
fn trees_of_files_are_read_by_their_own_paths() {
    let place = Place::new();
    let root = place.root().join("tree");
    std::fs::create_dir_all(root.join("x")).unwrap();
    let car = place.car("tree/x/a.car", 1, 5, 10);
    place.run(&["init"]).done();
    let path = place.store().join("dagstore.toml");
    let file = std::fs::read_to_string(&path).unwrap();
    let table = format!("[mounts.tree]\ntype = \"fs\"\nroot = {:?}\n", root.display().to_string());
    std::fs::write(&path, format!("{file}\n{table}")).unwrap();
    assert_eq!(place.run(&["register", "tree:x/a.car"]).done().text(), "registered a: Available\n");
    assert_eq!(place.json(&["info", "a"])["url"], "tree:x/a.car");
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), car.blocks.len());
    // Without its table a shard is set aside, and it comes back with it.
    std::fs::write(&path, &file).unwrap();
    assert!(place.run(&["quarantine", "list"]).done().text().contains("\"tree\" is unknown"));
    std::fs::write(&path, format!("{file}\n{table}")).unwrap();
    assert_eq!(place.json(&["info", "a"])["state"], "Available");
}

#[test]
fn tables_that_are_not_understood_are_refused_with_their_line() {
    let place = Place::with_store();
    let path = place.store().join("dagstore.toml");
    let head = "format = 1\ndatastore = \"redb\"\ncodec = \"cbor\"\n";
    let cases = [
        ("mounts = 1\n", "line 4: mounts is no table"),
        ("[mounts]\npieces = 1\n", "line 5: [mounts.pieces] has no type; known are: file, fs, http"),
        ("[mounts.a]\ntype = \"ftp\"\n", "line 5: this program knows no such type of [mounts.a]; known are: file, fs"),
        ("[mounts.a]\ntype = \"fs\"\nroot = \"/\"\nspeed = 1\n", "line 7: unknown field `speed`, expected"),
        ("[mounts.a]\ntype = \"fs\"\n", "line 4: missing field `root`"),
        ("[mounts.a]\ntype = \"fs\"\nroot = \"x\"\n", "line 4: root must be an absolute path"),
        ("[mounts.\"a b\"]\ntype = \"fs\"\nroot = \"/\"\n", "line 4: "),
        ("[mounts.a]\ntype = \"http\"\n", "line 4: base is missing"),
        ("[mounts.http]\ntype = \"http\"\nbase = \"http://h/\"\n", "line 4: http: URLs have a host of their own"),
        ("[mounts.a]\ntype = \"http\"\nbase = \"http://h\"\nretries = -1\n", "line 7: invalid value"),
        ("[mounts.a]\ntype = \"http\"\nbase = \"ftp://h/\"\n", "it must begin with http: or https:"),
        ("[mounts.a]\ntype = \"http\"\nbase = \"http://h/\"\ndeadline = \"soon\"\n", "line 7: \"soon\" is no time"),
        ("[mounts.a]\ntype = \"http\"\nbase = \"http://h/\"\nheader = \"X\"\n", "header means nothing without"),
        ("[mounts.https]\ntype = \"http\"\ncredential = \"T\"\n", "line 4: origin is missing"),
        ("[copies]\nquota = \"much\"\n", "line 5: \"much\" is no number of bytes such as"),
        ("[copies]\nquota = -1\n", "line 5: a number of bytes such as"),
        ("[copies]\nspeed = 1\n", "line 5: unknown field `speed`, expected one of `quota`, `keep_free`"),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, format!("{head}{text}")).unwrap();
        let (error, _) = place.run(&["mounts"]).failed(1);
        assert!(error.contains(expected), "{error} has no {expected}");
    }
}

const SECRET: &str = "canary7f3";

/// It says nothing of any secret.
#[track_caller]
fn is_silent(ran: Ran) -> Ran {
    assert!(!ran.stderr.contains(SECRET), "{}", ran.stderr);
    assert!(!String::from_utf8_lossy(&ran.stdout).contains(SECRET), "{:?}", ran.stdout);
    ran
}

#[test]
fn secrets_in_the_file_are_refused_and_not_repeated() {
    let place = Place::with_store();
    let path = place.store().join("dagstore.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let base = "base = \"https://host.example/\"\n";
    for lines in [
        format!("{base}credential = \"{SECRET}\"\n"),
        format!("{base}credential = \"Bearer {SECRET}\"\n"),
        format!("{base}credential = \"T\"\nheader = \"X-Api-Key: {SECRET}\"\n"),
        format!("{base}credential = \"T\"\norigin = \"https://user:{SECRET}@host.example\"\n"),
        format!("{base}hosts = [\"user:{SECRET}@host.example\"]\n"),
        format!("{base}password = \"{SECRET}\"\n"),
        format!("base = \"https://user:{SECRET}@host.example/\"\n"),
        format!("base = \"https://host.example/?token={SECRET}\"\n"),
    ] {
        std::fs::write(&path, format!("{good}\n[mounts.a]\ntype = \"http\"\n{lines}")).unwrap();
        for arguments in [&["mounts"][..], &["-vv", "--json", "list"]] {
            assert_eq!(is_silent(place.run(arguments)).code, Some(1), "{lines}");
        }
    }
    std::fs::write(&path, format!("{good}\n[mounts.a]\ntype = \"{SECRET}\"\n")).unwrap();
    assert_eq!(is_silent(place.run(&["mounts"])).code, Some(1));
}

#[test]
fn secrets_are_told_nowhere() {
    let server = Server::start();
    let table = format!(
        "[mounts.safe]\ntype = \"http\"\nbase = \"{}\"\nprivate_addresses = true\nretries = 0\n\
        credential = \"SAFE_TOKEN\"\nheader = \"X-Api-Key\"\n",
        server.url("/")
    );
    let place = place_with(&table);
    put(&place, &server, "/a.car", 20, 1000);
    server.want("x-api-key", SECRET);
    let with = |arguments: &[&str]| is_silent(run(place.command(arguments).env("SAFE_TOKEN", SECRET)));
    for url in [
        format!("http://user:{SECRET}@{}/a.car", server.address),
        server.url(&format!("/a.car?token={SECRET}")),
        server.url(&format!("/a.car?X-Amz-Signature={SECRET}")),
    ] {
        for more in [&["-vv"][..], &["--json"], &[]] {
            assert_eq!(with(&[more, &["register", &url]].concat()).code, Some(1), "{url}");
        }
    }
    assert!(server.requests().is_empty());
    // Without it the server gives nothing, with it all; and each time nobody is told.
    let (error, _) = place.run(&["register", "safe:a.car"]).failed(1);
    assert!(error.contains("SAFE_TOKEN"), "{error}");
    let ran =
        is_silent(run(place.command(&["-vv", "register", "safe:a.car"]).env("SAFE_TOKEN", format!("{SECRET}-wrong"))));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let ran = with(&["-vv", "--trace", "register", "--key", "b", "safe:a.car"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(server.requests().iter().any(|head| head.contains(SECRET)));
    for arguments in [
        &["mounts"][..],
        &["--json", "mounts"],
        &["-vv", "evict", "b"],
        &["-vv", "--json", "pin", "b"],
        &["--json", "info", "b"],
        &["--json", "list"],
        &["--json", "transients"],
        &["-vv", "verify", "b"],
    ] {
        assert_eq!(with(arguments).code, Some(0), "{arguments:?}");
    }
    for name in place.files("store") {
        let path = place.root().join(&name);
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "{name}");
    }
}
