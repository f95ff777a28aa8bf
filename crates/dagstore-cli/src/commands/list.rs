//! `dagstore list`: every shard in a line.

use clap::Args;
use clap::builder::PossibleValuesParser;
use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::context::Context;
use crate::exit::Outcome;
use crate::output::Output;
use crate::report::{ShardReport, states};
use crate::text::{escape, shorten};

/// The widest cell: a piece CID and a usual path fit. `info` and `--json` show all.
const MOST_CHARACTERS: usize = 100;

/// List the shards; nothing is resumed or changed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore list --state errored")]
pub(crate) struct List {
    /// Only those in this state.
    #[arg(long, ignore_case = true, value_parser = PossibleValuesParser::new(states()))]
    state: Option<String>,
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let store = context.open_paused().await?;
        let is_wanted =
            |shard: &ShardReport| self.state.as_ref().is_none_or(|state| shard.state.eq_ignore_ascii_case(state));
        let shards: Vec<_> = ShardReport::all(&store).filter(is_wanted).collect();
        // Whoever prints slowly must not keep others out of the store.
        context.close(store, Ok(())).await?;
        if context.output.json {
            return shards.iter().try_for_each(|shard| context.output.json_piece(shard));
        }
        if shards.is_empty() {
            return context.output.line("no shards");
        }
        print(&context.output, &shards)
    }
}

fn print(output: &Output, shards: &[ShardReport]) -> Outcome {
    let has_errors = shards.iter().any(|shard| shard.error.is_some());
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["KEY", "STATE", "URL"].into_iter().chain(has_errors.then_some("ERROR")));
    for shard in shards {
        let error = shard.error.as_ref().map(|error| error.text.as_str());
        let cells = [shard.key.as_deref(), Some(shard.state), shard.url.as_deref()]
            .into_iter()
            .chain(has_errors.then_some(error));
        table.add_row(cells.map(|cell| shorten(&escape(cell.unwrap_or("-")), MOST_CHARACTERS)));
    }
    table.lines().try_for_each(|line| output.piece(line.trim()))
}
