//! Whole sections, one behind the other, that are gathered before their blocks are looked at.
//!
//! A chunk doesn't know where its bytes come from: whoever fills it, by positioned reads or from a stream, asks [`Chunk::walk`]
//! how many more it wants. So both find the same sections and the same errors.

use crate::cid::CidParts;
use crate::section::Frame;
use crate::varint::{self, BadVarint};
use crate::{Error, Limits, ReadOptions, Result, Scanned, Verdict, check};

/// How much is gathered before the rest of the last section. Beyond a few pages the size hardly matters.
pub(crate) const CHUNK_BYTES: usize = 128 * 1024;

/// How much all chunks of a scan may hold together.
const BUDGET_BYTES: u64 = 48 << 20;

/// How many chunks fit into the memory that a scan may take, at least one.
pub(crate) fn most_chunks(options: &ReadOptions) -> usize {
    let each = options.limits.section_bytes.saturating_add(CHUNK_BYTES as u64);
    usize::try_from(BUDGET_BYTES / each).unwrap_or(usize::MAX).max(1)
}

/// Whole sections, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// Where the first section begins, in the payload.
    start: u64,
    /// As long as it ever was, so that it isn't zeroed for every chunk anew.
    buffer: Vec<u8>,
    filled: usize,
    frames: Vec<Frame>,
}

/// What a chunk lacks.
#[derive(Debug)]
pub(crate) enum Step {
    /// This many more bytes.
    Wants(usize),
    /// Nothing: all its sections are whole, and more may follow.
    Whole,
    /// Nothing, and no section follows: the data ends behind it, or is malformed there.
    Last(Result<()>),
}

/// A block that isn't as it should be.
#[derive(Debug)]
pub(crate) enum Odd {
    /// Nobody can tell whether its data belongs to its CID.
    Unverifiable,
    /// It is bad.
    Bad(Error),
}

/// How blocks are looked at.
#[derive(Debug, Clone)]
pub(crate) struct Checks {
    /// Whether data is hashed.
    pub(crate) verify: bool,
    /// How long CIDs may be.
    pub(crate) limits: Limits,
    /// Whether the blocks behind a bad one are looked at, too.
    pub(crate) keep_going: bool,
}

/// A block in a chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkBlock<'a> {
    pub(crate) frame: Frame,
    pub(crate) cid: CidParts<'a>,
    pub(crate) data: &'a [u8],
}

impl Chunk {
    /// Empties the chunk. Its sections are those from `start` on.
    pub(crate) fn restart(&mut self, start: u64) {
        self.start = start;
        self.filled = 0;
        self.frames.clear();
    }

    /// Where the chunk's bytes begin, and where they end, in the payload.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.filled as u64
    }

    /// Where the last section ends that is whole, in the payload.
    pub(crate) fn sections_end(&self) -> u64 {
        self.frames.last().map_or(self.start, Frame::end)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Room for `count` more bytes. They aren't there before [`filled`](Self::filled) says so.
    pub(crate) fn room(&mut self, count: usize) -> &mut [u8] {
        let end = self.filled + count;
        if self.buffer.len() < end {
            // Not twice as much: what all chunks hold is bounded.
            self.buffer.reserve_exact(end - self.buffer.len());
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.filled..end]
    }

    /// `count` bytes of the room are filled.
    pub(crate) fn filled(&mut self, count: usize) {
        self.filled += count;
    }

    /// Finds the sections in what was filled since the last call. `payload_size` is [`u64::MAX`] where it isn't known.
    pub(crate) fn walk(&mut self, payload_size: u64, options: &ReadOptions) -> Step {
        loop {
            let at = self.frames.last().map_or(self.start, Frame::end);
            let Some(rest) = at.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok()) else {
                return Step::Last(Ok(()));
            };
            let Some(head) = self.buffer[..self.filled].get(rest..) else { return Step::Wants(rest - self.filled) };
            if at == payload_size {
                return Step::Last(Ok(()));
            }
            if head.is_empty() {
                return if self.filled == 0 { Step::Wants(1) } else { Step::Whole };
            }
            // The length of the next section may be cut by the end of what was read.
            if head.len() < varint::MAX_BYTES
                && self.end() < payload_size
                && varint::decode(head) == Err(BadVarint::Truncated)
            {
                return Step::Wants(1);
            }
            match Frame::read(head, at, payload_size, options) {
                Ok(Some(frame)) => self.frames.push(frame),
                Ok(None) => return Step::Last(Ok(())),
                Err(error) => return Step::Last(Err(error)),
            }
        }
    }

    /// No more bytes come, though the chunk wants some. Drops the section that isn't whole, and gives its error.
    pub(crate) fn cut(&mut self) -> Error {
        let end = self.end();
        let offset = match self.frames.last() {
            Some(last) if last.end() > end => last.offset,
            last => last.map_or(self.start, Frame::end),
        };
        self.frames.pop_if(|last| last.end() > end);
        Error::UnexpectedEof { offset, what: "a section" }
    }

    /// Whether a section has come whole, the chunk having been walked.
    pub(crate) fn has_whole(&self) -> bool {
        self.frames.first().is_some_and(|first| first.end() <= self.end())
    }

    /// Takes out the bytes of the last section where it isn't whole, the chunk having been walked.
    pub(crate) fn split_off(&mut self) -> Vec<u8> {
        let end = self.end();
        self.frames.pop_if(|last| last.end() > end);
        let whole = self.frames.last().map_or(self.start, Frame::end) - self.start;
        let whole = usize::try_from(whole).unwrap_or(usize::MAX).min(self.filled);
        let rest = self.buffer[whole..self.filled].to_vec();
        self.filled = whole;
        rest
    }

    /// Looks at all blocks, and tells of those that aren't as they should be, by their number in the chunk.
    pub(crate) fn check(&self, checks: &Checks) -> Vec<(usize, Odd)> {
        let mut odd = Vec::new();
        for (number, block) in self.blocks().enumerate() {
            match block.and_then(|block| block.check(checks)) {
                Ok(Verdict::Unverifiable) => odd.push((number, Odd::Unverifiable)),
                Ok(_) => {}
                Err(error) => {
                    odd.push((number, Odd::Bad(error)));
                    if !checks.keep_going {
                        break;
                    }
                }
            }
        }
        odd
    }

    /// The blocks. Where a CID is malformed, the next block is found all the same.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<ChunkBlock<'_>>> {
        self.frames.iter().map(|frame| self.block(*frame))
    }

    fn block(&self, frame: Frame) -> Result<ChunkBlock<'_>> {
        let truncated = Error::UnexpectedEof { offset: frame.offset, what: "a section" };
        let place = |offset: u64| usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let section = self.buffer[..self.filled].get(place(frame.cid_offset)..place(frame.end()));
        let Some(section) = section else { return Err(truncated) };
        let Some(cid) = frame.cid(section)? else { return Err(truncated) };
        Ok(ChunkBlock { frame, cid, data: &section[cid.bytes.len()..] })
    }
}

impl ChunkBlock<'_> {
    fn check(&self, checks: &Checks) -> Result<Verdict> {
        let offset = self.frame.offset;
        self.frame.limit_cid(self.cid.bytes.len() as u64, &checks.limits)?;
        if !checks.verify {
            return Ok(Verdict::Matches);
        }
        match check(self.cid.multihash, self.data) {
            Verdict::Differs => Err(Error::Integrity { cid: self.cid.into(), offset }),
            verdict => Ok(verdict),
        }
    }

    /// The block as a scan shows it, which is `done` bytes far with it.
    pub(crate) fn scanned(&self, done: u64) -> Scanned<'_> {
        Scanned {
            multihash: self.cid.multihash,
            offset: self.frame.offset,
            data_size: self.data.len() as u64,
            end: done,
            frame: self.frame,
            cid: self.cid,
        }
    }
}
