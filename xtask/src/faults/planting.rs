//! Planting one fault and looking at its test.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;

use crate::cargo::Cargo;
use crate::faults::list::Plant;
use crate::scratch::Scratch;
use crate::selection::Selection;
use crate::simulate;
use crate::workspace::Workspace;

/// How long a test may take. It has a patience of its own, and this is far longer: a test that hangs is no red one.
const LONGEST: Duration = Duration::from_mins(3);

/// How many lines are told of a test that failed for another reason.
const LINES_TOLD: usize = 30;

/// How a test took the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It failed, and said what it should.
    Red,
    /// It passed.
    Green,
}

impl Seen {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "GREEN",
        }
    }
}

/// A copy of the workspace to plant faults in.
#[derive(Debug)]
pub(crate) struct Planting {
    scratch: Scratch,
    target_folder: PathBuf,
    /// The crates that are tested together, so that dependencies have the same features as in other runs and aren't built again.
    selection: Vec<String>,
}

impl Planting {
    /// Makes the copy.
    ///
    /// # Errors
    ///
    /// When the workspace can't be read or copied.
    pub(crate) fn prepare(workspace: &Workspace) -> Result<Self> {
        let selection = simulate::without(Selection::of(workspace)?.lean());
        let target_folder = workspace.target_folder()?;
        let scratch = Scratch::take(workspace.root(), &target_folder.join("faults"))?;
        Ok(Self { scratch, target_folder, selection })
    }

    /// Makes the change, builds, and runs the test.
    ///
    /// # Errors
    ///
    /// When the change can't be made, doesn't compile, or the test can't be told to have passed or failed as it should.
    pub(crate) fn plant(&self, plant: &Plant) -> Result<Seen> {
        self.scratch.restore()?;
        self.scratch.change(&plant.file, |text| plant.apply(text))?;
        let program = self.build(plant);
        // Before anything else: a copy that was left changed would be compiled again for nothing.
        self.scratch.restore()?;
        let (output, succeeded) = run(&program?, &plant.test)?;
        judge(&output, succeeded, plant)
    }

    /// Builds the test program of a plant, from the copy as it is, and returns where it is.
    ///
    /// # Errors
    ///
    /// When it doesn't compile, or there is none.
    pub(crate) fn build(&self, plant: &Plant) -> Result<PathBuf> {
        let mut command = Cargo::plain(&self.scratch.workspace()).command(["test", "--no-run", "--quiet"]);
        command.args(&self.selection).args(["--test", &plant.target()]);
        command.arg("--message-format=json-render-diagnostics").arg("--target-dir").arg(&self.target_folder);
        let output = command.stdin(Stdio::null()).output().context("starting cargo")?;
        if !output.status.success() {
            bail!("it doesn't compile any more: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        for message in Message::parse_stream(&output.stdout[..]) {
            if let Message::CompilerArtifact(artifact) = message?
                && artifact.target.name == plant.target()
                && artifact.manifest_path.parent().is_some_and(|folder| folder.ends_with(&plant.package))
                && let Some(program) = artifact.executable
            {
                return Ok(program.into());
            }
        }
        bail!("cargo has built no test program {} of {}", plant.target(), plant.package)
    }
}

/// Runs one test and returns all that it printed, and whether it passed.
fn run(program: &PathBuf, test: &str) -> Result<(String, bool)> {
    let (mut output, input) = std::io::pipe().context("making a pipe")?;
    let mut command = Command::new(program);
    command.args(["--exact", test, "--test-threads", "1"]).env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    // The command holds the pipe's other end, which would never be closed.
    drop(command);
    let reading = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            bail!("it hangs, and has no patience of its own");
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    match reading.join() {
        Ok(printed) => Ok((printed?, status.success())),
        Err(_) => bail!("what the test printed can't be read"),
    }
}

/// How the test took the fault, from what it printed and whether its program ended well.
fn judge(output: &str, succeeded: bool, plant: &Plant) -> Result<Seen> {
    // What a test prints past its harness may stand between its name and its outcome.
    let start = format!("test {} ... ", plant.test);
    if !output.lines().any(|line| line.starts_with(&start)) {
        bail!("there is no such test");
    }
    if succeeded {
        return Ok(Seen::Green);
    }
    // A test that has failed may panic once more when it cleans up, which ends the program. It has said why before.
    if output.contains(&plant.says) {
        return Ok(Seen::Red);
    }
    let beginning: Vec<&str> = output.lines().take(LINES_TOLD).collect();
    bail!("it fails, but doesn't say {:?}:\n{}", plant.says, beginning.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::{Seen, judge};
    use crate::faults::list::Plant;

    fn seen(output: &str, succeeded: bool) -> Result<Seen, String> {
        let text = "test = 'a::b'\nwhat = 'w'\nfile = 'f'\nold = 'o'\nnew = 'n'\nsays = 'it never happened'\n";
        let plant: Plant = toml::from_str(text).unwrap();
        judge(output, succeeded, &plant).map_err(|error| error.to_string())
    }

    #[test]
    fn red_is_a_test_that_fails_and_says_why() {
        let failed = "running 1 test\ntest a::b ... FAILED\n---- a::b stdout ----\nit never happened: x\n\n";
        assert_eq!(seen(failed, false), Ok(Seen::Red));
        let aborted =
            "running 1 test\ntest a::b ... \nit never happened: x\nthread caused non-unwinding panic. aborting.\n";
        assert_eq!(seen(aborted, false), Ok(Seen::Red));
        let otherwise = failed.replace("it never happened", "out of memory");
        assert!(seen(&otherwise, false).is_err_and(|error| error.starts_with("it fails, but doesn't say")));
    }

    #[test]
    fn green_is_a_test_that_passes_whatever_it_says() {
        let passed = "running 1 test\ntest a::b ... ok\nit never happened\ntest result: ok. 1 passed; 0 failed\n";
        assert_eq!(seen(passed, true), Ok(Seen::Green));
    }

    #[test]
    fn a_test_that_is_missing_is_neither() {
        let none = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored\n";
        assert_eq!(seen(none, true), Err("there is no such test".to_owned()));
    }
}
