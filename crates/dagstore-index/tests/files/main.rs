//! Index files on a real disk: conformance, a model, damage and faults.
#![expect(clippy::unwrap_used, reason = "tests")]

mod damage;
mod faults;
mod model;
mod repository;

use std::path::Path;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::{FileSystem, OwnName, RealFileSystem};
use dagstore_index::conformance::KEY;
use dagstore_index::{FsIndexRepo, IndexMeta, IndexRepo, IndexSummary, Result};
use dagstore_types::{Attempt, Registration, ShardKey};

fn meta(number: u64) -> IndexMeta {
    let name = OwnName::new(&ShardKey::new("key").unwrap(), Registration(number), Attempt(1));
    IndexMeta { name, car_size: 1 << 30, validator: Some("\"etag\"".to_owned()) }
}

fn open_repo(file_system: Arc<dyn FileSystem>, directory: &Path, run_entries: usize) -> Result<FsIndexRepo> {
    Ok(FsIndexRepo::open(file_system, directory, KEY)?.with_run_entries(run_entries))
}

fn real_repo(directory: &Path, run_entries: usize) -> FsIndexRepo {
    open_repo(Arc::new(RealFileSystem), directory, run_entries).unwrap()
}

/// By positioned reads, and mapped.
const MODES: [bool; 2] = [false, true];

/// A block as multihash, offset and size.
type Block = (Vec<u8>, u64, u64);

fn publish(repo: &dyn IndexRepo, number: u64, blocks: &[Block]) -> Result<IndexSummary> {
    let mut builder = repo.builder(meta(number))?;
    for (multihash, offset, data_size) in blocks {
        builder.add(parsed(multihash), *offset, *data_size)?;
    }
    builder.publish()
}

fn parsed(multihash: &[u8]) -> MultihashRef<'_> {
    MultihashRef::parse(multihash).unwrap()
}

fn numbered(number: u64) -> Vec<u8> {
    dagstore_index::conformance::multihash(0x12, &number.to_be_bytes())
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = RealFileSystem.list(directory).unwrap().into_iter().map(|entry| entry.name).collect();
    names.sort_unstable();
    names
}
