//! Making the system forget what it has read of files.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Advice, fadvise, sync};

/// How the page cache was emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// All of it, by `/proc/sys/vm/drop_caches`: directories, programs and what others had read are gone, too.
    Everything,
    /// The pages of the store's files, by `posix_fadvise`; directories stay.
    Files,
}

/// Empties the page cache as well as this user may.
pub(crate) fn drop_cache(directory: &Path) -> Result<Dropped> {
    // Pages that are yet to be written can't be dropped.
    sync();
    if fs::write("/proc/sys/vm/drop_caches", "3").is_ok() {
        return Ok(Dropped::Everything);
    }
    forget(directory)?;
    Ok(Dropped::Files)
}

/// Drops the pages of the files in a folder and below, of this user alone; those that are yet to be written stay.
pub(crate) fn forget(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else {
            fadvise(File::open(entry.path())?, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
