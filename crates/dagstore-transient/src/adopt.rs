//! A user's own file in the place of a copy.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_fs::{OwnName, ReadAt, RegularFile};
use dagstore_mount::Stat;

use crate::make_room::reserve;
use crate::names::Id;
use crate::sidecar::{Foreign, Form, Sidecar, remove_file};
use crate::state::{Held, OnDisk, Shared, Slot};
use crate::{Error, Reason, Result, off_the_runtime};

/// The longest path that is kept, in bytes: the longest that Linux takes.
const MAX_PATH_BYTES: usize = 4096;

/// See [`Copies::adopt_foreign`](crate::Copies::adopt_foreign).
pub(crate) async fn adopt(shared: &Arc<Shared>, name: OwnName, path: &Path, stat: Option<&Stat>) -> Result<()> {
    let (looked, path, stat) = (Arc::clone(shared), path.to_owned(), stat.cloned());
    let sidecar = off_the_runtime(name, move || describe(&looked, name, &path, stat.as_ref())).await?;
    let turn = {
        let mut state = shared.state.lock();
        if state.is_closed {
            return Err(Error::Closed);
        }
        let slot = state.slots.entry(Id::of(name)).or_insert_with(|| Slot::new(name, Held::Nothing));
        Arc::clone(&slot.turn)
    };
    let result = adopt_in_turn(shared, name, sidecar, turn).await;
    shared.forget_if_empty(Id::of(name));
    result
}

async fn adopt_in_turn(
    shared: &Arc<Shared>,
    name: OwnName,
    sidecar: Sidecar,
    turn: Arc<tokio::sync::Mutex<()>>,
) -> Result<()> {
    let needed = sidecar.room();
    let room = Arc::new(reserve(shared, name, needed, needed).await?);
    let turn = turn.lock_owned().await;
    let id = Id::of(name);
    // As long as the turn is held nothing else comes on disk; a fetch that begins meanwhile waits for it and then removes
    // what it doesn't know, so this is looked at again below.
    let is_free =
        |shared: &Shared| shared.state.lock().slots.get(&id).is_some_and(|slot| matches!(slot.held, Held::Nothing));
    let exists = Error::Kept { name, reason: Reason::Exists };
    if !is_free(shared) {
        return Err(exists);
    }
    let (shared, at_work) = (Arc::clone(shared), shared.at_work()?);
    off_the_runtime(name, move || {
        let _at_work = at_work;
        let sidecar = { shared.state.lock().slots.get(&id).map_or(sidecar.clone(), |slot| slot.marks.on(&sidecar)) };
        room.shrink_to(needed);
        let paths = shared.paths(id);
        let replaced = sidecar.replace(&*shared.file_system, &paths);
        if replaced.is_err() && remove_file(&*shared.file_system, &paths.sidecar).is_err() {
            // It may have got its name before the failure, and takes its room for as long as it can't be removed.
            shared.keep_stray(&paths.sidecar, needed);
        }
        replaced?;
        shared.forget_strays(&[&paths.sidecar]);
        let mut state = shared.state.lock();
        let slot = state.slots.get_mut(&id).filter(|slot| matches!(slot.held, Held::Nothing));
        let adopted = slot.map(|slot| slot.held = Held::OnDisk(OnDisk { sidecar, room })).ok_or(exists);
        drop(state);
        if adopted.is_err() {
            // A fetch has begun meanwhile, and would remove it as well, unless it fails before.
            remove_file(&*shared.file_system, &shared.paths(id).sidecar)?;
        }
        drop(turn);
        adopted
    })
    .await
}

/// What is kept about a user's file.
fn describe(shared: &Shared, name: OwnName, path: &Path, stat: Option<&Stat>) -> Result<Sidecar> {
    let unfit = |why: String| Error::Unfit { name, path: path.to_owned(), why };
    let told = |error: std::io::Error| unfit(error.to_string());
    let real = std::fs::canonicalize(path).map_err(told)?;
    if std::fs::canonicalize(&shared.directory).is_ok_and(|own| real.starts_with(own)) {
        return Err(unfit("it is in the folder of the store's own copies".to_owned()));
    }
    if real.to_str().is_none() || real.as_os_str().len() > MAX_PATH_BYTES {
        return Err(unfit("its path can't be kept".to_owned()));
    }
    let file = RegularFile::open(&real).map_err(told)?;
    let size = file.size();
    let stat = stat.cloned().unwrap_or_else(|| Stat::new(size, None));
    if stat.size != size {
        return Err(unfit(format!("it has {size} bytes, and the source {}", stat.size)));
    }
    let foreign = facts(&file, real).map_err(told)?;
    let sidecar = Sidecar::new(name, &stat, shared.now())?;
    Ok(Sidecar { form: Form::Foreign(foreign), durable: size, ..sidecar })
}

/// Opens a user's file, if it still is what was adopted. It isn't mapped: others may change it.
pub(crate) fn open(name: OwnName, sidecar: &Sidecar, foreign: &Foreign) -> Result<Arc<dyn ReadAt>> {
    let unfit = |why: String| Error::Unfit { name, path: foreign.path.clone(), why };
    let file = RegularFile::open(&foreign.path).map_err(|error| unfit(error.to_string()))?;
    let now = facts(&file, foreign.path.clone()).map_err(|error| unfit(error.to_string()))?;
    if file.size() != sidecar.size || now != *foreign {
        return Err(unfit("it was changed since it was adopted".to_owned()));
    }
    Ok(Arc::new(file))
}

fn facts(file: &RegularFile, path: PathBuf) -> std::io::Result<Foreign> {
    let metadata = file.metadata()?;
    // The file system gives less than 10^9 here.
    let nanos = u32::try_from(metadata.mtime_nsec()).unwrap_or(u32::MAX);
    Ok(Foreign { path, inode: metadata.ino(), modified: (metadata.mtime(), nanos) })
}
