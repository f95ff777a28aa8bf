//! Registering CARs until they are Available.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use dagstore::Dagstore;

use crate::backend::Backend;
use crate::cars::{self, GIB, MIB, url};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::{cpu, crowd, peak};

/// For each size of blocks, what the original takes for a GiB, and what is wanted, in seconds.
const LARGE: [(usize, f64, Option<f64>); 2] = [(256 << 10, 0.020, None), (1 << 10, 10.8, Some(1.0))];

/// The size of the large CARs that the original was measured with.
const GO_MIB: u64 = 1024;

/// What the original takes of memory for a GiB of the smallest blocks, and what is wanted, in MiB.
const GO_PEAK_MIB: f64 = 826.0;
const MOST_PEAK_MIB: f64 = 64.0;

/// So many CARs of a MiB are registered at once, and how many a second the original makes Available.
const SMALL: usize = 100;
const GO_SMALL: f64 = 167.0;
const WANTED_SMALL: f64 = 2_000.0;

/// Blocks of the small CARs and of the largest one.
const BLOCK_BYTES: usize = 1 << 10;

/// The data of the largest one.
const LARGEST_BYTES: u64 = 10 * GIB;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many small CARs are registered at once.
    #[arg(long, default_value_t = SMALL)]
    shards: usize,
    /// MiB of data in the large CARs.
    #[arg(long, default_value_t = GO_MIB)]
    mib: u64,
    /// Leaves out the large CARs.
    #[arg(long)]
    without_large: bool,
    /// Stores without an index over all shards.
    #[arg(long)]
    without_inverted: bool,
}

/// Measures each backend.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let place = tempfile::tempdir_in(setup.place())?;
    runtime.block_on(small(setup, options, place.path(), report))?;
    if options.without_large {
        return Ok(());
    }
    let mut figures = Vec::new();
    for (block_bytes, go, wanted) in LARGE {
        let car = place.path().join("large.car");
        cars::write(&car, options.mib * MIB, block_bytes)?;
        for &backend in setup.backends() {
            figures.extend(runtime.block_on(large(setup, options, backend, &car, (block_bytes, go, wanted)))?);
        }
        fs::remove_file(&car)?;
    }
    report.table(&format!("initialise: a CARv1 of {} MiB in the cache; raw: reading it", options.mib), figures);
    if setup.full {
        let car = place.path().join("largest.car");
        cars::write(&car, LARGEST_BYTES, BLOCK_BYTES)?;
        let mut figures = Vec::new();
        for &backend in setup.backends() {
            figures.extend(runtime.block_on(largest(options, backend, &car))?);
        }
        let title = format!(
            "initialise: a CARv1 of {} GiB with {} blocks of 1 KiB, once; raw: reading it",
            LARGEST_BYTES / GIB,
            cars::blocks(LARGEST_BYTES, BLOCK_BYTES)
        );
        report.table(&title, figures);
    }
    Ok(())
}

/// Many small CARs at once.
async fn small(setup: &Setup, options: &Options, place: &Path, report: &mut Report) -> Result<()> {
    let shards = options.shards;
    let cars: Vec<PathBuf> = (0..shards).map(|number| place.join(format!("small-{number}.car"))).collect();
    for car in &cars {
        cars::write(car, MIB, BLOCK_BYTES)?;
        cars::read(car)?;
    }
    let mut figures = Vec::new();
    for &backend in setup.backends() {
        let mut rate = Figure::new(format!("{backend}"), "shards/s", Better::More).go(GO_SMALL);
        rate = rate.goal(Goal::Value(WANTED_SMALL));
        for _ in 0..setup.runs() {
            let raw = publish_alone(place, shards)?;
            let directory = tempfile::tempdir_in(place)?;
            let store = open(options, backend, directory.path()).await?;
            let cpu = cpu::seconds()?;
            let start = Instant::now();
            let (registering, urls) = (store.clone(), cars.iter().map(|car| url(car)).collect::<Vec<_>>());
            crowd::for_each(0..shards, shards, move |number| {
                let (store, url) = (registering.clone(), urls[number].clone());
                async move { Ok(store.register(&format!("shard {number}"), &url).await?) }
            })
            .await?;
            rate.run_beside(shards as f64 / start.elapsed().as_secs_f64(), raw);
            rate.detail("ms of a processor each", (cpu::seconds()? - cpu) * 1e3 / shards as f64);
            store.close().await?;
        }
        figures.push(rate);
    }
    let title = format!(
        "initialise: {shards} CARs of 1 MiB with blocks of 1 KiB, registered at once; raw: writing as many files as there are indices, each with the syncs that it needs, one after the other"
    );
    report.table(&title, figures);
    cars.iter().try_for_each(fs::remove_file)?;
    Ok(())
}

/// Files of an index's size a second, each written, synced and renamed, and the rename synced.
fn publish_alone(place: &Path, files: usize) -> Result<f64> {
    let directory = tempfile::tempdir_in(place)?;
    let bytes = vec![7; 25 << 10];
    let start = Instant::now();
    for number in 0..files {
        let (temporary, path) = (directory.path().join("temporary"), directory.path().join(number.to_string()));
        let mut file = File::create_new(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(directory.path())?.sync_all()?;
    }
    Ok(files as f64 / start.elapsed().as_secs_f64())
}

async fn large(
    setup: &Setup,
    options: &Options,
    backend: Backend,
    car: &Path,
    (block_bytes, go, wanted): (usize, f64, Option<f64>),
) -> Result<Vec<Figure>> {
    let kib = block_bytes >> 10;
    // What the original did with a smaller one wasn't measured.
    let like_go = options.mib == GO_MIB;
    let mut time = Figure::new(format!("{backend}, {kib} KiB"), "s", Better::Less).go(like_go.then_some(go));
    time = time.goal(wanted.filter(|_| like_go).map(Goal::Value));
    let mut memory = Figure::new(format!("{backend}, {kib} KiB, most memory"), "MiB", Better::Less);
    if like_go && block_bytes == BLOCK_BYTES {
        memory = memory.go(GO_PEAK_MIB);
    }
    for _ in 0..setup.runs() {
        let raw = cars::read(car)?;
        let (seconds, cpu, peak) = register(options, backend, car).await?;
        time.run_beside(seconds, raw);
        time.detail("s of a processor", cpu);
        memory.run(peak);
    }
    Ok(vec![time, memory])
}

async fn largest(options: &Options, backend: Backend, car: &Path) -> Result<Vec<Figure>> {
    let mut time = Figure::new(format!("{backend}"), "s", Better::Less);
    let mut memory = Figure::new(format!("{backend}, most memory"), "MiB", Better::Less);
    memory = memory.goal(Goal::Value(MOST_PEAK_MIB));
    let raw = cars::read(car)?;
    let (seconds, cpu, peak) = register(options, backend, car).await?;
    time.run_beside(seconds, raw);
    time.detail("s of a processor", cpu);
    memory.run(peak);
    Ok(vec![time, memory])
}

/// Registers a CAR in a new store. Seconds until it is Available, those of the processors, and the most memory that the
/// process had of its own, in MiB.
async fn register(options: &Options, backend: Backend, car: &Path) -> Result<(f64, f64, f64)> {
    let directory = tempfile::tempdir_in(car.with_file_name(""))?;
    let store = open(options, backend, directory.path()).await?;
    let watch = peak::Watch::begin();
    let cpu = cpu::seconds()?;
    let start = Instant::now();
    store.register("shard", &url(car)).await?;
    let seconds = start.elapsed().as_secs_f64();
    let (cpu, peak) = (cpu::seconds()? - cpu, watch.end()?);
    store.close().await?;
    Ok((seconds, cpu, peak))
}

async fn open(options: &Options, backend: Backend, directory: &Path) -> Result<Dagstore> {
    let builder = Dagstore::builder().directory(directory).backend(backend.backend());
    let builder = if options.without_inverted { builder.without_inverted_index() } else { builder };
    Ok(builder.open().await?)
}
