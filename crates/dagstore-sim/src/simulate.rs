//! Many sequences, on all cores; and the one that fails, made short.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::counts::Counts;
use crate::event::Sequence;
use crate::panics;
use crate::recipe::{Recipe, Stale};
use crate::run::Run;
use crate::world::{Broken, World};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The first seed; the next ones follow.
    pub seed: u64,
    /// How many of them.
    pub amount: Amount,
    /// How many events a sequence has on the average.
    pub events: u64,
    /// On how many threads.
    pub threads: usize,
}

/// How much to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many sequences.
    Sequences(u64),
    /// As many whole sequences as have at least so many events together.
    Steps(u64),
}

impl Plan {
    /// How many events a sequence has where nobody says otherwise.
    pub const EVENTS: u64 = 36;

    /// So much from this seed on, on all cores.
    pub fn new(seed: u64, amount: Amount) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { seed, amount, events: Self::EVENTS, threads }
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
    /// The shortened sequence.
    pub recipe: Recipe,
    /// What it broke.
    pub broken: Broken,
    /// How many events there were before it was made short.
    pub events: usize,
    /// What happened in the shortened sequence.
    pub trace: Vec<String>,
}

/// Runs the sequences until one breaks a rule: always the same ones for the same plan, on however many threads, and where
/// several break a rule, the first of them is told.
pub fn simulate(plan: Plan) -> Report {
    let start = Instant::now();
    let given_out = Mutex::new(GivenOut::default());
    let found: Mutex<Option<(u64, Sequence, Broken)>> = Mutex::new(None);
    let total = Mutex::new(Counts::default());
    let work = || {
        let mut counts = Counts::default();
        while found.lock().is_none() {
            let Some((number, sequence)) = given_out.lock().next(&plan) else { break };
            let (done, broken, _) = run(&sequence, false);
            counts.add(done);
            if let Some(broken) = broken {
                // Whoever has an earlier one is still at it.
                let mut found = found.lock();
                if found.as_ref().is_none_or(|(first, ..)| number < *first) {
                    *found = Some((number, sequence, broken));
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
    let failure = found.into_inner().map(|(_, sequence, broken)| shrink(&sequence, plan.events, broken));
    Report { counts: total.into_inner(), took: start.elapsed(), failure }
}

/// What the threads have taken.
#[derive(Debug, Default)]
struct GivenOut {
    sequences: u64,
    steps: u64,
}

impl GivenOut {
    /// The next sequence and its number; none where there are enough.
    fn next(&mut self, plan: &Plan) -> Option<(u64, Sequence)> {
        let is_enough = match plan.amount {
            Amount::Sequences(wanted) => self.sequences >= wanted,
            Amount::Steps(wanted) => self.steps >= wanted,
        };
        if is_enough {
            return None;
        }
        let number = self.sequences;
        let sequence = Sequence::of(plan.seed.wrapping_add(number), plan.events);
        self.sequences += 1;
        self.steps += sequence.events.len() as u64;
        Some((number, sequence))
    }
}

/// Runs the sequence of one seed, and tells all that happens in it.
pub fn replay(seed: u64, events: u64) -> (Vec<String>, Option<Broken>) {
    let (_, broken, trace) = run(&Sequence::of(seed, events), true);
    (trace, broken)
}

/// Runs the sequence of a recipe, and tells all that happens in it.
///
/// # Errors
/// [`Stale`] where its seed gives another sequence by now.
pub fn cook(recipe: &Recipe) -> Result<(Vec<String>, Option<Broken>), Stale> {
    let (_, broken, trace) = run(&recipe.sequence()?, true);
    Ok((trace, broken))
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
fn shrink(sequence: &Sequence, mean: u64, broken: Broken) -> Failure {
    let all = sequence.events.len();
    let mut kept: Vec<usize> = (0..all).collect();
    let mut size = all;
    while size > 0 {
        let mut at = 0;
        let mut is_shorter = false;
        while at < kept.len() {
            let mut candidate = kept.clone();
            candidate.drain(at..(at + size).min(candidate.len()));
            let still = run(&sequence.only(&candidate), false).1.is_some_and(|found| found.rule == broken.rule);
            if still {
                kept = candidate;
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
    let (_, last, trace) = run(&sequence.only(&kept), true);
    let broken = last.unwrap_or(broken);
    let recipe = Recipe::new(sequence, mean, kept, broken.rule);
    Failure { recipe, broken, events: all, trace }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { sequences, events, crashed, crashes, faults, answers, .. } = &self.counts;
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
        let Self { recipe, broken: Broken { rule, what }, events, trace } = self;
        let Recipe { seed, mean, kept, .. } = recipe;
        writeln!(f, "seed {seed} breaks {rule}: {what}")?;
        writeln!(f, "made short, {} of {events} events:", kept.len())?;
        for line in trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "all of it: cargo xtask simulate --seed {seed} --events {mean} --sequences 1 --verbose")
    }
}
