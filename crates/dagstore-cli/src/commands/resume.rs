//! `dagstore resume`: waits for what an earlier process left unfinished.

use clap::Args;
use dagstore::ResumeReport;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};
use crate::progress::Watched;
use crate::settings::Settings;
use crate::text::counted;

/// Finish what was interrupted, and say what became of it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dagstore resume")]
pub(crate) struct Resume {
    /// Hash every block while it is indexed.
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document {
    interrupted: usize,
    available: usize,
    failed: usize,
    destroyed: usize,
    unsettled: usize,
}

impl Resume {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let verify = |options: &mut dagstore::Options| options.verify_on_index |= self.verify;
        let store = context.open_with(context.builder(self.engine)?.configure(verify)).await?;
        let report = context.progress.watch(&store, Watched::All, store.resumed()).await;
        let report = context.close(store, report.map_err(Into::into)).await?;
        print(context, &report)?;
        let lost = report.failed + report.unsettled;
        if lost == 0 {
            return Ok(());
        }
        let text = format!("{} of {} could not be finished", counted(lost, "shard"), report.interrupted);
        Err(Failure::of_text(Code::Failed, text).advise("dagstore list --state errored, which shows why").into())
    }
}

fn print(context: &Context, report: &ResumeReport) -> Outcome {
    let ResumeReport { interrupted, available, failed, destroyed, unsettled, .. } = *report;
    if context.output.json {
        return context.output.json(&Document { interrupted, available, failed, destroyed, unsettled });
    }
    if interrupted == 0 {
        return context.output.line("nothing was left unfinished");
    }
    let shards = counted(interrupted, "shard");
    context.output.line(&format!(
        "resumed {shards}: {available} available, {failed} failed, {destroyed} destroyed, {unsettled} not settled"
    ))
}
