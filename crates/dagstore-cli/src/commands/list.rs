//! `dagstore list`: every shard in a line, or a few where lines are short.

use std::collections::BTreeMap;

use clap::Args;
use clap::builder::PossibleValuesParser;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use dagstore::{Dagstore, ShardState};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Outcome;
use crate::output::Output;
use crate::report::{CopyReport, QUARANTINED, ShardReport, states};
use crate::text::{escape, shorten};

/// The widest cell: a piece CID and a usual path fit. `info` and `--json` show all.
const MOST_CHARACTERS: usize = 100;

/// The column where the rest of a shard begins where a line has no room for it: behind the longest name of a state.
const INDENT: usize = 14;

/// List the shards; nothing is resumed or changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore list --state errored
  dagstore list --counts")]
pub(crate) struct List {
    /// Only those in this state.
    #[arg(long, ignore_case = true, value_parser = PossibleValuesParser::new(states()))]
    state: Option<String>,
    /// Only how many there are in each state.
    #[arg(long, conflicts_with = "state")]
    counts: bool,
}

/// How many there are.
#[derive(Serialize)]
struct Counts {
    shards: usize,
    states: BTreeMap<&'static str, usize>,
}

impl List {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let store = context.open_paused().await?;
        if self.counts {
            let counts = Counts::of(&store);
            context.close(store, Ok(())).await?;
            return counts.print(&context.output);
        }
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

impl Counts {
    fn of(store: &Dagstore) -> Self {
        let counts = store.counts();
        let of_state = |state: ShardState| (state.name(), counts.get(&state).copied().unwrap_or_default());
        let mut states: BTreeMap<_, _> = ShardState::ALL.into_iter().map(of_state).collect();
        states.insert(QUARANTINED, store.quarantined().len());
        Self { shards: states.values().sum(), states }
    }

    fn print(&self, output: &Output) -> Outcome {
        if output.json {
            return output.json(self);
        }
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["STATE", "SHARDS"]);
        for (state, count) in states().iter().filter_map(|state| self.states.get_key_value(state)) {
            if *count > 0 {
                table.add_row([(*state).to_owned(), count.to_string()]);
            }
        }
        table.add_row(["all".to_owned(), self.shards.to_string()]);
        table.lines().try_for_each(|line| output.piece(line.trim()))
    }
}

/// Prints a line for each shard, unless a person looks at it on a terminal that has no room for such lines.
fn print(output: &Output, shards: &[ShardReport]) -> Outcome {
    let lines: Vec<String> = table(shards).lines().map(|line| line.trim().to_owned()).collect();
    match output.width() {
        Some(width) if lines.iter().any(|line| line.chars().count() > width) => {
            shards.iter().flat_map(|shard| paragraph(shard, width)).try_for_each(|line| output.piece(&line))
        }
        _ => lines.iter().try_for_each(|line| output.piece(line)),
    }
}

/// A line for each shard. Columns that would be empty are left out.
fn table(shards: &[ShardReport]) -> Table {
    let has = |column: fn(&ShardReport) -> bool| shards.iter().any(column);
    let has_tries = has(|shard| shard.tries().is_some());
    let has_next = has(|shard| shard.next_try.is_some());
    let has_errors = has(|shard| shard.error.is_some());
    let has_copies = has(|shard| shard.copy.is_some());
    let mut table = Table::new();
    table.load_style(NOTHING);
    let columns = [
        ("KEY", true),
        ("STATE", true),
        ("TRIES", has_tries),
        ("NEXT TRY", has_next),
        ("LOCAL COPY", has_copies),
        ("URL", true),
        ("ERROR", has_errors),
    ];
    table.set_header(columns.into_iter().filter(|(_, is_shown)| *is_shown).map(|(name, _)| name));
    for shard in shards {
        let cells = [
            shard.key.clone(),
            Some(shard.state.to_owned()),
            shard.tries(),
            shard.next_try_from_now(),
            shard.copy.as_ref().map(CopyReport::text),
            shard.url.clone(),
            shard.error.as_ref().map(|error| error.text.clone()),
        ];
        let shown = cells.into_iter().zip(columns).filter(|(_, (_, is_shown))| *is_shown);
        table.add_row(shown.map(|(cell, _)| shorten(&escape(cell.as_deref().unwrap_or("-")), MOST_CHARACTERS)));
    }
    table
}

/// The lines of one shard for a narrow terminal. The key is shown whole, because it is what is typed next.
fn paragraph(shard: &ShardReport, width: usize) -> Vec<String> {
    const DOTS: usize = 3;
    let most = width.saturating_sub(INDENT + DOTS).max(INDENT);
    let key = escape(shard.key.as_deref().unwrap_or("-"));
    let next_try = shard.next_try_from_now().map(|time| format!("next try {time}"));
    let tries: Vec<_> = shard.tries().into_iter().chain(next_try).collect();
    let more = [
        shard.error.as_ref().map(|error| error.text.clone()),
        Some(tries.join(", ")).filter(|tries| !tries.is_empty()),
        shard.copy.as_ref().map(|copy| format!("local copy: {}", copy.text())),
        shard.url.clone(),
    ];
    let more = more.into_iter().flatten().map(|text| format!("{:INDENT$}{}", "", shorten(&escape(&text), most)));
    std::iter::once(format!("{:INDENT$}{key}", shard.state)).chain(more).collect()
}
