//! `dagstore index show`: what a shard's index has.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use dagstore::ShardAccessor;
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::Outcome;
use crate::settings::Settings;
use crate::text::escape;

/// Show what a shard's index has, and what it belongs to.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore index show monday --json")]
pub(super) struct Show {
    /// The shard's name.
    key: String,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document {
    key: String,
    entries: u64,
    file: Option<String>,
    file_bytes: Option<u64>,
    bytes_per_entry: Option<f64>,
    registration: u64,
    attempt: u32,
    car_bytes: u64,
    validator: Option<String>,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let store = context.open(self.engine).await?;
        let shown = context.acquire(&store, &key).await.map(|shard| document(context, &shard));
        let shown = context.close(store, shown).await?;
        if context.output.json { context.output.json(&shown) } else { print(context, &shown) }
    }
}

fn document(context: &Context, shard: &ShardAccessor) -> Document {
    let (meta, entries) = (shard.index().meta(), shard.index().len());
    let file = context.directory.join("index").join(format!("{}.idx", meta.name));
    let file_bytes = file.metadata().ok().map(|found| found.len());
    Document {
        key: shard.key().as_str().to_owned(),
        entries,
        file: file_bytes.map(|_| file.display().to_string()),
        file_bytes,
        bytes_per_entry: file_bytes.filter(|_| entries > 0).map(|bytes| per_entry(bytes, entries)),
        registration: meta.name.registration.0,
        attempt: meta.name.attempt.0,
        car_bytes: meta.car_size,
        validator: meta.validator.clone(),
    }
}

/// To a hundredth.
#[expect(clippy::cast_precision_loss, reason = "a file of more than 2^53 bytes there is none")]
fn per_entry(bytes: u64, entries: u64) -> f64 {
    (bytes as f64 / entries as f64 * 100.0).round() / 100.0
}

fn print(context: &Context, shown: &Document) -> Outcome {
    let number = |number: u64| Some(number.to_string());
    let rows = [
        ("key", Some(shown.key.clone())),
        ("entries", number(shown.entries)),
        ("file", shown.file.clone()),
        ("file bytes", shown.file_bytes.and_then(number)),
        ("bytes per entry", shown.bytes_per_entry.map(|bytes| format!("{bytes:.2}"))),
        ("registration", number(shown.registration)),
        ("attempt", number(shown.attempt.into())),
        ("car bytes", number(shown.car_bytes)),
        ("validator", shown.validator.clone()),
    ];
    let mut table = Table::new();
    table.load_style(NOTHING);
    for (name, value) in rows {
        if let Some(value) = value {
            table.add_row([name, &escape(&value)]);
        }
    }
    table.lines().try_for_each(|line| context.output.piece(line.trim()))
}
