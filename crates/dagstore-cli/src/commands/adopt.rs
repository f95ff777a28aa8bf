//! `dagstore adopt`: a file that somebody has already serves as the local copy of a shard.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Code, Failure, Outcome, of_shard};
use crate::settings::Settings;
use crate::text::path_text;

/// Use a file of your own, where it is, as the local copy of a shard; it is never written, renamed or removed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore adopt monday /srv/monday.car")]
pub(crate) struct Adopt {
    /// The shard's name.
    key: String,
    /// The file, with the bytes of the shard's source.
    file: PathBuf,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    key: &'a str,
    file: String,
    adopted: bool,
}

impl Adopt {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let file = std::path::absolute(&self.file).map_err(|error| {
            let error = anyhow::Error::new(error).context("FILE doesn't name a file");
            Failure::new(Code::Usage, error).advise("dagstore adopt KEY FILE, with the path of a file")
        })?;
        let store = context.open(self.engine).await?;
        let adopted = store.adopt(key.as_str(), &file).await.map_err(|error| of_shard(&store, error).into());
        context.close(store, adopted).await?;
        let (file, key) = (path_text(&file), key.as_str());
        if context.output.json {
            return context.output.json(&Document { key, file, adopted: true });
        }
        context.output.line(&format!("adopted {file} as the local copy of {key}"))
    }
}
