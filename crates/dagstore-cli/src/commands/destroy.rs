//! `dagstore destroy`: the store forgets a shard.

use clap::Args;
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Outcome, of_shard};
use crate::settings::Settings;

/// Remove a shard with its index; its CAR file stays where it is.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore destroy monday")]
pub(crate) struct Destroy {
    /// The shard's name.
    key: String,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    key: &'a str,
    destroyed: bool,
}

impl Destroy {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open(self.engine).await?;
        let outcome = store.destroy(key.as_str()).await.map_err(|error| of_shard(&store, error).into());
        context.close(store, outcome).await?;
        if context.output.json {
            return context.output.json(&Document { key: key.as_str(), destroyed: true });
        }
        context.output.line(&format!("destroyed {key}"))
    }
}
