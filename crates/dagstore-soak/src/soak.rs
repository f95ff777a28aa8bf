//! A long time, spell by spell.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use dagstore::{Backend, Dagstore};
use futures_util::future::{join, try_join_all};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::leak::Leak;
use crate::load::{Caller, Done, Tally, all_serve};
use crate::rng::Rng;
use crate::sample::Sample;
use crate::sources::Sources;
use crate::verdict::{Measure, Verdict};
use crate::{Error, Result};

/// How many ask at the same time.
const CALLERS: u64 = 8;

/// Into how many spells a short time is cut, how many there are at least, however long that takes, and how long the longest is.
const SPELLS: u32 = 15;
const FEWEST_SPELLS: u64 = 12;
const LONGEST_SPELL: Duration = Duration::from_mins(1);

/// How often a source is broken or mended.
const DISTURBED_EVERY: Duration = Duration::from_millis(3);

/// How often is looked at what the process has, where that isn't more than a tenth of a spell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Threads for work that blocks. They never end, so that their number says something.
const BLOCKING_THREADS: usize = 16;

/// Less than all copies together have, so that some are evicted to make room.
const QUOTA_BYTES: u64 = 1 << 20;

/// A source that hangs holds nobody up for longer.
const IDLE: Duration = Duration::from_millis(300);

/// The same at the end, when nothing hangs and all must serve, on whatever machine.
const AT_THE_END: Duration = Duration::from_mins(1);

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The seed of all choices.
    pub seed: u64,
    /// How long.
    pub lasts: Duration,
    /// What is lost all the time, to see it noticed.
    pub leak: Option<Leak>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    plan: Plan,
    /// How many spells there were.
    pub spells: u64,
    /// What was done.
    pub done: BTreeMap<&'static str, Done>,
    /// How many samples were taken.
    pub samples: usize,
    /// The most that the process had of each.
    pub most: Sample,
    /// What is said of each measure.
    pub verdicts: Vec<Verdict>,
    /// What was wrong beside.
    pub broken: Option<String>,
}

/// Runs the load.
///
/// # Errors
/// What keeps it from running at all; what is wrong with the store is in the report.
pub fn run(plan: Plan) -> Result<Report> {
    Sample::take()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(Duration::from_hours(24))
        .enable_all()
        .build()?;
    let folder = tempfile::Builder::new().prefix("dagstore-soak-").tempdir()?;
    let soak = Soak {
        plan,
        sources: Sources::new()?,
        tally: Tally::default(),
        under_load: Mutex::default(),
        at_rest: Mutex::default(),
    };
    all_begun(&runtime);
    let (spells, broken) = runtime.block_on(soak.spells(folder.path()));
    let (under_load, at_rest) = (soak.under_load.into_inner(), soak.at_rest.into_inner());
    let judge = |measure| [Verdict::of(measure, false, &under_load), Verdict::of(measure, true, &at_rest)];
    Ok(Report {
        plan,
        spells,
        done: soak.tally.of_all(),
        samples: under_load.len() + at_rest.len(),
        most: under_load.iter().chain(&at_rest).fold(Sample::default(), |most, sample| most.most(*sample)),
        verdicts: Measure::ALL.into_iter().flat_map(judge).collect(),
        broken: broken.map(|error| error.to_string()),
    })
}

/// Has all threads for blocking work begun, so that their number doesn't grow by and by.
fn all_begun(runtime: &Runtime) {
    let barrier = Arc::new(Barrier::new(BLOCKING_THREADS + 1));
    for _ in 0..BLOCKING_THREADS {
        let barrier = barrier.clone();
        runtime.spawn_blocking(move || {
            barrier.wait();
        });
    }
    barrier.wait();
}

struct Soak {
    plan: Plan,
    sources: Sources,
    tally: Tally,
    under_load: Mutex<Vec<Sample>>,
    at_rest: Mutex<Vec<Sample>>,
}

impl Soak {
    /// How many spells there were, and what was wrong.
    async fn spells(&self, folder: &Path) -> (u64, Option<Error>) {
        let end = Instant::now() + self.plan.lasts;
        let (mut spells, mut broken) = (0, None);
        while broken.is_none() && (Instant::now() < end || spells < FEWEST_SPELLS) {
            broken = self.spell(folder, spells).await.err();
            spells += 1;
        }
        self.sources.mend();
        if broken.is_none() {
            broken = self.end(folder).await.err();
        }
        (spells, broken)
    }

    fn length(&self) -> Duration {
        (self.plan.lasts / SPELLS).min(LONGEST_SPELL)
    }

    async fn spell(&self, folder: &Path, spell: u64) -> Result<()> {
        let store = self.open(folder, IDLE).await?;
        let until = Instant::now() + self.length();
        let work = |caller| {
            let rng = Rng::new(self.plan.seed, spell, caller);
            let (store, sources, tally) = (&store, &self.sources, &self.tally);
            async move { Caller { store, sources, tally, rng }.work(until).await }
        };
        let callers = try_join_all((0..CALLERS).map(work));
        let (worked, ((), watched)) = join(callers, join(self.disturb(spell, until), self.watch(until))).await;
        worked?;
        watched?;
        store.close().await?;
        drop(store);
        self.at_rest.lock().push(Sample::take()?);
        match bytes_in(&folder.join("copies"))? {
            bytes if bytes <= QUOTA_BYTES => Ok(()),
            bytes => Err(format!("the local copies have {bytes} bytes, and a quota of {QUOTA_BYTES}").into()),
        }
    }

    async fn open(&self, folder: &Path, patience: Duration) -> Result<Dagstore> {
        let builder = Dagstore::builder().directory(folder).backend(Backend::Redb);
        let builder = builder.registry(self.sources.registry.clone()).configure_copies(|options| {
            options.quota_bytes = Some(QUOTA_BYTES);
            options.keep_free_bytes = 0;
            options.room_deadline = patience;
            options.idle_timeout = patience;
            options.chunk_bytes = 8 << 10;
            options.checkpoint_bytes = 16 << 10;
        });
        let builder = builder.configure(|options| options.stat_deadline = patience);
        Ok(builder.open().await?)
    }

    /// Breaks and mends sources.
    async fn disturb(&self, spell: u64, until: Instant) {
        let mut rng = Rng::new(self.plan.seed, spell, CALLERS);
        while Instant::now() < until {
            self.sources.disturb(&mut rng);
            tokio::time::sleep(DISTURBED_EVERY).await;
        }
        // Nobody is held up for the end.
        self.sources.mend();
    }

    /// Looks at what the process has.
    async fn watch(&self, until: Instant) -> Result<()> {
        let every = LOOK_EVERY.min(self.length() / 10);
        loop {
            tokio::time::sleep(every).await;
            if Instant::now() >= until {
                return Ok(());
            }
            if let Some(leak) = self.plan.leak {
                leak.lose()?;
            }
            self.under_load.lock().push(Sample::take()?);
        }
    }

    /// All is well again, and must serve.
    async fn end(&self, folder: &Path) -> Result<()> {
        let store = self.open(folder, AT_THE_END).await?;
        store.resumed().await?;
        let served = all_serve(&store, &self.sources).await;
        store.close().await?;
        served
    }
}

/// The lengths of all files in a folder together.
fn bytes_in(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

impl Report {
    /// Whether all stays flat and nothing was wrong.
    pub fn is_good(&self) -> bool {
        let all_done = !self.done.is_empty() && self.done.values().all(|done| done.good > 0);
        self.broken.is_none() && all_done && self.verdicts.iter().all(Verdict::is_flat)
    }

    /// Every figure with its name, for whoever adds up those of several runs.
    pub fn figures(&self) -> Vec<(String, u64)> {
        let Sample { descriptors, threads, resident_kib } = self.most;
        let most = [("most descriptors", descriptors), ("most threads", threads), ("most resident KiB", resident_kib)];
        let plain = [("spells", self.spells), ("samples", self.samples as u64)].into_iter().chain(most);
        let done = self.done.iter().flat_map(|(action, done)| {
            [(format!("done: {action}"), done.good), (format!("refused: {action}"), done.refused)]
        });
        plain.map(|(name, count)| (name.to_owned(), count)).chain(done).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, spells, done, samples, verdicts, broken, .. } = self;
        for (action, Done { good, refused }) in done {
            writeln!(f, "  {action}: {good} done, {refused} refused")?;
        }
        for verdict in verdicts {
            writeln!(f, "  {verdict}")?;
        }
        let seconds = plan.lasts.as_secs();
        write!(f, "soak from seed {}: {seconds} s in {spells} spells, {samples} samples", plan.seed)?;
        if let Some(never) = done.iter().find(|(_, done)| done.good == 0) {
            write!(f, "\nBROKEN: never once was there success with: {}", never.0)?;
        }
        if let Some(broken) = broken {
            write!(f, "\nBROKEN: {broken}")?;
        }
        if self.is_good() {
            return Ok(());
        }
        write!(f, "\nagain: cargo xtask soak --seed {} --for {seconds}s", plan.seed)?;
        plan.leak.map_or(Ok(()), |leak| write!(f, " -- --leak {leak}"))
    }
}
