//! Those who watch: traces, failures and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dagstore_engine::{Engine, Error, Operation, Trace, Watched};
use dagstore_types::{ErrorKind, ShardState};
use futures_util::{FutureExt, Stream, StreamExt};
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use parking_lot::Mutex;
use tokio::task::unconstrained;

use super::support::*;

/// What has been told so far, and whether the stream has ended.
fn told<T>(stream: &mut (impl Stream<Item = Watched<T>> + Unpin)) -> (Vec<Watched<T>>, bool) {
    let mut told = Vec::new();
    loop {
        // Without the runtime's budget, which would end this too early.
        match unconstrained(stream.next()).now_or_never() {
            Some(Some(watched)) => told.push(watched),
            Some(None) => return (told, true),
            None => return (told, false),
        }
    }
}

fn operations(told: Vec<Watched<Trace>>) -> Vec<(Operation, Option<ShardState>)> {
    let operation = |watched: Watched<Trace>| match watched {
        Watched::Event(trace) => (trace.operation, trace.state),
        Watched::Missed(missed) => panic!("{missed} events were missed"),
    };
    told.into_iter().map(operation).collect()
}

#[tokio::test]
async fn a_life_is_told_step_by_step() {
    use Operation::*;
    let world = World::new();
    let engine = world.open().await;
    let mut traces = engine.trace();
    engine.register("a", URL).await.unwrap();
    drop(engine.acquire("a").await.unwrap());
    engine.destroy("a").await.unwrap();
    let (life, has_ended) = told(&mut traces);
    assert!(life.iter().all(|watched| matches!(watched, Watched::Event(trace) if trace.key.as_str() == "a")));
    let expected = [
        (ShardRegister, Some(ShardState::Initializing)),
        (ShardInitialize, Some(ShardState::Initializing)),
        (ShardMakeAvailable, Some(ShardState::Available)),
        (ShardAcquire, Some(ShardState::Serving)),
        (ShardRelease, Some(ShardState::Available)),
        (ShardDestroy, Some(ShardState::Destroying)),
    ];
    assert_eq!(operations(life), expected);
    assert!(!has_ended);

    world.gate.set_broken(true);
    engine.register("a", URL).lazy().await.unwrap();
    engine.acquire("a").await.unwrap_err();
    world.gate.set_broken(false);
    engine.recover("a").await.unwrap();
    let expected = [
        (ShardRegister, Some(ShardState::New)),
        (ShardInitialize, Some(ShardState::Initializing)),
        (ShardFail, Some(ShardState::Errored)),
        (ShardRecover, Some(ShardState::Recovering)),
        (ShardInitialize, Some(ShardState::Recovering)),
        (ShardMakeAvailable, Some(ShardState::Available)),
    ];
    assert_eq!(operations(told(&mut traces).0), expected);
}

#[tokio::test]
async fn failures_are_told_with_their_errors() {
    let world = World::new();
    let engine = world.open().await;
    let mut failures = engine.failures();
    engine.register("good", URL).await.unwrap();
    engine.register("bad", "bytes:no-car").await.unwrap_err();
    let (failed, _) = told(&mut failures);
    let [Watched::Event(failure)] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!(failure.key.as_str(), "bad");
    assert_eq!(Some(&failure.error), engine.info("bad").unwrap().error.as_ref());
    assert_ne!(failure.error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn who_reads_too_slowly_is_told_how_much_was_missed() {
    const PAIRS: u64 = 5_000;
    let world = World::new();
    let engine = world.open().await;
    engine.register("a", URL).await.unwrap();
    let mut slow = engine.trace();
    let mut quick = engine.trace();
    let mut read = 0;
    for _ in 0..PAIRS {
        drop(engine.acquire("a").await.unwrap());
        read += operations(told(&mut quick).0).len() as u64;
    }
    assert_eq!(read, 2 * PAIRS, "the quick reader has them all");
    let (told, _) = told(&mut slow);
    let Some(Watched::Missed(missed)) = told.first() else { panic!("{:?}", told.first()) };
    assert!(*missed > 0);
    let events = told.len() as u64 - 1;
    assert_eq!(missed + events, 2 * PAIRS);
    assert!(told[1..].iter().all(|watched| matches!(watched, Watched::Event(_))), "missed once, in one piece");
}

#[tokio::test]
async fn streams_end_when_the_store_closes_behind_what_was_told() {
    let world = World::new();
    let engine = world.open().await;
    let (mut traces, mut failures) = (engine.trace(), engine.failures());
    engine.register("bad", "bytes:no-car").await.unwrap_err();
    engine.close().await.unwrap();
    let (life, has_ended) = told(&mut traces);
    assert_eq!((life.len(), has_ended), (3, true), "registered, initialised, failed");
    let (failed, has_ended) = told(&mut failures);
    assert_eq!((failed.len(), has_ended), (1, true));
}

#[tokio::test]
async fn a_stream_of_a_store_that_is_closed_ends_at_once() {
    let world = World::new();
    let engine = world.open().await;
    engine.close().await.unwrap();
    assert_eq!(answered("the end of the traces", engine.trace().next()).await, None);
    assert_eq!(answered("the end of the failures", engine.failures().next()).await, None);
}

#[tokio::test]
async fn a_stream_ends_with_the_last_handle() {
    let world = World::new();
    let engine = world.open().await;
    let mut traces = engine.trace();
    world.crash(engine).await;
    assert_eq!(answered("the end of the traces", traces.next()).await, None);
}

/// Metrics by name and labels.
#[derive(Debug, Default)]
struct Recorded {
    numbers: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    histograms: Mutex<BTreeMap<String, Arc<Samples>>>,
}

#[derive(Debug, Default)]
struct Samples(Mutex<Vec<f64>>);

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().push(value);
    }
}

impl Recorded {
    fn number(&self, key: &Key) -> Arc<AtomicU64> {
        self.numbers.lock().entry(name(key)).or_default().clone()
    }

    fn counted(&self, name: &str) -> u64 {
        self.numbers.lock().get(name).map_or(0, |number| number.load(Ordering::Relaxed))
    }

    fn gauge(&self, name: &str) -> f64 {
        f64::from_bits(self.counted(name))
    }
}

/// `name{label=value,...}`, as it is written in places where metrics are looked at.
fn name(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    if labels.is_empty() { key.name().to_owned() } else { format!("{}{{{}}}", key.name(), labels.join(",")) }
}

impl Recorder for Recorded {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.histograms.lock().entry(name(key)).or_default().clone())
    }
}

/// On one thread, so that the thread's recorder is everybody's.
#[tokio::test(start_paused = true)]
async fn what_happens_is_counted() {
    let recorded = Recorded::default();
    let _recording = metrics::set_default_local_recorder(&recorded);
    let world = World::new();
    let engine = world.open().await;
    lives_to_count(&engine).await;
    // Gauges are set every few seconds.
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    let expected = [
        ("dagstore_operations_total{operation=register,result=ok}", 3),
        ("dagstore_operations_total{operation=register,result=exists}", 1),
        ("dagstore_operations_total{operation=register,result=failed}", 1),
        ("dagstore_operations_total{operation=acquire,result=ok}", 2),
        ("dagstore_operations_total{operation=acquire,result=not-found}", 1),
        ("dagstore_operations_total{operation=destroy,result=ok}", 1),
        ("dagstore_operations_total{operation=destroy,result=in-use}", 1),
        ("dagstore_operations_total{operation=recover,result=not-errored}", 1),
        ("dagstore_transitions_total{operation=ShardRegister}", 4),
        ("dagstore_transitions_total{operation=ShardMakeAvailable}", 2),
        ("dagstore_transitions_total{operation=ShardAcquire}", 2),
        ("dagstore_transitions_total{operation=ShardRelease}", 2),
        ("dagstore_transitions_total{operation=ShardFail}", 1),
        ("dagstore_stale_total", 0),
    ];
    for (name, count) in expected {
        assert_eq!(recorded.counted(name), count, "{name}");
    }
    for (state, shards) in [("Available", 1.0), ("New", 1.0), ("Errored", 1.0), ("Serving", 0.0)] {
        let name = format!("dagstore_shards{{state={state}}}");
        assert!((recorded.gauge(&name) - shards).abs() < f64::EPSILON, "{name} is {}", recorded.gauge(&name));
    }
    let histograms = recorded.histograms.lock();
    let rows: f64 = histograms["dagstore_batch_rows"].0.lock().iter().sum();
    // Opening a store writes two rows itself.
    assert_eq!(format!("{rows}"), (world.datastore.rows() - 2).to_string(), "rows in batches");
    assert_eq!(histograms["dagstore_sync_seconds"].0.lock().len() as u64, world.datastore.writes() - 1);
}

async fn lives_to_count(engine: &Engine) {
    engine.register("a", URL).await.unwrap();
    engine.register("b", URL).await.unwrap();
    engine.register("lazy", URL).lazy().await.unwrap();
    engine.register("a", URL).await.unwrap_err();
    engine.register("bad", "bytes:no-car").await.unwrap_err();
    let accessors = [engine.acquire("b").await.unwrap(), engine.acquire("b").await.unwrap()];
    assert!(matches!(engine.acquire("nobody").await, Err(Error::NotFound(_))));
    engine.destroy("b").await.unwrap_err();
    drop(accessors);
    engine.destroy("b").await.unwrap();
    engine.recover("a").await.unwrap_err();
}
