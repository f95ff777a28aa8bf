//! `dagstore store import`: a directory of Go's dagstore.

use std::path::{Path, PathBuf};

use clap::Args;
use dagstore::{Dagstore, Directory, Mode, ShardState};
use dagstore_import::go::{
    Compared, GoFiles, Mapping, Outcome as Fate, Planned, ReadOptions, compare_index, plan, read, write,
};
use serde::Serialize;

use super::failed;
use crate::config::{Codec, Config, Datastore, Wish};
use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};

use crate::progress::Watched;
use crate::report::QUARANTINED;
use crate::settings::Settings;
use crate::text::{counted, now_ms};

/// Take the shards of a directory of Go's dagstore into the store, and index them.
///
/// The directory is only read. Each record becomes a shard, or is kept in quarantine with the reason; indices are made of the CARs,
/// and Go's are compared with them. A store is made where there is none. The same again takes what isn't there yet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore store import /srv/go-dagstore --fs-root /srv/pieces
  dagstore store import /mnt/old --moved /srv/pieces=/mnt/pieces --lazy --json")]
pub(super) struct Import {
    /// The directory, with datastore, index and transients in it.
    directory: PathBuf,
    /// The root of Go's fs mount: its shards become files beneath it.
    #[arg(long, value_name = "DIR")]
    fs_root: Option<PathBuf>,
    /// Files beneath OLD are beneath NEW now; as often as needed.
    #[arg(long, value_name = "OLD=NEW", value_parser = parse_moved)]
    moved: Vec<(PathBuf, PathBuf)>,
    /// Leave the indexing of each shard to its first use, and Go's indices uncompared.
    #[arg(long)]
    lazy: bool,
    /// Where Go's LevelDB is copied to for reading [default: the system's folder for temporary files].
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Where records are kept, for a new store [default: redb].
    #[arg(long)]
    datastore: Option<Datastore>,
    /// How records are written, for a new store [default: cbor].
    #[arg(long)]
    codec: Option<Codec>,
    #[command(flatten)]
    engine: Settings,
}

/// What became of a record.
#[derive(Serialize)]
struct Record {
    key: Option<String>,
    row: String,
    /// Taken, present or quarantined.
    outcome: &'static str,
    reason: Option<String>,
    go_state: Option<u8>,
    go_url: Option<String>,
    url: Option<String>,
    state: Option<&'static str>,
    error: Option<String>,
    go_index: Option<&'static str>,
    copy: Option<String>,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Document {
    directory: String,
    taken: usize,
    present: usize,
    quarantined: usize,
    records: Vec<Record>,
    unnamed_files: Vec<String>,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| super::no_file(path, error));
        let directory = absolute(&self.directory)?;
        if is_within(&context.directory, &directory) {
            let text = format!(
                "the store's directory {} is in {}, which is only read",
                context.directory.display(),
                directory.display()
            );
            return Err(Failure::of_text(Code::Usage, text).advise("another --dir").into());
        }
        if let Some(root) = &self.fs_root {
            std::fs::metadata(root).map_err(|error| super::no_file(root, error))?;
        }
        let mapping = Mapping {
            fs_root: self.fs_root.as_ref().map(absolute).transpose()?,
            moved: self.moved.clone(),
            lazy: self.lazy,
        };
        let line = context.progress.line();
        line.say(format!("reading {}", directory.display()));
        let mut options = ReadOptions::default();
        options.scratch.clone_from(&self.scratch);
        let reading = tokio::task::spawn_blocking({
            let directory = directory.clone();
            move || read(&directory, &options)
        });
        let (rows, mut files) = reading.await.map_err(|error| Failure::new(Code::Failed, error))?.map_err(failed)?;
        let mounts = Config::read(&context.directory)?.map(|config| config.mounts).unwrap_or_default();
        let registry = mounts.registry().map_err(dagstore::Error::from)?;
        let now = dagstore::UnixMillis(now_ms());
        let mut planned = plan(rows, &mut files, &mapping, &registry, now);
        let wish = Wish { datastore: self.datastore.clone(), codec: self.codec };
        let (store, config, _) = context.open_or_make(wish, self.engine, |_| {}).await?;
        context.close(store, Ok(())).await?;
        line.say(format!("writing {}", counted(planned.len(), "record")));
        write_rows(context, config, &mut planned).await?;
        drop(line);
        let store = context.open(self.engine).await?;
        let looked = self.look(context, &store, &planned).await;
        let records = context.close(store, looked).await?;
        tell(context, directory.display().to_string(), records, &files)
    }

    /// What became of each record in the store.
    async fn look(&self, context: &Context, store: &Dagstore, planned: &[Planned]) -> Outcome<Vec<Record>> {
        if !self.lazy {
            context.progress.watch(store, Watched::All, store.resumed()).await?;
        }
        let mut records = Vec::new();
        for shard in planned {
            records.push(self.look_at(store, shard).await);
        }
        Ok(records)
    }

    async fn look_at(&self, store: &Dagstore, shard: &Planned) -> Record {
        let (outcome, reason, url) = match &shard.outcome {
            Fate::Taken(record) => ("taken", None, Some(record.url.clone())),
            Fate::Quarantined { reason } => ("quarantined", Some(reason.clone()), None),
            Fate::Present => ("present", None, None),
        };
        let key = shard.record.as_ref().map(|record| record.key.clone());
        let info = key.as_deref().filter(|_| outcome != "quarantined").and_then(|key| store.info(key).ok());
        let mut go_index = None;
        let mut notes = shard.notes.clone();
        if let (Some(info), Some(file), "taken", false) = (&info, &shard.index, outcome, self.lazy)
            && info.state == ShardState::Available
        {
            go_index = Some(match compare_index(store, info.key.as_str(), file).await {
                Compared::Agrees { .. } => "agrees",
                Compared::Differs { findings } => {
                    notes.push(format!("Go's index differs from the CAR: {}", counted(findings, "finding")));
                    "differs"
                }
                Compared::Unreadable { reason } => {
                    notes.push(format!("Go's index can't be read: {reason}"));
                    "unreadable"
                }
                Compared::NotCompared { reason } => {
                    notes.push(format!("Go's index could not be compared: {reason}"));
                    "not compared"
                }
            });
        }
        let state = match (&info, outcome) {
            (Some(info), _) => Some(info.state.name()),
            (None, "taken") => Some(QUARANTINED),
            _ => None,
        };
        Record {
            key,
            row: String::from_utf8_lossy(&shard.row.name).into_owned(),
            outcome,
            reason,
            go_state: shard.record.as_ref().map(|record| record.state),
            go_url: shard.record.as_ref().map(|record| dagstore::mount::redacted(&record.url)),
            url,
            state,
            error: info.and_then(|info| info.error).map(|error| error.text().to_owned()),
            go_index,
            copy: shard.copy.as_ref().map(|copy| copy.path.display().to_string()),
            notes,
        }
    }
}

/// Whether a directory is in another one, or will be when it is made.
fn is_within(inner: &Path, outer: &Path) -> bool {
    let Ok(outer) = outer.canonicalize() else { return false };
    let Ok(inner) = std::path::absolute(inner) else { return false };
    let real = inner.ancestors().find_map(|ancestor| ancestor.canonicalize().ok());
    real.is_some_and(|real| real.starts_with(outer))
}

/// Writes the records while nobody has the store open.
async fn write_rows(context: &Context, config: Config, planned: &mut [Planned]) -> Outcome {
    let directory = Directory::lock_existing(&context.directory)?;
    let databases = config.datastore.databases(&directory, Mode::Active).await?;
    let written = write(&databases, &*config.codec.codec(), planned).await;
    let closed = databases.close().await;
    written.map_err(failed)?;
    Ok(closed.map_err(|error| failed(error.into()))?)
}

fn tell(context: &Context, directory: String, records: Vec<Record>, files: &GoFiles) -> Outcome {
    let count = |outcome: &str| records.iter().filter(|record| record.outcome == outcome).count();
    let (taken, present, quarantined) = (count("taken"), count("present"), count("quarantined"));
    let unnamed_files = files.unnamed();
    if context.output.json {
        context.output.json(&Document { directory, taken, present, quarantined, records, unnamed_files })?;
    } else {
        for record in &records {
            let name = record.key.as_deref().unwrap_or(&record.row);
            let state = record.state.unwrap_or(record.outcome);
            let why = record.reason.iter().chain(&record.error).chain(&record.notes);
            let why: Vec<_> = why.map(String::as_str).collect();
            let separator = if why.is_empty() { "" } else { ": " };
            context.output.piece(&format!("{name}  {state}{separator}{}", why.join("; ")))?;
        }
        for file in &unnamed_files {
            context.output.piece(&format!("{file}  no record names it; it was left"))?;
        }
        let records = counted(records.len(), "record");
        context.output.line(&format!(
            "{records} of {directory}: {taken} taken, {present} in the store already, {quarantined} in quarantine"
        ))?;
    }
    if quarantined == 0 {
        return Ok(());
    }
    let text = format!("{} can't be used and stayed as they were, in quarantine", counted(quarantined, "record"));
    Err(Failure::of_text(Code::Failed, text).advise("dagstore quarantine list, which tells why").into())
}

fn parse_moved(text: &str) -> Result<(PathBuf, PathBuf), String> {
    match text.split_once('=') {
        Some((old, new)) if old.starts_with('/') && new.starts_with('/') => Ok((old.into(), new.into())),
        _ => Err("it is to be OLD=NEW, two absolute paths".to_owned()),
    }
}
