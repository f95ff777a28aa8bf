//! What outlives a process: disk, index files, sources, and the time.

use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::Clock;
use dagstore_types::UnixMillis;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::disk::Disk;
use crate::event::Setup;
use crate::repo::Repo;
use crate::rng::Rng;
use crate::source::Sources;

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Which invariant of the state machine, `I1` to `I12`, or which rule.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

/// Everything around the store.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) disk: Mutex<Disk>,
    pub(crate) repo: Mutex<Repo>,
    pub(crate) sources: Mutex<Sources>,
    rng: Mutex<Rng>,
    delays: u64,
    broken: Mutex<Option<Broken>>,
    clock: SimClock,
    /// What happened, where somebody wants to read it.
    trace: Option<Mutex<Vec<String>>>,
}

impl World {
    pub(crate) fn new(setup: &Setup, traced: bool) -> Arc<Self> {
        Arc::new(Self {
            disk: Mutex::default(),
            repo: Mutex::default(),
            sources: Mutex::default(),
            rng: Mutex::new(Rng::new(0)),
            delays: setup.delays,
            broken: Mutex::new(None),
            clock: SimClock::default(),
            trace: traced.then(Mutex::default),
        })
    }

    /// Begins with new numbers.
    pub(crate) fn reseed(&self, salt: u64) {
        *self.rng.lock() = Rng::new(salt);
    }

    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.lock())
    }

    /// Notes that a rule was broken; the first is kept.
    pub(crate) fn breaks(&self, rule: &'static str, what: impl FnOnce() -> String) {
        let mut broken = self.broken.lock();
        if broken.is_none() {
            let what = what();
            self.says(|| format!("    BROKEN {rule}: {what}"));
            *broken = Some(Broken { rule, what });
        }
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.broken.lock().clone()
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.lock().is_some()
    }

    /// Adds a line to the trace.
    pub(crate) fn says(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = &self.trace {
            let now = self.clock.now().0;
            trace.lock().push(format!("{now:>7} {}", line()));
        }
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        self.trace.as_ref().map(|trace| std::mem::take(&mut *trace.lock())).unwrap_or_default()
    }

    pub(crate) fn clock(&self) -> SimClock {
        self.clock.clone()
    }

    /// Takes as long as an operation takes: `slow` milliseconds and a little more, or none at all.
    pub(crate) async fn takes_time(&self, slow: u64) {
        let little = self.draw(|rng| if rng.percent(self.delays) { 1 + rng.below(4) } else { 0 });
        let all = slow + little;
        if all > 0 {
            tokio::time::sleep(Duration::from_millis(all)).await;
        }
    }
}

/// The time of day: it goes on from one runtime to the next, and stands still while a runtime's time does.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimClock(Arc<Mutex<Times>>);

#[derive(Debug, Default)]
struct Times {
    /// What had passed before this runtime.
    before: u64,
    start: Option<Instant>,
}

impl SimClock {
    /// Begins to follow the time of the runtime that this is called on.
    pub(crate) fn follow(&self) {
        self.0.lock().start = Some(Instant::now());
    }

    /// Keeps the time that it is, until another runtime is followed. Called on the runtime that was followed.
    pub(crate) fn stop(&self) {
        let now = self.now().0;
        *self.0.lock() = Times { before: now, start: None };
    }
}

impl Clock for SimClock {
    fn now(&self) -> UnixMillis {
        let times = self.0.lock();
        let since = times.start.map(|start| start.elapsed().as_millis()).unwrap_or_default();
        UnixMillis(times.before + u64::try_from(since).unwrap_or(u64::MAX))
    }
}
