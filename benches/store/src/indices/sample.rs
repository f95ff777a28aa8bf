//! Index files of multihashes that are numbers.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use dagstore::car::MultihashRef;
use dagstore::fs::{OwnName, RealFileSystem};
use dagstore::index::{FingerprintKey, FsIndexRepo, IndexBuilder, IndexMeta, IndexRepo};
use dagstore_types::{Attempt, Registration, ShardKey};
use rustix::fs::{Advice, fadvise};

/// A multihash of sha2-256: code, length and digest.
pub(super) type Multihash = [u8; 34];

/// The key of all indices here.
pub(super) const KEY: FingerprintKey = FingerprintKey(*b"0123456789abcdef");

/// The multihash of a number. Digests look random, as those of a hash do.
pub(super) fn multihash(number: u64) -> Multihash {
    let mut bytes = [0; 34];
    bytes[..2].copy_from_slice(&[0x12, 32]);
    for (word, chunk) in (0..).zip(bytes[2..].as_chunks_mut::<8>().0) {
        *chunk = scattered(number * 4 + word).to_be_bytes();
    }
    bytes
}

/// A number that looks random, the same for the same number.
pub(super) fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What an index belongs to.
pub(super) fn meta(number: u64) -> Result<IndexMeta> {
    let name = OwnName::new(&ShardKey::new("bench")?, Registration(number), Attempt(1));
    Ok(IndexMeta { name, car_size: 1 << 30, validator: None })
}

/// The repository in a directory.
pub(super) fn repo(directory: &Path) -> Result<FsIndexRepo> {
    Ok(FsIndexRepo::open(Arc::new(RealFileSystem), directory, KEY)?)
}

/// A builder that was told of so many blocks.
pub(super) fn filled(repo: &dyn IndexRepo, number: u64, blocks: u64) -> Result<Box<dyn IndexBuilder>> {
    let mut builder = repo.builder(meta(number)?)?;
    for block in 0..blocks {
        builder.add(MultihashRef::parse(&multihash(block))?, block * 1100, 1024)?;
    }
    Ok(builder)
}

/// The file of an index.
pub(super) fn path(directory: &Path, number: u64) -> Result<PathBuf> {
    Ok(directory.join(format!("{}.idx", meta(number)?.name)))
}

/// Makes the system forget what it has read of a file that nobody has open.
pub(super) fn forget(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    // Pages that are yet to be written can't be dropped.
    file.sync_all()?;
    Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
}
