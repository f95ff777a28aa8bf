//! The process that a demonstration kills: it registers a file that it reads slowly.

use std::ffi::OsString;
use std::future::IntoFuture;
use std::pin::pin;
use std::time::Duration;

use clap::Args;
use dagstore::mount::{FileMount, Registry, Throttled};
use dagstore::{Dagstore, Error};

use crate::context::{Context, key};
use crate::exit::{Outcome, Stop, of_shard};
use crate::settings::Settings;
use crate::source::Source;

/// How often the store is asked how far it is.
const INTERVAL: Duration = Duration::from_millis(2);

/// The word that this process prints once it is in the middle of its work; the bytes done and all bytes follow.
pub(crate) const INDEXING: &str = "indexing";

#[derive(Debug, Args)]
pub(crate) struct DemoChild {
    #[arg(long)]
    key: String,
    #[arg(long)]
    bytes_per_second: u64,
    file: OsString,
}

impl DemoChild {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        key(&self.key)?;
        let source = Source::of(&self.file)?;
        let mut registry = Registry::with_defaults();
        let slow = Throttled::new(FileMount::template(), self.bytes_per_second);
        registry.replace("file", slow).map_err(Error::from)?;
        let store = context.open_with(context.builder(Settings::default())?.registry(registry)).await?;
        let outcome = register(context, &store, &self.key, &source.url).await;
        context.close(store, outcome).await
    }
}

async fn register(context: &Context, store: &Dagstore, key: &str, url: &str) -> Outcome {
    let mut registered = pin!(store.register(key, url).into_future());
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut is_told = false;
    loop {
        tokio::select! {
            biased;
            outcome = &mut registered => {
                context.output.line(if outcome.is_ok() { "available" } else { "failed" })?;
                return outcome.map_err(|error| Stop::from(of_shard(store, error)));
            }
            _ = ticks.tick(), if !is_told => {
                let progress = store.info(key).ok().and_then(|info| info.progress);
                if let Some(progress) = progress.filter(|progress| progress.done_bytes() > 0) {
                    context.output.line(&format!("{INDEXING} {} {}", progress.done_bytes(), progress.total_bytes()))?;
                    is_told = true;
                }
            }
        }
    }
}
