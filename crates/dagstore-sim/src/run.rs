//! Runs one sequence.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use dagstore_engine::{Error, Mode, ShardAccessor};
use tokio::runtime::Runtime;

use crate::counts::{Counts, Cut};
use crate::disk::Failing;
use crate::event::{DatastoreFault, Event, KEYS, RepoFault, Sequence, Setup, Then, What};
use crate::ledger::{Ledger, Mark};
use crate::panics;
use crate::process::{self, Call, Outcome, Process, name};
use crate::world::World;
use dagstore_datastore::ErrorClass;

/// How long calls may wait once nothing fails any more.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// How often opening is tried.
const MOST_OPENINGS: usize = 10;

/// A sequence under way.
pub(crate) struct Run {
    pub(crate) world: Arc<World>,
    pub(crate) setup: Setup,
    pub(crate) runtime: Rc<Runtime>,
    pub(crate) process: Option<Process>,
    pub(crate) accessors: Vec<Held>,
    pub(crate) ledger: Ledger,
    pub(crate) is_closing: bool,
    pub(crate) processes: u64,
    pub(crate) counts: Counts,
}

/// An open accessor.
pub(crate) struct Held {
    pub(crate) key: usize,
    /// The process that it belongs to. One that was closed leaves its accessors.
    pub(crate) process: u64,
    pub(crate) accessor: ShardAccessor,
}

impl Run {
    /// Opens a store on an empty disk.
    ///
    /// # Errors
    /// When the machine gives no runtime.
    pub(crate) fn new(sequence: &Sequence, world: Arc<World>) -> std::io::Result<Self> {
        let mut run = Self {
            world,
            setup: sequence.setup,
            runtime: process::runtime(&sequence.setup)?,
            process: None,
            accessors: Vec::new(),
            ledger: Ledger::default(),
            is_closing: false,
            processes: 0,
            counts: Counts { sequences: 1, ..Counts::default() },
        };
        run.world.reseed(sequence.seed);
        run.start(false);
        Ok(run)
    }

    /// Lets one event happen and looks at everything.
    pub(crate) fn step(&mut self, event: &Event) {
        self.counts.events += 1;
        *self.counts.kinds.entry(event.what.kind()).or_default() += 1;
        self.world.reseed(event.salt);
        // Only a runtime that is entered tells its own time.
        let handle = self.runtime.handle().clone();
        let entered = handle.enter();
        self.world.says(|| format!("{:?}, then {:?}", event.what, event.then));
        self.act(event.what);
        drop(entered);
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            match event.then {
                Then::Nothing => self.turn().await,
                Then::Turns(turns) => {
                    for _ in 0..turns {
                        self.turn().await;
                        tokio::task::yield_now().await;
                    }
                    self.turn().await;
                }
                Then::Time(time) => drop(self.wait_until(time, |_| false).await),
            }
            self.check_all();
        });
        if let Some(panic) = panics::noted() {
            self.world.breaks("panic", || panic);
        }
    }

    fn act(&mut self, what: What) {
        match what {
            What::Register { key, how } => {
                self.ledger.of(key).registering();
                self.call(Call::Register { key, how });
            }
            What::Acquire { key } => {
                self.call(Call::Acquire { key });
                self.ledger.of(key).acquires += 1;
            }
            What::Rebuild { key } => {
                self.call(Call::Rebuild { key });
                self.ledger.of(key).acquires += 1;
            }
            What::Release { nth } => self.release(nth),
            What::Read { nth } => self.read(nth),
            What::Recover { key } => self.call(Call::Recover { key }),
            What::Destroy { key } => {
                self.ledger.of(key).destroying(self.world.disk.lock().failures);
                self.call(Call::Destroy { key });
            }
            What::Collect => self.call(Call::Collect),
            What::Resumed => self.call(Call::Resumed),
            What::Cancel { nth } => self.cancel(nth),
            What::Source { key, fault } => {
                self.counts.faults += 1;
                self.world.sources.lock().of(key).order(fault);
            }
            What::Datastore { fault } => self.break_datastore(fault),
            What::Repo { fault } => self.break_repo(fault),
            What::LoseIndex { nth, damaged } => {
                let lost = self.world.repo.lock().lose(nth, damaged);
                self.counts.faults += u64::from(lost.is_some());
            }
            What::Heal => self.heal(),
            What::Crash { heals, looks } => self.crash(heals, looks),
            What::Close { keeps_accessors } => self.close(keeps_accessors),
            What::Rest => self.rest(),
        }
    }

    pub(crate) fn call(&mut self, call: Call) {
        let Some(process) = &mut self.process else { return };
        let mut mark = Mark { changes: 0, acquires: 0, failures: self.world.disk.lock().failures };
        if let Some(key) = call.key() {
            let is_held = self.accessors.iter().any(|held| held.key == key && held.process == process.number)
                || process.pending_acquires(key) > 0;
            let fact = self.ledger.of(key);
            mark.changes = fact.changes;
            mark.acquires = fact.acquires - u64::from(is_held);
            if matches!(call, Call::Destroy { .. }) {
                mark.failures = fact.destroying_since;
            }
        }
        process.call(call, mark);
    }

    fn release(&mut self, nth: usize) {
        if !self.accessors.is_empty() {
            let nth = nth % self.accessors.len();
            drop(self.accessors.swap_remove(nth));
        }
    }

    fn read(&self, nth: usize) {
        if let Some(held) = self.accessors.get(nth % self.accessors.len().max(1)) {
            self.check_content(&held.accessor, true);
        }
    }

    fn cancel(&mut self, nth: usize) {
        let Some(process) = &mut self.process else { return };
        if process.pending.is_empty() {
            return;
        }
        let nth = nth % process.pending.len();
        drop(process.pending.remove(nth));
    }

    fn break_datastore(&mut self, fault: DatastoreFault) {
        self.counts.faults += 1;
        let mut disk = self.world.disk.lock();
        let failing = |class, times, applied| Some(Failing { class, times, applied });
        match fault {
            DatastoreFault::Transient(times) => disk.failing = failing(ErrorClass::Transient, times, Some(false)),
            DatastoreFault::Permanent(times) => disk.failing = failing(ErrorClass::Permanent, times, Some(false)),
            DatastoreFault::NeedsReopen(times) => disk.failing = failing(ErrorClass::NeedsReopen, times, None),
            DatastoreFault::WrittenButFailed(times) => {
                disk.failing = failing(ErrorClass::NeedsReopen, times, Some(true));
            }
            DatastoreFault::NoReopen(times) => {
                disk.failing = failing(ErrorClass::NeedsReopen, times, None);
                disk.failing_reopens = times;
            }
            DatastoreFault::Corrupt(times) => disk.failing = failing(ErrorClass::Corrupt, times, None),
            DatastoreFault::Slow(milliseconds) => {
                disk.slow = milliseconds;
                disk.was_slow = true;
            }
            DatastoreFault::Reads(times) => disk.failing_reads = times,
        }
    }

    fn break_repo(&mut self, fault: RepoFault) {
        self.counts.faults += 1;
        let mut repo = self.world.repo.lock();
        repo.was_faulty = true;
        match fault {
            RepoFault::Opens(times) => repo.failing_opens = times,
            RepoFault::Builds(times) => repo.failing_builds = times,
            RepoFault::Publishes(times) => repo.failing_publishes = times,
            RepoFault::Removes(times) => repo.failing_removes = times,
            RepoFault::Lists(times) => repo.failing_lists = times,
        }
    }

    pub(crate) fn heal(&mut self) {
        self.world.disk.lock().heal();
        self.world.repo.lock().heal();
        self.world.sources.lock().heal();
    }

    /// Gives the calls that wait a turn.
    async fn turn(&mut self) {
        poll_fn(|context| {
            self.poll(context);
            Poll::Ready(())
        })
        .await;
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        let Some(process) = &mut self.process else { return };
        let number = process.number;
        let answers = process.poll(context);
        // All accessors first: the store counts them all.
        let answers =
            answers.into_iter().map(|(call, mark, outcome)| (call, mark, self.take_accessor(number, call, outcome)));
        let answers: Vec<_> = answers.collect();
        for (call, mark, answer) in answers {
            self.answered(call, &mark, answer);
        }
    }

    fn take_accessor(&mut self, process: u64, call: Call, outcome: Outcome) -> Result<(), Error> {
        if let (Some(accessor), Some(key)) = (outcome?, call.key()) {
            self.check_content(&accessor, true);
            self.accessors.push(Held { key, process, accessor });
        }
        Ok(())
    }

    fn answered(&mut self, call: Call, mark: &Mark, answer: Result<(), Error>) {
        self.counts.answers += 1;
        self.world.says(|| format!("    {call:?}: {answer:?}"));
        self.take_answer(call, mark, &answer);
        if let Some(key) = call.key() {
            self.check(key);
        }
    }

    /// Lets so much time pass, or less if `done` comes first, which is returned.
    pub(crate) async fn wait_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let mut end = pin!(tokio::time::sleep(time));
        poll_fn(|context| {
            self.poll(context);
            if self.world.is_broken() || done(self) {
                return Poll::Ready(true);
            }
            end.as_mut().poll(context).map(|()| false)
        })
        .await
    }

    /// A process begins. `looks` opens the store paused before, and looks at it.
    fn start(&mut self, looks: bool) {
        let runtime = self.runtime.clone();
        self.processes += 1;
        runtime.block_on(async {
            self.world.clock().follow();
            if looks {
                self.open(Mode::Paused).await;
                self.look_paused().await;
            }
            self.open(Mode::Active).await;
        });
    }

    async fn open(&mut self, mode: Mode) {
        for _ in 0..MOST_OPENINGS {
            let reads_fail = self.world.disk.lock().failing_reads > 0;
            match Process::open(&self.world, &self.setup, mode, self.processes).await {
                Ok(process) => {
                    self.process = Some(process);
                    self.check_opened();
                    return;
                }
                Err(Error::Datastore(_)) if reads_fail => {}
                Err(error) => return self.world.breaks("open", || format!("the store can't be opened: {error}")),
            }
        }
        self.world.breaks("open", || "the store can't be opened, however often it is tried".to_owned());
    }

    async fn look_paused(&mut self) {
        let before = self.world.disk.lock().current().len();
        let Some(process) = &self.process else { return };
        let refused = process.engine.acquire(&name(0)).await;
        if !matches!(refused, Err(Error::Paused)) {
            self.world.breaks("paused", || format!("a paused store answers {refused:?}"));
        }
        if let Err(error) = process.engine.close().await {
            self.world.breaks("paused", || format!("a paused store can't be closed: {error}"));
        }
        if self.world.disk.lock().current().len() != before {
            self.world.breaks("paused", || "a paused store writes".to_owned());
        }
        self.process = None;
    }

    fn crash(&mut self, heals: bool, looks: bool) {
        let cut = Cut {
            has_waiting: self.process.as_ref().is_some_and(|process| !process.pending.is_empty()),
            has_unsynced: self.world.disk.lock().has_buffered(),
        };
        self.counts.crash(cut);
        self.end();
        if heals {
            self.heal();
        }
        self.start(looks);
    }

    /// The process is no more: disk and files are as they are, all else is gone.
    fn end(&mut self) {
        let clock = self.world.clock();
        self.runtime.block_on(async { clock.stop() });
        self.world.draw(|rng| self.world.disk.lock().crash(rng));
        self.world.draw(|rng| self.world.repo.lock().crash(rng));
        crate::rows::check_images(&self.world);
        let Some(process) = self.process.take() else { return };
        let number = process.number;
        self.accessors.retain(|held| held.process != number);
        let next = process::runtime(&self.setup);
        match next {
            Ok(next) => {
                let runtime = std::mem::replace(&mut self.runtime, next);
                if process.kill(runtime) {
                    self.world.breaks("crash", || "something of the process outlives it".to_owned());
                }
            }
            Err(error) => self.world.breaks("machine", || format!("there is no runtime: {error}")),
        }
        for key in 0..KEYS {
            self.ledger.of(key).changes += 1;
        }
    }

    fn close(&mut self, keeps_accessors: bool) {
        let runtime = self.runtime.clone();
        runtime.block_on(self.close_store());
        drop(runtime);
        let kept = if keeps_accessors { std::mem::take(&mut self.accessors) } else { Vec::new() };
        self.end();
        self.accessors.extend(kept);
        self.start(false);
    }

    pub(crate) async fn close_store(&mut self) {
        let Some(engine) = self.process.as_ref().map(|process| process.engine.clone()) else { return };
        let (failures, was_broken) = {
            let disk = self.world.disk.lock();
            (disk.failures, disk.needs_reopen || disk.was_slow || disk.failing.is_some())
        };
        self.is_closing = true;
        let mut closing = pin!(engine.close());
        let mut closed = None;
        let mut end = pin!(tokio::time::sleep(PATIENCE));
        poll_fn(|context| {
            if closed.is_none()
                && let Poll::Ready(outcome) = closing.as_mut().poll(context)
            {
                closed = Some(outcome);
            }
            self.poll(context);
            let is_waiting = self.process.as_ref().is_some_and(|process| !process.pending.is_empty());
            if closed.is_some() && !is_waiting || self.world.is_broken() {
                return Poll::Ready(());
            }
            end.as_mut().poll(context)
        })
        .await;
        self.is_closing = false;
        let disk = self.world.disk.lock();
        let (disk_failed, has_buffered) = (was_broken || disk.failures > failures, disk.has_buffered());
        drop(disk);
        self.world.says(|| format!("    closed: {closed:?}"));
        match closed {
            Some(Ok(())) if has_buffered => self.world.breaks("close", || "not all is durable".to_owned()),
            Some(Ok(())) => self.check_all(),
            Some(Err(_)) if disk_failed => {}
            other => self.world.breaks("close", || format!("closing gives {other:?}")),
        }
        if self.process.as_ref().is_some_and(|process| !process.pending.is_empty()) {
            self.world.breaks("I5", || "a call isn't answered by closing".to_owned());
        }
    }
}
