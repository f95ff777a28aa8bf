//! What is told on standard error while a store is open: its trace, where that is wanted, and that it can't be written.

use std::sync::Arc;
use std::time::Duration;

use dagstore::{Dagstore, Trace, Watched};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::exit::after_datastore;
use crate::output::Output;
use crate::text::{now_ms, time};

/// How often it is looked whether the store can be written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What goes on beside a command.
#[derive(Debug)]
pub(crate) struct Live {
    trace: Option<JoinHandle<()>>,
    health: JoinHandle<()>,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    key: &'a str,
    operation: &'static str,
    state: Option<&'static str>,
}

#[derive(Serialize)]
struct Missed {
    time: String,
    missed: u64,
}

#[derive(Serialize)]
struct Warning<'a> {
    warning: &'a str,
    r#try: &'a str,
}

impl Live {
    /// Begins to tell of the store.
    pub(crate) fn start(
        output: &Arc<Output>,
        store: &Dagstore,
        trace: Option<impl Stream<Item = Watched<Trace>> + Send + Unpin + 'static>,
    ) -> Self {
        let health = tokio::spawn(tell_health(output.clone(), store.clone()));
        Self { trace: trace.map(|trace| start_trace(output.clone(), trace)), health }
    }

    /// Returns when all is told of the store, which is closed.
    pub(crate) async fn end(self) {
        self.health.abort();
        if let Some(trace) = self.trace {
            // A thread that panicked has told what it could.
            let _ended = trace.await;
        }
    }
}

/// Tells the trace on a thread of its own: nobody else is to wait for whoever reads it.
fn start_trace(
    output: Arc<Output>,
    mut trace: impl Stream<Item = Watched<Trace>> + Send + Unpin + 'static,
) -> JoinHandle<()> {
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            while let Some(watched) = trace.next().await {
                tell(&output, &watched);
            }
        });
    })
}

fn tell(output: &Output, watched: &Watched<Trace>) {
    let time = time(now_ms());
    match watched {
        Watched::Event(event) => {
            let (key, operation) = (event.key.as_str(), event.operation.name());
            let state = event.state.map(dagstore::ShardState::name);
            if output.json {
                output.json_note(&Line { time, key, operation, state });
            } else {
                output.note(&format!("{time}  {operation:<18}  {:<12}  {key}", state.unwrap_or("gone")));
            }
        }
        Watched::Missed(missed) if output.json => output.json_note(&Missed { time, missed: *missed }),
        Watched::Missed(missed) => output.note(&format!("{time}  Missed {missed}: this is read too slowly")),
    }
}

/// Tells when the datastore begins to refuse writes, and when it takes them again. Work waits meanwhile.
async fn tell_health(output: Arc<Output>, store: Dagstore) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut is_degraded = false;
    loop {
        ticks.tick().await;
        let degraded = store.degraded();
        if degraded.is_some() == is_degraded {
            continue;
        }
        is_degraded = degraded.is_some();
        let (warning, advice) = match &degraded {
            Some(error) => (
                format!("the datastore refuses writes, which are tried again: {}", with_causes(error)),
                after_datastore(error),
            ),
            None => ("the datastore takes writes again".to_owned(), "nothing".to_owned()),
        };
        if output.json {
            output.json_note(&Warning { warning: &warning, r#try: &advice });
        } else if is_degraded {
            output.note(&format!("warning: {warning}"));
            output.note(&format!("try: {advice}"));
        } else {
            output.note(&warning);
        }
    }
}

fn with_causes(error: &dagstore::datastore::Error) -> String {
    format!("{:#}", anyhow::Error::new(error.clone()))
}
