//! A repository in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dagstore_car::MultihashRef;
use dagstore_fs::OwnName;
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::claims::{Claim, Claims};
use crate::entry::location;
use crate::files::check_meta;
use crate::{
    FingerprintKey, Fingerprints, FullIndex, IndexBuilder, IndexMeta, IndexRepo, IndexSummary, Location, Result,
};

/// Indices in memory, for tests and throw-away stores. They hold whole multihashes and no fingerprints, and take far
/// more memory than files take disk.
#[derive(Debug, Default)]
pub struct MemoryIndexRepo {
    indices: Indices,
    claims: Claims,
}

type Indices = Arc<Mutex<BTreeMap<OwnName, Arc<MemoryIndex>>>>;

impl MemoryIndexRepo {
    /// An empty repository.
    pub fn new() -> Self {
        Self::default()
    }
}

impl IndexRepo for MemoryIndexRepo {
    fn builder(&self, meta: IndexMeta) -> Result<Box<dyn IndexBuilder>> {
        check_meta(&meta)?;
        let claim = self.claims.claim(meta.name)?;
        let index = MemoryIndex { meta, locations: BTreeMap::new(), entries: 0 };
        Ok(Box::new(MemoryIndexBuilder { index, indices: Arc::clone(&self.indices), _claim: claim }))
    }

    fn open(&self, name: OwnName) -> Result<Option<Arc<dyn FullIndex>>> {
        let index = self.indices.lock().get(&name).cloned();
        Ok(index.map(|index| index as Arc<dyn FullIndex>))
    }

    fn remove(&self, name: OwnName) -> Result<bool> {
        Ok(self.indices.lock().remove(&name).is_some())
    }

    fn list(&self) -> Result<Vec<OwnName>> {
        Ok(self.indices.lock().keys().copied().collect())
    }

    fn remove_temporaries(&self) -> Result<usize> {
        Ok(0)
    }
}

/// A multihash's code and digest.
type Multihash = (u64, Box<[u8]>);

struct MemoryIndex {
    meta: IndexMeta,
    /// Sorted when the index is published.
    locations: BTreeMap<Multihash, SmallVec<[Location; 1]>>,
    entries: u64,
}

impl MemoryIndex {
    fn get(&self, multihash: MultihashRef<'_>) -> &[Location] {
        self.locations.get(&owned(multihash)).map_or(&[], SmallVec::as_slice)
    }
}

/// Leaves the locations out, of which there may be many.
impl fmt::Debug for MemoryIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryIndex").field("meta", &self.meta).field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl FullIndex for MemoryIndex {
    fn meta(&self) -> &IndexMeta {
        &self.meta
    }

    fn len(&self) -> u64 {
        self.entries
    }

    fn find(&self, multihash: MultihashRef<'_>) -> Result<SmallVec<[Location; 1]>> {
        Ok(SmallVec::from_slice(self.get(multihash)))
    }

    fn find_first(&self, multihash: MultihashRef<'_>) -> Result<Option<Location>> {
        Ok(self.get(multihash).first().copied())
    }

    fn fingerprints(self: Arc<Self>, key: FingerprintKey) -> Fingerprints {
        let mut fingerprints = Vec::new();
        for ((code, digest), locations) in &self.locations {
            fingerprints.extend(locations.iter().map(|_| key.of_parts(*code, digest)));
        }
        fingerprints.sort_unstable();
        Box::new(fingerprints.into_iter().map(Ok))
    }
}

#[derive(Debug)]
struct MemoryIndexBuilder {
    index: MemoryIndex,
    indices: Indices,
    _claim: Claim,
}

impl IndexBuilder for MemoryIndexBuilder {
    fn add(&mut self, multihash: MultihashRef<'_>, offset: u64, data_size: u64) -> Result<()> {
        let location = location(offset, data_size)?;
        self.index.locations.entry(owned(multihash)).or_default().push(location);
        self.index.entries += 1;
        Ok(())
    }

    fn publish(self: Box<Self>) -> Result<IndexSummary> {
        let Self { mut index, indices, _claim } = *self;
        let mut file_bytes = 0;
        for ((_, digest), locations) in &mut index.locations {
            locations.sort_unstable_by_key(|location| (location.offset, location.size.unwrap_or(u32::MAX)));
            file_bytes += (size_of::<Multihash>() + digest.len() + size_of_val(locations.as_slice())) as u64;
        }
        let entries = index.entries;
        indices.lock().insert(index.meta.name, Arc::new(index));
        Ok(IndexSummary { entries, file_bytes })
    }
}

fn owned(multihash: MultihashRef<'_>) -> Multihash {
    (multihash.code(), multihash.digest().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_conforms() {
        crate::conformance::run(|| Arc::new(MemoryIndexRepo::new()));
    }
}
