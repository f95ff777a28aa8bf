//! Reading blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dagstore_car::{CarWriter, Error as CarError, RawCid};
use dagstore_datastore::{Datastore, RowPage};
use dagstore_engine::{Engine, Error, Options, Parts, Problem, Verify};
use dagstore_fs::OwnName;
use dagstore_index::{FullIndex, IndexBuilder, IndexMeta, IndexRepo, InvertedIndex, MemoryIndexRepo, Result};
use dagstore_mount::BytesMount;
use dagstore_types::ErrorKind;
use futures_util::TryStreamExt;

use super::support::*;

/// The codec of blocks that are just bytes, and the hash functions that the tests name.
const RAW: u8 = 0x55;
const IDENTITY: u8 = 0x00;
const SHA2_256: u8 = 0x12;
const SHA3_256: u8 = 0x16;

fn cid_of(hash: u8, digest: &[u8]) -> RawCid {
    let length = u8::try_from(digest.len()).unwrap();
    RawCid::from_bytes(&[&[1, RAW, hash, length], digest].concat()).unwrap()
}

fn car_of(blocks: &[(RawCid, Vec<u8>)]) -> BytesMount {
    let mut writer = CarWriter::new(Vec::new(), &[]).unwrap();
    for (cid, data) in blocks {
        writer.write(cid, data).unwrap();
    }
    BytesMount::new(writer.finish().unwrap()).unwrap()
}

async fn located(engine: &Engine, cid: &RawCid) -> Vec<String> {
    engine.locate(cid).map_ok(|key| key.as_str().to_owned()).try_collect().await.unwrap()
}

#[tokio::test]
async fn fault_33_an_identity_cid_has_no_row_to_reach_another_one_with() {
    let world = World::new();
    let engine = world.open().await;
    let victim = RawCid::of_data(RAW.into(), b"victim");
    engine.register_mount("victim", &car_of(&[(victim.clone(), b"victim".to_vec())])).await.unwrap();
    // The digest of the victim, its multihash, and its row as the way to it from the row of somebody else.
    let multihash = victim.multihash();
    let up_and_over = [&b"/../"[..], multihash.bytes()].concat();
    let crafted: Vec<_> = [multihash.digest(), multihash.bytes(), &up_and_over].map(<[u8]>::to_vec).into();
    let crafted: Vec<_> = crafted.into_iter().map(|digest| (cid_of(IDENTITY, &digest), digest)).collect();
    engine.register_mount("crafted", &car_of(&crafted)).await.unwrap();
    let shard = engine.acquire("crafted").await.unwrap();
    for (cid, digest) in &crafted {
        assert_eq!(shard.blockstore().get(cid).await.unwrap(), digest);
        assert_eq!(located(&engine, cid).await, [""; 0]);
    }
    assert_eq!(located(&engine, &victim).await, ["victim"]);
    let pages: Vec<RowPage> = world.inverted.scan(InvertedIndex::ROWS, &[]).try_collect().await.unwrap();
    let rows: usize = pages.iter().map(RowPage::len).sum();
    assert_eq!((rows, shard.blockstore().entries()), (1, 0), "a crafted CID has a row");
}

#[tokio::test]
async fn fault_33_an_equal_digest_of_another_hash_is_another_row() {
    let world = World::new();
    let engine = world.open().await;
    let victim = RawCid::of_data(RAW.into(), b"victim");
    engine.register_mount("victim", &car_of(&[(victim.clone(), b"victim".to_vec())])).await.unwrap();
    let crafted = cid_of(SHA3_256, victim.multihash().digest());
    assert_eq!(located(&engine, &crafted).await, [""; 0], "another block's row was reached");
    assert_eq!(located(&engine, &victim).await, ["victim"]);
}

#[tokio::test]
async fn fault_34_data_that_does_not_match_its_cid_is_not_indexed_where_a_check_is_asked_for() {
    let world = World::new();
    let engine = world.open_with(|options| options.verify_on_index = true).await.unwrap();
    let forged = car_of(&[(RawCid::of_data(RAW.into(), b"true"), b"forged".to_vec())]);
    let registered = engine.register_mount("forged", &forged).await;
    assert!(
        matches!(&registered, Err(Error::Failed { source, .. }) if source.kind() == ErrorKind::Integrity),
        "forged data was indexed: {registered:?}"
    );
}

#[tokio::test]
async fn fault_39_what_is_read_is_not_closed_for_others() {
    let world = World::new();
    let engine = world.open_with(|options| options.keep_open = 0).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let reader = engine.acquire("a").await.unwrap();
    let opens = world.gate.opens();
    // Others come and go, and none of them leaves anything open for the next.
    for _ in 0..3 {
        drop(engine.acquire("a").await.unwrap());
    }
    assert_eq!(world.gate.opens(), opens, "the end of one reader closed what another one reads");
    for (cid, data) in &world.car.blocks {
        assert_eq!(reader.blockstore().get(cid).await.unwrap(), *data);
    }
    drop(reader);
    assert_eq!(world.gate.open_readers(), 0);
}

/// Counts how often indices are opened.
#[derive(Debug)]
struct CountingRepo {
    inner: Arc<MemoryIndexRepo>,
    opens: AtomicUsize,
}

impl IndexRepo for CountingRepo {
    fn builder(&self, meta: IndexMeta) -> Result<Box<dyn IndexBuilder>> {
        self.inner.builder(meta)
    }

    fn open(&self, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        self.inner.open(name)
    }

    fn remove(&self, name: OwnName) -> Result<bool> {
        self.inner.remove(name)
    }

    fn list(&self) -> Result<Vec<OwnName>> {
        self.inner.list()
    }

    fn remove_temporaries(&self) -> Result<usize> {
        self.inner.remove_temporaries()
    }
}

#[tokio::test]
async fn fault_43_accessors_share_what_the_first_has_opened() {
    let world = World::new();
    let index_repo = Arc::new(CountingRepo { inner: world.index_repo.clone(), opens: AtomicUsize::new(0) });
    let parts = Parts { index_repo: index_repo.clone(), ..world.parts() };
    let engine = Engine::open(parts, Options::default()).await.unwrap();
    engine.register("a", URL).await.unwrap();
    let first = engine.acquire("a").await.unwrap();
    let (opens, reads) = (index_repo.opens.load(Ordering::Relaxed), world.gate.reads());
    for _ in 0..100 {
        drop(engine.acquire("a").await.unwrap());
    }
    drop(first);
    drop(engine.acquire("a").await.unwrap());
    let again = (index_repo.opens.load(Ordering::Relaxed) - opens, world.gate.reads() - reads);
    assert_eq!(again, (0, 0), "an acquire opened the index, or read the source, again");
}

#[tokio::test]
async fn fault_45_a_digest_of_nothing_vouches_for_nothing() {
    let world = World::new();
    let engine = world.open().await;
    let cid = cid_of(SHA2_256, &[]);
    engine.register_mount("a", &car_of(&[(cid.clone(), b"anything".to_vec())])).await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let read = shard.blockstore().get(&cid).await;
    assert!(matches!(read, Err(Error::Car(CarError::Unverifiable { .. }))), "it passed the check: {read:?}");
    assert_eq!(shard.blockstore().unverified().get(&cid).await.unwrap(), "anything");
    let verified: Vec<_> = engine.verify(&shard, Verify::Data).try_collect().await.unwrap();
    let findings: Vec<_> = verified.into_iter().flat_map(|verified| verified.findings).collect();
    assert!(matches!(&findings[..], [one] if matches!(one.problem, Problem::Unverifiable)), "{findings:?}");
}
