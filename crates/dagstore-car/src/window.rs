//! A window over a source, moved forward: small sections are read many at a time, large ones are jumped over.

use std::sync::Arc;

use dagstore_fs::ReadAt;

use crate::{Error, Result};

/// How much is read ahead where sections are small.
const LARGE_BYTES: usize = 256 * 1024;

/// How much is read where sections are large: a length and a CID.
const SMALL_BYTES: usize = 128;

/// Sections from this size on are large.
const LARGE_SECTION_BYTES: u64 = 16 * 1024;

/// Bytes of a source from `start` on.
#[derive(Debug)]
pub(crate) struct Window {
    source: Arc<dyn ReadAt>,
    /// Where nothing is read any more, in the source.
    end: u64,
    start: u64,
    buffer: Vec<u8>,
    ahead: usize,
}

impl Window {
    pub(crate) fn new(source: Arc<dyn ReadAt>, end: u64) -> Self {
        Self { source, end, start: 0, buffer: Vec::new(), ahead: LARGE_BYTES }
    }

    /// Reads ahead as suits a source whose last section had this size.
    pub(crate) fn adapt(&mut self, section_bytes: u64) {
        self.ahead = if section_bytes < LARGE_SECTION_BYTES { LARGE_BYTES } else { SMALL_BYTES };
    }

    /// The bytes from `offset` on: `want` of them, or as many as there are before the end.
    pub(crate) fn bytes(&mut self, offset: u64, want: usize) -> Result<&[u8]> {
        let want = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX).min(want);
        let skip = usize::try_from(offset.wrapping_sub(self.start)).unwrap_or(usize::MAX);
        let held = self.buffer.len().checked_sub(skip);
        if held.is_none_or(|held| held < want) {
            self.fill(offset, want, held.unwrap_or(0))?;
            let length = self.buffer.len().min(want);
            return Ok(&self.buffer[..length]);
        }
        Ok(&self.buffer[skip..skip + want])
    }

    /// Moves the window to `offset` and fills it. The last `held` bytes of the buffer stay.
    fn fill(&mut self, offset: u64, want: usize, held: usize) -> Result<()> {
        let room = usize::try_from(self.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = want.max(self.ahead).min(room);
        let held = held.min(length);
        let kept = self.buffer.len() - held;
        self.buffer.copy_within(kept.., 0);
        self.buffer.resize(length, 0);
        self.start = offset;
        let at = offset + held as u64;
        match self.source.read_at(at, &mut self.buffer[held..]) {
            Ok(count) => self.buffer.truncate(held + count),
            Err(source) => {
                self.buffer.clear();
                return Err(Error::Io { offset: at, source });
            }
        }
        Ok(())
    }
}
