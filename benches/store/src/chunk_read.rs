//! Reading blocks of a source that is far away, through the cache of chunks.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use bytes::Bytes;
use clap::Args;
use dagstore::fs::{OwnName, ReadAtExt, RealFileSystem};
use dagstore::mount::{self, Capabilities, Mount, Stat};
use dagstore_transient::{Copies, CopyState, RemoteReader};
use dagstore_types::{Attempt, Registration, ShardKey};

use crate::cars::MIB;
use crate::figure::{Better, Figure};
use crate::report::Report;
use crate::setup::Setup;
use crate::shards::split_mix;

/// So many reads are one run.
const READS: u64 = 24;
/// What the line carries, in bytes a second.
const LINE: f64 = 100e6;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// MiB of the source, which is in memory.
    #[arg(long, default_value_t = 256)]
    mib: u64,
    /// How long a request takes before its first byte, in milliseconds.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 20])]
    delay: Vec<u64>,
    /// The sizes of chunks, in KiB.
    #[arg(long, value_delimiter = ',', default_values_t = [16, 64, 256, 1024])]
    chunk: Vec<u32>,
}

/// Measures each delay with each size of chunks.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let data: Vec<u8> = (0..options.mib * MIB / 8).flat_map(|place| split_mix(place).to_le_bytes()).collect();
    let data = Bytes::from(data);
    let mut figures = Vec::new();
    for delay in &options.delay {
        for chunk in &options.chunk {
            let far = Far::new(data.clone(), Duration::from_millis(*delay));
            figures.extend(runtime.block_on(measure(setup, &far, *chunk))?);
        }
    }
    let title = format!(
        "chunk-read: blocks of a source of {} MiB behind a delay and a line of {} MB a second, one task",
        options.mib,
        LINE / 1e6
    );
    report.table(&title, figures);
    Ok(())
}

async fn measure(setup: &Setup, far: &Far, chunk: u32) -> Result<Vec<Figure>> {
    let name = |what: &str| format!("{} ms, chunks of {chunk} KiB: {what}", far.delay.as_millis());
    let mut figures = [
        Figure::new(name("1 KiB, cold"), "us", Better::Less),
        Figure::new(name("1 KiB, kept"), "us", Better::Less),
        Figure::new(name("256 KiB, cold"), "us", Better::Less),
        Figure::new(name("1 KiB, 24 within 128 KiB, cold"), "us", Better::Less),
        Figure::new(name("1 KiB in order, cold"), "us", Better::Less),
    ];
    for run in 0..setup.runs() as u64 {
        let place = tempfile::tempdir_in(setup.place())?;
        let (copies, reader) = open(place.path(), far, chunk).await?;
        let seed = split_mix(run);
        let size = far.data.len() as u64;
        let anywhere = |number: u64| split_mix(seed + number) % (size - (1 << 20));
        let near = |number: u64| seed % (size / 2) + split_mix(number) % (127 << 10);
        measured(&mut figures[0], far, &reader, 1 << 10, anywhere).await?;
        settled(&copies).await;
        measured(&mut figures[1], far, &reader, 1 << 10, anywhere).await?;
        measured(&mut figures[2], far, &reader, 256 << 10, |number| anywhere(number + READS)).await?;
        measured(&mut figures[3], far, &reader, 1 << 10, near).await?;
        let begin = anywhere(1 << 20);
        sequence(&mut figures[4], far, &reader, begin).await?;
    }
    Ok(figures.into())
}

async fn open(place: &Path, far: &Far, chunk: u32) -> Result<(Copies, RemoteReader)> {
    let mut options = dagstore_transient::Options::default();
    options.remote_chunk_bytes = chunk << 10;
    let copies = Copies::open(Arc::new(RealFileSystem), place, options)?;
    let name = OwnName::new(&ShardKey::new("far")?, Registration(1), Attempt(0));
    let reader = copies.remote(name, Arc::new(far.clone()), far.stat().await?).await?;
    Ok((copies, reader))
}

/// Waits until what came is written down, so that it isn't measured with what follows.
async fn settled(copies: &Copies) {
    let done =
        || copies.list().iter().filter(|info| info.state == CopyState::Chunks).map(|info| info.done).sum::<u64>();
    let mut before = None;
    while before.replace(done()) != Some(done()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads `READS` blocks, on a thread for blocking work, as the store does.
async fn measured(
    figure: &mut Figure,
    far: &Far,
    reader: &RemoteReader,
    len: usize,
    place: impl Fn(u64) -> u64,
) -> Result<()> {
    let places: Vec<_> = (0..READS).map(place).collect();
    read_all(figure, far, reader, len, places).await
}

/// Reads 4 MiB in order.
async fn sequence(figure: &mut Figure, far: &Far, reader: &RemoteReader, begin: u64) -> Result<()> {
    read_all(figure, far, reader, 1 << 10, (0..4 << 10).map(|number| begin + number * (1 << 10)).collect()).await
}

async fn read_all(figure: &mut Figure, far: &Far, reader: &RemoteReader, len: usize, places: Vec<u64>) -> Result<()> {
    let (requests, bytes) = far.counts();
    let (reader, count) = (reader.clone(), places.len() as f64);
    let begun = Instant::now();
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; len];
        for place in places {
            reader.read_exact_at(place, &mut buffer)?;
            black_box(&buffer);
        }
        std::io::Result::Ok(())
    });
    read.await??;
    figure.run(begun.elapsed().as_secs_f64() * 1e6 / count);
    let (more_requests, more_bytes) = far.counts();
    figure.detail("requests a read", (more_requests - requests) as f64 / count);
    figure.detail("KiB a read", (more_bytes - bytes) as f64 / 1024.0 / count);
    Ok(())
}

/// A source in memory behind a delay and a line.
#[derive(Debug, Clone)]
struct Far {
    data: Bytes,
    delay: Duration,
    requests: Arc<AtomicU64>,
    bytes: Arc<AtomicU64>,
}

impl Far {
    fn new(data: Bytes, delay: Duration) -> Self {
        Self { data, delay, requests: Arc::default(), bytes: Arc::default() }
    }

    /// Requests and bytes so far.
    fn counts(&self) -> (u64, u64) {
        (self.requests.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Mount for Far {
    fn capabilities(&self) -> Capabilities {
        Capabilities::REMOTE
    }

    fn location(&self) -> String {
        "far".to_owned()
    }

    fn instantiate(&self, _: &str) -> mount::Result<Arc<dyn Mount>> {
        Ok(Arc::new(self.clone()))
    }

    async fn stat(&self) -> mount::Result<Stat> {
        Ok(Stat::new(self.data.len() as u64, Some("1".to_owned())))
    }

    async fn read(&self, at: u64, len: usize, _: &Stat) -> mount::Result<Bytes> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        tokio::time::sleep(self.delay + Duration::from_secs_f64(len as f64 / LINE)).await;
        let begin = (at as usize).min(self.data.len());
        Ok(self.data.slice(begin..(begin + len).min(self.data.len())))
    }
}
