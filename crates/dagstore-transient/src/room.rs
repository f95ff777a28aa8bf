//! Who has how much of the disk.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// The sum of all rooms, held to the quota.
#[derive(Debug)]
pub(crate) struct Ledger {
    quota: Option<u64>,
    keep_free: u64,
    sums: Mutex<Sums>,
    /// Told when room may have become free. One fetch at most waits for it, the first in the line.
    pub(crate) freed: Notify,
    /// The line of those who want room. It is fair: who came first is first.
    pub(crate) line: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    /// What is given out.
    taken: u64,
    /// How much of it isn't written yet.
    unwritten: u64,
}

impl Ledger {
    pub(crate) fn new(quota: Option<u64>, keep_free: u64) -> Arc<Self> {
        let (sums, freed, line) = (Mutex::default(), Notify::new(), tokio::sync::Mutex::new(()));
        Arc::new(Self { quota, keep_free, sums, freed, line, waiting: AtomicUsize::new(0) })
    }

    pub(crate) fn quota(&self) -> Option<u64> {
        self.quota
    }

    /// How many bytes are given out.
    pub(crate) fn taken(&self) -> u64 {
        self.sums.lock().taken
    }

    /// Room for what is on disk already, whatever the quota says.
    pub(crate) fn existing(self: &Arc<Self>, bytes: u64) -> Room {
        let mut sums = self.sums.lock();
        sums.taken = sums.taken.saturating_add(bytes);
        Room { ledger: Arc::clone(self), held: Mutex::new(Sums { taken: bytes, unwritten: 0 }) }
    }

    /// Whether so much more would be within the quota.
    pub(crate) fn is_within_quota(&self, bytes: u64) -> bool {
        let taken = self.sums.lock().taken.checked_add(bytes);
        taken.is_some_and(|taken| self.quota.is_none_or(|quota| taken <= quota))
    }

    /// Room for what is yet to be written, if there is as much now. `available` is what the disk has.
    pub(crate) fn try_reserve(self: &Arc<Self>, bytes: u64, available: Option<u64>) -> Option<Room> {
        let mut sums = self.sums.lock();
        let taken = sums.taken.checked_add(bytes)?;
        if self.quota.is_some_and(|quota| taken > quota) {
            return None;
        }
        let unwritten = sums.unwritten.checked_add(bytes)?;
        if available.is_some_and(|available| unwritten.saturating_add(self.keep_free) > available) {
            return None;
        }
        *sums = Sums { taken, unwritten };
        Some(Room { ledger: Arc::clone(self), held: Mutex::new(Sums { taken: bytes, unwritten: bytes }) })
    }

    /// Whether a copy waits for room.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// A place among those who wait, unless there are as many as `most`.
    pub(crate) fn wait(&self, most: usize) -> Option<Waiting<'_>> {
        let add = |waiting| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok()?;
        Some(Waiting(self))
    }
}

/// A place among those who wait.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Ledger);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of the disk. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Room {
    ledger: Arc<Ledger>,
    held: Mutex<Sums>,
}

impl Room {
    /// So much of it is written now.
    pub(crate) fn written(&self, bytes: u64) {
        self.change(|held| held.unwritten = held.unwritten.saturating_sub(bytes));
    }

    /// Keeps `bytes`, all written, and gives the rest back.
    pub(crate) fn shrink_to(&self, bytes: u64) {
        self.change(|held| *held = Sums { taken: held.taken.min(bytes), unwritten: 0 });
    }

    /// Takes all of another one.
    pub(crate) fn absorb(&self, other: Self) {
        let of = std::mem::take(&mut *other.held.lock());
        let mut held = self.held.lock();
        held.taken += of.taken;
        held.unwritten += of.unwritten;
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.held.lock().taken
    }

    /// A room's own numbers are changed by the one who holds it, and those of the ledger behind them, each under its lock.
    fn change(&self, change: impl FnOnce(&mut Sums)) {
        let (before, after) = {
            let mut held = self.held.lock();
            let before = *held;
            change(&mut held);
            (before, *held)
        };
        {
            let mut sums = self.ledger.sums.lock();
            sums.taken = (sums.taken + after.taken).saturating_sub(before.taken);
            sums.unwritten = (sums.unwritten + after.unwritten).saturating_sub(before.unwritten);
        }
        self.ledger.freed.notify_one();
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.change(|held| *held = Sums::default());
    }
}

#[cfg(all(test, feature = "shuttle"))]
#[path = "room_shuttle.rs"]
mod shuttle_checks;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_out_than_the_quota_and_the_disk_have() {
        let ledger = Ledger::new(Some(100), 10);
        let first = ledger.try_reserve(60, None).unwrap();
        assert!(ledger.try_reserve(41, None).is_none());
        assert!(ledger.try_reserve(u64::MAX, None).is_none());
        // 60 of the disk's 109 are promised already, and 10 are to stay free.
        assert!(ledger.try_reserve(40, Some(109)).is_none());
        first.written(1);
        let second = ledger.try_reserve(40, Some(109)).unwrap();
        assert_eq!(ledger.taken(), 100);
        first.absorb(second);
        assert_eq!((ledger.taken(), first.bytes()), (100, 100));
        first.shrink_to(30);
        assert_eq!((ledger.taken(), first.bytes()), (30, 30));
        let over = ledger.existing(500);
        assert!(ledger.try_reserve(1, None).is_none());
        drop((first, over));
        assert_eq!(ledger.taken(), 0);
    }

    #[test]
    fn those_who_wait_are_bounded() {
        let ledger = Ledger::new(None, 0);
        let first = ledger.wait(2).unwrap();
        let _second = ledger.wait(2).unwrap();
        assert!(ledger.wait(2).is_none());
        drop(first);
        assert!(ledger.wait(2).is_some());
    }
}
