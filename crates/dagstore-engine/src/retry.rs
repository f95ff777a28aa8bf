//! Trying again by itself: with pauses that double, persisted, so that a restart goes on where the store stopped.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use dagstore_fsm::Event;
use dagstore_types::{ErrorClass, Registration, ShardError, ShardKey, UnixMillis};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cell::Cell;
use crate::core::Core;
use crate::options::Blocking;

/// The longest time without a look at the clock, which somebody may have set.
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

/// How the store recovers shards by itself whose failure may pass: a source that can't be reached, a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How often, since the shard was last Available or recovered by somebody.
    pub max_retries: u32,
    /// The pause before the first try. Each one that follows is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Retry {
    /// Ten tries within some six hours.
    fn default() -> Self {
        Self { max_retries: 10, first_pause: Duration::from_secs(30), longest_pause: Duration::from_hours(2) }
    }
}

impl Retry {
    /// Between half of the pause and all of it, as `chance` in 0 to 2^32 wants: shards that failed together because their
    /// source did shall not all come back at once.
    fn pause(&self, retries: u32, chance: u32) -> Duration {
        let factor = 2_u32.checked_pow(retries).unwrap_or(u32::MAX);
        let pause = self.first_pause.saturating_mul(factor).min(self.longest_pause);
        let half = pause / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

/// The tries to come. There is one for each failure, at most; one whose shard was recovered meanwhile does nothing.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    due: Mutex<BinaryHeap<Reverse<(UnixMillis, ShardKey, Registration)>>>,
    sooner: Notify,
}

impl Retries {
    pub(crate) fn add(&self, at: UnixMillis, key: ShardKey, registration: Registration) {
        self.due.lock().push(Reverse((at, key, registration)));
        self.sooner.notify_one();
    }

    /// What is due, or how long to wait.
    fn next(&self, now: UnixMillis) -> Result<(ShardKey, Registration), Duration> {
        let mut due = self.due.lock();
        match due.peek() {
            None => Err(LONGEST_SLEEP),
            Some(Reverse((at, ..))) if *at > now => Err(Duration::from_millis(at.0 - now.0).min(LONGEST_SLEEP)),
            Some(_) => due.pop().map(|Reverse((_, key, registration))| (key, registration)).ok_or(LONGEST_SLEEP),
        }
    }
}

/// Sends what is due, for ever.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        match core.retries.next(core.now()) {
            Ok((key, registration)) => {
                if let Some(cell) = core.catalogue.get(key.as_str()) {
                    core.tell(&cell, Event::RetryDue { registration, now: core.now() });
                }
            }
            Err(pause) => {
                // Both outcomes lead to another look.
                let _elapsed = tokio::time::timeout(pause, core.retries.sooner.notified()).await;
            }
        }
    }
}

/// When the store tries again by itself, if it does.
pub(crate) fn next_try(core: &Core, cell: &Cell, error: &ShardError) -> Option<UnixMillis> {
    let retry = core.options.retry?;
    if error.kind().class() != ErrorClass::Transient {
        return None;
    }
    let retries = cell.with(|state| state.shard.record().map(|record| record.retries))?;
    if retries >= retry.max_retries {
        return None;
    }
    let mut chance = [0; 4];
    if core.options.blocking == Blocking::Threads {
        // Without random numbers all pauses are the shortest.
        getrandom::fill(&mut chance).unwrap_or_default();
    }
    let pause = retry.pause(retries, u32::from_ne_bytes(chance));
    Some(UnixMillis(core.now().0.saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_chance_takes_half_at_most() {
        let retry =
            Retry { max_retries: 9, first_pause: Duration::from_secs(2), longest_pause: Duration::from_secs(10) };
        let longest = [0, 1, 2, 3, 40].map(|retries| retry.pause(retries, u32::MAX).as_secs());
        assert_eq!(longest, [2, 4, 8, 10, 10]);
        let shortest = [0, 1, 2, 3, 40].map(|retries| retry.pause(retries, 0).as_secs());
        assert_eq!(shortest, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn what_is_due_first_comes_first() {
        let key = |text| ShardKey::new(text).unwrap();
        let retries = Retries::default();
        assert_eq!(retries.next(UnixMillis(0)), Err(LONGEST_SLEEP));
        retries.add(UnixMillis(2_000), key("later"), Registration(2));
        retries.add(UnixMillis(1_000), key("sooner"), Registration(1));
        assert_eq!(retries.next(UnixMillis(400)), Err(Duration::from_millis(600)));
        assert_eq!(retries.next(UnixMillis(1_000)), Ok((key("sooner"), Registration(1))));
        assert_eq!(retries.next(UnixMillis(3_000)), Ok((key("later"), Registration(2))));
    }
}
