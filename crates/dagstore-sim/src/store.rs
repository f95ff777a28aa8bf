//! The datastore that a process sees: the disk, with delays and faults, and a look at every batch.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_codec::Codecs;
use dagstore_datastore::{Batch, Datastore, Durability, Error, ErrorClass, Namespace, Result, RowPage, RowStream};
use futures_util::StreamExt;

use crate::disk::{self, Landed};
use crate::rows;
use crate::world::World;

/// The disk as one process has it open.
#[derive(Debug)]
pub(crate) struct SimDatastore {
    world: Arc<World>,
    process: u64,
    codecs: Codecs,
}

impl SimDatastore {
    /// Opens the disk. Whatever an earlier process still holds of it is dead.
    pub(crate) fn open(world: &Arc<World>) -> Self {
        let process = world.disk.lock().next_process();
        Self { world: world.clone(), process, codecs: Codecs::default() }
    }

    /// Reports calls of a process that has ended.
    fn check_alive(&self, call: &'static str) -> Result<()> {
        if self.world.disk.lock().process == self.process {
            return Ok(());
        }
        self.world.breaks("crash", || format!("a process that has ended still calls {call}"));
        Err(Error::Closed { backend: "sim" })
    }

    fn check_read(&self, call: &'static str) -> Result<()> {
        self.check_alive(call)?;
        let mut disk = self.world.disk.lock();
        if disk.failing_reads > 0 {
            disk.failing_reads -= 1;
            return Err(failed(call, ErrorClass::Transient));
        }
        Ok(())
    }
}

#[async_trait]
impl Datastore for SimDatastore {
    fn name(&self) -> &'static str {
        "sim"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        self.world.takes_time(0).await;
        self.check_read("get")?;
        let disk = self.world.disk.lock();
        Ok(disk.current().get(&(namespace, key.to_vec())).map(|value| value.bytes.clone()))
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.check_alive("write")?;
        let changes = disk::changes(&batch, &self.codecs).unwrap_or_else(|error| {
            self.world.breaks("I2", || format!("a row is written that can't be read: {error}"));
            Vec::new()
        });
        rows::check_changes(&self.world, &changes);
        let number = self.world.disk.lock().take_off(changes);
        let mut flight = Flight { store: self, number, durability, is_under_way: true };
        let slow = self.world.disk.lock().slow;
        self.world.takes_time(slow).await;
        let landed = flight.land();
        self.world.takes_time(0).await;
        flight.is_under_way = false;
        self.world.disk.lock().told(number, landed);
        self.world.says(|| format!("    write {number} of {} rows, {durability:?}: {landed:?}", batch.len()));
        landed.map_err(|class| failed("write", class))
    }

    /// A row a page, so that a scan can fail half-way.
    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let disk = self.world.disk.lock();
        let mut pages = Vec::new();
        for ((_, key), value) in
            disk.current().iter().filter(|((of, key), _)| *of == namespace && key.starts_with(prefix))
        {
            let mut page = RowPage::new();
            page.push(key, &value.bytes);
            pages.push(Ok(page));
        }
        drop(disk);
        if let Err(error) = self.check_read("scan") {
            pages.truncate(pages.len() / 2);
            pages.push(Err(error));
        }
        futures_util::stream::iter(pages).boxed()
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.world.takes_time(0).await;
        self.check_read("rows")?;
        let (disk, mut page) = (self.world.disk.lock(), RowPage::new());
        let rows = disk.current().iter().filter(|((of, key), _)| *of == namespace && key.starts_with(prefix));
        for ((_, key), value) in rows.filter(|((_, key), _)| after.is_none_or(|after| after < key.as_slice())) {
            if page.len() >= limit || page.is_full() {
                break;
            }
            page.push(key, &value.bytes);
        }
        Ok(page)
    }

    async fn sync(&self) -> Result<()> {
        self.check_alive("sync")?;
        self.world.takes_time(0).await;
        self.world.disk.lock().try_sync().map_err(|class| failed("sync", class))
    }

    async fn reopen(&self) -> Result<()> {
        self.check_alive("reopen")?;
        self.world.takes_time(0).await;
        let reopened = self.world.draw(|rng| self.world.disk.lock().reopen(rng));
        self.world.says(|| format!("    reopen: {reopened:?}"));
        reopened.map_err(|class| failed("reopen", class))
    }

    async fn close(&self) -> Result<()> {
        self.check_alive("close")?;
        self.world.takes_time(0).await;
        self.world.disk.lock().close().map_err(|class| failed("close", class))
    }
}

fn failed(operation: &'static str, class: ErrorClass) -> Error {
    Error::failed("sim", operation, class, "ordered to fail")
}

/// A write under way. Dropped before its end, it may have happened or not.
struct Flight<'a> {
    store: &'a SimDatastore,
    number: u64,
    durability: Durability,
    is_under_way: bool,
}

impl Flight<'_> {
    fn land(&self) -> Landed {
        let world = &self.store.world;
        let landed = world.draw(|rng| world.disk.lock().land(self.number, self.durability, rng));
        rows::check_images(world);
        landed
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        let world = &self.store.world;
        if self.is_under_way && world.disk.lock().process == self.store.process {
            world.draw(|rng| world.disk.lock().abandon(self.number, self.durability, rng));
        }
    }
}
