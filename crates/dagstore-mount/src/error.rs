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
    /// The source isn't, or is no longer, the content that was asked for.
    #[error("{place} has another content than the one that was asked for; recover the shard to take the new one")]
    SourceChanged {
        /// Which source.
        place: String,
    },
    /// The source ended before the size that it had told.
    #[error("{place} ended at byte {at} of {size}")]
    Truncated {
        /// Which source.
        place: String,
        /// Where it ended.
        at: u64,
        /// The size that it had told.
        size: u64,
    },
    /// The source can only be read from its beginning to its end.
    #[error("{place} can only be read from its beginning: {why}")]
    SequentialOnly {
        /// Which source.
        place: String,
        /// Why.
        why: &'static str,
    },
    /// Mounts of this kind have no reader for [`open`](crate::Mount::open): their bytes are not on this machine.
    #[error("{place} has no reader on this machine; it has to be streamed or copied first")]
    NoLocalReader {
        /// Which source.
        place: String,
    },
    /// The source is outside of what the mount may touch.
    #[error("{place} is refused: {why}")]
    Refused {
        /// Which source.
        place: String,
        /// Why.
        why: String,
    },
    /// The source's server breaks the rules of its protocol, so that nothing that it says can be believed.
    #[error("the server of {place} gave a wrong answer: {why}")]
    BadAnswer {
        /// Which source.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// A secret that the mount needs isn't there.
    #[error("{place} needs the credential {name}, which isn't there: {why}")]
    NoCredential {
        /// Which source.
        place: String,
        /// The credential's name.
        name: String,
        /// Why, and never what.
        why: String,
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
    /// The template of the scheme is of another type.
    #[error("the template of the scheme {scheme:?} is of another type than {wanted}")]
    OtherType {
        /// The scheme.
        scheme: String,
        /// The type that was asked for.
        wanted: &'static str,
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
            Self::Unavailable { .. } | Self::Truncated { .. } => ErrorClass::Transient,
            Self::NotFound { .. }
            | Self::SourceChanged { .. }
            | Self::SequentialOnly { .. }
            | Self::NoLocalReader { .. }
            | Self::Refused { .. }
            | Self::BadAnswer { .. }
            | Self::NoCredential { .. }
            | Self::OtherType { .. }
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
