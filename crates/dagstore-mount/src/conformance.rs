//! The suite that every mount passes.
//!
//! [`check`] needs a mount, the content that it serves, and a template; [`check_source`] needs somebody who changes the
//! content ([`Source`]), and looks at what a mount does then.

mod changes;
mod content;
mod support;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::Mount;
use support::{Outcome, Subject};

/// What a mount does against its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check that found it.
    pub check: &'static str,
    /// What it found.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.problem)
    }
}

/// A source whose content the suite decides.
#[async_trait]
pub trait Source: Send + Sync {
    /// The mount of the source.
    fn mount(&self) -> Arc<dyn Mount>;

    /// Lets the source have this content from now on, or be missing.
    async fn serve(&self, content: Option<Bytes>);

    /// How many readers and streams are held open at the source; `None` where nobody can tell.
    fn held(&self) -> Option<u64> {
        None
    }
}

/// Checks that `mount` serves `content` in every way that it says it can, and that `template` makes the same mount again
/// from its URL. Nobody may change the source meanwhile.
///
/// # Panics
/// When a check fails: the message names every check that did, and what it found. Meant for tests.
pub async fn check(template: &dyn Mount, mount: &dyn Mount, content: &[u8]) {
    tell(&failures(template, mount, content).await);
}

/// What [`check`] finds.
pub async fn failures(template: &dyn Mount, mount: &dyn Mount, content: &[u8]) -> Vec<Failure> {
    let subject = Subject { template, mount, content };
    let mut failures = Vec::new();
    for (check, run) in CONTENT_CHECKS {
        failures.extend(run(subject).await.err().map(|problem| Failure { check, problem }));
    }
    failures
}

/// Checks what a mount does when its source goes, comes and changes, and that it lets go of it.
///
/// # Panics
/// As [`check`].
pub async fn check_source(source: &dyn Source) {
    tell(&failures_of_source(source).await);
}

/// What [`check_source`] finds.
pub async fn failures_of_source(source: &dyn Source) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (check, run) in SOURCE_CHECKS {
        failures.extend(run(source).await.err().map(|problem| Failure { check, problem }));
    }
    failures
}

/// The names of all checks.
pub fn checks() -> impl Iterator<Item = &'static str> {
    let content = CONTENT_CHECKS.iter().map(|(check, _)| *check);
    content.chain(SOURCE_CHECKS.iter().map(|(check, _)| *check))
}

fn tell(failures: &[Failure]) {
    let lines: Vec<_> = failures.iter().map(Failure::to_string).collect();
    assert!(lines.is_empty(), "{} checks of the conformance suite failed:\n{}", lines.len(), lines.join("\n"));
}

type ContentCheck = for<'a> fn(Subject<'a>) -> BoxFuture<'a, Outcome>;
type SourceCheck = for<'a> fn(&'a dyn Source) -> BoxFuture<'a, Outcome>;

/// Names each check after its function.
macro_rules! checks {
    ($($module:ident :: $check:ident),* $(,)?) => {
        &[$((stringify!($check), |subject| Box::pin($module::$check(subject)))),*]
    };
}

const CONTENT_CHECKS: &[(&str, ContentCheck)] = checks![
    content::the_location_is_always_the_same,
    content::the_location_fits_into_a_url,
    content::the_url_makes_the_same_mount,
    content::stat_tells_the_size,
    content::opens_or_says_that_it_cannot,
    content::an_open_reader_reads_everywhere,
    content::streams_the_whole,
    content::streams_from_any_place,
    content::streams_nothing_past_the_end,
    content::reads_at_any_place,
    content::reads_nothing_past_the_end,
    content::another_content_is_told,
    content::streams_side_by_side,
    content::a_dropped_stream_disturbs_nobody,
];

const SOURCE_CHECKS: &[(&str, SourceCheck)] = checks![
    changes::a_missing_source_is_told,
    changes::a_source_comes_back,
    changes::a_new_validator_tells_of_a_new_content,
    changes::streams_are_of_the_content_that_was_asked_for,
    changes::reads_are_of_the_content_that_was_asked_for,
    changes::a_stream_never_mixes_contents,
    changes::a_source_cut_short_never_looks_whole,
    changes::everything_is_let_go,
];
