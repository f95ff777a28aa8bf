//! The time to the first block of a shard that is far away, and what comes over the wire for it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use dagstore::Dagstore;
use dagstore::car::{CarReader, IndexCodec, RawCid, ReadOptions, V2Options};
use dagstore::fs::{FileSystem, RealFileSystem};
use dagstore::mount::Stat;

use super::nginx::{Nginx, registry};
use crate::cars::{self, MIB};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;

/// For each size of blocks, what the original takes, in milliseconds: it copies and indexes all first.
const BLOCKS: [(usize, f64); 2] = [(256 << 10, 590.0), (1 << 10, 11_000.0)];

/// What is wanted, in milliseconds, of a shard that was indexed before and evicted, and of one that has an index inside.
const EVICTED_MS: f64 = 5.0;
const INLINE_MS: f64 = 10.0;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// MiB of data in the shard.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
}

/// Measures each size of blocks.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = tempfile::tempdir_in(setup.place())?;
    std::fs::create_dir(place.path().join("www"))?;
    let nginx = Nginx::start(place.path())?;
    let mut figures = Vec::new();
    for (block_bytes, go) in BLOCKS {
        let (plain, inline) = (nginx.www().join("plain.car"), nginx.www().join("inline.car"));
        cars::write(&plain, options.mib * MIB, block_bytes)?;
        wrap(&plain, &inline)?;
        let middle = cars::blocks(options.mib * MIB, block_bytes) / 2;
        let cid = cars::cid(&plain, block_bytes, middle);
        let go = go * options.mib as f64 / 1024.0;
        let shard = Shard { nginx: &nginx, cid, size: std::fs::metadata(&plain)?.len() };
        let name = |what: &str| format!("{} KiB blocks, {what}", block_bytes >> 10);
        let mut evicted = Figure::new(name("indexed before, copy evicted"), "ms", Better::Less).go(go);
        evicted = evicted.goal(Goal::Value(EVICTED_MS));
        let mut inside = Figure::new(name("never seen, index inside"), "ms", Better::Less).go(go);
        if block_bytes > 1 << 10 {
            inside = inside.goal(Goal::Value(INLINE_MS));
        }
        let mut passing = Figure::new(name("never seen, CARv1, in the middle"), "ms", Better::Less).go(go);
        for _ in 0..setup.runs() {
            runtime.block_on(shard.evicted(setup, &mut evicted))?;
            runtime.block_on(shard.never_seen(setup, "inline.car", &mut inside))?;
            runtime.block_on(shard.never_seen(setup, "plain.car", &mut passing))?;
        }
        figures.extend([evicted, inside, passing]);
        std::fs::remove_file(plain)?;
        std::fs::remove_file(inline)?;
    }
    let title = format!(
        "first-byte: the first block of a shard of {} MiB behind nginx on this machine; raw: one ranged request for as many bytes, by the mount alone",
        options.mib
    );
    report.table(&title, figures);
    Ok(())
}

struct Shard<'a> {
    nginx: &'a Nginx,
    cid: RawCid,
    size: u64,
}

impl Shard<'_> {
    async fn evicted(&self, setup: &Setup, figure: &mut Figure) -> Result<()> {
        let place = tempfile::tempdir_in(setup.place())?;
        let store = open(place.path()).await?;
        store.register("shard", &self.nginx.url("plain.car")).await?;
        while store.is_open(&"shard".parse()?) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        store.evict("shard", false).await?;
        self.measure(&store, figure).await
    }

    async fn never_seen(&self, setup: &Setup, name: &str, figure: &mut Figure) -> Result<()> {
        let place = tempfile::tempdir_in(setup.place())?;
        let store = open(place.path()).await?;
        store.register("shard", &self.nginx.url(name)).lazy().await?;
        self.measure(&store, figure).await
    }

    async fn measure(&self, store: &Dagstore, figure: &mut Figure) -> Result<()> {
        let raw = self.raw().await?;
        let before = self.nginx.sent_bytes()?;
        let start = Instant::now();
        let data = store.get("shard", &self.cid).await?;
        figure.run_beside(start.elapsed().as_secs_f64() * 1e3, raw);
        // A stream that goes on is in the log when it has ended.
        figure.detail("KiB over the wire by then", (self.nginx.sent_bytes()? - before) as f64 / 1024.0);
        ensure!(!data.is_empty(), "the block is there");
        Ok(store.close().await?)
    }

    /// One request for 64 KiB in the middle, in milliseconds.
    async fn raw(&self) -> Result<f64> {
        let registry = registry()?;
        let mount = registry.instantiate(&dagstore::mount::MountUrl::parse(&self.nginx.url("plain.car"))?)?;
        let content: Stat = mount.stat().await?;
        let start = Instant::now();
        ensure!(mount.read(self.size / 2, 64 << 10, &content).await?.len() == 64 << 10, "all of it came");
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

async fn open(directory: &Path) -> Result<Dagstore> {
    Ok(Dagstore::builder().directory(directory).registry(registry()?).open().await?)
}

/// Makes a CARv2 with an index inside of a CARv1.
fn wrap(plain: &Path, inline: &Path) -> Result<()> {
    let reader = CarReader::open(RealFileSystem.open(plain)?, ReadOptions::default())?;
    let mut out = BufWriter::with_capacity(1 << 20, File::create_new(inline)?);
    reader.wrap(V2Options::default().with_index(IndexCodec::MultihashSorted), &mut out)?;
    Ok(out.flush()?)
}
