//! What the tests of the engine and those of `faults` share: a store whose disk is in memory and whose source is behind a
//! gate.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use dagstore_backends::Disk;
use dagstore_codec::{Codec, Codecs, encode_row};
use dagstore_datastore::{Datastore, DatastoreExt, Namespace, RowPage};
use dagstore_engine::{Engine, Error, LocalCopies, Mode, Options, Parts, ShardAccessor};
use dagstore_fs::{Clock, RealFileSystem, SystemClock};
use dagstore_index::conformance::KEY;
use dagstore_index::{IndexRepo, InvertedIndex, MemoryIndexRepo};
use dagstore_mount::{BytesMount, Registry};
use dagstore_testkit::cars::{self, TestCar};
use dagstore_testkit::{
    FaultyDatastore, Gate, GatedMount, HangingMount, HeldDatastore, Remote, RemoteMount, Wire, WireMount,
};
use dagstore_types::{ErrorKind, ShardRecord, ShardState, UnixMillis};
use futures_util::{FutureExt, TryStreamExt};
use tempfile::TempDir;

#[path = "backends.rs"]
mod backends;

pub(crate) const URL: &str = "gated:shard";

/// Where the engine keeps its records.
pub(crate) const SHARDS: Namespace = Namespace::new("shards");

/// Makes the index file one of a newer program: its version and the checksum of its head are others.
pub(crate) fn make_newer(index: &Path) {
    let checksum = |bytes: &[u8]| {
        let shifted = |sum: u32, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        !bytes.iter().fold(u32::MAX, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), shifted))
    };
    let mut bytes = std::fs::read(index).unwrap();
    bytes[8] = 0x7f;
    let sum = checksum(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_be_bytes());
    // A new file, because a mapped one is never changed.
    std::fs::remove_file(index).unwrap();
    std::fs::write(index, bytes).unwrap();
}

/// How long a test waits for what must come, because a test that hangs tells less than one that fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// What outlives a process: the disk and the source.
pub(crate) struct World {
    /// The database of the records, and the one of the inverted index's rows.
    disks: [Disk; 2],
    pub(crate) datastore: FaultyDatastore,
    pub(crate) index_repo: Arc<MemoryIndexRepo>,
    /// Apart from the records, so that tests can count and disturb the one or the other.
    pub(crate) inverted: FaultyDatastore,
    pub(crate) template: GatedMount,
    pub(crate) gate: Arc<Gate>,
    pub(crate) remote: Arc<Remote>,
    remote_template: RemoteMount,
    pub(crate) wire: Arc<Wire>,
    wire_template: WireMount,
    /// Where local copies are, for a store that makes some.
    pub(crate) copies: Option<TempDir>,
    pub(crate) quota_bytes: Option<u64>,
    /// After how long a source that gives nothing counts as gone.
    pub(crate) idle_timeout: Duration,
    /// How long a copy waits for room.
    pub(crate) room_deadline: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) car: TestCar,
    pub(crate) codec: Option<Arc<dyn Codec>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let car = cars::numbered(20, 100);
        let (template, gate) = GatedMount::template(car.bytes.clone());
        let index_repo = Arc::new(MemoryIndexRepo::new());
        let (remote_template, remote) = RemoteMount::template(car.bytes.clone());
        let (wire_template, wire) = WireMount::template();
        let disks = [backends::disk(), backends::disk()];
        Self {
            datastore: FaultyDatastore::new(disks[0].datastore()),
            index_repo,
            inverted: FaultyDatastore::new(disks[1].datastore()),
            disks,
            template,
            gate,
            remote,
            remote_template,
            wire,
            wire_template,
            copies: None,
            quota_bytes: None,
            idle_timeout: PATIENCE,
            room_deadline: PATIENCE,
            clock: Arc::new(SystemClock),
            car,
            codec: backends::codec(),
        }
    }

    /// A world whose clock goes with the runtime's, which a test may have paused.
    pub(crate) fn with_virtual_time() -> Self {
        let begun = tokio::time::Instant::now();
        let mut world = Self::new();
        world.clock = Arc::new(VirtualClock(begun));
        world
    }

    pub(crate) fn with_codec(codec: Arc<dyn Codec>) -> Self {
        let mut world = Self::new();
        world.codec = Some(codec);
        world
    }

    /// A world whose store makes local copies, within a quota maybe.
    pub(crate) fn with_copies(quota_bytes: Option<u64>) -> Self {
        let mut world = Self::new();
        world.copies = Some(tempfile::tempdir().unwrap());
        world.quota_bytes = quota_bytes;
        world
    }

    fn local_copies(&self) -> Option<LocalCopies> {
        let mut options = dagstore_transient::Options::default();
        options.quota_bytes = self.quota_bytes;
        options.keep_free_bytes = 0;
        options.idle_timeout = self.idle_timeout;
        options.room_deadline = self.room_deadline;
        options.checkpoint_bytes = 64 << 10;
        options.chunk_bytes = 32 << 10;
        let directory = self.copies.as_ref()?.path().to_owned();
        Some(LocalCopies { file_system: Arc::new(RealFileSystem), directory, options })
    }

    /// The names of the files in the folder of the copies, with their sizes.
    pub(crate) fn copy_files(&self) -> Vec<(String, u64)> {
        let entries = std::fs::read_dir(self.copies.as_ref().unwrap()).unwrap().map(Result::unwrap);
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len())).collect();
        files.sort();
        files
    }

    pub(crate) fn registry(&self) -> Registry {
        let mut registry = Registry::new();
        registry.register("gated", self.template.clone()).unwrap();
        registry.register("bytes", BytesMount::template()).unwrap();
        registry.register("hanging", HangingMount::default()).unwrap();
        registry.register("remote", self.remote_template.clone()).unwrap();
        registry.register("wire", self.wire_template.clone()).unwrap();
        registry
    }

    pub(crate) fn parts(&self) -> Parts {
        let codecs = self.codec.clone().map_or_else(Codecs::default, Codecs::new);
        Parts {
            datastore: Arc::new(self.datastore.clone()),
            codecs,
            copies: self.local_copies(),
            registry: self.registry(),
            index_repo: self.index_repo.clone(),
            inverted: Some(InvertedIndex::new(Arc::new(self.inverted.clone()), KEY)),
            clock: self.clock.clone(),
            hold: None,
        }
    }

    pub(crate) async fn open(&self) -> Engine {
        self.open_with(|_| {}).await.unwrap()
    }

    pub(crate) async fn open_with(&self, change: impl FnOnce(&mut Options)) -> Result<Engine, Error> {
        let mut options = Options::default();
        change(&mut options);
        Engine::open(self.parts(), options).await
    }

    pub(crate) async fn open_paused(&self) -> Engine {
        self.open_with(|options| options.mode = Mode::Paused).await.unwrap()
    }

    /// A store whose writes can be held. Opening writes nothing any more.
    pub(crate) async fn open_held(&self) -> (Engine, HeldDatastore) {
        self.open_held_with(|_| {}).await
    }

    pub(crate) async fn open_held_with(&self, change: impl FnOnce(&mut Options)) -> (Engine, HeldDatastore) {
        let held = HeldDatastore::new(Arc::new(self.datastore.clone()));
        let parts = Parts { datastore: Arc::new(held.clone()), ..self.parts() };
        let mut options = Options::default();
        change(&mut options);
        let engine = Engine::open(parts, options).await.unwrap();
        engine.resumed().await.unwrap();
        (engine, held)
    }

    /// Ends the process without warning: nothing is closed, and the [disks](Disk::crash) are opened again. Returns when
    /// nothing of it runs any more.
    pub(crate) async fn crash(&self, engine: Engine) {
        drop(engine);
        // A reader at a shut gate would outlive the "process".
        self.gate.open();
        until("everything of the process has ended", || self.datastore.handles() == 1).await;
        self.disks.iter().for_each(Disk::crash);
    }

    /// Writes a record as an earlier process may have left it. The store must have been opened once.
    pub(crate) async fn put_record(&self, record: &ShardRecord) {
        let row = encode_row(Codecs::default().writer(), record).unwrap();
        self.datastore.put(SHARDS, &record.registration.0.to_be_bytes(), &row).await.unwrap();
    }

    /// The database of the records, for a test that wraps it in something else.
    pub(crate) fn disk(&self) -> Arc<dyn Datastore> {
        self.disks[0].datastore()
    }

    /// How many rows the inverted index has.
    pub(crate) async fn inverted_rows(&self) -> usize {
        let pages: Vec<_> = self.inverted.scan(InvertedIndex::ROWS, &[]).try_collect().await.unwrap();
        pages.iter().map(RowPage::len).sum()
    }

    pub(crate) fn indices(&self) -> usize {
        self.index_repo.list().unwrap().len()
    }
}

/// A clock that goes with the runtime's.
#[derive(Debug)]
struct VirtualClock(tokio::time::Instant);

impl Clock for VirtualClock {
    fn now(&self) -> UnixMillis {
        // Some day in 2023.
        UnixMillis(1_700_000_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

impl Drop for World {
    /// A reader at a shut gate would keep the runtime of a test that failed from ending, and the failure from being told.
    fn drop(&mut self) {
        self.gate.open();
    }
}

/// Waits on a blocking thread until a reader stands at the shut gate.
pub(crate) async fn reader_at(gate: &Arc<Gate>) {
    let gate = gate.clone();
    let came = tokio::task::spawn_blocking(move || gate.wait_for_reader(PATIENCE)).await.unwrap();
    assert!(came, "it never happened: a reader comes to the gate");
}

/// Every block of the car, read through the store.
pub(crate) async fn read_all(engine: &Engine, key: &str, car: &TestCar) {
    let shard = engine.acquire(key).await.unwrap();
    for (cid, data) in &car.blocks {
        assert_eq!(shard.blockstore().get(cid).await.unwrap(), *data);
        assert!(shard.blockstore().has(cid).await.unwrap());
        assert_eq!(shard.blockstore().size(cid).await.unwrap(), data.len() as u64);
    }
}

/// Waits until `done`; fails the test after a while.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let polling = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    answered(what, polling).await;
}

/// What `work` gives; fails the test after a while.
pub(crate) async fn answered<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(answer) = tokio::time::timeout(PATIENCE, work).await else { panic!("it never happened: {what}") };
    answer
}

/// Lets everything run that can, without waiting for anything.
pub(crate) async fn let_others_run() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A shard "a" that is Errored while an accessor of it is open: two acquire it at once, the first one's open panics, the
/// second one's doesn't. Only on a runtime of one thread.
pub(crate) async fn accessor_of_a_failed_shard(world: &World, engine: &Engine) -> ShardAccessor {
    engine.register("a", URL).await.unwrap();
    world.gate.set_panicking(true);
    world.gate.shut();
    let mut first = Box::pin(engine.acquire("a"));
    let mut second = Box::pin(engine.acquire("a"));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    reader_at(&world.gate).await;
    world.gate.open();
    let failed = answered("the acquire", first).await;
    assert!(matches!(&failed, Err(Error::Failed { source, .. }) if source.kind() == ErrorKind::Internal), "{failed:?}");
    world.gate.set_panicking(false);
    let accessor = answered("the other acquire", second).await.unwrap();
    let info = engine.info("a").unwrap();
    assert_eq!((info.state, info.references), (ShardState::Errored, 1));
    accessor
}

/// Runs `work` on a thread and a runtime of its own, and fails the test when it doesn't end: also where a whole thread hangs.
pub(crate) fn answered_by_a_thread<W: Future<Output = ()>>(what: &str, work: impl FnOnce() -> W + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let running = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(work());
        sender.send(()).unwrap();
    });
    match receiver.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it never happened: {what}"),
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => running.join().unwrap(),
    }
}
