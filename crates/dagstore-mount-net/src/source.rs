//! What a mount says of its protocol.

use bytes::Bytes;
use dagstore_mount::Stat;
use futures_util::stream::BoxStream;

use crate::{Failure, Limits, Tries};

/// A source on a server, and how to ask for it. Each method asks once, waits by [`Tries::wait`] for what the server has to do, and
/// holds the answer against the question: what it gives back is believed, but for the length and the rate of the pieces.
pub trait Source: Clone + Send + Sync + 'static {
    /// The source, as errors and logs name it: fit to be printed.
    fn place(&self) -> &str;

    /// The limits of a call.
    fn limits(&self) -> &Limits;

    /// The validator of a content that can be held to it from one answer to the next. Where there is none, parts are never asked
    /// for: two of them could be of two contents.
    fn validator(of: &Stat) -> Option<&str>;

    /// Why there is none, as errors say it.
    const NO_VALIDATOR: &str;

    /// What there is.
    ///
    /// # Errors
    /// Whatever is in the way.
    fn stat(&self, tries: &mut Tries) -> impl Future<Output = Result<Stat, Failure>> + Send;

    /// All of it, as many bytes as the stat says. With `of` it is asked for all of that content.
    ///
    /// # Errors
    /// Whatever is in the way.
    fn whole(
        &self,
        of: Option<&Stat>,
        tries: &mut Tries,
    ) -> impl Future<Output = Result<(Stat, Pieces), Failure>> + Send;

    /// These bytes of this content.
    ///
    /// # Errors
    /// Whatever is in the way: [`SourceChanged`](dagstore_mount::Error::SourceChanged) for an answer of another content,
    /// [`BadAnswer`](dagstore_mount::Error::BadAnswer) for other bytes, or where nobody can tell.
    fn part(&self, part: Part<'_>, tries: &mut Tries) -> impl Future<Output = Result<Pieces, Failure>> + Send;
}

/// Bytes that are asked for, one at least.
#[derive(Debug, Clone, Copy)]
pub struct Part<'a> {
    /// Where the first one is.
    pub first: u64,
    /// Where the last one is.
    pub last: u64,
    /// The content that they are of.
    pub of: &'a Stat,
    /// [Its validator](Source::validator).
    pub validator: &'a str,
}

/// The bytes of an answer, as they come.
pub type Pieces = BoxStream<'static, Result<Bytes, Broken>>;

/// An answer broke off. Why is of no use to anybody: it is asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;
