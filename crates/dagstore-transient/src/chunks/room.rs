//! Room for chunks: taken where it is, or from the chunks of others, and never waited for.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagstore_types::UnixMillis;

use super::Chunks;
use crate::names::Id;
use crate::room::Room;
use crate::state::Shared;

/// Room for `bytes` more; `None` where they can't be kept. Who waits for room for a copy comes first. Blocks.
pub(super) fn reserve(shared: &Shared, chunks: &Arc<Chunks>, bytes: u64) -> Option<Room> {
    let ledger = &shared.ledger;
    if ledger.quota().is_some_and(|quota| bytes > quota) {
        return None;
    }
    loop {
        if !chunks.may_grow() || ledger.is_waited_for() {
            return None;
        }
        let available = shared.file_system.available_bytes(&shared.directory).ok()?;
        if let Some(room) = ledger.try_reserve(bytes, available) {
            return Some(room);
        }
        if !drop_least_recently_used(shared, |other| !other.is_wanted() && !Arc::ptr_eq(other, chunks)) {
            return None;
        }
    }
}

/// Removes the chunks that were used least recently, of those that may go and aren't pinned. Returns whether there were any.
/// Blocks.
pub(crate) fn drop_least_recently_used(shared: &Shared, may_go: impl Fn(&Arc<Chunks>) -> bool) -> bool {
    let mut tried = BTreeSet::new();
    loop {
        let oldest = {
            let state = shared.state.lock();
            let others = state.chunks.iter().filter(|(id, chunks)| !tried.contains(*id) && may_go(chunks));
            let on_disk = others.filter(|(_, chunks)| !chunks.is_pinned() && chunks.room().is_some());
            on_disk.min_by_key(|(_, chunks)| chunks.used()).map(|(id, chunks)| (*id, Arc::clone(chunks)))
        };
        let Some((id, chunks)) = oldest else { return false };
        tried.insert(id);
        let freed = chunks.drop_files(shared).unwrap_or(0);
        shared.forget_chunks_if_empty(&chunks);
        if freed > 0 {
            return true;
        }
    }
}

/// When the chunks were used that would go first of those that nobody reads.
pub(crate) fn last_use_of_idle(shared: &Shared) -> Option<UnixMillis> {
    let state = shared.state.lock();
    let idle = state.chunks.values().filter(|chunks| !chunks.is_wanted() && !chunks.is_pinned());
    idle.filter(|chunks| chunks.room().is_some()).map(|chunks| chunks.used()).min()
}

impl Shared {
    /// Forgets chunks of which nothing is left and that nobody reads.
    pub(crate) fn forget_chunks_if_empty(&self, chunks: &Arc<Chunks>) {
        let mut state = self.state.lock();
        let is_known = state.chunks.get(&chunks.id()).is_some_and(|known| Arc::ptr_eq(known, chunks));
        if is_known && !chunks.is_wanted() {
            chunks.unload();
            if chunks.is_empty() {
                state.chunks.remove(&chunks.id());
            }
        }
    }

    /// Removes the chunks of a registration of which there is a copy now. Blocks.
    pub(crate) fn replace_chunks(&self, id: Id) {
        let chunks = self.state.lock().chunks.get(&id).cloned();
        let Some(chunks) = chunks else { return };
        // What can't be removed stays counted and shown, and goes with the next opening or collection.
        if chunks.detach(self).is_ok() {
            let mut state = self.state.lock();
            if state.chunks.get(&id).is_some_and(|known| Arc::ptr_eq(known, &chunks)) {
                state.chunks.remove(&id);
            }
        }
    }
}

impl Chunks {
    /// Whether nothing is on disk and nothing is under way.
    fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.files.is_none() && inner.flights.is_empty()
    }
}
