//! The kinds of rows of a store, and in which of its datastores they are.

use std::sync::Arc;

use dagstore::Databases;
use dagstore::datastore::{Datastore, Namespace};
use dagstore::index::InvertedIndex;
use dagstore::rows::{META, SHARDS};

use crate::{Error, Result};

/// A kind of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    /// What the inverted index keeps.
    Inverted(Namespace),
    /// The records.
    Shards,
}

/// All tables but the store's own description, in the order in which they are copied. The description comes last, for with it the
/// target is a store.
pub(crate) const TABLES: [Table; 3] =
    [Table::Inverted(InvertedIndex::NAMESPACES[0]), Table::Inverted(InvertedIndex::NAMESPACES[1]), Table::Shards];

impl Table {
    pub(crate) fn namespace(self) -> Namespace {
        match self {
            Self::Inverted(namespace) => namespace,
            Self::Shards => SHARDS,
        }
    }

    /// The datastore that has the table's rows.
    pub(crate) fn of(self, databases: &Databases) -> &Arc<dyn Datastore> {
        match (self, &databases.inverted) {
            (Self::Inverted(_), Some(inverted)) => inverted,
            _ => &databases.records,
        }
    }
}

/// Checks that there is no row at all.
pub(crate) async fn check_empty(databases: &Databases, place: &str) -> Result<()> {
    let described = (META, &databases.records);
    let tables = TABLES.map(|table| (table.namespace(), table.of(databases)));
    for (namespace, datastore) in tables.into_iter().chain([described]) {
        if !datastore.rows(namespace, &[], None, 1).await?.is_empty() {
            return Err(Error::NotEmpty { place: place.to_owned(), namespace: namespace.name() });
        }
    }
    Ok(())
}
