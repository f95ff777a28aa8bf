//! Errors, and whether to try again.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dagstore_mount::Error;

/// Why a request gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// What is told where nobody tries again.
    pub error: Error,
    /// Whether somebody does.
    pub again: Again,
}

/// Whether a request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It would be the same again.
    Never,
    /// After a pause of our own.
    Soon,
    /// After a time that the server has named.
    After(Duration),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, again: Again::Never }
    }
}

impl Failure {
    /// A server that can't be reached, or breaks off.
    pub fn of_transport(place: &str, error: reqwest::Error) -> Self {
        // The URL that it would name has its secrets in it.
        Self::unavailable(place, io::Error::other(words(&error.without_url())), Again::Soon)
    }

    /// `what` took too long.
    pub fn timed_out(place: &str, what: &str, time: Duration) -> Self {
        let text = format!("{what} took longer than {time:?}");
        Self::unavailable(place, io::Error::new(io::ErrorKind::TimedOut, text), Again::Soon)
    }

    /// A server that gives nothing now.
    pub fn unavailable(place: &str, source: io::Error, again: Again) -> Self {
        Self { error: Error::Unavailable { place: place.to_owned(), source: Arc::new(source) }, again }
    }

    /// An answer that ended at byte `at` of a source of `size`.
    pub(crate) fn truncated(place: &str, at: u64, size: u64) -> Self {
        Self { error: Error::Truncated { place: place.to_owned(), at, size }, again: Again::Soon }
    }
}

/// A server that can't be believed.
pub fn bad_answer(place: &str, why: impl Into<String>) -> Error {
    Error::BadAnswer { place: place.to_owned(), why: why.into() }
}

/// A source that has another content now.
pub fn changed(place: &str) -> Error {
    Error::SourceChanged { place: place.to_owned() }
}

/// The first error of this type among `error` and its causes.
pub fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    chain(error).find_map(<dyn StdError>::downcast_ref)
}

/// An error with its causes.
fn words(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}
