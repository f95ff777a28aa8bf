//! A store in a directory of its own, the program run on it, and CAR files to put into it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use dagstore::car::{CarWriter, RawCid, v2_head};
use serde_json::Value;
use tempfile::TempDir;

/// A directory with room for a store, and for CAR files beside it.
pub(crate) struct Place {
    root: TempDir,
}

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    what: String,
}

/// A CAR file and what is in it.
pub(crate) struct Car {
    pub(crate) path: PathBuf,
    pub(crate) blocks: Vec<(RawCid, Vec<u8>)>,
}

/// A running program. It is killed at the latest when the value is dropped.
pub(crate) struct Running {
    pub(crate) process: Child,
    /// Nothing once nobody reads it any more.
    stdout: Option<BufReader<ChildStdout>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    /// A place with a store.
    pub(crate) fn with_store() -> Self {
        let place = Self::new();
        place.run(&["init"]).done();
        place
    }

    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.root().join("store")
    }

    /// The program with the arguments, on the store, in the place, without anything of this process's own settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("dagstore"));
        command.env("DAGSTORE_DIR", self.store()).env("HOME", self.root()).env("TMPDIR", self.root());
        command.env_remove("RUST_BACKTRACE").current_dir(self.root()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    /// Runs the program with `--json` and reads its one document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let lines = self.json_lines(arguments);
        assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
        lines.into_iter().next().unwrap()
    }

    /// Runs the program with `--json` and reads its documents, a line each.
    pub(crate) fn json_lines(&self, arguments: &[&str]) -> Vec<Value> {
        let ran = self.run(&[&["--json"], arguments].concat()).done();
        ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The states of all shards, by key.
    pub(crate) fn states(&self) -> Vec<(String, String)> {
        let text = |shard: &Value, field: &str| shard[field].as_str().unwrap_or_default().to_owned();
        self.json_lines(&["list"]).iter().map(|shard| (text(shard, "key"), text(shard, "state"))).collect()
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = process.stdout.take().map(BufReader::new);
        Running { process, stdout }
    }

    /// Starts a process that registers the CAR so slowly that it is in the middle of it for many seconds, and waits
    /// until it is.
    pub(crate) fn start_indexing(&self, key: &str, car: &Car) -> Running {
        let path = car.path.display().to_string();
        let mut running = self.start(&["demo-child", "--key", key, "--bytes-per-second", "524288", &path]);
        let line = running.line();
        assert!(line.starts_with("indexing "), "{line:?}");
        running
    }

    /// Writes a CAR of blocks that are all different.
    pub(crate) fn car(&self, name: &str, version: u8, blocks: usize, block_bytes: usize) -> Car {
        let block = |number: usize| {
            let mut data = format!("{name} {number} ").into_bytes();
            data.resize(block_bytes.max(data.len()), b'.');
            (RawCid::of_data(0x55, &data), data)
        };
        self.car_of(name, version, (0..blocks).map(block).collect())
    }

    /// Writes a CAR whose root is its first block.
    pub(crate) fn car_of(&self, name: &str, version: u8, blocks: Vec<(RawCid, Vec<u8>)>) -> Car {
        let mut writer = CarWriter::new(Vec::new(), &[blocks[0].0.clone()]).unwrap();
        for (cid, data) in &blocks {
            writer.write(cid, data).unwrap();
        }
        let payload = writer.finish().unwrap();
        let head = if version == 2 { v2_head(payload.len() as u64).to_vec() } else { Vec::new() };
        let path = self.root().join(name);
        std::fs::write(&path, [head, payload].concat()).unwrap();
        Car { path, blocks }
    }

    /// The names of the files below a directory of the place, in order.
    pub(crate) fn files(&self, below: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![self.root().join(below)];
        while let Some(directory) = left.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    left.push(path.clone());
                }
                found.push(path.strip_prefix(self.root()).unwrap().display().to_string());
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
        what: format!("{command:?}"),
    }
}

/// Says that a test has nothing to do here, where it is counted.
#[expect(clippy::print_stdout, reason = "a test speaks to whoever runs it")]
pub(crate) fn skipped(what: &str, reason: &str) {
    if let Some(log) = std::env::var_os("DAGSTORE_SKIP_LOG") {
        let mut log = File::options().append(true).create(true).open(log).unwrap();
        writeln!(log, "dagstore-cli::{what}: {reason}").unwrap();
    }
    println!("SKIPPED: {reason}");
}

/// A terminal that somebody looks at.
pub(crate) struct Terminal {
    ours: File,
    theirs: File,
}

impl Terminal {
    pub(crate) fn new(columns: u16) -> Self {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap().into_string().unwrap();
        let theirs = File::options().read(true).write(true).open(name).unwrap();
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(theirs.as_fd(), size).unwrap();
        Self { ours: ours.into(), theirs }
    }

    pub(crate) fn stream(&self) -> Stdio {
        self.theirs.try_clone().unwrap().into()
    }

    /// Runs the command, types the text, and returns how it ended, what it wrote into a pipe and what was seen.
    pub(crate) fn run(mut self, mut command: Command, typed: &str) -> (Option<i32>, String, String) {
        // Without a name of the terminal nothing is drawn on it.
        let mut process = command.env("TERM", "xterm").spawn().unwrap();
        self.ours.write_all(typed.as_bytes()).unwrap();
        let mut stdout = process.stdout.take();
        let mut ours = self.ours;
        // Read to a mark that is written last: a terminal whose other end is closed may keep back what it was given before.
        let reading = std::thread::spawn(move || {
            let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
            while !seen.ends_with(END) {
                let count = ours.read(&mut buffer).unwrap();
                seen.extend(&buffer[..count]);
            }
            seen.truncate(seen.len() - END.len());
            seen
        });
        let mut text = String::new();
        if let Some(stdout) = &mut stdout {
            stdout.read_to_string(&mut text).unwrap();
        }
        let code = process.wait().unwrap().code();
        self.theirs.write_all(END).unwrap();
        (code, text, String::from_utf8(reading.join().unwrap()).unwrap())
    }
}

/// What ends what is seen on a terminal.
const END: &[u8] = b"<the end>";

impl Ran {
    /// It succeeded, and said nothing on standard error.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.what);
        self
    }

    /// It failed with this code, and said why in one line and what to do in another. Returns the two.
    #[track_caller]
    pub(crate) fn failed(self, code: i32) -> (String, String) {
        assert_eq!(self.code, Some(code), "{}: {}", self.what, self.stderr);
        let lines: Vec<_> = self.stderr.lines().collect();
        let [error, advice] = lines[..] else { panic!("{}: {}", self.what, self.stderr) };
        let error = error.strip_prefix("error: ").unwrap_or_else(|| panic!("{error}"));
        let advice = advice.strip_prefix("try: ").unwrap_or_else(|| panic!("{advice}"));
        assert!(!error.is_empty() && !advice.is_empty() && self.stderr.ends_with('\n'));
        (error.to_owned(), advice.to_owned())
    }

    /// Several shards failed: the lines that say which, and the last two, the failure of all and the way out.
    #[track_caller]
    pub(crate) fn failed_each(&self) -> (Vec<&str>, &str, &str) {
        assert_eq!(self.code, Some(1), "{}: {}", self.what, self.stderr);
        let lines: Vec<_> = self.stderr.lines().collect();
        let [told @ .., error, advice] = &lines[..] else { panic!("{}: {}", self.what, self.stderr) };
        let told = told.iter().map(|line| line.strip_prefix("failed ").unwrap()).collect();
        (told, error.strip_prefix("error: ").unwrap(), advice.strip_prefix("try: ").unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

impl Car {
    pub(crate) fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }
}

impl Running {
    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Reads nothing any more.
    pub(crate) fn close_stdout(&mut self) {
        self.stdout = None;
    }

    /// Waits for its end, and returns its code and what it said on standard error.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), said)
    }

    /// Kills it as `kill -9` does, and sees that it was killed.
    pub(crate) fn kill(mut self) {
        assert_eq!(self.process.try_wait().unwrap(), None, "it ended by itself");
        self.process.kill().unwrap();
        assert_eq!(self.process.wait().unwrap().code(), None);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
