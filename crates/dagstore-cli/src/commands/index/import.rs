//! `dagstore index import`: an index file of go-car's, compared with a shard's CAR.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use dagstore::car::{self, GoIndex, IndexReport, Limits};
use dagstore::fs::RegularFile;
use dagstore::{Dagstore, Error, ShardKey};
use serde::Serialize;

use crate::context::{Context, key};
use crate::exit::{Code, Failure, Outcome, of_shard};
use crate::findings::{self, FindingReport};
use crate::progress::Watched;
use crate::settings::Settings;
use crate::text::{counted, path_text, path_word, shell_word};

/// Compare an index file of go-car's with a shard's CAR; where they agree, see to it that the shard is indexed.
///
/// The file is never believed: the store builds an index of its own of the CAR, unless it has one.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore index import monday monday.full.idx")]
pub(super) struct Import {
    /// The shard's name.
    key: String,
    /// The index file, in the format 0x0400 or 0x0401.
    file: PathBuf,
    /// How many findings are told one by one.
    #[arg(long, value_name = "N", default_value_t = findings::MOST_TOLD)]
    limit: usize,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document {
    key: String,
    file: String,
    codec: String,
    records: u64,
    sections: u64,
    findings: u64,
    state: &'static str,
}

impl Import {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let key = key(&self.key)?;
        let index = open(&self.file, &key)?;
        let codec = format!("{:#06x}", index.codec().code());
        let store = context.open(self.engine).await?;
        let work = async {
            let importing = store.import_index(key.as_str(), index, self.limit);
            let imported = context.progress.watch(&store, Watched::Shard(&key), importing).await;
            let report = imported.map_err(|error| failed(&store, &key, &self.file, error))?;
            let info = store.info(key.as_str())?;
            Ok((report, info.state.name()))
        };
        let imported = work.await;
        let (report, state) = context.close(store, imported).await?;
        let findings = report.findings.len() as u64 + report.left_out;
        let (records, sections, file) = (report.records, report.sections, path_text(&self.file));
        tell(context, &file, &report)?;
        if context.output.json {
            let key = key.to_string();
            context.output.json(&Document { key, file, codec, records, sections, findings, state })?;
        } else if findings == 0 {
            let (records, sections) = (counted(records, "record"), counted(sections, "section"));
            context.output.line(&format!("{file} agrees with {key}: {records}, {sections}; {key} is {state}"))?;
        }
        if findings == 0 {
            return Ok(());
        }
        let text = format!(
            "{} in {}: it isn't the index of {key}; nothing was changed",
            counted(findings, "finding"),
            path_text(&self.file)
        );
        Err(Failure::of_text(Code::Failed, text).advise(export_to(&key, "FILE")).into())
    }
}

fn open(path: &Path, key: &ShardKey) -> Result<GoIndex, Failure> {
    let opened = RegularFile::open(path).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot read {}", path_text(path)));
        Failure::new(Code::Failed, error).advise("the path of an index file of go-car's")
    })?;
    GoIndex::open(Arc::new(opened), &Limits::default()).map_err(|error| {
        let advice = match error {
            car::Error::Io { .. } => format!("dagstore index import KEY {}, when it can be read", path_word(path)),
            _ => export_to(key, "FILE"),
        };
        let error = anyhow::Error::new(error).context(format!("{} is no index of go-car's", path_text(path)));
        Failure::new(Code::Failed, error).advise(advice)
    })
}

/// How to get an index of the CAR itself.
fn export_to(key: &ShardKey, file: &str) -> String {
    format!("dagstore index export {} --output {file}, which makes one of the CAR", shell_word(key.as_str()))
}

fn failed(store: &Dagstore, key: &ShardKey, file: &Path, error: Error) -> Failure {
    match error {
        Error::Car(error @ car::Error::IndexIo { .. }) => {
            let error = anyhow::Error::new(error).context(format!("cannot read {}", path_text(file)));
            Failure::new(Code::Failed, error).advise("the same again, when it can be read")
        }
        Error::Car(error) => {
            let error = anyhow::Error::new(error).context(format!("the CAR of {key} can't be compared"));
            Failure::new(Code::Failed, error).advise("an intact copy of the CAR")
        }
        error => of_shard(store, error),
    }
}

fn tell(context: &Context, file: &str, report: &IndexReport) -> Outcome {
    let found = report.findings.iter().map(|finding| FindingReport::of_index(file, finding));
    findings::tell(context, file, found, report.left_out)
}
