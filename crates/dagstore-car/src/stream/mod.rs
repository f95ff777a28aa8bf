//! A CAR walked while its bytes arrive.

mod hashers;
mod phase;
#[cfg(feature = "stream")]
mod sections;

use std::ops::ControlFlow;

use crate::chunk::{self, CHUNK_BYTES, Chunk, Step};
use crate::header::{self, V1Header};
use crate::index::Structure;
use crate::parallel::Checked;
use crate::scan::Delivery;
use crate::v2::{HEAD_BYTES, PRAGMA};
use crate::{Error, Header, ReadOptions, Result, ScanOptions, ScanSummary, Scanned, V2Header};
use hashers::{Hashed, Hashers};
use phase::Phase;
#[cfg(feature = "stream")]
pub use sections::SectionStream;

/// Walks a CARv1 or CARv2 in one pass, front to back, while its bytes arrive, and shows its blocks: the same blocks, offsets
/// and errors as [`CarReader::scan`](crate::CarReader::scan), in the order of the CAR.
///
/// The bytes are pushed. So one that fetches them needs no thread of its own that waits for them, and is held back simply
/// by `push` not having returned; a blocking reader is a loop of `read` and `push`.
///
/// With `verify`, threads of the scanner's own hash while the next bytes are taken; `push` waits for them when they
/// have enough to do, so it may block as long as that takes. All buffers together take 48 MiB, or what one section may have where that
/// is more. Bytes behind payload and index mean nothing and are passed over.
#[derive(Debug)]
pub struct StreamScanner {
    options: ReadOptions,
    size: Option<u64>,
    /// How many bytes have come.
    received: u64,
    phase: Phase,
    /// What has come of a header, or of the front of a part of the index.
    front: Vec<u8>,
    header: Option<Header>,
    /// What is gathered of the payload.
    chunk: Chunk,
    payload_offset: u64,
    /// [`u64::MAX`] where it isn't known.
    payload_size: u64,
    hashers: Hashers,
    delivery: Delivery,
    failed: bool,
}

impl StreamScanner {
    /// A scanner for a CAR of which nothing has come. Where the `size` of the whole CAR in bytes is known, a CARv2 header is
    /// checked against it at once, else at the end.
    pub fn new(options: ReadOptions, scan: ScanOptions, size: Option<u64>) -> Self {
        let most_chunks = chunk::most_chunks(&options).max(2);
        let threads = scan.threads_for(size.unwrap_or(u64::MAX), most_chunks);
        let hashers = Hashers::new(scan.checks(&options.limits), threads, most_chunks);
        Self {
            options,
            size,
            received: 0,
            phase: Phase::Header { start: 0 },
            front: Vec::new(),
            header: None,
            chunk: Chunk::default(),
            payload_offset: 0,
            payload_size: u64::MAX,
            hashers,
            delivery: Delivery::new(0),
            failed: false,
        }
    }

    /// What the headers say, as soon as they have come.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// How many bytes were pushed.
    pub fn received_bytes(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes, any number of them, and shows `visit` the blocks that are known to be good by now. A block is
    /// shown some time after it has come: [`flush`](Self::flush) shows all that have.
    ///
    /// # Errors
    /// As [`CarReader::open`](crate::CarReader::open) and [`CarReader::scan`](crate::CarReader::scan), and [`Error::Limit`]
    /// for more bytes than the CAR has. The scanner is of no use afterwards, and gives [`Error::Cancelled`].
    pub fn push(&mut self, bytes: &[u8], mut visit: impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        self.guarded(|scanner| scanner.take_all(bytes, &mut visit))
    }

    /// Shows `visit` all blocks that have come whole. Worth it when the next bytes let themselves be waited for: small
    /// pieces are hashed with less effect.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn flush(&mut self, mut visit: impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        self.guarded(|scanner| {
            scanner.split(&mut visit)?;
            scanner.show(true, &mut visit)
        })
    }

    /// Tells that no more bytes come: shows the rest of the blocks, and checks that the CAR was whole.
    ///
    /// # Errors
    /// As [`push`](Self::push); [`Error::UnexpectedEof`] where the CAR isn't whole.
    pub fn finish(mut self, mut visit: impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<ScanSummary> {
        self.guarded(|scanner| scanner.end(&mut visit))?;
        self.delivery.finish()
    }

    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if self.failed {
            return Err(Error::Cancelled);
        }
        // Also when the visitor panics.
        self.failed = true;
        let result = work(self);
        self.failed = result.is_err();
        result
    }

    fn take_all(&mut self, mut bytes: &[u8], visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        let found = self.received.saturating_add(bytes.len() as u64);
        if let Some(limit) = self.size.filter(|size| found > *size) {
            return Err(Error::Limit { what: "the stream of a CAR", offset: 0, found, limit });
        }
        while !bytes.is_empty() {
            let taken = self.take(bytes, visit)?;
            self.received += taken as u64;
            bytes = &bytes[taken..];
        }
        self.show(false, visit)
    }

    /// Takes some of the bytes, at least one, or goes over to another phase.
    fn take(&mut self, bytes: &[u8], visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<usize> {
        match &mut self.phase {
            Phase::Header { start } => {
                let start = *start;
                self.take_header(bytes, start)
            }
            Phase::V2Head => {
                let taken = gather(&mut self.front, bytes, HEAD_BYTES - PRAGMA.len());
                if let Ok(head) = <[u8; HEAD_BYTES - PRAGMA.len()]>::try_from(&self.front[..]) {
                    self.enter_v2(V2Header::read(&head, self.size.unwrap_or(u64::MAX))?);
                }
                Ok(taken)
            }
            Phase::Skip { left, .. } if *left > 0 => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Phase::Skip { then, .. } => {
                self.phase = std::mem::take(then);
                Ok(0)
            }
            Phase::Sections { wants } => {
                let taken = bytes.len().min(*wants);
                *wants -= taken;
                let is_full = *wants == 0;
                self.chunk.room(taken).copy_from_slice(&bytes[..taken]);
                self.chunk.filled(taken);
                if is_full {
                    self.walk(visit)?;
                }
                Ok(taken)
            }
            Phase::Index(structure) => phase::take_index(structure, &mut self.front, bytes),
            Phase::Rest => Ok(bytes.len()),
        }
    }

    fn take_header(&mut self, bytes: &[u8], start: u64) -> Result<usize> {
        let room = if start == 0 { self.size.unwrap_or(u64::MAX) } else { self.payload_size };
        let ended = || Error::UnexpectedEof { offset: start.saturating_add(room), what: "the header" };
        let Some(front) = header::front(&self.front, start, &self.options.limits)? else {
            if self.front.len() as u64 >= room {
                return Err(ended());
            }
            self.front.extend(&bytes[..1]);
            // No byte may follow that one, and what is wrong with the length is told all the same.
            header::front(&self.front, start, &self.options.limits)?;
            return Ok(1);
        };
        if front.end() > room {
            return Err(ended());
        }
        let taken = gather(&mut self.front, bytes, usize::try_from(front.end()).unwrap_or(usize::MAX));
        if self.front.len() as u64 == front.end() {
            let map = std::mem::take(&mut self.front).split_off(front.length_bytes);
            if start == 0 {
                self.enter_outer(header::read_known(&map)?, front.end())?;
            } else {
                let roots = header::read_inner(&map)?.roots;
                self.header = self.header.take().map(|header| Header { roots, ..header });
                self.enter_sections(front.end());
            }
        }
        Ok(taken)
    }

    fn enter_outer(&mut self, outer: V1Header, end: u64) -> Result<()> {
        if outer.version == 1 {
            self.header = Some(Header { version: 1, roots: outer.roots, v2: None });
            self.payload_size = self.size.unwrap_or(u64::MAX);
            self.enter_sections(end);
            return Ok(());
        }
        header::check_pragma(&outer, end)?;
        self.phase = Phase::V2Head;
        Ok(())
    }

    fn enter_v2(&mut self, v2: V2Header) {
        self.front.clear();
        (self.payload_offset, self.payload_size) = (v2.data_offset, v2.data_size);
        self.header = Some(Header { version: 2, roots: Vec::new(), v2: Some(v2) });
        let left = v2.data_offset - HEAD_BYTES as u64;
        self.phase = Phase::Skip { left, then: Box::new(Phase::Header { start: v2.data_offset }) };
    }

    fn enter_sections(&mut self, first_section: u64) {
        self.delivery = Delivery::new(first_section);
        self.begin_chunk(first_section);
        if first_section == self.payload_size {
            self.leave_sections(first_section);
        }
    }

    /// Goes on behind the sections, which have come up to `end`.
    fn leave_sections(&mut self, end: u64) {
        let index_offset = self.header.as_ref().and_then(|header| header.v2).map(|v2| v2.index_offset);
        self.phase = match index_offset.filter(|offset| *offset > 0) {
            None => Phase::Rest,
            Some(offset) => Phase::Skip {
                left: offset - (self.payload_offset + end),
                then: Box::new(Phase::Index(Structure::new(offset, self.size.unwrap_or(u64::MAX)))),
            },
        };
    }

    fn begin_chunk(&mut self, start: u64) {
        self.chunk.restart(start);
        let room = usize::try_from(self.payload_size - start).unwrap_or(usize::MAX);
        self.phase = Phase::Sections { wants: room.min(CHUNK_BYTES) };
    }

    /// Finds the sections of the chunk, and hands it over when it is whole.
    fn walk(&mut self, visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        let end = match self.chunk.walk(self.payload_size, &self.options) {
            Step::Wants(wants) => {
                self.phase = Phase::Sections { wants };
                return Ok(());
            }
            Step::Whole => None,
            Step::Last(end) => Some(end),
        };
        self.hand_over(end, visit)
    }

    fn hand_over(
        &mut self,
        end: Option<Result<()>>,
        visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>,
    ) -> Result<()> {
        let next = self.chunk.end();
        let empty = self.hashers.empty();
        let is_last = end.is_some();
        self.hashers.take(std::mem::replace(&mut self.chunk, empty), end);
        if is_last {
            self.leave_sections(next);
            return self.show(true, visit);
        }
        self.begin_chunk(next);
        self.show(false, visit)
    }

    /// Shows the blocks of chunks that were looked at; all that there are if `to_the_end`.
    fn show(&mut self, to_the_end: bool, visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        while let Some(Hashed { chunk, odd, end }) = self.hashers.next(to_the_end)? {
            self.delivery.take(Checked { chunk: &chunk, odd, end }, visit);
            self.hashers.give_back(chunk);
            self.delivery.go_on()?;
        }
        Ok(())
    }

    /// Hands over the sections of the chunk that are whole, and goes on with the rest of it.
    fn split(&mut self, visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        if !matches!(self.phase, Phase::Sections { .. }) || self.chunk.is_empty() {
            return Ok(());
        }
        if let Step::Last(end) = self.chunk.walk(self.payload_size, &self.options) {
            return self.hand_over(Some(end), visit);
        }
        if !self.chunk.has_whole() {
            // A large section that comes in small pieces isn't copied with each of them.
            return Ok(());
        }
        let rest = self.chunk.split_off();
        let start = self.chunk.end();
        self.hand_over(None, visit)?;
        self.chunk.restart(start);
        self.chunk.room(rest.len()).copy_from_slice(&rest);
        self.chunk.filled(rest.len());
        match &mut self.phase {
            Phase::Sections { wants } if rest.len() < *wants => *wants -= rest.len(),
            _ => self.walk(visit)?,
        }
        Ok(())
    }

    /// Everything has come.
    fn end(&mut self, visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>) -> Result<()> {
        let (offset, v2) = (self.received, self.header.as_ref().and_then(|header| header.v2));
        if let (None, Some(v2)) = (self.size, v2) {
            v2.check(offset)?;
        }
        if let Phase::Sections { .. } = self.phase {
            if self.size.is_none() && v2.is_none() {
                self.payload_size = offset;
            }
            let end = match self.chunk.walk(self.payload_size, &self.options) {
                Step::Last(end) => end,
                _ => Err(self.chunk.cut()),
            };
            self.hand_over(Some(end), visit)?;
        }
        self.show(true, visit)?;
        while let Phase::Skip { left: 0, then } = &mut self.phase {
            self.phase = std::mem::take(then);
        }
        match &self.phase {
            Phase::Header { .. } => Err(Error::UnexpectedEof { offset, what: "the header" }),
            Phase::V2Head => Err(Error::UnexpectedEof { offset, what: "the CARv2 header" }),
            Phase::Index(structure) => phase::end_index(structure),
            _ if self.size.is_some_and(|size| offset < size) => {
                Err(Error::UnexpectedEof { offset, what: "what follows the payload" })
            }
            _ => Ok(()),
        }
    }
}

/// Adds to `front` until it has `length` bytes, and returns how many were taken.
fn gather(front: &mut Vec<u8>, bytes: &[u8], length: usize) -> usize {
    let taken = bytes.len().min(length - front.len());
    front.extend(&bytes[..taken]);
    taken
}
