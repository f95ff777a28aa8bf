//! Sources that fail, hang, go missing and change.

use std::collections::HashMap;
use std::sync::Arc;

use dagstore::car::RawCid;
use dagstore::mount::Registry;
use dagstore_testkit::{Question, Wire, WireMount, Wired, cars};

use crate::Result;
use crate::rng::Rng;

/// How many shards there are.
pub(crate) const SHARDS: usize = 24;

/// How many contents a source takes in turns.
const VERSIONS: u32 = 2;

/// How many blocks a source has to itself, and their size in bytes.
const BLOCKS: usize = 12;
const BLOCK_BYTES: usize = 6 << 10;

const SCHEME: &str = "far";

/// All sources, and what is in them.
#[derive(Debug)]
pub(crate) struct Sources {
    wire: Arc<Wire>,
    pub(crate) registry: Registry,
    cars: Vec<Vec<cars::TestCar>>,
    /// What every block is.
    pub(crate) blocks: HashMap<RawCid, Vec<u8>>,
}

impl Sources {
    /// All of them well.
    pub(crate) fn new() -> Result<Self> {
        let (template, wire) = WireMount::template();
        let mut registry = Registry::with_defaults();
        registry.register(SCHEME, template)?;
        let car = |shard, version| {
            cars::of_blocks((0..BLOCKS).map(|block| {
                let mut bytes = format!("shard {shard}, version {version}, block {block}").into_bytes();
                bytes.resize(BLOCK_BYTES, b'.');
                bytes
            }))
        };
        let of_shard = |shard| (0..VERSIONS).map(|version| car(shard, version)).collect::<Vec<_>>();
        let cars: Vec<_> = (0..SHARDS).map(of_shard).collect();
        let blocks = cars.iter().flatten().flat_map(|car| car.blocks.iter().cloned()).collect();
        let sources = Self { wire, registry, cars, blocks };
        sources.mend();
        Ok(sources)
    }

    pub(crate) fn key(shard: usize) -> String {
        format!("shard-{shard}")
    }

    pub(crate) fn url(shard: usize) -> String {
        format!("{SCHEME}:{shard}")
    }

    /// The CIDs of a shard's blocks, with its first content.
    pub(crate) fn cids(&self, shard: usize) -> impl Iterator<Item = &RawCid> {
        self.cars[shard][0].blocks.iter().map(|(cid, _)| cid)
    }

    /// Any block of any content.
    pub(crate) fn any_cid(&self, rng: &mut Rng) -> &RawCid {
        let blocks = &self.cars[rng.below(SHARDS)][rng.below(VERSIONS as usize)].blocks;
        &blocks[rng.below(blocks.len())].0
    }

    /// Breaks one, or mends it.
    pub(crate) fn disturb(&self, rng: &mut Rng) {
        let shard = rng.below(SHARDS);
        let version = u32::from(rng.below(8) == 0);
        let location = shard.to_string();
        let mut source = self.well(shard, version);
        let somewhere = rng.below(BLOCKS * BLOCK_BYTES) as u64;
        match rng.below(12) {
            0 => return self.wire.remove(&location),
            1 => source.breaks_at = Some(somewhere),
            2 => source.hangs_at = Some(somewhere),
            3 => source.fails = Some(Question::Stat),
            4 => source.fails = Some(Question::Stream),
            5 => source.fails = Some(Question::Read),
            6 => source.silent = Some([Question::Stat, Question::Stream, Question::Read][rng.below(3)]),
            _ => {}
        }
        self.wire.put(&location, source);
    }

    /// Mends all, with their first contents.
    pub(crate) fn mend(&self) {
        for shard in 0..SHARDS {
            self.wire.put(&shard.to_string(), self.well(shard, 0));
        }
    }

    fn well(&self, shard: usize, version: u32) -> Wired {
        Wired::new(self.cars[shard][version as usize].bytes.clone(), version)
    }
}
