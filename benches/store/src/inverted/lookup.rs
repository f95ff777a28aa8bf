//! Looking fingerprints up: those that are there, those that aren't, warm and cold, at rest and while compacting.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Args;
use dagstore::datastore::Datastore;

use super::{INVERTED, Place, at_rest, fingerprint, fingerprints, load, mixed};
use crate::backend::Backend;
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::{cache, cpu};

/// What the Go original took among 11,000,000.
const GO_PRESENT: f64 = 25.0;
const GO_COLD: f64 = 57.0;
const GO_ABSENT: f64 = 21.0;

/// How many rows are asked for.
const LIMIT: usize = 16;

/// Looked up before the clock starts, so that what fits into the caches is there.
const WARM_UP: u64 = 300_000;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many fingerprints a shard has; a third on redb.
    #[arg(long, default_value_t = 1_000_000)]
    blocks: u64,
    /// How many shards there are; 11 with --full.
    #[arg(long, default_value_t = 3)]
    shards: u64,
    /// How many fingerprints are looked up for each figure; a hundredth of that where they are cold.
    #[arg(long, default_value_t = 200_000)]
    lookups: u64,
    /// MiB of the datastore's cache; may be given several times.
    #[arg(long, default_values_t = [64, 512])]
    cache_mib: Vec<usize>,
}

/// Measures each backend with each size of its cache.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shards = if setup.full { options.shards.max(11) } else { options.shards };
    for &cache_mib in &options.cache_mib {
        let mut figures = Vec::new();
        for &backend in setup.backends() {
            let blocks = backend.pick(options.blocks / 3, options.blocks);
            let held = Held { shards, blocks };
            let place = Place::new(setup, backend, cache_mib)?;
            figures.extend(runtime.block_on(measure(setup, held, &place, options.lookups))?);
        }
        let title = format!(
            "inverted-lookup: one task after the other's answer, at most {LIMIT} rows each, a cache of {cache_mib} MiB"
        );
        report.table(&title, figures);
    }
    Ok(())
}

/// What is there.
#[derive(Debug, Clone, Copy)]
struct Held {
    shards: u64,
    blocks: u64,
}

async fn measure(setup: &Setup, held: Held, place: &Place, lookups: u64) -> Result<Vec<Figure>> {
    let mut figures = figures(place.backend, held);
    let [loaded, present, absent, cold, both] = &mut figures;
    let store = place.open().await?;
    for shard in 0..held.shards {
        load(&store, &fingerprints(shard, held.blocks), shard).await?;
    }
    micros(&store, held, Kind::Present, 0, lookups).await?.run(loaded);
    at_rest().await?;
    micros(&store, held, Kind::Present, 0, WARM_UP).await?;
    for run in 1..=setup.runs() as u64 {
        micros(&store, held, Kind::Present, run, lookups).await?.run(present);
        micros(&store, held, Kind::Absent, run, lookups).await?.run(absent);
    }
    store.close().await?;
    for run in 1..=setup.runs() as u64 {
        cache::forget(&place.path().parent().map(ToOwned::to_owned).unwrap_or_default())?;
        let store = place.open().await?;
        // The first one opens the files.
        micros(&store, held, Kind::Present, 0, 20).await?;
        micros(&store, held, Kind::Present, run, lookups / 100).await?.run(cold);
        store.close().await?;
    }
    let store = place.open().await?;
    micros(&store, held, Kind::Present, 0, WARM_UP).await?;
    for run in 1..=setup.runs() as u64 {
        let tasks = (0..2).map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { micros(&store, held, Kind::Present, run << 8 | task, lookups).await })
        });
        let mut sum = Micros { passed: 0.0, on_cpu: 0.0 };
        for task in tasks.collect::<Vec<_>>() {
            let Micros { passed, on_cpu } = task.await??;
            sum = Micros { passed: sum.passed + passed / 2.0, on_cpu: sum.on_cpu + on_cpu / 4.0 };
        }
        sum.run(both);
    }
    store.close().await?;
    Ok(figures.into())
}

fn figures(backend: Backend, Held { shards, blocks }: Held) -> [Figure; 5] {
    let all = shards * blocks;
    let figure = |what: &str| Figure::new(format!("{backend}, {what} among {all}"), "us", Better::Less);
    let goal = |value| backend.pick(None, Some(Goal::Value(value)));
    [
        figure("present, right behind the loads,").go(GO_PRESENT).goal(goal(8.0)),
        figure("present").go(GO_PRESENT).goal(goal(3.0)),
        figure("absent").go(GO_ABSENT).goal(goal(1.0)),
        figure("present, cold,").go(GO_COLD),
        figure("present, two tasks at once,").go(GO_PRESENT),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Present,
    Absent,
}

/// Microseconds for each look-up.
struct Micros {
    passed: f64,
    /// Of the processors, the datastore's own threads included.
    on_cpu: f64,
}

impl Micros {
    fn run(&self, figure: &mut Figure) {
        figure.run(self.passed);
        figure.detail("us of CPU each", self.on_cpu);
    }
}

/// What so many look-ups take, one after the other; other ones for another `seed`.
async fn micros(store: &Arc<dyn Datastore>, held: Held, kind: Kind, seed: u64, lookups: u64) -> Result<Micros> {
    let store = Arc::clone(store);
    let looking = tokio::spawn(async move {
        let (begin, cpu) = (Instant::now(), cpu::seconds()?);
        for number in 0..lookups {
            let random = mixed(seed << 40 | number);
            let (shard, block) = (random % held.shards, (random >> 32) % held.blocks);
            let shard = if kind == Kind::Present { shard } else { shard + held.shards };
            let rows = store.rows(INVERTED, &fingerprint(shard, block), None, LIMIT).await?;
            ensure!(rows.len() == usize::from(kind == Kind::Present), "{} rows of block {block}", rows.len());
        }
        let each = 1e6 / lookups as f64;
        Ok(Micros { passed: begin.elapsed().as_secs_f64() * each, on_cpu: (cpu::seconds()? - cpu) * each })
    });
    looking.await?
}
