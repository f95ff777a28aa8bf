//! Indices whose reads are counted, for tests.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dagstore_fs::{OwnName, ReadAt};
use dagstore_types::{Attempt, Registration, ShardKey};

use crate::entry::{Entry, location};
use crate::format::Header;
use crate::reader::FileIndex;
use crate::writer::write_index;
use crate::{Error, Fingerprint, FingerprintKey, IndexMeta};

/// The key of these indices.
pub(crate) const KEY: FingerprintKey = FingerprintKey([0; 16]);

/// Counts the reads.
#[derive(Debug)]
pub(crate) struct Counted {
    bytes: Bytes,
    pub(crate) reads: AtomicU64,
    is_mapped: bool,
}

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.read_at(offset, buffer)
    }

    fn bytes(&self) -> Option<&Bytes> {
        self.is_mapped.then_some(&self.bytes)
    }
}

/// An index in memory.
pub(crate) struct Sample {
    pub(crate) index: FileIndex,
    pub(crate) file: Arc<Counted>,
}

impl Sample {
    /// An index of these fingerprints, each at an offset that is its place in the slice.
    pub(crate) fn new(fingerprints: &[Fingerprint]) -> Self {
        let entries = (0..).zip(fingerprints).map(|(at, found)| Entry::new(*found, location(at, 1).unwrap()));
        Self::of_entries(&entries.collect::<Vec<_>>(), false)
    }

    /// An index of these entries, which are in order.
    pub(crate) fn of_entries(entries: &[Entry], is_mapped: bool) -> Self {
        let name = OwnName::new(&ShardKey::new("k").unwrap(), Registration(1), Attempt(1));
        let meta = IndexMeta { name, car_size: 0, validator: None };
        let header = Header { key: KEY, meta, entries: entries.len() as u64 };
        let failed = |source| Error::Io { operation: "write", path: PathBuf::new(), source };
        let mut bytes = Vec::new();
        write_index(&mut bytes, &header, entries.iter().copied().map(Ok), failed).unwrap();
        let file = Arc::new(Counted { bytes: Bytes::from(bytes), reads: AtomicU64::new(0), is_mapped });
        let index = FileIndex::open(PathBuf::new(), Arc::clone(&file) as _, name, header.key).unwrap();
        // The fence is read at the first look-up, and doesn't count.
        index.content.fence().unwrap();
        Self { index, file }
    }

    /// The first offset of a fingerprint, and the reads that it took.
    pub(crate) fn first(&self, fingerprint: Fingerprint) -> (Option<u64>, u64) {
        let before = self.file.reads.load(Ordering::Relaxed);
        let mut found = None;
        self.index
            .search(fingerprint, |location| {
                found = Some(location.offset);
                false
            })
            .unwrap();
        (found, self.file.reads.load(Ordering::Relaxed) - before)
    }
}

/// A fingerprint of the given first 8 bytes, and the others.
pub(crate) fn fingerprint(prefix: u64, rest: u32) -> Fingerprint {
    let mut bytes = [0; 14];
    bytes[..8].copy_from_slice(&prefix.to_be_bytes());
    bytes[10..].copy_from_slice(&rest.to_be_bytes());
    Fingerprint(bytes)
}
