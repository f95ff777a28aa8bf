//! Registering small shards while a large one's blocks are loaded into the inverted index of the same store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use dagstore::Dagstore;
use tokio::task::JoinHandle;

use crate::backend::Backend;
use crate::cars::{self, url};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::statistics::percentile;

/// How many times as long as in a quiet store a registration may take.
const MOST_TIMES: f64 = 10.0;

/// Blocks are small, because only how many there are matters.
const BLOCK_BYTES: usize = 32;

/// Blocks of a small shard.
const SMALL_BLOCKS: u64 = 16;

/// Blocks of the large shard with --full.
const FULL_BLOCKS: u64 = 10_000_000;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many blocks the large shard has; ten million with --full.
    #[arg(long, default_value_t = 1_000_000)]
    blocks: u64,
    /// How many shards of each kind are registered in the quiet store.
    #[arg(long, default_value_t = 1_000)]
    quiet: usize,
}

/// Measures each backend.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = tempfile::tempdir_in(setup.place())?;
    let blocks = if setup.full { options.blocks.max(FULL_BLOCKS) } else { options.blocks };
    let (large, small) = (place.path().join("large.car"), place.path().join("small.car"));
    cars::write(&large, blocks * BLOCK_BYTES as u64, BLOCK_BYTES)?;
    cars::write(&small, SMALL_BLOCKS * BLOCK_BYTES as u64, BLOCK_BYTES)?;
    let mut figures = Vec::new();
    for &backend in setup.backends() {
        let mut found = KINDS.map(|(kind, _)| {
            Figure::new(format!("{backend}, {kind}, p99"), "ms", Better::Less).goal(Goal::OfRaw(MOST_TIMES))
        });
        for _ in 0..setup.runs() {
            runtime.block_on(measure(place.path(), backend, options.quiet, (&large, &small), &mut found))?;
        }
        figures.extend(found);
    }
    let title = format!("register-beside: one at a time, while {blocks} blocks are indexed; raw: in the quiet store");
    report.table(&title, figures);
    Ok(())
}

/// The kinds of registrations, and whether they are lazy.
const KINDS: [(&str, bool); 2] = [("lazy", true), ("16 blocks, Available", false)];

async fn measure(
    place: &Path,
    backend: Backend,
    quiet: usize,
    (large, small): (&PathBuf, &PathBuf),
    figures: &mut [Figure; 2],
) -> Result<()> {
    let directory = tempfile::tempdir_in(place)?;
    let store = Dagstore::builder().directory(directory.path()).backend(backend.backend()).open().await?;
    let mut before = Vec::new();
    for (kind, is_lazy) in KINDS {
        let registering = Registering::begin(&store, format!("quiet {kind}"), url(small), is_lazy, Some(quiet));
        before.push(registering.end().await?);
    }
    // Both kinds at once: each of them has one in flight.
    let beside =
        KINDS.map(|(kind, is_lazy)| Registering::begin(&store, format!("beside {kind}"), url(small), is_lazy, None));
    let start = Instant::now();
    store.register("large", &url(large)).await?;
    let loading = start.elapsed().as_secs_f64();
    for ((figure, registering), before) in figures.iter_mut().zip(beside).zip(before) {
        let during = registering.stop().await?;
        figure.run_beside(percentile(&during, 99.0), percentile(&before, 99.0));
        figure.detail("p50", percentile(&during, 50.0));
        figure.detail("longest", percentile(&during, 100.0));
        figure.detail("quiet p50", percentile(&before, 50.0));
        figure.detail("quiet p99", percentile(&before, 99.0));
        figure.detail("registrations", during.len() as f64);
        figure.detail("s of indexing", loading);
    }
    Ok(store.close().await?)
}

/// One who registers a shard after the other.
struct Registering {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Result<Vec<f64>>>,
}

impl Registering {
    /// Registers until it is stopped, or `most` times.
    fn begin(store: &Dagstore, name: String, url: String, is_lazy: bool, most: Option<usize>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (store, over) = (store.clone(), Arc::clone(&is_over));
        let task = tokio::spawn(async move {
            let mut millis = Vec::new();
            while !over.load(Ordering::Relaxed) && most.is_none_or(|most| millis.len() < most) {
                let key = format!("{name} {}", millis.len());
                let start = Instant::now();
                let registering = store.register(&key, &url);
                if is_lazy {
                    registering.lazy().await?;
                } else {
                    registering.await?;
                }
                millis.push(start.elapsed().as_secs_f64() * 1e3);
            }
            millis.sort_by(f64::total_cmp);
            Ok(millis)
        });
        Self { is_over, task }
    }

    /// The milliseconds of each, sorted, once there are as many as there are to be.
    async fn end(self) -> Result<Vec<f64>> {
        self.task.await?
    }

    /// The milliseconds of each, sorted, of those that have begun by now.
    async fn stop(self) -> Result<Vec<f64>> {
        self.is_over.store(true, Ordering::Relaxed);
        self.end().await
    }
}
