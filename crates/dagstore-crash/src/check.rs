//! What must hold of a store whose processes were killed.
//!
//! * What was acknowledged is there, before anything is mended: what was told to be Available is Available.
//! * Nobody is registered whom nobody has registered, and nobody is there who was told to be destroyed.
//! * `locate` and the shards' states agree, before anything is mended and after it: a block is told for exactly the
//!   Available shards that have it.
//! * After what was unfinished is finished, every shard that is there is Available, and its blocks are read from its CAR.
//! * No file, no record, no row and no note is left that belongs to no shard.
//! * Every key that was destroyed can be registered again with another content, and serves that one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dagstore::{Backend, Dagstore, ShardInfo, ShardState};
use futures_util::TryStreamExt;

use crate::Result;
use crate::acks::Fates;
use crate::child::{diary_in, store_in};
use crate::rows::nothing_else_is_left;
use crate::shards::{Cars, Shards, Version};
use crate::stores::builder;

/// How many blocks of each shard are read.
const READ_BLOCKS: usize = 3;

/// What stores are compared with.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) shards: Shards,
    pub(crate) cars: Cars,
    pub(crate) backend: Backend,
}

/// What is in a store, and with which content.
type Found = BTreeMap<String, (Version, ShardInfo)>;

impl Truth {
    /// Looks at the store of a round. Returns how many acknowledgements it has kept.
    ///
    /// # Errors
    /// What doesn't hold.
    pub(crate) async fn check(&self, round: &Path) -> Result<usize> {
        let (directory, fates) = (store_in(round), Fates::read(&diary_in(round))?);
        self.as_it_was_left(&directory, &fates).await.map_err(|error| format!("as it was left: {error}"))?;
        self.mended(&directory, &fates).await.map_err(|error| format!("after it was mended: {error}"))?;
        Ok(fates.acknowledged)
    }

    /// Before anything is mended.
    async fn as_it_was_left(&self, directory: &Path, fates: &Fates) -> Result<()> {
        let store = builder(directory, self.backend).paused().open().await?;
        let found = self.found(&store, fates)?;
        for (key, fate) in fates.of_shards.iter().filter(|(_, fate)| fate.is_available) {
            let (_, info) = found.get(key).ok_or_else(|| format!("{key} is gone, and was told to be Available"))?;
            if !is_available(info) {
                return Err(format!("{key} is {:?}, and was told to be Available: {fate:?}", info.state).into());
            }
        }
        self.located(&store, &found).await?;
        Ok(store.close().await?)
    }

    /// After what was unfinished is finished.
    async fn mended(&self, directory: &Path, fates: &Fates) -> Result<()> {
        let store = builder(directory, self.backend).open().await?;
        let resumed = store.resumed().await?;
        if resumed.failed + resumed.unsettled > 0 {
            return Err(format!("not all was finished: {resumed:?}").into());
        }
        let collected = store.gc().await?;
        if !collected.kept.is_empty() {
            return Err(format!("not all was collected: {collected:?}").into());
        }
        let found = self.found(&store, fates)?;
        self.all_are_served(&store, &found).await?;
        self.nothing_is_left(&store, directory).await?;

        // The keys that are free are used again, for the content that the last shard of the key can't have had.
        let store = builder(directory, self.backend).open().await?;
        for key in self.shards.keys() {
            if !found.contains_key(&key) {
                store.register(&key, &self.cars.url(&key, 2)).await?;
            }
        }
        let found = self.found_any(&store)?;
        if found.len() != self.shards.count {
            return Err(format!("of {} shards there are {}", self.shards.count, found.len()).into());
        }
        self.all_are_served(&store, &found).await?;
        self.nothing_is_left(&store, directory).await
    }

    /// What is in the store, which must be what may be.
    fn found(&self, store: &Dagstore, fates: &Fates) -> Result<Found> {
        let found = self.found_any(store)?;
        let nothing = crate::acks::Fate::default();
        for key in self.shards.keys() {
            let (is, fate) = (found.get(&key), fates.of_shards.get(&key).unwrap_or(&nothing));
            if !fate.may_be.contains(&is.map(|(version, _)| *version)) {
                return Err(format!("{key} is {is:?}, and may be {:?} only", fate.may_be).into());
            }
        }
        Ok(found)
    }

    fn found_any(&self, store: &Dagstore) -> Result<Found> {
        let mut found = Found::new();
        for info in store.shards() {
            let key = info.key.to_string();
            let version = self.cars.version(&key, &info.url)?;
            found.insert(key, (version, info));
        }
        if let Some(first) = store.quarantined().first() {
            return Err(format!("a record can't be read: {first:?}").into());
        }
        Ok(found)
    }

    /// Every shard is Available, and its blocks are where they are told to be.
    async fn all_are_served(&self, store: &Dagstore, found: &Found) -> Result<()> {
        if let Some((_, info)) = found.values().find(|(_, info)| !is_available(info)) {
            return Err(format!("a shard is not Available: {info:?}").into());
        }
        self.located(store, found).await?;
        for (key, (version, _)) in found {
            let shard = store.acquire(key).await?;
            let blocks = self.shards.blocks(key, *version)?;
            for (cid, data) in blocks.iter().take(READ_BLOCKS) {
                if shard.blockstore().get(cid).await? != *data || store.blockstore().get(cid).await? != *data {
                    return Err(format!("{cid} of {key} is something else").into());
                }
            }
        }
        Ok(())
    }

    /// Every block is told for exactly the Available shards that have it.
    async fn located(&self, store: &Dagstore, found: &Found) -> Result<()> {
        let mut contents = Vec::new();
        for (key, (version, _)) in found.iter().filter(|(_, (_, info))| is_available(info)) {
            contents.push((key.clone(), self.shards.blocks(key, *version)?));
        }
        for cid in self.shards.asked() {
            let told: Vec<String> = store.locate(cid).map_ok(|key| key.to_string()).try_collect().await?;
            let have = contents.iter().filter(|(_, blocks)| blocks.contains_key(cid)).map(|(key, _)| key.clone());
            let (told_once, have): (BTreeSet<_>, BTreeSet<_>) = (told.iter().cloned().collect(), have.collect());
            if told_once != have || told.len() != told_once.len() {
                return Err(format!("{cid} is located in {told:?}, and Available shards with it are {have:?}").into());
            }
        }
        Ok(())
    }

    /// Closes the store, and looks for anything that belongs to no shard.
    async fn nothing_is_left(&self, store: &Dagstore, directory: &Path) -> Result<()> {
        let shards = store.shards();
        store.close().await?;
        let mut blocks = Vec::new();
        for info in shards {
            let version = self.cars.version(info.key.as_str(), &info.url)?;
            blocks.push((self.shards.blocks(info.key.as_str(), version)?, info));
        }
        nothing_else_is_left(directory, self.backend, &blocks).await
    }
}

fn is_available(info: &ShardInfo) -> bool {
    matches!(info.state, ShardState::Available | ShardState::Serving)
}
