//! The walk that an index is built by.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::thread;

use crate::chunk::{self, CHUNK_BYTES, Checks, Odd};
use crate::cid::CidParts;
use crate::parallel::{self, Checked, Wanted};
use crate::reader::CarReader;
use crate::section::Frame;
use crate::{Error, Limits, MultihashRef, Result, Section};

/// How a CAR is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Whether every block's data is read and hashed.
    pub verify: bool,
    /// How many threads hash at most; `None` means as many as the machine runs at the same time. Only hashing takes more
    /// than one, and only where there is enough of it.
    pub threads: Option<NonZeroUsize>,
}

impl ScanOptions {
    /// With `verify`.
    pub fn verifying(verify: bool) -> Self {
        Self { verify, threads: None }
    }

    /// With `threads`.
    #[must_use]
    pub fn with_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// How many threads hash `bytes` bytes.
    pub(crate) fn threads_for(self, bytes: u64, most: usize) -> usize {
        let chunks = usize::try_from(bytes / (4 * CHUNK_BYTES as u64)).unwrap_or(usize::MAX);
        if !self.verify || chunks < 2 {
            return 1;
        }
        let threads = self.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        threads.min(chunks).min(most)
    }

    pub(crate) fn checks(self, limits: &Limits) -> Checks {
        Checks { verify: self.verify, limits: limits.clone(), keep_going: false }
    }
}

/// One block on its way into an index.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Scanned<'a> {
    /// The block's multihash.
    pub multihash: MultihashRef<'a>,
    /// From the start of the CARv1 payload to the section's length varint.
    pub offset: u64,
    /// The size of the block's data in bytes.
    pub data_size: u64,
    /// How far the scan is when this block is done, in bytes of the payload. It only grows, whatever order the blocks come
    /// in.
    pub end: u64,
    pub(crate) frame: Frame,
    pub(crate) cid: CidParts<'a>,
}

impl Scanned<'_> {
    /// The block's section, with its CID.
    pub fn section(&self) -> Section {
        self.frame.section(self.cid)
    }
}

/// What a scan has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ScanSummary {
    /// The number of blocks, duplicates counted.
    pub blocks: u64,
    /// Of these, how many could not be checked (see [`Verdict::Unverifiable`](crate::Verdict::Unverifiable)); 0 where
    /// nothing was to be checked.
    pub unverifiable: u64,
}

impl CarReader {
    /// Shows every block to `visit` until it breaks off. Nothing is allocated per block.
    ///
    /// With `verify`, blocks are hashed on several threads and may come in another order than that of the CAR; `visit` is
    /// called from any of these threads, never from two at a time. With one thread, and without `verify`, they come in order.
    /// All buffers together take 48 MiB, or what one section may have where that is more.
    ///
    /// # Errors
    /// As [`sections`](Self::sections); [`Error::Limit`] for a CID that is too long to be indexed; with `verify`,
    /// [`Error::Integrity`] at a block that doesn't hash to its CID; [`Error::MalformedIndex`] where a CARv2 has an
    /// inline index that is none, though the blocks are good; [`Error::Cancelled`] when `visit` breaks off. Of several
    /// errors the one at the lowest offset is told; all blocks before it were shown, and those behind it not necessarily.
    pub fn scan(
        &self,
        options: ScanOptions,
        visit: impl FnMut(Scanned<'_>) -> ControlFlow<()> + Send,
    ) -> Result<ScanSummary> {
        let summary = if options.verify { self.verified(options, visit) } else { self.jumped(visit) }?;
        self.check_inline_index()?;
        Ok(summary)
    }

    /// Reads lengths and CIDs only.
    pub(crate) fn jumped(&self, mut visit: impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<ScanSummary> {
        let mut walk = self.walk();
        let limits = walk.options.limits.clone();
        let mut summary = ScanSummary::default();
        while let Some(frame) = walk.next_frame()? {
            walk.next = frame.end();
            let flow = walk.with_cid(frame, Some(&limits), |parts| visit(scanned(frame, parts)))?;
            walk.window.adapt(frame.length);
            summary.blocks += 1;
            if flow.is_break() {
                return Err(Error::Cancelled);
            }
        }
        Ok(summary)
    }

    /// Reads and hashes everything.
    fn verified(
        &self,
        options: ScanOptions,
        mut visit: impl FnMut(Scanned<'_>) -> ControlFlow<()> + Send,
    ) -> Result<ScanSummary> {
        let feed = self.feed();
        let first_section = feed.next.unwrap_or_default();
        let bytes = self.payload_size().saturating_sub(first_section);
        let threads = options.threads_for(bytes, chunk::most_chunks(&feed.options));
        let checks = options.checks(&feed.options.limits);
        let mut delivery = Delivery::new(first_section);
        parallel::each_chunk(feed, threads, &checks, |checked| delivery.take(checked, &mut visit));
        delivery.finish()
    }
}

fn scanned(frame: Frame, parts: CidParts<'_>) -> Scanned<'_> {
    Scanned {
        multihash: parts.multihash,
        offset: frame.offset,
        data_size: frame.length - parts.bytes.len() as u64,
        end: frame.end(),
        frame,
        cid: parts,
    }
}

/// Shows the blocks of chunks to a visitor, and keeps the error at the lowest offset.
#[derive(Debug)]
pub(crate) struct Delivery {
    summary: ScanSummary,
    /// How much of the payload is done.
    done: u64,
    failure: Option<(u64, Error)>,
    cancelled: bool,
}

impl Delivery {
    pub(crate) fn new(done: u64) -> Self {
        Self { summary: ScanSummary::default(), done, failure: None, cancelled: false }
    }

    pub(crate) fn take(
        &mut self,
        checked: Checked<'_>,
        visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>,
    ) -> Wanted {
        let Checked { chunk, odd, end } = checked;
        let mut bad = None;
        let mut odd = odd.into_iter().peekable();
        for (number, block) in chunk.blocks().enumerate() {
            let odd = odd.next_if(|(odd, _)| *odd == number).map(|(_, odd)| odd);
            if let Some(Odd::Bad(error)) = odd {
                bad = Some(error);
                break;
            }
            // A block without an error was read before.
            let Ok(block) = block else { break };
            if self.cancelled || self.failure.as_ref().is_some_and(|(offset, _)| *offset < block.frame.offset) {
                return Wanted::NoNew;
            }
            self.done += block.frame.total_bytes() as u64;
            self.summary.blocks += 1;
            self.summary.unverifiable += u64::from(matches!(odd, Some(Odd::Unverifiable)));
            self.cancelled = visit(block.scanned(self.done)).is_break();
        }
        if let Some(error) = bad.or_else(|| end.and_then(Result::err)) {
            let offset = error.payload_offset().unwrap_or(chunk.end());
            if self.failure.as_ref().is_none_or(|(first, _)| offset < *first) {
                self.failure = Some((offset, error));
            }
        }
        if self.cancelled || self.failure.is_some() { Wanted::NoNew } else { Wanted::More }
    }

    /// Whether there is anything to go on for, where chunks come in order.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        match self.failure.take() {
            _ if self.cancelled => Err(Error::Cancelled),
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    pub(crate) fn finish(self) -> Result<ScanSummary> {
        match self.failure {
            _ if self.cancelled => Err(Error::Cancelled),
            Some((_, error)) => Err(error),
            None => Ok(self.summary),
        }
    }
}
