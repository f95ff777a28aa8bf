//! Whose the datastore is: once it is somebody else's, this store is lost for good.
//!
//! The committer learns of it, because whatever counts is written by it. From then on every call and everybody who waits
//! is told, tasks end, and no index is published or removed any more. Open accessors read on: they hold what they need.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use dagstore_datastore::{Error as DatastoreError, ErrorClass};
use dagstore_fs::OwnName;
use dagstore_index::{FullIndex, IndexBuilder, IndexMeta, IndexRepo, IndexSummary};

use crate::Error;
use crate::core::Core;
use crate::shared::Shared;

/// What the datastore said when it was lost; once there, for good.
pub(crate) type Lost = Arc<OnceLock<DatastoreError>>;

impl Shared {
    /// Why a call fails that finds the store closed.
    pub(crate) fn closed_error(&self) -> Error {
        self.lost.get().map_or(Error::Closed, |source| Error::OwnershipLost { source: source.clone() })
    }
}

impl Core {
    /// Ends the store where the error says that the datastore is somebody else's; `false` where it doesn't.
    pub(crate) fn is_lost_by(self: &Arc<Self>, error: &DatastoreError) -> bool {
        if error.class() != ErrorClass::Fenced {
            return false;
        }
        // The first to say so has said all.
        let _told_before = self.shared.lost.set(error.clone());
        tracing::error!(%error, "the store belongs to somebody else now, and ends");
        self.stop_working();
        true
    }
}

/// A repository that neither publishes nor removes anything once the store is lost.
#[derive(Debug)]
pub(crate) struct OwnedRepo {
    inner: Arc<dyn IndexRepo>,
    lost: Lost,
}

impl OwnedRepo {
    pub(crate) fn new(inner: Arc<dyn IndexRepo>, lost: Lost) -> Self {
        Self { inner, lost }
    }
}

/// Refuses to change an index.
///
/// # Errors
/// Where the store is lost.
pub(crate) fn check(lost: &Lost, operation: &'static str) -> dagstore_index::Result<()> {
    lost.get().map_or(Ok(()), |error| Err(refusal(error, operation)))
}

fn refusal(error: &DatastoreError, operation: &'static str) -> dagstore_index::Error {
    let source = std::io::Error::other(error.clone());
    dagstore_index::Error::Io { operation, path: PathBuf::from("an index"), source }
}

impl IndexRepo for OwnedRepo {
    // A builder stays the repository's own, which it must be to be published with others.
    fn builder(&self, meta: IndexMeta) -> dagstore_index::Result<Box<dyn IndexBuilder>> {
        check(&self.lost, "begin")?;
        self.inner.builder(meta)
    }

    fn publish_group(&self, builders: Vec<Box<dyn IndexBuilder>>) -> Vec<dagstore_index::Result<IndexSummary>> {
        match self.lost.get() {
            None => self.inner.publish_group(builders),
            Some(error) => builders.iter().map(|_| Err(refusal(error, "publish"))).collect(),
        }
    }

    fn open(&self, name: OwnName) -> dagstore_index::Result<Option<Arc<dyn FullIndex>>> {
        self.inner.open(name)
    }

    fn remove(&self, name: OwnName) -> dagstore_index::Result<bool> {
        check(&self.lost, "remove")?;
        self.inner.remove(name)
    }

    fn list(&self) -> dagstore_index::Result<Vec<OwnName>> {
        self.inner.list()
    }

    fn remove_temporaries(&self) -> dagstore_index::Result<usize> {
        check(&self.lost, "remove what was left of")?;
        self.inner.remove_temporaries()
    }
}

#[cfg(test)]
mod tests {
    use dagstore_index::MemoryIndexRepo;
    use dagstore_types::{Attempt, Registration, ShardKey};

    use super::*;

    /// What a task does that was about to publish or remove when the loss was met.
    #[test]
    fn nothing_is_published_or_removed_behind_the_loss() {
        let inner = Arc::new(MemoryIndexRepo::new());
        let lost = Lost::default();
        let repo = OwnedRepo::new(inner.clone(), lost.clone());
        let name = |number| OwnName::new(&ShardKey::new("a").unwrap(), Registration(number), Attempt(1));
        let builder = |number| repo.builder(IndexMeta { name: name(number), car_size: 1, validator: None });
        check(&lost, "publish").and_then(|()| builder(1).unwrap().publish()).unwrap();
        assert!(repo.publish_group(vec![builder(2).unwrap()]).iter().all(Result::is_ok));
        let (late, later) = (builder(3).unwrap(), builder(4).unwrap());

        lost.set(DatastoreError::failed("test", "write", ErrorClass::Fenced, "taken")).unwrap();
        let published = repo.publish_group(vec![late, later]);
        assert!(published.len() == 2 && published.iter().all(Result::is_err));
        assert!(check(&lost, "publish").is_err());
        assert!(builder(5).is_err() && repo.remove(name(1)).is_err() && repo.remove_temporaries().is_err());
        let mut names = inner.list().unwrap();
        names.sort_unstable_by_key(|name| name.registration);
        assert_eq!(names, [name(1), name(2)]);
        // What is there can be read.
        assert!(repo.open(name(1)).unwrap().is_some() && repo.list().unwrap().len() == 2);
    }
}
