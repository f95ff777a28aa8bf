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
#[command(after_help = "Examples:
  dagstore blocks monday | head
  dagstore blocks monday --long")]
pub(crate) struct Blocks {
    /// The shard's name.
    key: String,
    /// Tell as well where each block begins, counted from the start of the CAR's payload, and where its data begins in the file.
    #[arg(short, long)]
    long: bool,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document {
    cid: String,
    size_bytes: u64,
    is_root: bool,
    offset: u64,
    data_offset: u64,
}

impl Blocks {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open(self.engine).await?;
        let outcome = print(context, &store, &key, self.long).await;
        context.close(store, outcome).await
    }
}

async fn print(context: &Context, store: &Dagstore, key: &ShardKey, long: bool) -> Outcome {
    let shard = context.acquire(store, key).await?;
    let blockstore = shard.blockstore();
    let roots: HashSet<_> = blockstore.roots().iter().collect();
    let mut blocks = std::pin::pin!(blockstore.blocks());
    while let Some(block) = blocks.next().await {
        let block = block.map_err(|error| of_shard(store, error))?;
        let document = Document {
            cid: block.cid.to_string(),
            size_bytes: block.size,
            is_root: roots.contains(&block.cid),
            offset: block.offset,
            data_offset: block.data_offset,
        };
        if context.output.json {
            context.output.json_piece(&document)?;
        } else {
            let mark = if document.is_root { "  root" } else { "" };
            let Document { cid, size_bytes, offset, data_offset, .. } = document;
            let place = if long { format!(" {offset:>14} {data_offset:>14}") } else { String::new() };
            context.output.piece(&format!("{cid} {size_bytes:>10}{place}{mark}"))?;
        }
    }
    Ok(())
}
