//! `dagstore recover`: another try for shards that failed.

use std::num::NonZeroUsize;

use clap::Args;
use dagstore::{Dagstore, Error, ShardKey, ShardState};
use serde::Serialize;

use crate::context::{Context, keys};
use crate::exit::{Failure, Outcome, of_shard};
use crate::many::{FailedReport, Failures, with_each};
use crate::progress::Watched;
use crate::report::{CopyReports, ShardReport};
use crate::settings::{Recovery, Settings};

/// Index shards that failed again, once the cause is mended.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  dagstore recover monday
  dagstore recover --failed --concurrency 8")]
pub(crate) struct Recover {
    /// The shards' names.
    #[arg(value_name = "KEY", required_unless_present = "failed", conflicts_with = "failed")]
    keys: Vec<String>,
    /// All that failed, and those whose recovery was interrupted.
    #[arg(long)]
    failed: bool,
    /// Hash every block while it is indexed.
    #[arg(long)]
    verify: bool,
    /// How many shards are fetched and indexed at once.
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
    #[command(flatten)]
    engine: Settings,
}

#[derive(Serialize)]
struct Document<'a> {
    recovered: &'a [ShardReport],
    failed: Vec<FailedReport<'a>>,
}

impl Recover {
    pub(crate) async fn run(self, context: &Context) -> Outcome {
        let named = keys(&self.keys)?;
        // What is to be recovered is said by this very command, unless somebody insists.
        let engine = self.engine.or(Settings::recovering(Recovery::Never)).at_once(self.concurrency);
        let verify = |options: &mut dagstore::Options| options.verify_on_index |= self.verify;
        let store = context.open_with(context.builder(engine)?.configure(verify)).await?;
        let wanted = if self.failed { failed(&store) } else { named };
        let outcome = recover_all(context, &store, wanted, self.failed).await;
        let (recovered, failures) = context.close(store, outcome).await?;
        if context.output.json {
            context.output.json(&Document { recovered: &recovered, failed: failures.reports() })?;
        } else if self.failed && failures.of() == 0 {
            context.output.line("no shard has failed")?;
        } else if failures.of() > 1 {
            context.output.line(&failures.summary("recovered"))?;
        }
        failures.end(&context.output)
    }
}

fn failed(store: &Dagstore) -> Vec<ShardKey> {
    let shards = store.shards().into_iter();
    let failed = shards.filter(|shard| matches!(shard.state, ShardState::Errored | ShardState::Recovering));
    failed.map(|shard| shard.key).collect()
}

async fn recover_all(
    context: &Context,
    store: &Dagstore,
    keys: Vec<ShardKey>,
    had_failed: bool,
) -> Outcome<(Vec<ShardReport>, Failures)> {
    let is_single = keys.len() == 1;
    let work = |key: ShardKey| async move {
        let work = recover(store, &key, had_failed);
        // Of a single shard its bytes are shown.
        if is_single { context.progress.watch(store, Watched::Shard(&key), work).await } else { work.await }
    };
    let (mut recovered, mut printed) = (Vec::new(), Ok(()));
    let failures = with_each(context, "recovering", keys, work, |key, report: ShardReport| {
        // Even if nobody reads what is printed, the others are recovered.
        if printed.is_ok() && !context.output.json {
            printed = context.output.line(&format!("recovered {key}: {}", report.state));
        }
        recovered.push(report);
    });
    let failures = failures.await;
    recovered.sort_by(|one, other| one.key.cmp(&other.key));
    let copies = CopyReports::of(store);
    let recovered = recovered.into_iter().map(|report| report.with_copy(&copies)).collect();
    printed.map(|()| (recovered, failures))
}

async fn recover(store: &Dagstore, key: &ShardKey, had_failed: bool) -> Result<ShardReport, Failure> {
    let recovered = match store.recover(key.as_str()).await {
        // The store was faster: a try of its own was due.
        Err(Error::NotErrored(_)) if had_failed => Ok(()),
        recovered => recovered,
    };
    let info = recovered.and_then(|()| store.info(key.as_str()));
    info.map(ShardReport::of_shard).map_err(|error| of_shard(store, error))
}
