//! What there is on a machine before an operation.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, Durability};
use dagstore_engine::rows::{SHARDS, shard_row};
use dagstore_engine::{Engine, Error, Remote};
use dagstore_testkit::power::{Image, Place};
use dagstore_types::ShardState;
use tempfile::TempDir;

use crate::check::{self, Read};
use crate::claims::{Claim, Claims, FAR, HERE, SUBJECT};
use crate::content::Source;
use crate::machine::Machine;
use crate::operation::{Act, Given, Operation};
use crate::process::{self, settle};
use crate::raw;

/// The shard that was being destroyed when a process died.
const DESTROYED: &str = "y";

/// A store that is closed, or was killed.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) image: Image,
    pub(crate) claims: Claims,
    /// A user's own file with the bytes of the remote source. Local copies take such files from the real disk.
    pub(crate) own_file: PathBuf,
    _directory: TempDir,
    /// The row of the record that can't be read, as it was.
    good_row: Option<(Place, Bytes)>,
}

impl Scene {
    /// Makes the store that the operation begins with.
    ///
    /// # Errors
    /// Whatever goes wrong, though nothing should.
    pub(crate) fn of(operation: &Operation) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let own_file = directory.path().join("own.car");
        std::fs::write(&own_file, &Source::Remote.car().bytes).map_err(|error| error.to_string())?;
        let machine = Machine::of(&Image::default(), 0);
        let mut image = process::run(async { make(&machine, operation.given).await.map_err(|error| told(&error)) })?;
        let mut good_row = None;
        if matches!(operation.given, Given::Orphaned(_) | Given::Quarantined(_)) {
            let records = raw::records(&image);
            let record = records.iter().find(|record| record.key.as_str() == SUBJECT).ok_or("there is no record")?;
            let place = (SHARDS, shard_row(record.registration).to_vec());
            good_row = image.rows.remove(&place).map(|row| (place.clone(), row));
            if matches!(operation.given, Given::Quarantined(_)) {
                image.rows.insert(place, Bytes::from_static(b"?"));
            }
        }
        if matches!(operation.given, Given::Damaged(_)) {
            damage(&mut image).ok_or("nothing was fetched that could be damaged")?;
        }
        Ok(Self { image, claims: claims(operation.given), own_file, _directory: directory, good_row })
    }

    /// What has to be so in the store that is open already.
    pub(crate) async fn set(&self, act: Act, machine: &Machine, claims: &mut Claims) -> Result<(), String> {
        if let (Act::RetryQuarantined, Some(((namespace, key), row))) = (act, &self.good_row) {
            let mut batch = Batch::new();
            batch.put(*namespace, key, row);
            let written = machine.power.datastore().write(batch, Durability::Synced).await;
            written.map_err(|error| error.to_string())?;
            *claims.subject() = Claim { exists: Some(true), is_available: true, ..Claim::default() };
        }
        Ok(())
    }
}

fn told(undone: &Read) -> String {
    format!("the scene can't be made: {undone:?}")
}

async fn make(machine: &Machine, given: Given) -> Result<Image, Read> {
    let engine = machine.open(Remote::Piecewise).await.map_err(Read::Failed)?;
    engine.register(HERE, Source::Here.url()).await.map_err(Read::Failed)?;
    engine.register(FAR, Source::Far.url()).await.map_err(Read::Failed)?;
    engine.pin(FAR).await.map_err(Read::Failed)?;
    if let Given::Interrupted(source) | Given::Damaged(source) = given {
        return interrupt(machine, engine, source).await.map_err(Read::Failed);
    }
    arrange(machine, &engine, given).await?;
    settle().await;
    engine.close().await.map_err(Read::Failed)?;
    Ok(machine.power.kept())
}

async fn arrange(machine: &Machine, engine: &Engine, given: Given) -> Result<(), Read> {
    match given {
        Given::Nothing | Given::Interrupted(_) | Given::Damaged(_) => {}
        Given::Available(source) | Given::Orphaned(source) | Given::Quarantined(source) => {
            engine.register(SUBJECT, source.url()).await.map_err(Read::Failed)?;
        }
        Given::Lazy(source) => engine.register(SUBJECT, source.url()).lazy().await.map_err(Read::Failed)?,
        Given::Errored(source) => {
            machine.break_source(source, true);
            let registered = engine.register(SUBJECT, source.url()).await;
            machine.break_source(source, false);
            let info = engine.info(SUBJECT).map_err(Read::Failed)?;
            if registered.is_ok() || info.state != ShardState::Errored {
                return Err(Read::Wrong(format!("it didn't fail: {info:?}")));
            }
        }
        Given::Evicted(source) => {
            engine.register(SUBJECT, source.url()).await.map_err(Read::Failed)?;
            evict(engine).await.map_err(Read::Failed)?;
        }
        Given::Pinned(source) => {
            engine.register(SUBJECT, source.url()).await.map_err(Read::Failed)?;
            engine.pin(SUBJECT).await.map_err(Read::Failed)?;
        }
        Given::Chunks(source) => {
            engine.register(SUBJECT, source.url()).await.map_err(Read::Failed)?;
            evict(engine).await.map_err(Read::Failed)?;
            let shard = engine.acquire(SUBJECT).await.map_err(Read::Failed)?;
            if let Some((cid, _)) = source.car().blocks.first() {
                shard.blockstore().get(cid).await.map_err(Read::Failed)?;
            }
        }
        Given::Provisional(source) => {
            engine.register(SUBJECT, source.url()).lazy().await.map_err(Read::Failed)?;
            check::read(engine, SUBJECT).await?;
            if !engine.info(SUBJECT).is_ok_and(|info| info.provisional) {
                return Err(Read::Wrong("it has an index of its own".to_owned()));
            }
        }
    }
    Ok(())
}

async fn evict(engine: &Engine) -> Result<(), Error> {
    // What is kept open for the next acquire has the copy open, too.
    settle().await;
    engine.evict(SUBJECT, true).await.map(drop)
}

/// A process dies in the middle of a fetch, just after it has accepted a destruction.
async fn interrupt(machine: &Machine, engine: Engine, source: Source) -> Result<Image, Error> {
    engine.register(DESTROYED, Source::Near.url()).await?;
    machine.hang_source(source, true);
    engine.register(SUBJECT, source.url()).detached().await?;
    settle().await;
    machine.power.watch();
    engine.destroy(DESTROYED).await?;
    let is_accepted = |image: &Image| {
        let records = raw::records(image);
        records.iter().any(|record| record.key.as_str() == DESTROYED && record.state == ShardState::Destroying)
    };
    let mut images = machine.power.take_moments().into_iter().flat_map(|moment| moment.images());
    let image = images.find(is_accepted);
    machine.hang_source(source, false);
    image.ok_or(Error::Closed)
}

/// Makes a byte of a partial copy another one, where it is durable already.
fn damage(image: &mut Image) -> Option<()> {
    let is_partial = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "part");
    let (_, bytes) = image.files.iter_mut().find(|(path, _)| is_partial(path))?;
    let byte = Arc::make_mut(bytes).get_mut(1_000)?;
    *byte = !*byte;
    Some(())
}

fn claims(given: Given) -> Claims {
    let mut claims = Claims::default();
    let there = Claim { exists: Some(true), is_available: true, ..Claim::default() };
    *claims.of(HERE) = there;
    *claims.of(FAR) = Claim { is_pinned: Some(true), ..there };
    *claims.subject() = match given {
        Given::Nothing | Given::Orphaned(_) => Claim { exists: Some(false), ..Claim::default() },
        Given::Quarantined(_) => Claim::default(),
        Given::Lazy(_) | Given::Errored(_) | Given::Interrupted(_) | Given::Damaged(_) => {
            Claim { is_available: false, ..there }
        }
        Given::Available(_) | Given::Evicted(_) | Given::Chunks(_) => Claim { is_pinned: Some(false), ..there },
        Given::Pinned(_) => Claim { is_pinned: Some(true), ..there },
        Given::Provisional(_) => there,
    };
    claims.may_be_quarantined = matches!(given, Given::Quarantined(_));
    if matches!(given, Given::Interrupted(_) | Given::Damaged(_)) {
        *claims.of(DESTROYED) = Claim { exists: Some(false), ..Claim::default() };
    }
    claims
}
