//! Opening a store: reading the catalogue. What was left unfinished is taken up in `resume.rs`.

use std::sync::Arc;

use dagstore_codec::{Codecs, Row};
use dagstore_datastore::RowPage;
use dagstore_fsm::{Facts, Restart, RestartOptions, Shard, restart};
use dagstore_mount::Registry;
use dagstore_types::{Attempt, Registration, ShardKey, ShardRecord, ShardState};
use futures_util::StreamExt;

use crate::catalogue::Catalogue;
use crate::options::{Blocking, Parts};
use crate::quarantine::{Quarantine, Quarantined};
use crate::registrations::NUMBERS_END;
use crate::rows::{META, NEXT_REGISTRATION, SHARDS, registration_of};
use crate::shared::Shared;
use crate::{Error, Options, Result};

/// What was read from the datastore.
pub(crate) struct Loaded {
    pub(crate) catalogue: Catalogue,
    pub(crate) quarantine: Quarantine,
    pub(crate) unfinished: Vec<Unfinished>,
    pub(crate) next_registration: u64,
}

/// A shard that the restart table may want something done with.
#[derive(Debug, Clone)]
pub(crate) struct Unfinished {
    pub(crate) key: ShardKey,
    pub(crate) registration: Registration,
    /// State and attempt as they were read. Where they are others by the time that the shard is taken up, somebody has begun
    /// to do something with it, and the table has nothing more to say.
    pub(crate) state: ShardState,
    pub(crate) attempt: Attempt,
}

/// What the restart table is told by the store's options.
pub(crate) fn restart_options(options: &Options) -> RestartOptions {
    RestartOptions {
        policy: options.recovery,
        max_starts: options.max_starts,
        max_retries: options.retry.map(|retry| retry.max_retries),
    }
}

/// Reads every record. A scan that fails half-way fails the opening: never a part of the catalogue.
pub(crate) async fn load(parts: &Parts, options: &Options, shared: &Arc<Shared>) -> Result<Loaded> {
    let next = parts.datastore.get(META, NEXT_REGISTRATION.as_bytes()).await?;
    let damaged = |_| Error::DamagedIdentity { row: NEXT_REGISTRATION };
    let next = next.map(|row| row[..].try_into().map(u64::from_be_bytes)).transpose().map_err(damaged)?;
    if next.is_some_and(|next| next >= NUMBERS_END) {
        return Err(Error::DamagedIdentity { row: NEXT_REGISTRATION });
    }
    let reader = Arc::new(Reader {
        shared: shared.clone(),
        registry: parts.registry.clone(),
        options: options.clone(),
        catalogue: Catalogue::new(shared.clone()),
    });
    let mut loaded = Pages::default();
    let mut pages = parts.datastore.scan(SHARDS, &[]).map(|page| reader.clone().read(page)).buffered(PAGES_AT_ONCE);
    while let Some(page) = pages.next().await {
        loaded.add(page?);
    }
    drop(pages);
    let mut quarantine = Quarantine::default();
    loaded.quarantined.into_iter().for_each(|entry| quarantine.add(entry));
    let entries = quarantine.entries();
    if let (true, Some(first)) = (options.strict, entries.first()) {
        return Err(Error::Unreadable { count: entries.len(), first: first.reason.clone() });
    }
    for entry in entries {
        tracing::warn!(row = entry.row_text(), key = ?entry.key, reason = entry.reason, "a record is quarantined");
    }
    let unfinished = loaded.unfinished;
    let next_registration = next.unwrap_or(1).max(loaded.next_registration);
    // Every page has been read, so nobody else holds the reader any more.
    let reader = Arc::into_inner(reader).ok_or(Error::Closed)?;
    Ok(Loaded { catalogue: reader.catalogue, quarantine, unfinished, next_registration })
}

/// How many pages are decoded at once.
const PAGES_AT_ONCE: usize = 4;

/// What decodes pages, on several threads.
struct Reader {
    shared: Arc<Shared>,
    registry: Registry,
    options: Options,
    catalogue: Catalogue,
}

/// What pages hold but for shards that rest, which go right into the catalogue.
#[derive(Default)]
struct Pages {
    quarantined: Vec<Quarantined>,
    unfinished: Vec<Unfinished>,
    next_registration: u64,
}

impl Pages {
    fn add(&mut self, page: Self) {
        self.quarantined.extend(page.quarantined);
        self.unfinished.extend(page.unfinished);
        self.next_registration = self.next_registration.max(page.next_registration);
    }
}

impl Reader {
    async fn read(self: Arc<Self>, page: dagstore_datastore::Result<RowPage>) -> Result<Pages> {
        let page = page?;
        match self.options.blocking {
            Blocking::Inline => Ok(self.read_page(&page)),
            Blocking::Threads => {
                let reading = tokio::task::spawn_blocking(move || {
                    let pages = self.read_page(&page);
                    // Before anybody hears of the end, for the last one to hold the reader is who waits for it.
                    drop(self);
                    pages
                });
                // A task of this kind ends before its time only with the runtime.
                reading.await.map_err(|_| Error::Closed)
            }
        }
    }

    fn read_page(&self, page: &RowPage) -> Pages {
        let mut pages = Pages::default();
        for (row, value) in page.iter() {
            if let Some(registration) = registration_of(row).filter(|registration| registration.0 < NUMBERS_END) {
                // The counter's row is written before any number of its block is given out; this is for a store whose
                // counter was lost all the same.
                pages.next_registration = pages.next_registration.max(registration.0 + 1);
            }
            match read_row(&self.shared.codecs, &self.registry, row, value) {
                Ok(record) => {
                    let entered = enter(&self.catalogue, record, &self.options);
                    pages.unfinished.extend(entered.unfinished);
                    pages.quarantined.extend(entered.quarantined);
                }
                Err(quarantined) => pages.quarantined.push(quarantined),
            }
        }
        pages
    }
}

/// The record in a row, or why there is none that can be used.
pub(crate) fn read_row(
    codecs: &Codecs,
    registry: &Registry,
    row: &[u8],
    value: &[u8],
) -> Result<ShardRecord, Quarantined> {
    let registration = registration_of(row);
    let split = Row::split(value);
    let quarantined = |reason: String| {
        let key = Row::split(value).ok().and_then(|row| row.shard_key());
        Quarantined { row: row.to_vec(), registration, key, reason }
    };
    let record = split.and_then(|row| row.decode(codecs)).map_err(|error| quarantined(error.to_string()))?;
    if record.registration.0 >= NUMBERS_END {
        return Err(quarantined(format!("{} is no registration number", record.registration)));
    }
    if Some(record.registration) != registration {
        let row = registration.map_or_else(|| "no registration".to_owned(), |row| format!("registration {row}"));
        return Err(quarantined(format!("the row of {row} holds {}", record.registration)));
    }
    match registry.check(&record.url) {
        Ok(()) => Ok(record),
        Err(error) => Err(quarantined(error.to_string())),
    }
}

/// What became of a record that was put into the catalogue.
pub(crate) struct Entered {
    /// The restart table may want more done with it.
    pub(crate) unfinished: Option<Unfinished>,
    /// This one or another, whose key was taken already.
    pub(crate) quarantined: Option<Quarantined>,
}

/// Puts a record into the catalogue as the restart table leaves it. Whether there is an index isn't looked at here: opening a
/// store must not open every index.
pub(crate) fn enter(catalogue: &Catalogue, record: ShardRecord, options: &Options) -> Entered {
    let outcome = restart(&record, Facts { index_complete: false }, restart_options(options));
    let has_more = !matches!(outcome, Restart::Rest | Restart::RecoverOnAcquire);
    let unfinished = Unfinished {
        key: record.key.clone(),
        registration: record.registration,
        state: record.state,
        attempt: record.attempt,
    };
    let younger = catalogue.add(Shard::restored(record, &outcome));
    let is_in = younger.as_ref().is_none_or(|younger| younger.registration != unfinished.registration);
    let quarantined = younger.map(|younger| Quarantined {
        row: younger.registration.0.to_be_bytes().to_vec(),
        registration: Some(younger.registration),
        key: Some(younger.key),
        reason: "another record has the same key".to_owned(),
    });
    Entered { unfinished: (has_more && is_in).then_some(unfinished), quarantined }
}
