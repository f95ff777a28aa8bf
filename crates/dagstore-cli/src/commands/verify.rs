//! `dagstore verify`: every block of a shard is read and hashed again.

use clap::Args;
use dagstore::{ShardKey, Verify as What};

use crate::context::{Context, key};
use crate::exit::Outcome;
use crate::settings::Settings;
use crate::verification::{Rate, verify};

/// Read and hash every block of shards again, and check that the indices name it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore verify monday
  dagstore verify --all --rate 50MB")]
pub(crate) struct Verify {
    /// The shards' names.
    #[arg(value_name = "KEY", required_unless_present = "all", conflicts_with = "all")]
    keys: Vec<String>,
    /// All shards.
    #[arg(long)]
    all: bool,
    /// Read no more than so much a second, 50MB or 16MiB for instance.
    #[arg(long, value_name = "BYTES", default_value = "0", hide_default_value = true)]
    rate: Rate,
    #[command(flatten)]
    engine: Settings,
}

impl Verify {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let mut keys = self.keys.iter().map(|text| key(text)).collect::<Result<Vec<ShardKey>, _>>()?;
        keys.sort();
        keys.dedup();
        let store = context.open(self.engine).await?;
        if self.all {
            keys = store.shards().into_iter().map(|shard| shard.key).collect();
        }
        let outcome = verify(context, &store, keys, What::Data, self.rate).await;
        context.close(store, outcome).await
    }
}
