//! Writing a file for the person who asked for it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Existing {
    /// It stays, and nothing is written.
    Keep,
    Replace,
}

/// Writes `bytes` to `path`, in the place of what is there; see [`write_with`].
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_with(path, Existing::Replace, |out| out.write_all(bytes))
}

/// Writes what `work` writes to `path` so that a file there is never seen by half: it is the old one or the new one. What is no
/// file, a device or a pipe, is written into; a link is followed.
pub(crate) fn write_with(
    path: &Path,
    existing: Existing,
    work: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(found) if !found.is_file() => {
            let mut out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
            work(&mut out)?;
            out.flush()
        }
        Ok(found) => place(&path.canonicalize()?, existing, found.permissions(), work),
        // The process's mask still applies, as it does to every new file.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            place(path, existing, Permissions::from_mode(0o666), work)
        }
        Err(error) => Err(error),
    }
}

fn place(
    path: &Path,
    existing: Existing,
    permissions: Permissions,
    work: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = tempfile::Builder::new().prefix(".dagstore-").permissions(permissions).tempfile_in(directory)?;
    let mut out = BufWriter::new(file.as_file());
    work(&mut out)?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    let placed = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    placed.map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn files_are_made_and_replaced_and_nothing_is_left_beside_them() {
        let directory = tempfile::tempdir().unwrap();
        let [path, link] = ["file", "link"].map(|name| directory.path().join(name));
        write(&path, b"one").unwrap();
        assert_ne!(mode(&path), 0o600, "a new file has the permissions that the mask leaves");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        write(&link, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(mode(&path), 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_there_stays_where_it_is_to_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let [path, link] = ["file", "link"].map(|name| directory.path().join(name));
        let keep = |path: &Path, bytes: &'static [u8]| write_with(path, Existing::Keep, |out| out.write_all(bytes));
        keep(&path, b"one").unwrap();
        assert_eq!(keep(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        // One that comes into being while the other is written.
        std::fs::remove_file(&path).unwrap();
        let raced = write_with(&path, Existing::Keep, |out| {
            std::fs::write(&path, b"three")?;
            out.write_all(b"four")
        });
        assert_eq!(raced.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        std::os::unix::fs::symlink("absent", &link).unwrap();
        assert_eq!(keep(&link, b"five").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let failed = write_with(&path, Existing::Replace, |_| Err(io::ErrorKind::StorageFull.into()));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(write(directory.path(), b"x").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        write(Path::new("/dev/null"), b"x").unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        assert!(write(&directory.path().join("absent/file"), b"x").is_err());
    }
}
