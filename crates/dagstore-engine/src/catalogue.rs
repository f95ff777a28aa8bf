//! All cells, by key.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use dagstore_types::ShardKey;
use parking_lot::RwLock;

use crate::cell::Cell;

/// How many parts the catalogue has, each behind a lock of its own.
const PARTS: usize = 64;

/// The shards in memory. Keys of hostile people are hashed with a random key.
#[derive(Debug)]
pub(crate) struct Catalogue {
    parts: Vec<RwLock<HashMap<ShardKey, Arc<Cell>>>>,
    hasher: RandomState,
}

impl Catalogue {
    pub(crate) fn new() -> Self {
        Self { parts: (0..PARTS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }

    pub(crate) fn get(&self, key: &ShardKey) -> Option<Arc<Cell>> {
        self.part(key).read().get(key).cloned()
    }

    /// The cell of `key`, made by `make` where there is none.
    pub(crate) fn get_or_insert(&self, key: &ShardKey, make: impl FnOnce() -> Arc<Cell>) -> Arc<Cell> {
        if let Some(cell) = self.get(key) {
            return cell;
        }
        self.part(key).write().entry(key.clone()).or_insert_with(make).clone()
    }

    /// Takes `cell` out, unless another one has come into its place.
    pub(crate) fn remove(&self, cell: &Arc<Cell>) {
        let mut part = self.part(cell.key()).write();
        if part.get(cell.key()).is_some_and(|present| Arc::ptr_eq(present, cell)) {
            part.remove(cell.key());
        }
    }

    /// Every cell. Locks one part at a time, so what comes and goes meanwhile may or may not be among them.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Arc<Cell>> {
        self.parts.iter().flat_map(|part| part.read().values().cloned().collect::<Vec<_>>())
    }

    fn part(&self, key: &ShardKey) -> &RwLock<HashMap<ShardKey, Arc<Cell>>> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below PARTS")]
        let part = (self.hasher.hash_one(key) % PARTS as u64) as usize;
        &self.parts[part]
    }
}
