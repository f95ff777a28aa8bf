//! Many shards that are far away, within a quota that is much smaller: what of the disk they take, and whether everybody is served.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use dagstore::Dagstore;

use super::nginx::{Nginx, registry};
use crate::cars::{self, MIB};
use crate::crowd;
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;

const BLOCK_BYTES: usize = 256 << 10;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// MiB that local copies may take.
    #[arg(long, default_value_t = 1024)]
    quota: u64,
    /// How many shards there are.
    #[arg(long, default_value_t = 40)]
    shards: usize,
    /// MiB of data in each.
    #[arg(long, default_value_t = 100)]
    mib: u64,
    /// How many read at once.
    #[arg(long, default_value_t = 16)]
    readers: usize,
    /// How many shards are read, one after the other by each reader.
    #[arg(long, default_value_t = 160)]
    reads: usize,
}

/// Measures once: it isn't about time.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = tempfile::tempdir_in(setup.place())?;
    std::fs::create_dir(place.path().join("www"))?;
    let nginx = Nginx::start(place.path())?;
    for shard in 0..options.shards {
        cars::write(&nginx.www().join(format!("{shard}.car")), options.mib * MIB, BLOCK_BYTES)?;
    }
    let figures = runtime.block_on(measure(options, place.path(), &nginx))?;
    let title = format!(
        "quota: {} reads of {} shards of {} MiB by {} readers, within {} MiB",
        options.reads, options.shards, options.mib, options.readers, options.quota
    );
    report.table(&title, figures);
    Ok(())
}

async fn measure(options: &Options, place: &Path, nginx: &Nginx) -> Result<Vec<Figure>> {
    let directory = place.join("store");
    let store = Dagstore::builder().directory(&directory).registry(registry()?);
    // Copies only, so that every read of a shard that isn't there has to make room.
    let store = store.configure(|options| options.remote = dagstore::Remote::Copied);
    let store = store.configure_copies(|copies| copies.quota_bytes = Some(options.quota * MIB)).open().await?;
    for shard in 0..options.shards {
        store.register(&shard.to_string(), &nginx.url(&format!("{shard}.car"))).lazy().await?;
    }
    let done = Arc::new(AtomicBool::new(false));
    let (over, copies) = (done.clone(), directory.join("copies"));
    let sampler = std::thread::spawn(move || {
        let (mut most, mut samples) = (0, 0_u64);
        while !over.load(Ordering::Relaxed) {
            let entries = std::fs::read_dir(&copies).into_iter().flatten().flatten();
            most = most.max(entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum());
            samples += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
        (most, samples)
    });
    let cids: Vec<_> = (0..options.shards)
        .map(|shard| cars::cid(&nginx.www().join(format!("{shard}.car")), BLOCK_BYTES, 100))
        .collect();
    let (start, reading, shards) = (Instant::now(), store.clone(), options.shards);
    crowd::for_each(0..options.reads, options.readers, move |read| {
        let shard = read * 7 % shards;
        let (store, cid) = (reading.clone(), cids[shard].clone());
        async move {
            let shard = store.acquire(&shard.to_string()).await?;
            ensure!(shard.blockstore().get(&cid).await?.len() == BLOCK_BYTES, "the block is whole");
            Ok(())
        }
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    done.store(true, Ordering::Relaxed);
    let Ok((most, looks)) = sampler.join() else { anyhow::bail!("nobody has looked at the disk") };
    let mut disk = Figure::new("most of the disk", "MiB", Better::Less).goal(Goal::Value(options.quota as f64));
    disk.run(most as f64 / MIB as f64);
    disk.detail("looks at the disk", looks as f64);
    let mut rate = Figure::new("shards read", "1/s", Better::More);
    rate.run(options.reads as f64 / seconds);
    rate.detail("MiB over the wire", nginx.sent_bytes()? as f64 / MIB as f64);
    store.close().await?;
    Ok(vec![disk, rate])
}
