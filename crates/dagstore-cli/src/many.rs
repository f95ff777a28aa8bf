//! Work on many shards at once: how far it is, what failed, and how it ends.

use dagstore::{Error, ShardKey};
use futures_util::StreamExt;
use serde::Serialize;

use crate::context::Context;
use crate::exit::{Code, Failure, Outcome};
use crate::output::Output;
use crate::text::{counted, short_key};

/// How many shards are asked for at once. How many of them are fetched and indexed at once the store itself decides.
const AT_ONCE: usize = 256;

/// How many failures are told one by one.
const MOST_TOLD: usize = 20;

/// Does `work` with every shard and shows how many are done; `ended` hears of each one that was done well.
pub(crate) async fn with_each<T, W: Future<Output = Result<T, Failure>>>(
    context: &Context,
    doing: &'static str,
    keys: Vec<ShardKey>,
    work: impl Fn(ShardKey) -> W,
    mut ended: impl FnMut(ShardKey, T),
) -> Failures {
    let mut count = context.progress.count(doing, keys.len());
    let mut failures = Failures { of: keys.len(), list: Vec::new() };
    let works = keys.into_iter().map(|key| {
        let work = work(key.clone());
        async move { (key, work.await) }
    });
    let mut works = futures_util::stream::iter(works).buffer_unordered(AT_ONCE);
    while let Some((key, result)) = works.next().await {
        count.one(result.is_ok());
        match result {
            Ok(value) => ended(key, value),
            Err(failure) => failures.add(key, None, failure),
        }
    }
    failures.list.sort_by(|one, other| one.key.cmp(&other.key));
    failures
}

/// The shards of a command that failed.
#[derive(Debug)]
pub(crate) struct Failures {
    /// How many shards there were in all.
    of: usize,
    list: Vec<Failed>,
}

#[derive(Debug)]
struct Failed {
    key: ShardKey,
    url: Option<String>,
    failure: Failure,
}

/// A shard that failed, for programs.
#[derive(Serialize)]
pub(crate) struct FailedReport<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    error: String,
    r#try: &'a str,
}

impl Failures {
    /// Of so many shards none failed yet.
    pub(crate) fn none_of(shards: usize) -> Self {
        Self { of: shards, list: Vec::new() }
    }

    pub(crate) fn add(&mut self, key: ShardKey, url: Option<String>, failure: Failure) {
        self.list.push(Failed { key, url, failure });
    }

    /// How many shards there were in all.
    pub(crate) fn of(&self) -> usize {
        self.of
    }

    /// How many did not fail.
    pub(crate) fn well(&self) -> usize {
        self.of.saturating_sub(self.list.len())
    }

    pub(crate) fn reports(&self) -> Vec<FailedReport<'_>> {
        self.list.iter().map(Failed::report).collect()
    }

    /// How many were done well, in words.
    pub(crate) fn summary(&self, done: &str) -> String {
        match self.list.len() {
            0 => format!("{done} {}", counted(self.of, "shard")),
            _ => format!("{done} {} of {}", self.well(), counted(self.of, "shard")),
        }
    }

    /// Ends the command. What a single one failed of is the command's failure. Of several each is told in a line before that,
    /// and the command's failure is their number.
    pub(crate) fn end(mut self, output: &Output) -> Outcome {
        let failures = self.list.len();
        if failures < 2 {
            return self.list.pop().map_or(Ok(()), |failed| Err(failed.failure.into()));
        }
        let mut text = format!("{failures} of {} failed", counted(self.of, "shard"));
        let is_errored = |failed: &Failed| matches!(failed.failure.error.downcast_ref(), Some(Error::Failed { .. }));
        let advice = if self.list.iter().any(is_errored) {
            "dagstore list --state errored".to_owned()
        } else {
            self.list[0].failure.advice.clone()
        };
        if output.json {
            let first = &self.list[0];
            text = format!("{text}; the first, {}: {}", short_key(&first.key), reason(&first.failure));
        }
        self.tell(output);
        Err(Failure::of_text(Code::Failed, text).advise(advice).into())
    }
}

impl Failures {
    /// Tells people what failed, a line for each.
    pub(crate) fn tell(&self, output: &Output) {
        if output.json {
            return;
        }
        for failed in self.list.iter().take(MOST_TOLD) {
            output.note(&format!("failed {}: {}", failed.key, reason(&failed.failure)));
        }
        if self.list.len() > MOST_TOLD {
            output.note(&format!("and {} more", self.list.len() - MOST_TOLD));
        }
    }

    /// The one that was added last, for programs.
    pub(crate) fn last(&self) -> Option<FailedReport<'_>> {
        self.list.last().map(Failed::report)
    }
}

impl Failed {
    fn report(&self) -> FailedReport<'_> {
        let Self { key, url, failure } = self;
        FailedReport { key: key.as_str(), url: url.as_deref(), error: failure.cause(), r#try: &failure.advice }
    }
}

/// What happened, without saying once more to which shard.
fn reason(failure: &Failure) -> String {
    match failure.error.downcast_ref::<Error>() {
        Some(Error::Failed { source, .. }) => source.to_string(),
        _ => failure.cause(),
    }
}
