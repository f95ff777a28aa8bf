//! Starting a process and killing it in the middle of its work.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::cars::Car;
use super::child::INDEXING;
use super::{ensure, unexpected};
use crate::exit::Outcome;

/// So slow that the work takes many seconds, and so fast that the first of it is done in a fraction of one.
const BYTES_PER_SECOND: u64 = 2 << 20;

/// A process that indexes a CAR. It is killed at the latest when the value is dropped.
#[derive(Debug)]
pub(crate) struct Indexing {
    process: Child,
    pub(crate) done_bytes: u64,
    pub(crate) total_bytes: u64,
}

impl Indexing {
    /// Starts a process of this very program, and waits until it is in the middle of indexing the CAR.
    pub(crate) async fn start(store: &Path, car: &Car) -> Outcome<Self> {
        let program = std::env::current_exe().map_err(unexpected)?;
        let mut command = Command::new(program);
        command.arg("--dir").arg(store).args(["demo-child", "--key", car.key]);
        command.arg(format!("--bytes-per-second={BYTES_PER_SECOND}")).arg("--").arg(&car.path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let process = command.spawn().map_err(unexpected)?;
        let mut indexing = Self { process, done_bytes: 0, total_bytes: 0 };
        let stdout = indexing.process.stdout.take().ok_or_else(|| unexpected("a process without output"))?;
        // Reading waits for the other process, and an interruption must not wait for that.
        let line = tokio::task::spawn_blocking(move || first_line(stdout)).await.map_err(unexpected)?;
        let mut words = line.split_ascii_whitespace();
        if words.next() != Some(INDEXING) {
            return Err(unexpected(format!("process {} said {line:?} and {:?}", indexing.pid(), indexing.complaint())));
        }
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let numbers = number().zip(number());
        (indexing.done_bytes, indexing.total_bytes) =
            numbers.ok_or_else(|| unexpected(format!("the line {line:?}")))?;
        Ok(indexing)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills the process as `kill -9` does: it can neither notice nor prevent it.
    pub(crate) fn kill(mut self) -> Outcome {
        ensure(self.process.try_wait().map_err(unexpected)?.is_none(), "the process ended by itself")?;
        self.process.kill().map_err(unexpected)?;
        let status = self.process.wait().map_err(unexpected)?;
        ensure(status.code().is_none(), format_args!("the process wasn't killed, it {status}"))
    }

    /// What the process says on standard error once it has ended.
    fn complaint(&mut self) -> String {
        let _ = self.process.kill();
        let mut text = String::new();
        if let Some(stderr) = &mut self.process.stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        // Both fail where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn first_line(stdout: ChildStdout) -> String {
    let mut line = String::new();
    // What can't be read is missing in the line.
    let _ = BufReader::new(stdout).read_line(&mut line);
    line
}
