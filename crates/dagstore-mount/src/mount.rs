//! The trait.

use std::any::{Any, TypeId};
use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::ReadAt;
use futures_util::Stream;

use crate::url::shown;
use crate::{Error, Result, local};

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

    /// Opens the source for positioned reads without a runtime. A mount whose bytes are not on this machine leaves this out,
    /// says so in its [`capabilities`](Self::capabilities), and has [`stream`](Self::stream) and [`read`](Self::read) of
    /// its own instead.
    ///
    /// # Errors
    /// As [`stat`](Self::stat); [`Error::NoLocalReader`].
    async fn open(&self) -> Result<Opened> {
        Err(Error::NoLocalReader { place: place_of(self) })
    }

    /// The bytes from `from` to the end; none where `from` is the end or beyond. With `of` they are of that content.
    /// Dropping the stream closes the source. Unless told otherwise it is made of what [`open`](Self::open) gives, with
    /// the reading on tokio's blocking pool.
    ///
    /// # Errors
    /// Here or later in the stream: as [`stat`](Self::stat); [`Error::SourceChanged`] where the source isn't, or isn't any
    /// longer, what it was; [`Error::Truncated`]; [`Error::SequentialOnly`] where it can't begin at `from`.
    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        local::stream(self.open().await?, from, of, place_of(self))
    }

    /// `len` bytes at `at` of the content `of`, fewer only where that content ends. Unless told otherwise it opens the
    /// source for each read.
    ///
    /// # Errors
    /// As [`stream`](Self::stream).
    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        local::read(self.open().await?, at, len, of, place_of(self)).await
    }

    /// The template that this instance was made of, where it knows. Only what a [`Registry`](crate::Registry) gives does;
    /// other mounts leave this out.
    fn origin(&self) -> Option<Origin<'_>> {
        None
    }
}

/// A mount, as errors name it.
fn place_of<M: Mount + ?Sized>(mount: &M) -> String {
    shown(&mount.location())
}

/// Which template an instance was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) template: TypeId,
}

/// What a mount can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and any of them can be true beside another"
)]
pub struct Capabilities {
    /// It streams its source from the beginning to the end.
    pub sequential: bool,
    /// It streams its source from any place to the end. A single source may lack it: [`Stat::sequential_only`].
    pub seek: bool,
    /// It reads at any place, at about the cost of reading on, or of asking once. A single source may lack it, as above.
    pub random_access: bool,
    /// Its bytes are on this machine.
    pub local: bool,
    /// It can be [opened](Mount::open) for positioned reads without a runtime.
    pub opens: bool,
}

impl Capabilities {
    /// Random access to bytes on this machine, in every way.
    pub const LOCAL: Self = Self { sequential: true, seek: true, random_access: true, local: true, opens: true };

    /// Streams and reads of bytes somewhere else, and no reader for [`Mount::open`].
    pub const REMOTE: Self = Self { sequential: true, seek: true, random_access: true, local: false, opens: false };
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
    /// Whether this source can only be streamed from its beginning, whatever mounts of its kind can do: a server that
    /// gives no validator, for instance, can't be held to one content from one answer to the next.
    pub sequential_only: bool,
}

impl Stat {
    /// A source of this size and validator that can be read at once.
    pub fn new(size: u64, validator: Option<String>) -> Self {
        Self { size, validator, ready: true, sequential_only: false }
    }

    /// The same source, not ready to be read.
    #[must_use]
    pub fn not_ready(self) -> Self {
        Self { ready: false, ..self }
    }

    /// The same source, to be read from its beginning only.
    #[must_use]
    pub fn sequential_only(self) -> Self {
        Self { sequential_only: true, ..self }
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

/// The bytes of a source, as they come.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A source that is being streamed.
#[non_exhaustive]
pub struct Streamed {
    /// What is being streamed.
    pub stat: Stat,
    /// The bytes. After an error nothing comes any more. Dropping it closes the source.
    pub bytes: ByteStream,
}

impl Streamed {
    /// A source that is being streamed.
    pub fn new(stat: Stat, bytes: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self { stat, bytes: Box::pin(bytes) }
    }
}

impl Debug for Streamed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streamed").field("stat", &self.stat).finish_non_exhaustive()
    }
}
