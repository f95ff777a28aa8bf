//! A file of the store's own, mapped into memory: the one place with `unsafe` in it.
//!
//! Mapped bytes are shared slices, and the language wants those never to change. Nothing can keep a file from being
//! changed by somebody who may write to it; that nobody does rests on what the store promises itself:
//! - Only files that are never changed once they have their name are opened this way: [`publish`](crate::publish)
//!   writes them under another name, and they are replaced and removed whole. A mapping keeps the file it was made of.
//! - The map is made of the descriptor whose type and size were checked, not of a path that could by now mean another.
//! - The directory is held by a [`DirectoryLock`](crate::DirectoryLock) and the files are for this user only (0600), so
//!   another process would have to mean it.
//!
//! Whoever cuts such a file all the same, or pulls its disk, makes a touch of the missing page a SIGBUS, which ends
//! the process. `docs/decisions/016-mapped-indices.md` says how far that goes and why it is taken.
#![expect(unsafe_code, reason = "a map of a file can't be made without; the header says why this one is sound")]

use std::io;

use bytes::Bytes;
use memmap2::{Advice, MmapOptions};

use crate::{ReadAt, RegularFile};

/// An open file with its bytes in memory. Its positioned reads still ask the operating system, and so tell of a failing
/// disk in an error.
#[derive(Debug)]
pub(crate) struct MappedFile {
    file: RegularFile,
    bytes: Bytes,
}

impl MappedFile {
    /// Maps an open file, or gives it back where that isn't possible: the file system can't, or there is no room among
    /// the addresses.
    pub(crate) fn new(file: RegularFile) -> Result<Self, RegularFile> {
        let Ok(length) = usize::try_from(file.size()) else { return Err(file) };
        // SAFETY: nobody changes the file while it is mapped; the module's header says what that rests on.
        let Ok(map) = (unsafe { MmapOptions::new().len(length).map(file.descriptor()) }) else { return Err(file) };
        // Look-ups come from anywhere: without this advice the first one reads megabytes around its page. It is no
        // more than advice, so where it isn't taken nothing is wrong.
        let _ = map.advise(Advice::Random);
        Ok(Self { file, bytes: Bytes::from_owner(map) })
    }
}

impl ReadAt for MappedFile {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buffer)
    }

    fn bytes(&self) -> Option<&Bytes> {
        Some(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use crate::{FileSystem, ReadAtExt, RealFileSystem};

    #[test]
    fn a_mapped_file_has_the_same_bytes_both_ways() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for length in [0, 1, 4095, 4096, 4097, 100_000] {
            let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
            std::fs::write(&path, &content).unwrap();
            let file = RealFileSystem.open_mapped(&path).unwrap();
            assert_eq!(file.size(), length);
            assert!(file.bytes().is_none_or(|bytes| *bytes == content), "{length}");
            assert!(length == 0 || file.bytes().is_some(), "{length} bytes weren't mapped");
            let mut read = vec![0; content.len()];
            file.read_exact_at(0, &mut read).unwrap();
            assert_eq!(read, content);
            assert_eq!(file.read_at(length, &mut [0]).unwrap(), 0);
            // A new file, because a mapped one is never changed.
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_mapping_outlives_name_and_reader() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"old").unwrap();
        let file = RealFileSystem.open_mapped(&path).unwrap();
        std::fs::write(directory.path().join("new"), b"new!").unwrap();
        std::fs::rename(directory.path().join("new"), &path).unwrap();
        let bytes = file.bytes().unwrap().clone();
        assert_eq!(bytes, &b"old"[..]);
        drop(file);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(bytes, &b"old"[..]);
    }

    /// The page that is gone isn't touched: positioned reads tell the end.
    #[test]
    fn a_file_that_was_cut_is_told_by_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, vec![7; 10_000]).unwrap();
        let file = RealFileSystem.open_mapped(&path).unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(5000).unwrap();
        assert_eq!(file.read_at(4000, &mut [0; 4000]).unwrap(), 1000);
        assert_eq!(file.read_exact_at(9000, &mut [0]).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_is_no_file_of_ours_is_not_mapped() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link, absent] = ["file", "link", "absent"].map(|name| directory.path().join(name));
        std::fs::write(&file, b"x").unwrap();
        symlink(&file, &link).unwrap();
        for path in [directory.path(), &link, &absent] {
            assert!(RealFileSystem.open_mapped(path).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn mappings_are_read_by_many_threads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, vec![7; 100_000]).unwrap();
        let file: Arc<dyn crate::ReadAt> = RealFileSystem.open_mapped(&path).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(file.bytes().unwrap().iter().all(|byte| *byte == 7)));
            }
        });
    }
}
