//! What is wrong with a CAR or an index, as it is told.

use dagstore::car::{Finding, IndexFinding};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Outcome;
use crate::text::counted;

/// How many findings of a file are told one by one, unless more are asked for.
pub(crate) const MOST_TOLD: usize = 100;

/// Something that is wrong with a file, for programs.
#[derive(Debug, Serialize)]
pub(crate) struct FindingReport {
    file: String,
    problem: &'static str,
    offset: Option<u64>,
    cid: Option<String>,
    text: String,
}

impl FindingReport {
    pub(crate) fn of_index(file: &str, finding: &IndexFinding) -> Self {
        Self {
            file: file.to_owned(),
            problem: finding.name(),
            offset: finding.offset(),
            cid: finding.cid().map(ToString::to_string),
            text: finding.to_string(),
        }
    }

    pub(crate) fn of_car(file: &str, error: &dagstore::car::Error) -> Self {
        Self {
            file: file.to_owned(),
            problem: error.name(),
            offset: error.payload_offset(),
            cid: error.cid().map(ToString::to_string),
            text: error.to_string(),
        }
    }

    pub(crate) fn of(file: &str, finding: &Finding) -> Self {
        Self {
            file: file.to_owned(),
            problem: finding.name(),
            offset: finding.offset(),
            cid: finding.cid().map(ToString::to_string),
            text: finding.to_string(),
        }
    }
}

/// Tells findings in a line each, and how many there are besides.
pub(crate) fn tell(
    context: &Context,
    file: &str,
    findings: impl Iterator<Item = FindingReport>,
    left_out: u64,
) -> Outcome {
    for finding in findings {
        if context.output.json {
            context.output.json_piece(&finding)?;
        } else {
            context.output.piece(&format!("{file}: {}", finding.text))?;
        }
    }
    if left_out > 0 && !context.output.json {
        context.output.piece(&format!("{file}: {} more", counted(left_out, "finding")))?;
    }
    context.output.flush()
}
