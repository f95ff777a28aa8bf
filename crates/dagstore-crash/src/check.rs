//! What must hold of a store whose processes were killed.
//!
//! * What was acknowledged is there, before anything is mended: what was told to be Available is Available.
//! * Nobody is registered whom nobody has registered, and nobody is there who was told to be destroyed.
//! * `locate` and the shards' states agree, before anything is mended and after it: a block is told for exactly the
//!   Available shards that have it.
//! * After what was unfinished is finished, every shard that is there is Available, and its blocks are read from its CAR.
//! * The local copy of a shard that is far away is complete where the shard was told to be Available, pinned where that was told,
//!   and gone where it was told to be evicted.
//! * No file, no record, no row and no note is left that belongs to no shard.
//! * Every key that was destroyed can be registered again with another content, and serves that one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dagstore::copies::CopyState;
use dagstore::{Backend, Builder, Dagstore, ShardCopy, ShardInfo, ShardState};
use futures_util::TryStreamExt;

use crate::Result;
use crate::acks::{Copy, Fate, Fates};
use crate::child::{diary_in, store_in};
use crate::rows::{copies_are_told, nothing_else_is_left};
use crate::shards::{self, Cars, Shards, Version};
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

    fn builder(&self, directory: &Path) -> Result<Builder> {
        Ok(builder(directory, self.backend, self.cars.registry(self.shards.count)?))
    }

    /// Before anything is mended.
    async fn as_it_was_left(&self, directory: &Path, fates: &Fates) -> Result<()> {
        let store = self.builder(directory)?.paused().open().await?;
        let found = self.found(&store, fates)?;
        for (key, fate) in fates.of_shards.iter().filter(|(_, fate)| fate.is_available) {
            let (_, info) = found.get(key).ok_or_else(|| format!("{key} is gone, and was told to be Available"))?;
            if !is_available(info) {
                return Err(format!("{key} is {:?}, and was told to be Available: {fate:?}", info.state).into());
            }
        }
        copies_are_kept(&store, fates)?;
        self.located(&store, &found).await?;
        Ok(store.close().await?)
    }

    /// After what was unfinished is finished.
    async fn mended(&self, directory: &Path, fates: &Fates) -> Result<()> {
        let store = self.builder(directory)?.open().await?;
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
        let store = self.builder(directory)?.open().await?;
        for key in self.shards.keys() {
            if !found.contains_key(&key) {
                store.register(&key, &self.cars.url(shards::number(&key)?, 2)).await?;
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
        let nothing = Fate::default();
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
            let version = self.cars.version(shards::number(&key)?, &info.url)?;
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
        let infos = store.shards();
        store.close().await?;
        // Pieces that were read may be written down while the store closes, so their files are told by one that only looks.
        let looking = self.builder(directory)?.paused().open().await?;
        let (copies, used_bytes) = (looking.copies(), looking.copies_used_bytes());
        looking.close().await?;
        let mut blocks = Vec::new();
        for info in infos {
            let version = self.cars.version(shards::number(info.key.as_str())?, &info.url)?;
            blocks.push((self.shards.blocks(info.key.as_str(), version)?, info));
        }
        copies_are_told(directory, &copies, used_bytes)?;
        nothing_else_is_left(directory, self.backend, &blocks).await
    }
}

/// Copies are what was told of them.
fn copies_are_kept(store: &Dagstore, fates: &Fates) -> Result<()> {
    let copies = store.copies();
    for (key, fate) in &fates.of_shards {
        if !shards::is_far(shards::number(key)?) {
            continue;
        }
        let is_complete = |copy: &&ShardCopy| copy.info.state == CopyState::Complete;
        let mut of_key = copies.iter().filter(|copy| copy.key.as_ref().is_some_and(|found| found.as_str() == key));
        let is = of_key.find(is_complete);
        let is_as_told = match fate.copy {
            Copy::Unknown => true,
            Copy::Gone => is.is_none(),
            Copy::Complete => is.is_some_and(|copy| !copy.info.is_pinned),
            Copy::Pinned => is.is_some_and(|copy| copy.info.is_pinned),
        };
        if !is_as_told {
            return Err(format!("the copy of {key} is {is:?}, and {:?} was told", fate.copy).into());
        }
    }
    Ok(())
}

fn is_available(info: &ShardInfo) -> bool {
    matches!(info.state, ShardState::Available | ShardState::Serving)
}
