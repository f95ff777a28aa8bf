//! `dagstore transients`: the local copies of remote shards.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use dagstore::ShardCopy;
use serde::Serialize;

use crate::context::Context;
use crate::exit::Outcome;
use crate::report::CopyReport;
use crate::text::{counted, escape, shorten};

/// The widest key that is shown whole in a table.
const MOST_CHARACTERS: usize = 100;

/// List the local copies of remote shards, and the room that they take; nothing is resumed or changed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore transients")]
pub(crate) struct Transients {}

/// A copy with its shard; no shard where it is gone, and the next collection removes the copy.
#[derive(Serialize)]
struct Entry {
    key: Option<String>,
    #[serde(flatten)]
    copy: CopyReport,
}

#[derive(Serialize)]
struct Document {
    copies: Vec<Entry>,
    used_bytes: u64,
    quota_bytes: Option<u64>,
}

impl Transients {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let quota_bytes = context.config()?.settings.quota();
        let store = context.open_paused().await?;
        let mut copies: Vec<_> = store.copies().iter().map(Entry::of).collect();
        let used_bytes = store.copies_used_bytes();
        context.close(store, Ok(())).await?;
        copies.sort_by(|one, other| one.key.cmp(&other.key));
        let document = Document { copies, used_bytes, quota_bytes };
        if context.output.json { context.output.json(&document) } else { print(context, &document) }
    }
}

impl Entry {
    fn of(copy: &ShardCopy) -> Self {
        let key = copy.key.as_ref().map(|key| key.as_str().to_owned());
        Self { key, copy: CopyReport::of(copy) }
    }
}

fn print(context: &Context, document: &Document) -> Outcome {
    if document.copies.is_empty() {
        context.output.piece("no local copies")?;
    } else {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["KEY", "COPY", "BYTES", "SIZE", "PINNED", "IN USE", "LAST USE"]);
        for Entry { key, copy } in &document.copies {
            let yes = |is_so: bool| if is_so { "yes" } else { "-" }.to_owned();
            table.add_row([
                shorten(&escape(key.as_deref().unwrap_or("-")), MOST_CHARACTERS),
                copy.state.to_owned(),
                copy.bytes.to_string(),
                copy.size_bytes.map_or_else(|| "-".to_owned(), |size| size.to_string()),
                yes(copy.pinned),
                yes(copy.in_use),
                copy.last_use.clone(),
            ]);
        }
        table.lines().try_for_each(|line| context.output.piece(line.trim()))?;
    }
    let quota = document
        .quota_bytes
        .map_or_else(|| "without a quota".to_owned(), |bytes| format!("of {}", counted(bytes, "byte")));
    context.output.piece(&format!("{} taken, {quota}", counted(document.used_bytes, "byte")))
}
