//! Records that can't be read, or whose mount can't be revived. They are kept as they are and occupy their key.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use dagstore_datastore::DatastoreExt;
use dagstore_fs::OwnName;
use dagstore_types::{Registration, ShardKey};

use crate::core::Core;
use crate::restore::{Entered, enter, read_row};
use crate::rows::SHARDS;
use crate::{Error, Result, inverted, resume};

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The key of its row.
    pub row: Vec<u8>,
    /// The number in its row's key, where that is one.
    pub registration: Option<Registration>,
    /// The shard's key, where it can be read.
    pub key: Option<ShardKey>,
    /// What is wrong.
    pub reason: String,
}

impl Quarantined {
    /// The row's key in hexadecimal digits, which names the record where nothing else does.
    pub fn row_text(&self) -> String {
        self.row.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string can't fail.
            let _written = write!(text, "{byte:02x}");
            text
        })
    }
}

/// The records that were set aside.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    entries: Vec<Quarantined>,
    keys: HashSet<ShardKey>,
}

impl Quarantine {
    pub(crate) fn add(&mut self, entry: Quarantined) {
        self.keys.extend(entry.key.clone());
        self.entries.push(entry);
    }

    pub(crate) fn entries(&self) -> &[Quarantined] {
        &self.entries
    }

    fn remove(&mut self, row: &[u8]) {
        self.entries.retain(|entry| entry.row != row);
        self.keys = self.entries.iter().filter_map(|entry| entry.key.clone()).collect();
    }

    /// # Errors
    /// [`Error::Quarantined`] when the key is occupied by such a record.
    pub(crate) fn check(&self, key: &ShardKey) -> Result<()> {
        if !self.keys.contains(key) {
            return Ok(());
        }
        let entry = self.entries.iter().find(|entry| entry.key.as_ref() == Some(key));
        let reason = entry.map_or_else(String::new, |entry| entry.reason.clone());
        Err(Error::Quarantined { key: key.clone(), reason })
    }

    /// Whose files must stay.
    pub(crate) fn owners(&self) -> Owners {
        Owners {
            registrations: self.entries.iter().filter_map(|entry| entry.registration).collect(),
            key_hashes: self.entries.iter().map(|entry| entry.key.as_ref().map(OwnName::hash_key)).collect(),
        }
    }
}

/// Whose files belong to records in quarantine.
#[derive(Debug)]
pub(crate) struct Owners {
    registrations: HashSet<Registration>,
    /// `None` where the key of one can't be read.
    key_hashes: Option<HashSet<[u8; 16]>>,
}

impl Owners {
    /// Whether a file of this name may be one of theirs. Of a row that is damaged, the number in its key or the shard's key in
    /// its value may be the part that is wrong, so that either is enough.
    pub(crate) fn may_own(&self, name: OwnName) -> bool {
        self.registrations.contains(&name.registration)
            || self.key_hashes.as_ref().is_none_or(|hashes| hashes.contains(&name.key_hash()))
    }
}

/// Reads the row again and takes its shard up where that can be done now.
pub(crate) async fn retry(core: &Arc<Core>, row: &[u8]) -> Result<()> {
    let _alone = core.unless_closed(core.deciding.lock()).await?;
    let entry = find(core, row)?;
    // A read that says nothing must not keep the store from closing.
    let Some(value) = core.unless_closed(core.datastore.get(SHARDS, row)).await?? else {
        core.quarantine.write().remove(row);
        return Ok(());
    };
    let read = read_row(&core.shared.codecs, &core.registry, row, &value);
    if let Ok(record) = &read {
        // As every shard that is Available has them.
        inverted::add_if_indexed(core, OwnName::new(&record.key, record.registration, record.attempt)).await?;
    }
    let entered = {
        // Under the lock, so that nobody registers the key between the two.
        let mut quarantine = core.quarantine.write();
        let entered = match read {
            // Only opening decides between two records of a key. Here one is in use, and stays.
            Ok(record) if core.catalogue.look(record.key.as_str()).is_some() => {
                let reason = "another record has the same key".to_owned();
                let again = Quarantined { key: Some(record.key), reason, ..entry.clone() };
                Entered { unfinished: None, quarantined: Some(again) }
            }
            Ok(record) => enter(&core.catalogue, record, &core.options),
            Err(again) => Entered { unfinished: None, quarantined: Some(again) },
        };
        quarantine.remove(row);
        entered.quarantined.iter().for_each(|entry| quarantine.add(entry.clone()));
        entered
    };
    if let Some(unfinished) = entered.unfinished {
        let shared = core.clone();
        core.spawn(async move { resume::take_up_one(&shared, unfinished).await });
    }
    match entered.quarantined.filter(|again| again.row == row) {
        None => Ok(()),
        Some(again) => Err(Error::StillQuarantined { row: entry.row_text(), reason: again.reason }),
    }
}

/// Deletes the row, durably. The files of its shard belong to nobody then, and the next collection removes them.
pub(crate) async fn discard(core: &Arc<Core>, row: &[u8]) -> Result<()> {
    let alone = core.unless_closed(core.deciding.clone().lock_owned()).await?;
    find(core, row)?;
    let (shared, row, running) = (core.clone(), row.to_vec(), core.tasks.subscribe());
    // A task, because a deletion that was begun can't be taken back: where nobody waits for it any more, the row must not be
    // taken up before it has ended.
    let deleting = core.runtime.spawn(async move {
        let _until_it_has_ended = (alone, running);
        shared.datastore.delete(SHARDS, &row).await?;
        shared.quarantine.write().remove(&row);
        Ok(())
    });
    core.unless_closed(deleting).await?.unwrap_or(Err(Error::Closed))
}

fn find(core: &Core, row: &[u8]) -> Result<Quarantined> {
    let quarantine = core.quarantine.read();
    let found = quarantine.entries().iter().find(|entry| entry.row == row).cloned();
    found.ok_or_else(|| {
        let unknown = Quarantined { row: row.to_vec(), registration: None, key: None, reason: String::new() };
        Error::NotQuarantined { row: unknown.row_text() }
    })
}
