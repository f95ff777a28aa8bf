//! The sections of a CAR whose bytes come as an asynchronous stream.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;

use crate::{Error, Header, Limits, ReadOptions, Result, ScanOptions, Scanned, Section, StreamScanner};

/// How much is taken at once, so that a large piece doesn't make many sections wait to be asked for.
const PIECE_BYTES: usize = 64 * 1024;

/// The sections of a CAR in order, while its bytes arrive: [`CarReader::sections`](crate::CarReader::sections) for what can't
/// be read by positions. A section is told when its data has come; the data isn't kept, nor hashed. At the end the inline index
/// of a CARv2 is held to its format, as by [`StreamScanner`], which does the work. Ends after the first error, and when the CAR was whole.
///
/// The bytes come from any stream; an `AsyncRead` is made one by `ReaderStream` of the crate `tokio-util`. What one section may
/// have is held in memory, and no more.
#[derive(Debug)]
pub struct SectionStream<S> {
    source: S,
    /// `None` once nothing more comes.
    scanner: Option<StreamScanner>,
    /// What has come and was not taken yet.
    rest: Bytes,
    ready: VecDeque<Section>,
    /// What ends the stream when all that is ready was told.
    failure: Option<Error>,
    /// Whether bytes were taken whose sections may not have been shown.
    is_behind: bool,
}

impl<S> SectionStream<S> {
    /// The sections in the bytes of `source`. Where the `size` of the whole CAR in bytes is known, a CARv2 header is checked
    /// against it at once, else at the end. The limit for CIDs to be indexed doesn't hold here.
    pub fn new(source: S, options: ReadOptions, size: Option<u64>) -> Self {
        let limits = Limits { indexed_cid_bytes: u64::MAX, ..options.limits };
        let scanner = StreamScanner::new(ReadOptions { limits, ..options }, ScanOptions::default(), size);
        Self {
            source,
            scanner: Some(scanner),
            rest: Bytes::new(),
            ready: VecDeque::new(),
            failure: None,
            is_behind: false,
        }
    }

    /// What the headers say, as soon as they have come and until the stream has ended.
    pub fn header(&self) -> Option<&Header> {
        self.scanner.as_ref()?.header()
    }
}

impl<S, E> Stream for SectionStream<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<io::Error>,
{
    type Item = Result<Section>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(section) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(section)));
            }
            if let Some(error) = this.failure.take() {
                this.scanner = None;
                return Poll::Ready(Some(Err(error)));
            }
            let Some(scanner) = &mut this.scanner else { return Poll::Ready(None) };
            let ready = &mut this.ready;
            let visit = |block: Scanned<'_>| {
                ready.push_back(block.section());
                ControlFlow::Continue(())
            };
            if !this.rest.is_empty() {
                let piece = this.rest.split_to(this.rest.len().min(PIECE_BYTES));
                this.is_behind = true;
                this.failure = scanner.push(&piece, visit).err();
                continue;
            }
            match Pin::new(&mut this.source).poll_next(context) {
                Poll::Ready(Some(Ok(bytes))) => this.rest = bytes,
                Poll::Ready(Some(Err(error))) => {
                    let failure = Error::Io { offset: scanner.received_bytes(), source: error.into() };
                    // What has come whole is told before.
                    this.failure = Some(scanner.flush(visit).err().unwrap_or(failure));
                }
                Poll::Ready(None) => this.failure = this.scanner.take().and_then(|scanner| scanner.finish(visit).err()),
                // Whoever has to wait for bytes isn't to wait for sections that have come.
                Poll::Pending if this.is_behind => {
                    this.is_behind = false;
                    this.failure = scanner.flush(visit).err();
                    if this.ready.is_empty() && this.failure.is_none() {
                        return Poll::Pending;
                    }
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
