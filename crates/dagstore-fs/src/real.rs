//! The operating system's file system.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::file::{open_without_waiting, regular_file_size};
use crate::mapped::MappedFile;
use crate::{DirectoryEntry, FileSystem, ReadAt, RegularFile, WriteFile};

/// The operating system's file system.
///
/// The last part of a path is never followed where it is a symbolic link: the store's own files are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealFileSystem;

impl FileSystem for RealFileSystem {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        Ok(Arc::new(RegularFile::open_with(path, OFlags::NOFOLLOW)?))
    }

    fn open_mapped(&self, path: &Path) -> io::Result<Arc<dyn ReadAt>> {
        let file = RegularFile::open_with(path, OFlags::NOFOLLOW)?;
        Ok(match MappedFile::new(file) {
            Ok(mapped) => Arc::new(mapped),
            Err(file) => Arc::new(file),
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        // create_new is O_CREAT | O_EXCL, which follows no link, and std sets O_CLOEXEC on everything.
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
        Ok(Box::new(RealWriteFile { file }))
    }

    fn append(&self, path: &Path, length: u64) -> io::Result<Box<dyn WriteFile>> {
        let mut file = open_without_waiting(path, OFlags::WRONLY | OFlags::NOFOLLOW)?;
        if regular_file_size(&file)? < length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Box::new(RealWriteFile { file }))
    }

    fn available_bytes(&self, directory: &Path) -> io::Result<Option<u64>> {
        let of = rustix::io::retry_on_intr(|| rustix::fs::statvfs(directory))?;
        Ok(Some(of.f_bavail.saturating_mul(of.f_frsize)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let parent = parent_directory(path);
        if parent != path {
            self.create_directory(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => self.sync_directory(parent),
            // Somebody else made it in between.
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirectoryEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match entry.metadata() {
                Ok(metadata) => {
                    entries.push(DirectoryEntry { name, size: metadata.len(), is_file: metadata.is_file() });
                }
                // It was removed since its name was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(entries)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::io::retry_on_intr(|| rustix::fs::open(directory, flags, Mode::empty()))?;
        File::from(directory).sync_all()
    }
}

/// The directory that a path is in; `.` for a bare name, and the path itself for a root.
pub(crate) fn parent_directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

#[derive(Debug)]
struct RealWriteFile {
    file: File,
}

impl io::Write for RealWriteFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl WriteFile for RealWriteFile {
    fn sync(&mut self) -> io::Result<()> {
        // On macOS this is F_FULLFSYNC: a plain fsync leaves the bytes in the drive's cache there.
        self.file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::ReadAtExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn write(path: &Path, bytes: &[u8]) {
        let mut file = RealFileSystem.create(path).unwrap();
        file.write_all(bytes).unwrap();
        file.sync().unwrap();
    }

    #[test]
    fn a_file_is_read_at_any_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"0123456789");
        let file = RealFileSystem.open(&path).unwrap();
        assert_eq!(file.size(), 10);
        let mut buffer = [0; 4];
        file.read_exact_at(3, &mut buffer).unwrap();
        assert_eq!(&buffer, b"3456");
        assert_eq!(file.read_at(8, &mut buffer).unwrap(), 2);
        for offset in [10, 11, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            assert_eq!(file.read_at(offset, &mut buffer).unwrap(), 0, "{offset}");
        }
        assert_eq!(file.read_exact_at(8, &mut buffer).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn files_and_directories_are_for_this_user_only() {
        let directory = tempfile::tempdir().unwrap();
        let nested = directory.path().join("a/b/c");
        RealFileSystem.create_directory(&nested).unwrap();
        RealFileSystem.create_directory(&nested).unwrap();
        assert_eq!((mode(&nested), mode(nested.parent().unwrap())), (0o700, 0o700));
        write(&nested.join("file"), b"");
        assert_eq!(mode(&nested.join("file")), 0o600);
        assert!(RealFileSystem.create_directory(&nested.join("file")).is_err());
        assert!(RealFileSystem.create_directory(&nested.join("file/below")).is_err());
    }

    #[test]
    fn what_exists_is_never_created_over() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link, target] = ["file", "link", "target"].map(|name| directory.path().join(name));
        write(&file, b"old");
        symlink(&target, &link).unwrap();
        for path in [&file, &link] {
            assert_eq!(RealFileSystem.create(path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        assert!(!target.exists());
    }

    #[test]
    fn a_file_is_written_on_from_where_it_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| directory.path().join(name));
        write(&file, b"0123456789");
        symlink(&file, &link).unwrap();
        let mut end = RealFileSystem.append(&file, 4).unwrap();
        end.write_all(b"ab").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"0123ab");
        assert_eq!(RealFileSystem.append(&file, 7).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(std::fs::read(&file).unwrap(), b"0123ab");
        for path in [directory.path(), &link, &directory.path().join("absent")] {
            assert!(RealFileSystem.append(path, 0).is_err(), "{}", path.display());
        }
        assert!(RealFileSystem.available_bytes(directory.path()).unwrap().is_some());
        assert!(RealFileSystem.available_bytes(&link.join("below")).is_err());
    }

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link, socket, absent] = ["file", "link", "socket", "absent"].map(|name| directory.path().join(name));
        write(&file, b"x");
        symlink(&file, &link).unwrap();
        assert_eq!(RegularFile::open(&link).unwrap().metadata().unwrap().len(), 1);
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [directory.path(), &link, &socket, Path::new("/dev/null")] {
            assert!(RealFileSystem.open(path).is_err(), "{}", path.display());
        }
        assert_eq!(RealFileSystem.open(&absent).unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// Without `O_NONBLOCK` the call would wait for a writer, and the test for ever.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(RealFileSystem.open(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert_eq!(RegularFile::open(&path).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn listings_tell_files_from_the_rest_and_skip_foreign_names() {
        let directory = tempfile::tempdir().unwrap();
        write(&directory.path().join("file"), b"abc");
        RealFileSystem.create_directory(&directory.path().join("directory")).unwrap();
        symlink("file", directory.path().join("link")).unwrap();
        // Some file systems refuse such a name, and then there is nothing to skip.
        let _ = std::fs::write(directory.path().join(OsStr::from_bytes(b"\xff")), b"");
        let mut entries = RealFileSystem.list(directory.path()).unwrap();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        let found: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_file)).collect();
        assert_eq!(found, [("directory", false), ("file", true), ("link", false)]);
        assert_eq!(entries[1].size, 3);
    }

    /// Neither a device nor what is in `/proc` can be synced, and whoever asks is told so: only who doesn't ask isn't.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_sync_is_asked_of_the_operating_system() {
        let mut file = RealWriteFile { file: OpenOptions::new().write(true).open("/dev/null").unwrap() };
        assert_eq!(file.sync().unwrap_err().kind(), ErrorKind::InvalidInput);
        let refused = RealFileSystem.sync_directory(Path::new("/proc/self")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn directories_are_synced_and_files_are_no_directories() {
        let directory = tempfile::tempdir().unwrap();
        RealFileSystem.sync_directory(directory.path()).unwrap();
        write(&directory.path().join("file"), b"");
        assert!(RealFileSystem.sync_directory(&directory.path().join("file")).is_err());
    }

    #[test]
    fn every_path_has_a_directory() {
        for (path, parent) in [("a", "."), ("a/b", "a"), ("/a", "/"), ("/", "/"), ("./a", ".")] {
            assert_eq!(parent_directory(Path::new(path)), Path::new(parent));
        }
    }
}
