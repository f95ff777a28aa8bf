//! All shards, by key. Those that something is done with are cells; the others are packed records, at about 180 bytes each.
//!
//! A shard wakes, which is to say becomes a cell, when it is first looked for by somebody who wants to change it. It is put
//! back to rest when nothing holds its cell any more and nothing was asked of it for a while.

mod by_registration;
mod entry;
mod packed;

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use dagstore_fsm::Shard;
use dagstore_types::{Attempt, Registration, ShardKey, ShardRecord, ShardState};
use hashbrown::HashTable;
use parking_lot::RwLock;

use self::by_registration::ByRegistration;
use self::packed::{Packed, shorten, spread};
use crate::accessor::OpenShard;
use crate::cell::{Cell, Rest};
use crate::info::ShardInfo;
use crate::shared::Shared;

/// How many parts the catalogue has, each behind a lock of its own.
const PARTS: usize = 64;

/// The shards in memory. Keys of hostile people are hashed with a random key.
#[derive(Debug)]
pub(crate) struct Catalogue {
    parts: Box<[RwLock<Part>]>,
    /// Those that are Available or have been, as far as is known, and so may have rows in the inverted index.
    by_registration: RwLock<ByRegistration>,
    /// Of these, the ones that have not been Available since they came into the catalogue.
    not_yet_available: RwLock<HashSet<Registration>>,
    hasher: RandomState,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Part {
    awake: HashTable<Arc<Cell>>,
    resting: Packed,
}

/// A shard as somebody finds it who only looks.
pub(crate) enum Found {
    Awake(Arc<Cell>),
    Resting(ShardRecord),
}

impl Catalogue {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let parts = (0..PARTS).map(|_| RwLock::default()).collect();
        Self {
            parts,
            by_registration: RwLock::default(),
            not_yet_available: RwLock::default(),
            hasher: RandomState::new(),
            shared,
        }
    }

    /// The cell of the shard, woken where it rests.
    pub(crate) fn get(&self, key: &str) -> Option<Arc<Cell>> {
        let hash = self.hash(key);
        let part = self.part(hash);
        {
            let part = part.read();
            if let Some(cell) = part.find(hash, key) {
                return Some(cell.clone());
            }
            part.resting.get(hash, key.as_bytes())?;
        }
        let mut part = part.write();
        if let Some(cell) = part.find(hash, key) {
            return Some(cell.clone());
        }
        let (record, recovers) = part.resting.remove(hash, key.as_bytes())?;
        let cell = Cell::new(record.key.clone(), self.shared.clone(), Shard::resting(record, recovers));
        self.insert(&mut part, hash, cell.clone());
        Some(cell)
    }

    /// The cell of `key`, with a shard that isn't registered where there is none.
    pub(crate) fn get_or_insert(&self, key: &ShardKey) -> Arc<Cell> {
        loop {
            if let Some(cell) = self.get(key.as_str()) {
                return cell;
            }
            let hash = self.hash(key.as_str());
            let mut part = self.part(hash).write();
            if part.find(hash, key.as_str()).is_none() && part.resting.get(hash, key.as_bytes()).is_none() {
                let cell = Cell::new(key.clone(), self.shared.clone(), Shard::absent());
                self.insert(&mut part, hash, cell.clone());
                return cell;
            }
        }
    }

    /// Adds a shard that rests. Where its key is taken by another one, the older of the two has it, in whatever order they
    /// come, and the record of the younger is returned.
    pub(crate) fn add(&self, shard: Shard) -> Option<ShardRecord> {
        let record = shard.record()?;
        let hash = self.hash(record.key.as_str());
        let mut part = self.part(hash).write();
        let key = record.key.as_bytes();
        let is_awake = part.find(hash, record.key.as_str()).is_some();
        let is_younger = part.resting.get(hash, key).is_some_and(|other| other.numbers().0 < record.registration);
        if is_awake || is_younger {
            return Some(record.clone());
        }
        let younger = part.resting.remove(hash, key).map(|(other, _)| other);
        part.resting.insert(hash, record, shard.recovers_on_acquire());
        drop(part);
        // A shard that was never indexed has no rows to be found by.
        if !matches!(record.state, ShardState::New | ShardState::Destroying) {
            self.link(record.registration, &record.key);
            if !is_available(record.state) {
                self.not_yet_available.write().insert(record.registration);
            }
        }
        younger
    }

    /// Lets the shard be found by its registration. Done before it becomes Available.
    pub(crate) fn link(&self, registration: Registration, key: &ShardKey) {
        self.by_registration.write().insert(registration, self.hash(key.as_str()));
        self.not_yet_available.write().remove(&registration);
    }

    /// Lets the registration not be found any more.
    pub(crate) fn unlink(&self, registration: Registration) {
        self.by_registration.write().remove(registration);
        self.not_yet_available.write().remove(&registration);
    }

    /// Whether the shard of this registration is there, and has been Available since it came into the catalogue.
    pub(crate) fn was_available(&self, registration: Registration) -> bool {
        self.by_registration.read().get(registration).is_some()
            && !self.not_yet_available.read().contains(&registration)
    }

    /// Key and attempt of the shard with this registration, where it is Available or Serving.
    pub(crate) fn available(&self, registration: Registration) -> Option<(ShardKey, Attempt)> {
        self.with_registration(registration, is_available)
    }

    /// The key of the shard with this registration, where it has been indexed, by an earlier process maybe, and can't be acquired
    /// as it is.
    pub(crate) fn unavailable(&self, registration: Registration) -> Option<ShardKey> {
        let is_unavailable = |state| !is_available(state) && state != ShardState::Destroying;
        self.with_registration(registration, is_unavailable).map(|(key, _)| key)
    }

    /// The key of the shard with this registration, whatever its state.
    pub(crate) fn find(&self, registration: Registration) -> Option<ShardKey> {
        if let Some((key, _)) = self.with_registration(registration, |_| true) {
            return Some(key);
        }
        // One that was never indexed. There are copies of few of these.
        let of_it = self.all().filter_map(ShardInfo::of_found).find(|info| info.registration == registration);
        of_it.map(|info| info.key)
    }

    fn with_registration(
        &self,
        registration: Registration,
        is_meant: impl Fn(ShardState) -> bool,
    ) -> Option<(ShardKey, Attempt)> {
        let is_it = |state, number| number == registration && is_meant(state);
        let hash = self.by_registration.read().get(registration)?;
        let awake: Vec<_> = {
            let part = self.part(hash).read();
            if let Some(entry) = part.resting.find(hash, |entry| is_it(entry.state(), entry.numbers().0)) {
                return Some((entry.shard_key(), entry.numbers().1));
            }
            part.awake.iter_hash(spread(hash)).cloned().collect()
        };
        awake.iter().find_map(|cell| {
            cell.with(|state| {
                let record = state.shard.record().filter(|record| is_it(record.state, record.registration))?;
                Some((record.key.clone(), record.attempt))
            })
        })
    }

    /// Whether there is no shard at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.states().next().is_none()
    }

    /// Takes `cell` out, unless another one has come into its place.
    pub(crate) fn remove(&self, cell: &Arc<Cell>) {
        let hash = self.hash(cell.key().as_str());
        let mut part = self.part(hash).write();
        if let Ok(found) = part.awake.find_entry(spread(hash), |present| Arc::ptr_eq(present, cell)) {
            let _removed = found.remove();
            self.shared.put_to_rest(1);
        }
    }

    /// The shard as it is, without waking it.
    pub(crate) fn look(&self, key: &str) -> Option<Found> {
        let hash = self.hash(key);
        let part = self.part(hash).read();
        if let Some(cell) = part.find(hash, key) {
            return Some(Found::Awake(cell.clone()));
        }
        part.resting.get(hash, key.as_bytes()).map(|entry| Found::Resting(entry.unpack()))
    }

    /// Every shard as it is. Locks one part at a time, so what comes and goes meanwhile may or may not be among them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Found> {
        self.parts.iter().flat_map(|part| {
            let part = part.read();
            let awake = part.awake.iter().map(|cell| Found::Awake(cell.clone()));
            let resting = part.resting.iter().map(|entry| Found::Resting(entry.unpack()));
            awake.chain(resting).collect::<Vec<_>>()
        })
    }

    /// Every cell, in the order of their keys: tables have an order of their own in each run, and what is done with all
    /// cells should not.
    pub(crate) fn cells(&self) -> Vec<Arc<Cell>> {
        let mut cells = Vec::new();
        for part in &self.parts {
            cells.extend(part.read().awake.iter().cloned());
        }
        cells.sort_unstable_by(|one, other| one.key().cmp(other.key()));
        cells
    }

    /// State and numbers of every shard that has any, much cheaper than all of it.
    pub(crate) fn states(&self) -> impl Iterator<Item = (ShardState, Registration, Attempt)> {
        self.parts.iter().flat_map(|part| {
            let (cells, mut states) = {
                let part = part.read();
                let resting = part.resting.iter().map(|entry| {
                    let (registration, attempt) = entry.numbers();
                    (entry.state(), registration, attempt)
                });
                (part.awake.iter().cloned().collect::<Vec<_>>(), resting.collect::<Vec<_>>())
            };
            let of_cell = |cell: &Arc<Cell>| {
                cell.with(|state| {
                    state.shard.record().map(|record| (record.state, record.registration, record.attempt))
                })
            };
            states.extend(cells.iter().filter_map(of_cell));
            states
        })
    }

    /// The keys of the shards in one of `states`, in order.
    pub(crate) fn keys_in(&self, states: &[ShardState]) -> Vec<ShardKey> {
        let mut keys = Vec::new();
        for part in &self.parts {
            let cells: Vec<_> = {
                let part = part.read();
                let resting = part.resting.iter().filter(|entry| states.contains(&entry.state()));
                keys.extend(resting.map(entry::Entry::shard_key));
                part.awake.iter().cloned().collect()
            };
            let is_meant =
                |cell: &Arc<Cell>| cell.with(|state| state.shard.record().is_some_and(|r| states.contains(&r.state)));
            keys.extend(cells.iter().filter(|cell| is_meant(cell)).map(|cell| cell.key().clone()));
        }
        keys.sort_unstable();
        keys
    }

    /// Puts those cells to rest that nothing is done with, and that nobody has asked for since the last time; under
    /// `pressure` also those that somebody has. Returns what the cells had open, to be closed without a lock.
    pub(crate) fn put_to_rest(&self, pressure: bool) -> Vec<Arc<OpenShard>> {
        let mut unused = Vec::new();
        for part in &self.parts {
            let mut part = part.write();
            let Part { awake, resting } = &mut *part;
            let tired = awake.extract_if(|cell| {
                // Whoever gets the cell gets it under this part's lock, so a cell that only the table has stays so.
                Arc::strong_count(cell) == 1
                    && match cell.rest(pressure) {
                        Rest::No => false,
                        Rest::Close(opened) => {
                            unused.push(opened);
                            false
                        }
                        Rest::Yes => true,
                    }
            });
            let mut rested = 0;
            for cell in tired {
                rested += 1;
                let hash = self.hash(cell.key().as_str());
                cell.with(|state| {
                    if let Some(record) = state.shard.record() {
                        resting.insert(hash, record, state.shard.recovers_on_acquire());
                    }
                });
            }
            self.shared.put_to_rest(rested);
            if awake.capacity() > 2 * awake.len() + 64 {
                awake.shrink_to(awake.len(), |cell| spread(self.hash(cell.key().as_str())));
            }
        }
        unused
    }

    fn insert(&self, part: &mut Part, hash: u32, cell: Arc<Cell>) {
        self.shared.woken();
        part.awake.insert_unique(spread(hash), cell, |cell| spread(self.hash(cell.key().as_str())));
    }

    /// Half a hash is enough for a million shards, and all that is kept of it.
    fn hash(&self, key: &str) -> u32 {
        shorten(self.hasher.hash_one(key))
    }

    /// The part of a hash: by its highest bits, which are spread over all others before the tables look at them.
    fn part(&self, hash: u32) -> &RwLock<Part> {
        &self.parts[(hash >> (u32::BITS - PARTS.ilog2())) as usize]
    }
}

impl Part {
    fn find(&self, hash: u32, key: &str) -> Option<&Arc<Cell>> {
        self.awake.find(spread(hash), |cell| cell.key().as_str() == key)
    }
}

/// Whether a shard in this state can be acquired as it is.
pub(crate) fn is_available(state: ShardState) -> bool {
    matches!(state, ShardState::Available | ShardState::Serving)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use dagstore_codec::Codecs;
    use dagstore_types::{ErrorKind, ShardError, UnixMillis};

    use super::*;

    fn record(number: u64) -> ShardRecord {
        let key = ShardKey::new(&format!("shard {number}")).unwrap();
        let mut record = ShardRecord::new(key, "file:///x".into(), true, Registration(number), UnixMillis(number));
        if number.is_multiple_of(3) {
            record.state = ShardState::Errored;
            record.error = Some(ShardError::new(ErrorKind::SourceMissing, "it isn't there"));
            record.next_try = Some(UnixMillis(7));
        }
        record
    }

    #[test]
    fn shards_wake_one_by_one_and_rest_with_all_that_is_known_of_them() {
        let shared = Arc::new(Shared::new(Codecs::default(), 0));
        let catalogue = Catalogue::new(shared.clone());
        let awake = || (shared.awake.load(Ordering::Relaxed), catalogue.cells().len());
        let records: Vec<_> = (1..=1_000).map(record).collect();
        for record in &records {
            assert_eq!(catalogue.add(Shard::resting(record.clone(), record.error.is_some())), None);
        }
        assert_eq!(awake(), (0, 0));
        let held: Vec<_> = records.iter().filter_map(|record| catalogue.get(record.key.as_str())).collect();
        assert_eq!(awake(), (1_000, 1_000));
        catalogue.put_to_rest(true);
        assert_eq!(awake(), (1_000, 1_000), "somebody holds them");
        drop(held);
        catalogue.put_to_rest(false);
        assert_eq!(awake(), (0, 0));
        for record in &records {
            let cell = catalogue.get(record.key.as_str()).unwrap();
            cell.with(|state| {
                assert_eq!(state.shard.record(), Some(record));
                assert_eq!(state.shard.recovers_on_acquire(), record.error.is_some());
            });
        }
    }

    #[test]
    fn the_older_of_two_records_has_the_key_in_whatever_order_they_come() {
        let record = |number| {
            let key = ShardKey::new("shard").unwrap();
            ShardRecord::new(key, "file:///a.car".to_owned(), true, Registration(number), UnixMillis(0))
        };
        for numbers in [[3, 5], [5, 3]] {
            let catalogue = Catalogue::new(Arc::new(Shared::new(Codecs::default(), 0)));
            let returned = numbers.map(|number| catalogue.add(Shard::resting(record(number), false)));
            assert_eq!(returned, [None, Some(record(5))]);
            let Some(Found::Resting(found)) = catalogue.look("shard") else { panic!("it is lost") };
            assert_eq!(found.registration, Registration(3));
        }
    }
}
