//! What can go wrong with a mount.

use std::io;
use std::sync::Arc;

/// A mount's or the registry's error.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source doesn't exist.
    #[error("{place} doesn't exist")]
    NotFound {
        /// Which source.
        place: String,
    },
    /// The source can't be reached or read now.
    #[error("{place} can't be read")]
    Unavailable {
        /// Which source.
        place: String,
        /// Why.
        source: Arc<io::Error>,
    },
    /// There is something, but not what this mount serves.
    #[error("{place} is {what}; a regular file is wanted")]
    NotAFile {
        /// Which source.
        place: String,
        /// What it is.
        what: &'static str,
    },
    /// The URL can't be a URL of a mount.
    #[error("{url:?} is no mount URL: {why}")]
    BadUrl {
        /// The URL, or as much of it as is fit to print.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The data is too large for a mount of this kind.
    #[error("{bytes} bytes are too many for a mount that keeps them in its URL; the most is {most}")]
    TooLarge {
        /// How many there are.
        bytes: usize,
        /// How many are allowed.
        most: usize,
    },
    /// No template is registered for the URL's scheme.
    #[error("the scheme {scheme:?} is unknown; known are: {known}")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
        /// Those that are registered.
        known: String,
    },
    /// A template is registered for this scheme already.
    #[error("the scheme {scheme:?} is registered already")]
    DuplicateScheme {
        /// The scheme.
        scheme: String,
    },
    /// No template of the mount's type is registered, so the mount could not be revived after a restart.
    #[error("no template of this mount's type is registered; register one under a scheme first")]
    UnregisteredType,
    /// The mount's type is registered under several schemes.
    #[error("this mount's type is registered under several schemes ({schemes}); give the URL instead")]
    AmbiguousScheme {
        /// The schemes.
        schemes: String,
    },
}

/// What can be done about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// It may pass: try again.
    Transient,
    /// It stays until somebody changes something.
    Permanent,
}

impl Error {
    /// What can be done.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Unavailable { .. } => ErrorClass::Transient,
            Self::NotFound { .. }
            | Self::NotAFile { .. }
            | Self::BadUrl { .. }
            | Self::TooLarge { .. }
            | Self::UnknownScheme { .. }
            | Self::DuplicateScheme { .. }
            | Self::UnregisteredType
            | Self::AmbiguousScheme { .. } => ErrorClass::Permanent,
        }
    }

    /// Makes the error for what the operating system said of `place`.
    pub fn from_io(place: &str, error: io::Error) -> Self {
        let place = place.to_owned();
        if error.kind() == io::ErrorKind::NotFound {
            return Self::NotFound { place };
        }
        Self::Unavailable { place, source: Arc::new(error) }
    }
}
