//! The trait.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use dagstore_fs::ReadAt;

use crate::Result;

/// The place of one shard's bytes.
///
/// A mount is an *instance*, with the place of one shard, or a *template*, without one. Both are values of the same type;
/// the registry keeps templates, and [`instantiate`](Self::instantiate) makes instances of them. An instance shares
/// nothing with its template that either could change.
///
/// The methods may be called at the same time from any number of tasks.
#[async_trait]
pub trait Mount: Any + Debug + Send + Sync {
    /// What the mount can do. Never changes.
    fn capabilities(&self) -> Capabilities;

    /// The part of the instance's URL behind `scheme:`. [`instantiate`](Self::instantiate) of a template makes the same
    /// mount of it again. Doesn't touch the source. A mount knows no scheme: the same type can be registered under many.
    fn location(&self) -> String;

    /// Makes an instance of this template, for the part of a URL behind `scheme:`. Doesn't touch the source.
    ///
    /// # Errors
    /// [`Error::BadUrl`](crate::Error::BadUrl).
    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>>;

    /// Looks at the source.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound), [`Error::NotAFile`](crate::Error::NotAFile),
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    async fn stat(&self) -> Result<Stat>;

    /// Opens the source for positioned reads.
    ///
    /// # Errors
    /// As [`stat`](Self::stat).
    async fn open(&self) -> Result<Opened>;
}

/// What a mount can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It reads at any place, at about the cost of reading on.
    pub random_access: bool,
    /// Its bytes are on this machine.
    pub local: bool,
}

impl Capabilities {
    /// Random access to bytes on this machine.
    pub const LOCAL: Self = Self { random_access: true, local: true };
}

/// What a mount says of its source.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stat {
    /// The size in bytes.
    pub size: u64,
    /// A text that differs whenever the content does, as far as the source can tell.
    pub validator: Option<String>,
    /// Whether the source can be read at once. One that can't may have to be brought from a tape or thawed first: opening
    /// it waits for that, minutes or hours.
    pub ready: bool,
}

impl Stat {
    /// A source of this size and validator that can be read at once.
    pub fn new(size: u64, validator: Option<String>) -> Self {
        Self { size, validator, ready: true }
    }

    /// The same source, not ready to be read.
    #[must_use]
    pub fn not_ready(self) -> Self {
        Self { ready: false, ..self }
    }

    /// Whether both are of the same content, as far as the source can tell.
    pub fn same_content(&self, other: &Self) -> bool {
        (self.size, &self.validator) == (other.size, &other.validator)
    }
}

/// An open source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Opened {
    /// What was opened. It describes `reader` itself, whatever has become of the name since.
    pub stat: Stat,
    /// The bytes. Dropping the last clone closes the source.
    pub reader: Arc<dyn ReadAt>,
}

impl Opened {
    /// An open source.
    pub fn new(stat: Stat, reader: Arc<dyn ReadAt>) -> Self {
        Self { stat, reader }
    }
}
