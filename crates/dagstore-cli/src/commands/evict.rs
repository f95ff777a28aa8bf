//! `dagstore evict`: removes local copies of shards.

use clap::Args;
use dagstore::ShardKey;
use serde::Serialize;

use crate::context::{Context, keys};
use crate::exit::{Outcome, of_shard};
use crate::many::{FailedReport, with_each};
use crate::settings::Settings;
use crate::text::counted;

/// Remove local copies of shards; what is read of them is fetched again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore evict monday
  dagstore evict monday --force")]
pub(crate) struct Evict {
    /// The shards' names.
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
    /// Also a copy that is pinned, and one that may be the last because its source can't be reached or has
    /// something else by now.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    evicted: Vec<Evicted<'a>>,
    failed: Vec<FailedReport<'a>>,
}

#[derive(Serialize)]
struct Evicted<'a> {
    key: &'a str,
    bytes: u64,
}

impl Evict {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let (keys, force) = (keys(&self.keys)?, self.force);
        let store = context.open(self.engine).await?;
        let (evicting, mut done) = (&store, Vec::new());
        let work = |key: ShardKey| async move {
            evicting.evict(key.as_str(), force).await.map_err(|error| of_shard(evicting, error))
        };
        let failures = with_each(context, "evicting", keys, work, |key, bytes| done.push((key, bytes))).await;
        context.close(store, Ok(())).await?;
        done.sort();
        if context.output.json {
            let evicted = done.iter().map(|(key, bytes)| Evicted { key: key.as_str(), bytes: *bytes }).collect();
            context.output.json(&Document { evicted, failed: failures.reports() })?;
        } else {
            for (key, bytes) in &done {
                context.output.line(&format!("evicted {key}: {}", counted(*bytes, "byte")))?;
            }
        }
        failures.end(&context.output)
    }
}
