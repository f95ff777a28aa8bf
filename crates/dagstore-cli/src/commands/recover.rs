//! `dagstore recover`: another try for a shard that failed.

use clap::Args;
use dagstore::{Dagstore, ShardKey};

use crate::context::{Context, key};
use crate::exit::{Outcome, of_shard};
use crate::progress::Watched;
use crate::report::ShardReport;

/// Index a shard that failed again, once the cause is mended.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore recover monday")]
pub(crate) struct Recover {
    /// The shard's name.
    key: String,
}

impl Recover {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open().await?;
        let outcome = recover(context, &store, &key).await;
        let report = context.close(store, outcome).await?;
        if context.output.json {
            return context.output.json(&report);
        }
        context.output.line(&format!("recovered {key}: {}", report.state))
    }
}

async fn recover(context: &Context, store: &Dagstore, key: &ShardKey) -> Outcome<ShardReport> {
    let recovered = context.progress.watch(store, Watched::Shard(key), store.recover(key.as_str())).await;
    let info = recovered.and_then(|()| store.info(key.as_str()));
    Ok(info.map(ShardReport::of_shard).map_err(|error| of_shard(store, error))?)
}
