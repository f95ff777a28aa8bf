//! Each datastore by itself: durable writes, reads, scans, opening; then each codec over each.

mod rows;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use dagstore::codec::Codec;
use dagstore::datastore::{Batch, Datastore, Durability, MemoryDatastore};

use crate::backend::Backend;
use crate::catalogue::RecordCodec;
use crate::figure::{Better, Figure};
use crate::machine;
use crate::report::Report;
use crate::setup::Setup;
use crate::shards::SHARDS;

pub(crate) use rows::Rows;

/// Tasks that write at once, and rows of a batch.
const WRITERS: usize = 64;
const BATCH: usize = 1_000;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many rows are scanned, looked up and opened; ten times as many with --full.
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
    /// How many rows are written, each durable by itself; as many again by 64 tasks at once.
    #[arg(long, default_value_t = 1_000)]
    writes: usize,
}

/// A datastore that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    Memory,
    Embedded(Backend),
    /// One that is reached by a URL.
    Postgres(&'a str),
}

impl<'a> Subject<'a> {
    /// Memory, and the backends that are wanted.
    pub(crate) fn all(setup: &'a Setup) -> Vec<Self> {
        let embedded = setup.backends().iter().copied().map(Self::Embedded);
        [Self::Memory].into_iter().chain(embedded).chain(setup.postgres.as_deref().map(Self::Postgres)).collect()
    }

    /// Opens it; the memory's is empty each time.
    pub(crate) async fn open(self, place: &Path) -> Result<Arc<dyn Datastore>> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryDatastore::new())),
            Self::Embedded(backend) => backend.open(&place.join("datastore")).await,
            Self::Postgres(url) => open_postgres(url, place).await,
        }
    }

    fn survives_closing(self) -> bool {
        !matches!(self, Self::Memory)
    }
}

/// Opens a table of the place's own.
#[cfg(feature = "postgres")]
async fn open_postgres(url: &str, place: &Path) -> Result<Arc<dyn Datastore>> {
    let name = place.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let table: String = "bench_".chars().chain(name.chars().filter(char::is_ascii_alphanumeric)).collect();
    let builder = dagstore::postgres::PostgresDatastore::builder().table(table).create_if_missing(true);
    Ok(Arc::new(builder.open(url).await?))
}

#[cfg(not(feature = "postgres"))]
#[expect(clippy::unused_async, reason = "the same call, whatever is built in")]
async fn open_postgres(_: &str, _: &Path) -> Result<Arc<dyn Datastore>> {
    anyhow::bail!("this program was built without PostgreSQL: build it with --features postgres")
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Embedded(backend) => backend.fmt(f),
            Self::Postgres(_) => f.write_str("PostgreSQL"),
        }
    }
}

/// Measures each datastore, then each codec over each.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let count = if setup.full { options.rows * 10 } else { options.rows };
    let rows = Rows::make(&*RecordCodec::Cbor.codec(), count)?;
    for subject in Subject::all(setup) {
        let mut figures = Figures::new(count);
        for run in 0..setup.runs() {
            runtime.block_on(figures.measure(setup, subject, options, &rows, run))?;
        }
        let title = format!(
            "backends: {subject}, rows of a lazy shard in CBOR, {} bytes; raw: as many appends of 300 bytes, each with its fdatasync",
            rows.row_bytes()
        );
        report.table(&title, figures.into_vec());
    }
    let mut figures = Vec::new();
    for subject in Subject::all(setup) {
        for codec in [RecordCodec::Cbor, RecordCodec::Json] {
            figures.extend(runtime.block_on(round_trips(setup, subject, &*codec.codec(), options.writes))?);
        }
    }
    let title = format!(
        "codec x backend: {BATCH} records encoded, written as one synced batch, each read again and decoded; singly: {} records, each durable before it is read",
        options.writes
    );
    report.table(&title, figures);
    Ok(())
}

/// What is measured of one datastore.
struct Figures {
    single: Figure,
    together: Figure,
    batched: Figure,
    look_up: Figure,
    scan: Figure,
    open: Figure,
}

impl Figures {
    fn new(rows: usize) -> Self {
        let rate = |what: String| Figure::new(what, "rows/s", Better::More);
        Self {
            single: rate("one row after the other, each durable".to_owned()),
            together: rate(format!("{WRITERS} tasks at once, each row durable")),
            batched: rate(format!("durable batches of {BATCH}")),
            look_up: Figure::new(format!("a row looked up among {rows}"), "us", Better::Less),
            scan: rate(format!("a scan of {rows}")),
            open: Figure::new(format!("closed with {rows}, opened, first row read"), "ms", Better::Less),
        }
    }

    async fn measure(
        &mut self,
        setup: &Setup,
        subject: Subject<'_>,
        options: &Options,
        rows: &Rows,
        run: usize,
    ) -> Result<()> {
        let place = tempfile::tempdir_in(setup.place())?;
        let datastore = subject.open(place.path()).await?;
        // The first write makes the table.
        datastore.write(rows.batch(0..1), Durability::Synced).await?;
        let raw = 1e6 / machine::sync_us(&setup.place())?;
        let writes = options.writes.min(rows.len());
        self.single.run_beside(writes as f64 / rows.put_singly(&datastore, writes, 1).await?, raw);
        self.together.run_beside(writes as f64 / rows.put_singly(&datastore, writes, WRITERS).await?, raw);
        self.batched.run_beside(rows.len() as f64 / rows.fill(&datastore).await?, raw);
        let looked_up = rows.len().min(20_000);
        self.look_up.run(rows.look_up_seconds(&datastore, looked_up, run).await? * 1e6 / looked_up as f64);
        self.scan.run(rows.len() as f64 / rows.scan_seconds(&datastore).await?);
        datastore.close().await?;
        if subject.survives_closing() {
            let start = Instant::now();
            let datastore = subject.open(place.path()).await?;
            rows.look_up_seconds(&datastore, 1, 0).await?;
            self.open.run(start.elapsed().as_secs_f64() * 1e3);
            datastore.close().await?;
        }
        Ok(())
    }

    fn into_vec(self) -> Vec<Figure> {
        let Self { single, together, batched, look_up, scan, open } = self;
        [single, together, batched, look_up, scan, open].into_iter().filter(|figure| !figure.is_empty()).collect()
    }
}

/// Records through a codec into a datastore and back.
async fn round_trips(setup: &Setup, subject: Subject<'_>, codec: &dyn Codec, singly: usize) -> Result<Vec<Figure>> {
    let what = |how: &str| format!("{subject}, {}, {how}", codec.name());
    let mut together = Figure::new(what("a batch"), "us", Better::Less);
    let mut alone = Figure::new(what("singly"), "us", Better::Less);
    for _ in 0..setup.runs() {
        let place = tempfile::tempdir_in(setup.place())?;
        let datastore = subject.open(place.path()).await?;
        datastore.write(Rows::make(codec, 1)?.batch(0..1), Durability::Synced).await?;
        together.run(round_trip(&datastore, codec, BATCH, BATCH).await?);
        alone.run(round_trip(&datastore, codec, singly, 1).await?);
        datastore.close().await?;
    }
    Ok(vec![together, alone])
}

/// Microseconds for each record, `at_once` of them in a synced batch.
async fn round_trip(datastore: &Arc<dyn Datastore>, codec: &dyn Codec, count: usize, at_once: usize) -> Result<f64> {
    let records = rows::records(count)?;
    let codecs = dagstore::codec::Codecs::default();
    let start = Instant::now();
    for records in records.chunks(at_once) {
        let mut batch = Batch::new();
        for record in records {
            let row = dagstore::codec::encode_row(codec, record)?;
            batch.put(SHARDS, &record.registration.0.to_be_bytes(), &row);
        }
        datastore.write(batch, Durability::Synced).await?;
        for record in records {
            let found = rows::found(datastore, record.registration.0).await?;
            let decoded = dagstore::codec::Row::split(&found)?.decode(&codecs)?;
            anyhow::ensure!(decoded == *record, "{} came back as another record", record.key);
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / count as f64)
}
