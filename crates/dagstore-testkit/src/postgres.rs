//! A PostgreSQL of the test's own: made in a temporary folder, and ended with the test however that ends.
//!
//! It needs the programs of a server, and no driver.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a server that can't be started fails the test")]

mod proxy;

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub use proxy::{Proxy, Way};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Option<Child>,
    programs: PathBuf,
    folder: TempDir,
    settings: Vec<String>,
    /// Where it listens, on this machine.
    pub port: u16,
}

impl Server {
    /// Starts a server; `None`, after saying that `test` is skipped, where PostgreSQL isn't installed.
    ///
    /// # Panics
    /// When it is installed and doesn't start.
    pub async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &["--auth=trust"], &[]).await
    }

    /// Starts a server with these arguments of `initdb` and these settings.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_with(test: &str, initdb: &[&str], settings: &[&str]) -> Option<Self> {
        let Some(programs) = programs() else {
            crate::skipped(test, "there is no PostgreSQL; cargo xtask setup installs it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        give_to_server(folder.path());
        let mut command = as_other_user(&programs.join("initdb"));
        command.arg("-D").arg(folder.path().join("data")).args(["-U", "dagstore", "-E", "UTF8", "--no-sync"]);
        let made = command.args(initdb).output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let mut server = Self { process: None, programs, folder, settings, port: 0 };
        // The port may be taken by somebody else before the server has it.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if server.run().await {
                return Some(server);
            }
        }
        let log = fs::read_to_string(server.folder.path().join("log"));
        panic!("PostgreSQL doesn't start: {}", log.unwrap_or_default());
    }

    /// The URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.port)
    }

    /// The number of its first process.
    ///
    /// # Panics
    /// When it has been stopped.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process.as_ref().unwrap().id()
    }

    /// Where its files are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `psql` makes of a statement.
    ///
    /// # Panics
    /// When it can't be run.
    #[must_use]
    pub fn query(&self, statement: &str) -> Output {
        // Where the server may be by a link alone.
        let server = self.programs.join("postgres").canonicalize().unwrap();
        let mut command = Command::new(server.with_file_name("psql"));
        command.args(["-X", "-v", "ON_ERROR_STOP=1", "-d", &self.url(), "-c", statement]).output().unwrap()
    }

    /// Kills the server as a power cut would, but for what the operating system has: it starts by recovering.
    pub fn stop_at_once(&mut self) {
        self.signal(Signal::QUIT);
        self.wait();
    }

    /// Starts it again, at the same port.
    ///
    /// # Panics
    /// When it doesn't start.
    pub async fn start_again(&mut self) {
        assert!(self.run().await, "PostgreSQL doesn't start again");
    }

    /// Stops all of its processes where they are.
    pub fn pause(&self) {
        // First the one that could make more of them.
        self.signal(Signal::STOP);
        self.signal_children(Signal::STOP);
    }

    /// Lets them go on.
    pub fn go_on(&self) {
        self.signal_children(Signal::CONT);
        self.signal(Signal::CONT);
    }

    /// Starts the process, and waits until it answers; `false` where it has ended instead.
    async fn run(&mut self) -> bool {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = as_other_user(&self.programs.join("postgres"));
        command.arg("-D").arg(self.folder.path().join("data")).arg("-k").arg(self.folder.path());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-c", "fsync=on", "-c", "max_connections=200"]);
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let output = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(output.spawn().unwrap());
        let begin = Instant::now();
        loop {
            match answers(self.port).await {
                Ok(true) => return true,
                _ if begin.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(50)).await,
                answer => panic!("PostgreSQL doesn't answer: {answer:?}"),
            }
            if self.process.as_mut().is_none_or(|process| process.try_wait().unwrap().is_some()) {
                return false;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        let Some(process) = &self.process else { return };
        // It may have ended by itself.
        let _ended = kill_process(Pid::from_child(process), signal);
    }

    fn signal_children(&self, signal: Signal) {
        let Some(process) = &self.process else { return };
        let listed = Command::new("ps").args(["-o", "pid=", "--ppid", &process.id().to_string()]).output().unwrap();
        for child in String::from_utf8(listed.stdout).unwrap().split_whitespace() {
            if let Some(child) = child.parse().ok().and_then(Pid::from_raw) {
                let _ended = kill_process(child, signal);
            }
        }
    }

    fn wait(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let begin = Instant::now();
        while process.try_wait().is_ok_and(|ended| ended.is_none()) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ended = process.kill().and_then(|()| process.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What is paused would never hear of its end.
        self.go_on();
        self.stop_at_once();
    }
}

/// The URL of a server, or of a proxy before it.
#[must_use]
pub fn url(port: u16) -> String {
    format!("postgres://dagstore@127.0.0.1:{port}/postgres")
}

/// Lets the server have a file or folder, where it is somebody else than the test.
///
/// # Panics
/// When that isn't allowed.
pub fn give_to_server(path: &Path) {
    if let Some((user, group)) = other_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

/// Whether a server answers: anything but that it is still starting, also that a password is missing.
async fn answers(port: u16) -> io::Result<bool> {
    /// The protocol's version, 3.0, and who wants what.
    const HELLO: &[u8] = b"\0\x03\0\0user\0dagstore\0database\0postgres\0\0";
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_u32(4 + u32::try_from(HELLO.len()).unwrap()).await?;
    stream.write_all(HELLO).await?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await?;
    let is_starting = answer[..length].windows(5).any(|code| code == b"57P03");
    Ok(length > 0 && !is_starting)
}

/// The folder of PostgreSQL's programs: the `PATH`'s, or the newest where Debian and Homebrew put them.
fn programs() -> Option<PathBuf> {
    let is_there = |folder: &PathBuf| folder.join("initdb").exists() && folder.join("postgres").exists();
    let of_path = std::env::var_os("PATH").and_then(|path| std::env::split_paths(&path).find(is_there));
    of_path.or_else(|| {
        let mut found: Vec<PathBuf> = Vec::new();
        for (parent, suffix) in [("/usr/lib/postgresql", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr/pgsql", "bin")] {
            let folders = fs::read_dir(parent).into_iter().flatten().flatten();
            found.extend(folders.map(|entry| entry.path().join(suffix)).filter(is_there));
        }
        found.sort();
        found.pop()
    })
}

/// A command that ends with its parent, as a user that isn't root: PostgreSQL refuses to be root.
fn as_other_user(program: &Path) -> Command {
    let user = other_user();
    if user.is_none() && !Path::new("/usr/bin/setpriv").exists() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if let Some((user, group)) = user {
        command.args([&format!("--reuid={user}"), &format!("--regid={group}"), "--clear-groups"]);
    }
    command.arg(program);
    // Its messages are read by nobody but the developer, and its working directory must be one that it can enter.
    command.env("LC_ALL", "C").current_dir("/");
    command
}

/// For root: who to be instead.
fn other_user() -> Option<(u32, u32)> {
    let id = |arguments: &[&str]| -> Option<u32> {
        String::from_utf8(Command::new("id").args(arguments).output().ok()?.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    let named = |name: &str| Some((id(&["-u", name])?, id(&["-g", name])?));
    named("postgres").or_else(|| named("nobody"))
}
