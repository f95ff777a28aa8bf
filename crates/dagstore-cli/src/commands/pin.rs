//! `dagstore pin` and `unpin`: which local copies stay.

use clap::Args;
use dagstore::{Dagstore, ShardKey};
use serde::Serialize;

use crate::context::{Context, keys};
use crate::exit::{Outcome, of_shard};
use crate::many::{FailedReport, Failures, with_each};
use crate::progress::Watched;
use crate::settings::Settings;

/// Keep local copies of shards until they are unpinned; where there are none, they are fetched.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore pin monday tuesday")]
pub(crate) struct Pin {
    /// The shards' names.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    engine: Settings,
}

/// Let local copies of shards go again when room is needed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore unpin monday tuesday")]
pub(crate) struct Unpin {
    /// The shards' names.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Pinned<'a> {
    pinned: Vec<&'a str>,
    failed: Vec<FailedReport<'a>>,
}

#[derive(Serialize)]
struct Unpinned<'a> {
    unpinned: Vec<&'a str>,
    failed: Vec<FailedReport<'a>>,
}

impl Pin {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let keys = keys(&self.keys)?;
        let store = context.open(self.engine).await?;
        let done = mark(context, &store, keys, true).await;
        let (done, failures) = context.close(store, Ok(done)).await?;
        if context.output.json {
            let pinned = done.iter().map(ShardKey::as_str).collect();
            context.output.json(&Pinned { pinned, failed: failures.reports() })?;
        } else {
            done.iter().try_for_each(|key| context.output.line(&format!("pinned {key}")))?;
        }
        failures.end(&context.output)
    }
}

impl Unpin {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let keys = keys(&self.keys)?;
        let store = context.open(self.engine).await?;
        let done = mark(context, &store, keys, false).await;
        let (done, failures) = context.close(store, Ok(done)).await?;
        if context.output.json {
            let unpinned = done.iter().map(ShardKey::as_str).collect();
            context.output.json(&Unpinned { unpinned, failed: failures.reports() })?;
        } else {
            done.iter().try_for_each(|key| context.output.line(&format!("unpinned {key}")))?;
        }
        failures.end(&context.output)
    }
}

/// Pins or unpins each; those that were are in the order of their keys.
async fn mark(context: &Context, store: &Dagstore, keys: Vec<ShardKey>, is_pinned: bool) -> (Vec<ShardKey>, Failures) {
    let work = |key: ShardKey| async move {
        let marked = if is_pinned { store.pin(key.as_str()).await } else { store.unpin(key.as_str()).await };
        marked.map_err(|error| of_shard(store, error))
    };
    let mut done = Vec::new();
    let doing = if is_pinned { "pinning" } else { "unpinning" };
    let marking = with_each(context, doing, keys, work, |key, ()| done.push(key));
    let failures = context.progress.watch(store, Watched::All, marking).await;
    done.sort();
    (done, failures)
}
