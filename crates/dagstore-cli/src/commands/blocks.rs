//! `dagstore blocks`: every block of a shard in a line.

use std::collections::HashSet;

use clap::Args;
use dagstore::{Dagstore, ShardKey};
use futures_util::StreamExt;
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Outcome, of_shard};
use crate::settings::Settings;

/// List the blocks of a shard in the order of its CAR, duplicates and all.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore blocks monday | head")]
pub(crate) struct Blocks {
    /// The shard's name.
    key: String,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document {
    cid: String,
    size_bytes: u64,
    is_root: bool,
}

impl Blocks {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open(self.engine).await?;
        let outcome = print(context, &store, &key).await;
        context.close(store, outcome).await
    }
}

async fn print(context: &Context, store: &Dagstore, key: &ShardKey) -> Outcome {
    let shard = context.acquire(store, key).await?;
    let blockstore = shard.blockstore();
    let roots: HashSet<_> = blockstore.roots().iter().collect();
    let mut blocks = std::pin::pin!(blockstore.blocks());
    while let Some(block) = blocks.next().await {
        let block = block.map_err(|error| of_shard(store, error))?;
        let document =
            Document { cid: block.cid.to_string(), size_bytes: block.size, is_root: roots.contains(&block.cid) };
        if context.output.json {
            context.output.json_piece(&document)?;
        } else {
            let mark = if document.is_root { "  root" } else { "" };
            context.output.piece(&format!("{} {:>10}{mark}", document.cid, document.size_bytes))?;
        }
    }
    Ok(())
}
