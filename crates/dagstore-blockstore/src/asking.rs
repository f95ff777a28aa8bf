//! Asking the shards that may have a block, until one has it.

use std::vec::IntoIter;

use dagstore_car::RawCid;
use dagstore_engine::{Error as EngineError, Result as EngineResult, ShardBlockstore, ShardInfo};
use dagstore_types::{ErrorKind, ShardError, ShardKey};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered};
use futures_util::{Stream, StreamExt};

use crate::{Blockstore, Error, Result, ShardFailure};

/// How many candidates the selector is shown at once.
const CANDIDATES_AT_ONCE: usize = 32;

/// What is asked of a shard.
pub(crate) type Question<T> = for<'a> fn(ShardBlockstore<'a>, &'a RawCid) -> BoxFuture<'a, EngineResult<T>>;

/// The first answer, and the shard that gave it.
pub(crate) async fn ask<T>(store: &Blockstore, cid: &RawCid, question: Question<T>) -> Result<(ShardKey, T)> {
    let mut candidates = Candidates::new(store, cid);
    let mut asked = FuturesUnordered::new();
    let (mut room, mut failures, mut order) = (store.setup.most_asked, Vec::new(), Vec::new());
    loop {
        let nobody_else = match candidates.next().await {
            Ok(Some(key)) if room > 0 => {
                room -= 1;
                order.push(key.clone());
                asked.push(ask_one(store, cid, key, question));
                // One that fails gives way to the next; one that is slow is asked beside it.
                match tokio::time::timeout(store.setup.patience, first_answer(&mut asked, &mut failures)).await {
                    Ok(Err(error)) => return Err(error),
                    Ok(Ok(Some(answer))) => return Ok(answer),
                    Ok(Ok(None)) | Err(_) => continue,
                }
            }
            nobody_else => nobody_else,
        };
        if let Some(answer) = first_answer(&mut asked, &mut failures).await? {
            return Ok(answer);
        }
        let skipped = nobody_else?.is_some();
        if failures.is_empty() && !skipped {
            failures = unavailable(store, cid).await?;
        }
        // The first that was asked is the likeliest to have it, however late its answer came.
        failures.sort_by_key(|failure| order.iter().position(|key| *key == failure.key));
        return Err(without_answer(cid, failures, skipped));
    }
}

async fn ask_one<T>(
    store: &Blockstore,
    cid: &RawCid,
    key: ShardKey,
    question: Question<T>,
) -> (ShardKey, EngineResult<T>) {
    let answer = async {
        let shard = store.engine.acquire(key.as_str()).await?;
        let blocks = shard.blockstore();
        let blocks = if store.setup.verify { blocks.verified() } else { blocks.unverified() };
        question(blocks, cid).await
    };
    let answer = answer.await;
    (key, answer)
}

/// The first answer of those that are asked; `None` where none of them has the block. Those that fail are noted.
async fn first_answer<T>(
    asked: &mut (impl Stream<Item = (ShardKey, EngineResult<T>)> + Unpin),
    failures: &mut Vec<ShardFailure>,
) -> Result<Option<(ShardKey, T)>> {
    while let Some((key, answer)) = asked.next().await {
        match answer {
            Ok(answer) => return Ok(Some((key, answer))),
            Err(error @ (EngineError::Closed | EngineError::Paused)) => return Err(error.into()),
            Err(error) if is_no(&error) => {}
            Err(error) => failures.push(ShardFailure { key, error }),
        }
    }
    Ok(None)
}

/// Whether the shard definitely doesn't have the block: its full index says so, or it is gone.
fn is_no(error: &EngineError) -> bool {
    use EngineError::{BeingDestroyed, BlockNotFound, Destroyed, NotFound};
    matches!(error, BlockNotFound { .. } | NotFound(_) | Destroyed(_) | BeingDestroyed(_))
}

/// Shards that nobody can ask, though they had the block when they were indexed last.
async fn unavailable(store: &Blockstore, cid: &RawCid) -> Result<Vec<ShardFailure>> {
    let shards = store.engine.locate_unavailable(cid, store.setup.most_asked).await?;
    let failure = |shard: ShardInfo| {
        let not_now = || ShardError::new(ErrorKind::SourceUnavailable, "it had the block, and is being indexed again");
        let source = shard.error.unwrap_or_else(not_now);
        let error = EngineError::Failed { key: shard.key.clone(), source };
        ShardFailure { key: shard.key, error }
    };
    Ok(shards.into_iter().map(failure).collect())
}

fn without_answer(cid: &RawCid, failures: Vec<ShardFailure>, skipped: bool) -> Error {
    let cid = cid.clone();
    if failures.is_empty() && !skipped {
        return Error::NotFound { cid };
    }
    Error::Unanswered { cid, failures, skipped }
}

/// The shards to ask, looked up as far as they are wanted.
struct Candidates<'a> {
    store: &'a Blockstore,
    cid: &'a RawCid,
    /// `None` at the end.
    located: Option<BoxStream<'static, EngineResult<ShardKey>>>,
    chosen: IntoIter<ShardKey>,
    failed: Option<EngineError>,
}

impl<'a> Candidates<'a> {
    fn new(store: &'a Blockstore, cid: &'a RawCid) -> Self {
        let located = Some(store.engine.locate(cid).boxed());
        Self { store, cid, located, chosen: Vec::new().into_iter(), failed: None }
    }

    async fn next(&mut self) -> Result<Option<ShardKey>> {
        loop {
            if let Some(key) = self.chosen.next() {
                return Ok(Some(key));
            }
            let page = self.page().await;
            if page.is_empty() {
                return self.failed.take().map_or(Ok(None), |error| Err(error.into()));
            }
            let Blockstore { engine, setup } = self.store;
            self.chosen = setup.selector.select(engine, self.cid, page).into_iter();
            if self.chosen.len() == 0 {
                // A selector that wants none of very many keeps nobody from other work.
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next candidates; none at the end, or behind an error.
    async fn page(&mut self) -> Vec<ShardKey> {
        let mut page = Vec::new();
        while page.len() < CANDIDATES_AT_ONCE
            && let Some(located) = &mut self.located
        {
            match located.next().await {
                Some(Ok(key)) => page.push(key),
                ended => {
                    self.failed = ended.and_then(Result::err);
                    self.located = None;
                }
            }
        }
        page
    }
}
