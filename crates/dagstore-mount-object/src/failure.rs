//! Errors, and whether to try again.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dagstore_mount::Error;

/// Why a request gave nothing. It travels through `object_store` as the source of its errors.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
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

impl From<Failure> for object_store::Error {
    fn from(failure: Failure) -> Self {
        Self::Generic { store: "dagstore", source: Box::new(failure) }
    }
}

impl Failure {
    /// What a store's error means. Its text is never told: it can have a URL, headers, and all that the server has said in
    /// it, and so whatever was sent to the server. `is_checked` is for stores that speak through [`crate::service`]: what goes
    /// wrong with their requests and answers comes from there.
    pub(crate) fn of_store(place: &str, error: &object_store::Error, is_checked: bool) -> Self {
        let place = place.to_owned();
        if let Some(told) = find::<Self>(error) {
            return told.clone().at(place);
        }
        match error {
            object_store::Error::NotFound { .. } => Error::NotFound { place }.into(),
            object_store::Error::Precondition { .. } => Error::SourceChanged { place }.into(),
            object_store::Error::PermissionDenied { .. } => refused(place, "the store doesn't permit it"),
            object_store::Error::Unauthenticated { .. } => {
                refused(place, "the store wants a credential, or another one")
            }
            object_store::Error::InvalidPath { .. } => refused(place, "the store can't have such a key"),
            object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
                refused(place, "the store can't read in this way")
            }
            other => match find::<io::Error>(other) {
                Some(error) => {
                    Self::unavailable(&place, io::Error::new(error.kind(), error.kind().to_string()), Again::Soon)
                }
                None if is_checked => bad_answer(
                    &place,
                    "its answer can't be understood, or that of the server that gives credentials for it",
                )
                .into(),
                None => Self::unavailable(&place, io::Error::other("the store doesn't say why"), Again::Soon),
            },
        }
    }

    /// A server that can't be reached, or breaks off.
    pub(crate) fn of_transport(place: &str, error: reqwest::Error) -> Self {
        // The URL that it would name has its secrets in it.
        Self::unavailable(place, io::Error::other(words(&error.without_url())), Again::Soon)
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

    /// The same for a source whose name wasn't known where it happened.
    fn at(mut self, known: String) -> Self {
        if let Error::NoCredential { place, .. } | Error::Unavailable { place, .. } | Error::Refused { place, .. } =
            &mut self.error
        {
            *place = known;
        }
        self
    }
}

/// A server that can't be believed.
pub(crate) fn bad_answer(place: &str, why: impl Into<String>) -> Error {
    Error::BadAnswer { place: place.to_owned(), why: why.into() }
}

pub(crate) fn changed(place: &str) -> Error {
    Error::SourceChanged { place: place.to_owned() }
}

fn refused(place: String, why: &str) -> Failure {
    Error::Refused { place, why: why.to_owned() }.into()
}

fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}

fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    chain(error).find_map(<dyn StdError>::downcast_ref)
}

/// An error with its causes.
fn words(error: &(dyn StdError + 'static)) -> String {
    chain(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
