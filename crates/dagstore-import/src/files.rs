//! The files beside the datastore: full indices.

use std::io::{self, Read};
use std::path::Path;

use dagstore::fs::{FileSystem, RealFileSystem, publish};

use crate::copy::Tell;
use crate::{CopyStep, Error, Result};

const PIECE_BYTES: usize = 1024 * 1024;

/// Copies the index files of a store's directory to another one's; each is whole and durable, or absent. One that is there
/// already, in the same length, is left: its name names one registration and attempt, so it has one content. Returns how many
/// there are.
pub(crate) async fn copy_indices(from: &Path, to: &Path, tell: Tell<'_>) -> Result<u64> {
    if !from.is_dir() {
        return Ok(0);
    }
    RealFileSystem.create_directory(to).map_err(Error::file(to))?;
    let mut files = 0;
    for entry in std::fs::read_dir(from).map_err(Error::file(from))? {
        let entry = entry.map_err(Error::file(from))?;
        let path = entry.path();
        if path.extension().is_none_or(|extension| extension != "idx") {
            continue;
        }
        let target = to.join(entry.file_name());
        let copying = {
            let (path, target) = (path.clone(), target.clone());
            tokio::task::spawn_blocking(move || copy_file(&path, &target))
        };
        let copied = copying.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        copied.map_err(Error::file(&path))?;
        files += 1;
        tell(CopyStep::Files { files });
    }
    Ok(files)
}

/// Copies a file, so that a crash leaves the whole copy or none.
pub(crate) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = std::fs::File::open(from)?;
    let bytes = source.metadata()?.len();
    if std::fs::metadata(to).is_ok_and(|metadata| metadata.len() == bytes) {
        return Ok(());
    }
    let mut temporary = to.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    // Left by a process that died at this very place.
    let _absent_as_a_rule = RealFileSystem.remove(temporary);
    publish(&RealFileSystem, temporary, to, |file| {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match source.read(&mut piece)? {
                0 => return Ok(()),
                read => file.write_all(&piece[..read])?,
            }
        }
    })
}
