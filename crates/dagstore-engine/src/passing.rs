//! Blocks that somebody waits for while their shard is being fetched.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dagstore_car::{CarReader, RawCid, Scanned};
use dagstore_fs::OwnName;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::accessor::check;
use crate::cell::Cell;
use crate::core::Core;
use crate::{Engine, Result, walk};

/// Who waits for blocks of one shard.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// How many there are, so that nobody looks through them where there are none.
    count: AtomicUsize,
    waiting: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    cid: RawCid,
    passed: oneshot::Sender<Passed>,
}

/// Where a block is that has passed.
#[derive(Debug, Clone, Copy)]
struct Passed {
    name: OwnName,
    offset: u64,
    data_size: u64,
}

impl Wishes {
    /// Whether anybody waits for a block.
    pub(crate) fn are_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// A block has passed, and is in the copy: whoever waits for it is told.
    pub(crate) fn pass(&self, name: OwnName, block: &Scanned<'_>) {
        if !self.are_any() {
            return;
        }
        let mut waiting = self.waiting.lock();
        let is_it = |waiting: &mut Waiting| waiting.cid.multihash() == block.multihash;
        let found: Vec<_> = waiting.extract_if(.., is_it).collect();
        self.count.store(waiting.len(), Ordering::Release);
        drop(waiting);
        for wish in found {
            // Nobody may wait for it any more.
            let _gone = wish.passed.send(Passed { name, offset: block.offset, data_size: block.data_size });
        }
    }
}

/// A wish. Dropping it ends it.
struct Wish {
    cell: Arc<Cell>,
    number: u64,
    passed: oneshot::Receiver<Passed>,
}

impl Wish {
    fn new(cell: Arc<Cell>, cid: &RawCid) -> Self {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let (sender, passed) = oneshot::channel();
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let wishes = cell.wishes();
        let mut waiting = wishes.waiting.lock();
        waiting.push(Waiting { number, cid: cid.clone(), passed: sender });
        wishes.count.store(waiting.len(), Ordering::Release);
        drop(waiting);
        Self { cell, number, passed }
    }
}

impl Drop for Wish {
    fn drop(&mut self) {
        let wishes = self.cell.wishes();
        let mut waiting = wishes.waiting.lock();
        waiting.retain(|waiting| waiting.number != self.number);
        wishes.count.store(waiting.len(), Ordering::Release);
    }
}

impl Engine {
    /// The data of a block of the shard, hashed where the options want that. A shard that is being fetched, or that is fetched for this, answers
    /// as soon as the block has passed, hashed in any case; the fetch goes on. Any other is [acquired](Self::acquire) for this one block.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire) and of [`ShardBlockstore::get`](crate::ShardBlockstore::get).
    pub async fn get(&self, key: &str, cid: &RawCid) -> Result<Bytes> {
        self.core.check_active()?;
        // Before the work can begin, so that the block can't pass unseen.
        let wish = Wish::new(self.core.cell(key)?, cid);
        let acquire = self.acquire(key);
        tokio::pin!(acquire);
        tokio::select! {
            biased;
            shard = &mut acquire => return shard?.blockstore().get(cid).await,
            Some(data) = read_passed(&self.core, wish, cid) => Ok(data),
        }
    }
}

/// The data of a block that has passed; `None` where it isn't what it should be, or can't be read any more.
async fn read_passed(core: &Core, mut wish: Wish, cid: &RawCid) -> Option<Bytes> {
    let Passed { name, offset, data_size } = (&mut wish.passed).await.ok()?;
    let reader = core.copies.as_ref()?.peek(name).await.ok()??;
    let (car, cid, size) = (core.options.car.clone(), cid.clone(), u32::try_from(data_size).ok());
    let read = walk::off_the_runtime(core.options.blocking, move || {
        let block = CarReader::open(reader, car)?.read_block(offset, size)?;
        let is_it = block.cid.multihash() == cid.multihash();
        if is_it {
            check(offset, &block.cid, &block.data)?;
        }
        Ok::<_, crate::Error>(is_it.then_some(block.data))
    });
    read.await.ok()?.inspect_err(|error| tracing::debug!(%name, %error, "a block that has passed isn't read")).ok()?
}
