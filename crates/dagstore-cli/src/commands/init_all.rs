//! `dagstore init-all`: every shard is made ready to be read.

use std::num::NonZeroUsize;

use clap::Args;
use dagstore::{Dagstore, ShardKey, ShardState};
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Outcome, of_shard};
use crate::many::{FailedReport, Failures, with_each};
use crate::settings::Settings;

/// Index all shards that wait for their first read, and those whose indexing was interrupted.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore init-all
  dagstore init-all --concurrency 16")]
pub(crate) struct InitAll {
    /// How many shards are fetched and indexed at once.
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    initialised: usize,
    failed: Vec<FailedReport<'a>>,
}

impl InitAll {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        // Looked up before the store begins to work by itself: what it is faster with counts, too.
        let store = context.open_paused().await?;
        let keys = uninitialised(&store);
        context.close(store, Ok(())).await?;
        let failures = if keys.is_empty() {
            Failures::none_of(0)
        } else {
            let store = context.open(self.engine.at_once(self.concurrency)).await?;
            let failures = initialise(context, &store, keys).await;
            context.close(store, Ok(failures)).await?
        };
        if context.output.json {
            context.output.json(&Document { initialised: failures.well(), failed: failures.reports() })?;
        } else if failures.of() == 0 {
            context.output.line("no shard waits to be initialised")?;
        } else {
            context.output.line(&failures.summary("initialised"))?;
        }
        failures.end(&context.output)
    }
}

fn uninitialised(store: &Dagstore) -> Vec<ShardKey> {
    let shards = store.shards().into_iter();
    let waiting = shards
        .filter(|shard| matches!(shard.state, ShardState::New | ShardState::Initializing | ShardState::Recovering));
    waiting.map(|shard| shard.key).collect()
}

async fn initialise(context: &Context, store: &Dagstore, keys: Vec<ShardKey>) -> Failures {
    let work = |key: ShardKey| async move {
        let initialised = async {
            // One that goes by the index inside its CAR has none of its own yet.
            if store.acquire(key.as_str()).await?.is_provisional() {
                store.rebuild_index(key.as_str()).await?;
            }
            Ok(())
        };
        initialised.await.map_err(|error| of_shard(store, error))
    };
    with_each(context, "initialising", keys, work, |_, ()| {}).await
}
