//! What to run.

use std::thread;

use dagstore_testkit::Fault;
use parking_lot::Mutex;

use crate::operation::{OPERATIONS, Operation};
use crate::report::{Failure, Report};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which operations.
    pub operations: Vec<&'static Operation>,
    /// Which faults; power cuts have none.
    pub faults: Vec<Fault>,
    /// Only this call, or this moment.
    pub at: Option<u64>,
    /// Only single failures, or only those for ever; both where it isn't said.
    pub for_ever: Option<bool>,
    /// One of so many calls or moments is taken; which one of them, `seed` says.
    pub stride: u64,
    /// See there.
    pub seed: u64,
    /// Of the moments of reopening, one of so many is a cut again; 0 is for none.
    pub again: u64,
    /// On how many threads.
    pub threads: usize,
}

impl Plan {
    /// All of it, on all cores.
    pub fn all() -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let (operations, faults) = (OPERATIONS.iter().collect(), Fault::ALL.to_vec());
        Self { operations, faults, at: None, for_ever: None, stride: 1, seed: 0, again: 1, threads }
    }

    /// Whether this call, or this moment, is taken.
    ///
    /// `salt` tells one piece of work from another, so that not the same numbers are taken of each.
    pub(crate) fn takes(&self, salt: u64, number: u64) -> bool {
        match self.at {
            Some(at) => number == at,
            None => number.wrapping_add(salt).wrapping_add(self.seed).is_multiple_of(self.stride.max(1)),
        }
    }

    /// Does all the pieces of work, on all threads, until one fails.
    pub(crate) fn spread<W: Sync>(
        &self,
        pieces: Vec<W>,
        work: impl Fn(&W, &mut Report) -> Result<(), Failure> + Sync,
    ) -> Report {
        let (pieces, total) = (Mutex::new(pieces.iter()), Mutex::new(Report::default()));
        let worker = || {
            let mut report = Report::default();
            while total.lock().failure.is_none() {
                let Some(piece) = pieces.lock().next() else { break };
                if let Err(failure) = work(piece, &mut report) {
                    total.lock().failure.get_or_insert(failure);
                }
            }
            total.lock().add(report);
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(worker);
            }
        });
        total.into_inner()
    }
}
