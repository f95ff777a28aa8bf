//! Opening a store: reading the catalogue. What was left unfinished is taken up in `resume.rs`.

use std::sync::Arc;

use dagstore_codec::{Codecs, Row};
use dagstore_fsm::{Facts, Restart, RestartOptions, Shard, restart};
use dagstore_mount::{MountUrl, Registry};
use dagstore_types::{Registration, ShardKey, ShardRecord};
use futures_util::StreamExt;

use crate::catalogue::Catalogue;
use crate::options::Parts;
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
    let mut loaded = Loaded {
        catalogue: Catalogue::new(shared.clone()),
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
            match read_row(&shared.codecs, &parts.registry, row, value) {
                Ok(record) => loaded.restore(record, options),
                Err(quarantined) => loaded.quarantine.add(quarantined),
            }
        }
        // Rows are read on a thread of their own, but what is done with them isn't, and others want to run, too.
        tokio::task::yield_now().await;
    }
    let entries = loaded.quarantine.entries();
    if let (true, Some(first)) = (options.strict, entries.first()) {
        return Err(Error::Unreadable { count: entries.len(), first: first.reason.clone() });
    }
    for entry in entries {
        tracing::warn!(row = entry.row_text(), key = ?entry.key, reason = entry.reason, "a record is quarantined");
    }
    Ok(loaded)
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
        return Err(quarantined(format!("the row of registration {registration:?} holds {}", record.registration)));
    }
    let mount = MountUrl::parse(&record.url).and_then(|url| registry.instantiate(&url));
    match mount {
        Ok(_) => Ok(record),
        Err(error) => Err(quarantined(error.to_string())),
    }
}

impl Loaded {
    fn restore(&mut self, record: ShardRecord, options: &Options) {
        let (key, registration) = (record.key.clone(), record.registration);
        match enter(&self.catalogue, record, options) {
            Ok(false) => {}
            Ok(true) => self.unfinished.push(Unfinished { key, registration }),
            Err(quarantined) => self.quarantine.add(quarantined),
        }
    }
}

/// Puts a record into the catalogue as the restart table leaves it, and says whether the table may want more done.
/// Whether there is an index isn't looked at here: opening a store must not open every index.
pub(crate) fn enter(catalogue: &Catalogue, record: ShardRecord, options: &Options) -> Result<bool, Quarantined> {
    let outcome = restart(&record, Facts { index_complete: false }, restart_options(options));
    let (key, registration) = (record.key.clone(), record.registration);
    if !catalogue.add(Shard::restored(record, &outcome)) {
        let row = registration.0.to_be_bytes().to_vec();
        let reason = "another record has the same key".to_owned();
        return Err(Quarantined { row, registration: Some(registration), key: Some(key), reason });
    }
    Ok(!matches!(outcome, Restart::Rest | Restart::RecoverOnAcquire))
}
