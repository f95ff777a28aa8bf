//! `dagstore store copy`: a store in another datastore.

use std::path::{Path, PathBuf};

use clap::Args;
use dagstore_import::{CopyOptions, CopyReport, CopyStep, Place, Schemes, copy_store};
use serde::Serialize;

use super::{failed, no_file};
use crate::config::{Codec, FILE_NAME, switched};
use crate::context::Context;
use crate::exit::Outcome;
use crate::file::{self, Existing};
use crate::text::{counted, path_text};

/// Copy a store to another datastore, and compare both to the last row.
///
/// A place is the name of a datastore and the directory of its store, or the URL of a database; of a store in a database, the
/// directory is --dir, and without it the directory of the other place. In the same directory the store has both datastores
/// then, and a line of its dagstore.toml says which one is used; of another directory, the index files are copied, too. What was
/// killed goes on with the same command.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore store copy --from redb:/srv/store --to rocksdb:/srv/store
  dagstore store copy --from rocksdb:/srv/store --to redb:/mnt/store --codec json
  dagstore store copy --from rocksdb:/srv/store --to postgres://me@db.example/catalogue")]
pub(super) struct Copy {
    /// What is copied, a datastore and a directory or the URL of a database; it is only read.
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where to; it must be empty, or an unfinished copy of the same store.
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// Write records in this codec [default: as they are].
    #[arg(long)]
    codec: Option<Codec>,
}

#[derive(Serialize)]
struct Document {
    from: String,
    to: String,
    tables: Vec<TableDocument>,
    index_files: Option<u64>,
    resumed_rows: u64,
    was_complete: bool,
    unread: u64,
    settings: Option<String>,
    switch: String,
}

#[derive(Serialize)]
struct TableDocument {
    name: &'static str,
    rows: u64,
    bytes: u64,
    sha256: String,
}

impl Copy {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let (from, to): (Place, Place) = (self.from.parse().map_err(failed)?, self.to.parse().map_err(failed)?);
        let mut options = CopyOptions::default();
        options.codec = self.codec.map(Codec::codec);
        let schemes = Schemes::built_in().and_postgres(Some(beside_a_database(context, &from, &to)));
        let line = context.progress.line();
        let tell = |step| {
            line.say(match step {
                CopyStep::Copied { table, rows } => format!("copied {}, in {table}", counted(rows, "row")),
                CopyStep::Comparing { table, rows } => format!("compared {} of {table}", counted(rows, "row")),
                CopyStep::Files { files } => format!("copied {}", counted(files, "index file")),
                _ => String::new(),
            });
        };
        let report = copy_store(&schemes, &from, &to, &options, &tell).await.map_err(failed)?;
        drop(line);
        let directory = |place: &Place| schemes.of(place).ok().and_then(|scheme| scheme.directory(&place.location));
        let settings = match (directory(&from), directory(&to)) {
            (Some(old), Some(new)) => self.settings(&old, &new, &to)?,
            _ => None,
        };
        self.tell(context, &to, report, settings)
    }

    /// Writes the settings of a store in a new directory, and tells where they are.
    fn settings(&self, old: &Path, new: &Path, to: &Place) -> Outcome<Option<PathBuf>> {
        let (source, target) = (old.join(FILE_NAME), new.join(FILE_NAME));
        if !source.is_file() || target.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&source).map_err(|error| no_file(&source, error))?;
        let text = switched(&text, &setting(to), self.codec);
        let written = file::write_with(&target, Existing::Keep, |out| out.write_all(text.as_bytes()));
        written.map_err(|error| no_file(&target, error))?;
        Ok(Some(target))
    }

    fn tell(&self, context: &Context, to: &Place, report: CopyReport, settings: Option<PathBuf>) -> Outcome {
        let mut switch = format!("datastore = {}", toml::Value::from(setting(to)));
        if let Some(codec) = self.codec {
            switch = format!("{switch}\ncodec = \"{}\"", codec.name());
        }
        let settings = settings.map(|path| path_text(&path));
        if context.output.json {
            let table = |table: dagstore_import::TableReport| TableDocument {
                name: table.name,
                rows: table.rows,
                bytes: table.bytes,
                sha256: table.sha256,
            };
            return context.output.json(&Document {
                from: self.from.clone(),
                to: self.to.clone(),
                tables: report.tables.into_iter().map(table).collect(),
                index_files: report.index_files,
                resumed_rows: report.resumed_rows,
                was_complete: report.was_complete,
                unread: report.unread,
                settings,
                switch,
            });
        }
        for table in &report.tables {
            let rows = counted(table.rows, "row");
            context.output.piece(&format!("{}: {rows}, {} bytes, the same in both", table.name, table.bytes))?;
        }
        if let Some(files) = report.index_files {
            context.output.piece(&counted(files, "index file"))?;
        }
        if report.unread > 0 {
            let records = counted(report.unread, "record");
            context
                .output
                .piece(&format!("{records} can't be read and stayed as they are: dagstore quarantine list"))?;
        }
        if let Some(path) = settings {
            return context.output.line(&format!("{} is a store; {path} is its settings", self.to));
        }
        let switch = switch.replace('\n', " and ");
        context.output.line(&format!("{} is a store; it is used once dagstore.toml has {switch}", self.to))
    }
}

/// The directory of a store whose datastore is at a URL.
fn beside_a_database(context: &Context, from: &Place, to: &Place) -> PathBuf {
    let embedded = [from, to].into_iter().find(|place| !is_url(place)).filter(|_| !context.is_directory_named);
    embedded.map_or_else(|| context.directory.clone(), |place| Path::new(&place.location).to_owned())
}

/// What `dagstore.toml` calls the datastore.
fn setting(place: &Place) -> String {
    if is_url(place) { format!("{}:{}", place.scheme, place.location) } else { place.scheme.clone() }
}

fn is_url(place: &Place) -> bool {
    matches!(place.scheme.as_str(), "postgres" | "postgresql")
}
