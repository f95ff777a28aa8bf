//! Opening a store: reading the catalogue, then running the restart table.

use std::sync::Arc;
use std::time::Duration;

use dagstore_codec::Row;
use dagstore_fs::OwnName;
use dagstore_fsm::{Event, Facts, Restart, RestartOptions, Shard, restart};
use dagstore_mount::MountUrl;
use dagstore_types::{ShardRecord, ShardState};
use futures_util::StreamExt;

use crate::catalogue::Catalogue;
use crate::cell::Cell;
use crate::committer::Commits;
use crate::core::Core;
use crate::options::Parts;
use crate::quarantine::{Quarantine, Quarantined};
use crate::registrations::NUMBERS_END;
use crate::rows::{META, NEXT_REGISTRATION, SHARDS, registration_of};
use crate::{Error, Options, Result, cleanup, gc, initialise};

/// How long a look at a shard waits that is between two tasks.
const PAUSE: Duration = Duration::from_millis(1);

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

/// What was read from the datastore.
pub(crate) struct Loaded {
    pub(crate) catalogue: Catalogue,
    pub(crate) quarantine: Quarantine,
    /// What the restart table wants done.
    pub(crate) unfinished: Vec<(Arc<Cell>, Restart)>,
    pub(crate) next_registration: u64,
}

/// Reads every record. A scan that fails half-way fails the opening: never a part of the catalogue.
pub(crate) async fn load(parts: &Parts, options: &Options, commits: &Arc<Commits>) -> Result<Loaded> {
    let next = parts.datastore.get(META, NEXT_REGISTRATION.as_bytes()).await?;
    let damaged = |_| Error::DamagedIdentity { row: NEXT_REGISTRATION };
    let next = next.map(|row| row[..].try_into().map(u64::from_be_bytes)).transpose().map_err(damaged)?;
    if next.is_some_and(|next| next >= NUMBERS_END) {
        return Err(Error::DamagedIdentity { row: NEXT_REGISTRATION });
    }
    let mut loaded = Loaded {
        catalogue: Catalogue::new(),
        quarantine: Quarantine::default(),
        unfinished: Vec::new(),
        next_registration: next.unwrap_or(1),
    };
    let mut pages = parts.datastore.scan(SHARDS, &[]);
    while let Some(page) = pages.next().await {
        for (row, value) in page?.iter() {
            if let Some(registration) = registration_of(row).filter(|registration| registration.0 < NUMBERS_END) {
                // The counter's row is written before any number of its block is given out; this is for a store whose
                // counter was lost all the same.
                loaded.next_registration = loaded.next_registration.max(registration.0 + 1);
            }
            match read_row(parts, &loaded.catalogue, row, value) {
                Ok(record) => loaded.restore(record, parts, options, commits),
                Err(quarantined) => loaded.quarantine.add(quarantined),
            }
        }
    }
    let entries = loaded.quarantine.entries();
    if let (true, Some(first)) = (options.strict, entries.first()) {
        return Err(Error::Unreadable { count: entries.len(), first: first.reason.clone() });
    }
    for entry in entries {
        tracing::warn!(registration = ?entry.registration, key = ?entry.key, reason = entry.reason, "a record is quarantined");
    }
    Ok(loaded)
}

fn read_row(parts: &Parts, catalogue: &Catalogue, row: &[u8], value: &[u8]) -> Result<ShardRecord, Quarantined> {
    let registration = registration_of(row);
    let split = Row::split(value);
    let key = split.as_ref().ok().and_then(Row::shard_key);
    let quarantined = |reason: String| Quarantined { registration, key: key.clone(), reason };
    let record = split.and_then(|row| row.decode(&parts.codecs)).map_err(|error| quarantined(error.to_string()))?;
    if record.registration.0 >= NUMBERS_END {
        return Err(quarantined(format!("{} is no registration number", record.registration)));
    }
    if Some(record.registration) != registration {
        return Err(quarantined(format!("the row of registration {registration:?} holds {}", record.registration)));
    }
    if catalogue.get(&record.key).is_some() {
        return Err(quarantined("another record has the same key".to_owned()));
    }
    let mount = MountUrl::parse(&record.url).and_then(|url| parts.registry.instantiate(&url));
    match mount {
        Ok(_) => Ok(record),
        Err(error) => Err(quarantined(error.to_string())),
    }
}

impl Loaded {
    fn restore(&mut self, record: ShardRecord, parts: &Parts, options: &Options, commits: &Arc<Commits>) {
        let table = RestartOptions { policy: options.recovery, max_starts: options.max_starts, max_retries: None };
        let facts = Facts { index_complete: has_index(parts, &record) };
        let outcome = restart(&record, facts, table);
        let key = record.key.clone();
        let cell = Cell::new(key.clone(), commits.clone(), Shard::restored(record, &outcome));
        if !matches!(outcome, Restart::Rest | Restart::RecoverOnAcquire) {
            self.unfinished.push((cell.clone(), outcome));
        }
        self.catalogue.get_or_insert(&key, || cell);
    }
}

/// Whether the index of the record's attempt is complete. Only asked where the table looks at it: opening a store must
/// not open every index.
fn has_index(parts: &Parts, record: &ShardRecord) -> bool {
    if !matches!(record.state, ShardState::Initializing | ShardState::Recovering) {
        return false;
    }
    let name = OwnName::new(&record.key, record.registration, record.attempt);
    matches!(parts.index_repo.open(name), Ok(Some(_)))
}

/// Does what the restart table wants, and removes what belongs to nobody. Returns when all of it has ended.
pub(crate) async fn resume(core: Arc<Core>, unfinished: Vec<(Arc<Cell>, Restart)>) -> ResumeReport {
    match gc::sweep(&core).await {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "what belongs to nobody could not be removed"),
    }
    let mut cells = Vec::with_capacity(unfinished.len());
    for (cell, outcome) in unfinished {
        take_up(&core, &cell, outcome);
        cells.push(cell);
    }
    let mut report = ResumeReport { interrupted: cells.len(), ..ResumeReport::default() };
    for cell in cells {
        let state = settled(&core, &cell).await;
        match state {
            None => report.destroyed += 1,
            Some(ShardState::Available | ShardState::Serving) => report.available += 1,
            Some(ShardState::Errored) => report.failed += 1,
            Some(_) => report.unsettled += 1,
        }
    }
    report
}

fn take_up(core: &Arc<Core>, cell: &Arc<Cell>, outcome: Restart) {
    let now = core.now();
    let Some((registration, attempt)) =
        cell.with(|state| state.shard.record().map(|record| (record.registration, record.attempt)))
    else {
        return;
    };
    match outcome {
        Restart::Rest | Restart::RecoverOnAcquire | Restart::RetryAt(_) => {}
        Restart::Recover => core.tell(cell, Event::Recover { waiter: None, now }),
        Restart::Initialize => initialise::start(core, cell, registration),
        Restart::MakeAvailable => core.tell(cell, Event::Available { registration, attempt, now }),
        Restart::GiveUp(error) => core.tell(cell, Event::Failed { registration, attempt, error, next_try: None, now }),
        Restart::FinishDestroy => core.spawn(cleanup::run(core.clone(), cell.clone(), registration)),
    }
}

/// The state of a shard once nothing is being done for it; `None` where it is gone.
async fn settled(core: &Arc<Core>, cell: &Arc<Cell>) -> Option<ShardState> {
    loop {
        core.commits.flushed().await;
        let (task, state, cleaning) = cell.with(|state| {
            let record = state.shard.record();
            (state.task.clone(), record.map(|record| record.state), state.shard.is_cleaning())
        });
        let working = matches!(state, Some(ShardState::Recovering | ShardState::Initializing | ShardState::New));
        match task {
            Some(mut task) => while task.ended.changed().await.is_ok() {},
            None if (working || cleaning) && !core.is_closed() && core.commits.degraded().is_none() => {
                // Between the end of one task and the beginning of the next there is a sync at most.
                tokio::time::sleep(PAUSE).await;
            }
            None => return state,
        }
    }
}
