//! Building an index: out of entries, by walking a CAR, and many small ones at once.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use dagstore::car::{CarReader, ReadOptions, ScanOptions};
use dagstore::fs::{FileSystem, RealFileSystem};
use dagstore::index::{IndexBuilder, IndexRepo};

use super::sample;
use crate::cars::MIB;
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::{cars, cpu, peak};

/// For each size of blocks, what the original takes to index a GiB of them without hashing, in seconds; how many times
/// better is wanted; and how many GB a second it hashes.
const GO: [(usize, f64, f64, f64); 3] =
    [(1 << 10, 3.13, 10.0, 0.51), (256 << 10, 0.012_8, 5.0, 1.36), (1 << 20, 0.003_3, 5.0, 1.30)];

/// The size of the CARs that the original was measured with.
const GO_MIB: u64 = 1024;

const MOST_PEAK_MIB: f64 = 64.0;

/// How many small indices are published at once, and of how many entries each.
const GROUP: u64 = 100;
const GROUP_ENTRIES: u64 = 1_000;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many entries; may be given several times.
    #[arg(long, default_values_t = [1_000_000, 10_000_000])]
    entries: Vec<u64>,
    /// Leaves out the CARs, each of which takes a GiB of the disk.
    #[arg(long)]
    without_cars: bool,
    /// MiB of data in each CAR.
    #[arg(long, default_value_t = GO_MIB)]
    mib: u64,
}

/// Measures each part.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let place = tempfile::tempdir_in(setup.place())?;
    for &entries in &options.entries {
        let figures = from_entries(setup, place.path(), entries)?;
        let title = format!("index-build: {entries} entries in random order; raw: writing and syncing as many bytes");
        report.table(&title, figures);
    }
    let title =
        format!("index-build: {GROUP} indices of {GROUP_ENTRIES} entries, which are sorted, written and synced");
    report.table(&title, group(setup, place.path())?);
    if !options.without_cars {
        let mut figures = Vec::new();
        for (block_bytes, ..) in GO {
            figures.extend(from_car(setup, place.path(), options.mib, block_bytes)?);
        }
        let title = format!(
            "index-build: walking a CARv1 of {} MiB in the cache, publishing not counted; raw: reading it",
            options.mib
        );
        report.table(&title, figures);
    }
    Ok(())
}

fn from_entries(setup: &Setup, directory: &Path, entries: u64) -> Result<Vec<Figure>> {
    let mut add = Figure::new("adding", "s", Better::Less);
    let mut publish = Figure::new("publishing", "s", Better::Less);
    let mut whole = Figure::new("both", "s", Better::Less).goal((entries == 1_000_000).then_some(Goal::Value(0.15)));
    let mut work = Figure::new("both, of the processors", "s", Better::Less);
    let mut memory = Figure::new("both, peak memory", "MiB", Better::Less).goal(Goal::Value(MOST_PEAK_MIB));
    for _ in 0..setup.runs() {
        let repo = sample::repo(directory)?;
        peak::forget()?;
        let cpu = cpu::seconds()?;
        let start = Instant::now();
        let builder = sample::filled(&repo, entries, entries)?;
        let added = start.elapsed().as_secs_f64();
        let summary = builder.publish()?;
        let all = start.elapsed().as_secs_f64();
        work.run(cpu::seconds()? - cpu);
        memory.run(peak::mib()?);
        let raw = write_and_sync(&directory.join("raw"), summary.file_bytes)?;
        add.run(added);
        publish.run_beside(all - added, raw);
        whole.run_beside(all, raw);
        std::fs::remove_file(sample::path(directory, entries)?)?;
    }
    Ok(vec![add, publish, whole, work, memory])
}

/// Writes and syncs a file, and removes it. Seconds.
fn write_and_sync(path: &Path, bytes: u64) -> Result<f64> {
    let start = Instant::now();
    let mut file = RealFileSystem.create(path)?;
    let piece = vec![7; 256 << 10];
    for at in (0..bytes).step_by(piece.len()) {
        let length = usize::try_from(bytes - at)?.min(piece.len());
        file.write_all(&piece[..length])?;
    }
    file.sync()?;
    let seconds = start.elapsed().as_secs_f64();
    RealFileSystem.remove(path)?;
    Ok(seconds)
}

fn group(setup: &Setup, directory: &Path) -> Result<Vec<Figure>> {
    let mut singly = Figure::new("one by one", "indices/s", Better::More);
    let mut at_once = Figure::new("as a group", "indices/s", Better::More);
    for _ in 0..setup.runs() {
        let repo = sample::repo(directory)?;
        let builders =
            || (0..GROUP).map(|number| sample::filled(&repo, number, GROUP_ENTRIES)).collect::<Result<Vec<_>>>();
        let remove = || -> Result<()> {
            for number in 0..GROUP {
                std::fs::remove_file(sample::path(directory, number)?)?;
            }
            Ok(())
        };
        let publish = |builders: Vec<Box<dyn IndexBuilder>>, in_group| -> Result<f64> {
            let start = Instant::now();
            if in_group {
                repo.publish_group(builders).into_iter().try_for_each(|published| published.map(drop))?;
            } else {
                builders.into_iter().try_for_each(|builder| builder.publish().map(drop))?;
            }
            Ok(GROUP as f64 / start.elapsed().as_secs_f64())
        };
        let alone = publish(builders()?, false)?;
        remove()?;
        singly.run(alone);
        at_once.run_beside(publish(builders()?, true)?, alone);
        remove()?;
    }
    Ok(vec![singly, at_once])
}

fn from_car(setup: &Setup, directory: &Path, mib: u64, block_bytes: usize) -> Result<Vec<Figure>> {
    let path = directory.join("bench.car");
    let bytes = mib * MIB;
    cars::write(&path, bytes, block_bytes)?;
    let (_, go_seconds, times, go_rate) =
        *GO.iter().find(|(bytes, ..)| *bytes == block_bytes).context("a size that is measured")?;
    let kib = block_bytes >> 10;
    // What the original did with a smaller one wasn't measured.
    let like_go = mib == GO_MIB;
    let mut jumped = Figure::new(format!("{kib} KiB, unchecked"), "ms", Better::Less)
        .go(like_go.then_some(go_seconds * 1e3))
        .goal(like_go.then_some(Goal::TimesGo(times)));
    let mut hashed = Figure::new(format!("{kib} KiB, hashed"), "GB/s", Better::More).go(like_go.then_some(go_rate));
    let mut memory =
        Figure::new(format!("{kib} KiB, peak memory"), "MiB", Better::Less).goal(Goal::Value(MOST_PEAK_MIB));
    for _ in 0..setup.runs() {
        let raw = cars::read(&path)?;
        peak::forget()?;
        let (seconds, cpu) = walk(directory, &path, false)?;
        jumped.run_beside(seconds * 1e3, raw * 1e3);
        jumped.detail("ms of a processor", cpu * 1e3);
        let (seconds, cpu) = walk(directory, &path, true)?;
        hashed.run_beside(bytes as f64 / 1e9 / seconds, bytes as f64 / 1e9 / raw);
        hashed.detail("GB for a second of a processor", bytes as f64 / 1e9 / cpu);
        memory.run(peak::mib()?);
    }
    std::fs::remove_file(&path)?;
    Ok(vec![jumped, hashed, memory])
}

/// Scans a CAR into a builder. Seconds, and of them those of the processors.
fn walk(directory: &Path, path: &Path, verify: bool) -> Result<(f64, f64)> {
    let repo = sample::repo(directory)?;
    let cpu = cpu::seconds()?;
    let start = Instant::now();
    let reader = CarReader::open(RealFileSystem.open(path)?, ReadOptions::default())?;
    let mut builder = repo.builder(sample::meta(0)?)?;
    let mut failed = None;
    reader.scan(ScanOptions::verifying(verify), |block| {
        match builder.add(block.multihash, block.offset, block.data_size) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failed.map_or(Ok(()), Err)?;
    Ok((start.elapsed().as_secs_f64(), cpu::seconds()? - cpu))
}
