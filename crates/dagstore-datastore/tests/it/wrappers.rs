//! The wrappers: what they let through, what they refuse, what they count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_datastore::conformance::{self, Factory};
use dagstore_datastore::{
    Batch, Datastore, Durability, Error, ErrorClass, MemoryDatastore, Metered, Namespace, ReadOnly, Result, RowPage,
    RowStream, stream_of_rows,
};
use futures_util::future::pending;
use futures_util::{FutureExt, StreamExt, stream};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use parking_lot::Mutex;

const ROWS: Namespace = Namespace::new("rows");

/// Notes every call with its arguments, and answers it in a way of its own. Each method of the trait must be here, those
/// that have a default as well.
#[derive(Debug, Clone, Default)]
struct Noting {
    calls: Arc<Mutex<Vec<String>>>,
    /// What calls fail as, if they do.
    class: Arc<Mutex<Option<ErrorClass>>>,
}

impl Noting {
    fn note(&self, call: String) -> Result<()> {
        self.calls.lock().push(call);
        let class = *self.class.lock();
        class.map_or(Ok(()), |class| Err(Error::failed("noting", "call", class, "as told")))
    }
}

#[async_trait]
impl Datastore for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }

    async fn get(&self, namespace: Namespace, key: &[u8]) -> Result<Option<Bytes>> {
        if key == b"hangs" {
            return pending().await;
        }
        self.note(format!("get {namespace} {key:?}"))?;
        Ok(Some(Bytes::from_static(b"value")))
    }

    async fn write(&self, batch: Batch, durability: Durability) -> Result<()> {
        self.note(format!("write {} {durability:?}", batch.len()))
    }

    async fn bulk_load(&self, namespace: Namespace, rows: RowStream) -> Result<()> {
        let rows: usize = rows.map(|page| page.unwrap().len()).fold(0, |sum, rows| async move { sum + rows }).await;
        self.note(format!("bulk_load {namespace} {rows}"))
    }

    fn scan(&self, namespace: Namespace, prefix: &[u8]) -> RowStream {
        let noted = self.note(format!("scan {namespace} {prefix:?}"));
        let mut page = RowPage::new();
        page.push(b"key", b"value");
        page.push(b"kez", b"");
        stream::iter([noted.map(|()| page)]).boxed()
    }

    async fn rows(&self, namespace: Namespace, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<RowPage> {
        self.note(format!("rows {namespace} {prefix:?} {after:?} {limit}"))?;
        let mut page = RowPage::new();
        page.push(b"pre", b"12345");
        Ok(page)
    }

    async fn sync(&self) -> Result<()> {
        self.note("sync".to_owned())
    }

    async fn reopen(&self) -> Result<()> {
        self.note("reopen".to_owned())
    }

    async fn close(&self) -> Result<()> {
        self.note("close".to_owned())
    }
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    batch.put(ROWS, b"key", b"value");
    batch.delete(ROWS, b"old");
    batch
}

/// Calls each method once, and says what came of it and which calls arrived.
async fn call_all(store: &dyn Datastore, noting: &Noting) -> Vec<(Result<()>, Vec<String>)> {
    let mut outcomes = Vec::new();
    let mut note = |result| outcomes.push((result, std::mem::take(&mut *noting.calls.lock())));
    note(store.get(ROWS, b"k").await.map(|value| assert_eq!(value.as_deref(), Some(&b"value"[..]))));
    note(store.write(batch(), Durability::Synced).await);
    note(store.write(batch(), Durability::Buffered).await);
    note(store.bulk_load(ROWS, stream_of_rows([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])).await);
    let pages: Vec<_> = store.scan(ROWS, b"p").collect().await;
    assert_eq!(pages.len(), 1);
    note(pages.into_iter().next().unwrap().map(|page| assert_eq!(page.len(), 2)));
    note(store.rows(ROWS, b"p", Some(b"q"), 7).await.map(|page| assert_eq!(page.len(), 1)));
    note(store.sync().await);
    note(store.reopen().await);
    note(store.close().await);
    outcomes
}

const CALLS: [&str; 9] = [
    "get rows [107]",
    "write 2 Synced",
    "write 2 Buffered",
    "bulk_load rows 3",
    "scan rows [112]",
    "rows rows [112] Some([113]) 7",
    "sync",
    "reopen",
    "close",
];

#[tokio::test]
async fn a_metered_store_lets_every_call_and_every_error_through() {
    let noting = Noting::default();
    let store = Metered::new(Arc::new(noting.clone()));
    assert_eq!(store.name(), "noting");
    for class in [None, Some(ErrorClass::Fenced)] {
        *noting.class.lock() = class;
        for ((result, arrived), call) in call_all(&store, &noting).await.into_iter().zip(CALLS) {
            assert_eq!(arrived, [call]);
            assert_eq!(result.err().map(|error| error.class()), class, "{call}");
        }
    }
}

#[tokio::test]
async fn a_read_only_store_lets_reads_and_closing_through_and_nothing_else() {
    let noting = Noting::default();
    let store = ReadOnly::new(Arc::new(noting.clone()));
    assert_eq!(store.name(), "noting");
    for ((result, arrived), call) in call_all(&store, &noting).await.into_iter().zip(CALLS) {
        if ["get", "scan", "rows", "close"].iter().any(|read| call.starts_with(read)) {
            result.unwrap();
            assert_eq!(arrived, [call]);
        } else {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::ReadOnly { backend: "noting", .. }), "{call}: {error:?}");
            assert_eq!(error.class(), ErrorClass::Permanent);
            assert_eq!(arrived, [""; 0], "{call}");
        }
    }
    for refused in
        [store.write(Batch::new(), Durability::Synced).await, store.bulk_load(ROWS, stream::empty().boxed()).await]
    {
        assert!(matches!(refused, Err(Error::ReadOnly { .. })), "an empty change passes");
    }
}

struct MeteredMemory;

#[async_trait]
impl Factory for MeteredMemory {
    fn persistent(&self) -> bool {
        false
    }

    async fn open(&self, _name: &str) -> Result<Arc<dyn Datastore>> {
        Ok(Arc::new(Metered::new(Arc::new(MemoryDatastore::new()))))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metered_store_keeps_the_contract() {
    conformance::run(&MeteredMemory).await;
}

/// Keeps what was counted, by name and labels.
#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<String, Arc<Count>>>);

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl CounterFn for Count {
    fn increment(&self, value: u64) {
        self.0.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl HistogramFn for Count {
    fn record(&self, value: f64) {
        assert!((0.0..600.0).contains(&value), "{value} are no seconds");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counts {
    fn of(&self, key: &Key) -> Arc<Count> {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{} {}", key.name(), labels.join(" "));
        Arc::clone(self.0.lock().entry(name).or_default())
    }

    /// All that isn't zero.
    fn counted(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock();
        let counts = counts.iter().map(|(name, count)| (name.clone(), count.0.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

#[test]
fn calls_rows_bytes_and_errors_are_counted() {
    let counts = Counts::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    metrics::with_local_recorder(&counts, || {
        let noting = Noting::default();
        let store = Metered::new(Arc::new(noting.clone()));
        runtime.block_on(async {
            call_all(&store, &noting).await;
            *noting.class.lock() = Some(ErrorClass::NeedsReopen);
            call_all(&store, &noting).await;
            assert!(store.get(ROWS, b"hangs").now_or_never().is_none());
        });
    });
    let mut expected = BTreeMap::new();
    let mut expect = |name: &str, operation: &str, result: Option<&str>, count: u64| {
        let result = result.map_or(String::new(), |result| format!(" result={result}"));
        expected.insert(format!("dagstore_datastore_{name} backend=noting operation={operation}{result}"), count);
    };
    let operations = ["get", "rows", "write", "write_buffered", "bulk_load", "scan_page", "sync", "reopen", "close"];
    for name in ["calls_total", "call_seconds"] {
        for operation in operations {
            // A scan ends well behind its last page and behind its error.
            expect(name, operation, Some("ok"), if operation == "scan_page" { 3 } else { 1 });
            expect(name, operation, Some("needs_reopen"), 1);
        }
        expect(name, "get", Some("dropped"), 1);
    }
    for (operation, rows, bytes) in [
        ("get", 1, 5),
        ("rows", 1, 8),
        ("write", 2, 11),
        ("write_buffered", 2, 11),
        ("bulk_load", 3, 6),
        ("scan_page", 2, 11),
    ] {
        expect("rows_total", operation, None, rows);
        expect("bytes_total", operation, None, bytes);
    }
    assert_eq!(counts.counted(), expected);
}
