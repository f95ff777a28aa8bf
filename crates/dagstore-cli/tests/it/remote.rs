//! Shards behind HTTP: fetched once, read from their local copies, and fetched again where these are gone.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::server::Server;
use crate::support::{Car, Place, Running, Terminal};

/// A place whose store may ask servers on this machine, with more in its `dagstore.toml`.
pub(crate) fn place_with(more: &str) -> Place {
    let place = Place::with_store();
    let path = place.store().join("dagstore.toml");
    // Tables stand in a file once.
    let file = std::fs::read_to_string(&path).unwrap().replace("\n[copies]\n", "\n");
    let local = "[mounts.http]\ntype = \"http\"\nprivate_addresses = true\nretries = 0\n";
    std::fs::write(path, format!("{file}\n{local}{more}")).unwrap();
    place
}

/// A server with a CAR.
pub(crate) fn serve(place: &Place, path: &str, blocks: usize, block_bytes: usize) -> (Server, Car) {
    let server = Server::start();
    let car = put(place, &server, path, blocks, block_bytes);
    (server, car)
}

pub(crate) fn put(place: &Place, server: &Server, path: &str, blocks: usize, block_bytes: usize) -> Car {
    let name = path.rsplit('/').next().unwrap();
    let car = place.car(&format!("{}-{name}", server.address.port()), 1, blocks, block_bytes);
    server.put(path, std::fs::read(&car.path).unwrap());
    car
}

fn copies(place: &Place) -> Vec<Value> {
    place.json(&["transients"])["copies"].as_array().unwrap().clone()
}

fn gets(place: &Place, car: &Car) {
    let (cid, data) = car.blocks.last().unwrap();
    assert_eq!(&place.run(&["get", &cid.to_string()]).done().stdout, data);
}

#[test]
fn a_life_behind_http() {
    let place = place_with("");
    let (server, car) = serve(&place, "/pieces/a.car", 200, 1000);
    let size = std::fs::metadata(&car.path).unwrap().len();
    let ran = place.run(&["register", &server.url("/pieces/a.car")]).done();
    assert_eq!(ran.text(), "registered a: Available\n");
    assert_eq!(server.take_sent(), size);
    gets(&place, &car);
    let copy = &place.json(&["info", "a"])["copy"];
    assert_eq!((&copy["state"], &copy["bytes"], &copy["pinned"]), (&json!("complete"), &json!(size), &json!(false)));
    assert!(place.run(&["info", "a"]).done().text().contains("local copy"));
    assert!(place.run(&["list"]).done().text().contains("LOCAL COPY"));
    let text = place.run(&["transients"]).done();
    assert!(text.text().starts_with("KEY") && text.text().contains("complete"), "{}", text.text());
    assert_eq!(server.take_sent(), 0);
    // Evicted, it isn't here, and is fetched for the next one who reads it.
    let evicted = place.json(&["evict", "a"]);
    assert_eq!(evicted["evicted"][0]["key"], "a");
    assert!(copies(&place).is_empty() && place.json(&["info", "a"])["copy"].is_null());
    let (cid, data) = &car.blocks[7];
    for arguments in [&["get", &cid.to_string(), "--local"][..], &["get", &cid.to_string(), "--local", "--shard", "a"]]
    {
        let (error, advice) = place.run(arguments).failed(3);
        assert!(error.starts_with("the shard a isn't on this machine"), "{error}");
        assert_eq!(advice, "the same without --local, or dagstore pin a; both fetch it");
    }
    gets(&place, &car);
    place.run(&["pin", "a"]).done();
    drop(server);
    // The server is gone, the copy is not.
    gets(&place, &car);
    assert_eq!(&place.run(&["get", &cid.to_string(), "--local"]).done().stdout, data);
    assert_eq!(place.json_lines(&["blocks", "a"]).len(), 200);
    place.run(&["verify", "a"]).done();
    let (error, advice) = place.run(&["evict", "a"]).failed(1);
    assert!(error.contains("pinned") && advice.starts_with("dagstore unpin a"), "{error}: {advice}");
    assert_eq!(place.json(&["unpin", "a"])["unpinned"], json!(["a"]));
    let (error, advice) = place.run(&["evict", "a"]).failed(1);
    assert!(error.contains("may be the last") && advice.contains("--force"), "{error}: {advice}");
    assert_eq!(copies(&place).len(), 1);
    place.run(&["evict", "a", "--force"]).done();
    let (error, _) = place.run(&["get", &cid.to_string()]).failed(1);
    assert!(error.contains("can't be"), "{error}");
}

#[test]
fn files_of_ones_own_serve_as_copies() {
    let place = place_with("");
    let (server, car) = serve(&place, "/a.car", 20, 1000);
    place.run(&["register", &server.url("/a.car")]).done();
    place.run(&["evict", "a"]).done();
    let short = place.car("short.car", 1, 3, 10);
    let (error, advice) = place.run(&["adopt", "a", short.path()]).failed(1);
    assert!(error.contains("can't be used as the copy") && advice.contains("very bytes"), "{error}: {advice}");
    assert_eq!(place.json(&["adopt", "a", car.path()]), json!({"key": "a", "file": car.path(), "adopted": true}));
    assert_eq!(copies(&place)[0]["state"], "adopted");
    drop(server);
    gets(&place, &car);
    place.run(&["register", short.path()]).done();
    let (error, _) = place.run(&["pin", "short"]).failed(1);
    assert!(error.contains("is read where its source is"), "{error}");
    let ran = place.run(&["--json", "unpin", "short", "nobody"]);
    let document: Value = serde_json::from_str(ran.text()).unwrap();
    assert_eq!((ran.code, document["failed"].as_array().unwrap().len()), (Some(1), 2));
}

#[test]
fn a_quota_holds_and_says_what_to_do() {
    let place = place_with("[copies]\nquota = \"64KiB\"\nkeep_free = 0\n");
    let (server, small) = serve(&place, "/small.car", 20, 1000);
    put(&place, &server, "/large.car", 200, 1000);
    let (error, advice) = place.run(&["register", &server.url("/large.car")]).failed(1);
    assert!(error.contains("the quota is 65536; raise the quota"), "{error}");
    assert_eq!(advice, "dagstore recover large, when the cause is mended");
    place.run(&["register", &server.url("/small.car")]).done();
    gets(&place, &small);
    let told = place.json(&["transients"]);
    assert_eq!(told["quota_bytes"], 65536);
    assert!(told["used_bytes"].as_u64().unwrap() <= 65536, "{told}");
    // For one run there may be more.
    place.run(&["recover", "large", "--quota", "1MiB"]).done();
    assert_eq!(copies(&place).len(), 2);
    let (error, _) = place.run(&["resume", "--quota", "much"]).failed(2);
    assert!(error.contains("\"much\" is no number of bytes such as 1000000, 50MB or 16MiB"), "{error}");
}

#[test]
fn copies_that_nobody_needs_are_collected() {
    let place = place_with("");
    let (server, car) = serve(&place, "/a.car", 20, 1000);
    let size = std::fs::metadata(&car.path).unwrap().len();
    put(&place, &server, "/b.car", 20, 1000);
    place.run(&["register", &server.url("/a.car"), &server.url("/b.car")]).done();
    place.run(&["pin", "b"]).done();
    assert_eq!(place.json(&["gc"])["copies_removed"], 0);
    let would = place.json(&["gc", "--copies", "--dry-run"]);
    assert_eq!((&would["copies_removed"], &would["dry_run"]), (&json!(1), &json!(true)));
    assert_eq!(copies(&place).len(), 2);
    drop(server);
    let kept = place.json(&["gc", "--copies"]);
    assert_eq!((&kept["copies_removed"], kept["kept"].as_array().unwrap().len()), (&json!(0), 1));
    let ran = place.json(&["gc", "--copies", "--force"]);
    assert_eq!(ran["copies_removed"], 1);
    assert!(ran["copy_bytes"].as_u64().unwrap() >= size, "{ran}");
    assert_eq!(copies(&place)[0]["key"], "b");
    place.run(&["gc", "--force"]).failed(2);
}

#[test]
fn templates_of_one_type_keep_their_own() {
    let (one, two) = (Server::start(), Server::start());
    let mount = |scheme: &str, server: &Server| {
        let base = server.url("/");
        format!("[mounts.{scheme}]\ntype = \"http\"\nbase = \"{base}\"\nprivate_addresses = true\nretries = 0\n")
    };
    let place = place_with(&(mount("one", &one) + &mount("two", &two)));
    let cars = [put(&place, &one, "/x/a.car", 10, 100), put(&place, &two, "/x/a.car", 12, 100)];
    place.run(&["register", "--key", "one", "one:x/a.car"]).done();
    place.run(&["register", "--key", "two", "two:x/a.car", "--lazy"]).done();
    // Another process fetches them again, each from where it is.
    place.run(&["evict", "one"]).done();
    for server in [&one, &two] {
        server.take_sent();
    }
    for (key, car) in ["one", "two"].iter().zip(&cars) {
        let listed = place.json_lines(&["blocks", key]);
        assert_eq!(listed.len(), car.blocks.len());
        assert_eq!(listed[0]["cid"], car.blocks[0].0.to_string());
    }
    let size = |car: &Car| std::fs::metadata(&car.path).unwrap().len();
    // Of a lazy one it is looked first whether it has an index inside.
    assert_eq!((one.take_sent(), two.take_sent()), (size(&cars[0]), size(&cars[1]) + 51));
}

/// Waits until the process has made so many bytes of the copy of the one shard durable.
fn wait_for_durable(place: &Place, running: &mut Running, bytes: u64) {
    loop {
        let mut options = dagstore::copies::Options::default();
        options.read_only = true;
        let folder = place.store().join("copies");
        let look = dagstore::copies::Copies::open(std::sync::Arc::new(dagstore::fs::RealFileSystem), &folder, options);
        if look.unwrap().list().iter().any(|info| info.done >= bytes) {
            return;
        }
        assert_eq!(running.process.try_wait().unwrap(), None, "it has ended");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// Starts to register a CAR, of which half becomes durable and not all is sent.
fn start_half(place: &Place, server: &Server, size: u64) -> Running {
    // What comes is made durable every 8 MiB, and a piece of it later.
    server.stop_at(Some(size / 2 + (12 << 20)));
    let mut running = place.start(&["register", &server.url("/a.car")]);
    wait_for_durable(place, &mut running, size / 2);
    running
}

#[test]
fn a_kill_at_half_costs_no_more_than_the_other_half() {
    // More of them where that is asked for, 1024 for instance.
    let mebibytes = std::env::var("DAGSTORE_KILLED_MIB").map_or(64, |text| text.parse().unwrap());
    let place = place_with("");
    let (server, car) = serve(&place, "/a.car", mebibytes, 1 << 20);
    let size = std::fs::metadata(&car.path).unwrap().len();
    start_half(&place, &server, size).kill();
    let first = server.take_sent();
    server.stop_at(None);
    assert_eq!(place.json(&["info", "a"])["copy"]["state"], "partial");
    let resumed = place.json(&["resume"]);
    assert_eq!(resumed["available"], 1, "{resumed} {}", place.json(&["info", "a"]));
    let second = server.take_sent();
    assert!(second * 100 < size * 51, "{first} bytes were sent, then {second} of {size}");
    gets(&place, &car);
}

#[test]
fn interrupted_in_the_middle_it_goes_on_from_there() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = place_with("");
    let (server, car) = serve(&place, "/a.car", 32, 1 << 20);
    let size = std::fs::metadata(&car.path).unwrap().len();
    let running = start_half(&place, &server, size);
    kill_process(Pid::from_child(&running.process), Signal::INT).unwrap();
    let (code, said) = running.end();
    assert_eq!(code, Some(130), "{said}");
    assert!(said.starts_with("error: interrupted; the store was closed\n"), "{said}");
    server.take_sent();
    server.stop_at(None);
    let resumed = place.json(&["resume"]);
    assert_eq!(resumed["available"], 1, "{resumed} {}", place.json(&["info", "a"]));
    let second = server.take_sent();
    assert!(second * 100 < size * 51, "{second} of {size}");
    gets(&place, &car);
}

#[test]
fn fetches_are_shown_on_terminals_alone() {
    let place = place_with("");
    let (server, car) = serve(&place, "/a.car", 4, 1 << 20);
    put(&place, &server, "/b.car", 4, 1 << 20);
    let urls = [server.url("/a.car"), server.url("/b.car")];
    let seen_of = |arguments: &[&str], fetches: u64| {
        server.take_sent();
        server.stop_at(Some(2 << 20));
        let terminal = Terminal::new(100);
        let mut command = place.command(arguments);
        command.stdout(Stdio::null()).stderr(terminal.stream());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while server.sent() < fetches * (2 << 20) {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
                // Long enough for the store to be asked a few times.
                std::thread::sleep(std::time::Duration::from_secs(1));
                server.stop_at(None);
            });
            terminal.run(command, "")
        })
    };
    let (code, _, seen) = seen_of(&["register", &urls[0], &urls[1]], 2);
    assert_eq!(code, Some(0), "{seen}");
    for key in ["a: ", "b: "] {
        assert!(seen.contains(key) && seen.contains("MiB of 4.00 MiB, ") && seen.contains(" left"), "{seen:?}");
    }
    place.run(&["evict", "a", "b"]).done();
    let (code, _, seen) = seen_of(&["pin", "a"], 1);
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("MiB of 4.00 MiB, "), "{seen:?}");
    place.run(&["evict", "a", "--force"]).done();
    // A pipe gets none; done() sees that.
    gets(&place, &car);
}
