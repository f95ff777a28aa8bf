//! Room for what is fetched: taken where it is, made by eviction, or waited for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dagstore_fs::OwnName;
use dagstore_types::UnixMillis;
use tokio::sync::OwnedMutexGuard;

use crate::chunks::{drop_least_recently_used, last_use_of_idle};
use crate::error::{Reason, failed};
use crate::look::look;
use crate::names::Id;
use crate::room::Room;
use crate::sidecar::Form;
use crate::state::{Held, OnDisk, Shared, Slot};
use crate::{Error, Result, off_the_runtime};

/// How often is looked again while nothing of ours becomes free: others write on the same disk.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Waits for `bytes` more for a copy that needs `needed` in all. Those who wait get it in the order in which they came.
pub(crate) async fn reserve(shared: &Arc<Shared>, name: OwnName, bytes: u64, needed: u64) -> Result<Room> {
    let ledger = &shared.ledger;
    if let Some(quota) = ledger.quota().filter(|quota| needed > *quota) {
        return Err(Error::TooLarge { name, needed, quota });
    }
    let most = shared.options.max_waiters;
    let _waiting = ledger.wait(most).ok_or(Error::TooManyWaiters { name, most })?;
    let waited = shared.options.room_deadline;
    let mut available = None;
    let room = async {
        let _first = ledger.line.lock().await;
        loop {
            let looked = Arc::clone(shared);
            let looking = off_the_runtime(name, move || {
                let available = looked.file_system.available_bytes(&looked.directory);
                available.map_err(failed("ask for the free space of", &looked.directory))
            });
            available = looking.await?;
            if let Some(room) = ledger.try_reserve(bytes, available) {
                return Ok(room);
            }
            if !evict_one(shared).await {
                if let Some(sources) = &shared.options.sources {
                    sources.give_back();
                }
                let _ = tokio::time::timeout(LOOK_AGAIN, ledger.freed.notified()).await;
            }
        }
    };
    if let Ok(room) = tokio::time::timeout(waited, room).await {
        return room;
    }
    let unclaimed = shared.unclaimed_bytes();
    let is_for_the_disk = ledger.is_within_quota(bytes);
    let disk = available.filter(|_| is_for_the_disk).map(|available| (available, shared.options.keep_free_bytes));
    Err(Error::NoRoom { name, needed, waited, unclaimed, disk })
}

/// Evicts what was used least recently of all that nobody holds, and returns whether there was such a thing. Where there is
/// none, chunks go that are being read: who reads them goes on without, which is less than to make a copy wait.
async fn evict_one(shared: &Arc<Shared>) -> bool {
    let mut tried = BTreeSet::new();
    let oldest_copy = least_recently_used(shared, &tried).map(|(id, ..)| used(shared, id));
    let is_first = |chunks| oldest_copy.is_none_or(|copy| chunks <= copy);
    if last_use_of_idle(shared).is_some_and(is_first) && drop_chunks(shared, false).await {
        return true;
    }
    while let Some((id, name, is_known)) = least_recently_used(shared, &tried) {
        tried.insert(id);
        if !is_known && !still_has(shared, id, name).await {
            continue;
        }
        // Whoever changes its files now holds them up for good reason; waiting for that here could wait for ourselves.
        let turn = shared.state.lock().slots.get(&id).map(|slot| Arc::clone(&slot.turn));
        let Some(turn) = turn.and_then(|turn| turn.try_lock_owned().ok()) else { continue };
        if remove(shared, id, turn, |slot| if may_go(slot) { Ok(()) } else { Err(Reason::InUse) }).await.is_ok() {
            return true;
        }
    }
    drop_chunks(shared, true).await
}

async fn drop_chunks(shared: &Arc<Shared>, though_read: bool) -> bool {
    let Ok(at_work) = shared.at_work() else { return false };
    let shared = Arc::clone(shared);
    let dropped = tokio::task::spawn_blocking(move || {
        let dropped = drop_least_recently_used(&shared, |chunks| though_read || !chunks.is_wanted());
        drop(at_work);
        dropped
    });
    dropped.await.unwrap_or(false)
}

fn used(shared: &Shared, id: Id) -> UnixMillis {
    shared.state.lock().slots.get(&id).map_or(UnixMillis(0), |slot| slot.marks.used())
}

/// The copy to evict first, apart from those that were tried, and whether it is known not to be the last of its content.
fn least_recently_used(shared: &Shared, tried: &BTreeSet<Id>) -> Option<(Id, OwnName, bool)> {
    let can_ask = shared.options.sources.is_some();
    let state = shared.state.lock();
    let candidates = state.slots.iter().filter(|(id, slot)| !tried.contains(id) && may_go(slot));
    // Where sources can be asked they are: what one had when it was seen last, it may have no more.
    let known = candidates.map(|(id, slot)| (id, slot, is_partial(slot) || (!can_ask && slot.marks.source_seen())));
    let (id, slot, is_known) =
        known.filter(|(_, _, is_known)| *is_known || can_ask).min_by_key(|(_, slot, _)| slot.marks.used())?;
    Some((*id, slot.name, is_known))
}

fn may_go(slot: &Slot) -> bool {
    let Held::OnDisk(on_disk) = &slot.held else { return false };
    !matches!(on_disk.sidecar.form, Form::Foreign(_)) && !slot.is_wanted() && !slot.marks.is_pinned()
}

/// A part of a copy is never the last copy of anything.
fn is_partial(slot: &Slot) -> bool {
    matches!(&slot.held, Held::OnDisk(on_disk) if on_disk.is_partial())
}

async fn still_has(shared: &Shared, id: Id, name: OwnName) -> bool {
    let Some(sources) = &shared.options.sources else { return false };
    let content = match shared.state.lock().slots.get(&id) {
        Some(Slot { held: Held::OnDisk(on_disk), .. }) => on_disk.sidecar.stat(),
        _ => return false,
    };
    sources.still_has(name, content).await
}

/// Removes a registration's copy, if `check` still allows it, and returns how much room that was. It goes on to its end when
/// the caller doesn't wait for it.
pub(crate) async fn remove(
    shared: &Arc<Shared>,
    id: Id,
    turn: OwnedMutexGuard<()>,
    check: impl FnOnce(&Slot) -> Result<(), Reason>,
) -> Result<u64> {
    let at_work = shared.at_work()?;
    let (name, on_disk) = {
        let mut state = shared.state.lock();
        let Some(slot) = state.slots.get_mut(&id) else { return Ok(0) };
        let name = slot.name;
        check(slot).map_err(|reason| Error::Kept { name, reason })?;
        let Held::OnDisk(on_disk) = &slot.held else { return Ok(0) };
        let on_disk = on_disk.clone();
        slot.held = Held::Nothing;
        (name, on_disk)
    };
    let shared = Arc::clone(shared);
    off_the_runtime(name, move || {
        let bytes = on_disk.room.bytes();
        let removed = shared.remove_copy(id);
        if removed.is_err() {
            put_back(&shared, id, on_disk);
        }
        drop((turn, at_work));
        shared.forget_if_empty(id);
        removed.map(|()| bytes)
    })
    .await
}

/// What couldn't be removed is there still, unless somebody fetches it anew by now.
fn put_back(shared: &Shared, id: Id, OnDisk { sidecar, room }: OnDisk) {
    // Some of its files may be gone.
    let left = look(&*shared.file_system, &shared.paths(id), id).ok().flatten();
    let sidecar = left.map_or(sidecar, |found| found.sidecar);
    let mut state = shared.state.lock();
    if let Some(slot) = state.slots.get_mut(&id)
        && matches!(slot.held, Held::Nothing)
    {
        slot.held = Held::OnDisk(OnDisk { sidecar, room });
    }
}

impl Shared {
    /// Forgets a registration of which nothing is left.
    pub(crate) fn forget_if_empty(&self, id: Id) {
        let mut state = self.state.lock();
        if state.slots.get(&id).is_some_and(Slot::is_empty) {
            state.slots.remove(&id);
        }
    }
}
