//! Loading shards: how fast, how much is written for it, and who waits meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use dagstore::datastore::{Batch, Datastore, Durability, Namespace};
use tokio::task::JoinHandle;

use super::{INVERTED, Place, at_rest, fingerprints, load, row, written};
use crate::backend::Backend;
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::statistics::percentile;

/// What the Go original did with none and with 10,000,000 there, with the same fingerprints for a second shard, and
/// what an entry took on disk and of writing.
const GO_EMPTY: f64 = 142_000.0;
const GO_FULL: f64 = 86_000.0;
const GO_SECOND: f64 = 64_000.0;
const GO_BYTES: f64 = 112.0;
const GO_WRITTEN: f64 = 1_244.0;

/// Rows that are deleted as one batch.
const DELETED_AT_ONCE: usize = 16 * 1024;

/// Where records are that are written beside a load.
const RECORDS: Namespace = Namespace::new("records");

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many fingerprints a shard has; a third on redb.
    #[arg(long, default_value_t = 1_000_000)]
    blocks: u64,
    /// How many shards there are before the one that is measured; 10 with --full.
    #[arg(long, default_value_t = 3)]
    shards: u64,
    /// MiB of the datastore's cache.
    #[arg(long, default_value_t = 64)]
    cache_mib: usize,
}

/// Measures each backend.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shards = if setup.full { options.shards.max(10) } else { options.shards };
    let mut figures = Vec::new();
    for &backend in setup.backends() {
        let blocks = backend.pick(options.blocks / 3, options.blocks);
        let mut found = Figures::new(backend, blocks, shards);
        for _ in 0..setup.runs() {
            runtime.block_on(found.measure(&Place::new(setup, backend, options.cache_mib)?))?;
        }
        figures.extend(found.into_vec());
    }
    report.table("inverted-insert: shards of so many fingerprints, sorted, each durable when it is counted", figures);
    Ok(())
}

struct Figures {
    shards: u64,
    blocks: u64,
    empty: Figure,
    full: Figure,
    second: Figure,
    sustained: Figure,
    on_disk: Figure,
    written: Figure,
    beside: Figure,
    deleted: Figure,
    left: Figure,
}

impl Figures {
    fn new(backend: Backend, blocks: u64, shards: u64) -> Self {
        let figure = |what: String, unit, better| Figure::new(format!("{backend}, {what}"), unit, better);
        let rate = |what: String| figure(what, "/s", Better::More);
        let goal = |value: f64| backend.pick(None, Some(Goal::Value(value)));
        let held = blocks * shards;
        Self {
            shards,
            blocks,
            empty: rate(format!("{blocks} into none")).go(GO_EMPTY).goal(goal(3e6)),
            full: rate(format!("{blocks} into {held}")).go(GO_FULL).goal(goal(3e6)),
            second: rate("the same for a second shard".to_owned()).go(GO_SECOND).goal(goal(3e6)),
            sustained: rate(format!("{} until at rest", held + 2 * blocks)).goal(goal(1e6)),
            on_disk: figure("on disk for each".to_owned(), "B", Better::Less).go(GO_BYTES).goal(goal(24.0)),
            written: figure("written for each".to_owned(), "B", Better::Less).go(GO_WRITTEN).goal(goal(96.0)),
            beside: figure("a synced record beside a load, p99".to_owned(), "us", Better::Less),
            deleted: rate(format!("{blocks} deleted by key, until durable")),
            left: figure("on disk for each that is left, at rest".to_owned(), "B", Better::Less),
        }
    }

    async fn measure(&mut self, place: &Place) -> Result<()> {
        let store = place.open().await?;
        let (rate, before) = (self.blocks as f64, written()?);
        let (mut loading, mut all) = (0.0, self.shards + 2);
        for shard in 0..self.shards {
            let seconds = load(&store, &fingerprints(shard, self.blocks), shard).await?;
            loading += seconds;
            if shard == 0 {
                self.empty.run(rate / seconds);
            }
        }
        let last = fingerprints(self.shards, self.blocks);
        let quiet = Instant::now();
        let until_rest = at_rest().await?.saturating_duration_since(quiet).as_secs_f64();
        let first = load(&store, &last, self.shards).await?;
        let second = load(&store, &last, self.shards + 1).await?;
        let begin = Instant::now();
        loading += until_rest + first + second + at_rest().await?.saturating_duration_since(begin).as_secs_f64();
        self.full.run(rate / first);
        self.second.run(rate / second);
        self.sustained.run(rate * all as f64 / loading);
        self.on_disk.run(place.bytes_on_disk()? / (rate * all as f64));
        self.written.run((written()? - before) / (rate * all as f64));

        let writing = Records::written_beside(&store);
        load(&store, &fingerprints(all, self.blocks), all).await?;
        all += 1;
        let micros = writing.stop().await?;
        self.beside.run(percentile(&micros, 99.0));
        self.beside.detail("p50", percentile(&micros, 50.0));
        self.beside.detail("longest", percentile(&micros, 100.0));

        at_rest().await?;
        let begin = Instant::now();
        for keys in last.chunks(DELETED_AT_ONCE) {
            let mut batch = Batch::new();
            for fingerprint in keys {
                batch.delete(INVERTED, &row(fingerprint, self.shards + 1));
            }
            store.write(batch, Durability::Buffered).await?;
        }
        store.sync().await?;
        self.deleted.run(rate / begin.elapsed().as_secs_f64());
        at_rest().await?;
        self.left.run(place.bytes_on_disk()? / (rate * (all - 1) as f64));
        Ok(store.close().await?)
    }

    fn into_vec(self) -> Vec<Figure> {
        let Self { empty, full, second, sustained, on_disk, written, beside, deleted, left, .. } = self;
        vec![empty, full, second, sustained, on_disk, written, beside, deleted, left]
    }
}

/// Somebody who writes one record after the other.
struct Records {
    is_done: Arc<AtomicBool>,
    writing: JoinHandle<Result<Vec<f64>>>,
}

impl Records {
    fn written_beside(store: &Arc<dyn Datastore>) -> Self {
        let (store, is_done) = (Arc::clone(store), Arc::new(AtomicBool::new(false)));
        let stops = Arc::clone(&is_done);
        let writing = tokio::spawn(async move {
            let mut micros = Vec::new();
            for number in 0_u64.. {
                let mut batch = Batch::new();
                batch.put(RECORDS, &number.to_be_bytes(), &[7; 250]);
                let begin = Instant::now();
                store.write(batch, Durability::Synced).await?;
                micros.push(begin.elapsed().as_secs_f64() * 1e6);
                if stops.load(Ordering::Relaxed) {
                    break;
                }
            }
            micros.sort_by(f64::total_cmp);
            Ok(micros)
        });
        Self { is_done, writing }
    }

    /// Microseconds of each write, sorted.
    async fn stop(self) -> Result<Vec<f64>> {
        self.is_done.store(true, Ordering::Relaxed);
        self.writing.await?
    }
}
