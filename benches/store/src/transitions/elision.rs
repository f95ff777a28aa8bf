//! How many records are written for pairs of acquire and release.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::runtime::Runtime;

use super::{close, hot_shards};
use crate::counting::Counting;
use crate::figure::{Better, Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use crate::shards;

/// How many pairs are made.
const PAIRS: u32 = 10_000;

/// Spreads the pairs over some seconds, on one shard that nobody else has open, and counts what is written meanwhile.
pub(super) fn run(setup: &Setup, runtime: &Runtime, seconds: u64, report: &mut Report) -> Result<()> {
    let mut figures = Vec::new();
    for &backend in setup.backends() {
        let mut figure = Figure::new(format!("{backend}, one shard"), "records/s", Better::Less).goal(Goal::Value(2.0));
        let directory = tempfile::tempdir_in(setup.place())?;
        let datastore = Counting::new(runtime.block_on(backend.open(&directory.path().join("store")))?);
        let store = runtime.block_on(hot_shards(Arc::new(datastore.clone()), 1))?;
        let pairs = async {
            let key = shards::key(0);
            let before = datastore.counts();
            let start = Instant::now();
            for pair in 1..=PAIRS {
                drop(store.acquire(&key).await?);
                let due = start + Duration::from_secs(seconds) * pair / PAIRS;
                tokio::time::sleep_until(due.into()).await;
            }
            // What is written behind comes within a second, and belongs to the pairs.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let counts = datastore.counts().since(before);
            anyhow::Ok((counts, start.elapsed().as_secs_f64()))
        };
        let (counts, elapsed) = runtime.block_on(pairs)?;
        figure.run(counts.records as f64 / elapsed);
        figure.detail("records in all", counts.records as f64);
        figure.detail("synced", counts.synced_with_records as f64);
        figures.push(figure);
        close(runtime, store)?;
    }
    let title =
        format!("transitions: records written for {PAIRS} pairs within {seconds} s, and 1.5 s after them; one run");
    report.table(&title, figures);
    Ok(())
}
