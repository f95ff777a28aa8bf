//! `dagstore car verify`: every block of CAR files is hashed.

use std::path::{Path, PathBuf};

use clap::Args;
use dagstore::car::InspectOptions;
use serde::Serialize;

use super::{Looked, intact_copy, look};
use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};
use crate::findings::{self, FindingReport};
use crate::text::{counted, path_text};

/// Read CAR files and hash every block on all cores, and hold inline indices against the blocks.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore car verify monday.car
  dagstore car verify --json *.car")]
pub(super) struct Verify {
    /// The CAR files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How many findings of each file are told one by one.
    #[arg(long, value_name = "N", default_value_t = findings::MOST_TOLD)]
    limit: usize,
}

/// A file that was verified, for programs.
#[derive(Serialize)]
struct Document<'a> {
    file: &'a str,
    version: Option<u64>,
    blocks: u64,
    verified: u64,
    bytes: u64,
    findings: u64,
}

/// A file that could not be.
#[derive(Serialize)]
struct Unread<'a> {
    file: &'a str,
    error: String,
    r#try: &'a str,
}

/// What is known of all files together.
#[derive(Default)]
struct Sum {
    findings: u64,
    /// Files with findings.
    files: usize,
    /// The way out of the first.
    advice: Option<String>,
    unread: usize,
    /// Why the first that could not be read could not.
    failure: Option<Failure>,
}

impl Verify {
    pub(super) async fn run(self, context: &Context) -> Outcome {
        let mut sum = Sum::default();
        for path in &self.files {
            match look(context, path, InspectOptions::default().with_most_findings(self.limit)).await {
                Ok(looked) => sum.add(path, tell(context, path, &looked, self.limit)?),
                Err(failure) => {
                    sum.unread += 1;
                    if self.files.len() > 1 {
                        tell_unread(context, path, &failure)?;
                    }
                    sum.failure.get_or_insert(failure);
                }
            }
        }
        sum.end(self.files.len())
    }
}

/// Tells what was found, and returns how much that is.
fn tell(context: &Context, path: &Path, looked: &Looked, limit: usize) -> Outcome<u64> {
    let file = path_text(path);
    let report = match looked {
        Looked::NoCar(error) => {
            let found = Some(FindingReport::of_car(&file, error)).into_iter();
            findings::tell(context, &file, found.take(limit), u64::from(limit == 0))?;
            Document { file: &file, version: None, blocks: 0, verified: 0, bytes: 0, findings: 1 }
        }
        Looked::Car(reader, inspection, damage) => {
            let damage = damage.iter().map(|error| FindingReport::of_car(&file, error));
            let found = damage.chain(inspection.findings.iter().map(|finding| FindingReport::of(&file, finding)));
            let found: Vec<_> = found.collect();
            let findings = found.len() as u64 + inspection.left_out;
            let told = found.into_iter().take(limit);
            let left_out = findings - told.len() as u64;
            findings::tell(context, &file, told, left_out)?;
            Document {
                file: &file,
                version: Some(reader.header().version),
                blocks: inspection.block_bytes.count,
                verified: inspection.verified.unwrap_or_default(),
                bytes: inspection.payload_end,
                findings,
            }
        }
    };
    if context.output.json {
        context.output.json(&report)?;
    } else {
        let (blocks, bytes) = (counted(report.blocks, "block"), counted(report.bytes, "byte"));
        let findings = counted(report.findings, "finding");
        context.output.line(&format!("verified {file}: {blocks}, {bytes}, {findings}"))?;
    }
    Ok(report.findings)
}

fn tell_unread(context: &Context, path: &Path, failure: &Failure) -> Outcome {
    if context.output.json {
        let file = &path_text(path);
        return context.output.json(&Unread { file, error: failure.cause(), r#try: &failure.advice });
    }
    context.output.note(&format!("failed: {}", failure.cause()));
    Ok(())
}

impl Sum {
    fn add(&mut self, path: &Path, findings: u64) {
        if findings > 0 {
            self.findings += findings;
            self.files += 1;
            self.advice.get_or_insert_with(|| intact_copy(path));
        }
    }

    fn end(self, files: usize) -> Outcome {
        let of = counted(files, "file");
        match (self.failure, self.advice) {
            (None, None) => Ok(()),
            (Some(failure), None) if files == 1 => Err(failure.into()),
            (Some(failure), None) => {
                let text = format!("{} of {of} could not be read", self.unread);
                Err(Failure::of_text(Code::Failed, text).advise(failure.advice).into())
            }
            (_, Some(advice)) => {
                let mut text = format!("{} in {} of {of}", counted(self.findings, "finding"), self.files);
                if self.unread > 0 {
                    text = format!("{text}; {} could not be read", counted(self.unread, "file"));
                }
                Err(Failure::of_text(Code::Failed, text).advise(advice).into())
            }
        }
    }
}
