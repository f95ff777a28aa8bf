//! What can go wrong, and what to do then.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A datastore's error. Cheap to clone, because everybody who waits for a batch gets it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process, or another handle of this one, has the database open.
    #[error(
        "{backend}: {place} is already open, in another process or by another handle of this one; close it there first"
    )]
    InUse {
        /// Which backend.
        backend: &'static str,
        /// Which database.
        place: String,
    },
    /// An operation failed.
    #[error("{backend}: {operation} failed{}", Hint { place: place.as_deref(), advice: advice.as_deref() })]
    Failed {
        /// Which backend.
        backend: &'static str,
        /// Which operation.
        operation: &'static str,
        /// What the caller can do.
        class: ErrorClass,
        /// Which database: a path or a URL without secrets.
        place: Option<Arc<str>>,
        /// What an operator can do.
        advice: Option<Cow<'static, str>>,
        /// What the backend said.
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// A write is over the contract's limits; nothing of its batch was applied.
    #[error("{backend}: a {what} of {bytes} bytes is over the limit of {limit_bytes} bytes")]
    TooLarge {
        /// Which backend.
        backend: &'static str,
        /// `key` or `value`.
        what: &'static str,
        /// Its size in bytes.
        bytes: usize,
        /// [`MAX_KEY_BYTES`](crate::MAX_KEY_BYTES) or [`MAX_VALUE_BYTES`](crate::MAX_VALUE_BYTES).
        limit_bytes: usize,
    },
    /// The rows of a bulk load aren't sorted; neither this row nor any behind it was loaded.
    #[error(
        "{backend}: a bulk load has the key {} behind {}; its rows must be sorted by their keys, each key once",
        Key(key),
        Key(previous)
    )]
    NotAscending {
        /// Which backend.
        backend: &'static str,
        /// The key at the wrong place, or there twice.
        key: Arc<[u8]>,
        /// The key before it.
        previous: Arc<[u8]>,
    },
    /// The datastore can only be read through this handle; nothing was done.
    #[error("{backend}: {operation} is refused, for the datastore is open for reading only")]
    ReadOnly {
        /// Which backend.
        backend: &'static str,
        /// Which operation.
        operation: &'static str,
    },
    /// The datastore was closed.
    #[error("{backend}: the datastore is closed")]
    Closed {
        /// Which backend.
        backend: &'static str,
    },
}

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// It may pass: do the same again, after a pause.
    Transient,
    /// This handle is done for, or the outcome is unknown (a failed sync): [`reopen`](crate::Datastore::reopen), then
    /// do the same again.
    NeedsReopen,
    /// Somebody else owns the database now. Nothing may be written any more.
    Fenced,
    /// Doing the same again can't help.
    Permanent,
    /// The database is damaged.
    Corrupt,
}

impl Error {
    /// Makes a [`Failed`](Self::Failed) that names no place and gives no advice.
    pub fn failed(
        backend: &'static str,
        operation: &'static str,
        class: ErrorClass,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::Failed { backend, operation, class, place: None, advice: None, source: Arc::from(source.into()) }
    }

    /// Names the database in a [`Failed`](Self::Failed) that names none yet; other errors stay as they are.
    #[must_use]
    pub fn at(mut self, database: &Arc<str>) -> Self {
        if let Self::Failed { place: place @ None, .. } = &mut self {
            *place = Some(Arc::clone(database));
        }
        self
    }

    /// Adds the way out to a [`Failed`](Self::Failed) that shows none yet; other errors stay as they are.
    #[must_use]
    pub fn advise(mut self, way_out: impl Into<Cow<'static, str>>) -> Self {
        if let Self::Failed { advice: advice @ None, .. } = &mut self {
            *advice = Some(way_out.into());
        }
        self
    }

    /// What can be done.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Failed { class, .. } => *class,
            Self::InUse { .. }
            | Self::TooLarge { .. }
            | Self::NotAscending { .. }
            | Self::ReadOnly { .. }
            | Self::Closed { .. } => ErrorClass::Permanent,
        }
    }
}

/// The end of a message: where, and the way out.
struct Hint<'a> {
    place: Option<&'a str>,
    advice: Option<&'a str>,
}

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, " on {place}")?;
        }
        if let Some(advice) = self.advice {
            write!(f, "; {advice}")?;
        }
        Ok(())
    }
}

/// A key in hexadecimal, cut where it is long.
struct Key<'a>(&'a [u8]);

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        f.write_str("0x")?;
        self.0.iter().take(SHOWN).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if self.0.len() > SHOWN {
            write!(f, "... ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_place_and_the_way_out_once_and_leave_the_source_to_the_chain() {
        let plain = Error::failed("redb", "write", ErrorClass::NeedsReopen, "disk gone");
        assert_eq!(plain.to_string(), "redb: write failed");
        let full = plain.at(&"/d/catalogue.redb".into()).advise("check the disk").at(&"/other".into()).advise("pray");
        assert_eq!(full.to_string(), "redb: write failed on /d/catalogue.redb; check the disk");
        assert_eq!(full.source().unwrap().to_string(), "disk gone");
        assert_eq!(full.class(), ErrorClass::NeedsReopen);
        let closed = Error::Closed { backend: "redb" }.at(&"/d".into()).advise("x");
        assert!(matches!(closed, Error::Closed { .. }));
    }

    #[test]
    fn keys_are_shown_in_hexadecimal() {
        let error =
            |key: &[u8]| Error::NotAscending { backend: "redb", key: key.into(), previous: b"\x01\xff"[..].into() };
        let text = error(b"").to_string();
        assert!(text.starts_with("redb: a bulk load has the key 0x behind 0x01ff;"), "{text}");
        let text = error(&[0xab; 100]).to_string();
        assert!(text.contains(&format!("0x{}... (100 bytes)", "ab".repeat(64))), "{text}");
    }
}
