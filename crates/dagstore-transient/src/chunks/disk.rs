//! Chunks on disk: written behind each other, found by the table, believed by their checksum.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dagstore_fs::{FileSystem, ReadAtExt, WriteFile};
use dagstore_types::UnixMillis;

use super::table::{ENTRY_BYTES, Entry, Header};
use super::{Chunks, Data, Files, Place};
use crate::error::failed;
use crate::names::Paths;
use crate::room::Room;
use crate::sidecar::{remove_file, sync_directory};
use crate::state::Shared;
use crate::{Error, Result};

impl Chunks {
    /// The header of a table of theirs.
    pub(super) fn header(&self) -> Header {
        Header {
            name: self.name,
            chunk_bytes: self.chunk_bytes,
            size: self.stat.size,
            validator: self.stat.validator.clone().unwrap_or_default(),
            used: self.used(),
        }
    }

    /// What writing `count` chunks of together `bytes` bytes takes of the disk at most.
    pub(super) fn room_for(&self, count: u64, bytes: u64) -> u64 {
        let entries = (count + 2) * ENTRY_BYTES as u64;
        bytes.saturating_add(entries).saturating_add(self.header().encode().0.len() as u64)
    }

    /// Whether more may be kept. What is written over and over again, because the disk doesn't keep it, ends here.
    pub(super) fn may_grow(&self) -> bool {
        let inner = self.inner.lock();
        let most = self.count().saturating_mul(4).saturating_add(1024).saturating_mul(ENTRY_BYTES as u64);
        !inner.is_detached && inner.files.as_ref().is_none_or(|files| files.table_bytes < most)
    }

    /// Writes down neighbouring chunks, the first of which is `first`. They are there afterwards or not: nothing is
    /// synced, and the checksums tell. `room` is at least what [`room_for`](Self::room_for) says. Blocks.
    pub(super) fn store(&self, shared: &Shared, first: u64, bytes: &Bytes, room: Room) -> Result<()> {
        let _turn = self.turn.lock();
        let paths = shared.paths(self.id());
        let file_system = &*shared.file_system;
        if self.is_detached() {
            return Ok(());
        }
        let is_begun = self.inner.lock().files.as_ref().is_some_and(|files| !files.is_broken);
        let room = if is_begun {
            Some(room)
        } else {
            self.begin(shared, &paths, room)?;
            None
        };
        let Some((seed, table_bytes, data_bytes, written_use)) = self.ends() else { return Ok(()) };
        let (mut entries, mut at, mut places) = (Vec::new(), data_bytes, Vec::new());
        for (number, chunk) in (first..).zip(bytes.chunks(self.chunk_bytes as usize)) {
            let checksum = crc32c::crc32c(chunk);
            let entry = Entry::Chunk { number, checksum };
            entries.extend(entry.encode(seed, table_bytes + entries.len() as u64));
            places.push((number, Place { at, checksum }));
            at += chunk.len() as u64;
        }
        let used = self.used();
        let is_use_due = u128::from(used.0.saturating_sub(written_use)) > shared.options.use_step.as_millis();
        if is_use_due {
            entries.extend(Entry::Used(used).encode(seed, table_bytes + entries.len() as u64));
        }
        let written = append(file_system, &paths.chunks, data_bytes, bytes)
            .and_then(|_| append(file_system, &paths.table, table_bytes, &entries).map(drop));
        let stored = self.settle(shared, &paths, room, written, |files| {
            files.data_bytes = at;
            files.table_bytes += entries.len() as u64;
            files.written_use = if is_use_due { used.0 } else { written_use };
            // Where nobody reads any more, the table is on disk alone.
            if let Some(known) = &mut files.places {
                known.extend(places);
            }
        });
        // A copy or another content came meanwhile.
        if self.is_detached() { self.remove_in_turn(shared).map(drop) } else { stored }
    }

    /// Where the files end, by the table.
    fn ends(&self) -> Option<(u32, u64, u64, u64)> {
        let inner = self.inner.lock();
        inner.files.as_ref().map(|files| (files.seed, files.table_bytes, files.data_bytes, files.written_use))
    }

    /// Counts what was written, or cuts off what was left of it.
    fn settle(
        &self,
        shared: &Shared,
        paths: &Paths,
        room: Option<Room>,
        written: Result<()>,
        note: impl FnOnce(&mut Files),
    ) -> Result<()> {
        let is_cut = written.is_err() && self.cut(shared, paths);
        let mut inner = self.inner.lock();
        // Only who has the turn takes the files away.
        let Some(files) = inner.files.as_mut() else { return written };
        if written.is_ok() {
            note(files);
        }
        if let Some(room) = room {
            files.room.absorb(room);
        }
        let exact = files.data_bytes + files.table_bytes;
        // What couldn't be cut off stays counted until the next writing, which begins where this one did.
        files.room.shrink_to(if written.is_ok() || is_cut { exact } else { u64::MAX });
        written
    }

    /// Cuts both files at the ends that are known. What has become shorter is begun anew.
    fn cut(&self, shared: &Shared, paths: &Paths) -> bool {
        let Some((_, table_bytes, data_bytes, _)) = self.ends() else { return true };
        let ends = [(&paths.chunks, data_bytes), (&paths.table, table_bytes)];
        let is_cut = ends.into_iter().all(|(path, end)| shared.file_system.append(path, end).is_ok());
        if !is_cut && let Some(files) = &mut self.inner.lock().files {
            (files.is_broken, files.places) = (true, files.places.take().map(|_| BTreeMap::new()));
        }
        is_cut
    }

    /// Makes both files, empty but for the header, in the place of whatever is there. The table is durable before there is
    /// a file that it stands for. All of the room counts until it is known what was written.
    fn begin(&self, shared: &Shared, paths: &Paths, room: Room) -> Result<()> {
        let file_system = &*shared.file_system;
        remove_files(file_system, paths)?;
        shared.forget_strays(&[&paths.chunks, &paths.table]);
        let (mut header, seed) = self.header().encode();
        if self.is_pinned() {
            header.extend(Entry::Pinned(true).encode(seed, header.len() as u64));
        }
        let write = || -> Result<()> {
            let mut file = file_system.create(&paths.table).map_err(failed("create", &paths.table))?;
            file.write_all(&header).map_err(failed("write", &paths.table))?;
            file.sync().map_err(failed("sync", &paths.table))?;
            sync_directory(file_system, &paths.table)?;
            file_system.create(&paths.chunks).map_err(failed("create", &paths.chunks)).map(drop)
        };
        let written = write();
        // Where it failed and can't be taken back, it is counted, and the next who writes begins anew.
        let is_left = written.is_err() && remove_files(file_system, paths).is_err();
        let files = Files {
            room: Arc::new(room),
            seed,
            table_bytes: header.len() as u64,
            data_bytes: 0,
            written_use: self.used().0,
            places: self.is_wanted().then(BTreeMap::new),
            data: None,
            is_broken: is_left,
        };
        let before = {
            let mut inner = self.inner.lock();
            let files = (written.is_ok() || is_left).then_some(files);
            std::mem::replace(&mut inner.files, files)
        };
        drop(before);
        written
    }

    /// One chunk, if it is on disk and is what was written. What isn't is forgotten, and counts as missing. Blocks.
    pub(super) fn read_chunk(&self, shared: &Shared, number: u64) -> Option<Bytes> {
        let (place, data, room) = {
            let inner = self.inner.lock();
            if let Some((recent, bytes)) = &inner.recent
                && *recent == number
            {
                return Some(bytes.clone());
            }
            let files = inner.files.as_ref()?;
            let place = *files.places.as_ref()?.get(&number)?;
            (place, files.data.clone(), Arc::clone(&files.room))
        };
        let bytes = self.checked(shared, number, place, data, &room);
        let mut inner = self.inner.lock();
        let files = inner.files.as_mut().filter(|files| Arc::ptr_eq(&files.room, &room));
        if bytes.is_none()
            && let Some(places) = files.and_then(|files| files.places.as_mut())
            && places.get(&number) == Some(&place)
        {
            places.remove(&number);
        }
        if let Some(bytes) = &bytes {
            inner.recent = Some((number, bytes.clone()));
        }
        bytes
    }

    fn checked(
        &self,
        shared: &Shared,
        number: u64,
        place: Place,
        data: Option<Arc<Data>>,
        room: &Arc<Room>,
    ) -> Option<Bytes> {
        let mut bytes = vec![0; usize::try_from(self.length_of(number)).ok()?];
        let end = place.at + bytes.len() as u64;
        let data = match data.filter(|data| data.reader.size() >= end) {
            Some(data) => data,
            None => self.open_data(shared, room)?,
        };
        data.reader.read_exact_at(place.at, &mut bytes).ok()?;
        (crc32c::crc32c(&bytes) == place.checksum).then(|| bytes.into())
    }

    /// Opens the file as long as it is now.
    fn open_data(&self, shared: &Shared, room: &Arc<Room>) -> Option<Arc<Data>> {
        let reader = shared.file_system.open(&shared.paths(self.id()).chunks).ok()?;
        let data = Arc::new(Data { reader, _room: Arc::clone(room) });
        let mut inner = self.inner.lock();
        if let Some(files) = inner.files.as_mut().filter(|files| Arc::ptr_eq(&files.room, room)) {
            files.data = Some(Arc::clone(&data));
        }
        Some(data)
    }

    /// Pins or unpins what is on disk, durably, and with it every chunk that is there. Blocks.
    pub(crate) fn write_pin(&self, shared: &Shared, is_pinned: bool) -> Result<()> {
        let _turn = self.turn.lock();
        let Some((seed, table_bytes, data_bytes, _)) = self.ends() else { return Ok(()) };
        let (file_system, paths) = (&*shared.file_system, shared.paths(self.id()));
        let needed = ENTRY_BYTES as u64;
        let room = shared.ledger.try_reserve(needed, None).ok_or_else(|| {
            let (name, unclaimed) = (self.name, shared.unclaimed_bytes());
            Error::NoRoom { name, needed, waited: Duration::ZERO, unclaimed, disk: None }
        })?;
        // What an entry of the table stands for has to be there, or the reading of the table ends before the pin.
        let synced = append(file_system, &paths.chunks, data_bytes, &[]).and_then(|mut data| {
            data.sync().map_err(failed("sync", &paths.chunks))?;
            let entry = Entry::Pinned(is_pinned).encode(seed, table_bytes);
            let mut table = append(file_system, &paths.table, table_bytes, &entry)?;
            table.sync().map_err(failed("sync", &paths.table))?;
            sync_directory(file_system, &paths.table)
        });
        self.settle(shared, &paths, Some(room), synced, |files| files.table_bytes += needed)
    }

    /// Removes what is on disk, and returns how many bytes that were. Who reads goes on without. Blocks.
    pub(crate) fn drop_files(&self, shared: &Shared) -> Result<u64> {
        let _turn = self.turn.lock();
        self.remove_in_turn(shared)
    }

    fn remove_in_turn(&self, shared: &Shared) -> Result<u64> {
        let Some(bytes) = self.room() else { return Ok(0) };
        let removed = remove_files(&*shared.file_system, &shared.paths(self.id()));
        let mut inner = self.inner.lock();
        let mut files = inner.files.take();
        inner.recent = None;
        if let Err(error) = removed {
            // Some of it is there still, and counts.
            if let Some(files) = &mut files {
                (files.is_broken, files.data) = (true, None);
                files.places = files.places.take().map(|_| BTreeMap::new());
            }
            inner.files = files;
            return Err(error);
        }
        drop(inner);
        drop(files);
        Ok(bytes)
    }

    /// As [`drop_files`](Self::drop_files), and keeps nothing from now on.
    pub(crate) fn detach(&self, shared: &Shared) -> Result<u64> {
        self.inner.lock().is_detached = true;
        self.drop_files(shared)
    }

    pub(super) fn is_detached(&self) -> bool {
        self.inner.lock().is_detached
    }

    /// Forgets what is known without the disk, because nobody reads.
    pub(super) fn unload(&self) {
        let mut inner = self.inner.lock();
        let recent = inner.recent.take();
        let known = inner.files.as_mut().map(|files| (files.places.take(), files.data.take()));
        drop(inner);
        drop((recent, known));
    }

    /// Takes over the files of another content, which keeps nothing any more, to remove them. Under the lock of the state.
    pub(super) fn take_over(&self, other: &Self) {
        self.set_used(other.used(), other.is_pinned());
        let files = {
            let mut inner = other.inner.lock();
            (inner.is_detached, inner.recent) = (true, None);
            inner.files.take()
        };
        let broken = files.map(|files| Files { is_broken: true, places: Some(BTreeMap::new()), data: None, ..files });
        self.inner.lock().files = broken;
    }

    /// Removes files that can't be gone on with. Blocks.
    pub(super) fn drop_broken(&self, shared: &Shared) -> Result<()> {
        let _turn = self.turn.lock();
        let is_broken = self.inner.lock().files.as_ref().is_some_and(|files| files.is_broken);
        if is_broken { self.remove_in_turn(shared).map(drop) } else { Ok(()) }
    }

    pub(super) fn set_used(&self, used: UnixMillis, is_pinned: bool) {
        self.used.store(used.0, Ordering::Relaxed);
        self.is_pinned.store(is_pinned, Ordering::Relaxed);
    }
}

/// Writes behind the first `at` bytes of a file, in the place of what is there.
fn append(file_system: &dyn FileSystem, path: &Path, at: u64, bytes: &[u8]) -> Result<Box<dyn WriteFile>> {
    let mut file = file_system.append(path, at).map_err(failed("open", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    Ok(file)
}

/// Removes both files: the chunks first and durably, so that there is never a file without a table that claims it.
pub(super) fn remove_files(file_system: &dyn FileSystem, paths: &Paths) -> Result<()> {
    if remove_file(file_system, &paths.chunks)? {
        sync_directory(file_system, &paths.chunks)?;
    }
    remove_file(file_system, &paths.table)?;
    Ok(())
}
