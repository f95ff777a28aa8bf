//! `dagstore info`: all that is known of a shard.

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use dagstore::{Dagstore, Error};

use crate::context::{Context, key};
use crate::exit::Outcome;
use crate::report::{CopyReport, CopyReports, ShardReport};
use crate::text::escape;

/// Show what is known of a shard; nothing is resumed or changed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore info monday")]
pub(crate) struct Info {
    /// The shard's name.
    key: String,
}

impl Info {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        key(&self.key)?;
        let store = context.open_paused().await?;
        let report = report(&store, &self.key).map_err(Into::into);
        let report = context.close(store, report).await?;
        if context.output.json { context.output.json(&report) } else { print(context, &report) }
    }
}

fn report(store: &Dagstore, key: &str) -> Result<ShardReport, Error> {
    match store.info(key) {
        Ok(info) => Ok(ShardReport::of_shard(info).with_copy(&CopyReports::of(store))),
        Err(error @ Error::Quarantined { .. }) => {
            let mut records = store.quarantined().into_iter();
            let record = records.find(|record| record.key.as_ref().is_some_and(|found| found.as_str() == key));
            record.map(|record| ShardReport::of_quarantined(&record)).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

fn print(context: &Context, report: &ShardReport) -> Outcome {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let error = report.error.as_ref().map(|error| format!("{} ({})", error.text, error.kind));
    let next_try = report.next_try.as_ref().zip(report.next_try_from_now());
    let next_try = next_try.map(|(time, from_now)| format!("{time} ({from_now})"));
    let rows = [
        ("key", report.key.clone()),
        ("state", Some(report.state.to_owned())),
        ("url", report.url.clone()),
        ("lazy", report.lazy.map(|lazy| if lazy { "yes" } else { "no" }.to_owned())),
        ("error", error),
        ("references", number(report.references.map(u64::from))),
        ("registration", number(report.registration)),
        ("attempt", number(report.attempt.map(u64::from))),
        ("starts", number(report.starts.map(u64::from))),
        ("retries", number(report.retries.map(u64::from))),
        ("next try", next_try),
        ("changed", report.changed.clone()),
        ("local copy", report.copy.as_ref().map(CopyReport::text)),
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
