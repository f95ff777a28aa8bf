//! A store is opened with everything working, and must be as it was told to be.

use dagstore_engine::{Engine, Error, Remote};
use dagstore_testkit::power::{Image, Moment};
use dagstore_types::{ErrorKind, ShardKey, ShardState};
use futures_util::TryStreamExt;

use crate::claims::Claims;
use crate::content::Source;
use crate::machine::{Machine, QUOTA_BYTES};
use crate::process::{self, settle};
use crate::raw;

/// How often a shard may have to be recovered and acquired before it can be read.
const TRIES: u32 = 3;

/// Opens what is left on a machine and looks at all of it. Returns the moments of the opening.
///
/// # Errors
/// What isn't as it should be.
pub(crate) fn check(image: &Image, claims: &Claims, life: u64) -> Result<Vec<Moment>, String> {
    raw::check_indices(image)?;
    let machine = Machine::of(image, life);
    machine.power.watch();
    process::run(async {
        let engine = machine.open(Remote::Piecewise).await.map_err(|error| format!("it can't be opened: {error:?}"))?;
        engine.resumed().await.map_err(|error| format!("nothing is resumed: {error:?}"))?;
        let moments = machine.power.take_moments();
        claims.hold(&engine)?;
        all_usable(&machine, &engine).await?;
        // A shard that waits for its first acquire has been indexed by now, or is none.
        nothing_unclaimed(&machine, &engine, claims).await?;
        nothing_left(&machine, &engine).await?;
        engine.close().await.map_err(|error| format!("it can't be closed: {error:?}"))?;
        Ok(moments)
    })
}

/// Every shard gives its blocks, after a recovery at most, and its blocks are found over all shards.
pub(crate) async fn all_usable(machine: &Machine, engine: &Engine) -> Result<(), String> {
    for info in engine.shards() {
        use_up(engine, info.key.as_str()).await.map_err(|what| format!("{}: {what}", info.key))?;
    }
    settle().await;
    if let Some(error) = engine.degraded() {
        return Err(format!("the datastore is still said to refuse writes: {error:?}; {:?}", engine.shards()));
    }
    // Chunks and copies that are made without being asked for are there by now.
    let (used, (there, _)) = (engine.copies_used_bytes(), machine.copy_bytes());
    if used < there || used > QUOTA_BYTES {
        return Err(format!("copies take {there} bytes, and {used} are counted, of {QUOTA_BYTES}"));
    }
    Ok(())
}

async fn use_up(engine: &Engine, key: &str) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        let Ok(info) = engine.info(key) else { return Ok(()) };
        if let Some(error) = info.error.as_ref().filter(|error| error.kind() == ErrorKind::Internal) {
            return Err(format!("a fault of the program: {error:?}"));
        }
        match info.state {
            ShardState::Destroying => {
                return engine.destroy(key).await.map_err(|error| format!("its destruction doesn't end: {error:?}"));
            }
            ShardState::Errored => {
                if let Err(error) = engine.recover(key).await {
                    last = format!("recovered: {error:?}");
                    continue;
                }
            }
            _ => {}
        }
        match read(engine, key).await {
            Ok(()) => return found(engine, key).await,
            Err(Read::Wrong(what)) => return Err(what),
            Err(Read::Failed(error)) => last = format!("acquired: {error:?}"),
        }
    }
    Err(format!("it can't be used: {last}; {:?}", engine.info(key)))
}

/// Why a shard wasn't read.
#[derive(Debug)]
pub(crate) enum Read {
    Failed(Error),
    Wrong(String),
}

/// Acquires the shard and reads each of its blocks.
pub(crate) async fn read(engine: &Engine, key: &str) -> Result<(), Read> {
    let url = engine.info(key).map_err(Read::Failed)?.url;
    let car = Source::of_url(&url).ok_or_else(|| Read::Wrong(format!("its URL is {url}")))?.car();
    let shard = engine.acquire(key).await.map_err(Read::Failed)?;
    for (cid, data) in &car.blocks {
        let block = shard.blockstore().get(cid).await.map_err(Read::Failed)?;
        if block != *data {
            return Err(Read::Wrong(format!("{cid} has other bytes")));
        }
    }
    Ok(())
}

/// What is told of its blocks over all shards.
async fn found(engine: &Engine, key: &str) -> Result<(), String> {
    let info = engine.info(key).map_err(|error| error.to_string())?;
    if info.provisional {
        return Ok(());
    }
    let Some(source) = Source::of_url(&info.url) else { return Ok(()) };
    for (cid, _) in &source.car().blocks {
        let keys: Vec<_> =
            engine.locate(cid).try_collect().await.map_err(|error| format!("{cid} isn't looked up: {error:?}"))?;
        if keys.iter().map(ShardKey::as_str).ne([key]) {
            return Err(format!("{cid} is said to be in {keys:?}"));
        }
    }
    Ok(())
}

/// After a collection every file is one of a shard, and as many bytes are counted as there are.
async fn nothing_unclaimed(machine: &Machine, engine: &Engine, claims: &Claims) -> Result<(), String> {
    let report = engine.gc().await.map_err(|error| format!("nothing is collected: {error:?}"))?;
    if !report.kept.is_empty() && !claims.may_be_quarantined {
        return Err(format!("a collection leaves {:?}", report.kept));
    }
    settle().await;
    let image = machine.power.kept();
    if let Some(path) = raw::unclaimed(&image).filter(|_| engine.quarantined().is_empty()) {
        return Err(format!("{} belongs to nobody, of {:?}", path.display(), raw::records(&image)));
    }
    let (used, (_, right)) = (engine.copies_used_bytes(), machine.copy_bytes());
    if used != right {
        return Err(format!(
            "at rest {used} bytes of copies are counted in the place of {right}: {:?}",
            engine.copies()
        ));
    }
    Ok(())
}

/// Everything can be destroyed, and leaves nothing.
async fn nothing_left(machine: &Machine, engine: &Engine) -> Result<(), String> {
    for info in engine.shards() {
        let destroyed = engine.destroy(info.key.as_str()).await;
        destroyed.map_err(|error| format!("{} isn't destroyed: {error:?}", info.key))?;
    }
    for entry in engine.quarantined() {
        let dropped = engine.drop_quarantined(&entry.row).await;
        dropped.map_err(|error| format!("{entry:?} isn't dropped: {error:?}"))?;
    }
    let report = engine.gc().await.map_err(|error| format!("nothing is collected: {error:?}"))?;
    settle().await;
    if let Some(what) = raw::leftover(&machine.power.kept()) {
        return Err(format!("of nothing {what} is left; {report:?}"));
    }
    match engine.copies_used_bytes() {
        0 => Ok(()),
        used => Err(format!("nothing is there, and {used} bytes are counted")),
    }
}
