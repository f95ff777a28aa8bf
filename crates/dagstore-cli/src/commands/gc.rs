//! `dagstore gc`: removes what belongs to no shard.

use clap::Args;
use dagstore::{GcOptions, GcReport};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Outcome;
use crate::settings::Settings;
use crate::text::counted;

/// Remove the store's own files that belong to no shard, and finish destructions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore gc
  dagstore gc --copies --dry-run")]
pub(crate) struct Gc {
    /// Remove nothing, and tell what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Also local copies of shards that nobody reads; what is read of them is fetched again. Those that are pinned stay.
    #[arg(long)]
    copies: bool,
    /// Also copies that may be the last ones, because their sources can't be reached or have
    /// something else by now.
    #[arg(long, requires = "copies")]
    force: bool,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    indices_removed: usize,
    temporaries_removed: usize,
    rows_removed: u64,
    destroyed: usize,
    copies_removed: usize,
    copy_bytes: u64,
    dry_run: bool,
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
        let mut options = GcOptions::default();
        (options.dry_run, options.idle_copies, options.force) = (self.dry_run, self.copies, self.force);
        let report = store.gc_with(options).await.map_err(Into::into);
        let report = context.close(store, report).await?;
        if context.output.json {
            return context.output.json(&document(&report, self.dry_run));
        }
        print(context, &report, self.dry_run)
    }
}

fn document(report: &GcReport, dry_run: bool) -> Document<'_> {
    let kept = report.kept.iter().map(|kept| Kept { what: &kept.what, why: &kept.why }).collect();
    let GcReport { indices_removed, temporaries_removed, rows_removed, destroyed, copies_removed, copy_bytes, .. } =
        *report;
    Document {
        indices_removed,
        temporaries_removed,
        rows_removed,
        destroyed,
        copies_removed,
        copy_bytes,
        dry_run,
        kept,
    }
}

fn print(context: &Context, report: &GcReport, dry_run: bool) -> Outcome {
    let indices = counted(report.indices_removed, "index file");
    let destroyed = counted(report.destroyed, "destruction");
    let copies = format!("{} of local copies", counted(report.copy_bytes, "byte"));
    let text = if dry_run {
        format!("would remove {indices} and {copies}, and finish {destroyed}")
    } else {
        let temporaries = counted(report.temporaries_removed, "temporary file");
        let rows = counted(report.rows_removed, "row");
        format!("removed {indices}, {temporaries}, {rows} of the inverted index and {copies}, finished {destroyed}")
    };
    context.output.line(&text)?;
    report.kept.iter().try_for_each(|kept| context.output.line(&format!("kept {}: {}", kept.what, kept.why)))
}
