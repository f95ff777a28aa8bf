//! What waits to be written, and how the committer learns of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dagstore_datastore::Batch;
use dagstore_types::Registration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::cell::Cell;
use crate::rows::{SHARDS, shard_row};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How long a flip between Available and Serving may stay unwritten.
const WRITE_BEHIND: Duration = Duration::from_secs(1);

/// The most steps in a batch, so that one batch can't make the next wait for long.
const MOST_STEPS: usize = 4096;

/// How long it pays at most: a batch that took longer than a few syncs was held up by something else.
const LONGEST_GATHERING: Duration = Duration::from_millis(50);

/// How many rows may wait to be set right before new requests are refused. Each stands for a request that was given up
/// while the datastore was down.
const MOST_REWRITES: usize = 4096;

/// From which time of a sync on it pays to wait for more to share the next one.
const DEAR_SYNC: Duration = Duration::from_micros(100);

/// What waits to be written. A cell stands among the steps and among the flips at most once, so these are bounded by the
/// catalogue; for rewrites there is a bound of its own.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    lists: Mutex<Lists>,
    wake: Notify,
    /// Set while the datastore refuses writes, with what it said last.
    degraded: Mutex<Option<dagstore_datastore::Error>>,
    stopping: AtomicBool,
}

/// What the committer takes at once.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// Steps, already encoded, in the order in which they came.
    groups: VecDeque<Group>,
    /// Cells whose step can't be encoded.
    pub(crate) refused: Vec<Arc<Cell>>,
    pub(crate) flips: Vec<Arc<Cell>>,
    /// Rows that may differ from the records of their cells, because a write was given up.
    pub(crate) rewrites: BTreeMap<Registration, Arc<Cell>>,
    /// Up to where registration numbers are wanted, and by whom.
    pub(crate) numbers: Numbers,
    /// There is no committer any more, and nothing is taken up.
    abandoned: bool,
    /// The committer works, and looks at the lists when it has done.
    is_working: bool,
}

/// Steps that are written as one batch.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) batch: Batch,
    pub(crate) cells: Vec<Arc<Cell>>,
}

/// Registration numbers that somebody waits for.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    pub(crate) end: u64,
    waiting: Vec<oneshot::Sender<bool>>,
}

impl Numbers {
    pub(crate) fn is_wanted(&self) -> bool {
        self.end > 0
    }

    /// Tells whoever waits whether the numbers can be given out.
    pub(crate) fn answer(self, durable: bool) {
        for waiting in self.waiting {
            let _gone_away = waiting.send(durable);
        }
    }
}

/// How the last batch went, to guess how the next one will.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LastBatch {
    pub(crate) steps: usize,
    pub(crate) took: Duration,
}

impl Commits {
    /// Takes the cell's step up: the row is set, or deleted where there is none.
    pub(crate) fn persist(&self, cell: Arc<Cell>, registration: Registration, row: Option<&[u8]>) {
        self.take_up(|lists| {
            if lists.groups.back().is_none_or(|group| group.cells.len() >= MOST_STEPS) {
                lists.groups.push_back(Group::default());
            }
            if let Some(group) = lists.groups.back_mut() {
                match row {
                    Some(row) => group.batch.put(SHARDS, &shard_row(registration), row),
                    None => group.batch.delete(SHARDS, &shard_row(registration)),
                }
                group.cells.push(cell);
            }
        });
    }

    /// Takes a cell up whose step can't be written at all.
    pub(crate) fn refuse(&self, cell: Arc<Cell>) {
        self.take_up(|lists| lists.refused.push(cell));
    }

    /// Takes the cell's flip up, to be written with the next batch, or after a while.
    pub(crate) fn write_behind(&self, cell: Arc<Cell>) {
        self.take_up(|lists| lists.flips.push(cell));
    }

    /// Takes flips and rewrites up again that could not be written.
    pub(crate) fn take_back(&self, flips: Vec<Arc<Cell>>, rewrites: BTreeMap<Registration, Arc<Cell>>) {
        self.take_up(|lists| {
            lists.flips.extend(flips);
            lists.rewrites.extend(rewrites);
        });
    }

    /// Takes the row of `registration` up, to be set to the cell's record, or deleted.
    pub(crate) fn rewrite(&self, registration: Registration, cell: Arc<Cell>) {
        self.take_up(|lists| drop(lists.rewrites.insert(registration, cell)));
    }

    /// Makes it durable that registration numbers below `end` are given out; `false` where that can't be done now.
    pub(crate) async fn give_out(&self, end: u64) -> bool {
        let (sender, receiver) = oneshot::channel();
        self.take_up(|lists| {
            lists.numbers.end = lists.numbers.end.max(end);
            lists.numbers.waiting.push(sender);
        });
        receiver.await.unwrap_or(false)
    }

    /// Whether there is room for the row of one more request that may have to be given up.
    pub(crate) fn has_room(&self) -> bool {
        self.lists.lock().rewrites.len() < MOST_REWRITES
    }

    /// How many steps wait.
    pub(crate) fn waiting(&self) -> usize {
        self.lists.lock().steps()
    }

    /// What the datastore said last, while it refuses writes.
    pub(crate) fn degraded(&self) -> Option<dagstore_datastore::Error> {
        self.degraded.lock().clone()
    }

    pub(crate) fn set_degraded(&self, error: Option<dagstore_datastore::Error>) {
        *self.degraded.lock() = error;
    }

    /// Ends the committer after a last batch.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Forgets everything, because there is no committer any more. Cells and lists hold each other, so this is also what
    /// lets them go.
    pub(crate) fn abandon(&self) {
        let abandoned = Lists { abandoned: true, ..Lists::default() };
        let forgotten = std::mem::replace(&mut *self.lists.lock(), abandoned);
        drop(forgotten);
    }

    fn take_up(&self, add: impl FnOnce(&mut Lists)) {
        let mut lists = self.lists.lock();
        if lists.abandoned {
            return;
        }
        add(&mut lists);
        let must_wake = !lists.is_working;
        drop(lists);
        if must_wake {
            self.wake.notify_one();
        }
    }

    /// Waits until there is something to write: at once where somebody waits for it, else after a while.
    pub(crate) async fn due(&self, last: LastBatch) {
        self.gather(last).await;
        let mut deadline = None;
        loop {
            let urgency = {
                let mut lists = self.lists.lock();
                lists.is_working = false;
                lists.urgency()
            };
            match urgency {
                Urgency::Now => return,
                _ if self.is_stopping() => return,
                Urgency::Idle if self.degraded.lock().is_none() => self.wake.notified().await,
                Urgency::Behind | Urgency::Idle => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + WRITE_BEHIND);
                    if tokio::time::timeout_at(deadline, self.wake.notified()).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Where a sync is dear, waits for those whom the last batch has answered to come back and share the next one with those
    /// who wait already: at most a quarter of the time that the last one took. Without it, callers fall into two halves
    /// that take turns. A timer is too coarse for that, so others are let run instead.
    async fn gather(&self, last: LastBatch) {
        if last.took < DEAR_SYNC || last.steps < 2 {
            return;
        }
        let wanted = (self.waiting() + last.steps).min(MOST_STEPS);
        let (begun, longest) = (std::time::Instant::now(), LONGEST_GATHERING.min(last.took / 4));
        while self.waiting() < wanted && begun.elapsed() < longest && !self.is_stopping() {
            tokio::task::yield_now().await;
        }
    }

    /// Takes everything, with one group of steps.
    pub(crate) fn take(&self) -> (Group, Lists) {
        let mut lists = self.lists.lock();
        let group = lists.groups.pop_front().unwrap_or_default();
        let groups = std::mem::take(&mut lists.groups);
        let fresh = Lists { abandoned: lists.abandoned, is_working: true, groups, ..Lists::default() };
        (group, std::mem::replace(&mut *lists, fresh))
    }

    /// Takes whatever somebody waits for, to tell them that it can't be written.
    pub(crate) fn take_waiting(&self) -> (Vec<Arc<Cell>>, Numbers) {
        let mut lists = self.lists.lock();
        let mut cells = std::mem::take(&mut lists.refused);
        cells.extend(lists.groups.drain(..).flat_map(|group| group.cells));
        (cells, std::mem::take(&mut lists.numbers))
    }
}

/// Whether somebody waits for what is in the lists.
enum Urgency {
    Now,
    Behind,
    Idle,
}

impl Lists {
    fn steps(&self) -> usize {
        self.groups.iter().map(|group| group.cells.len()).sum()
    }

    fn urgency(&self) -> Urgency {
        let is_waited_for = self.numbers.is_wanted() || !self.refused.is_empty();
        if is_waited_for || !self.groups.is_empty() {
            Urgency::Now
        } else if !self.flips.is_empty() || !self.rewrites.is_empty() {
            Urgency::Behind
        } else {
            Urgency::Idle
        }
    }
}

#[cfg(all(test, feature = "shuttle"))]
#[path = "commits_shuttle.rs"]
mod shuttle_checks;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_that_took_for_ever_does_not_make_the_next_one_wait() {
        let commits = Commits::default();
        let _waiting = somebody_waits(&commits);
        let last = LastBatch { steps: 2, took: Duration::from_hours(1) };
        let due = tokio::time::timeout(Duration::from_secs(20), commits.due(last)).await;
        assert!(due.is_ok(), "it still gathers");
    }

    /// Something that somebody waits for.
    fn somebody_waits(commits: &Commits) -> oneshot::Receiver<bool> {
        let (sender, receiver) = oneshot::channel();
        commits.take_up(|lists| {
            lists.numbers.end = 1;
            lists.numbers.waiting.push(sender);
        });
        receiver
    }
}
