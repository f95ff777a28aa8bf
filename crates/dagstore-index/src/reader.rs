//! Answers out of an index file, by positioned reads.
//!
//! The fence is read into memory when the file is opened, and a look-up is a search in it and one read of a page.
//! The price is memory, 0.17 bytes an entry for as long as the index is open, and the time to open. The other way, to
//! read the part of the fence that a look-up needs, costs each look-up a second read. Measured on two cores, with the
//! file in the system's cache:
//!
//! | | 1e6 entries | 1e7 entries |
//! | --- | --- | --- |
//! | fence in memory | 0.17 MB | 1.7 MB |
//! | open, with the fence checked and kept | 20 us | 150 us |
//! | look-up | 1.0 us | 1.3 us |
//! | what reading the fence by and by would add to it | 0.6 us | 0.8 us |
//!
//! With nothing in the cache opening takes 0.7 and 3.7 ms. An index is opened at a shard's first use and then kept for
//! many look-ups, so the look-up decides.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::{OwnName, ReadAt, ReadAtExt};
use smallvec::SmallVec;

use crate::entry::{ENTRY_BYTES, fingerprint_in, location_in};
use crate::fingerprint::Fingerprint;
use crate::format::{self, ENTRIES_PER_PAGE, FENCE_ENTRY_BYTES, Header, Layout, PAGE_BYTES, Prologue, TRAILER_BYTES};
use crate::{Damage, Error, FingerprintKey, Fingerprints, FullIndex, IndexMeta, Location, Result};

/// An open index file.
pub(crate) struct FileIndex {
    path: PathBuf,
    file: Arc<dyn ReadAt>,
    key: FingerprintKey,
    meta: IndexMeta,
    entries: u64,
    header_bytes: u64,
    header_checksum: u32,
    /// The first bytes of each page's first fingerprint.
    fence: Box<[u8]>,
}

impl FileIndex {
    /// Checks everything but the pages, which are checked when they are read.
    pub(crate) fn open(path: PathBuf, file: Arc<dyn ReadAt>, name: OwnName, key: FingerprintKey) -> Result<Self> {
        let header_bytes = read_header(&path, &*file)?;
        let damaged = |what| Error::Damaged { path: path.clone(), what };
        let header = Header::decode(&header_bytes).map_err(damaged)?;
        if header.meta.name != name {
            return Err(damaged(Damage::Name { found: header.meta.name }));
        }
        if header.key != key {
            return Err(damaged(Damage::Key));
        }
        let layout = Layout::new(header_bytes.len(), header.entries).ok_or_else(|| damaged(Damage::Header))?;
        let header_checksum = format::header_checksum(&header_bytes);
        let fence = read_fence(&path, &*file, layout, header_checksum)?;
        let header_bytes = header_bytes.len() as u64;
        Ok(Self { path, file, key, meta: header.meta, entries: header.entries, header_bytes, header_checksum, fence })
    }

    /// Hands over the locations of a fingerprint, the lowest offset first, until `visit` returns `false`.
    fn search(&self, fingerprint: Fingerprint, mut visit: impl FnMut(Location) -> bool) -> Result<()> {
        let (fence, _) = self.fence.as_chunks::<FENCE_ENTRY_BYTES>();
        let end = fence.partition_point(|first| *first <= fingerprint.prefix());
        let mut page = [0; PAGE_BYTES];
        for number in self.first_page(&fence[..end], fingerprint, &mut page)?..end {
            let entries = self.read_page(number, &mut page)?;
            let from = entries.partition_point(|entry| fingerprint_in(entry) < fingerprint);
            for entry in &entries[from..] {
                if fingerprint_in(entry) != fingerprint || !visit(location_in(entry)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The page in which the first entry of `fingerprint` is, if there is one. `fence` has the pages that don't start
    /// behind its prefix.
    ///
    /// Pages that start with the very prefix may be on either side. There are none but for one entry in 46 and for a
    /// multihash that fills pages, so the search begins with narrow steps; it is logarithmic whatever there is.
    fn first_page(
        &self,
        fence: &[[u8; FENCE_ENTRY_BYTES]],
        fingerprint: Fingerprint,
        page: &mut [u8; PAGE_BYTES],
    ) -> Result<usize> {
        let mut low = fence.partition_point(|first| *first < fingerprint.prefix()).saturating_sub(1);
        let mut high = fence.len();
        let mut step = 1_usize;
        while high.saturating_sub(low) > 1 {
            let probe = low + step.min((high - low) / 2);
            if self.read_page(probe, page)?.first().is_some_and(|entry| fingerprint_in(entry) < fingerprint) {
                low = probe;
                step = step.saturating_mul(2);
            } else {
                high = probe;
            }
        }
        Ok(low)
    }

    /// Reads a page and checks it, and returns its entries.
    fn read_page<'page>(&self, number: usize, page: &'page mut [u8; PAGE_BYTES]) -> Result<&'page [[u8; ENTRY_BYTES]]> {
        let number = number as u64;
        read(&self.path, &*self.file, self.header_bytes + number * PAGE_BYTES as u64, page)?;
        format::check_page(page, number, self.header_checksum)
            .map_err(|what| Error::Damaged { path: self.path.clone(), what })?;
        let before = number * ENTRIES_PER_PAGE as u64;
        let count = usize::try_from(self.entries - before).unwrap_or(usize::MAX).min(ENTRIES_PER_PAGE);
        Ok(&page.as_chunks().0[..count])
    }
}

impl FileIndex {
    fn fingerprints_of_page(&self, number: usize) -> Result<SmallVec<[Fingerprint; ENTRIES_PER_PAGE]>> {
        let entries = self.read_page(number, &mut [0; PAGE_BYTES])?.iter().map(fingerprint_in).collect();
        Ok(entries)
    }
}

impl FullIndex for FileIndex {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn len(&self) -> u64 {
        self.entries
    }

    fn find(&self, multihash: MultihashRef<'_>) -> Result<SmallVec<[Location; 1]>> {
        let mut locations = SmallVec::new();
        self.search(self.key.fingerprint(multihash), |location| {
            locations.push(location);
            true
        })?;
        Ok(locations)
    }

    fn find_first(&self, multihash: MultihashRef<'_>) -> Result<Option<Location>> {
        let mut found = None;
        self.search(self.key.fingerprint(multihash), |location| {
            found = Some(location);
            false
        })?;
        Ok(found)
    }

    fn fingerprints(self: Arc<Self>, key: FingerprintKey) -> Fingerprints {
        if key != self.key {
            return Box::new(std::iter::once(Err(Error::Damaged { path: self.path.clone(), what: Damage::Key })));
        }
        let pages = self.entries.div_ceil(ENTRIES_PER_PAGE as u64);
        let mut failed = false;
        let pages = (0..pages).map_while(move |number| {
            let page = (!failed).then(|| self.fingerprints_of_page(usize::try_from(number).unwrap_or(usize::MAX)))?;
            failed = page.is_err();
            Some(page)
        });
        Box::new(pages.flat_map(|page| {
            let (page, error) = page.map_or_else(|error| (SmallVec::new(), Some(Err(error))), |page| (page, None));
            page.into_iter().map(Ok).chain(error)
        }))
    }
}

/// Leaves the fence out, which can have megabytes.
impl fmt::Debug for FileIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileIndex").field("path", &self.path).field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// The header's bytes, of a version that can be read.
fn read_header(path: &Path, file: &dyn ReadAt) -> Result<Vec<u8>> {
    let damaged = |what| Error::Damaged { path: path.to_owned(), what };
    let too_short = |least_bytes| {
        let (found_bytes, expected_bytes) = (file.size(), (least_bytes + TRAILER_BYTES) as u64);
        if found_bytes < expected_bytes { Err(damaged(Damage::Length { found_bytes, expected_bytes })) } else { Ok(()) }
    };
    too_short(PAGE_BYTES)?;
    let mut first = [0; PAGE_BYTES];
    read(path, file, 0, &mut first)?;
    let Prologue { version, header_bytes } = Prologue::decode(&first).map_err(damaged)?;
    if version > format::VERSION {
        return Err(Error::NewerVersion { path: path.to_owned(), found: version, supported: format::VERSION });
    }
    if version < format::VERSION {
        return Err(damaged(Damage::Header));
    }
    too_short(header_bytes)?;
    let mut bytes = first.to_vec();
    bytes.resize(header_bytes, 0);
    read(path, file, PAGE_BYTES as u64, &mut bytes[PAGE_BYTES..])?;
    Ok(bytes)
}

/// The fence, after a check of the file's length, which bounds it, and of the trailer.
fn read_fence(path: &Path, file: &dyn ReadAt, layout: Layout, header_checksum: u32) -> Result<Box<[u8]>> {
    let damaged = |what| Error::Damaged { path: path.to_owned(), what };
    let (found_bytes, expected_bytes) = (file.size(), layout.file_bytes);
    if found_bytes != expected_bytes {
        return Err(damaged(Damage::Length { found_bytes, expected_bytes }));
    }
    let fence_bytes = usize::try_from(layout.fence_bytes).map_err(|_| damaged(Damage::Header))?;
    let mut trailer = [0; TRAILER_BYTES];
    read(path, file, layout.file_bytes - TRAILER_BYTES as u64, &mut trailer)?;
    let mut fence = vec![0; fence_bytes].into_boxed_slice();
    read(path, file, layout.fence_at, &mut fence)?;
    format::check_trailer(&fence, &trailer, header_checksum).map_err(damaged)?;
    Ok(fence)
}

/// Reads, and takes a file that ends before its time, because it was cut since it was opened, for a damaged one.
fn read(path: &Path, file: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use bytes::Bytes;
    use dagstore_types::{Attempt, Registration, ShardKey};

    use super::*;
    use crate::entry::{Entry, location};
    use crate::writer::write_index;

    /// Counts the reads.
    #[derive(Debug)]
    struct Counted(Bytes, AtomicU64);

    impl ReadAt for Counted {
        fn size(&self) -> u64 {
            self.0.size()
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.read_at(offset, buffer)
        }
    }

    struct Sample {
        index: FileIndex,
        file: Arc<Counted>,
    }

    impl Sample {
        /// An index of these fingerprints, each at an offset that is its place in the slice.
        fn new(fingerprints: &[Fingerprint]) -> Self {
            let name = OwnName::new(&ShardKey::new("k").unwrap(), Registration(1), Attempt(1));
            let meta = IndexMeta { name, car_size: 0, validator: None };
            let header = Header { key: FingerprintKey([0; 16]), meta, entries: fingerprints.len() as u64 };
            let entries = (0..).zip(fingerprints).map(|(at, found)| Entry::new(*found, location(at, 1).unwrap()));
            let failed = |source| Error::Io { operation: "write", path: PathBuf::new(), source };
            let mut bytes = Vec::new();
            write_index(&mut bytes, &header, entries.map(Ok), failed).unwrap();
            let file = Arc::new(Counted(Bytes::from(bytes), AtomicU64::new(0)));
            let index = FileIndex::open(PathBuf::new(), Arc::clone(&file) as _, name, header.key).unwrap();
            Self { index, file }
        }

        /// The first offset of a fingerprint, and the reads that it took.
        fn first(&self, fingerprint: Fingerprint) -> (Option<u64>, u64) {
            let before = self.file.1.load(Ordering::Relaxed);
            let mut found = None;
            self.index
                .search(fingerprint, |location| {
                    found = Some(location.offset);
                    false
                })
                .unwrap();
            (found, self.file.1.load(Ordering::Relaxed) - before)
        }
    }

    /// A fingerprint of the given first 8 bytes, and the others.
    fn fingerprint(prefix: u64, rest: u32) -> Fingerprint {
        let mut bytes = [0; 14];
        bytes[..8].copy_from_slice(&prefix.to_be_bytes());
        bytes[10..].copy_from_slice(&rest.to_be_bytes());
        Fingerprint(bytes)
    }

    #[test]
    fn a_look_up_is_one_read_nearly_always() {
        let spread = u64::MAX / 10_000;
        let sample = Sample::new(&(0..10_000).map(|at| fingerprint(at * spread, 7)).collect::<Vec<_>>());
        let (mut present, mut absent) = (0, 0);
        for at in 0..10_000 {
            let (found, reads) = sample.first(fingerprint(at * spread, 7));
            assert_eq!(found, Some(at));
            present += reads;
            let (found, reads) = sample.first(fingerprint(at * spread + 1, 7));
            assert_eq!(found, None);
            absent += reads;
        }
        assert!(present < 10_500 && absent <= 10_000, "{present} {absent}");
    }

    #[test]
    fn equal_prefixes_take_logarithmically_many_reads() {
        let mut fingerprints: Vec<_> = (0..100_000).map(|rest| fingerprint(5, rest * 2)).collect();
        fingerprints.insert(0, fingerprint(4, 0));
        fingerprints.push(fingerprint(6, 0));
        let sample = Sample::new(&fingerprints);
        for rest in (0..100_000).step_by(333) {
            let (found, reads) = sample.first(fingerprint(5, rest * 2));
            assert_eq!(found, Some(u64::from(rest) + 1));
            // 2,174 pages: 11 steps up, 11 down, and the page itself or two.
            assert!(reads <= 24, "{rest}: {reads}");
            let (found, reads) = sample.first(fingerprint(5, rest * 2 + 1));
            assert!(found.is_none() && reads <= 24, "{rest}: {reads}");
        }
        for absent in [fingerprint(3, 0), fingerprint(4, 1), fingerprint(5, u32::MAX), fingerprint(7, 0)] {
            assert_eq!(sample.first(absent).0, None);
        }
    }

    #[test]
    fn the_first_of_many_duplicates_takes_few_reads() {
        for before in [0, 1, 45, 46, 47] {
            let mut fingerprints: Vec<_> = (0..before).map(|at| fingerprint(at, 0)).collect();
            fingerprints.extend(std::iter::repeat_n(fingerprint(100, 9), 100_000));
            fingerprints.extend((101..201).map(|at| fingerprint(at, 0)));
            let sample = Sample::new(&fingerprints);
            let (found, reads) = sample.first(fingerprint(100, 9));
            assert_eq!(found, Some(before));
            assert!(reads <= 3, "{before}: {reads}");
            assert_eq!(sample.first(fingerprint(101, 0)).0, Some(before + 100_000));
            assert_eq!(sample.first(fingerprint(200, 0)).0, Some(before + 100_099));
        }
    }
}
