//! Errors, and whether to try again.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dagstore_mount::Error;

use crate::address::PrivateAddress;

/// Why a request gave nothing.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) again: Again,
}

/// Whether a request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    Never,
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
    pub(crate) fn of_transport(place: &str, error: reqwest::Error) -> Self {
        // The URL that it would name has its secrets in it.
        let error = error.without_url();
        if finds::<PrivateAddress>(&error) {
            return Error::Refused { place: place.to_owned(), why: PrivateAddress.to_string() }.into();
        }
        Self::unavailable(place, io::Error::other(words(&error)), Again::Soon)
    }

    pub(crate) fn timed_out(place: &str, what: &str, time: Duration) -> Self {
        let text = format!("{what} took longer than {time:?}");
        Self::unavailable(place, io::Error::new(io::ErrorKind::TimedOut, text), Again::Soon)
    }

    pub(crate) fn unavailable(place: &str, source: io::Error, again: Again) -> Self {
        Self { error: Error::Unavailable { place: place.to_owned(), source: Arc::new(source) }, again }
    }

    pub(crate) fn truncated(place: &str, at: u64, size: u64) -> Self {
        Self { error: Error::Truncated { place: place.to_owned(), at, size }, again: Again::Soon }
    }
}

/// A server that can't be believed.
pub(crate) fn bad_answer(place: &str, why: impl Into<String>) -> Error {
    Error::BadAnswer { place: place.to_owned(), why: why.into() }
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

fn finds<E: StdError + 'static>(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(<dyn StdError>::is::<E>)
}

/// An error with its causes.
fn words(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
