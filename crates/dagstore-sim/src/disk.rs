//! The datastore's disk: what is on it, what is only on its way there, and what a crash leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use dagstore_codec::{Codecs, Row};
use dagstore_datastore::{Batch, Durability, ErrorClass, Namespace};
use dagstore_testkit::power::{Changes, LossyRows};
use dagstore_types::ShardRecord;

use crate::rng::Rng;

pub(crate) use dagstore_testkit::power::Place;

/// Where shards' records are, by registration number.
pub(crate) const SHARDS: &str = "shards";

/// A row's value, and the record in it where it is a shard's.
#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) bytes: Bytes,
    pub(crate) record: Option<Arc<ShardRecord>>,
}

/// One row's change; `None` deletes.
pub(crate) type Change = (Place, Option<Value>);

/// All rows.
pub(crate) type Image = BTreeMap<Place, Value>;

/// What the disk does with writes for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failing {
    pub(crate) class: ErrorClass,
    pub(crate) times: u64,
    /// Whether the batch is applied; `None` lets the dice decide.
    pub(crate) applied: Option<bool>,
}

/// The disk, with the process that has it open.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    /// Which process may write. What is left of an earlier one must not.
    pub(crate) process: u64,
    /// What is read, and what of it a crash may take back. The numbers are those of the batches.
    rows: LossyRows<Value>,
    /// Batches whose writes haven't returned.
    flights: BTreeMap<u64, Flight>,
    /// Rows of writes that failed or were given up, until a later write of the row is durable: nobody can know what they
    /// hold. With the number of the last such write.
    unsure: BTreeMap<Place, u64>,
    /// Shards' rows of the last two writes of such whose end was told: the store passes that on one by one beside the next
    /// write, which may have ended by then.
    told: [BTreeSet<Place>; 2],
    next_number: u64,
    pub(crate) failing: Option<Failing>,
    pub(crate) failing_reads: u64,
    pub(crate) failing_reopens: u64,
    pub(crate) slow: u64,
    /// Writes were so slow that whoever waited may have been told that nothing is durable.
    pub(crate) was_slow: bool,
    pub(crate) needs_reopen: bool,
    /// Counts errors that were told.
    pub(crate) failures: u64,
}

#[derive(Debug, Clone)]
struct Flight {
    changes: Vec<Change>,
    is_applied: bool,
    /// Whoever waits for it may have been told that it isn't durable.
    is_slow: bool,
}

/// From this time on, in milliseconds, a write may take longer than anybody waits for it.
const SLOW: u64 = 100;

/// How a write ended: well, or with an error of this class.
pub(crate) type Landed = Result<(), ErrorClass>;

impl Disk {
    /// Another process opens the disk.
    pub(crate) fn next_process(&mut self) -> u64 {
        self.process += 1;
        self.process
    }

    /// A write begins.
    pub(crate) fn take_off(&mut self, changes: Vec<Change>) -> u64 {
        self.next_number += 1;
        let is_slow = self.slow >= SLOW;
        self.flights.insert(self.next_number, Flight { changes, is_applied: false, is_slow });
        self.next_number
    }

    /// The moment at which a write is applied, or isn't.
    pub(crate) fn land(&mut self, flight: u64, durability: Durability, rng: &mut Rng) -> Landed {
        let Some(Flight { changes, is_slow, .. }) = self.flights.get(&flight).cloned() else { return Ok(()) };
        if self.needs_reopen {
            return self.fails(flight, &changes, ErrorClass::NeedsReopen);
        }
        let Some(failing) = self.failing.as_mut().filter(|failing| failing.times > 0) else {
            self.apply(flight, changes.clone(), durability);
            if is_slow {
                self.doubt(flight, &changes);
            }
            return Ok(());
        };
        failing.times = failing.times.saturating_sub(1);
        let Failing { class, applied, .. } = *failing;
        if applied.unwrap_or_else(|| rng.percent(50)) {
            self.apply(flight, changes.clone(), durability);
        }
        self.needs_reopen = class == ErrorClass::NeedsReopen;
        self.fails(flight, &changes, class)
    }

    fn fails(&mut self, flight: u64, changes: &[Change], class: ErrorClass) -> Landed {
        self.give_up(flight, changes);
        Err(class)
    }

    fn give_up(&mut self, number: u64, changes: &[Change]) {
        self.flights.remove(&number);
        self.doubt(number, changes);
    }

    fn doubt(&mut self, number: u64, changes: &[Change]) {
        for (place, _) in changes {
            self.unsure.insert(place.clone(), number);
        }
    }

    fn apply(&mut self, number: u64, changes: Vec<Change>, durability: Durability) {
        if let Some(flight) = self.flights.get_mut(&number) {
            flight.is_applied = true;
        }
        self.rows.apply(number, Arc::new(changes));
        if durability == Durability::Synced {
            self.sync();
        }
    }

    /// The write's end is told to the store.
    pub(crate) fn told(&mut self, flight: u64, landed: Landed) {
        self.failures += u64::from(landed.is_err());
        let Some(flight) = self.flights.remove(&flight) else { return };
        let shards =
            flight.changes.into_iter().map(|(place, _)| place).filter(|(namespace, _)| namespace.name() == SHARDS);
        let shards: BTreeSet<_> = shards.collect();
        if !shards.is_empty() {
            let [last, _] = std::mem::take(&mut self.told);
            self.told = [shards, last];
        }
    }

    /// Nobody waits for the write any more: it may have happened or not.
    pub(crate) fn abandon(&mut self, flight: u64, durability: Durability, rng: &mut Rng) {
        let Some(Flight { changes, is_applied, .. }) = self.flights.remove(&flight) else { return };
        if !is_applied && !self.needs_reopen && rng.percent(50) {
            self.apply(flight, changes.clone(), durability);
        }
        self.give_up(flight, &changes);
    }

    /// Makes everything durable that was written.
    fn sync(&mut self) {
        let synced = self.rows.sync();
        self.are_durable(&synced);
    }

    /// Rows of these batches are known again.
    fn are_durable(&mut self, batches: &[(u64, Changes<Value>)]) {
        for (number, changes) in batches {
            for (place, _) in &**changes {
                if self.unsure.get(place).is_some_and(|unsure| unsure < number) {
                    self.unsure.remove(place);
                }
            }
        }
    }

    /// What is there after a crash, whatever else is lost.
    pub(crate) fn durable(&self) -> &Image {
        self.rows.durable()
    }

    /// What is read.
    pub(crate) fn current(&self) -> &Image {
        self.rows.current()
    }

    /// A sync that the store asks for.
    pub(crate) fn try_sync(&mut self) -> Landed {
        if self.needs_reopen {
            return Err(ErrorClass::NeedsReopen);
        }
        self.sync();
        Ok(())
    }

    /// Closes the database. A handle that is done for closes well when it has nothing to lose.
    pub(crate) fn close(&mut self) -> Landed {
        if self.needs_reopen && !self.has_buffered() { Ok(()) } else { self.try_sync() }
    }

    /// Closes the database and opens it again: what was buffered may be lost.
    pub(crate) fn reopen(&mut self, rng: &mut Rng) -> Landed {
        if !self.needs_reopen {
            return Ok(());
        }
        if self.failing_reopens > 0 {
            self.failing_reopens -= 1;
            self.failures += 1;
            return Err(ErrorClass::NeedsReopen);
        }
        self.lose(Vec::new(), rng);
        self.needs_reopen = false;
        Ok(())
    }

    /// The process ends. Writes that had not returned happen as a whole or not at all, and no write is lost while a later
    /// one survives.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        let flights = std::mem::take(&mut self.flights);
        let unapplied = flights.into_iter().filter(|(_, flight)| !flight.is_applied && !self.needs_reopen);
        let unapplied = unapplied.map(|(number, flight)| (number, flight.changes)).collect();
        self.lose(unapplied, rng);
        self.end_process();
    }

    /// The process has ended. What it wrote is as it is.
    pub(crate) fn end_process(&mut self) {
        self.next_process();
        self.flights.clear();
        self.unsure.clear();
        self.told = Default::default();
        self.needs_reopen = false;
    }

    fn lose(&mut self, in_flight: Vec<(u64, Vec<Change>)>, rng: &mut Rng) {
        for (number, changes) in in_flight {
            self.rows.apply(number, Arc::new(changes));
        }
        let kept = self.rows.lose(rng.index(self.rows.buffered() + 1));
        self.are_durable(&kept);
    }

    /// Every fault ends. A handle that is done for stays so.
    pub(crate) fn heal(&mut self) {
        self.failing = None;
        self.failing_reads = 0;
        self.failing_reopens = 0;
        self.slow = 0;
    }

    /// Whether nobody can know what the row holds: its last write failed, or hasn't returned.
    pub(crate) fn is_unsure(&self, place: &Place) -> bool {
        self.unsure.contains_key(place) || self.is_in_flight(place)
    }

    fn is_in_flight(&self, place: &Place) -> bool {
        self.flights.values().any(|flight| flight.changes.iter().any(|(changed, _)| changed == place))
    }

    /// Whether the row was in one of the last two writes of shards' rows whose end was told.
    pub(crate) fn is_just_told(&self, place: &Place) -> bool {
        self.told.iter().any(|rows| rows.contains(place))
    }

    pub(crate) fn is_writing(&self) -> bool {
        !self.flights.is_empty()
    }

    pub(crate) fn has_buffered(&self) -> bool {
        self.rows.buffered() > 0
    }

    /// The record of a registration, as a crash leaves it at the worst.
    pub(crate) fn durable_record(&self, registration: u64) -> Option<Arc<ShardRecord>> {
        self.durable().get(&shard_place(registration)).and_then(|value| value.record.clone())
    }
}

/// The rows of shards, in order.
pub(crate) fn shard_rows(image: &Image) -> impl Iterator<Item = (&Place, &ShardRecord)> {
    image.iter().filter_map(|(place, value)| Some((place, &**value.record.as_ref()?)))
}

pub(crate) fn shard_place(registration: u64) -> Place {
    (Namespace::new(SHARDS), registration.to_be_bytes().to_vec())
}

/// Reads a batch; shards' rows are decoded with `codecs`.
///
/// # Errors
/// Why a shard's row can't be read.
pub(crate) fn changes(batch: &Batch, codecs: &Codecs) -> Result<Vec<Change>, String> {
    let value = |namespace: Namespace, bytes: &[u8]| {
        let record = if namespace.name() == SHARDS { Some(decode(bytes, codecs)?) } else { None };
        Ok::<_, String>(Value { bytes: Bytes::copy_from_slice(bytes), record })
    };
    let change = |write: dagstore_datastore::Write<'_>| {
        let value = write.value.map(|bytes| value(write.namespace, bytes)).transpose()?;
        Ok(((write.namespace, write.key.to_vec()), value))
    };
    batch.iter().map(change).collect()
}

fn decode(bytes: &[u8], codecs: &Codecs) -> Result<Arc<ShardRecord>, String> {
    let row = Row::split(bytes).map_err(|error| error.to_string())?;
    row.decode(codecs).map(Arc::new).map_err(|error| error.to_string())
}
