//! `dagstore locate`: the shards that have a block.

use clap::Args;
use dagstore::car::RawCid;
use dagstore::{Dagstore, ShardKey};
use futures_util::StreamExt;
use serde::Serialize;

use crate::context::{Context, cid};
use crate::exit::{Code, Failure, Outcome};
use crate::settings::Settings;
use crate::text::{counted, shell_word};

/// List the shards that have a block, in the order of their registration; no CAR is read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore locate bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy
  dagstore locate bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy --limit 1")]
pub(crate) struct Locate {
    /// The block's CID.
    cid: String,
    /// List so many shards at most.
    #[arg(long, value_name = "N", default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    key: &'a str,
}

impl Locate {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let cid = cid(&self.cid)?;
        if cid.multihash().is_identity() {
            return Err(in_itself(&cid).into());
        }
        let store = context.open(self.engine).await?;
        let outcome = print(context, &store, &cid, self.limit).await;
        context.close(store, outcome).await
    }
}

/// There is nothing to look for: the digest of such a CID is the data.
fn in_itself(cid: &RawCid) -> Failure {
    let size = counted(cid.multihash().digest().len(), "byte");
    let text = format!("{cid} is an identity CID: it has its data of {size} in itself, and no shard is needed for it");
    Failure::of_text(Code::NotFound, text).advise(format!("dagstore get {cid}"))
}

async fn print(context: &Context, store: &Dagstore, cid: &RawCid, limit: usize) -> Outcome {
    context.inverted(store).await?;
    let mut keys = store.locate(cid).take(limit).boxed();
    let mut is_found = limit == 0;
    while let Some(key) = keys.next().await {
        let key: ShardKey = key?;
        is_found = true;
        if context.output.json {
            context.output.json_piece(&Document { key: key.as_str() })?;
        } else {
            context.output.piece(key.as_str())?;
        }
    }
    if is_found {
        return Ok(());
    }
    let unavailable = store.locate_unavailable(cid, 1).await?;
    if let Some(shard) = unavailable.into_iter().next() {
        let text = format!("the shard {} had the block {cid} when it was indexed, and isn't available now", shard.key);
        let advice = format!("dagstore info {}", shell_word(shard.key.as_str()));
        return Err(Failure::of_text(Code::Failed, text).advise(advice).into());
    }
    let text = format!("no shard that is indexed has a block with the CID {cid}");
    Err(Failure::of_text(Code::NotFound, text)
        .advise("dagstore list, which shows the shards that aren't indexed")
        .into())
}
