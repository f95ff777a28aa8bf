//! Chunks of sources that are read piecewise, on disk and on their way.

mod disk;
mod flight;
mod load;
mod reader;
mod room;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use dagstore_fs::{OwnName, ReadAt};
use dagstore_mount::Stat;
use dagstore_types::UnixMillis;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::Result;
use crate::names::Id;
use crate::room::Room;

pub(crate) use load::{Listed, load_all};
pub use reader::RemoteReader;
pub(crate) use room::{drop_least_recently_used, last_use_of_idle};

/// The largest chunk.
const MAX_CHUNK_BYTES: u32 = 16 << 20;

/// The chunks of one content of one registration.
#[derive(Debug)]
pub(crate) struct Chunks {
    /// As it was asked for when they were begun.
    pub(crate) name: OwnName,
    pub(crate) stat: Stat,
    pub(crate) chunk_bytes: u32,
    /// Cloned by each reader. Clones are made under the lock of the state.
    pub(crate) interest: Arc<()>,
    /// Milliseconds since 1970.
    pub(crate) used: AtomicU64,
    pub(crate) is_pinned: AtomicBool,
    /// Held by who changes files of this registration, across I/O, on threads for that. All contents of one registration
    /// share it.
    turn: Arc<Mutex<()>>,
    /// Held for moments only.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    files: Option<Files>,
    /// What is on its way, by the number of each chunk.
    flights: HashMap<u64, Flight>,
    /// The chunk that was read last.
    recent: Option<(u64, Bytes)>,
    /// Nothing may be kept on disk any more: there is a copy, or another content is read.
    is_detached: bool,
}

/// What is on disk.
#[derive(Debug)]
struct Files {
    /// At least the length of both files.
    room: Arc<Room>,
    /// The checksum of the table's header.
    seed: u32,
    /// Where the next entry goes. What is behind it is of no account.
    table_bytes: u64,
    /// Where the next chunk goes, likewise.
    data_bytes: u64,
    /// The time of use that is written down.
    written_use: u64,
    /// `None` as long as nobody reads: then the table is on disk alone.
    places: Option<BTreeMap<u64, Place>>,
    data: Option<Arc<Data>>,
    /// They can't be written on, and are to be begun anew.
    is_broken: bool,
}

/// Where a chunk is, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: u64,
    checksum: u32,
}

/// The open file of the chunks. As long as somebody reads it, its room counts.
#[derive(Debug)]
struct Data {
    reader: Arc<dyn ReadAt>,
    _room: Arc<Room>,
}

/// A request that is under way, or whose bytes are being written down.
#[derive(Debug, Clone)]
struct Flight {
    first: u64,
    outcome: watch::Receiver<Option<Result<Bytes>>>,
}

/// A request to be made.
#[derive(Debug)]
struct Request {
    /// Neighbouring chunks.
    numbers: RangeInclusive<u64>,
    outcome: watch::Sender<Option<Result<Bytes>>>,
}

impl Chunks {
    /// Chunks of which none is on disk.
    fn new(name: OwnName, stat: Stat, chunk_bytes: u32, turn: Arc<Mutex<()>>) -> Self {
        let (used, is_pinned) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { name, stat, chunk_bytes, interest: Arc::default(), used, is_pinned, turn, inner: Mutex::default() }
    }

    pub(crate) fn id(&self) -> Id {
        Id::of(self.name)
    }

    /// Whether somebody reads.
    pub(crate) fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.interest) > 1
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.is_pinned.load(Ordering::Relaxed)
    }

    pub(crate) fn used(&self) -> UnixMillis {
        UnixMillis(self.used.load(Ordering::Relaxed))
    }

    fn use_now(&self, now: UnixMillis) {
        self.used.fetch_max(now.0, Ordering::Relaxed);
    }

    /// How much of the disk they take; `None` where they take none.
    pub(crate) fn room(&self) -> Option<u64> {
        self.inner.lock().files.as_ref().map(|files| files.room.bytes())
    }

    /// How many bytes of chunks are on disk; `None` where there is no file.
    pub(crate) fn present_bytes(&self) -> Option<u64> {
        let inner = self.inner.lock();
        let files = inner.files.as_ref()?;
        let places = files.places.as_ref();
        Some(places.map_or(files.data_bytes, |places| places.keys().map(|number| self.length_of(*number)).sum()))
    }

    fn chunk_size(&self) -> u64 {
        u64::from(self.chunk_bytes)
    }

    /// How many chunks the source has.
    fn count(&self) -> u64 {
        self.stat.size.div_ceil(self.chunk_size())
    }

    fn start_of(&self, number: u64) -> u64 {
        number.saturating_mul(self.chunk_size())
    }

    fn length_of(&self, number: u64) -> u64 {
        self.stat.size.saturating_sub(self.start_of(number)).min(self.chunk_size())
    }

    /// The chunks of some bytes of the source, of which there is at least one.
    fn numbers(&self, at: u64, len: u64) -> RangeInclusive<u64> {
        at / self.chunk_size()..=(at + len - 1) / self.chunk_size()
    }

    /// Whether all of these are on disk, as far as the table says.
    fn has(&self, mut numbers: RangeInclusive<u64>) -> bool {
        let inner = self.inner.lock();
        let places = inner.files.as_ref().and_then(|files| files.places.as_ref());
        numbers.all(|number| {
            places.is_some_and(|places| places.contains_key(&number))
                || inner.recent.as_ref().is_some_and(|(recent, _)| *recent == number)
        })
    }

    /// Whether any of these is neither on disk, as far as the table says, nor on its way.
    fn is_any_missing(&self, mut numbers: RangeInclusive<u64>) -> bool {
        let inner = self.inner.lock();
        numbers.any(|number| inner.is_missing(number, true))
    }

    /// What to wait for and what to ask for, so that all of these come of which no bytes are known, and that aren't on disk
    /// where that is believed. Neighbours are asked for together, and with the last one up to `ahead` more.
    fn plan(
        &self,
        numbers: RangeInclusive<u64>,
        known: &BTreeMap<u64, Bytes>,
        ahead: u64,
        believes_disk: bool,
    ) -> (Vec<Flight>, Vec<Request>) {
        let mut inner = self.inner.lock();
        let (mut flights, mut requests) = (Vec::<Flight>::new(), Vec::new());
        let last = *numbers.end();
        let mut run: Option<RangeInclusive<u64>> = None;
        for number in numbers {
            let is_due = !known.contains_key(&number);
            if is_due && inner.is_missing(number, believes_disk) {
                run = Some(*run.as_ref().map_or(&number, RangeInclusive::start)..=number);
                continue;
            }
            requests.extend(run.take());
            if is_due
                && let Some(flight) = inner.flights.get(&number)
                && flights.last().is_none_or(|known| known.first != flight.first)
            {
                flights.push(flight.clone());
            }
        }
        if let Some(run) = run {
            let most = last.saturating_add(ahead).min(self.count() - 1);
            let end = (last + 1..=most).take_while(|number| inner.is_missing(*number, true)).last();
            requests.push(*run.start()..=end.unwrap_or(last));
        }
        let begin = |numbers: RangeInclusive<u64>| {
            let (sender, outcome) = watch::channel(None);
            let flight = Flight { first: *numbers.start(), outcome };
            inner.flights.extend(numbers.clone().map(|number| (number, flight.clone())));
            flights.push(flight);
            Request { numbers, outcome: sender }
        };
        let requests = requests.into_iter().map(begin).collect();
        (flights, requests)
    }

    /// Forgets a request that has ended.
    fn land(&self, numbers: &RangeInclusive<u64>) {
        let mut inner = self.inner.lock();
        for number in numbers.clone() {
            inner.flights.remove(&number);
        }
    }
}

impl Inner {
    fn is_missing(&self, number: u64, believes_disk: bool) -> bool {
        let places = self.files.as_ref().and_then(|files| files.places.as_ref());
        let is_on_disk = believes_disk && places.is_some_and(|places| places.contains_key(&number));
        !is_on_disk && !self.flights.contains_key(&number)
    }
}
