//! Opening an index and asking it.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use dagstore::car::MultihashRef;
use dagstore::fs::{FileSystem, RealFileSystem};
use dagstore::index::{FsIndexRepo, FullIndex, IndexRepo};

use super::sample::{self, KEY, Multihash, multihash, scattered};
use crate::cpu;
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;

/// So many multihashes are asked for.
const ASKED: usize = 500_000;

/// So many of them with nothing in the cache.
const ASKED_COLD: usize = 1_000;

/// What the original takes to open an index, in microseconds, by its entries.
const GO_OPEN_US: [(u64, f64); 4] = [(1_000, 46.0), (100_000, 1_900.0), (1_000_000, 14_500.0), (10_000_000, 139_000.0)];

/// What it takes for a look-up in the smallest and in the largest.
const GO_LOOK_UP_US: [(u64, f64); 2] = [(1_000, 0.3), (10_000_000, 1.3)];

/// The bytes of an entry of the original, in the file and in memory.
const GO_ENTRY_BYTES: f64 = 40.0;

const MOST_OPEN_US: f64 = 20.0;
const MOST_ENTRY_BYTES: f64 = 24.0;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many entries; may be given several times.
    #[arg(long, default_values_t = [1_000, 100_000, 1_000_000, 10_000_000])]
    entries: Vec<u64>,
}

/// Measures each size, mapped and by positioned reads.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let place = tempfile::tempdir_in(setup.place())?;
    for &entries in &options.entries {
        let repo = sample::repo(place.path())?;
        let summary = sample::filled(&repo, entries, entries)?.publish()?;
        let path = sample::path(place.path(), entries)?;
        let mut size = Figure::new("file", "B an entry", Better::Less).go(GO_ENTRY_BYTES);
        // The header and the last page count for something below.
        size = size.goal((entries >= 100_000).then_some(Goal::Value(MOST_ENTRY_BYTES)));
        size.run(summary.file_bytes as f64 / entries as f64);
        let mut figures = vec![size];
        for is_mapped in [true, false] {
            let bench = Bench { repo: sample::repo(place.path())?.with_mapping(is_mapped), path: &path, entries };
            figures.extend(bench.figures(setup.runs(), is_mapped)?);
        }
        let title = format!(
            "index-open: {entries} entries; look-ups of {ASKED} random multihashes, the cache warm unless told; raw: reading 1,024 bytes somewhere in the file"
        );
        report.table(&title, figures);
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

struct Bench<'a> {
    repo: FsIndexRepo,
    path: &'a Path,
    entries: u64,
}

impl Bench<'_> {
    fn figures(&self, runs: usize, is_mapped: bool) -> Result<Vec<Figure>> {
        let how = if is_mapped { "mapped" } else { "read" };
        let figure = |what: &str, unit| Figure::new(format!("{how}, {what}"), unit, Better::Less);
        let of = |known: &[(u64, f64)]| known.iter().find(|(size, _)| *size == self.entries).map(|(_, go)| *go);
        let most = if is_mapped { 0.25 } else { 1.0 };
        let look_up = |what: &str| figure(what, "us").go(of(&GO_LOOK_UP_US)).goal(Goal::Value(most));
        let mut open = figure("open", "us").go(of(&GO_OPEN_US)).goal(Goal::Value(MOST_OPEN_US));
        let mut first = figure("open and first look-up", "us").go(of(&GO_OPEN_US));
        let mut touched = figure("present, pages new to the process", "us");
        let mut present = look_up("present");
        let mut dependent = look_up("present, each after the other");
        let mut absent = look_up("absent");
        let mut walk =
            Figure::new(format!("{how}, all fingerprints"), "million/s", Better::More).goal(Goal::Value(50.0));
        let mut cold_first = figure("cold, open and first look-up", "us");
        let mut cold = figure("cold, present", "us").goal(Goal::OfRaw(2.0));
        let (known, unknown) = (self.asked(0), self.asked(self.entries));
        for _ in 0..runs {
            let raw = if is_mapped { self.raw_map_us(known.len())? } else { self.raw_us(known.len(), false)? };
            open.run(self.open_us()?);
            first.run(us(1, || ask(&*self.open()?, &known[..1], false).map(|_| ()))?);
            let index = self.open()?;
            touched.run_beside(us(known.len(), || ask(&*index, &known, false).map(|_| ()))?, raw);
            // What is left untouched by now is a page in a hundred at most.
            for number in (0..self.entries).step_by(5) {
                black_box(index.find_first(MultihashRef::parse(&multihash(number))?)?);
            }
            for (figure, asked, in_turn) in
                [(&mut present, &known, false), (&mut dependent, &known, true), (&mut absent, &unknown, true)]
            {
                let cpu = cpu::seconds()?;
                figure.run_beside(us(asked.len(), || ask(&*index, asked, in_turn).map(|_| ()))?, raw);
                figure.detail("us of a processor", (cpu::seconds()? - cpu) * 1e6 / asked.len() as f64);
            }
            walk.run(1.0 / us(usize::try_from(self.entries)?, || all(index.clone()))?);
            drop(index);
            sample::forget(self.path)?;
            let raw = self.raw_us(ASKED_COLD, true)?;
            sample::forget(self.path)?;
            let start = Instant::now();
            let index = self.open()?;
            ask(&*index, &known[..1], false)?;
            cold_first.run(start.elapsed().as_secs_f64() * 1e6);
            let some = &known[1..=ASKED_COLD.min(known.len() - 1)];
            cold.run_beside(us(some.len(), || ask(&*index, some, false).map(|_| ()))?, raw);
        }
        Ok(vec![open, first, touched, present, dependent, absent, walk, cold_first, cold])
    }

    fn open(&self) -> Result<Arc<dyn FullIndex>> {
        self.repo.open(sample::meta(self.entries)?.name)?.context("the index is there")
    }

    fn open_us(&self) -> Result<f64> {
        let name = sample::meta(self.entries)?.name;
        us(1000, || {
            for _ in 0..1000 {
                black_box(self.repo.open(name)?);
            }
            Ok(())
        })
    }

    /// Random multihashes of numbers from this one on.
    fn asked(&self, from: u64) -> Vec<Multihash> {
        (0..ASKED as u64).map(|at| multihash(from + scattered(at) % self.entries)).collect()
    }

    /// What reading 8 bytes somewhere in the mapped file takes, each after the one before.
    fn raw_map_us(&self, times: usize) -> Result<f64> {
        let file = RealFileSystem.open_mapped(self.path)?;
        let words = file.bytes().context("the file can be mapped")?.as_chunks::<8>().0;
        let at = |number: u64, before: [u8; 8]| {
            (scattered(number) % words.len() as u64) as usize ^ usize::from(before == [0xa5; 8])
        };
        // The first round is that of the page faults.
        for word in words.iter().step_by(512) {
            black_box(*word);
        }
        us(times, || {
            let mut word = [0; 8];
            for number in 0..times as u64 {
                word = black_box(words[at(number, word).min(words.len() - 1)]);
            }
            Ok(())
        })
    }

    /// What a positioned read of the file takes, somewhere.
    fn raw_us(&self, times: usize, in_whole_pages: bool) -> Result<f64> {
        let file = File::open(self.path)?;
        let mut buffer = vec![0; if in_whole_pages { 4096 } else { 1024 }];
        let length = buffer.len() as u64;
        let places = file.metadata()?.len() / length;
        us(times, || {
            for at in 0..times as u64 {
                file.read_at(&mut buffer, scattered(at) % places * length)?;
                black_box(&buffer);
            }
            Ok(())
        })
    }
}

/// Asks for these, as often as one has a place; `in_turn` if no look-up can begin before the one before has ended.
fn ask(index: &dyn FullIndex, multihashes: &[Multihash], in_turn: bool) -> Result<u64> {
    let (mut at, mut found) = (0, 0);
    for _ in 0..multihashes.len() {
        let location = index.find_first(MultihashRef::parse(&multihashes[at])?)?;
        found += u64::from(location.is_some());
        let depends = location.map_or(0, |location| usize::from(location.offset > 1 << 39));
        at = (at + 1 + if in_turn { black_box(depends) } else { 0 }) % multihashes.len();
    }
    Ok(found)
}

/// Walks over all fingerprints.
fn all(index: Arc<dyn FullIndex>) -> Result<()> {
    for fingerprint in index.fingerprints(KEY) {
        black_box(fingerprint?);
    }
    Ok(())
}

/// Microseconds for each of so many.
fn us(times: usize, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1e6 / times as f64)
}
