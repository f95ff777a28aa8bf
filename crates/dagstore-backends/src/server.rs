//! One PostgreSQL for all tests of a program, with a table for each store.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::Duration;

use dagstore_postgres::{PostgresBuilder, PostgresDatastore};
use dagstore_testkit::postgres::Server;
use parking_lot::Mutex;

/// A lease that no test outlasts.
const LEASE: Duration = Duration::from_mins(5);

static SERVER: LazyLock<Option<Running>> = LazyLock::new(Running::start);

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A table of the program's server.
#[derive(Debug)]
pub(crate) struct Table {
    name: String,
    url: String,
}

impl Table {
    /// A table that nobody has had; `None`, after saying that `test` is skipped, where PostgreSQL isn't installed.
    pub(crate) fn new(test: &str) -> Option<Self> {
        let Some(server) = &*SERVER else {
            dagstore_testkit::skipped(test, "there is no PostgreSQL; cargo xtask setup installs it");
            return None;
        };
        Some(Self { name: format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed)), url: server.url.clone() })
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) fn builder(&self) -> PostgresBuilder {
        PostgresDatastore::builder().table(&self.name).lease(LEASE).read_connections(2)
    }
}

struct Running {
    url: String,
    /// Its end of the pipe closes with this program, however that ends.
    _sweeper: Mutex<Child>,
}

impl Running {
    /// A program of tests ends without dropping what is static, so the server is held by a thread that never ends, and
    /// another process sweeps up behind this one.
    fn start() -> Option<Self> {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let server = runtime.block_on(Server::start("all tests on PostgreSQL"));
            let started = server.as_ref().map(|server| {
                let sweeper = Mutex::new(sweeper(server));
                Self { url: server.url(), _sweeper: sweeper }
            });
            sender.send(started).unwrap();
            if server.is_some() {
                // The server ends with the thread that has started it.
                loop {
                    thread::park();
                }
            }
        });
        receiver.recv().expect("PostgreSQL doesn't start")
    }
}

/// Waits for the end of this program, ends the server, and removes its folder.
fn sweeper(server: &Server) -> Child {
    use std::os::unix::process::CommandExt as _;

    const SWEEP: &str =
        "read -r _; kill -QUIT $1 2>/dev/null; while kill -0 $1 2>/dev/null; do sleep 0.1; done; rm -rf -- \"$2\"";
    let mut command = Command::new("sh");
    command.args(["-c", SWEEP, "sweeper", &server.process().to_string()]).arg(server.folder());
    // Not ended with the tests by whoever ends them at a terminal.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}
