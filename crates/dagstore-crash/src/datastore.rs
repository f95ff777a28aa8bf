//! A datastore in a process that is killed.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore::datastore::{Batch, Datastore, Durability, Namespace, Result, RowPage, RowStream, load_by_batches};
use dagstore::index::InvertedIndex;
use futures_util::{StreamExt, stream};

use crate::killer::Killer;
use crate::point::Point;

/// Where records are.
pub(crate) const SHARDS: Namespace = Namespace::new("shards");

/// What is noted of the inverted index.
pub(crate) const NOTES: Namespace = Namespace::new("inverted_notes");

/// What the store knows of itself, and the row of it that is written while it works.
const META: Namespace = Namespace::new("meta");
const NEXT_REGISTRATION: &[u8] = b"next-registration";

/// Another datastore, whose calls are points.
#[derive(Debug)]
pub(crate) struct KilledDatastore {
    inner: Arc<dyn Datastore>,
    /// It has nothing better than the usual loads, whose batches are points then.
    loads_by_batches: bool,
    killer: Killer,
}

impl KilledDatastore {
    pub(crate) fn new(inner: Arc<dyn Datastore>, loads_by_batches: bool, killer: Killer) -> Self {
        Self { inner, loads_by_batches, killer }
    }

    /// The same rows, each page a point.
    fn watch(&self, rows: RowStream) -> RowStream {
        let pages = stream::unfold((rows, self.killer.clone(), false), |(mut rows, killer, is_taken)| async move {
            if is_taken {
                killer.after(Point::RowPage);
            }
            let page = rows.next().await?;
            killer.before(Point::RowPage);
            Some((page, (rows, killer, true)))
        });
        pages.boxed()
    }
}

#[async_trait]
impl Datastore for KilledDatastore {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.inner.get(namespace, key).await
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        let points = points_of(&batch);
        for point in &points {
            self.killer.before(*point);
        }
        self.inner.write(batch, durability).await?;
        for point in &points {
            self.killer.after(*point);
        }
        Ok(())
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        self.inner.scan(namespace, prefix)
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.inner.rows(namespace, prefix, after, limit).await
    }

    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        let rows = self.watch(rows);
        self.killer.before(Point::RowLoad);
        if self.loads_by_batches {
            load_by_batches(self, namespace, rows).await?;
        } else {
            self.inner.bulk_load(namespace, rows).await?;
        }
        self.killer.after(Point::RowLoad);
        Ok(())
    }

    async fn sync(&self) -> Result<()> {
        self.inner.sync().await
    }

    async fn reopen(&self) -> Result<()> {
        self.inner.reopen().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// What is in a batch, each at most once.
fn points_of(batch: &Batch) -> BTreeSet<Point> {
    let point_of = |namespace: Namespace, key: &[u8], is_put: bool| match (namespace, is_put) {
        (SHARDS, true) => Some(Point::RecordWrite),
        (SHARDS, false) => Some(Point::RecordDelete),
        (InvertedIndex::ROWS, true) => Some(Point::RowWrite),
        (InvertedIndex::ROWS, false) => Some(Point::RowRemove),
        (NOTES, _) => Some(Point::NoteWrite),
        (META, true) if key == NEXT_REGISTRATION => Some(Point::NumbersWrite),
        _ => None,
    };
    batch.iter().filter_map(|write| point_of(write.namespace, write.key, write.value.is_some())).collect()
}
