//! Sources: CARs in memory that are missing, bad, slow, shut, or change.

use std::io;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::ReadAt;
use dagstore_mount::{Capabilities, Error, Mount, Opened, Result, Stat};
use dagstore_testkit::cars::{self, TestCar};
use tokio::sync::watch;

use crate::event::{KEYS, SourceFault};
use crate::world::World;

/// The good contents. They differ in everything: blocks, number of blocks, size.
static CARS: LazyLock<Vec<TestCar>> = LazyLock::new(|| {
    let car = |number: u8| {
        let blocks = (0..2 + number % 3).map(|block| vec![number * 16 + block; 20 + usize::from(number)]);
        cars::of_blocks(blocks)
    };
    (1..=6).map(car).collect()
});

/// All good contents.
pub(crate) fn cars() -> impl Iterator<Item = &'static TestCar> {
    CARS.iter()
}

/// A good content by its root, which is its first block.
pub(crate) fn car_of_root(root: &dagstore_car::RawCid) -> Option<&'static TestCar> {
    CARS.iter().find(|car| car.roots.first() == Some(root))
}

/// How many blocks the good content of this size has.
pub(crate) fn blocks_of(car_bytes: u64) -> Option<usize> {
    CARS.iter().find(|car| car.bytes.len() as u64 == car_bytes).map(|car| car.blocks.len())
}

/// All sources, by key.
#[derive(Debug, Default)]
pub(crate) struct Sources([Source; KEYS]);

/// The source of one key.
#[derive(Debug)]
pub(crate) struct Source {
    /// Which of [`CARS`].
    number: usize,
    bytes: Option<Bytes>,
    /// Counts changes of the content.
    version: u64,
    is_unavailable: bool,
    slow: u64,
    bad_reads: u64,
    /// Whether nothing is opened for now.
    shut: watch::Sender<bool>,
    /// How many openings are under way.
    pub(crate) opening: usize,
    /// Counts openings.
    pub(crate) opens: u64,
    /// Whether anything was ever wrong with it.
    pub(crate) was_faulty: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            number: 0,
            bytes: Some(CARS[0].bytes.clone().into()),
            version: 0,
            is_unavailable: false,
            slow: 0,
            bad_reads: 0,
            shut: watch::Sender::new(false),
            opening: 0,
            opens: 0,
            was_faulty: false,
        }
    }
}

impl Sources {
    pub(crate) fn of(&mut self, key: usize) -> &mut Source {
        &mut self.0[key]
    }

    /// Every fault ends; a good content stays what it is.
    pub(crate) fn heal(&mut self) {
        for source in &mut self.0 {
            source.order(SourceFault::Mended);
        }
    }
}

impl Source {
    pub(crate) fn order(&mut self, fault: SourceFault) {
        self.was_faulty |= fault != SourceFault::Mended;
        let mut bytes = CARS[self.number].bytes.clone();
        match fault {
            SourceFault::Missing => self.serve(None),
            SourceFault::Unavailable => self.is_unavailable = true,
            SourceFault::Junk => self.serve(Some(b"this is no CAR".to_vec())),
            SourceFault::Truncated => {
                bytes.truncate(bytes.len() - 7);
                self.serve(Some(bytes));
            }
            SourceFault::Corrupt => {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                self.serve(Some(bytes));
            }
            SourceFault::Changed => {
                self.number = (self.number + 1) % CARS.len();
                self.serve(Some(CARS[self.number].bytes.clone()));
            }
            SourceFault::Slow(milliseconds) => self.slow = milliseconds,
            SourceFault::Shut => drop(self.shut.send_replace(true)),
            SourceFault::BadReads(times) => self.bad_reads = times,
            SourceFault::Mended => self.mend(bytes),
        }
    }

    fn mend(&mut self, good: Vec<u8>) {
        if self.bytes.as_deref() != Some(&good) {
            self.serve(Some(good));
        }
        self.is_unavailable = false;
        self.slow = 0;
        self.bad_reads = 0;
        self.shut.send_replace(false);
    }

    fn serve(&mut self, bytes: Option<Vec<u8>>) {
        self.bytes = bytes.map(Bytes::from);
        self.version += 1;
    }

    fn look(&self) -> Result<(Bytes, Stat)> {
        let place = || "the source".to_owned();
        if self.is_unavailable {
            let source = Arc::new(io::Error::other("ordered to be unavailable"));
            return Err(Error::Unavailable { place: place(), source });
        }
        let bytes = self.bytes.clone().ok_or_else(|| Error::NotFound { place: place() })?;
        let stat = Stat::new(bytes.len() as u64, Some(self.version.to_string()));
        Ok((bytes, stat))
    }
}

/// The mount of a key's source, or the template for a registry.
#[derive(Debug, Clone)]
pub(crate) struct SimMount {
    world: Arc<World>,
    location: String,
    key: usize,
}

impl SimMount {
    pub(crate) fn template(world: &Arc<World>) -> Self {
        Self { world: world.clone(), location: String::new(), key: 0 }
    }
}

#[async_trait]
impl Mount for SimMount {
    fn capabilities(&self) -> Capabilities {
        Capabilities::LOCAL
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        let bad = |why: &str| Error::BadUrl { url: location.to_owned(), why: why.to_owned() };
        let key = location.parse().ok().filter(|key| *key < KEYS).ok_or_else(|| bad("it is no key's number"))?;
        Ok(Arc::new(Self { world: self.world.clone(), location: location.to_owned(), key }))
    }

    async fn stat(&self) -> Result<Stat> {
        let slow = self.world.sources.lock().of(self.key).slow;
        self.world.takes_time(slow).await;
        Ok(self.world.sources.lock().of(self.key).look()?.1)
    }

    async fn open(&self) -> Result<Opened> {
        let (slow, mut shut) = {
            let mut sources = self.world.sources.lock();
            let source = sources.of(self.key);
            source.opening += 1;
            source.opens += 1;
            (source.slow, source.shut.subscribe())
        };
        let _opening = Opening(self);
        self.world.takes_time(slow).await;
        // The sender is in the world, which outlives this.
        let _opened = shut.wait_for(|shut| !shut).await;
        let (bytes, stat) = self.world.sources.lock().of(self.key).look()?;
        Ok(Opened::new(stat, Arc::new(SimReader { mount: self.clone(), bytes })))
    }
}

/// An opening under way.
struct Opening<'a>(&'a SimMount);

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.world.sources.lock().of(self.0.key).opening -= 1;
    }
}

#[derive(Debug)]
struct SimReader {
    mount: SimMount,
    bytes: Bytes,
}

impl ReadAt for SimReader {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut sources = self.mount.world.sources.lock();
        let source = sources.of(self.mount.key);
        if source.bad_reads > 0 {
            source.bad_reads -= 1;
            return Err(io::Error::other("ordered to fail"));
        }
        self.bytes.read_at(offset, buffer)
    }
}
