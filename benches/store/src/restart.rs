//! Opening a store with many shards until the first acquire is answered, and what an idle shard takes in memory.

mod child;
mod memory;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::backend::Backend;
use crate::catalogue::{self, Catalogue, RecordCodec};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;

pub(crate) use child::Order;

use crate::cache::{Dropped, drop_cache};
use child::{Job, Told};

/// Above this many, idle shards have no index files, as they had none when the Go original was measured.
const MOST_INDEX_FILES: usize = 100_000;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many shards; may be given several times. 100,000 unless told, and 10,000 and 1,000,000, too, with --full.
    #[arg(long)]
    shards: Vec<usize>,
    /// How records are written; may be given several times.
    #[arg(long, value_enum, default_values = ["cbor", "json"])]
    codec: Vec<RecordCodec>,
}

/// How the process before had ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It had opened the store, acquired a shard and closed it.
    Closed,
    /// It had written all rows, and closed the store: they are in the datastore's log.
    ClosedAfterWriting,
    /// It had written all rows, and was killed while a shard was acquired.
    Killed,
}

/// Measures each size on each backend with each codec.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let mut sizes = options.shards.clone();
    if sizes.is_empty() {
        sizes.extend(if setup.full { &[10_000, 100_000, 1_000_000][..] } else { &[100_000] });
    }
    let place = tempfile::tempdir_in(setup.place())?;
    for size in sizes {
        let index_files = place.path().join("index-files");
        if size <= MOST_INDEX_FILES {
            catalogue::write_index_files(&index_files, 1..size)?;
        }
        let mut times = Vec::new();
        let mut memory = Vec::new();
        let mut dropped = None;
        for &backend in setup.backends() {
            for &codec in &options.codec {
                let case = Case { setup, place: place.path(), backend, codec, size };
                dropped = case.measure(&mut times, &mut memory)?;
            }
        }
        if index_files.exists() {
            fs::remove_dir_all(&index_files)?;
        }
        let how = match dropped {
            Some(Dropped::Everything) => "by /proc/sys/vm/drop_caches, which drops the program as well",
            Some(Dropped::Files) | None => "of the store's files, by posix_fadvise",
        };
        report.table(
            &format!("restart: {size} shards, until the first acquire is answered; cold: page cache dropped {how}"),
            times,
        );
        report.table(
            &format!("restart: anonymous resident bytes for each of {size} idle shards, beside an empty store"),
            memory,
        );
    }
    Ok(())
}

/// One store to measure.
struct Case<'a> {
    setup: &'a Setup,
    place: &'a Path,
    backend: Backend,
    codec: RecordCodec,
    size: usize,
}

impl Case<'_> {
    fn measure(&self, times: &mut Vec<Figure>, memory: &mut Vec<Figure>) -> Result<Option<Dropped>> {
        let mut dropped = None;
        let mut told = Vec::new();
        for ending in self.endings() {
            eprintln!("restart: {} shards, {self}, {ending}", self.size);
            let index_files = self.place.join("index-files");
            let index_files = index_files.exists().then_some(index_files);
            let catalogue = self.catalogue(self.size - 1, index_files.clone());
            let template = self.place.join("template");
            make(&catalogue, ending, &template)?;
            for cold in [false, true] {
                let cache = if cold { "cold" } else { "warm" };
                let mut figure = Figure::new(format!("{self}, {ending}, {cache}"), "s", Better::Less)
                    .go(self.go(cold))
                    .goal(self.wanted(ending).map(Goal::Value));
                for _ in 0..self.setup.runs() {
                    ending.restore(&catalogue, &template)?;
                    if cold {
                        dropped = Some(drop_cache(&catalogue.directory)?);
                    }
                    let opened = ask(Job::Open, &catalogue)?;
                    figure.run(opened.first_acquire_seconds);
                    figure.detail("s until open", opened.open_seconds);
                    figure.detail("s of CPU", opened.cpu_seconds);
                    told.extend((ending == Ending::Closed).then_some(opened));
                }
                times.push(figure);
            }
            if ending == Ending::Closed {
                memory.push(self.memory(&catalogue, &told)?);
            }
            if let Some(folder) = index_files {
                fs::rename(catalogue.index_folder(), folder)?;
            }
            fs::remove_dir_all(&catalogue.directory)?;
        }
        Ok(dropped)
    }

    /// What the shards take, beside a store that has only the one that is acquired, and what the datastore takes of it.
    fn memory(&self, catalogue: &Catalogue, told: &[Told]) -> Result<Figure> {
        let empty = self.catalogue(0, None);
        make(&empty, Ending::Closed, &self.place.join("template"))?;
        let mut figure = Figure::new(self.to_string(), "B a shard", Better::Less)
            .go((self.size >= 100_000).then_some(if self.size < 1_000_000 { 1_265.0 } else { 1_150.0 }))
            .goal(Goal::Value(220.0));
        let a_shard = |with: u64, without: u64| (with as f64 - without as f64) / catalogue.idle as f64;
        for opened in told {
            let empty_store = ask(Job::Open, &empty)?.anonymous_bytes;
            figure.run(a_shard(opened.anonymous_bytes, empty_store));
            let alone = a_shard(ask(Job::Scan, catalogue)?.anonymous_bytes, ask(Job::Scan, &empty)?.anonymous_bytes);
            figure.detail("B for a scan of the datastore alone", alone);
        }
        fs::remove_dir_all(&empty.directory)?;
        Ok(figure)
    }

    fn catalogue(&self, idle: usize, index_files: Option<PathBuf>) -> Catalogue {
        let directory = self.place.join(if idle == 0 { "empty" } else { "store" });
        Catalogue { directory, backend: self.backend, codec: self.codec, indexed: 1, idle, index_files }
    }

    /// What a datastore leaves behind doesn't depend on the codec, so one codec is enough for what isn't usual.
    fn endings(&self) -> impl Iterator<Item = Ending> {
        let unusual = [self.backend.pick(None, Some(Ending::ClosedAfterWriting)), Some(Ending::Killed)];
        let unusual = unusual.into_iter().flatten().filter(|_| self.codec == RecordCodec::Cbor);
        [Ending::Closed].into_iter().chain(unusual)
    }

    /// What the Go original took for shards that are Available.
    fn go(&self, cold: bool) -> Option<f64> {
        match (self.size, cold) {
            (10_000, false) => Some(0.046),
            (100_000, false) => Some(0.68),
            (100_000, true) => Some(0.59),
            (1_000_000, false) => Some(5.2),
            _ => None,
        }
    }

    fn wanted(&self, ending: Ending) -> Option<f64> {
        match (self.size, ending) {
            (100_000, Ending::Killed) => Some(0.12),
            (100_000, _) => Some(0.06),
            (1_000_000, Ending::Killed) => Some(0.7),
            (1_000_000, _) => Some(0.6),
            _ => None,
        }
    }
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.backend, self.codec.codec().name())
    }
}

impl Ending {
    /// Puts the datastore back to where the process before had left it. One that was only closed is left so by each run.
    fn restore(self, catalogue: &Catalogue, template: &Path) -> Result<()> {
        if self == Self::Closed {
            return Ok(());
        }
        fs::remove_dir_all(catalogue.datastore_folder())?;
        copy(template, &catalogue.datastore_folder())
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "after close",
            Self::ClosedAfterWriting => "after close, all in the log",
            Self::Killed => "after SIGKILL",
        })
    }
}

/// Makes the store, and keeps a copy of its datastore where each run begins with it.
fn make(catalogue: &Catalogue, ending: Ending, template: &Path) -> Result<()> {
    let mut making = Order::new(Job::Make, catalogue).start()?;
    let _made: String = making.hear()?;
    match ending {
        Ending::Killed => making.kill()?,
        Ending::Closed | Ending::ClosedAfterWriting => making.end()?,
    }
    if ending == Ending::Closed {
        // Moves what the datastore has in its log only to where it stays.
        let _settled = ask(Job::Open, catalogue)?;
        return Ok(());
    }
    if template.exists() {
        fs::remove_dir_all(template)?;
    }
    copy(&catalogue.datastore_folder(), template)
}

fn ask(job: Job, catalogue: &Catalogue) -> Result<Told> {
    let mut running = Order::new(job, catalogue).start()?;
    let told = running.hear()?;
    running.end()?;
    Ok(told)
}

/// Copies a folder that holds files only.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
