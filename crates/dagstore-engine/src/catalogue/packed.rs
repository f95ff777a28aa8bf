//! Packed records, found by their keys: the bytes back to back in chunks, and a table of places.

use dagstore_types::ShardRecord;
use hashbrown::HashTable;

use super::entry::{self, Entry};

/// Entries begin at multiples of this, so that a place has room in 16 bits.
const ALIGN_BYTES: usize = 8;

/// The first chunk's size; a later one has an eighth of the size of all before it, up to the largest, so that little is unused.
const SMALLEST_CHUNK_BYTES: usize = 4 * 1024;
const LARGEST_CHUNK_BYTES: usize = (1 << 16) * ALIGN_BYTES;

/// Bytes of entries that were taken out are borne until there are more than this, and more than of entries that are there.
const MOST_GARBAGE_BYTES: usize = 64 * 1024;

/// Packed records by key. Hashes come in from outside, because parts of a catalogue share them.
#[derive(Debug, Default)]
pub(super) struct Packed {
    table: HashTable<Slot>,
    chunks: Vec<Vec<u8>>,
    entry_bytes: usize,
    garbage_bytes: usize,
}

/// Where an entry is. The hash is kept, so that growing the table touches no entry.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    chunk: u16,
    /// In units of [`ALIGN_BYTES`].
    offset: u16,
}

impl Packed {
    pub(super) fn get(&self, hash: u32, key: &[u8]) -> Option<Entry<'_>> {
        self.find(hash, |entry| entry.key() == key)
    }

    /// The entry of this hash that is the one.
    pub(super) fn find(&self, hash: u32, is_it: impl Fn(Entry<'_>) -> bool) -> Option<Entry<'_>> {
        let slot = self.table.find(spread(hash), |slot| slot.hash == hash && is_it(self.entry(*slot)))?;
        Some(self.entry(*slot))
    }

    /// Adds a record whose key isn't there yet.
    pub(super) fn insert(&mut self, hash: u32, record: &ShardRecord, recovers_on_acquire: bool) {
        let slot = self.append(hash, |out| entry::pack(record, recovers_on_acquire, out));
        self.table.insert_unique(spread(slot.hash), slot, |slot| spread(slot.hash));
    }

    /// Takes a record out, and whether it recovers when it is acquired.
    pub(super) fn remove(&mut self, hash: u32, key: &[u8]) -> Option<(ShardRecord, bool)> {
        let chunks = &self.chunks;
        let is_key = |slot: &Slot| slot.hash == hash && entry_of(chunks, *slot).key() == key;
        let found = self.table.find_entry(spread(hash), is_key).ok()?;
        let (slot, _) = found.remove();
        let entry = self.entry(slot);
        let (taken, bytes) = ((entry.unpack(), entry.recovers_on_acquire()), entry.bytes().len());
        self.entry_bytes -= bytes;
        self.garbage_bytes += bytes;
        if self.garbage_bytes > MOST_GARBAGE_BYTES.max(self.entry_bytes) {
            self.compact();
        }
        Some(taken)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.table.iter().map(|slot| self.entry(*slot))
    }

    fn entry(&self, slot: Slot) -> Entry<'_> {
        entry_of(&self.chunks, slot)
    }

    /// Writes an entry behind the others.
    fn append(&mut self, hash: u32, write: impl FnOnce(&mut Vec<u8>)) -> Slot {
        let is_full = |chunk: &Vec<u8>| chunk.len() + ENTRY_ROOM_BYTES > chunk.capacity().min(LARGEST_CHUNK_BYTES);
        if self.chunks.last().is_none_or(is_full) {
            let all: usize = self.chunks.iter().map(Vec::len).sum();
            self.chunks.push(Vec::with_capacity((all / 8).clamp(SMALLEST_CHUNK_BYTES, LARGEST_CHUNK_BYTES)));
        }
        let at = self.chunks.len() - 1;
        let chunk = &mut self.chunks[at];
        let start = chunk.len();
        write(chunk);
        self.entry_bytes += chunk.len() - start;
        chunk.resize(chunk.len().next_multiple_of(ALIGN_BYTES), 0);
        // An entry only begins within the largest chunk's size, even in a chunk that a long one has made grow.
        #[expect(clippy::cast_possible_truncation, reason = "65,536 chunks of a part are more memory than there is")]
        Slot { hash, chunk: at as u16, offset: (start / ALIGN_BYTES) as u16 }
    }

    /// Writes all entries anew, without what lies between them.
    fn compact(&mut self) {
        let old = std::mem::take(self);
        self.table.reserve(old.table.len(), |slot| spread(slot.hash));
        for slot in &old.table {
            let moved = self.append(slot.hash, |out| out.extend(old.entry(*slot).bytes()));
            self.table.insert_unique(spread(moved.hash), moved, |slot| spread(slot.hash));
        }
    }
}

/// Room that a chunk must have for another entry; a longer one makes the chunk grow, which is rare and does no harm.
const ENTRY_ROOM_BYTES: usize = 256;

fn entry_of(chunks: &[Vec<u8>], slot: Slot) -> Entry<'_> {
    Entry::at(&chunks[usize::from(slot.chunk)][usize::from(slot.offset) * ALIGN_BYTES..])
}

/// The half of a hash that is kept. Never zero.
pub(super) fn shorten(hash: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    let half = hash as u32;
    half.max(1)
}

/// A whole hash out of the half that is kept: tables look at the highest bits and the lowest.
pub(super) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::hash::{BuildHasher, RandomState};

    use dagstore_types::{Registration, ShardKey, UnixMillis};

    use super::*;

    fn record(number: u64) -> ShardRecord {
        let key = ShardKey::new(&format!("shard {number}")).unwrap();
        // One in ten is longer than a small chunk.
        let url = format!("file:///{}", "x".repeat(if number.is_multiple_of(10) { 6_000 } else { 80 }));
        ShardRecord::new(key, url, true, Registration(number), UnixMillis(1_700_000_000_000))
    }

    #[test]
    fn records_come_and_go_and_the_rest_stays_as_it_is() {
        let hasher = RandomState::new();
        let mut packed = Packed::default();
        let mut model = HashMap::new();
        for number in 0..3_000 {
            let record = record(number);
            packed.insert(shorten(hasher.hash_one(&record.key)), &record, number % 2 == 0);
            model.insert(record.key.clone(), record);
        }
        let before = packed.garbage_bytes;
        for number in (0..3_000).filter(|number| number % 7 != 0) {
            let record = record(number);
            let taken = packed.remove(shorten(hasher.hash_one(&record.key)), record.key.as_bytes());
            assert_eq!(taken, Some((record.clone(), number % 2 == 0)));
            assert!(packed.remove(shorten(hasher.hash_one(&record.key)), record.key.as_bytes()).is_none());
            model.remove(&record.key);
        }
        assert!(packed.garbage_bytes <= MOST_GARBAGE_BYTES.max(packed.entry_bytes), "{before}");
        assert_eq!(packed.table.len(), model.len());
        for (key, record) in &model {
            assert_eq!(packed.get(shorten(hasher.hash_one(key)), key.as_bytes()).unwrap().unpack(), *record);
        }
        let mut left: Vec<_> = packed.iter().map(|entry| entry.unpack().registration.0).collect();
        left.sort_unstable();
        assert_eq!(left, (0..3_000).filter(|number| number % 7 == 0).collect::<Vec<_>>());
    }

    /// Keys and URLs of a usual length; the bench `restart` measures the same in a whole process.
    #[test]
    fn a_shard_takes_few_bytes() {
        let mut packed = Packed::default();
        let shards = 100_000;
        for number in 0..shards {
            let key = ShardKey::new(&format!("{number:060}")).unwrap();
            let url = format!("file:///{number:072}");
            let changed = UnixMillis(1_700_000_000_000);
            let record = ShardRecord::new(key, url, true, Registration(number), changed);
            packed.insert(shorten(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20), &record, false);
        }
        let chunks: usize = packed.chunks.iter().map(Vec::capacity).sum();
        let bytes = chunks + packed.table.allocation_size();
        let each = bytes / usize::try_from(shards).unwrap();
        assert!(each < 220, "{each} bytes a shard");
    }
}
