//! One round: a new store, one or two processes that are killed, and a look at what they left.

use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;
use crate::check::Truth;
use crate::child::{Child, diary_in};
use crate::point::{Hit, Life};

const SIGKILL: i32 = 9;

/// How often it is looked whether a process has said something, or has ended.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How long a process may live. It takes a second or so, and one that hangs must not hold up the rest.
const LONGEST: Duration = Duration::from_mins(2);

/// How a round's processes are killed. Its text is the program's options for the same again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kills {
    /// How many shards are registered at the same time.
    pub width: usize,
    /// When the first process is killed; never, where it is only to be counted.
    pub first: Option<Kill>,
    /// When the one is killed that takes up what the first one has left.
    pub second: Option<Hit>,
}

/// When a process is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    /// It kills itself at that moment.
    At(Hit),
    /// It is killed from outside, so long after it has said something for the first time.
    Later(Duration),
}

impl fmt::Display for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--width {}", self.width)?;
        match self.first {
            None => {}
            Some(Kill::At(hit)) => write!(f, " --at {hit}")?,
            Some(Kill::Later(delay)) => write!(f, " --after-micros {}", delay.as_micros())?,
        }
        self.second.map_or(Ok(()), |hit| write!(f, " --then {hit}"))
    }
}

/// What all rounds share.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// The program that lives as a child when it is told to.
    pub(crate) program: PathBuf,
    pub(crate) truth: Truth,
}

/// How a round went in which nothing was broken.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Done {
    /// Whether everybody who was to be killed was.
    pub(crate) all_killed: bool,
    /// How many processes were killed.
    pub(crate) kills: u64,
    /// How many acknowledgements were kept.
    pub(crate) acknowledged: usize,
}

impl Rounds {
    /// Runs a round in a folder that is empty.
    ///
    /// # Errors
    /// What was broken.
    pub(crate) fn run(&self, kills: &Kills, round: &Path, runtime: &tokio::runtime::Runtime) -> Result<Done> {
        let mut done = Done { all_killed: true, ..Done::default() };
        let first = match kills.first {
            Some(Kill::At(hit)) => self.live(kills, round, Life::First, Some(hit), None)?,
            Some(Kill::Later(delay)) => self.live(kills, round, Life::First, None, Some(delay))?,
            None => self.live(kills, round, Life::First, None, None)?,
        };
        done.count(kills.first.is_some(), first);
        if let Some(hit) = kills.second {
            done.count(true, self.live(kills, round, Life::Second, Some(hit), None)?);
        }
        done.acknowledged = runtime.block_on(self.truth.check(round))?;
        Ok(done)
    }

    /// Whether the process was killed.
    fn live(&self, kills: &Kills, round: &Path, life: Life, at: Option<Hit>, delay: Option<Duration>) -> Result<bool> {
        let (backend, shards) = (self.truth.backend, self.truth.shards.count);
        let child = Child {
            round: round.into(),
            cars: self.truth.cars.0.clone(),
            backend,
            width: kills.width,
            shards,
            life,
            at,
        };
        let said = round.join("stderr");
        let mut command = Command::new(&self.program);
        command.args(child.arguments()).current_dir(round).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = command.stderr(fs::File::create(&said)?).spawn()?;
        let status = end_of(&mut process, &diary_in(round), delay)?;
        if status.signal() == Some(SIGKILL) {
            return Ok(true);
        }
        if status.success() {
            return Ok(false);
        }
        let said = fs::read_to_string(said).unwrap_or_default();
        Err(format!("the process ended with {status}: {}", said.trim_end()).into())
    }
}

impl Done {
    fn count(&mut self, is_to_be_killed: bool, is_killed: bool) {
        self.all_killed &= is_killed || !is_to_be_killed;
        self.kills += u64::from(is_killed);
    }
}

/// Waits for the end of a process, and brings it about where a delay is given.
fn end_of(process: &mut Process, diary: &Path, delay: Option<Duration>) -> Result<ExitStatus> {
    let begin = Instant::now();
    let mut has_said = None;
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        if let Some(delay) = delay {
            // The first line says what is going to be asked for, the second one what was acknowledged.
            if has_said.is_none() && fs::read_to_string(diary).is_ok_and(|said| said.lines().count() > 1) {
                has_said = Some(Instant::now());
            }
            if has_said.is_some_and(|since: Instant| since.elapsed() >= delay) {
                process.kill()?;
                return Ok(process.wait()?);
            }
        }
        if begin.elapsed() >= LONGEST {
            process.kill()?;
            process.wait()?;
            return Err(format!("the process was still alive after {LONGEST:?}").into());
        }
        thread::sleep(LOOK_EVERY);
    }
}
