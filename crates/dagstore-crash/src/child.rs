//! The processes that are killed.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dagstore::{Backend, Dagstore};
use futures_util::stream::{self, TryStreamExt};

use crate::acks::{Diary, Said};
use crate::killer::Killer;
use crate::point::{Hit, Life};
use crate::shards::{self, Cars, Version};
use crate::stores::open_to_be_killed;
use crate::{Error, Result};

/// The first argument of a process that is to be killed.
pub const CHILD: &str = "child";

/// What a process is told by its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    /// The folder of the round.
    pub(crate) round: PathBuf,
    pub(crate) cars: PathBuf,
    pub(crate) backend: Backend,
    /// How many shards are registered.
    pub(crate) shards: usize,
    /// How many of them at the same time.
    pub(crate) width: usize,
    pub(crate) life: Life,
    /// When it is to be killed; never, where it only counts.
    pub(crate) at: Option<Hit>,
}

impl Child {
    /// What [`parse`](Self::parse) reads.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let life = match self.life {
            Life::First => "first",
            Life::Second => "second",
        };
        let (round, cars) = (self.round.display().to_string(), self.cars.display().to_string());
        let mut arguments = vec![CHILD.to_owned(), round, cars, self.backend.name().to_owned()];
        arguments.extend([self.shards.to_string(), self.width.to_string(), life.to_owned()]);
        arguments.extend(self.at.map(|at| at.to_string()));
        arguments
    }

    async fn open(&self, killer: &Killer) -> Result<Dagstore> {
        let registry = Cars(self.cars.clone()).registry(self.shards)?;
        let store = open_to_be_killed(&store_in(&self.round), self.backend, registry, killer).await?;
        store.resumed().await?;
        Ok(store)
    }

    fn parse(arguments: &[String]) -> Result<Self> {
        let [round, cars, backend, shards, width, life, at @ ..] = arguments else {
            return Err(format!("these are no arguments of a child: {arguments:?}").into());
        };
        Ok(Self {
            round: round.into(),
            cars: cars.into(),
            backend: backend_of(backend)?,
            shards: shards.parse()?,
            width: width.parse()?,
            life: if life == "second" { Life::Second } else { Life::First },
            at: at.first().map(|at| Hit::from_str(at)).transpose()?,
        })
    }
}

/// The backend of that name.
pub(crate) fn backend_of(name: &str) -> Result<Backend> {
    let backend = [Backend::Redb, Backend::Rocksdb].into_iter().find(|backend| backend.name() == name);
    backend.ok_or_else(|| format!("{name:?} is no backend").into())
}

/// The folder of the store in a round's.
pub(crate) fn store_in(round: &Path) -> PathBuf {
    round.join("store")
}

/// The file in which a process writes down what it says.
pub(crate) fn diary_in(round: &Path) -> PathBuf {
    round.join("said")
}

/// The file in which a process that wasn't killed tells how often it came by each moment.
pub(crate) fn times_in(round: &Path) -> PathBuf {
    round.join("times")
}

/// Lives the life that the arguments tell, those behind [`CHILD`], up to its end or until it is killed.
///
/// # Errors
/// Whatever the store refuses: nothing that is asked of it here may fail.
pub fn live(arguments: &[String]) -> Result<()> {
    let child = Child::parse(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let killer = Killer::new(child.life, child.at);
    match child.life {
        Life::First => runtime.block_on(first(&child, &killer))?,
        Life::Second => runtime.block_on(second(&child, &killer))?,
    }
    let mut told = String::new();
    for (moment, times) in killer.times() {
        writeln!(told, "{moment} {times}")?;
    }
    Ok(fs::write(times_in(&child.round), told)?)
}

/// Registers one shard, and after the store was closed and opened again the others, several at once, and destroys some.
async fn first(child: &Child, killer: &Killer) -> Result<()> {
    let life = Story::begin(child, killer).await?;
    life.shard(0).await?;
    life.store.close().await?;
    // Something is acknowledged by now, and numbers are given out anew by a store that is opened anew.
    killer.arm();
    let life = Story::begin(child, killer).await?;
    let shards = stream::iter((1..child.shards).map(Ok::<_, Error>));
    shards.try_for_each_concurrent(child.width, |at| life.shard(at)).await?;
    Ok(life.store.close().await?)
}

/// Takes up what the first process has left.
async fn second(child: &Child, killer: &Killer) -> Result<()> {
    killer.arm();
    let store = child.open(killer).await?;
    store.gc().await?;
    Ok(store.close().await?)
}

struct Story {
    store: Dagstore,
    diary: Diary,
    cars: Cars,
}

impl Story {
    async fn begin(child: &Child, killer: &Killer) -> Result<Self> {
        let (store, diary) = (child.open(killer).await?, Diary::open(&diary_in(&child.round))?);
        Ok(Self { store, diary, cars: Cars(child.cars.clone()) })
    }

    /// One shard's story.
    async fn shard(&self, at: usize) -> Result<()> {
        let key = shards::key(at);
        self.register(at, 1, at.is_multiple_of(3)).await?;
        if shards::is_destroyed(at) {
            self.diary.say(&key, Said::Destroying)?;
            self.store.destroy(&key).await?;
            self.diary.say(&key, Said::Destroyed)?;
            self.register(at, 2, false).await?;
        } else if shards::is_far(at) {
            self.copy(&key, at.is_multiple_of(4)).await?;
        }
        Ok(())
    }

    /// The local copy goes, the shard is read all the same, and the copy comes again to stay; in the end it may go again.
    async fn copy(&self, key: &str, stays: bool) -> Result<()> {
        self.diary.say(key, Said::Copying)?;
        // By force, because the store keeps what was just read open for a moment.
        self.store.evict(key, true).await?;
        self.diary.say(key, Said::Evicted)?;
        let shard = self.store.acquire(key).await?;
        for root in shard.blockstore().roots() {
            shard.blockstore().get(root).await?;
        }
        drop(shard);
        self.diary.say(key, Said::Copying)?;
        self.store.pin(key).await?;
        self.diary.say(key, Said::Pinned)?;
        if !stays {
            self.diary.say(key, Said::Copying)?;
            self.store.unpin(key).await?;
            self.diary.say(key, Said::Unpinned)?;
        }
        Ok(())
    }

    async fn register(&self, at: usize, version: Version, is_detached: bool) -> Result<()> {
        let (url, key) = (self.cars.url(at, version), &*shards::key(at));
        self.diary.say(key, Said::Registering(version))?;
        if is_detached {
            self.store.register(key, &url).detached().await?;
            self.diary.say(key, Said::Registered(version))?;
            drop(self.store.acquire(key).await?);
        } else {
            self.store.register(key, &url).await?;
        }
        self.diary.say(key, Said::Available(version))
    }
}
