//! The shards that are registered, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use dagstore::car::RawCid;
use dagstore::mount::Registry;
use dagstore_testkit::{WireMount, Wired, cars};

use crate::Result;

/// How many contents there are for each key. The second one is registered where the first one was destroyed.
const VERSIONS: u8 = 2;

/// How many blocks a shard has to itself, and their size in bytes.
const OWN_BLOCKS: u64 = 12;
const BLOCK_BYTES: usize = 100;

/// One shard has so many more in its first content: its rows are loaded alone, page by page, and removed in several batches.
/// It is one of those that are destroyed. With few shards there is none of this size.
const LARGE: usize = 7;
const LARGE_BLOCKS: u64 = 17_000;

/// How many blocks there are that several shards have.
const SHARED_BLOCKS: usize = 12;

/// A shard of so many is destroyed, and its key registered again.
const DESTROYED_EVERY: usize = 2;

/// The scheme of shards that are far away, which have local copies, and how large their own blocks are in bytes: such a copy comes
/// in some tens of pieces.
const FAR: &str = "far";
const FAR_BLOCK_BYTES: usize = 8 << 10;

/// The content of a shard: which of the CARs is registered under its key.
pub(crate) type Version = u8;

/// What is in the CARs. This is the truth that everything else is compared with, known without the store.
#[derive(Debug)]
pub(crate) struct Shards {
    /// By key and version.
    contents: BTreeMap<(String, Version), Blocks>,
    /// How many keys there are.
    pub(crate) count: usize,
    /// Blocks to ask for: all, but for most of the large shard's.
    asked: BTreeSet<RawCid>,
}

/// Blocks by their CIDs.
pub(crate) type Blocks = BTreeMap<RawCid, Vec<u8>>;

impl Shards {
    /// Makes the CARs of so many shards in `folder`.
    pub(crate) fn make(folder: &Path, count: usize) -> Result<Self> {
        let (mut contents, mut asked) = (BTreeMap::new(), BTreeSet::new());
        for at in 0..count {
            for version in 1..=VERSIONS {
                let car = cars::of_blocks(blocks_of(at, version));
                fs::write(car_path(folder, &key(at), version), &car.bytes)?;
                asked.extend(car.blocks.iter().take(30).map(|(cid, _)| cid.clone()));
                asked.extend(car.blocks.iter().step_by(197).map(|(cid, _)| cid.clone()));
                contents.insert((key(at), version), car.blocks.into_iter().collect());
            }
        }
        Ok(Self { contents, count, asked })
    }

    /// The blocks of a content.
    pub(crate) fn blocks(&self, key: &str, version: Version) -> Result<&Blocks> {
        let blocks = self.contents.get(&(key.to_owned(), version));
        blocks.ok_or_else(|| format!("{key} has no version {version}").into())
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = String> {
        (0..self.count).map(key)
    }

    /// The blocks that are asked for, whoever has them.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &RawCid> {
        self.asked.iter()
    }
}

/// Where the CARs are, for whoever registers them.
#[derive(Debug, Clone)]
pub(crate) struct Cars(pub(crate) PathBuf);

impl Cars {
    /// The URL of a content.
    pub(crate) fn url(&self, at: usize, version: Version) -> String {
        if is_far(at) {
            return format!("{FAR}:{}-{version}", key(at));
        }
        format!("file://{}", car_path(&self.0, &key(at), version).display())
    }

    /// The mounts of all of them, where there are `count`. What is far away is the same for every process.
    pub(crate) fn registry(&self, count: usize) -> Result<Registry> {
        let (template, wire) = WireMount::template();
        for at in (0..count).filter(|at| is_far(*at)) {
            for version in 1..=VERSIONS {
                let content = fs::read(car_path(&self.0, &key(at), version))?;
                wire.put(&format!("{}-{version}", key(at)), Wired::new(content, version.into()));
            }
        }
        let mut registry = Registry::with_defaults();
        registry.register(FAR, template)?;
        Ok(registry)
    }

    /// Which content of the key has the URL.
    pub(crate) fn version(&self, at: usize, url: &str) -> Result<Version> {
        let version = (1..=VERSIONS).find(|version| self.url(at, *version) == url);
        let key = key(at);
        version.ok_or_else(|| format!("{key} is registered for {url}, which nobody has done").into())
    }
}

/// The key of a shard.
pub(crate) fn key(at: usize) -> String {
    format!("shard-{at:02}")
}

/// Whether the shard is destroyed, and registered again with another content.
pub(crate) fn is_destroyed(at: usize) -> bool {
    at % DESTROYED_EVERY == 1
}

/// Whether the shard's source is far away.
pub(crate) fn is_far(at: usize) -> bool {
    matches!(at % 5, 2 | 3) && at != LARGE
}

/// The number that the key was made of.
pub(crate) fn number(key: &str) -> Result<usize> {
    let number = key.strip_prefix("shard-").and_then(|number| number.parse().ok());
    number.ok_or_else(|| format!("{key} is nobody's key").into())
}

fn car_path(folder: &Path, key: &str, version: Version) -> PathBuf {
    folder.join(format!("{key}-{version}.car"))
}

/// Its own blocks, and some that others have as well.
fn blocks_of(at: usize, version: Version) -> Vec<Vec<u8>> {
    let block = |text: String, bytes| {
        let mut block = text.into_bytes();
        block.resize(bytes, b'.');
        block
    };
    let own_bytes = if is_far(at) { FAR_BLOCK_BYTES } else { BLOCK_BYTES };
    let own = if (at, version) == (LARGE, 1) { OWN_BLOCKS + LARGE_BLOCKS } else { OWN_BLOCKS };
    let own = (0..own).map(|number| block(format!("shard {at}, version {version}, block {number}"), own_bytes));
    let shared = (0..SHARED_BLOCKS).filter(|number| (at + number + usize::from(version)).is_multiple_of(3));
    let shared = shared.map(|number| block(format!("shared block {number}"), BLOCK_BYTES));
    shared.chain(own).collect()
}
