//! `dagstore store export`: the records, in the form of Go's dagstore.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dagstore::{Directory, Mode};
use dagstore_import::{ExportReport, export};
use serde::Serialize;

use super::{failed, no_file};
use crate::config::Config;
use crate::context::Context;
use crate::exit::{Outcome, no_store};
use crate::file;
use crate::text::counted;

/// Print the records as another program writes them, one a line; the report goes to standard error.
///
/// Shards that are being destroyed are left out, for Go has no such state. Records in quarantine that came from Go are printed as
/// they came. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore store export --format go-json -o records.json")]
pub(super) struct Export {
    /// The form.
    #[arg(long)]
    format: Format,
    /// Where to [default: standard output].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// JSON with the six fields of Go's dagstore.
    GoJson,
}

#[derive(Serialize)]
struct Document {
    records: u64,
    kept: u64,
    destroying: Vec<String>,
    unread: Vec<Unread>,
}

#[derive(Serialize)]
struct Unread {
    row: String,
    reason: String,
}

impl Export {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let Format::GoJson = self.format;
        let config = Config::read(&context.directory)?.ok_or_else(|| no_store(&context.directory))?;
        let directory = Directory::lock_existing(&context.directory)?;
        let databases = config.datastore.databases(&directory, Mode::Paused).await?;
        // Records take a few hundred bytes each; a file is replaced by a whole one or not at all.
        let mut bytes = Vec::new();
        let mut write = |record: &[u8]| {
            bytes.extend_from_slice(record);
            bytes.push(b'\n');
            Ok(())
        };
        let exported = export(&databases, &mut write).await;
        let closed = databases.close().await;
        let report = exported.map_err(failed)?;
        closed.map_err(|error| failed(error.into()))?;
        match &self.output {
            Some(path) => file::write(path, &bytes).map_err(|error| no_file(path, error))?,
            None => context.output.stream(|out| out.write_all(&bytes))?,
        }
        tell(context, report);
        Ok(())
    }
}

fn tell(context: &Context, report: ExportReport) {
    let ExportReport { records, kept, destroying, unread, .. } = report;
    if context.output.json {
        let unread = unread.into_iter().map(|(row, reason)| Unread { row, reason }).collect();
        return context.output.json_note(&Document { records, kept, destroying, unread });
    }
    context.output.note(&format!("{}, {kept} of them as they came from Go", counted(records, "record")));
    for key in destroying {
        context.output.note(&format!("left out: {key} is being destroyed"));
    }
    for (row, reason) in unread {
        context.output.note(&format!("left out: row {row}: {reason}"));
    }
}
