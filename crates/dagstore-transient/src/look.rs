//! What is on disk.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use dagstore_fs::{FileSystem, ReadAtExt};

use crate::Result;
use crate::chunks::{Listed, load_all};
use crate::error::failed;
use crate::names::{Id, Kind, Paths, parse};
use crate::sidecar::{Form, Sidecar, may_begin, remove_file};
use crate::state::{Held, OnDisk, Shared, Slot, State};

/// A registration's files, as far as a sidecar says that they are ours.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sidecar: Sidecar,
    /// How much of the disk belongs to it.
    pub(crate) room: u64,
}

/// Looks at one registration. Nothing is believed because it exists: a complete copy has the size that its sidecar says, a
/// partial one at least what is durable. Anything else counts as a partial copy of which nothing is there, so it stands
/// in nobody's way, and it isn't deleted unasked.
pub(crate) fn look(file_system: &dyn FileSystem, paths: &Paths, id: Id) -> Result<Option<Found>> {
    let Some(sidecar) = Sidecar::read(file_system, &paths.sidecar, id)? else { return Ok(None) };
    if let Form::Foreign(_) = sidecar.form {
        let room = sidecar.room();
        return Ok(Some(Found { sidecar, room }));
    }
    let [copy, partial] = [size_of(file_system, &paths.copy)?, size_of(file_system, &paths.partial)?];
    let room = sidecar.room().saturating_add(copy.unwrap_or(0)).saturating_add(partial.unwrap_or(0));
    let is_complete = sidecar.form == Form::Complete && copy == Some(sidecar.size) && partial.is_none();
    if is_complete {
        return Ok(Some(Found { sidecar, room }));
    }
    let is_partial = copy.is_none() && partial.is_some_and(|bytes| bytes >= sidecar.durable);
    let sidecar = if is_partial { sidecar } else { Sidecar { durable: 0, checksum: 0, ..sidecar } };
    Ok(Some(Found { sidecar: Sidecar { form: Form::Partial, ..sidecar }, room }))
}

/// The size of a regular file; `None` where there is no such thing.
fn size_of(file_system: &dyn FileSystem, path: &Path) -> Result<Option<u64>> {
    match file_system.open(path) {
        Ok(file) => Ok(Some(file.size())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidInput) => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

/// Reads the folder. Of everything in it only sidecars and tables that a crash left unfinished are removed, and chunks of which
/// there is a copy; and nothing at all where it is only looked at.
pub(crate) fn look_at_all(shared: &Shared) -> Result<State> {
    let directory = &shared.directory;
    let is_read_only = shared.options.read_only;
    let entries = match shared.file_system.list(directory) {
        Err(error) if is_read_only && error.kind() == ErrorKind::NotFound => Vec::new(),
        entries => entries.map_err(failed("list", directory))?,
    };
    let mut state = State::default();
    let (mut data, mut chunks) = (BTreeMap::new(), Listed::new());
    for entry in entries.into_iter().filter(|entry| entry.is_file) {
        let Some((name, kind)) = parse(&entry.name) else { continue };
        let id = Id::of(name);
        match kind {
            Kind::Temporary if is_read_only => {}
            Kind::Temporary => remove_unfinished(&*shared.file_system, &shared.paths(id).temporary)?,
            Kind::Sidecar => match look(&*shared.file_system, &shared.paths(id), id)? {
                Some(Found { sidecar, room }) => {
                    let on_disk = OnDisk { room: Arc::new(shared.ledger.existing(room)), sidecar };
                    state.slots.insert(id, Slot::new(on_disk.sidecar.name, Held::OnDisk(on_disk)));
                }
                None => {
                    data.insert(entry.name, (id, entry.size));
                }
            },
            Kind::Partial | Kind::Copy => {
                data.insert(entry.name, (id, entry.size));
            }
            Kind::ChunkTable => chunks.entry(id).or_default()[0] = Some(entry.size),
            Kind::Chunks => chunks.entry(id).or_default()[1] = Some(entry.size),
        }
    }
    data.retain(|_, (id, _)| !state.slots.contains_key(id));
    let of_chunks = load_all(shared, &mut state, chunks)?;
    let strays = data.into_iter().map(|(name, (_, size))| (name, size)).chain(of_chunks);
    state.strays = strays.map(|(name, size)| (name, shared.ledger.existing(size))).collect();
    Ok(state)
}

/// Removes the next sidecar that never got its name, where it has the beginning of one.
fn remove_unfinished(file_system: &dyn FileSystem, path: &Path) -> Result<()> {
    let file = file_system.open(path).map_err(failed("open", path))?;
    let mut bytes = [0; 8];
    let length = usize::try_from(file.size()).unwrap_or(usize::MAX).min(bytes.len());
    file.read_exact_at(0, &mut bytes[..length]).map_err(failed("read", path))?;
    if may_begin(&bytes[..length]) {
        remove_file(file_system, path)?;
    }
    Ok(())
}
