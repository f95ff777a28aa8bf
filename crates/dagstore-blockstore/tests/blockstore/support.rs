//! A store in memory, with a source behind a gate and others in their URLs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dagstore_car::CarWriter;
use dagstore_codec::Codecs;
use dagstore_engine::{Engine, Options, Parts};
use dagstore_fs::SystemClock;
use dagstore_index::conformance::KEY;
use dagstore_index::{InvertedIndex, MemoryIndexRepo};
use dagstore_mount::{BytesMount, Registry};
use dagstore_testkit::cars::{self, TestCar};
use dagstore_testkit::{FaultyDatastore, Gate, GatedMount, HangingMount};

/// The source behind the gate, which has the world's CAR.
pub(crate) const URL: &str = "gated:shard";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) struct World {
    pub(crate) car: TestCar,
    pub(crate) gate: Arc<Gate>,
    pub(crate) index_repo: Arc<MemoryIndexRepo>,
    pub(crate) inverted: FaultyDatastore,
    template: GatedMount,
}

impl World {
    pub(crate) fn new() -> Self {
        let car = cars::numbered(8, 60);
        let (template, gate) = GatedMount::template(car.bytes.clone());
        let (index_repo, inverted) = (Arc::new(MemoryIndexRepo::new()), FaultyDatastore::in_memory());
        Self { car, gate, index_repo, inverted, template }
    }

    pub(crate) async fn open(&self) -> Engine {
        self.open_with(|_| {}).await
    }

    pub(crate) async fn open_with(&self, change: impl FnOnce(&mut Options)) -> Engine {
        let mut registry = Registry::new();
        registry.register("gated", self.template.clone()).unwrap();
        registry.register("bytes", BytesMount::template()).unwrap();
        registry.register("hanging", HangingMount::default()).unwrap();
        let parts = Parts {
            datastore: Arc::new(FaultyDatastore::in_memory()),
            codecs: Codecs::default(),
            copies: None,
            registry,
            index_repo: self.index_repo.clone(),
            inverted: Some(InvertedIndex::new(Arc::new(self.inverted.clone()), KEY)),
            clock: Arc::new(SystemClock),
            hold: None,
        };
        let mut options = Options::default();
        change(&mut options);
        Engine::open(parts, options).await.unwrap()
    }
}

impl Drop for World {
    /// A reader at a shut gate would keep the runtime of a test that failed from ending.
    fn drop(&mut self) {
        self.gate.open();
    }
}

/// The CAR in a URL.
pub(crate) fn mount(car: &TestCar) -> BytesMount {
    BytesMount::new(car.bytes.clone()).unwrap()
}

/// The same CAR with other data, of the same size, in one of its blocks.
pub(crate) fn forged(car: &TestCar, place: usize) -> BytesMount {
    let mut writer = CarWriter::new(Vec::new(), &car.roots).unwrap();
    for (at, (cid, data)) in car.blocks.iter().enumerate() {
        let forged = vec![b'?'; data.len()];
        writer.write(cid, if at == place { &forged } else { data }).unwrap();
    }
    BytesMount::new(writer.finish().unwrap()).unwrap()
}

/// What `work` gives; fails the test after a while.
pub(crate) async fn answered<T>(what: &str, work: impl Future<Output = T>) -> T {
    let Ok(answer) = tokio::time::timeout(PATIENCE, work).await else { panic!("it never happened: {what}") };
    answer
}
