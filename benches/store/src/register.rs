//! Lazy registrations a second, beside raw synced batches of the mean size that formed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use dagstore::Dagstore;
use dagstore::datastore::Datastore;
use dagstore_testkit::SlowDatastore;

use crate::backend::Backend;
use crate::counting::{Counting, Counts};
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::{cpu, crowd, raw, shards};

/// What the Go original did with 1 and with 64 in flight; it syncs each registration by itself, so more don't help it.
const GO_ONE: f64 = 21_450.0;
const GO_MANY: f64 = 22_350.0;

/// The most shards that are registered for each one in flight: a single caller's rate settles early, and takes long.
const MOST_EACH: usize = 1_000;

/// How much slower syncs are made.
const SLOWER: Duration = Duration::from_millis(1);

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many shards are registered in each run, but at most 1,000 for each in flight; ten times as many with --full.
    #[arg(long, default_value_t = 10_000)]
    shards: usize,
    /// How many registrations are under way at once; may be given several times.
    #[arg(long, default_values_t = [1, 16, 64, 256, 1_024])]
    in_flight: Vec<usize>,
}

/// Measures each backend with each number in flight, then with slower syncs.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shards = if setup.full { options.shards * 10 } else { options.shards };
    let mut figures = Vec::new();
    let mut slow = Vec::new();
    for &backend in setup.backends() {
        for &in_flight in &options.in_flight {
            let shards = shards.min(MOST_EACH * in_flight);
            figures.push(runtime.block_on(as_it_is(setup, backend, in_flight, shards))?);
        }
        for &in_flight in options.in_flight.iter().filter(|in_flight| **in_flight > 1) {
            slow.push(runtime.block_on(slowed(setup, backend, in_flight, shards))?);
        }
    }
    report.table(
        &format!(
            "register: {shards} lazy shards, at most {MOST_EACH} for each in flight, durable before they are answered; raw: the same rows in as many synced batches of the same datastore"
        ),
        figures,
    );
    report.table(&format!("register, with every sync {SLOWER:?} slower: how many of those in flight share one"), slow);
    Ok(())
}

async fn as_it_is(setup: &Setup, backend: Backend, in_flight: usize, shards: usize) -> Result<Figure> {
    let times_go = match in_flight {
        64 => Some(backend.pick(6.0, 15.0)),
        1_024 => Some(backend.pick(12.0, 30.0)),
        _ => None,
    };
    let mut figure = Figure::new(format!("{backend}, {in_flight} in flight"), "/s", Better::More)
        .go(if in_flight == 1 { GO_ONE } else { GO_MANY })
        .goal(Goal::OfRaw(backend.pick(0.65, 0.75)))
        .goal(times_go.map(Goal::TimesGo));
    for _ in 0..setup.runs() {
        let directory = tempfile::tempdir_in(setup.place())?;
        let datastore = backend.open(&directory.path().join("store")).await?;
        let Registered { rate, counts, cpu_us } = registered(datastore, shards, in_flight).await?;
        let batches = usize::try_from(counts.synced_with_records)?;
        let raw = raw::synced_batches(backend, &directory.path().join("raw"), shards, batches).await?;
        figure.run_beside(rate, raw);
        figure.detail("a sync", counts.per_sync());
        figure.detail("us of CPU each", cpu_us);
    }
    Ok(figure)
}

async fn slowed(setup: &Setup, backend: Backend, in_flight: usize, shards: usize) -> Result<Figure> {
    let wanted = match in_flight {
        64 => Some(90.0),
        1_024 => Some(60.0),
        _ => None,
    };
    let what = format!("{backend}, {in_flight} in flight");
    let mut figure = Figure::new(what, "% share a sync", Better::More).goal(wanted.map(Goal::Value));
    for _ in 0..setup.runs() {
        let directory = tempfile::tempdir_in(setup.place())?;
        let datastore = backend.open(&directory.path().join("store")).await?;
        let slow = Arc::new(SlowDatastore::new(datastore, SLOWER)?);
        let Registered { rate, counts, cpu_us } = registered(slow, shards, in_flight).await?;
        figure.run(100.0 * counts.per_sync() / in_flight as f64);
        figure.detail("a sync", counts.per_sync());
        figure.detail("us of CPU each", cpu_us);
        figure.detail("/s", rate);
    }
    Ok(figure)
}

/// What registering gave.
struct Registered {
    /// Registrations a second.
    rate: f64,
    /// What was written meanwhile.
    counts: Counts,
    /// Microseconds of the processors for each registration, callers and datastore included.
    cpu_us: f64,
}

/// Registers `shards` shards, `in_flight` at a time.
async fn registered(datastore: Arc<dyn Datastore>, shards: usize, in_flight: usize) -> Result<Registered> {
    let datastore = Counting::new(datastore);
    let store = Dagstore::builder().datastore(Arc::new(datastore.clone())).open().await?;
    let names: Arc<[(String, String)]> =
        (0..=shards).map(|number| (shards::key(number), shards::url(number))).collect();
    // The first write makes the table, in the raw part as well.
    store.register(&names[shards].0, &names[shards].1).lazy().await?;
    let before = datastore.counts();
    let (start, cpu) = (Instant::now(), cpu::seconds()?);
    let caller = store.clone();
    crowd::for_each(0..shards, in_flight, move |number| {
        let (store, names) = (caller.clone(), names.clone());
        async move {
            let (key, url) = &names[number];
            Ok(store.register(key, url).lazy().await?)
        }
    })
    .await?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_us = (cpu::seconds()? - cpu) / shards as f64 * 1e6;
    let counts = datastore.counts().since(before);
    store.close().await?;
    Ok(Registered { rate: shards as f64 / seconds, counts, cpu_us })
}
