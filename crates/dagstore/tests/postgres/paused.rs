//! A process that stands still while another one takes its lease, and goes on then as if no time had passed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use dagstore::mount::BytesMount;
use dagstore::{Dagstore, Error};
use dagstore_testkit::cars;
use dagstore_testkit::postgres::Server;
use tokio::time::{sleep, timeout};

use crate::{PATIENCE, open};

/// Tell the child, which is this very test program, where its database and its folder are, and how long its lease is.
const URL: &str = "DAGSTORE_TEST_PAUSED_URL";
const FOLDER: &str = "DAGSTORE_TEST_PAUSED_FOLDER";
const LEASE_SECONDS: &str = "DAGSTORE_TEST_PAUSED_LEASE";

/// What the child's lines begin with, and its last one.
const CHILD: &str = "child: ";
const FENCED: &str = "fenced";

/// The lease runs out while its holder stands still, and the holder's own clock says so when it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_slept_through_its_lease_writes_nothing_more() {
    let test = "a_process_that_slept_through_its_lease_writes_nothing_more";
    let Some(mut first) = Paused::start(test, Duration::from_secs(3)).await else { return };
    first.stop().await;
    first.end_by_takeover().await;
}

/// The server gives the lease up early, as after a jump of its clock: the holder that goes on believes in its lease, and only
/// the server can know better.
#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_believes_in_its_lease_is_refused_by_the_server() {
    let test = "a_process_that_believes_in_its_lease_is_refused_by_the_server";
    let Some(mut first) = Paused::start(test, Duration::from_mins(2)).await else { return };
    first.stop().await;
    let psql = first.server.query("UPDATE dagstore_lease SET until = clock_timestamp() - interval '1 hour'");
    assert!(psql.status.success(), "{psql:?}");
    first.end_by_takeover().await;
}

/// A process with a store that registers one shard after the other.
struct Paused {
    server: Server,
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reading: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Paused {
    /// Starts it; in the process itself this never returns.
    async fn start(test: &str, lease: Duration) -> Option<Self> {
        if let Ok(url) = std::env::var(URL) {
            be_the_child(&url).await;
        }
        let server = Server::start(test).await?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", &format!("paused::{test}"), "--nocapture"]);
        command.env(URL, server.url()).env(FOLDER, folder.path()).env(LEASE_SECONDS, lease.as_secs().to_string());
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let output = BufReader::new(process.stdout.take().unwrap());
        let heard = lines.clone();
        let reading = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The harness has begun the first line.
                let said = line.split_once(CHILD).map(|(_, said)| said.to_owned());
                heard.lock().unwrap().extend(said);
            }
        });
        Some(Self { server, process, lines, reading: Some(reading), _folder: folder })
    }

    /// What the process has said with this word, such as `asks` and `has`.
    fn said(&self, word: &str) -> BTreeSet<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| Some(line.strip_prefix(word)?.strip_prefix(' ')?.to_owned())).collect()
    }

    /// Stops the process in the middle of its work.
    async fn stop(&mut self) {
        let working = async {
            while self.said("has").len() < 5 {
                assert_eq!(self.process.try_wait().unwrap(), None, "the process has ended");
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, working).await.expect("the process doesn't come to work");
        self.signal("-STOP");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Another store takes the lease, and the process goes on.
    async fn end_by_takeover(mut self) {
        let (folder, lease) = (tempfile::tempdir().unwrap(), Duration::from_mins(5));
        let second = open(&self.server.url(), lease, folder.path()).await;
        second.resumed().await.unwrap();
        let mut keys = keys(&second);
        let mount = BytesMount::new(cars::numbered(3, 50).bytes).unwrap();
        second.register_mount("second", &mount).await.unwrap();
        self.signal("-CONT");
        let ending = async {
            while self.process.try_wait().unwrap().is_none() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, ending).await.expect("the process goes on for ever");
        self.reading.take().unwrap().join().unwrap();
        let lines = self.lines.lock().unwrap().clone();
        assert_eq!(lines.last().map(String::as_str), Some(FENCED), "{lines:?}");
        let [asked, acknowledged] = ["asks", "has"].map(|word| self.said(word));
        assert!(keys.is_subset(&asked), "{keys:?} of {asked:?}");
        // What it was told when it went on had been there before.
        let late = acknowledged.difference(&keys).count();
        assert_eq!(late, 0, "so many were acknowledged by a process that had lost its lease");

        keys.insert("second".to_owned());
        assert_eq!(self::keys(&second), keys);
        second.destroy("first-0").await.unwrap();
        keys.remove("first-0");
        second.close().await.unwrap();
        let third = open(&self.server.url(), lease, folder.path()).await;
        assert_eq!((third.quarantined(), self::keys(&third)), (vec![], keys));
        third.close().await.unwrap();
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
    }
}

fn keys(store: &Dagstore) -> BTreeSet<String> {
    store.shards().into_iter().map(|shard| shard.key.to_string()).collect()
}

/// Registers shards until it is refused, says what it asks for and what it is told, and ends.
#[expect(clippy::print_stdout, reason = "the parent reads the lines")]
async fn be_the_child(url: &str) -> ! {
    let folder = std::env::var_os(FOLDER).unwrap();
    let lease = Duration::from_secs(std::env::var(LEASE_SECONDS).unwrap().parse().unwrap());
    let store = open(url, lease, Path::new(&folder)).await;
    let mount = BytesMount::new(cars::numbered(3, 50).bytes).unwrap();
    for number in 0.. {
        let key = format!("first-{number}");
        println!("{CHILD}asks {key}");
        match store.register_mount(&key, &mount).await {
            Ok(()) => println!("{CHILD}has {key}"),
            Err(Error::OwnershipLost { .. }) => break,
            Err(error) => println!("{CHILD}is refused: {error:?}"),
        }
    }
    // It is over for good, not for this call alone.
    let destroyed = store.destroy("first-0").await;
    let closed = store.close().await;
    let is_over = [destroyed, closed].iter().all(|ended| matches!(ended, Err(Error::OwnershipLost { .. })));
    println!("{CHILD}{}", if is_over { FENCED } else { "goes on" });
    std::process::exit(0);
}
