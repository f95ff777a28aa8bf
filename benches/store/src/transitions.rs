//! Acquiring and releasing hot shards: how many pairs a second, and how few of them are written down.

mod elision;
mod pairs;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use dagstore::Dagstore;
use dagstore::datastore::Datastore;
use tokio::runtime::Runtime;

use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::shards;

/// How many threads run the callers.
const THREADS: usize = 2;

/// How many shards are hot where there are many.
const MANY: usize = 10_000;

/// How many registrations are under way at once while the shards are made.
const IN_FLIGHT: usize = 256;

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many tasks acquire and release at once; may be given several times.
    #[arg(long, default_values_t = [1, 16, 256])]
    tasks: Vec<usize>,
    /// How long each run takes, in milliseconds.
    #[arg(long, default_value_t = 400)]
    milliseconds: u64,
    /// For how many seconds the pairs are spread whose writes are counted.
    #[arg(long, default_value_t = 5)]
    elision_seconds: u64,
}

/// Measures pairs on one shard and over many, then counts what is written of them.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let duration = Duration::from_millis(options.milliseconds);
    let mut figures = Vec::new();
    for shards in [1, MANY] {
        // In memory, so that the making of the shards doesn't take most of the time. Pairs don't wait for the datastore.
        let store = runtime.block_on(hot_shards(Arc::new(dagstore::datastore::MemoryDatastore::new()), shards))?;
        for company in [pairs::Company::Reader, pairs::Company::Watcher, pairs::Company::Nobody] {
            let _held = runtime.block_on(company.acquire(&store, shards))?;
            let watching = company.watch(&runtime, &store);
            for &tasks in &options.tasks {
                let mut figure = Figure::new(what(tasks, shards, company), "pairs/s", Better::More)
                    .go(go(tasks))
                    .goal(Goal::Value(wanted(tasks, shards)));
                for _ in 0..setup.runs() {
                    let pairs = pairs::measure(&runtime, &store, tasks, shards, duration)?;
                    figure.run(pairs.a_second);
                    figure.detail("tasks had a turn", pairs.tasks_with_a_turn);
                }
                figures.push(figure);
            }
            if let Some(watching) = watching {
                watching.abort();
            }
        }
        close(&runtime, store)?;
    }
    report.table(
        &format!("transitions: acquire and release of hot shards, {THREADS} threads, each run {duration:?}; datastore and indices in memory"),
        figures,
    );
    elision::run(setup, &runtime, options.elision_seconds, report)
}

fn what(tasks: usize, shards: usize, company: pairs::Company) -> String {
    let tasks = if tasks == 1 { "1 task".to_owned() } else { format!("{tasks} tasks") };
    let shards = if shards == 1 { "one shard".to_owned() } else { format!("{shards} shards") };
    format!("{tasks}, {shards}, {company}")
}

/// What the Go original did with this many tasks on one shard; it syncs twice for each pair.
fn go(tasks: usize) -> Option<f64> {
    match tasks {
        1 => Some(10_440.0),
        16 => Some(11_170.0),
        256 => Some(10_870.0),
        _ => None,
    }
}

fn wanted(tasks: usize, shards: usize) -> f64 {
    match (tasks, shards) {
        (1, _) => 5_000_000.0,
        (_, 1) => 2_000_000.0,
        (_, _) => 6_000_000.0,
    }
}

/// A store with `count` shards, Available, small ones whose data stand in their URLs.
async fn hot_shards(datastore: Arc<dyn Datastore>, count: usize) -> Result<Dagstore> {
    let store = Dagstore::builder().datastore(datastore).open().await?;
    shards::register_indexed(&store, 0..count, IN_FLIGHT).await?;
    Ok(store)
}

fn close(runtime: &Runtime, store: Dagstore) -> Result<()> {
    Ok(runtime.block_on(store.close())?)
}
