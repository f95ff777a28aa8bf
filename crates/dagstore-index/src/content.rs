//! The fence and the pages of an open file, each checked before it is used.
//!
//! By positioned reads the fence is read into memory at the first look-up, and every page whenever it is needed. Of a
//! mapped file neither is copied: the fence is checked at the first look-up, and each page at the first that needs it;
//! one bit a page tells that it was. What wasn't checked yet is read by a positioned read first and touched in the
//! mapping afterwards, so that a disk that can't deliver it is an error, and not the end of the process.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dagstore_fs::{ReadAt, ReadAtExt};
use parking_lot::Mutex;

use crate::entry::ENTRY_BYTES;
use crate::fence::Fence;
use crate::format::{self, ENTRIES_PER_PAGE, Layout, PAGE_BYTES, TRAILER_BYTES};
use crate::{Damage, Error, Result};

/// What is read at once of a fence that is mapped: it stays in the processor's cache.
const TOUCH_BYTES: usize = 64 * 1024;

/// Where a page is put that isn't mapped.
pub(crate) type PageBuffer = Option<[u8; PAGE_BYTES]>;

/// An open file whose header was checked.
pub(crate) struct Content {
    path: PathBuf,
    file: Arc<dyn ReadAt>,
    map: Option<Bytes>,
    layout: Layout,
    header_bytes: u64,
    header_checksum: u32,
    fence_checksum: u32,
    entries: u64,
    checked: OnceLock<Checked>,
    /// Held while the fence is checked, so that many threads don't read it at once.
    checking: Mutex<()>,
}

/// What was found right.
struct Checked {
    fence: Fence,
    /// One bit for each page of a mapped file.
    pages: Box<[AtomicU64]>,
}

impl Content {
    /// Checks the file's length, which bounds everything that is allocated later, and the trailer.
    pub(crate) fn open(path: PathBuf, file: Arc<dyn ReadAt>, header: &[u8], entries: u64) -> Result<Self> {
        let damaged = |what| Error::Damaged { path: path.clone(), what };
        let layout = Layout::new(header.len(), entries).ok_or_else(|| damaged(Damage::Header))?;
        let (found_bytes, expected_bytes) = (file.size(), layout.file_bytes);
        if found_bytes != expected_bytes {
            return Err(damaged(Damage::Length { found_bytes, expected_bytes }));
        }
        let mut trailer = [0; TRAILER_BYTES];
        read(&path, &*file, layout.file_bytes - TRAILER_BYTES as u64, &mut trailer)?;
        let header_checksum = format::header_checksum(header);
        let fence_checksum = format::decode_trailer(&trailer, header_checksum).map_err(damaged)?;
        let map = file.bytes().filter(|bytes| bytes.len() as u64 == expected_bytes).cloned();
        let header_bytes = header.len() as u64;
        let (checked, checking) = (OnceLock::new(), Mutex::new(()));
        Ok(Self { path, file, map, layout, header_bytes, header_checksum, fence_checksum, entries, checked, checking })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn pages(&self) -> u64 {
        self.layout.pages
    }

    /// The first bytes of each page's first fingerprint.
    pub(crate) fn fence(&self) -> Result<&Fence> {
        Ok(&self.checked()?.fence)
    }

    /// A page's entries, which are in `buffer` unless the file is mapped. There is a page of this number.
    pub(crate) fn page<'a>(&'a self, number: usize, buffer: &'a mut PageBuffer) -> Result<&'a [[u8; ENTRY_BYTES]]> {
        let start = self.header_bytes + number as u64 * PAGE_BYTES as u64;
        let page = if let Some(page) = self.mapped(start) {
            let checked = self.checked()?;
            if !checked.has(number) {
                self.touch(start, PAGE_BYTES)?;
                self.check_page(page, number)?;
                checked.add(number);
            }
            page
        } else {
            let page = buffer.insert([0; PAGE_BYTES]);
            self.read(start, page)?;
            self.check_page(page, number)?;
            page
        };
        Ok(&page.as_chunks().0[..self.entries_in(number)])
    }

    /// Reads so many pages from this one on, unchecked. By a positioned read also where the file is mapped: a walk over
    /// all pages is served better by the system's read-ahead than by the faults of a mapping.
    pub(crate) fn read_pages(&self, number: usize, pages: &mut [[u8; PAGE_BYTES]]) -> Result<()> {
        self.read(self.header_bytes + number as u64 * PAGE_BYTES as u64, pages.as_flattened_mut())
    }

    /// Checks a page that was read, and returns its entries.
    pub(crate) fn check<'a>(&self, page: &'a [u8; PAGE_BYTES], number: usize) -> Result<&'a [[u8; ENTRY_BYTES]]> {
        self.check_page(page, number)?;
        Ok(&page.as_chunks().0[..self.entries_in(number)])
    }

    fn entries_in(&self, number: usize) -> usize {
        let before = number as u64 * ENTRIES_PER_PAGE as u64;
        usize::try_from(self.entries - before).unwrap_or(usize::MAX).min(ENTRIES_PER_PAGE)
    }

    /// The mapped page that starts here.
    fn mapped(&self, start: u64) -> Option<&[u8; PAGE_BYTES]> {
        let map = self.map.as_ref()?;
        map.get(usize::try_from(start).ok()?..)?.first_chunk()
    }

    fn checked(&self) -> Result<&Checked> {
        if let Some(checked) = self.checked.get() {
            return Ok(checked);
        }
        self.check_fence()
    }

    /// What fails here is tried again at the next look-up.
    #[cold]
    fn check_fence(&self) -> Result<&Checked> {
        let _one_at_a_time = self.checking.lock();
        if let Some(checked) = self.checked.get() {
            return Ok(checked);
        }
        let too_long = |_| self.damaged(Damage::Header);
        let fence_at = usize::try_from(self.layout.fence_at);
        let fence_bytes = usize::try_from(self.layout.fence_bytes).map_err(too_long)?;
        let fence = if let (Some(map), Ok(fence_at)) = (&self.map, fence_at) {
            self.touch(self.layout.fence_at, fence_bytes)?;
            map.slice(fence_at..fence_at + fence_bytes)
        } else {
            let mut fence = vec![0; fence_bytes];
            self.read(self.layout.fence_at, &mut fence)?;
            Bytes::from(fence)
        };
        format::check_fence(&fence, self.fence_checksum, self.header_checksum).map_err(|what| self.damaged(what))?;
        let words = if self.map.is_some() { self.pages().div_ceil(64) } else { 0 };
        let pages = (0..words).map(|_| AtomicU64::new(0)).collect();
        Ok(self.checked.get_or_init(|| Checked { fence: Fence::new(fence), pages }))
    }

    fn check_page(&self, page: &[u8; PAGE_BYTES], number: usize) -> Result<()> {
        format::check_page(page, number as u64, self.header_checksum).map_err(|what| self.damaged(what))
    }

    /// Reads a part of the file for no other purpose than to learn whether it can be read.
    fn touch(&self, start: u64, length: usize) -> Result<()> {
        let mut buffer = vec![0; length.min(TOUCH_BYTES)];
        for at in (0..length).step_by(TOUCH_BYTES) {
            self.read(start + at as u64, &mut buffer[..TOUCH_BYTES.min(length - at)])?;
        }
        Ok(())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        read(&self.path, &*self.file, offset, buffer)
    }

    fn damaged(&self, what: Damage) -> Error {
        Error::Damaged { path: self.path.clone(), what }
    }
}

impl Checked {
    // The order of what threads see doesn't matter: the bytes that a bit vouches for never change.
    fn has(&self, number: usize) -> bool {
        self.pages.get(number / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
    }

    fn add(&self, number: usize) {
        if let Some(word) = self.pages.get(number / 64) {
            word.fetch_or(1 << (number % 64), Ordering::Relaxed);
        }
    }
}

/// Leaves the bytes out, of which there may be many.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("path", &self.path)
            .field("entries", &self.entries)
            .field("is_mapped", &self.map.is_some())
            .finish_non_exhaustive()
    }
}

/// Reads, and takes a file that ends before its time, because it was cut since it was opened, for a damaged one.
pub(crate) fn read(path: &Path, file: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<()> {
    file.read_exact_at(offset, buffer).map_err(|source| {
        let path = path.to_owned();
        if source.kind() == ErrorKind::UnexpectedEof {
            let expected_bytes = offset + buffer.len() as u64;
            let what = Damage::Length { found_bytes: file.size().min(expected_bytes - 1), expected_bytes };
            return Error::Damaged { path, what };
        }
        Error::Io { operation: "read", path, source }
    })
}
