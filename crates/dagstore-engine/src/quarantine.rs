//! Records that can't be read, or whose mount can't be revived. They are kept as they are and occupy their key.

use std::collections::{HashMap, HashSet};

use dagstore_fs::OwnName;
use dagstore_types::{Registration, ShardKey};

use crate::{Error, Result};

/// A record that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quarantined {
    /// The number in its row's key, where that is one.
    pub registration: Option<Registration>,
    /// The shard's key, where it can be read.
    pub key: Option<ShardKey>,
    /// What is wrong.
    pub reason: String,
}

/// The records that were set aside at opening.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    entries: Vec<Quarantined>,
    by_key: HashMap<ShardKey, usize>,
    key_hashes: HashSet<[u8; 16]>,
}

impl Quarantine {
    pub(crate) fn add(&mut self, entry: Quarantined) {
        if let Some(key) = &entry.key {
            self.by_key.insert(key.clone(), self.entries.len());
            self.key_hashes.insert(OwnName::hash_key(key));
        }
        self.entries.push(entry);
    }

    pub(crate) fn entries(&self) -> &[Quarantined] {
        &self.entries
    }

    /// # Errors
    /// [`Error::Quarantined`] when the key is occupied by such a record.
    pub(crate) fn check(&self, key: &ShardKey) -> Result<()> {
        match self.by_key.get(key) {
            None => Ok(()),
            Some(&at) => Err(Error::Quarantined { key: key.clone(), reason: self.entries[at].reason.clone() }),
        }
    }

    /// Whether a file may belong to a record that was set aside. It is never removed then.
    pub(crate) fn may_own(&self, name: &OwnName) -> bool {
        let unknown_key = self.entries.iter().any(|entry| entry.key.is_none());
        unknown_key || self.key_hashes.contains(&name.key_hash())
    }
}
