//! Answers out of an index file.
//!
//! A look-up is a search in the fence and one page. Opening reads the header and the trailer and takes as long for any
//! number of entries; the first look-up checks the fence as a whole. `content.rs` tells how pages are got at.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::{OwnName, ReadAt};
use smallvec::SmallVec;

use crate::content::{Content, PageBuffer, read};
use crate::entry::{ENTRY_BYTES, location_in};
use crate::fence::Fence;
use crate::fingerprint::{FINGERPRINT_BYTES, Fingerprint};
use crate::format::{self, ENTRIES_PER_PAGE, Header, PAGE_BYTES, Prologue, TRAILER_BYTES};
use crate::scan::Scan;
use crate::search::lower_bound;
use crate::{Damage, Error, FingerprintKey, Fingerprints, FullIndex, IndexMeta, Location, Result};

/// An open index file.
pub(crate) struct FileIndex {
    key: FingerprintKey,
    meta: IndexMeta,
    pub(crate) content: Arc<Content>,
}

impl FileIndex {
    /// Checks everything but the fence and the pages, which are checked when they are needed.
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
        let content = Arc::new(Content::open(path, file, &header_bytes, header.entries)?);
        Ok(Self { key, meta: header.meta, content })
    }

    /// Hands over the locations of a fingerprint, the lowest offset first, until `visit` returns `false`.
    pub(crate) fn search(&self, fingerprint: Fingerprint, mut visit: impl FnMut(Location) -> bool) -> Result<()> {
        let fence = self.content.fence()?;
        let (wanted, mut buffer) = (Wanted::new(fingerprint), None);
        let pages = self.pages_of(fence, wanted, &mut buffer)?;
        let first = pages.start;
        for number in pages {
            let entries = self.content.page(number, &mut buffer)?;
            let guess = if number == first { wanted.guess_in_page(fence, number) } else { 0 };
            let from = lower_bound(entries.len(), guess, |at| number_of(&entries[at]) < wanted.whole);
            for entry in &entries[from..] {
                if number_of(entry) != wanted.whole || !visit(location_in(entry)) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The pages that may have entries of what is wanted, of which the first has the first entry, if there is one.
    fn pages_of(&self, fence: &Fence, wanted: Wanted, buffer: &mut PageBuffer) -> Result<Range<usize>> {
        let start = fence.lower_bound(wanted.prefix);
        let low = start.saturating_sub(1);
        if start == fence.len() || fence.first_of(start) > wanted.prefix {
            return Ok(low..start);
        }
        let end = start + lower_bound(fence.len() - start, 0, |at| fence.first_of(start + at) <= wanted.prefix);
        Ok(self.first_page(low, end, wanted, buffer)?..end)
    }

    /// The last page from `low` on and before `end` that starts before what is wanted, or `low`.
    ///
    /// Pages that start with the very prefix may be on either side. There are none but for one entry in 46 and for a
    /// multihash that fills pages, so the search begins with narrow steps; it is logarithmic whatever there is.
    fn first_page(&self, low: usize, end: usize, wanted: Wanted, buffer: &mut PageBuffer) -> Result<usize> {
        let mut failed = None;
        let behind = lower_bound(end - low - 1, 0, |at| {
            let starts_before =
                |entries: &[[u8; ENTRY_BYTES]]| entries.first().is_some_and(|entry| number_of(entry) < wanted.whole);
            match self.content.page(low + 1 + at, buffer).map(starts_before) {
                Ok(is_before) => is_before,
                Err(error) => {
                    failed.get_or_insert(error);
                    false
                }
            }
        });
        failed.map_or(Ok(low + behind), Err)
    }
}

/// A fingerprint as numbers, whose order is that of its bytes.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// What stands in the fence.
    prefix: u64,
    /// All of it.
    whole: u128,
}

impl Wanted {
    fn new(fingerprint: Fingerprint) -> Self {
        let mut padded = [0; ENTRY_BYTES];
        padded[..FINGERPRINT_BYTES].copy_from_slice(&fingerprint.0);
        Self { prefix: u64::from_be_bytes(fingerprint.prefix()), whole: number_of(&padded) }
    }

    /// Where in a page it should be, if the page's entries are spread evenly up to the next page's first.
    fn guess_in_page(self, fence: &Fence, number: usize) -> usize {
        let (first, next) = (fence.first_of(number), fence.first_of(number + 1));
        let between = next.saturating_sub(first) / ENTRIES_PER_PAGE as u64;
        let places = self.prefix.saturating_sub(first).checked_div(between).unwrap_or_default();
        usize::try_from(places).unwrap_or(usize::MAX)
    }
}

/// An entry's fingerprint as a number.
fn number_of(entry: &[u8; ENTRY_BYTES]) -> u128 {
    let (front, _) = entry.split_first_chunk().unwrap_or((&[0; 16], &[]));
    u128::from_be_bytes(*front) >> (128 - 8 * FINGERPRINT_BYTES)
}

impl FullIndex for FileIndex {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn len(&self) -> u64 {
        self.content.entries()
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
            let path = self.content.path().to_owned();
            return Box::new(std::iter::once(Err(Error::Damaged { path, what: Damage::Key })));
        }
        Box::new(Scan::new(Arc::clone(&self.content)))
    }
}

impl fmt::Debug for FileIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileIndex").field("content", &self.content).finish_non_exhaustive()
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::entry::{Entry, location};
    use crate::sample::{KEY, Sample, fingerprint};

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
    fn each_page_of_a_mapped_file_is_read_once() {
        let spread = u64::MAX / 10_000;
        let entry = |at| Entry::new(fingerprint(at * spread, 7), location(at, 1).unwrap());
        let sample = Sample::of_entries(&(0..10_000).map(entry).collect::<Vec<_>>(), true);
        let reads: u64 = (0..10_000).map(|at| sample.first(fingerprint(at * spread, 7)).1).sum();
        assert_eq!(reads, 10_000_u64.div_ceil(46));
        for at in 0..10_000 {
            assert_eq!(sample.first(fingerprint(at * spread, 7)), (Some(at), 0));
            assert_eq!(sample.first(fingerprint(at * spread + 1, 7)), (None, 0));
        }
    }

    #[test]
    fn opening_takes_as_many_reads_whatever_the_size() {
        for count in [0, 1, 100_000] {
            let sample = Sample::new(&(0..count).map(|at| fingerprint(at, 7)).collect::<Vec<_>>());
            let name = sample.index.meta().name;
            let before = sample.file.reads.load(Ordering::Relaxed);
            FileIndex::open(PathBuf::new(), Arc::clone(&sample.file) as _, name, KEY).unwrap();
            assert_eq!(sample.file.reads.load(Ordering::Relaxed) - before, 3, "{count}");
        }
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
