//! Collecting while acquires go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use dagstore::Dagstore;

use crate::backend::Backend;
use crate::catalogue::{self, Catalogue, RecordCodec};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::shards;
use crate::statistics::percentile;

/// How many shards are acquired, in turns.
const ACQUIRED: usize = 100;

/// How much worse an acquire may be while a collection runs.
const AT_MOST_TIMES: f64 = 2.0;

/// What the Go original took to collect with 10,000 and 100,000 idle shards; every acquire waited for all of it.
const GO_SECONDS: [(usize, f64); 2] = [(10_000, 0.54), (100_000, 5.7)];

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many shards are idle; ten times as many with --full.
    #[arg(long, default_value_t = 100_000)]
    shards: usize,
    /// How many milliseconds acquires go on without a collection, and at least as long with collections.
    #[arg(long, default_value_t = 1_500)]
    milliseconds: u64,
}

/// Measures each backend.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let idle = if setup.full { options.shards * 10 } else { options.shards };
    let phase = Duration::from_millis(options.milliseconds);
    let mut figures = Vec::new();
    for &backend in setup.backends() {
        figures.extend(runtime.block_on(measure(setup, backend, idle, phase))?);
    }
    let title = format!(
        "gc: {idle} idle shards with an index file each; one task acquires and releases {ACQUIRED} others in turns; raw: the same without a collection"
    );
    report.table(&title, figures);
    Ok(())
}

async fn measure(setup: &Setup, backend: Backend, idle: usize, phase: Duration) -> Result<Vec<Figure>> {
    let place = tempfile::tempdir_in(setup.place())?;
    let directory = place.path().join("store");
    let index_files = Some(place.path().join("index-files"));
    let catalogue = Catalogue { directory, backend, codec: RecordCodec::Cbor, indexed: ACQUIRED, idle, index_files };
    catalogue::write_index_files(&place.path().join("index-files"), catalogue.idle_numbers())?;
    let store = catalogue.make().await?;
    store.resumed().await?;
    let go = GO_SECONDS.iter().find(|(shards, _)| *shards == idle).map(|(_, seconds)| *seconds);
    let mut collecting = Figure::new(format!("{backend}, one collection"), "s", Better::Less).go(go);
    let wait = |what: &str| Figure::new(format!("{backend}, acquire, {what}"), "us", Better::Less);
    let mut p50 = wait("p50");
    let mut p99 = wait("p99").goal(Goal::OfRaw(AT_MOST_TIMES));
    let mut longest = wait("longest").go(go.map(|seconds| seconds * 1e6));
    for _ in 0..setup.runs() {
        let quiet = acquires_during(&store, tokio::time::sleep(phase)).await?.0;
        let (busy, collected) = acquires_during(&store, collect(&store, phase)).await?;
        let (seconds, collections) = collected?;
        collecting.run(seconds / collections);
        for (figure, percent) in [(&mut p50, 50.0), (&mut p99, 99.0), (&mut longest, 100.0)] {
            figure.run_beside(percentile(&busy, percent), percentile(&quiet, percent));
            figure.detail("acquires", busy.len() as f64);
        }
    }
    store.close().await?;
    Ok(vec![collecting, p50, p99, longest])
}

/// Collects again and again for at least `phase`; seconds and collections.
async fn collect(store: &Dagstore, phase: Duration) -> Result<(f64, f64)> {
    let start = Instant::now();
    let mut collections = 0.0;
    while collections == 0.0 || start.elapsed() < phase {
        store.gc().await?;
        collections += 1.0;
    }
    Ok((start.elapsed().as_secs_f64(), collections))
}

/// How long each acquire took while `meanwhile` ran, in microseconds and sorted; and what that gave.
async fn acquires_during<T>(store: &Dagstore, meanwhile: impl Future<Output = T>) -> Result<(Vec<f64>, T)> {
    let stop = Arc::new(AtomicBool::new(false));
    let (caller, stopped) = (store.clone(), stop.clone());
    let acquiring = tokio::spawn(async move {
        let keys: Vec<String> = (0..ACQUIRED).map(shards::key).collect();
        let mut times = Vec::new();
        for key in keys.iter().cycle() {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let start = Instant::now();
            let accessor = caller.acquire(key).await?;
            times.push(start.elapsed().as_secs_f64() * 1e6);
            drop(accessor);
        }
        anyhow::Ok(times)
    });
    let outcome = meanwhile.await;
    stop.store(true, Ordering::Relaxed);
    let mut times = acquiring.await??;
    times.sort_by(f64::total_cmp);
    Ok((times, outcome))
}
