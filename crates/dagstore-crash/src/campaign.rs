//! Many rounds, spread evenly over all moments.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dagstore::Backend;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::check::Truth;
use crate::child::times_in;
use crate::point::{Hit, Life, Moment};
use crate::report::{Failure, Report, Row};
use crate::rng::Rng;
use crate::round::{Done, Kill, Kills, Rounds};
use crate::shards::{Cars, Shards};
use crate::{Error, Result};

/// How many shards are registered in a round where nobody says otherwise.
const SHARDS: usize = 20;

/// How many shards are registered at the same time: one, some, all. What is written as one batch is another thing in each.
fn widths(shards: usize) -> [usize; 3] {
    [1, 4, shards]
}

/// How often another seed is tried where a process came by the moment less often than those that were counted.
const MOST_TRIES: u64 = 60;

/// A process that resumes comes by a moment so many times, or less often.
const RESUMING_TIMES: u64 = 3;

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program whose [`live`](crate::live) is called with what stands behind [`CHILD`](crate::CHILD).
    pub program: PathBuf,
    /// On which backend.
    pub backend: Backend,
    /// The seed of all choices.
    pub seed: u64,
    /// The number of the first round: a campaign that goes on where another one has ended takes up the moments behind its last.
    pub begin: u64,
    /// How many rounds.
    pub rounds: u64,
    /// No round is begun after so much time.
    pub lasts: Option<Duration>,
    /// How often somebody is killed at any time, from outside: once in so many rounds. 0 is once after all moments.
    pub outside_every: usize,
    /// How many shards are registered in each.
    pub shards: usize,
    /// How many rounds are run at the same time.
    pub jobs: usize,
    /// Whether a store in which something is broken is left for somebody to look at.
    pub keeps_what_failed: bool,
    /// Kills to do again in every round, instead of choosing some.
    pub again: Option<Kills>,
}

impl Plan {
    /// Many rounds on redb, two at a time.
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            backend: Backend::Redb,
            seed: 1,
            begin: 0,
            rounds: 1000,
            lasts: None,
            outside_every: 0,
            shards: SHARDS,
            jobs: 2,
            keeps_what_failed: true,
            again: None,
        }
    }

    /// What rounds are for, one after the other, and then again from the first one on.
    fn targets(&self) -> Vec<Target> {
        if let Some(kills) = self.again {
            return vec![Target::Again(kills)];
        }
        let moments: Vec<_> = Moment::all(self.backend).into_iter().map(Target::At).collect();
        let between = if self.outside_every == 0 { moments.len() } else { self.outside_every.saturating_sub(1).max(1) };
        let with_one = |moments: &[Target]| moments.iter().copied().chain([Target::AnyTime]).collect::<Vec<_>>();
        moments.chunks(between).flat_map(with_one).collect()
    }
}

/// What a round is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    At(Moment),
    AnyTime,
    Again(Kills),
}

impl Target {
    fn name(self) -> String {
        match self {
            Self::At(moment) => moment.to_string(),
            Self::AnyTime => "any time, from outside".to_owned(),
            Self::Again(kills) => kills.to_string(),
        }
    }
}

/// How it is with a process that isn't killed.
#[derive(Debug)]
struct Counted {
    times: BTreeMap<Moment, u64>,
    took: Duration,
}

struct Campaign {
    plan: Plan,
    rounds: Rounds,
    targets: Vec<Target>,
    begun: Instant,
    /// By width.
    counted: BTreeMap<usize, Counted>,
    folder: TempDir,
    next: AtomicU64,
    is_over: AtomicBool,
    report: Mutex<Report>,
}

/// Runs the rounds until one breaks a rule.
///
/// # Errors
/// What keeps it from running at all; broken rules are in the report.
pub fn run(plan: Plan) -> Result<Report> {
    let begin = Instant::now();
    let folder = tempfile::Builder::new().prefix("dagstore-crash-").tempdir()?;
    let cars = folder.path().join("cars");
    fs::create_dir(&cars)?;
    let truth = Truth { shards: Shards::make(&cars, plan.shards)?, cars: Cars(cars), backend: plan.backend };
    let rounds = Rounds { program: plan.program.clone(), truth };
    let targets = plan.targets();
    let mut rows: Vec<Row> = Vec::new();
    for target in &targets {
        if rows.iter().all(|row| row.name() != target.name()) {
            rows.push(Row::new(target.name()));
        }
    }
    let mut campaign = Campaign {
        report: Mutex::new(Report::new(&plan, rows)),
        counted: BTreeMap::new(),
        next: AtomicU64::new(plan.begin),
        begun: begin,
        is_over: AtomicBool::new(false),
        plan,
        rounds,
        targets,
        folder,
    };
    if campaign.plan.again.is_none() {
        campaign.count()?;
    }
    let work = || {
        let worked = runtime().and_then(|runtime| campaign.work(&runtime));
        if let Err(error) = worked {
            campaign.fail(None, error, None);
        }
    };
    thread::scope(|scope| {
        for _ in 0..campaign.plan.jobs.max(1) {
            scope.spawn(work);
        }
    });
    let Campaign { report, folder, .. } = campaign;
    let mut report = report.into_inner();
    report.took = begin.elapsed();
    if report.failure.as_ref().is_some_and(|failure| failure.folder.is_some()) {
        let _kept = folder.keep();
    }
    Ok(report)
}

fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?)
}

impl Campaign {
    /// Counts how often a process that isn't killed comes by each moment; its store is looked at as all others are.
    fn count(&mut self) -> Result<()> {
        let runtime = runtime()?;
        for width in widths(self.plan.shards) {
            let kills = Kills { width, first: None, second: None };
            let folder = self.folder.path().join(format!("counted-{width}"));
            fs::create_dir(&folder)?;
            let begin = Instant::now();
            if let Err(error) = self.rounds.run(&kills, &folder, &runtime) {
                self.fail(Some(kills), error, Some(folder));
                return Ok(());
            }
            let (took, times) = (begin.elapsed(), read_times(&folder)?);
            fs::remove_dir_all(&folder)?;
            self.counted.insert(width, Counted { times, took });
        }
        Ok(())
    }

    fn work(&self, runtime: &Runtime) -> Result<()> {
        while !self.is_over.load(Ordering::Relaxed) {
            let round = self.next.fetch_add(1, Ordering::Relaxed);
            let is_over = self.plan.lasts.is_some_and(|lasts| self.begun.elapsed() >= lasts);
            if is_over || round >= self.plan.begin.saturating_add(self.plan.rounds) {
                break;
            }
            self.round(round, runtime)?;
        }
        Ok(())
    }

    /// Tries seeds until everybody is killed who was to be.
    fn round(&self, round: u64, runtime: &Runtime) -> Result<()> {
        let target = self.targets[usize::try_from(round % self.targets.len() as u64)?];
        for attempt in 0..MOST_TRIES {
            let mut rng = Rng::new(self.plan.seed, round, attempt);
            let Some(kills) = self.choose(target, &mut rng) else { continue };
            let folder = self.folder.path().join(format!("round-{round}-{attempt}"));
            fs::create_dir(&folder)?;
            match self.rounds.run(&kills, &folder, runtime) {
                Err(error) => {
                    self.fail(Some(kills), error, Some(folder));
                    return Ok(());
                }
                Ok(done) => {
                    fs::remove_dir_all(&folder)?;
                    let Done { all_killed, kills, acknowledged } = done;
                    self.report.lock().count(&target.name(), all_killed, kills, acknowledged);
                    if all_killed || self.plan.again.is_some() {
                        return Ok(());
                    }
                }
            }
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        self.fail(None, format!("in {MOST_TRIES} tries nobody was killed at {}", target.name()).into(), None);
        Ok(())
    }

    /// Kills for a round; `None` where the process of that width doesn't come by.
    fn choose(&self, target: Target, rng: &mut Rng) -> Option<Kills> {
        let moment = match target {
            Target::Again(kills) => return Some(kills),
            Target::At(moment) => Some(moment),
            Target::AnyTime => None,
        };
        let width = rng.pick(&widths(self.plan.shards));
        let Counted { times, took } = self.counted.get(&width)?;
        let Some(moment) = moment else {
            let micros = u64::try_from(took.as_micros()).ok()?.max(1);
            let delay = Duration::from_micros(rng.up_to(micros));
            return Some(Kills { width, first: Some(Kill::Later(delay)), second: None });
        };
        if moment.life == Life::First {
            let first = Hit { moment, time: rng.up_to(*times.get(&moment)?) };
            return Some(Kills { width, first: Some(Kill::At(first)), second: None });
        }
        let first: Vec<_> = times.iter().filter(|(first, _)| moment.point.may_follow(**first)).collect();
        let (first, times) = rng.pick(&first);
        let first = Hit { moment: *first, time: rng.up_to(*times) };
        // Of what several do at once, several may have been interrupted.
        let second = Hit { moment, time: rng.up_to(RESUMING_TIMES.min(width as u64)) };
        Some(Kills { width, first: Some(Kill::At(first)), second: Some(second) })
    }

    /// Notes the first failure, and ends the campaign.
    fn fail(&self, kills: Option<Kills>, error: Error, folder: Option<PathBuf>) {
        self.is_over.store(true, Ordering::Relaxed);
        let mut report = self.report.lock();
        if report.failure.is_none() {
            let folder = folder.filter(|_| self.plan.keeps_what_failed);
            report.failure = Some(Failure { kills, what: error.to_string(), folder });
        }
    }
}

/// Reads what a process that wasn't killed has told.
fn read_times(round: &Path) -> Result<BTreeMap<Moment, u64>> {
    let text = fs::read_to_string(times_in(round))?;
    let read = |line: &str| -> Result<_> {
        let (moment, times) = line.split_once(' ').ok_or("a line without a number")?;
        Ok((moment.parse()?, times.parse()?))
    };
    text.lines().map(read).collect()
}
