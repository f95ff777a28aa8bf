//! Index files: published as a whole, removed, lost, damaged, and what a crash brings back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::OwnName;
use dagstore_index::{
    Damage, Error, Fingerprint, FingerprintKey, Fingerprints, FullIndex, IndexBuilder, IndexMeta, IndexRepo,
    IndexSummary, Location, Result,
};
use dagstore_types::{Attempt, Registration, ShardState};
use smallvec::SmallVec;

use crate::process::KEY;
use crate::rng::Rng;
use crate::source;
use crate::world::World;

/// The files.
#[derive(Debug, Default)]
pub(crate) struct Repo {
    files: BTreeMap<OwnName, Arc<SimIndex>>,
    /// Every name that was ever published.
    published: BTreeSet<OwnName>,
    /// Names that a test made unreadable or took away.
    pub(crate) disturbed: BTreeSet<OwnName>,
    damaged: BTreeSet<OwnName>,
    /// Files removed since the folder was last synced: a crash may bring them back.
    removed: Vec<(OwnName, Arc<SimIndex>)>,
    /// Files of builds that died with their process.
    pub(crate) temporaries: usize,
    pub(crate) failing_opens: u64,
    pub(crate) failing_builds: u64,
    pub(crate) failing_publishes: u64,
    pub(crate) failing_removes: u64,
    pub(crate) failing_lists: u64,
    /// Whether anything of the above was ever ordered.
    pub(crate) was_faulty: bool,
}

impl Repo {
    pub(crate) fn was_published(&self, name: &OwnName) -> bool {
        self.published.contains(name)
    }

    pub(crate) fn names(&self) -> Vec<OwnName> {
        self.files.keys().copied().collect()
    }

    /// What an index names; `None` where it is lost or damaged.
    pub(crate) fn fingerprints(&self, registration: Registration, attempt: Attempt) -> Option<BTreeSet<Fingerprint>> {
        let is_it = |name: &OwnName| (name.registration, name.attempt) == (registration, attempt);
        let (name, index) = self.files.iter().find(|(name, _)| is_it(name))?;
        let whole = (!self.damaged.contains(name)).then(|| index.clone())?;
        whole.fingerprints(KEY).collect::<Result<_>>().ok()
    }

    /// Takes an index away, or damages it.
    pub(crate) fn lose(&mut self, nth: usize, damaged: bool) -> Option<OwnName> {
        let name = *self.files.keys().nth(nth % self.files.len().max(1))?;
        self.disturbed.insert(name);
        self.was_faulty = true;
        if damaged {
            self.damaged.insert(name);
        } else {
            self.files.remove(&name);
        }
        Some(name)
    }

    /// The process ends: what was removed may be back, and a build leaves something.
    pub(crate) fn crash(&mut self, rng: &mut Rng) {
        for (name, index) in std::mem::take(&mut self.removed) {
            if rng.percent(50) {
                self.files.insert(name, index);
            }
        }
        self.temporaries += usize::from(rng.percent(30));
    }

    /// Every fault ends. What is lost stays lost.
    pub(crate) fn heal(&mut self) {
        self.failing_opens = 0;
        self.failing_builds = 0;
        self.failing_publishes = 0;
        self.failing_removes = 0;
        self.failing_lists = 0;
    }
}

/// The repository that a process sees.
#[derive(Debug)]
pub(crate) struct SimRepo {
    pub(crate) world: Arc<World>,
}

impl SimRepo {
    /// The state of the record that names these files, as a crash leaves it.
    fn named_by(&self, name: &OwnName) -> Option<ShardState> {
        let record = self.world.disk.lock().durable_record(name.registration.0)?;
        (record.attempt == name.attempt).then_some(record.state)
    }

    fn fails(&self, operation: &'static str, count: impl Fn(&mut Repo) -> &mut u64) -> Result<()> {
        let mut repo = self.world.repo.lock();
        let left = count(&mut repo);
        if *left == 0 {
            return Ok(());
        }
        *left -= 1;
        Err(Error::Io { operation, path: PathBuf::from("sim"), source: io::Error::other("ordered to fail") })
    }
}

impl IndexRepo for SimRepo {
    fn builder(&self, meta: IndexMeta) -> Result<Box<dyn IndexBuilder>> {
        self.fails("build", |repo| &mut repo.failing_builds)?;
        let state = self.named_by(&meta.name);
        // A destruction may have become durable while the source was being opened.
        let counted = [ShardState::Initializing, ShardState::Recovering, ShardState::Destroying];
        if !state.is_some_and(|state| counted.contains(&state)) {
            self.world.breaks("I11", || format!("the index {} is built, and its record is {state:?}", meta.name));
        }
        if self.world.repo.lock().was_published(&meta.name) {
            self.world.breaks("I11", || format!("the index {} is built a second time", meta.name));
        }
        Ok(Box::new(SimBuilder { world: self.world.clone(), index: SimIndex { meta, locations: Vec::new() } }))
    }

    fn open(&self, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>> {
        self.fails("open", |repo| &mut repo.failing_opens)?;
        let repo = self.world.repo.lock();
        if repo.damaged.contains(&name) {
            return Err(Error::Damaged { path: PathBuf::from("sim"), what: Damage::Magic });
        }
        Ok(repo.files.get(&name).map(|index| index.clone() as Arc<dyn FullIndex>))
    }

    fn remove(&self, name: OwnName) -> Result<bool> {
        self.fails("remove", |repo| &mut repo.failing_removes)?;
        let state = self.named_by(&name);
        if state.is_some_and(|state| state != ShardState::Destroying) {
            self.world.breaks("I6", || format!("the index {name} is removed, and its record is {state:?}"));
        }
        let mut repo = self.world.repo.lock();
        repo.damaged.remove(&name);
        let removed = repo.files.remove(&name);
        let was_there = removed.is_some();
        repo.removed.extend(removed.map(|index| (name, index)));
        Ok(was_there)
    }

    fn list(&self) -> Result<Vec<OwnName>> {
        self.fails("list", |repo| &mut repo.failing_lists)?;
        Ok(self.world.repo.lock().names())
    }

    fn remove_temporaries(&self) -> Result<usize> {
        Ok(std::mem::take(&mut self.world.repo.lock().temporaries))
    }
}

#[derive(Debug)]
struct SimBuilder {
    world: Arc<World>,
    index: SimIndex,
}

impl IndexBuilder for SimBuilder {
    fn add(&mut self, multihash: MultihashRef<'_>, offset: u64, data_size: u64) -> Result<()> {
        let location = Location { offset, size: u32::try_from(data_size).ok() };
        self.index.locations.push((multihash.bytes().into(), location));
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<IndexSummary> {
        let repo = SimRepo { world: self.world.clone() };
        repo.fails("publish", |repo| &mut repo.failing_publishes)?;
        let Self { world, index } = *self;
        let entries = index.locations.len() as u64;
        if source::blocks_of(index.meta.car_size) != Some(index.locations.len()) {
            world.breaks("I7", || format!("{} is published with {entries} blocks", index.meta.name));
        }
        let mut repo = world.repo.lock();
        repo.removed.clear();
        repo.published.insert(index.meta.name);
        repo.files.insert(index.meta.name, Arc::new(index));
        Ok(IndexSummary { entries, file_bytes: 0 })
    }
}

/// A complete index, and what it is of.
#[derive(Debug)]
struct SimIndex {
    meta: IndexMeta,
    locations: Vec<(Box<[u8]>, Location)>,
}

impl FullIndex for SimIndex {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn len(&self) -> u64 {
        self.locations.len() as u64
    }

    fn find(&self, multihash: MultihashRef<'_>) -> Result<SmallVec<[Location; 1]>> {
        let found = self.locations.iter().filter(|(of, _)| **of == *multihash.bytes());
        Ok(found.map(|(_, location)| *location).collect())
    }

    fn find_first(&self, multihash: MultihashRef<'_>) -> Result<Option<Location>> {
        Ok(self.find(multihash)?.into_iter().min())
    }

    fn fingerprints(self: Arc<Self>, key: FingerprintKey) -> Fingerprints {
        let of = |(multihash, _): &(Box<[u8]>, Location)| MultihashRef::parse(multihash).map(|it| key.fingerprint(it));
        let mut fingerprints: Vec<_> = self.locations.iter().filter_map(|location| of(location).ok()).collect();
        fingerprints.sort_unstable();
        Box::new(fingerprints.into_iter().map(Ok))
    }
}
