//! `dagstore index`: the full index of a shard, and go-car's index files.

mod export;
mod import;
mod rebuild;
mod show;

use clap::{Args, Subcommand};
use dagstore::Verify;

use crate::context::{Context, key};
use crate::exit::Outcome;
use crate::settings::Settings;
use crate::verification::{Rate, verify};

/// Show, verify or rebuild the index of a shard, and exchange index files with go-car.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore index show monday
  dagstore index verify monday
  dagstore index rebuild monday
  dagstore index export monday -o monday.idx
  dagstore index import monday monday.idx")]
pub(crate) struct Index {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::Show),
    Verify(VerifyIndex),
    Rebuild(rebuild::Rebuild),
    Export(export::Export),
    Import(import::Import),
}

/// Check that the indices name every block of a shard where it is; the blocks themselves aren't hashed.
#[derive(Debug, Args)]
#[command(name = "verify", after_help = "Example:\n  dagstore index verify monday")]
struct VerifyIndex {
    /// The shard's name.
    key: String,
    #[command(flatten)]
    engine: Settings,
}

impl Index {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self.action {
            Action::Show(arguments) => arguments.run(context).await,
            Action::Verify(arguments) => arguments.run(context).await,
            Action::Rebuild(arguments) => arguments.run(context).await,
            Action::Export(arguments) => arguments.run(context).await,
            Action::Import(arguments) => arguments.run(context).await,
        }
    }
}

impl VerifyIndex {
    async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open(self.engine).await?;
        let outcome = verify(context, &store, vec![key], Verify::Index, Rate::default()).await;
        context.close(store, outcome).await
    }
}
