//! Does the operations, and knows what follows from them.

use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{CarReader, GoIndex, GoIndexBuilder, IndexCodec, Limits, ReadOptions};
use dagstore_engine::{Engine, Error, GcOptions, Verify};
use dagstore_types::ShardKey;
use futures_util::TryStreamExt;

use crate::check::{self, Read};
use crate::claims::{Claim, Claims, SUBJECT};
use crate::content::Source;
use crate::machine::Machine;
use crate::operation::{Act, Operation};
use crate::scene::Scene;

/// Does it. An operation that opens the store leaves it in `engine`.
pub(crate) async fn perform(
    operation: &Operation,
    machine: &Machine,
    scene: &Scene,
    engine: &mut Option<Engine>,
) -> Result<(), Read> {
    match operation.act {
        Act::Open => {
            let opened = machine.open(operation.remote).await.map_err(Read::Failed)?;
            let resumed = opened.resumed().await;
            *engine = Some(opened);
            resumed.map(drop).map_err(Read::Failed)
        }
        Act::OpenTraced => {
            let (opened, trace) = machine.open_traced(operation.remote).await.map_err(Read::Failed)?;
            drop(trace);
            let resumed = opened.resumed().await;
            *engine = Some(opened);
            resumed.map(drop).map_err(Read::Failed)
        }
        act => match engine {
            Some(engine) => perform_on(act, engine, scene).await,
            None => Err(Read::Wrong("the store isn't open".to_owned())),
        },
    }
}

async fn perform_on(act: Act, engine: &Engine, scene: &Scene) -> Result<(), Read> {
    match act {
        Act::Acquire => check::read(engine, SUBJECT).await,
        Act::Get => get(engine).await,
        Act::Locate => locate(engine).await,
        Act::Look => look(engine),
        Act::Verify => verify(engine).await,
        act => change(act, engine, scene).await.map_err(Read::Failed),
    }
}

async fn change(act: Act, engine: &Engine, scene: &Scene) -> Result<(), Error> {
    match act {
        Act::Register(source) => engine.register(SUBJECT, source.url()).await,
        Act::RegisterMount(source) => {
            let url = dagstore_mount::MountUrl::parse(source.url())?;
            let mount = engine.registry().instantiate(&url)?;
            engine.register_mount(SUBJECT, &*mount).await
        }
        Act::RegisterLazy(source) => engine.register(SUBJECT, source.url()).lazy().await,
        Act::RegisterDetached(source) => engine.register(SUBJECT, source.url()).detached().await,
        Act::AcquireLocal => engine.acquire_local(SUBJECT).await.map(drop),
        Act::Recover => engine.recover(SUBJECT).await,
        Act::Rebuild => engine.rebuild_index(SUBJECT).await,
        Act::Destroy => engine.destroy(SUBJECT).await,
        Act::Gc => engine.gc().await.map(drop),
        Act::GcIdle | Act::GcDry => {
            let mut options = GcOptions::default();
            (options.idle_copies, options.dry_run) = (act == Act::GcIdle, act == Act::GcDry);
            engine.gc_with(options).await.map(drop)
        }
        Act::Pin => engine.pin(SUBJECT).await,
        Act::Unpin => engine.unpin(SUBJECT).await,
        Act::Evict => engine.evict(SUBJECT, true).await.map(drop),
        Act::Adopt => engine.adopt(SUBJECT, &scene.own_file).await,
        Act::ImportIndex => import(engine).await,
        Act::ExportIndex => {
            let shard = engine.acquire(SUBJECT).await?;
            engine.go_index(&shard, IndexCodec::MultihashSorted, false).await.map(drop)
        }
        Act::RetryQuarantined | Act::DropQuarantined => {
            let Some(entry) = engine.quarantined().into_iter().next() else { return Ok(()) };
            if act == Act::RetryQuarantined {
                return engine.retry_quarantined(&entry.row).await;
            }
            engine.drop_quarantined(&entry.row).await
        }
        Act::Close => engine.close().await,
        Act::Acquire | Act::Get | Act::Locate | Act::Look | Act::Verify | Act::Open | Act::OpenTraced => Ok(()),
    }
}

fn source(engine: &Engine) -> Result<Source, Read> {
    let info = engine.info(SUBJECT).map_err(Read::Failed)?;
    Source::of_url(&info.url).ok_or_else(|| Read::Wrong(info.url.clone()))
}

async fn get(engine: &Engine) -> Result<(), Read> {
    for (cid, data) in &source(engine)?.car().blocks {
        let block = engine.get(SUBJECT, cid).await.map_err(Read::Failed)?;
        if block != *data {
            return Err(Read::Wrong(format!("{cid} has other bytes")));
        }
    }
    Ok(())
}

async fn locate(engine: &Engine) -> Result<(), Read> {
    for (cid, _) in &source(engine)?.car().blocks {
        let keys: Vec<_> = engine.locate(cid).try_collect().await.map_err(Read::Failed)?;
        if keys.iter().map(ShardKey::as_str).ne([SUBJECT]) {
            return Err(Read::Wrong(format!("{cid} is said to be in {keys:?}")));
        }
        let unavailable = engine.locate_unavailable(cid, 10).await.map_err(Read::Failed)?;
        if !unavailable.is_empty() {
            return Err(Read::Wrong(format!("{cid} is said to be in {unavailable:?} as well")));
        }
    }
    Ok(())
}

fn look(engine: &Engine) -> Result<(), Read> {
    let info = engine.info(SUBJECT).map_err(Read::Failed)?;
    if engine.is_open(&info.key) {
        return Err(Read::Wrong("it is open, and nobody has acquired it".to_owned()));
    }
    let (shards, counted) = (engine.shards().len(), engine.counts().values().sum::<usize>());
    let (copies, used) = (engine.copies().len(), engine.copies_used_bytes());
    drop((engine.trace(), engine.failures()));
    if shards != 3 || counted != shards || copies != 2 || used == 0 || engine.degraded().is_some() {
        let seen = format!("{shards} shards, {counted} counted, {copies} copies of {used} bytes");
        return Err(Read::Wrong(format!("{seen}, {:?}, {:?}", engine.degraded(), engine.quarantined())));
    }
    Ok(())
}

async fn verify(engine: &Engine) -> Result<(), Read> {
    let shard = engine.acquire(SUBJECT).await.map_err(Read::Failed)?;
    // What is found wrong may be that it can't be read.
    engine.verify(&shard, Verify::Data).try_for_each(|_| async { Ok(()) }).await.map_err(Read::Failed)
}

async fn import(engine: &Engine) -> Result<(), Error> {
    let car = Source::Remote.car();
    let reader = CarReader::open(Arc::new(Bytes::from(car.bytes.clone())), ReadOptions::default())?;
    let mut builder = GoIndexBuilder::new(IndexCodec::MultihashSorted);
    for section in reader.sections() {
        let section = section?;
        builder.add(section.cid.multihash(), section.offset);
    }
    let mut bytes = Vec::new();
    // A Vec takes everything.
    let _written = builder.write(&mut bytes);
    let index = GoIndex::open(Arc::new(Bytes::from(bytes)), &Limits::default())?;
    engine.import_index(SUBJECT, index, 10).await.map(drop)
}

/// What isn't known any more as soon as it begins. With faults, more of it is not.
pub(crate) fn threaten(act: Act, claims: &mut Claims, has_faults: bool) {
    let claim = claims.subject();
    match act {
        Act::Register(_) | Act::RegisterMount(_) | Act::RegisterLazy(_) | Act::RegisterDetached(_) => {
            claim.exists = None;
        }
        Act::Recover | Act::Rebuild | Act::ImportIndex => claim.is_available = false,
        Act::Destroy => *claim = Claim::default(),
        Act::Pin | Act::Unpin => {
            claim.is_pinned = None;
            claim.is_available &= act == Act::Unpin;
        }
        Act::DropQuarantined => claim.exists = None,
        _ => {}
    }
    // An index that can't be read is given up, and built anew.
    claim.is_available &= !has_faults;
}

/// What is so when it has succeeded.
pub(crate) fn promise(act: Act, claims: &mut Claims) {
    if act == Act::DropQuarantined || act == Act::RetryQuarantined {
        claims.may_be_quarantined = false;
    }
    let claim = claims.subject();
    match act {
        Act::Register(_) | Act::RegisterMount(_) => (claim.exists, claim.is_available) = (Some(true), true),
        Act::RegisterLazy(_) | Act::RegisterDetached(_) => claim.exists = Some(true),
        Act::Acquire | Act::AcquireLocal | Act::Recover | Act::Rebuild | Act::ImportIndex => claim.is_available = true,
        Act::Destroy | Act::DropQuarantined => *claim = Claim { exists: Some(false), ..Claim::default() },
        Act::Pin => (claim.is_pinned, claim.is_available) = (Some(true), true),
        Act::Unpin => claim.is_pinned = Some(false),
        Act::Adopt => claim.is_adopted = true,
        _ => {}
    }
}
