//! Encoding and decoding shard records with every codec that a store can read, beside a sync and a look-up.

mod instructions;
mod picture;
mod records;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use dagstore::codec::{Codec, Codecs, ShardRecord};

use crate::backends::{Rows, Subject};
use crate::figure::{Better, Figure};
use crate::machine;
use crate::report::Report;
use crate::setup::Setup;

pub(crate) use instructions::Order;
use picture::Bar;

/// How long a run encodes or decodes the same record.
const RUN: Duration = Duration::from_millis(25);

/// Rows that are looked up, and how often.
const ROWS: usize = 100_000;
const LOOK_UPS: usize = 20_000;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where the picture goes; there is none if not given.
    #[arg(long)]
    picture: Option<PathBuf>,
    /// Leaves out the counting of instructions, for which valgrind is needed.
    #[arg(long)]
    without_instructions: bool,
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    Encode,
    Decode,
}

/// A codec, a record, and what the codec makes of it.
struct Case<'a> {
    codec: &'a dyn Codec,
    record: ShardRecord,
    bytes: Vec<u8>,
}

impl<'a> Case<'a> {
    /// Nothing where the codec only reads.
    fn new(codec: &'a dyn Codec, record: &ShardRecord) -> Result<Option<Self>> {
        let mut bytes = Vec::new();
        if codec.encode(record, &mut bytes).is_err() {
            return Ok(None);
        }
        let decoded = codec.decode(codec.version(), &bytes)?;
        anyhow::ensure!(decoded == *record, "{} gives another record back", codec.name());
        Ok(Some(Self { codec, record: decoded, bytes }))
    }

    fn work(&self, work: Work, times: u64) -> Result<()> {
        match work {
            Work::Encode => {
                let mut bytes = Vec::with_capacity(self.bytes.len());
                for _ in 0..times {
                    bytes.clear();
                    self.codec.encode(black_box(&self.record), &mut bytes)?;
                    black_box(&mut bytes);
                }
            }
            Work::Decode => {
                for _ in 0..times {
                    black_box(self.codec.decode(self.codec.version(), black_box(&self.bytes))?);
                }
            }
        }
        Ok(())
    }

    fn seconds(&self, work: Work, times: u64) -> Result<f64> {
        let start = Instant::now();
        self.work(work, times)?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// How often it takes to fill a run.
    fn times(&self, work: Work) -> Result<u64> {
        let mut times = 64;
        while self.seconds(work, times)? < RUN.as_secs_f64() {
            times *= 2;
        }
        Ok(times)
    }
}

/// Measures each record with each codec, then what stands beside it.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let codecs = Codecs::default();
    let counts = !options.without_instructions && instructions::can_be_counted();
    let mut bars = Vec::new();
    for (name, record) in records::all()? {
        let mut cases = Vec::new();
        for codec in codecs.all() {
            cases.extend(Case::new(codec, &record)?);
        }
        let mut figures = Vec::new();
        for work in [Work::Encode, Work::Decode] {
            let measured = measured(setup.runs(), &cases, work)?;
            for (case, mut figure) in cases.iter().zip(measured) {
                figure.detail("bytes", case.bytes.len() as f64);
                let counted = if counts { Some(instructions::count(case.codec.name(), name, work)?) } else { None };
                if let Some(counted) = counted {
                    figure.detail("instructions", counted);
                }
                let (codec, bytes, nanoseconds) = (case.codec.name(), case.bytes.len(), figure.median());
                bars.push(Bar { record: name, codec, work, bytes, nanoseconds, instructions: counted });
                figures.push(figure);
            }
        }
        let title = format!("codecs: {name}, the same record again and again in one thread; raw: the first codec");
        report.table(&title, figures);
    }
    if !counts {
        println!("\ninstructions were not counted: valgrind is missing, or not wanted");
    }
    beside(setup, report)?;
    if let Some(path) = &options.picture {
        std::fs::write(path, picture::draw(&bars)).with_context(|| format!("writing {}", path.display()))?;
        println!("\npicture: {}", path.display());
    }
    Ok(())
}

/// One figure for each case, run in turns so that what else the machine does meets all of them.
fn measured(runs: usize, cases: &[Case<'_>], work: Work) -> Result<Vec<Figure>> {
    let what = if work == Work::Encode { "encode" } else { "decode" };
    let mut figures: Vec<_> =
        cases.iter().map(|case| Figure::new(format!("{}, {what}", case.codec.name()), "ns", Better::Less)).collect();
    let times = cases.iter().map(|case| case.times(work)).collect::<Result<Vec<_>>>()?;
    for _ in 0..runs {
        let mut first = None;
        for ((case, figure), &times) in cases.iter().zip(&mut figures).zip(&times) {
            let nanoseconds = case.seconds(work, times)? * 1e9 / times as f64;
            figure.run_beside(nanoseconds, *first.get_or_insert(nanoseconds));
        }
    }
    Ok(figures)
}

/// What a record's other costs are, so that those of a codec can be judged.
fn beside(setup: &Setup, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut sync = Figure::new("an append of 300 bytes and its fdatasync", "ns", Better::Less);
    for _ in 0..setup.runs() {
        sync.run(machine::sync_us(&setup.place())? * 1e3);
    }
    let mut figures = vec![sync];
    for subject in Subject::all(setup) {
        let mut look_up = Figure::new(format!("{subject}, a row looked up"), "ns", Better::Less);
        let place = tempfile::tempdir_in(setup.place())?;
        runtime.block_on(async {
            let rows = Rows::make(Codecs::default().writer(), ROWS)?;
            let datastore = subject.open(place.path()).await?;
            rows.fill(&datastore).await?;
            for run in 0..setup.runs() {
                look_up.run(rows.look_up_seconds(&datastore, LOOK_UPS, run).await? * 1e9 / LOOK_UPS as f64);
            }
            anyhow::Ok(datastore.close().await?)
        })?;
        figures.push(look_up);
    }
    let title =
        format!("codecs: what stands beside them; look-ups of random rows among {ROWS}, warm, one after the other");
    report.table(&title, figures);
    Ok(())
}
