//! Many sequences, on all cores; and the one that fails, made short.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::event::Sequence;
use crate::panics;
use crate::run::{Counts, Run};
use crate::world::{Broken, World};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The first seed; the next ones follow.
    pub seed: u64,
    /// How many sequences.
    pub sequences: u64,
    /// How many events a sequence has on the average.
    pub events: u64,
    /// On how many threads.
    pub threads: usize,
}

impl Plan {
    /// How many events a sequence has where nobody says otherwise.
    pub const EVENTS: u64 = 36;

    /// So many sequences from this seed on, on all cores.
    pub fn new(seed: u64, sequences: u64) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { seed, sequences, events: Self::EVENTS, threads }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was done.
    pub counts: Counts,
    /// How long it took.
    pub took: Duration,
    /// The first sequence that broke a rule.
    pub failure: Option<Failure>,
}

/// A sequence that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// How many events sequences have on the average: without it the seed is another sequence.
    pub mean: u64,
    /// What it broke.
    pub broken: Broken,
    /// How many events the shortened sequence has, and how many there were.
    pub events: (usize, usize),
    /// What happened in the shortened sequence.
    pub trace: Vec<String>,
}

/// Runs the sequences until one breaks a rule.
pub fn simulate(plan: Plan) -> Report {
    let start = Instant::now();
    let next = AtomicU64::new(0);
    let found: Mutex<Option<Failure>> = Mutex::new(None);
    let total = Mutex::new(Counts::default());
    let work = || {
        let mut counts = Counts::default();
        while found.lock().is_none() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.sequences {
                break;
            }
            let sequence = Sequence::of(plan.seed.wrapping_add(number), plan.events);
            let (done, broken, _) = run(&sequence, false);
            counts.add(done);
            if let Some(broken) = broken {
                // Made short by one thread while the others end.
                let mut found = found.lock();
                if found.is_none() {
                    *found = Some(shrink(sequence, plan.events, broken));
                }
            }
        }
        total.lock().add(counts);
    };
    thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(work);
        }
    });
    Report { counts: total.into_inner(), took: start.elapsed(), failure: found.into_inner() }
}

/// Runs the sequence of one seed, and tells all that happens in it.
pub fn replay(seed: u64, events: u64) -> (Vec<String>, Option<Broken>) {
    let (_, broken, trace) = run(&Sequence::of(seed, events), true);
    (trace, broken)
}

/// Runs one sequence. Returns the rule that was broken, and what happened if that is wanted.
fn run(sequence: &Sequence, traced: bool) -> (Counts, Option<Broken>, Vec<String>) {
    let world = World::new(&sequence.setup, traced);
    let (counts, panic) = panics::noting(|| run_in(&world, sequence));
    if let Some(panic) = panic {
        world.breaks("panic", || panic);
    }
    (counts.unwrap_or_default(), world.broken(), world.take_trace())
}

fn run_in(world: &Arc<World>, sequence: &Sequence) -> Counts {
    let mut run = match Run::new(sequence, world.clone()) {
        Ok(run) => run,
        Err(error) => {
            world.breaks("machine", || format!("there is no runtime: {error}"));
            return Counts::default();
        }
    };
    for event in &sequence.events {
        run.step(event);
        if world.is_broken() {
            return run.counts;
        }
    }
    run.finish()
}

/// Drops events for as long as the sequence still breaks the same rule.
fn shrink(mut sequence: Sequence, mean: u64, broken: Broken) -> Failure {
    let seed = sequence.seed;
    let all = sequence.events.len();
    let mut size = all;
    while size > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < sequence.events.len() {
            let mut candidate = sequence.clone();
            candidate.events.drain(at..(at + size).min(candidate.events.len()));
            let still = run(&candidate, false).1.is_some_and(|found| found.rule == broken.rule);
            if still {
                sequence = candidate;
                is_shorter = true;
            } else {
                at += size;
            }
        }
        // Single events are tried again until none can be dropped.
        if size > 1 || !is_shorter {
            size /= 2;
        }
    }
    let (_, last, trace) = run(&sequence, true);
    Failure { seed, mean, broken: last.unwrap_or(broken), events: (sequence.events.len(), all), trace }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { sequences, events, crashed, crashes, faults, answers } = self.counts;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{sequences} sequences, {events} events, {answers} answers, {crashes} crashes in {crashed} sequences, \
             {faults} faults, {seconds:.1} s"
        )?;
        match &self.failure {
            None => Ok(()),
            Some(failure) => write!(f, "\n{failure}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, mean, broken: Broken { rule, what }, events: (left, all), trace } = self;
        writeln!(f, "seed {seed} breaks {rule}: {what}")?;
        writeln!(f, "made short, {left} of {all} events:")?;
        for line in trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "again: cargo xtask simulate --seed {seed} --events {mean} --sequences 1 --verbose")
    }
}
