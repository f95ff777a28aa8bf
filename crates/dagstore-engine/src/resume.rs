//! Taking up what an earlier process left unfinished, as the restart table wants it.

use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::OwnName;
use dagstore_fsm::{Event, Facts, Restart, restart};
use dagstore_types::{ShardKey, ShardRecord, ShardState};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::cell::Cell;
use crate::core::Core;
use crate::restore::{Unfinished, restart_options};
use crate::{gc, initialise, inverted};

/// How many shards are taken up at once. The others rest, so that a million of them need no million tasks. There may be more
/// where those that were taken up wait for their sources.
const MOST_AT_ONCE: usize = 64;

/// How often it is looked what keeps shards from being settled: that nothing can be written, or that sources aren't ready.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What became of the shards whose work an earlier process left unfinished.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ResumeReport {
    /// How many there were.
    pub interrupted: usize,
    /// How many are usable now.
    pub available: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were being destroyed and are gone now.
    pub destroyed: usize,
    /// How many are not settled, because the store was closed or can't write.
    pub unsettled: usize,
}

/// What became of one shard.
enum Settled {
    /// There was nothing to do any more.
    Nothing,
    State(Option<ShardState>),
}

/// Does what the restart table wants, and removes what belongs to nobody. Returns when all of it has ended.
pub(crate) async fn resume(core: Arc<Core>, unfinished: Vec<Unfinished>) -> ResumeReport {
    match gc::sweep(&core).await {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "what belongs to nobody could not be removed"),
    }
    // Neither waits for the other: one index that can't be read is enough to keep the rows from being made, for days perhaps.
    let (report, ()) = tokio::join!(take_up_all(&core, unfinished), inverted::fill(&core));
    report
}

/// Takes them up, a bounded number at once, and returns when all that could be settled are.
async fn take_up_all(core: &Arc<Core>, unfinished: Vec<Unfinished>) -> ResumeReport {
    let mut report = ResumeReport::default();
    let mut waiting = unfinished.into_iter();
    let (mut settling, mut room) = (FuturesUnordered::new(), MOST_AT_ONCE);
    loop {
        while settling.len() < room
            && !core.is_closed()
            && let Some(unfinished) = waiting.next()
        {
            settling.push(one(core, unfinished));
        }
        match tokio::time::timeout(LOOK_EVERY, settling.next()).await {
            Ok(Some(settled)) => report.count(settled),
            Ok(None) => break,
            // Nobody waits for room, so these wait for their sources, perhaps for days. The others don't wait for them.
            Err(_) if core.starting.len() == 0 => room += MOST_AT_ONCE,
            Err(_) => {}
        }
    }
    let left = waiting.len();
    report.interrupted += left;
    report.unsettled += left;
    report
}

impl ResumeReport {
    fn count(&mut self, settled: Settled) {
        let Settled::State(state) = settled else { return };
        self.interrupted += 1;
        match state {
            None => self.destroyed += 1,
            Some(ShardState::Available | ShardState::Serving) => self.available += 1,
            Some(ShardState::Errored) => self.failed += 1,
            Some(_) => self.unsettled += 1,
        }
    }
}

/// Does what the restart table wants with one shard, and waits for its end.
async fn one(core: &Arc<Core>, unfinished: Unfinished) -> Settled {
    let Unfinished { key, registration, state, attempt } = unfinished;
    let Some(cell) = core.catalogue.get(key.as_str()) else { return Settled::Nothing };
    let record = cell.with(|state| state.shard.record().filter(|record| record.registration == registration).cloned());
    let Some(record) = record else { return Settled::Nothing };
    if core.is_closed() {
        return Settled::State(Some(record.state));
    }
    if (record.state, record.attempt) == (state, attempt) {
        let index_complete = has_index(core, &record).await;
        let outcome = restart(&record, Facts { index_complete }, restart_options(&core.options));
        if !take_up(core, &cell, &record, outcome).await {
            return Settled::Nothing;
        }
    }
    Settled::State(settled(core, &key, &cell).await)
}

/// Whether the index of the record's attempt is complete. Only asked where the table looks at it.
async fn has_index(core: &Arc<Core>, record: &ShardRecord) -> bool {
    if !matches!(record.state, ShardState::Initializing | ShardState::Recovering) {
        return false;
    }
    let name = OwnName::new(&record.key, record.registration, record.attempt);
    let repo = core.index_repo.clone();
    let opened = core.spawn_blocking(move || matches!(repo.open(name), Ok(Some(_))));
    opened.await.unwrap_or(false)
}

/// Begins what the table wants; `false` where that is nothing to wait for.
async fn take_up(core: &Arc<Core>, cell: &Arc<Cell>, record: &ShardRecord, outcome: Restart) -> bool {
    let (registration, attempt, now) = (record.registration, record.attempt, core.now());
    match outcome {
        Restart::Rest | Restart::RecoverOnAcquire => return false,
        Restart::RetryAt(at) if at > now => {
            core.retries.add(at, record.key.clone(), registration);
            return false;
        }
        Restart::RetryAt(_) => core.tell(cell, Event::RetryDue { registration, now }),
        Restart::Recover => core.tell(cell, Event::Recover { waiter: None, now }),
        Restart::Initialize => initialise::enqueue(core, cell, registration),
        Restart::MakeAvailable => initialise::finish(core, cell, registration, attempt),
        Restart::GiveUp(error) => {
            core.tell(cell, Event::Failed { registration, attempt, error, next_try: None, now });
        }
        Restart::FinishDestroy => {
            // Whether it ended is seen by the shard's state.
            let _answer = core.ask(cell, |waiter| Event::Destroy { waiter, now }).await;
        }
    }
    true
}

/// The state of a shard once nothing is being done for it; `None` where it is gone.
async fn settled(core: &Arc<Core>, key: &ShardKey, cell: &Arc<Cell>) -> Option<ShardState> {
    // One for all looks, because each leaves something with the cell until that is settled, which may take days.
    let settling = core.unless_closed(cell.settled());
    tokio::pin!(settling);
    loop {
        let settled = tokio::time::timeout(LOOK_EVERY, &mut settling).await;
        let state = cell.with(|state| state.shard.record().map(|record| record.state));
        if settled.is_ok() {
            return state;
        }
        if core.shared.commits.degraded().is_some() {
            tracing::warn!(shard = %key, "what was left unfinished goes on when the datastore can be written again");
            return state;
        }
    }
}

/// Takes up a shard that came back from quarantine.
pub(crate) async fn take_up_one(core: &Arc<Core>, unfinished: Unfinished) {
    let _settled = one(core, unfinished).await;
}

#[cfg(test)]
mod tests {
    use dagstore_codec::{Codecs, encode_row};
    use dagstore_datastore::{DatastoreExt, MemoryDatastore};
    use dagstore_fs::SystemClock;
    use dagstore_index::MemoryIndexRepo;
    use dagstore_mount::Registry;
    use dagstore_testkit::HangingMount;
    use dagstore_types::{Registration, UnixMillis};

    use super::*;
    use crate::rows::SHARDS;
    use crate::{Engine, Options, Parts};

    /// A source may not be ready for days.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_long_leaves_no_more_than_who_waits_for_a_moment() {
        let (datastore, mut registry) = (Arc::new(MemoryDatastore::new()), Registry::new());
        registry.register("hanging", HangingMount::default()).unwrap();
        let (key, url) = (ShardKey::new("a").unwrap(), "hanging:source".to_owned());
        let record = ShardRecord::new(key, url, false, Registration(1), UnixMillis(0));
        let row = encode_row(Codecs::default().writer(), &record).unwrap();
        datastore.put(SHARDS, &1_u64.to_be_bytes(), &row).await.unwrap();
        let parts = Parts {
            datastore,
            codecs: Codecs::default(),
            registry,
            index_repo: Arc::new(MemoryIndexRepo::new()),
            copies: None,
            inverted: None,
            clock: Arc::new(SystemClock),
            hold: None,
        };
        let engine = Engine::open(parts, Options::default()).await.unwrap();
        tokio::time::sleep(Duration::from_hours(1)).await;
        let cell = engine.core.catalogue.get("a").unwrap();
        assert_eq!(cell.with(|state| state.observers.len()), 1);
    }
}
