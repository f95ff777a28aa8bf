//! Verifying shards: what is told of each, and what mends it.

use std::str::FromStr;
use std::time::Duration;

use dagstore::{Dagstore, Finding, Problem, ShardAccessor, ShardKey, Verify};
use futures_util::StreamExt;
use serde::Serialize;
use tokio::time::Instant;

use crate::context::Context;
use crate::exit::{Code, Failure, Outcome, Stop};
use crate::many::Failures;
use crate::settings::units::{NoSize, Size};
use crate::text::{counted, shell_word, short_key};

/// Bytes a second; 0 is as fast as it goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rate(u64);

/// Something that is wrong, for programs.
#[derive(Serialize)]
struct FindingReport<'a> {
    key: &'a str,
    cid: Option<String>,
    offset: Option<u64>,
    problem: &'static str,
    text: String,
    r#try: &'a str,
}

/// A shard that was looked at, for programs.
#[derive(Serialize)]
struct ShardReport<'a> {
    key: &'a str,
    blocks: u64,
    bytes: u64,
    findings: u64,
}

/// What is known of all shards together.
#[derive(Default)]
struct Sum {
    findings: u64,
    /// Shards with findings.
    shards: usize,
    /// The way out of the first.
    advice: Option<String>,
}

/// Verifies one shard after the other. What is wrong is told when it is found; it is the command's failure in the end.
pub(crate) async fn verify(
    context: &Context,
    store: &Dagstore,
    keys: Vec<ShardKey>,
    what: Verify,
    rate: Rate,
) -> Outcome {
    context.inverted(store).await?;
    let (mut failures, mut sum) = (Failures::none_of(keys.len()), Sum::default());
    let mut count = context.progress.count("verifying", keys.len());
    for key in keys {
        let verified = verify_one(context, store, &key, what, rate, &mut sum).await;
        count.one(matches!(verified, Ok(0)));
        match verified {
            Ok(findings) => sum.shards += usize::from(findings > 0),
            Err(Stop::Failure(failure)) => {
                failures.add(key, None, *failure);
                if let (true, Some(report)) = (context.output.json, failures.last()) {
                    context.output.json_piece(&report)?;
                }
            }
            Err(stop) => return Err(stop),
        }
    }
    drop(count);
    context.output.flush()?;
    if sum.findings == 0 {
        return failures.end(&context.output);
    }
    let (findings, of) = (counted(sum.findings, "finding"), counted(failures.of(), "shard"));
    let mut text = format!("{findings} in {} of {of}", sum.shards);
    failures.tell(&context.output);
    let unverified = failures.of() - failures.well();
    if unverified > 0 {
        text = format!("{text}; {} could not be verified", counted(unverified, "shard"));
    }
    Err(Failure::of_text(Code::Failed, text).advise(sum.advice.unwrap_or_default()).into())
}

/// Verifies a shard, and returns how much is wrong with it.
async fn verify_one(
    context: &Context,
    store: &Dagstore,
    key: &ShardKey,
    what: Verify,
    rate: Rate,
    sum: &mut Sum,
) -> Outcome<u64> {
    let shard = context.acquire(store, key).await?;
    let mut bar = context.progress.bytes(short_key(key));
    bar.of(shard.index().meta().car_size);
    let (begin, mut blocks, mut bytes, mut findings) = (Instant::now(), 0, 0, 0);
    {
        let mut steps = store.verify(&shard, what);
        while let Some(step) = steps.next().await {
            let step = step?;
            (blocks, bytes) = (step.blocks, step.done_bytes);
            for finding in step.findings {
                findings += 1;
                let advice = way_out(&shard, &finding);
                tell(context, key, &finding, &advice)?;
                sum.findings += 1;
                sum.advice.get_or_insert(advice);
            }
            bar.set(bytes);
            rate.keep(begin, bytes).await;
        }
    }
    drop(bar);
    if context.output.json {
        context.output.json_piece(&ShardReport { key: key.as_str(), blocks, bytes, findings })?;
    } else {
        let (blocks, findings) = (counted(blocks, "block"), counted(findings, "finding"));
        context.output.line(&format!("verified {key}: {blocks}, {}, {findings}", counted(bytes, "byte")))?;
    }
    Ok(findings)
}

fn tell(context: &Context, key: &ShardKey, finding: &Finding, advice: &str) -> Outcome {
    let cid = finding.cid.as_ref().map(ToString::to_string);
    let problem = finding.problem.name();
    let text = with_causes(&finding.problem);
    if context.output.json {
        let (key, offset) = (key.as_str(), finding.offset);
        return context.output.json_piece(&FindingReport { key, cid, offset, problem, text, r#try: advice });
    }
    let block = match (cid, finding.offset) {
        (Some(cid), Some(offset)) => format!("the block {cid} at offset {offset}"),
        _ => "the shard".to_owned(),
    };
    context.output.line(&format!("{key}: {block}: {text}; try: {advice}"))
}

fn with_causes(problem: &Problem) -> String {
    let mut text = problem.to_string();
    let mut cause = std::error::Error::source(problem);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What mends it.
fn way_out(shard: &ShardAccessor, finding: &Finding) -> String {
    let word = shell_word(shard.key().as_str());
    match (&finding.problem, &finding.cid) {
        (Problem::Unverifiable, Some(cid)) => format!("dagstore get --no-verify {cid}, if its origin is to be trusted"),
        (Problem::Differs | Problem::Unreadable(_), _) => {
            format!("dagstore destroy {word}, and dagstore register --key {word} URL with an intact file")
        }
        _ => format!("dagstore index rebuild {word}"),
    }
}

impl Rate {
    /// Waits as long as it takes that `bytes` since `begin` are no more than the rate allows.
    async fn keep(self, begin: Instant, bytes: u64) {
        if let Some(time) = self.time_for(bytes) {
            tokio::time::sleep(time.saturating_sub(begin.elapsed())).await;
        }
    }

    /// How long so many bytes take; `None` where there is no limit.
    fn time_for(self, bytes: u64) -> Option<Duration> {
        let seconds = bytes.checked_div(self.0)?;
        let rest = u128::from(bytes % self.0) * 1_000_000_000 / u128::from(self.0);
        Some(Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(rest).unwrap_or_default()))
    }
}

impl FromStr for Rate {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        let size = text.strip_suffix("/s").unwrap_or(text);
        size.parse().map(|Size(bytes)| Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_sizes_a_second() {
        let of = |text: &str| text.parse::<Rate>().map(|rate| rate.0).ok();
        assert_eq!(
            ["50MB", "50mb/s", "16 MiB/s", "5 parsecs"].map(of),
            [Some(50_000_000), Some(50_000_000), Some(16 << 20), None]
        );
    }

    #[test]
    fn bytes_take_as_long_as_the_rate_says() {
        assert_eq!(Rate(0).time_for(u64::MAX), None);
        assert_eq!(Rate(1000).time_for(1500), Some(Duration::from_millis(1500)));
        assert_eq!(Rate(u64::MAX).time_for(u64::MAX), Some(Duration::from_secs(1)));
        assert_eq!(Rate(1).time_for(u64::MAX), Some(Duration::from_secs(u64::MAX)));
    }
}
