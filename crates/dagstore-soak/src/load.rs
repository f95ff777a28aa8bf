//! What callers do.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use dagstore::{Dagstore, GcOptions};
use futures_util::TryStreamExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::Result;
use crate::rng::Rng;
use crate::sources::{SHARDS, Sources};

/// Nothing takes longer: every wait on a source has an end that is far below this one. It is no measure of speed.
const STUCK: Duration = Duration::from_mins(5);

/// What was asked, and how often with and without success.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<BTreeMap<&'static str, Done>>);

/// How often something was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Done {
    /// With success.
    pub good: u64,
    /// With an error, which sources that fail are reason enough for.
    pub refused: u64,
}

impl Tally {
    pub(crate) fn of_all(&self) -> BTreeMap<&'static str, Done> {
        self.0.lock().clone()
    }

    fn count(&self, action: &'static str, is_good: bool) {
        let mut all = self.0.lock();
        let done = all.entry(action).or_default();
        done.good += u64::from(is_good);
        done.refused += u64::from(!is_good);
    }
}

/// One of those who ask.
pub(crate) struct Caller<'a> {
    pub(crate) store: &'a Dagstore,
    pub(crate) sources: &'a Sources,
    pub(crate) tally: &'a Tally,
    pub(crate) rng: Rng,
}

impl Caller<'_> {
    /// Asks for one thing after the other.
    ///
    /// # Errors
    /// Where a block is wrong, or an answer doesn't come.
    pub(crate) async fn work(&mut self, until: Instant) -> Result<()> {
        while Instant::now() < until {
            let number = self.rng.below(100);
            let shard = self.rng.below(SHARDS);
            let key = Sources::key(shard);
            let done = tokio::time::timeout(STUCK, self.act(number, shard, &key)).await;
            done.map_err(|_| format!("action {number} on {key} has no answer after {STUCK:?}"))??;
        }
        Ok(())
    }

    async fn act(&mut self, number: usize, shard: usize, key: &str) -> Result<()> {
        let store = self.store;
        match number {
            0..18 => self.note("register", store.register(key, &Sources::url(shard)).await),
            18..22 => self.note("register lazily", store.register(key, &Sources::url(shard)).lazy().await),
            22..44 => return self.acquire(shard, key).await,
            44..58 => return self.get().await,
            58..64 => {
                let located = store.locate(self.sources.any_cid(&mut self.rng)).try_collect::<Vec<_>>().await;
                self.note("locate", located);
            }
            64..72 => self.note("recover", store.recover(key).await),
            72..78 => self.note("destroy", store.destroy(key).await),
            78..84 => self.note("evict", store.evict(key, number == 78).await),
            84..88 => self.note("pin", store.pin(key).await),
            88..94 => self.note("unpin", store.unpin(key).await),
            94..96 => self.note("rebuild the index", store.rebuild_index(key).await),
            96..98 => self.note("collect", store.gc().await),
            98 => {
                let mut options = GcOptions::default();
                options.idle_copies = true;
                self.note("collect copies", store.gc_with(options).await);
            }
            _ => {
                // A caller that goes away.
                let acquire = store.acquire(key);
                let gone = tokio::time::timeout(Duration::from_millis(1), acquire).await;
                self.tally.count("acquire, and go away", gone.is_ok());
            }
        }
        Ok(())
    }

    async fn acquire(&mut self, shard: usize, key: &str) -> Result<()> {
        let shard_is = match self.store.acquire(key).await {
            Ok(shard) => shard,
            Err(error) => {
                self.note("acquire", Err::<(), _>(error));
                return Ok(());
            }
        };
        self.note("acquire", Ok::<_, String>(()));
        let cids = self.sources.cids(shard);
        for cid in cids.take(1 + self.rng.below(4)) {
            let read = shard_is.blockstore().get(cid).await;
            if let Ok(data) = &read
                && self.sources.blocks.get(cid).is_none_or(|expected| *expected != **data)
            {
                return Err(format!("{cid} of {key} is something else").into());
            }
            self.note("read a block", read);
        }
        Ok(())
    }

    async fn get(&mut self) -> Result<()> {
        let cid = self.sources.any_cid(&mut self.rng);
        let read = self.store.blockstore().get(cid).await;
        if let Ok(data) = &read
            && self.sources.blocks.get(cid).is_none_or(|expected| *expected != **data)
        {
            return Err(format!("{cid} of the store is something else").into());
        }
        self.note("get a block", read);
        Ok(())
    }

    fn note<T, E: Display>(&self, action: &'static str, answer: Result<T, E>) {
        self.tally.count(action, answer.is_ok());
    }
}

/// Brings every shard to serve its blocks, once nothing fails any more.
///
/// # Errors
/// What doesn't.
pub(crate) async fn all_serve(store: &Dagstore, sources: &Sources) -> Result<()> {
    for shard in 0..SHARDS {
        let key = Sources::key(shard);
        // Whatever it was registered with, and however it failed, a new registration is as good as new.
        if store.info(&key).is_ok() {
            store.destroy(&key).await.map_err(|error| told(&key, "can't be destroyed", &error))?;
        }
        store.register(&key, &Sources::url(shard)).await.map_err(|error| told(&key, "isn't taken", &error))?;
        let acquired = store.acquire(&key).await.map_err(|error| told(&key, "isn't served", &error))?;
        for cid in sources.cids(shard) {
            let data = acquired
                .blockstore()
                .get(cid)
                .await
                .map_err(|error| told(&key, &format!("doesn't give {cid}"), &error))?;
            if sources.blocks.get(cid).is_none_or(|expected| *expected != *data) {
                return Err(format!("{cid} of {key} is something else").into());
            }
        }
    }
    Ok(())
}

/// What is wrong with a shard, with all causes.
fn told(key: &str, what: &str, error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    format!("{key} {what}: {}", causes.join(": "))
}
