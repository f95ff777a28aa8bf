//! `dagstore get`: a block, by its CID.

use std::path::{Path, PathBuf};

use clap::Args;
use dagstore::car::RawCid;
use dagstore::{Blockstore, Dagstore, Error, ShardKey, ShardState, blockstore};
use futures_util::StreamExt;
use serde::Serialize;

use crate::context::{Context, cid, key};
use crate::exit::{Code, Failure, Outcome, Stop, of_blocks, of_shard};
use crate::file;
use crate::progress::Watched;
use crate::settings::Settings;
use crate::text::{counted, shell_word};

/// Read a block, checked against its CID, to standard output or a file.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore get bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy > block.bin
  dagstore get bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy --shard monday -o block.bin")]
pub(crate) struct Get {
    /// The block's CID.
    cid: String,
    /// Look only into this shard.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    shard: Option<String>,
    /// Write the block to this file, whole or not at all; - is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take the block as it is, without hashing it.
    #[arg(long)]
    no_verify: bool,
    /// Take it only from what is on this machine: nothing is fetched.
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    engine: Settings,
}

/// A block that was found.
struct Found {
    /// The shard that has it; none where the CID itself has it.
    shard: Option<ShardKey>,
    data: Vec<u8>,
}

#[derive(Serialize)]
struct Document<'a> {
    cid: String,
    shard: Option<&'a str>,
    size_bytes: usize,
    file: String,
}

impl Get {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let cid = cid(&self.cid)?;
        let file = self.output.as_deref().filter(|path| *path != Path::new("-"));
        if context.output.json && file.is_none() {
            let text = "a block is no JSON: with --json it needs a file to go to";
            let advice = format!("dagstore --json get {cid} -o FILE");
            return Err(Failure::of_text(Code::Usage, text).advise(advice).into());
        }
        let shard = self.shard.as_deref().map(key).transpose()?;
        let store = context.open(self.engine).await?;
        let look = Look { context, store: &store, cid: &cid, verify: !self.no_verify, local: self.local };
        let found = look.find(shard).await;
        let found = context.close(store, found).await?;
        match file {
            Some(file) => write(context, &cid, &found, file),
            None => print(context, &cid, &found, self.output.is_some()),
        }
    }
}

/// A search for a block.
struct Look<'a> {
    context: &'a Context,
    store: &'a Dagstore,
    cid: &'a RawCid,
    verify: bool,
    /// Whether nothing is to be fetched.
    local: bool,
}

impl Look<'_> {
    async fn find(&self, shard: Option<ShardKey>) -> Outcome<Found> {
        match shard {
            Some(key) => {
                let data = self.read(&key).await?.ok_or_else(|| {
                    let text = format!("the shard {key} has no block {}", self.cid);
                    let advice = format!("dagstore blocks {}", shell_word(key.as_str()));
                    Failure::of_text(Code::NotFound, text).advise(advice)
                })?;
                Ok(Found { shard: Some(key), data })
            }
            None if self.local => self.find_locally().await,
            None => self.find_anywhere().await,
        }
    }

    /// Looks into the shards that are indexed, then into those that have to be indexed first.
    async fn find_anywhere(&self) -> Outcome<Found> {
        let blocks = Blockstore::builder(self.store);
        let blocks = if self.verify { blocks } else { blocks.unverified() };
        let blocks = blocks.build();
        let found = self.context.progress.watch(self.store, Watched::All, blocks.find(self.cid)).await;
        let (failure, is_looked_up) = match found {
            Ok(found) => return Ok(Found { shard: found.shard, data: found.data.to_vec() }),
            Err(blockstore::Error::NotFound { .. }) => (None, true),
            Err(blockstore::Error::Engine(
                Error::NoInvertedIndex | Error::InvertedIncomplete | Error::InvertedWaits { .. },
            )) => (None, false),
            Err(error) => (Some(of_blocks(self.store, error)), true),
        };
        self.find_one_by_one(failure, is_looked_up).await
    }

    /// Looks into the shards that are known to have the block and are on this machine.
    async fn find_locally(&self) -> Outcome<Found> {
        let multihash = self.cid.multihash();
        if multihash.is_identity() {
            return Ok(Found { shard: None, data: multihash.digest().to_vec() });
        }
        self.context.inverted(self.store).await?;
        let mut keys = self.store.locate(self.cid).boxed();
        let mut failure = None;
        while let Some(key) = keys.next().await {
            let key = key?;
            match self.read(&key).await {
                Ok(Some(data)) => return Ok(Found { shard: Some(key), data }),
                Ok(None) => {}
                // Another shard may have the block on this machine.
                Err(Stop::Failure(other)) => failure = failure.or(Some(*other)),
                Err(stop) => return Err(stop),
            }
        }
        let failure = failure.unwrap_or_else(|| {
            let text = format!("no shard that is indexed has a block with the CID {}", self.cid);
            Failure::of_text(Code::NotFound, text).advise("the same without --local")
        });
        Err(failure.into())
    }

    /// Looks into one shard after the other, but for those that are indexed if they were looked into before; `failure` is what
    /// came of that.
    async fn find_one_by_one(&self, mut failure: Option<Failure>, is_looked_up: bool) -> Outcome<Found> {
        let mut shards = self.store.shards();
        let count = shards.len();
        shards.retain(|shard| !matches!(shard.state, ShardState::Errored | ShardState::Destroying));
        let unread = count - shards.len() + self.store.quarantined().len();
        let looked_into = shards.len();
        let is_indexed = |state| matches!(state, ShardState::Available | ShardState::Serving);
        shards.retain(|shard| !(is_looked_up && is_indexed(shard.state)));
        shards.sort_by_key(|shard| !is_indexed(shard.state));
        for shard in shards {
            match self.read(&shard.key).await {
                Ok(Some(data)) => return Ok(Found { shard: Some(shard.key), data }),
                Ok(None) => {}
                // Another shard may have the block all the same.
                Err(Stop::Failure(other)) => failure = failure.or(Some(*other)),
                Err(stop) => return Err(stop),
            }
        }
        // Whether the block is there nobody knows then.
        if let Some(failure) = failure {
            return Err(failure.into());
        }
        let mut text = format!("no block has the CID {} in {}", self.cid, counted(looked_into, "shard"));
        if unread > 0 {
            text = format!("{text}; {} failed and can't be looked into", counted(unread, "shard"));
        }
        Err(Failure::of_text(Code::NotFound, text).advise("dagstore list, and dagstore blocks KEY").into())
    }

    /// The block, where the shard has it.
    async fn read(&self, key: &ShardKey) -> Outcome<Option<Vec<u8>>> {
        let shard = if self.local {
            self.store.acquire_local(key.as_str()).await.map_err(|error| of_shard(self.store, error))?
        } else {
            self.context.acquire(self.store, key).await?
        };
        let blockstore = if self.verify { shard.blockstore() } else { shard.blockstore().unverified() };
        match blockstore.get(self.cid).await {
            Ok(data) => Ok(Some(data.to_vec())),
            Err(Error::BlockNotFound { .. }) => Ok(None),
            Err(error) => Err(of_shard(self.store, error).into()),
        }
    }
}

fn write(context: &Context, cid: &RawCid, found: &Found, path: &Path) -> Outcome {
    file::write(path, &found.data).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot write {}", path.display()));
        Failure::new(Code::Failed, error).advise("another place for -o")
    })?;
    let (shard, size_bytes) = (found.shard.as_ref(), found.data.len());
    let file = path.display().to_string();
    if context.output.json {
        let shard = shard.map(ShardKey::as_str);
        return context.output.json(&Document { cid: cid.to_string(), shard, size_bytes, file });
    }
    let origin = shard.map_or_else(|| "the CID itself".to_owned(), |key| format!("the shard {key}"));
    context.output.line(&format!("wrote {file}: {} out of {origin}", counted(size_bytes, "byte")))
}

/// Prints the block. A terminal gets only what can't drive it, unless that was asked for.
fn print(context: &Context, cid: &RawCid, found: &Found, is_wanted: bool) -> Outcome {
    let is_text = |data: &[u8]| {
        str::from_utf8(data)
            .is_ok_and(|text| !text.contains(|character: char| character.is_control() && !"\n\t\r".contains(character)))
    };
    if context.output.is_terminal() && !is_wanted && !is_text(&found.data) {
        let text = format!("the block {cid} isn't text, and standard output is a terminal");
        let advice = format!("dagstore get {cid} -o FILE, or -o - for the terminal all the same");
        return Err(Failure::of_text(Code::Failed, text).advise(advice).into());
    }
    context.output.bytes(&found.data)
}
