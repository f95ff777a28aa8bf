//! `dagstore init`: makes a store.

use clap::Args;
use serde::Serialize;

use crate::config::{Codec, Config, Datastore, Wish};
use crate::context::Context;
use crate::exit::Outcome;
use crate::settings::Settings;

/// Make a store; the first `register` does it too, with the defaults.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore init --datastore redb --codec json")]
pub(crate) struct Init {
    /// Where records are kept: redb, rocksdb, or the URL of a PostgreSQL database without a password [default: redb].
    #[arg(long)]
    datastore: Option<Datastore>,
    /// How records are written [default: cbor].
    #[arg(long)]
    codec: Option<Codec>,
}

#[derive(Serialize)]
struct Document {
    directory: String,
    #[serde(flatten)]
    config: Config,
    created: bool,
}

impl Init {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let wish = Wish { datastore: self.datastore, codec: self.codec };
        let (store, config, created) = context.open_or_make(wish, Settings::default(), |_| {}).await?;
        context.close(store, Ok(())).await?;
        let directory = context.directory.display().to_string();
        if context.output.json {
            return context.output.json(&Document { directory, config, created });
        }
        let what = if created { "made a store" } else { "there is a store already" };
        context.output.line(&format!("{what} in {directory}, with {config}"))
    }
}
