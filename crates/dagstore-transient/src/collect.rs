//! What there is, what is to stay, and what is removed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dagstore_fs::OwnName;
use dagstore_mount::Stat;
use dagstore_types::UnixMillis;
use parking_lot::MutexGuard;

use crate::chunks::Chunks;
use crate::make_room::remove;
use crate::names::Id;
use crate::sidecar::Form;
use crate::state::{Held, Slot, State};
use crate::{Copies, Error, Reason, Result, off_the_runtime};

/// One copy, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyInfo {
    /// The registration; the attempt is one that asked for the copy, and means nothing.
    pub name: OwnName,
    /// What there is.
    pub state: CopyState,
    /// The size of the source in bytes; `None` as long as it isn't known.
    pub size: Option<u64>,
    /// How many bytes are on disk: where it is being fetched, how far the fetch got.
    pub done: u64,
    /// Whether it is pinned.
    pub is_pinned: bool,
    /// Whether somebody has it open or waits for it.
    pub is_in_use: bool,
    /// When it was used last. After a restart that is known roughly.
    pub last_use: UnixMillis,
}

/// What there is of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CopyState {
    /// A part, and nobody fetches the rest.
    Partial,
    /// It is being fetched.
    Fetching,
    /// All of it.
    Complete,
    /// A user's own file, used where it is.
    Foreign,
    /// Chunks of a source that is read piecewise ([`Copies::remote`]).
    Chunks,
}

/// What a collection did, or would have done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcReport {
    /// One for each copy and each file of unknown origin.
    pub entries: Vec<GcEntry>,
    /// How many bytes became free, or would have.
    pub freed_bytes: u64,
}

/// What became of one copy or file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcEntry {
    /// The registration's name, or the file's.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Why it stays; `None` where it was removed, or would have been.
    pub kept: Option<Reason>,
}

impl Copies {
    /// All copies in the order of their names, and behind them all chunks likewise. A registration that is read piecewise while
    /// its copy is being fetched is in both.
    pub fn list(&self) -> Vec<CopyInfo> {
        let state = self.shared.state.lock();
        let copies = state.slots.values().filter_map(info);
        copies.chain(state.chunks.values().filter_map(|chunks| info_of_chunks(chunks))).collect()
    }

    /// How many bytes of disk are taken or promised, partial copies, chunks, sidecars and files of unknown origin included. It is
    /// never more than the quota, unless a smaller quota was set for a folder that has more.
    pub fn used_bytes(&self) -> u64 {
        self.shared.ledger.taken()
    }

    /// The content of a complete copy; `None` where there is none, or a user's own file.
    pub fn content(&self, name: OwnName) -> Option<Stat> {
        match &self.shared.state.lock().slots.get(&Id::of(name))?.held {
            Held::OnDisk(on_disk) if on_disk.sidecar.form == Form::Complete => Some(on_disk.sidecar.stat()),
            _ => None,
        }
    }

    /// Keeps a copy, or the chunks of it that there are, from being evicted until it is unpinned. A copy takes over the pin of its
    /// chunks. Durable at return; where the copy is being fetched, as soon as
    /// that is complete, or with the next checkpoint.
    ///
    /// # Errors
    /// [`Error::NotLocal`] where nothing is there or on its way; [`Error::Io`] and [`Error::DiskFull`]: it is pinned
    /// until the process ends.
    pub async fn pin(&self, name: OwnName) -> Result<()> {
        self.set_pinned(name, true).await
    }

    /// The reverse of [`pin`](Self::pin).
    ///
    /// # Errors
    /// As there.
    pub async fn unpin(&self, name: OwnName) -> Result<()> {
        self.set_pinned(name, false).await?;
        self.shared.ledger.freed.notify_one();
        Ok(())
    }

    /// Whether a copy is kept until it is unpinned.
    pub fn is_pinned(&self, name: OwnName) -> bool {
        self.shared.state.lock().slots.get(&Id::of(name)).is_some_and(|slot| slot.marks.is_pinned())
    }

    async fn set_pinned(&self, name: OwnName, is_pinned: bool) -> Result<()> {
        let id = Id::of(name);
        let (is_written_by_a_fetch, chunks) = {
            let state = self.writable()?;
            let slot = state.slots.get(&id).filter(|slot| !matches!(slot.held, Held::Nothing));
            let chunks = state.chunks.get(&id).filter(|chunks| chunks.room().is_some()).cloned();
            if slot.is_none() && chunks.is_none() {
                return Err(Error::NotLocal { name });
            }
            if let Some(slot) = slot {
                slot.marks.is_pinned.store(is_pinned, Ordering::Relaxed);
            }
            if let Some(chunks) = &chunks {
                chunks.is_pinned.store(is_pinned, Ordering::Relaxed);
            }
            (matches!(slot, Some(Slot { held: Held::Fetching(_), .. })), chunks)
        };
        if let Some(chunks) = chunks {
            let (shared, at_work) = (Arc::clone(&self.shared), self.shared.at_work()?);
            let writing = move || {
                let written = chunks.write_pin(&shared, is_pinned);
                drop(at_work);
                written
            };
            off_the_runtime(name, writing).await?;
        }
        if is_written_by_a_fetch { Ok(()) } else { self.write_marks(id).await }
    }

    /// Writes down whether a copy is pinned and when it was used.
    pub(crate) async fn write_marks(&self, id: Id) -> Result<()> {
        let turn = self.shared.state.lock().slots.get(&id).map(|slot| (slot.name, Arc::clone(&slot.turn)));
        let Some((name, turn)) = turn else { return Ok(()) };
        let turn = turn.lock_owned().await;
        let (shared, at_work) = (Arc::clone(&self.shared), self.shared.at_work()?);
        off_the_runtime(name, move || {
            let sidecar = match shared.state.lock().slots.get(&id) {
                Some(Slot { held: Held::OnDisk(on_disk), marks, .. }) => marks.on(&on_disk.sidecar),
                // It is being fetched, which writes the marks, or it is gone.
                _ => return Ok(()),
            };
            sidecar.replace(&*shared.file_system, &shared.paths(id))?;
            if let Some(Slot { held: Held::OnDisk(on_disk), .. }) = shared.state.lock().slots.get_mut(&id) {
                on_disk.sidecar = sidecar;
            }
            drop((turn, at_work));
            Ok(())
        })
        .await
    }

    /// Removes a copy, partial or complete, and its chunks, and returns how many bytes that were. `source_was_seen` tells whether the
    /// source exists: otherwise the copy may be the last one, and stays; chunks never are. With `force` it goes for all that, and
    /// though it is pinned or open; readers stay good, and its room counts until the last of them has gone. Of a user's own
    /// file only the adoption is forgotten. A crash right after may bring the copy back.
    ///
    /// # Errors
    /// [`Error::Kept`] with the reason, [`Error::NotLocal`], [`Error::Io`].
    pub async fn evict(&self, name: OwnName, source_was_seen: bool, force: bool) -> Result<u64> {
        let id = Id::of(name);
        let check = |slot: &Slot| may_be_evicted(slot, source_was_seen, force);
        let (turn, chunks) = {
            let state = self.writable()?;
            let slot = state.slots.get(&id).filter(|slot| !matches!(slot.held, Held::Nothing));
            let chunks = state.chunks.get(&id).filter(|chunks| chunks.room().is_some()).cloned();
            if slot.is_none() && chunks.is_none() {
                return Err(Error::NotLocal { name });
            }
            // A fetch has the turn until it ends; everybody else has it for moments.
            let allowed = slot.map_or(Ok(()), check);
            let allowed = allowed.and_then(|()| chunks.as_ref().map_or(Ok(()), |chunks| chunks_may_go(chunks, force)));
            allowed.map_err(|reason| Error::Kept { name, reason })?;
            (slot.map(|slot| Arc::clone(&slot.turn)), chunks)
        };
        let bytes = match turn {
            Some(turn) => remove(&self.shared, id, turn.lock_owned().await, check).await?,
            None => 0,
        };
        Ok(bytes + if let Some(chunks) = chunks { self.drop_chunks(chunks).await? } else { 0 })
    }

    /// Keeps nothing any more of what is still on its way for a registration that is gone, and removes what there is of it in
    /// chunks. What can't be removed goes with the next collection.
    pub async fn forget(&self, name: OwnName) {
        let (shared, id) = (Arc::clone(&self.shared), Id::of(name));
        let Ok(at_work) = shared.at_work() else { return };
        let forgetting = off_the_runtime(name, move || {
            shared.replace_chunks(id);
            drop(at_work);
            Ok(())
        });
        let _what_is_left_is_counted = forgetting.await;
    }

    async fn drop_chunks(&self, chunks: Arc<Chunks>) -> Result<u64> {
        let (shared, at_work) = (Arc::clone(&self.shared), self.shared.at_work()?);
        off_the_runtime(chunks.name, move || {
            let _at_work = at_work;
            let bytes = chunks.drop_files(&shared)?;
            shared.forget_chunks_if_empty(&chunks);
            Ok(bytes)
        })
        .await
    }

    /// Removes every copy and all chunks that nobody names, unless it is in use, being fetched or pinned. `named` is asked once for each;
    /// the attempt in the name means nothing. With `dry_run` it only tells. Files that bear a name of ours without a sidecar
    /// that claims them are told and kept, and all others aren't even told. Of a user's own file only the adoption
    /// is forgotten.
    ///
    /// # Errors
    /// [`Error::Io`] for the first copy that couldn't be removed; the others were.
    pub async fn gc(&self, named: impl Fn(&OwnName) -> bool, dry_run: bool) -> Result<GcReport> {
        let mut report = GcReport::default();
        let mut failed = None;
        let all: Vec<_> = {
            let state = self.writable()?;
            let strays = state.strays.iter().map(|(name, room)| (name.clone(), room.bytes()));
            let told = |(name, bytes)| GcEntry { name, bytes, kept: Some(Reason::NotProvablyOurs) };
            report.entries.extend(strays.map(told));
            state.slots.iter().map(|(id, slot)| (*id, slot.name, slot.bytes(), Arc::clone(&slot.turn))).collect()
        };
        for (id, name, bytes, turn) in all {
            let is_named = named(&name);
            let check = |slot: &Slot| if is_named { Err(Reason::Named) } else { may_be_evicted(slot, true, false) };
            let removed = match self.would_remove(id, name, bytes, check) {
                Ok(_) if !dry_run => remove(&self.shared, id, turn.lock_owned().await, check).await,
                other => other,
            };
            let kept = match removed {
                Ok(bytes) => {
                    report.freed_bytes += bytes;
                    None
                }
                Err(Error::Kept { reason, .. }) => Some(reason),
                Err(error) => {
                    failed.get_or_insert(error);
                    Some(Reason::Failed)
                }
            };
            report.entries.push(GcEntry { name: name.to_string(), bytes, kept });
        }
        let chunks: Vec<_> = self.shared.state.lock().chunks.values().cloned().collect();
        for chunks in chunks {
            let Some(bytes) = chunks.room() else { continue };
            let allowed = if named(&chunks.name) { Err(Reason::Named) } else { chunks_may_go(&chunks, false) };
            let name = chunks.name.to_string();
            let removed = match allowed {
                Ok(()) if !dry_run => self.drop_chunks(chunks).await.map(drop),
                Ok(()) => Ok(()),
                Err(reason) => {
                    report.entries.push(GcEntry { name, bytes, kept: Some(reason) });
                    continue;
                }
            };
            let kept = removed.map(|()| report.freed_bytes += bytes).err().map(|error| {
                failed.get_or_insert(error);
                Reason::Failed
            });
            report.entries.push(GcEntry { name, bytes, kept });
        }
        failed.map_or(Ok(report), Err)
    }

    /// The state, where more than a look is allowed.
    fn writable(&self) -> Result<MutexGuard<'_, State>> {
        if self.shared.options.read_only {
            return Err(Error::Closed);
        }
        Ok(self.shared.state.lock())
    }

    fn would_remove(
        &self,
        id: Id,
        name: OwnName,
        bytes: u64,
        check: impl FnOnce(&Slot) -> Result<(), Reason>,
    ) -> Result<u64> {
        let state = self.shared.state.lock();
        let allowed = state.slots.get(&id).map_or(Ok(()), check);
        allowed.map(|()| bytes).map_err(|reason| Error::Kept { name, reason })
    }
}

/// Chunks are never the last of anything.
fn chunks_may_go(chunks: &Chunks, force: bool) -> Result<(), Reason> {
    match () {
        () if force => Ok(()),
        () if chunks.is_wanted() => Err(Reason::InUse),
        () if chunks.is_pinned() => Err(Reason::Pinned),
        () => Ok(()),
    }
}

fn may_be_evicted(slot: &Slot, source_was_seen: bool, force: bool) -> Result<(), Reason> {
    let is_last =
        matches!(&slot.held, Held::OnDisk(on_disk) if on_disk.sidecar.form == Form::Complete) && !source_was_seen;
    match slot.held {
        Held::Fetching(_) => Err(Reason::BeingFetched),
        Held::OnDisk(_) | Held::Nothing if force => Ok(()),
        _ if slot.is_wanted() => Err(Reason::InUse),
        _ if slot.marks.is_pinned() => Err(Reason::Pinned),
        _ if is_last => Err(Reason::MayBeTheLast),
        Held::OnDisk(_) | Held::Nothing => Ok(()),
    }
}

impl Slot {
    /// How much of the disk it takes, as far as that is settled.
    fn bytes(&self) -> u64 {
        if let Held::OnDisk(on_disk) = &self.held { on_disk.room.bytes() } else { 0 }
    }
}

fn info(slot: &Slot) -> Option<CopyInfo> {
    let (state, size, done) = match &slot.held {
        Held::Nothing => return None,
        Held::Fetching(fetching) => {
            let total = fetching.progress.total.load(Ordering::Relaxed);
            (CopyState::Fetching, (total > 0).then_some(total), fetching.progress.done.load(Ordering::Relaxed))
        }
        Held::OnDisk(on_disk) => {
            let sidecar = &on_disk.sidecar;
            let state = match sidecar.form {
                Form::Partial => CopyState::Partial,
                Form::Complete => CopyState::Complete,
                Form::Foreign(_) => CopyState::Foreign,
            };
            (state, Some(sidecar.size), sidecar.durable)
        }
    };
    let (is_pinned, last_use) = (slot.marks.is_pinned(), slot.marks.used());
    Some(CopyInfo { name: slot.name, state, size, done, is_pinned, is_in_use: slot.is_wanted(), last_use })
}

fn info_of_chunks(chunks: &Chunks) -> Option<CopyInfo> {
    Some(CopyInfo {
        name: chunks.name,
        state: CopyState::Chunks,
        size: Some(chunks.stat.size),
        done: chunks.present_bytes()?,
        is_pinned: chunks.is_pinned(),
        is_in_use: chunks.is_wanted(),
        last_use: chunks.used(),
    })
}
