//! `dagstore gc`: removes what belongs to no shard.

use clap::Args;
use dagstore::GcReport;
use serde::Serialize;

use crate::context::Context;
use crate::exit::Outcome;
use crate::settings::Settings;
use crate::text::counted;

/// Remove the store's own files that belong to no shard, and finish destructions.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore gc")]
pub(crate) struct Gc {
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    indices_removed: usize,
    temporaries_removed: usize,
    rows_removed: u64,
    destroyed: usize,
    kept: Vec<Kept<'a>>,
}

#[derive(Serialize)]
struct Kept<'a> {
    what: &'a str,
    why: &'a str,
}

impl Gc {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let store = context.open(self.engine).await?;
        let report = store.gc().await.map_err(Into::into);
        let report = context.close(store, report).await?;
        if context.output.json { context.output.json(&document(&report)) } else { print(context, &report) }
    }
}

fn document(report: &GcReport) -> Document<'_> {
    let kept = report.kept.iter().map(|kept| Kept { what: &kept.what, why: &kept.why }).collect();
    let GcReport { indices_removed, temporaries_removed, rows_removed, destroyed, .. } = *report;
    Document { indices_removed, temporaries_removed, rows_removed, destroyed, kept }
}

fn print(context: &Context, report: &GcReport) -> Outcome {
    let indices = counted(report.indices_removed, "index file");
    let temporaries = counted(report.temporaries_removed, "temporary file");
    let destroyed = counted(report.destroyed, "destruction");
    let rows = counted(report.rows_removed, "row");
    context
        .output
        .line(&format!("removed {indices}, {temporaries} and {rows} of the inverted index, finished {destroyed}"))?;
    report.kept.iter().try_for_each(|kept| context.output.line(&format!("kept {}: {}", kept.what, kept.why)))
}
