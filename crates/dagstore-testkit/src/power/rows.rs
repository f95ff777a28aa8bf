//! The datastore of a machine whose power can go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::{Batch, Datastore, Durability, Error, Namespace, Result, RowPage, RowStream, stream_of_pages};

use super::{Place, Power};

const NAME: &str = "power";

/// Rows of which some are only on their way to the disk. `V` is a row's value.
#[derive(Debug, Clone)]
pub struct LossyRows<V> {
    durable: Arc<BTreeMap<Place, V>>,
    current: Arc<BTreeMap<Place, V>>,
    /// Batches that are in `current` and not in `durable`, each with the number that it was given.
    buffered: Vec<(u64, Changes<V>)>,
}

/// The rows of a batch; `None` deletes.
pub type Changes<V> = Arc<Vec<(Place, Option<V>)>>;

impl<V> Default for LossyRows<V> {
    fn default() -> Self {
        Self { durable: Arc::default(), current: Arc::default(), buffered: Vec::new() }
    }
}

impl<V: Clone> LossyRows<V> {
    /// These rows, all durable.
    pub fn of(rows: BTreeMap<Place, V>) -> Self {
        let durable = Arc::new(rows);
        Self { current: durable.clone(), durable, buffered: Vec::new() }
    }

    /// What is there after a cut, whatever else is lost.
    pub fn durable(&self) -> &BTreeMap<Place, V> {
        &self.durable
    }

    /// What is read.
    pub fn current(&self) -> &BTreeMap<Place, V> {
        &self.current
    }

    /// How many batches may be lost.
    pub fn buffered(&self) -> usize {
        self.buffered.len()
    }

    /// What is there after a cut that leaves so many of them: none is lost while a later one survives.
    pub fn with(&self, kept: usize) -> BTreeMap<Place, V> {
        let mut rows = (*self.durable).clone();
        self.buffered.iter().take(kept).for_each(|(_, changes)| change(&mut rows, changes));
        rows
    }

    /// Applies a batch. It isn't durable yet.
    pub fn apply(&mut self, number: u64, changes: Changes<V>) {
        change(Arc::make_mut(&mut self.current), &changes);
        self.buffered.push((number, changes));
    }

    /// Makes everything durable that was applied, and tells what that was.
    pub fn sync(&mut self) -> Vec<(u64, Changes<V>)> {
        let synced = std::mem::take(&mut self.buffered);
        for (_, changes) in &synced {
            change(Arc::make_mut(&mut self.durable), changes);
        }
        synced
    }

    /// Loses all but the first so many of the batches that weren't durable, and tells which these were: they are durable now.
    pub fn lose(&mut self, kept: usize) -> Vec<(u64, Changes<V>)> {
        self.buffered.truncate(kept);
        self.current = Arc::new(self.with(kept));
        self.sync()
    }
}

fn change<V: Clone>(rows: &mut BTreeMap<Place, V>, changes: &[(Place, Option<V>)]) {
    for (place, value) in changes {
        match value {
            Some(value) => drop(rows.insert(place.clone(), value.clone())),
            None => drop(rows.remove(place)),
        }
    }
}

/// A datastore in memory, as one process has it open. What isn't synced may be lost, from some batch on.
#[derive(Debug)]
pub struct PowerDatastore {
    power: Power,
    is_closed: AtomicBool,
}

impl PowerDatastore {
    pub(super) fn new(power: Power) -> Self {
        Self { power, is_closed: AtomicBool::new(false) }
    }

    fn check_open(&self) -> Result<()> {
        if self.is_closed.load(Ordering::Relaxed) { Err(Error::Closed { backend: NAME }) } else { Ok(()) }
    }
}

#[async_trait]
impl Datastore for PowerDatastore {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.check_open()?;
        Ok(self.power.with_rows(|rows| rows.current().get(&(namespace, key.to_vec())).cloned()))
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.check_open()?;
        batch.check_limits(NAME)?;
        let change = |write: dagstore_datastore::Write<'_>| {
            let place = (write.namespace, write.key.to_vec());
            (place, write.value.map(Bytes::copy_from_slice))
        };
        let changes: Changes<Bytes> = Arc::new(batch.iter().map(change).collect());
        self.power.change_rows(
            || format!("write rows of {}", namespaces(&batch)),
            |rows| {
                rows.apply(0, changes);
                if durability == Durability::Synced {
                    rows.sync();
                }
            },
        );
        Ok(())
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let (power, prefix) = (self.power.clone(), prefix.to_vec());
        if let Err(error) = self.check_open() {
            return stream_of_pages(move |_| std::future::ready(Err(error.clone())));
        }
        stream_of_pages(move |after| {
            std::future::ready(Ok(page(&power, namespace, &prefix, after.as_deref(), usize::MAX)))
        })
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.check_open()?;
        Ok(page(&self.power, namespace, prefix, after, limit))
    }

    async fn sync(&self) -> Result<()> {
        self.check_open()?;
        self.power.change_rows(|| "sync rows".to_owned(), |rows| drop(rows.sync()));
        Ok(())
    }

    /// As after a failure: what wasn't synced is lost.
    async fn reopen(&self) -> Result<()> {
        self.check_open()?;
        self.power.change_rows(|| "reopen rows".to_owned(), |rows| drop(rows.lose(0)));
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            self.power.change_rows(|| "close rows".to_owned(), |rows| drop(rows.sync()));
        }
        Ok(())
    }
}

fn page(power: &Power, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> RowPage {
    power.with_rows(|rows| {
        let mut page = RowPage::new();
        let first = (namespace, prefix.to_vec());
        let within = rows.current().range(first..).map(|((of, key), value)| (of, key, value));
        let within = within.take_while(|(of, key, _)| **of == namespace && key.starts_with(prefix));
        for (_, key, value) in within.filter(|(_, key, _)| after.is_none_or(|after| after < key.as_slice())) {
            if page.len() >= limit || page.is_full() {
                break;
            }
            page.push(key, value);
        }
        page
    })
}

/// The namespaces of a batch, each once.
pub(crate) fn namespaces(batch: &Batch) -> String {
    let mut names: Vec<_> = batch.iter().map(|write| write.namespace.name()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(" and ")
}
