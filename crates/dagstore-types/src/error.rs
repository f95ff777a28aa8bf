//! The error that a shard keeps: a kind for programs, a text for people.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

/// The longest error text that is kept, in bytes.
pub const MAX_ERROR_BYTES: usize = 1024;

/// Why a shard is Errored: a [`kind`](Self::kind) to branch on and a text that names the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardError {
    kind: ErrorKind,
    text: String,
}

impl ShardError {
    /// Makes an error, with the text cut to [`MAX_ERROR_BYTES`] and control characters replaced by spaces.
    pub fn new(kind: ErrorKind, text: &str) -> Self {
        let end = text.floor_char_boundary(MAX_ERROR_BYTES);
        let text = text[..end].replace(char::is_control, " ").trim().to_owned();
        Self { kind, text }
    }

    /// What went wrong, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong, for people; at most [`MAX_ERROR_BYTES`] bytes.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ShardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl core::error::Error for ShardError {}

/// What kind of error made a shard fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No kind is known: the record was written by the Go original, which kept a text only.
    Other,
    /// The source doesn't exist.
    SourceMissing,
    /// The source exists but can't be read now.
    SourceUnavailable,
    /// The source isn't what a mount of its kind serves, a directory for instance.
    SourceRejected,
    /// The source's content is another than the one that was indexed.
    SourceChanged,
    /// The bytes aren't a well-formed CAR.
    MalformedCar,
    /// The CAR ends too early.
    TruncatedCar,
    /// The CAR passes a limit (header, section, CID, nesting).
    LimitExceeded,
    /// A block's data doesn't hash to its CID.
    Integrity,
    /// The store's own files or datastore failed, a full disk for instance.
    Storage,
    /// Initialisation was started as often as allowed, and the process never survived it.
    TooManyStarts,
    /// A fault of this program: a task panicked.
    Internal,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Other,
        Self::SourceMissing,
        Self::SourceUnavailable,
        Self::SourceRejected,
        Self::SourceChanged,
        Self::MalformedCar,
        Self::TruncatedCar,
        Self::LimitExceeded,
        Self::Integrity,
        Self::Storage,
        Self::TooManyStarts,
        Self::Internal,
    ];

    /// The name that is persisted and printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::SourceMissing => "source-missing",
            Self::SourceUnavailable => "source-unavailable",
            Self::SourceRejected => "source-rejected",
            Self::SourceChanged => "source-changed",
            Self::MalformedCar => "malformed-car",
            Self::TruncatedCar => "truncated-car",
            Self::LimitExceeded => "limit-exceeded",
            Self::Integrity => "integrity",
            Self::Storage => "storage",
            Self::TooManyStarts => "too-many-starts",
            Self::Internal => "internal",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether trying again, without anybody changing anything, can help.
    pub fn class(self) -> ErrorClass {
        match self {
            // A missing file comes back when its disk is mounted again.
            Self::SourceMissing | Self::SourceUnavailable | Self::Storage | Self::Other => ErrorClass::Transient,
            Self::SourceRejected | Self::SourceChanged | Self::LimitExceeded | Self::TooManyStarts | Self::Internal => {
                ErrorClass::Permanent
            }
            Self::MalformedCar | Self::TruncatedCar | Self::Integrity => ErrorClass::Corrupt,
        }
    }
}

/// What can be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// It may pass by itself: try again.
    Transient,
    /// It stays until somebody changes something.
    Permanent,
    /// The data is bad and won't get better.
    Corrupt,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character_and_lose_control_characters() {
        let error = ShardError::new(ErrorKind::Other, &"ü".repeat(MAX_ERROR_BYTES));
        assert_eq!(error.text().len(), MAX_ERROR_BYTES);
        let error = ShardError::new(ErrorKind::Other, &alloc::format!("x{}", "ü".repeat(MAX_ERROR_BYTES)));
        assert_eq!(error.text().len(), MAX_ERROR_BYTES - 1);
        assert_eq!(ShardError::new(ErrorKind::Other, "a\nb\u{1b}").text(), "a b");
    }

    #[test]
    fn names_come_back() {
        for kind in ErrorKind::ALL {
            assert_eq!(ErrorKind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(ErrorKind::from_name("?"), None);
    }
}
