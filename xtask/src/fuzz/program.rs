//! The program of one target.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::fuzz::CORPUS;
use crate::fuzz::outcome::Outcome;
use crate::shell;
use crate::workspace::Workspace;

/// Names a folder with more files than the repository has.
const FIXTURES_VARIABLE: &str = "DAGSTORE_FIXTURES";

/// What stands in front of the names of inputs that have found something; they are kept whatever they cover.
const FOUND: &str = "found-";

/// The longest input of each target, where it isn't libFuzzer's 4 KiB, in bytes.
const LONGEST: [(&str, usize); 4] = [("car", 6_000), ("index-built", 600), ("index-file", 8_000), ("mount-url", 9_000)];

/// Folders with files that are inputs as they are, below the folder of fixtures.
const FIXTURES: [(&str, &[&str]); 2] = [("car", &["car", "fuzz", "gateway"]), ("go-index", &["index"])];

/// A built target.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    executable: PathBuf,
    corpus: PathBuf,
    /// The folder of its own below the target folder.
    folder: PathBuf,
    fixtures: PathBuf,
}

impl Program {
    /// The target `name`, whose program is in `programs`.
    pub(super) fn new(workspace: &Workspace, target_folder: &Path, programs: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            executable: programs.join(format!("fuzz-{name}")),
            corpus: workspace.root().join(CORPUS).join(name),
            folder: target_folder.join("fuzzed").join(name),
            fixtures: workspace.root().join("fixtures"),
        }
    }

    /// The target's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs it until its time is up or something is found. What it says goes to a file.
    pub(super) fn run(&self, seconds: u64, seed: u32) -> Result<Outcome> {
        let (new, log) = (self.new_inputs()?, self.folder.join("log"));
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let mut command = self.command();
        command.arg(format!("-max_total_time={seconds}")).arg(format!("-seed={seed}")).arg("-print_final_stats=1");
        command.arg(new).arg(&self.corpus).args(self.more_inputs());
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let status = command.status().with_context(|| format!("starting {}", shell::describe(&command)))?;
        let text = fs::read(&log).with_context(|| format!("reading {}", log.display()))?;
        Ok(Outcome::read(&String::from_utf8_lossy(&text), status.success()))
    }

    /// Runs it on one input; `false` where that finds something.
    pub(super) fn replay(&self, input: &Path) -> Result<bool> {
        if !input.is_file() {
            bail!("{} is no file", input.display());
        }
        let mut command = self.command();
        command.arg(input);
        Ok(command.status().with_context(|| format!("starting {}", shell::describe(&command)))?.success())
    }

    /// Removes the inputs that were found since the corpus was minimised.
    pub(super) fn forget(&self) -> Result<()> {
        let new = self.new_inputs()?;
        fs::remove_dir_all(&new).with_context(|| format!("removing {}", new.display()))
    }

    /// Puts the fewest inputs that cover as much as all into the corpus. Files of the repository may be among them, others not.
    pub(super) fn minimise(&self) -> Result<()> {
        let (new, fewest) = (self.new_inputs()?, self.folder.join("fewest"));
        let _ = fs::remove_dir_all(&fewest);
        fs::create_dir_all(&fewest).with_context(|| format!("creating {}", fewest.display()))?;
        let mut command = self.command();
        // By what is covered, not how often: a tenth of the inputs does for that.
        command
            .args(["-merge=1", "-use_counters=0"])
            .arg(&fewest)
            .arg(&self.corpus)
            .arg(&new)
            .args(self.folders_in(&self.fixtures));
        shell::capture(&mut command)?;
        for entry in fs::read_dir(&self.corpus)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(FOUND) {
                fs::remove_file(entry.path())?;
            }
        }
        let mut count = 0;
        for entry in fs::read_dir(&fewest)? {
            let entry = entry?;
            fs::copy(entry.path(), self.corpus.join(entry.file_name()))?;
            count += 1;
        }
        println!("fuzz: {}: {count} inputs", self.name);
        Ok(())
    }

    fn command(&self) -> Command {
        let longest = LONGEST.iter().find(|(name, _)| *name == self.name).map_or(4_096, |(_, longest)| *longest);
        let mut command = Command::new(&self.executable);
        // An input that takes a minute hangs. All inputs are small, and what is bounded by a limit instead (a header, a section) has
        // 4 MiB: a single allocation of 8 comes from a length that was believed.
        command.args(["-timeout=60", "-report_slow_units=60", "-rss_limit_mb=2048", "-malloc_limit_mb=8"]);
        command.arg(format!("-max_len={longest}")).arg(format!("-artifact_prefix={}/{FOUND}", self.folder.display()));
        // Leaks are looked for by a thread that traces the others, which is refused in many containers.
        command.arg("-detect_leaks=0").env("ASAN_OPTIONS", "detect_leaks=0").env("RUST_BACKTRACE", "0");
        command
    }

    /// The folder for inputs that cover something new.
    fn new_inputs(&self) -> Result<PathBuf> {
        let folder = self.folder.join("new");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }

    /// Folders with more inputs to begin with.
    fn more_inputs(&self) -> Vec<PathBuf> {
        let mut folders = self.folders_in(&self.fixtures);
        if let Some(fixtures) = std::env::var_os(FIXTURES_VARIABLE) {
            folders.extend(self.folders_in(Path::new(&fixtures)));
        }
        folders
    }

    fn folders_in(&self, fixtures: &Path) -> Vec<PathBuf> {
        let names = FIXTURES.iter().filter(|(name, _)| *name == self.name).flat_map(|(_, folders)| *folders);
        names.map(|folder| fixtures.join(folder)).filter(|folder| folder.is_dir()).collect()
    }
}
