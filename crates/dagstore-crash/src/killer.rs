//! A process that kills itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::process::{Signal, getpid, kill_process};

use crate::point::{Hit, Life, Moment, Point, Side};

/// Counts how often this process comes by each moment, and kills it at one of them: by SIGKILL, so that nothing at all is
/// done any more, no destructor and no flush.
#[derive(Debug, Clone)]
pub(crate) struct Killer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    life: Life,
    at: Option<Hit>,
    is_armed: AtomicBool,
    times: Mutex<BTreeMap<Moment, u64>>,
}

impl Killer {
    /// A killer for this life. Nothing is counted before it is [armed](Self::arm).
    pub(crate) fn new(life: Life, at: Option<Hit>) -> Self {
        Self(Arc::new(Shared { life, at, is_armed: AtomicBool::new(false), times: Mutex::default() }))
    }

    /// Counts from now on.
    pub(crate) fn arm(&self) {
        self.0.is_armed.store(true, Ordering::SeqCst);
    }

    /// How often the process came by each moment.
    pub(crate) fn times(&self) -> BTreeMap<Moment, u64> {
        self.0.times.lock().clone()
    }

    pub(crate) fn before(&self, point: Point) {
        self.come_by(Side::Before, point);
    }

    pub(crate) fn after(&self, point: Point) {
        self.come_by(Side::After, point);
    }

    fn come_by(&self, side: Side, point: Point) {
        if !self.0.is_armed.load(Ordering::SeqCst) {
            return;
        }
        let moment = Moment { life: self.0.life, side, point };
        let mut times = self.0.times.lock();
        let time = times.entry(moment).or_default();
        *time += 1;
        if self.0.at == Some(Hit { moment, time: *time }) {
            die();
        }
    }
}

fn die() -> ! {
    // It can't fail for one's own process, and if it did, the process would be seen not to have been killed.
    let _told = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
