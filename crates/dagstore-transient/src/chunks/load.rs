//! What is on disk of chunks, when the folder is opened and when somebody begins to read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use dagstore_fs::{FileSystem, ReadAt, ReadAtExt};
use dagstore_mount::Stat;
use dagstore_types::UnixMillis;
use parking_lot::Mutex;

use super::disk::remove_files;
use super::table::{ENTRY_BYTES, Entry, Header, MAX_HEADER_BYTES, may_begin};
use super::{Chunks, Files, MAX_CHUNK_BYTES, Place};
use crate::Result;
use crate::error::failed;
use crate::names::Id;
use crate::room::Room;
use crate::sidecar::remove_file;
use crate::state::{Held, Shared, State};

/// So many entries are read at once.
const ENTRIES_AT_ONCE: usize = 4096;

/// What a table says.
struct Table {
    header: Header,
    seed: u32,
    length: u64,
    data_bytes: u64,
    places: BTreeMap<u64, Place>,
    used: UnixMillis,
    written_use: u64,
    is_pinned: bool,
}

/// Reads a table up to the first entry that isn't one, or that stands for more than the file of the chunks has. `None` where
/// there is no table of this registration.
fn read_table(file_system: &dyn FileSystem, table: &Path, chunks: &Path, id: Id) -> Result<Option<Table>> {
    let Some(file) = open(file_system, table)? else { return Ok(None) };
    let available = open(file_system, chunks)?.map_or(0, |file| file.size());
    let read = |at: u64, bytes: &mut [u8]| file.read_exact_at(at, bytes).map_err(failed("read", table));
    let mut beginning = vec![0; usize::try_from(file.size()).unwrap_or(usize::MAX).min(MAX_HEADER_BYTES)];
    read(0, &mut beginning)?;
    let Some((header, length, seed)) = Header::decode(&beginning) else { return Ok(None) };
    if Id::of(header.name) != id || header.chunk_bytes > MAX_CHUNK_BYTES {
        return Ok(None);
    }
    let (used, written_use) = (header.used, header.used.0);
    let places = BTreeMap::new();
    let length = length as u64;
    let mut found = Table { header, seed, length, data_bytes: 0, places, used, written_use, is_pinned: false };
    let mut buffer = vec![0; ENTRIES_AT_ONCE * ENTRY_BYTES];
    loop {
        let left = usize::try_from(file.size() - found.length).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len()) / ENTRY_BYTES * ENTRY_BYTES;
        read(found.length, &mut buffer[..wanted])?;
        let (entries, _) = buffer[..wanted].as_chunks::<ENTRY_BYTES>();
        let is_sound = entries.iter().all(|entry| {
            let entry = Entry::decode(entry, seed, found.length);
            entry.is_some_and(|entry| found.take(entry, available))
        });
        if wanted == 0 || !is_sound {
            return Ok(Some(found));
        }
    }
}

impl Table {
    /// Takes the next entry, unless it can't be true.
    fn take(&mut self, entry: Entry, available: u64) -> bool {
        match entry {
            Entry::Chunk { number, checksum } => {
                let chunk_bytes = u64::from(self.header.chunk_bytes);
                let start = number.saturating_mul(chunk_bytes);
                let length = self.header.size.saturating_sub(start).min(chunk_bytes);
                let end = self.data_bytes.saturating_add(length);
                if length == 0 || end > available {
                    return false;
                }
                self.places.insert(number, Place { at: self.data_bytes, checksum });
                self.data_bytes = end;
            }
            Entry::Used(used) => {
                self.used = self.used.max(used);
                self.written_use = used.0;
            }
            Entry::Pinned(is_pinned) => self.is_pinned = is_pinned,
        }
        self.length += ENTRY_BYTES as u64;
        true
    }

    fn files(self, room: Room, is_read: bool) -> Files {
        Files {
            room: Arc::new(room),
            seed: self.seed,
            table_bytes: self.length,
            data_bytes: self.data_bytes,
            written_use: self.written_use,
            places: is_read.then_some(self.places),
            data: None,
            is_broken: false,
        }
    }
}

fn open(file_system: &dyn FileSystem, path: &Path) -> Result<Option<Arc<dyn ReadAt>>> {
    match file_system.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

impl Chunks {
    /// Reads the table again for one who begins to read. Blocks.
    pub(super) fn load(&self, shared: &Shared) {
        let _turn = self.turn.lock();
        let is_due = |files: &Files| files.places.is_none() && !files.is_broken;
        if !self.inner.lock().files.as_ref().is_some_and(is_due) {
            return;
        }
        let paths = shared.paths(self.id());
        let table = read_table(&*shared.file_system, &paths.table, &paths.chunks, self.id());
        let mut inner = self.inner.lock();
        let Some(files) = inner.files.as_mut() else { return };
        // A table that can't be read is worth no more than one that isn't there.
        let table = table.ok().flatten().filter(|table| table.seed == files.seed);
        files.is_broken = table.is_none();
        files.places = Some(BTreeMap::new());
        if let Some(table) = table {
            (files.table_bytes, files.data_bytes) = (table.length, table.data_bytes);
            files.places = Some(table.places);
        }
    }
}

/// The files of one registration in a listing: a table's size, and that of its chunks.
pub(crate) type Listed = BTreeMap<Id, [Option<u64>; 2]>;

/// Takes over every table in the folder. What stands beside a complete copy is removed, and so are tables that a crash left
/// unfinished. Returns the files that no table claims, with their sizes.
pub(crate) fn load_all(shared: &Shared, state: &mut State, listed: Listed) -> Result<Vec<(String, u64)>> {
    let (mut strays, is_read_only) = (Vec::new(), shared.options.read_only);
    for (id, [table_size, data_size]) in listed {
        let paths = shared.paths(id);
        let file_system = &*shared.file_system;
        let Some(table) = read_table(file_system, &paths.table, &paths.chunks, id)? else {
            let is_gone =
                table_size.is_none() || (!is_read_only && remove_unfinished(file_system, &paths.table, &paths.chunks)?);
            let left = [(&paths.table, table_size.filter(|_| !is_gone)), (&paths.chunks, data_size)];
            let named = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            strays.extend(left.into_iter().filter_map(|(path, size)| Some((named(path), size?))));
            continue;
        };
        let has_copy = |held: &Held| matches!(held, Held::OnDisk(copy) if copy.serves(None));
        if state.slots.get(&id).is_some_and(|slot| has_copy(&slot.held)) {
            if !is_read_only {
                remove_files(file_system, &paths)?;
            }
            continue;
        }
        let stat = Stat::new(table.header.size, Some(table.header.validator.clone()));
        let turn = Arc::<Mutex<()>>::default();
        let chunks = Chunks::new(table.header.name, stat, table.header.chunk_bytes, turn);
        chunks.set_used(table.used, table.is_pinned);
        let room = shared.ledger.existing(table_size.unwrap_or(0).saturating_add(data_size.unwrap_or(0)));
        chunks.inner.lock().files = Some(table.files(room, false));
        state.chunks.insert(id, Arc::new(chunks));
    }
    Ok(strays)
}

/// Removes a table that has no more than the beginning of one, and returns whether it was such a one. There is no file of
/// chunks before the table is durable.
fn remove_unfinished(file_system: &dyn FileSystem, table: &Path, chunks: &Path) -> Result<bool> {
    let Some(file) = open(file_system, table)? else { return Ok(true) };
    let mut bytes = [0; 8];
    let length = usize::try_from(file.size()).unwrap_or(usize::MAX).min(bytes.len());
    file.read_exact_at(0, &mut bytes[..length]).map_err(failed("read", table))?;
    let is_unfinished = may_begin(&bytes[..length]) && open(file_system, chunks)?.is_none();
    if is_unfinished {
        remove_file(file_system, table)?;
    }
    Ok(is_unfinished)
}
