//! `dagstore quarantine`: the records that can't be read.

use std::io::{self, IsTerminal};

use clap::{Args, Subcommand};
use dagstore::{Dagstore, Quarantined, ShardKey};
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Code, Failure, Outcome};
use crate::report::ShardReport;
use crate::settings::Settings;
use crate::text::shell_word;

/// List, retry or drop the records that can't be read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore quarantine list
  dagstore quarantine retry monday
  dagstore quarantine drop --row 000000000000002a")]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Retry(Retry),
    Drop(Drop),
}

/// List the records that can't be read, with the reason; nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore quarantine list --json")]
struct List {}

/// Read a record again, once the cause is mended.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore quarantine retry monday")]
struct Retry {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    engine: Settings,
}

/// Delete a record for good; the store forgets its shard.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore quarantine drop monday
  dagstore quarantine drop --row 000000000000002a --yes")]
struct Drop {
    #[command(flatten)]
    which: Which,
    /// Don't ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    engine: Settings,
}

/// A record, by its shard's name or by its row.
#[derive(Debug, Args)]
struct Which {
    /// The shard's name.
    #[arg(required_unless_present = "row", conflicts_with = "row")]
    key: Option<String>,
    /// The record's row, as `quarantine list` shows it.
    #[arg(long, value_name = "HEX")]
    row: Option<String>,
}

/// A record, for programs.
#[derive(Serialize)]
struct Document<'a> {
    row: String,
    registration: Option<u64>,
    key: Option<&'a str>,
    reason: &'a str,
}

#[derive(Serialize)]
struct Gone<'a> {
    row: String,
    key: Option<&'a str>,
    dropped: bool,
}

impl Quarantine {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        match self.action {
            Action::List(List {}) => list(context).await,
            Action::Retry(arguments) => arguments.run(context).await,
            Action::Drop(arguments) => arguments.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Outcome {
    let records = look(context).await?;
    if context.output.json {
        return records.iter().try_for_each(|record| context.output.json_piece(&document(record)));
    }
    if records.is_empty() {
        return context.output.line("no record is in quarantine");
    }
    records.iter().try_for_each(|record| context.output.piece(&told(record)))
}

/// The records in quarantine. The store isn't open any more when this returns.
async fn look(context: &Context) -> Outcome<Vec<Quarantined>> {
    let store = context.open_paused().await?;
    let records = store.quarantined();
    context.close(store, Ok(records)).await
}

impl Retry {
    async fn run(self, context: &Context) -> Outcome {
        // Opening reads every record again, so what is in quarantine then was tried once already.
        let store = context.open(self.engine).await?;
        let outcome = self.retry(&store).await;
        let report = context.close(store, outcome).await?;
        if context.output.json {
            return context.output.json(&report);
        }
        context.output.line(&format!("{} can be read: {}", report.key.as_deref().unwrap_or("it"), report.state))
    }

    async fn retry(&self, store: &Dagstore) -> Outcome<ShardReport> {
        match self.which.find(&store.quarantined()) {
            Ok(record) => {
                store.retry_quarantined(&record.row).await?;
                Ok(self.which.shard(store).ok_or_else(|| self.which.unknown())?)
            }
            // It may have left the quarantine when the store was opened.
            Err(failure) => Ok(self.which.shard(store).ok_or(failure)?),
        }
    }
}

impl Drop {
    async fn run(self, context: &Context) -> Outcome {
        let records = look(context).await?;
        let record = self.which.find(&records)?;
        if !self.yes {
            // Meanwhile the store isn't open: whoever takes his time to answer keeps nobody out.
            confirm(context, record).await?;
        }
        let store = context.open(self.engine).await?;
        let outcome = store.drop_quarantined(&record.row).await.map_err(Into::into);
        context.close(store, outcome).await?;
        let key = record.key.as_ref().map(ShardKey::as_str);
        if context.output.json {
            return context.output.json(&Gone { row: record.row_text(), key, dropped: true });
        }
        context.output.line(&format!("dropped the record in row {}: {}", record.row_text(), lost(record)))
    }
}

/// Asks whether the record shall be dropped, and says what is lost with it.
async fn confirm(context: &Context, record: &Quarantined) -> Outcome {
    let advice = "the same again with --yes";
    if context.output.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let text = format!("not dropped, because nobody can be asked: {}", lost(record));
        return Err(Failure::of_text(Code::Usage, text).advise(advice).into());
    }
    context.output.note(&told(record));
    context.output.note(&format!("If it is dropped, {}.", lost(record)));
    context.output.ask("Drop it? [y/N] ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await.ok().and_then(Result::ok).unwrap_or_default();
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::of_text(Code::Failed, "not confirmed: nothing was dropped").advise(advice).into())
}

/// The record in one line.
fn told(record: &Quarantined) -> String {
    let key = record.key.as_ref().map_or("a shard whose name can't be read", ShardKey::as_str);
    format!("{}  {key}: {}", record.row_text(), record.reason)
}

/// What is lost when the record is dropped.
fn lost(record: &Quarantined) -> String {
    match &record.key {
        Some(key) => format!(
            "the store forgets the shard {key} with its URL, its state and its index; the key is free then, and the CAR stays where it is"
        ),
        None => "the store forgets a shard whose name can't be read, with its URL, its state and its index; the CAR stays where it is"
            .to_owned(),
    }
}

fn document(record: &Quarantined) -> Document<'_> {
    Document {
        row: record.row_text(),
        registration: record.registration.map(|number| number.0),
        key: record.key.as_ref().map(ShardKey::as_str),
        reason: &record.reason,
    }
}

impl Which {
    /// The record that is meant.
    fn find<'a>(&self, records: &'a [Quarantined]) -> Result<&'a Quarantined, Failure> {
        let wanted = self.key.as_deref().map(key).transpose()?;
        let is_meant = |record: &&Quarantined| match &self.row {
            Some(row) => record.row_text().eq_ignore_ascii_case(row),
            None => record.key == wanted,
        };
        let found: Vec<_> = records.iter().filter(is_meant).collect();
        match found[..] {
            [] => Err(self.unknown()),
            [record] => Ok(record),
            _ => {
                let rows: Vec<_> = found.iter().map(|record| record.row_text()).collect();
                let text =
                    format!("{} records in quarantine have this key, in the rows {}", rows.len(), rows.join(", "));
                Err(Failure::of_text(Code::Usage, text).advise("the same again with --row HEX instead of the key"))
            }
        }
    }

    /// The shard that is meant, where its record can be read.
    fn shard(&self, store: &Dagstore) -> Option<ShardReport> {
        let info = match (&self.row, &self.key) {
            (Some(row), _) => {
                let number = u64::from_str_radix(row, 16).ok()?;
                store.shards().into_iter().find(|shard| shard.registration.0 == number)
            }
            (None, key) => store.info(key.as_deref()?).ok(),
        };
        info.map(ShardReport::of_shard)
    }

    fn unknown(&self) -> Failure {
        let what = match (&self.row, &self.key) {
            (Some(row), _) => format!("no record of row {row} is in quarantine"),
            (None, key) => format!("no record of {} is in quarantine", shell_word(key.as_deref().unwrap_or_default())),
        };
        Failure::of_text(Code::NotFound, what).advise("dagstore quarantine list")
    }
}
