//! Errors of stores, and what they mean.

use std::io;

use dagstore_mount::Error;
use dagstore_mount_net::{Again, Failure, bad_answer, find};

/// An error of ours, as it travels through `object_store`: as the source of one of its own.
pub(crate) fn told(error: Error) -> object_store::Error {
    object_store::Error::Generic { store: "dagstore", source: Box::new(Failure::from(error)) }
}

/// What a store's error means. Its text is never told: it can have a URL, headers, and all that the server has said in
/// it, and so whatever was sent to the server. `is_checked` is for stores that speak through [`crate::service`]: what goes
/// wrong with their requests and answers comes from there.
pub(crate) fn of_store(place: &str, error: &object_store::Error, is_checked: bool) -> Failure {
    let place = place.to_owned();
    if let Some(told) = find::<Failure>(error) {
        return at(told.clone(), place);
    }
    match error {
        object_store::Error::NotFound { .. } => Error::NotFound { place }.into(),
        object_store::Error::Precondition { .. } => Error::SourceChanged { place }.into(),
        object_store::Error::PermissionDenied { .. } => refused(place, "the store doesn't permit it"),
        object_store::Error::Unauthenticated { .. } => refused(place, "the store wants a credential, or another one"),
        object_store::Error::InvalidPath { .. } => refused(place, "the store can't have such a key"),
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            refused(place, "the store can't read in this way")
        }
        other => match find::<io::Error>(other) {
            Some(error) => {
                Failure::unavailable(&place, io::Error::new(error.kind(), error.kind().to_string()), Again::Soon)
            }
            None if is_checked => bad_answer(
                &place,
                "its answer can't be understood, or that of the server that gives credentials for it",
            )
            .into(),
            None => Failure::unavailable(&place, io::Error::other("the store doesn't say why"), Again::Soon),
        },
    }
}

/// The same for a source whose name wasn't known where it happened.
fn at(mut failure: Failure, known: String) -> Failure {
    if let Error::NoCredential { place, .. } | Error::Unavailable { place, .. } | Error::Refused { place, .. } =
        &mut failure.error
    {
        *place = known;
    }
    failure
}

fn refused(place: String, why: &str) -> Failure {
    Error::Refused { place, why: why.to_owned() }.into()
}
