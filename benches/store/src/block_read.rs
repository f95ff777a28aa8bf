//! Reading blocks of a shard on this machine.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use dagstore::car::RawCid;
use dagstore::{Dagstore, ShardAccessor};

use crate::cars::{self, MIB};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::shards::split_mix;

/// What is measured for each size of blocks.
struct Size {
    block_bytes: usize,
    /// How many blocks are read.
    asked: usize,
    /// What the original takes for one, in microseconds, unchecked and checked.
    go: [f64; 2],
}

const SIZES: [Size; 2] = [
    Size { block_bytes: 1 << 10, asked: 200_000, go: [2.25, 2.8] },
    Size { block_bytes: 256 << 10, asked: 4_000, go: [82.6, 220.0] },
];

/// How much more than its raw part a read may take, in microseconds: the look-up, a CID to compare, an allocation.
const MOST_OVER_RAW_US: f64 = 0.3;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// MiB of data in the shard.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
}

/// Measures each size.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for size in &SIZES {
        figures.extend(runtime.block_on(measure(setup, options.mib * MIB, size))?);
    }
    let title = format!(
        "block-read: random blocks of a shard of {} MiB in the cache, one task; raw: a positioned read of as many bytes into a new buffer, and the hash where it is checked",
        options.mib
    );
    report.table(&title, figures);
    Ok(())
}

async fn measure(setup: &Setup, data_bytes: u64, size: &Size) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir_in(setup.place())?;
    let car = place.path().join("blocks.car");
    cars::write(&car, data_bytes, size.block_bytes)?;
    let backend = *setup.backends().last().context("a backend")?;
    let store = Dagstore::builder().directory(place.path().join("store")).backend(backend.backend()).open().await?;
    store.register("shard", &format!("file://{}", car.display())).await?;
    let cids = cids(&car, data_bytes, size);
    // In the task that reads, as a gateway's would be.
    let (runs, block_bytes, go) = (setup.runs(), size.block_bytes, size.go);
    let reading = tokio::spawn(async move {
        let bench = Bench { shard: store.acquire("shard").await?, store, cids, car: File::open(&car)?, block_bytes };
        let figures = bench.figures(runs, go).await?;
        let Bench { shard, store, .. } = bench;
        drop(shard);
        store.close().await?;
        anyhow::Ok(figures)
    });
    reading.await?
}

/// The CIDs that are asked for, in an order that looks random.
fn cids(car: &Path, data_bytes: u64, size: &Size) -> Vec<RawCid> {
    let blocks = cars::blocks(data_bytes, size.block_bytes);
    (0..size.asked as u64).map(|number| cars::cid(car, size.block_bytes, split_mix(number) % blocks)).collect()
}

struct Bench {
    shard: ShardAccessor,
    store: Dagstore,
    cids: Vec<RawCid>,
    car: File,
    block_bytes: usize,
}

impl Bench {
    async fn figures(&self, runs: usize, go: [f64; 2]) -> Result<Vec<Figure>> {
        let kib = self.block_bytes >> 10;
        let figure = |what: &str| Figure::new(format!("{kib} KiB, {what}"), "us", Better::Less);
        let mut unchecked = figure("unchecked").go(go[0]);
        let mut over = figure("unchecked, less the raw part").goal(Goal::Value(MOST_OVER_RAW_US));
        let mut checked = figure("checked").go(go[1]);
        let mut anywhere = figure("checked, from whichever shard");
        let mut whether = figure("whether it is there");
        for _ in 0..=runs {
            let raw = self.raw_us()?;
            let hash = self.hash_us();
            unchecked.run_beside(self.shard_us(false).await?, raw);
            over.run(unchecked.last() - raw);
            checked.run_beside(self.shard_us(true).await?, raw + hash);
            anywhere.run_beside(self.store_us().await?, raw + hash);
            whether.run(self.has_us().await?);
        }
        let mut figures = vec![unchecked, over, checked, anywhere, whether];
        // The first run warms everything up.
        figures.iter_mut().for_each(Figure::forget_first);
        Ok(figures)
    }

    /// A look-up in the index, and no more.
    async fn has_us(&self) -> Result<f64> {
        let start = Instant::now();
        for cid in &self.cids {
            anyhow::ensure!(self.shard.blockstore().has(cid).await?, "{cid} is there");
        }
        Ok(self.us_since(start))
    }

    async fn shard_us(&self, is_checked: bool) -> Result<f64> {
        let blocks = self.shard.blockstore();
        let blocks = if is_checked { blocks.verified() } else { blocks.unverified() };
        let start = Instant::now();
        for cid in &self.cids {
            black_box(blocks.get(cid).await?);
        }
        Ok(self.us_since(start))
    }

    async fn store_us(&self) -> Result<f64> {
        let blocks = self.store.blockstore();
        let start = Instant::now();
        for cid in &self.cids {
            black_box(blocks.get(cid).await?);
        }
        Ok(self.us_since(start))
    }

    /// Reads of as many bytes at random places, each into a buffer of its own: that is what a caller gets to keep.
    fn raw_us(&self) -> Result<f64> {
        let span = self.car.metadata()?.len() - self.block_bytes as u64;
        let start = Instant::now();
        for number in 0..self.cids.len() as u64 {
            let mut buffer = vec![0; self.block_bytes];
            self.car.read_exact_at(&mut buffer, split_mix(number) % span)?;
            black_box(buffer);
        }
        Ok(self.us_since(start))
    }

    fn hash_us(&self) -> f64 {
        let data = vec![7; self.block_bytes];
        let start = Instant::now();
        for _ in &self.cids {
            black_box(RawCid::of_data(0x55, black_box(&data)));
        }
        self.us_since(start)
    }

    fn us_since(&self, start: Instant) -> f64 {
        start.elapsed().as_secs_f64() * 1e6 / self.cids.len() as f64
    }
}
