//! A machine with a store on it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dagstore_codec::Codecs;
use dagstore_datastore::Datastore;
use dagstore_engine::{Engine, Error, LocalCopies, Options, Parts, Remote, Trace, Watched};
use dagstore_fs::{Clock, FileSystem};
use dagstore_index::{FingerprintKey, FsIndexRepo, InvertedIndex};
use dagstore_mount::Registry;
use dagstore_testkit::power::{Image, Power};
use dagstore_testkit::{FailingDatastore, Faults, FaultyFileSystem, Gate, GatedMount, Wire, WireMount, Wired};
use dagstore_types::UnixMillis;
use futures_util::Stream;
use tokio::time::Instant;

use crate::content::Source;

pub(crate) const KEY: FingerprintKey = FingerprintKey(*b"0123456789abcdef");
pub(crate) const COPIES: &str = "copies";
pub(crate) const INDICES: &str = "indices";

/// The most bytes of local copies: enough for all there are here, and not for one of them twice.
pub(crate) const QUOTA_BYTES: u64 = 16_000;

/// Disk, datastore and sources. A store can be opened on it from within a [process](crate::process).
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) power: Power,
    pub(crate) faults: Faults,
    wire: Arc<Wire>,
    far: WireMount,
    here: GatedMount,
    near: GatedMount,
    near_gate: Arc<Gate>,
    life: u64,
}

impl Machine {
    /// A machine with this on it. Its time begins with its number, so that the next machine's is later.
    pub(crate) fn of(image: &Image, life: u64) -> Self {
        let (far, wire) = WireMount::template();
        for source in [Source::Far, Source::Remote, Source::Inline] {
            wire.put(source.location(), Wired::new(source.car().bytes.clone(), 1));
        }
        let (here, _) = GatedMount::template(Source::Here.car().bytes.clone());
        let (near, near_gate) = GatedMount::template(Source::Near.car().bytes.clone());
        Self { power: Power::of(image), faults: Faults::default(), wire, far, here, near, near_gate, life }
    }

    /// Lets the source fail, or no longer.
    pub(crate) fn break_source(&self, source: Source, is_broken: bool) {
        self.near_gate.set_broken(is_broken && source == Source::Near);
        self.wire.change(source.location(), |wired| wired.breaks_at = is_broken.then_some(1500));
    }

    /// Lets the source stop in the middle of what it gives, or go on.
    pub(crate) fn hang_source(&self, source: Source, hangs: bool) {
        self.wire.change(source.location(), |wired| wired.hangs_at = hangs.then_some(2500));
    }

    fn registry(&self) -> Result<Registry, Error> {
        let mut registry = Registry::new();
        registry.register("here", self.here.clone())?;
        registry.register("near", self.near.clone())?;
        registry.register("wire", self.far.clone())?;
        Ok(registry)
    }

    /// Opens the store.
    pub(crate) async fn open(&self, remote: Remote) -> Result<Engine, Error> {
        let (parts, options) = self.parts(remote)?;
        Engine::open(parts, options).await
    }

    /// Opens the store with a trace of it.
    pub(crate) async fn open_traced(
        &self,
        remote: Remote,
    ) -> Result<(Engine, impl Stream<Item = Watched<Trace>> + Send + Unpin + use<>), Error> {
        let (parts, options) = self.parts(remote)?;
        Engine::open_traced(parts, options).await
    }

    fn parts(&self, remote: Remote) -> Result<(Parts, Options), Error> {
        let file_system: Arc<dyn FileSystem> = Arc::new(FaultyFileSystem::over(self.power.disk(), self.faults.clone()));
        let clock = Arc::new(VirtualClock { begun: Instant::now(), life: self.life });
        let datastore: Arc<dyn Datastore> =
            Arc::new(FailingDatastore::new(Arc::new(self.power.datastore()), self.faults.clone()));
        let mut copying = dagstore_transient::Options::default();
        copying.quota_bytes = Some(QUOTA_BYTES);
        copying.keep_free_bytes = 0;
        copying.checkpoint_bytes = 2000;
        copying.chunk_bytes = 1000;
        copying.remote_chunk_bytes = 1000;
        copying.read_ahead_bytes = 0;
        copying.room_deadline = Duration::from_mins(1);
        copying.clock = clock.clone();
        let parts = Parts {
            inverted: Some(InvertedIndex::new(datastore.clone(), KEY)),
            datastore,
            codecs: Codecs::default(),
            registry: self.registry()?,
            index_repo: Arc::new(FsIndexRepo::open(file_system.clone(), Path::new(INDICES), KEY)?),
            copies: Some(LocalCopies { file_system, directory: COPIES.into(), options: copying }),
            clock,
            hold: None,
        };
        let mut options = Options::default();
        options.remote = remote;
        Ok((parts, options))
    }

    /// How many bytes the files in the folder of copies have, and how many are to be counted at rest: every sidecar twice, because
    /// the next one is written beside it.
    pub(crate) fn copy_bytes(&self) -> (u64, u64) {
        let files = self.power.kept().files;
        let copies = files.iter().filter(|(path, _)| path.parent() == Some(Path::new(COPIES)));
        let (mut there, mut twice) = (0, 0);
        for (path, bytes) in copies {
            there += bytes.len() as u64;
            twice += if path.extension().is_some_and(|extension| extension == "meta") { bytes.len() as u64 } else { 0 };
        }
        (there, there + twice)
    }
}

/// A clock that goes with the runtime's.
#[derive(Debug)]
struct VirtualClock {
    begun: Instant,
    life: u64,
}

impl Clock for VirtualClock {
    fn now(&self) -> UnixMillis {
        const SOME_DAY: u64 = 1_700_000_000_000;
        const LIFE: u64 = 24 * 3_600_000;
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        UnixMillis(SOME_DAY + self.life * LIFE + since)
    }
}
