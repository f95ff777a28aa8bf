//! Errors of the client, and what they mean.

use dagstore_mount::Error;
use dagstore_mount_net::{Failure, find};

use crate::address::PrivateAddress;

/// A server that can't be reached, that may not be, or that breaks off.
pub(crate) fn of_transport(place: &str, error: reqwest::Error) -> Failure {
    if find::<PrivateAddress>(&error).is_some() {
        return Error::Refused { place: place.to_owned(), why: PrivateAddress.to_string() }.into();
    }
    Failure::of_transport(place, error)
}
