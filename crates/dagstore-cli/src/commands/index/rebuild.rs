//! `dagstore index rebuild`: another index in the place of one that is wrong.

use clap::Args;
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Outcome, of_shard};
use crate::progress::Watched;
use crate::settings::Settings;
use crate::text::counted;

/// Read a shard's CAR and build its indices anew, whatever they look like; a shard that failed needs `recover`.
///
/// All of the CAR is needed: where it is cut or malformed the shard fails, and its blocks can't be read until it is destroyed
/// and an intact CAR registered.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore index rebuild monday")]
pub(super) struct Rebuild {
    /// The shard's name.
    key: String,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document {
    key: String,
    entries: u64,
    attempt: u32,
}

impl Rebuild {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open(self.engine).await?;
        let work = async {
            let rebuilding = store.rebuild_index(key.as_str());
            let rebuilt = context.progress.watch(&store, Watched::Shard(&key), rebuilding).await;
            rebuilt.map_err(|error| of_shard(&store, error))?;
            let shard = context.acquire(&store, &key).await?;
            let (entries, attempt) = (shard.index().len(), shard.index().meta().name.attempt.0);
            Ok(Document { key: key.to_string(), entries, attempt })
        };
        let rebuilt = work.await;
        let rebuilt = context.close(store, rebuilt).await?;
        if context.output.json {
            return context.output.json(&rebuilt);
        }
        let Document { key, entries, .. } = rebuilt;
        context.output.line(&format!("rebuilt the index of {key}: {}", counted(entries, "record")))
    }
}
