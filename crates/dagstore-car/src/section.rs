//! The sections of a payload, one after the other.

use crate::cid::{CidParts, InvalidCid};
use crate::window::Window;
use crate::{Error, Limits, RawCid, ReadOptions, Result, varint};

/// How much of a section is looked at to find its CID: enough for the length and every usual CID.
const HEAD_BYTES: usize = 128;

/// One block of a CAR, without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// From the start of the CARv1 payload to the section's length varint.
    pub offset: u64,
    /// The block's CID.
    pub cid: RawCid,
    /// From the start of the CARv1 payload to the data.
    pub data_offset: u64,
    /// The size of the data in bytes.
    pub data_size: u64,
}

/// Where a section's parts are, counted from the start of the payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) cid_offset: u64,
    /// CID and data.
    pub(crate) length: u64,
}

impl Frame {
    pub(crate) fn end(&self) -> u64 {
        self.cid_offset + self.length
    }

    /// Refuses a CID of `found` bytes that is too long to be indexed.
    pub(crate) fn limit_cid(&self, found: u64, limits: &Limits) -> Result<()> {
        let limit = limits.indexed_cid_bytes;
        if found <= limit {
            return Ok(());
        }
        Err(Error::Limit { what: "a CID to be indexed", offset: self.offset, found, limit })
    }

    /// The section, which has this CID.
    pub(crate) fn section(&self, cid: CidParts<'_>) -> Section {
        let cid_bytes = cid.bytes.len() as u64;
        Section {
            offset: self.offset,
            cid: cid.into(),
            data_offset: self.cid_offset + cid_bytes,
            data_size: self.length - cid_bytes,
        }
    }

    /// The section with its length.
    pub(crate) fn total_bytes(&self) -> usize {
        usize::try_from(self.end() - self.offset).unwrap_or(usize::MAX)
    }

    /// The CID in the whole section, and where the data behind it begins.
    pub(crate) fn split(&self, section: &[u8]) -> Result<(RawCid, usize)> {
        let start = usize::try_from(self.cid_offset - self.offset).unwrap_or(usize::MAX);
        let truncated = Error::UnexpectedEof { offset: self.offset, what: "a section" };
        let Some(parts) = self.cid(section.get(start..).unwrap_or_default())? else { return Err(truncated) };
        Ok((parts.into(), start + parts.bytes.len()))
    }

    /// Reads the frame of the section at `offset` out of `head`, the bytes there. `None` is the end of the data.
    pub(crate) fn read(head: &[u8], offset: u64, payload_size: u64, options: &ReadOptions) -> Result<Option<Self>> {
        let malformed = |found: &str| Error::MalformedSection { offset, found: found.to_owned() };
        if head.is_empty() {
            return Ok(None);
        }
        let (length, length_bytes) = varint::decode(head).map_err(|bad| malformed(bad.text()))?;
        if length == 0 {
            return if options.zero_length_is_end { Ok(None) } else { Err(malformed("its length is zero")) };
        }
        let limit = options.limits.section_bytes;
        if length > limit {
            return Err(Error::Limit { what: "a section", offset, found: length, limit });
        }
        let cid_offset = offset + length_bytes as u64;
        if length > payload_size.saturating_sub(cid_offset) {
            return Err(Error::UnexpectedEof { offset, what: "a section" });
        }
        Ok(Some(Self { offset, cid_offset, length }))
    }

    /// Reads the section's CID out of `bytes`, all or the beginning of what follows the length; `None` if that is too
    /// little to tell.
    pub(crate) fn cid<'a>(&self, bytes: &'a [u8]) -> Result<Option<CidParts<'a>>> {
        let whole = bytes.len() as u64 >= self.length;
        let bytes = usize::try_from(self.length).ok().and_then(|length| bytes.get(..length)).unwrap_or(bytes);
        match CidParts::read(bytes) {
            Ok(parts) => Ok(Some(parts)),
            Err(InvalidCid::Truncated) if !whole => Ok(None),
            Err(InvalidCid::Truncated) => {
                Err(Error::MalformedSection { offset: self.offset, found: "it ends inside its CID".to_owned() })
            }
            Err(bad) => Err(Error::MalformedSection { offset: self.offset, found: bad.to_string() }),
        }
    }
}

/// The sections of a CAR in order. Ends after the first error.
#[derive(Debug)]
pub struct Sections {
    pub(crate) walk: Walk,
    pub(crate) failed: bool,
}

impl Iterator for Sections {
    type Item = Result<Section>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let section = self.walk.next_section(None).transpose();
        self.failed = matches!(section, Some(Err(_)));
        section
    }
}

/// A walk from section to section.
#[derive(Debug)]
pub(crate) struct Walk {
    pub(crate) window: Window,
    /// Where the payload is in the source, and how long it is.
    pub(crate) payload_offset: u64,
    pub(crate) payload_size: u64,
    /// Where the next section begins, in the payload.
    pub(crate) next: u64,
    pub(crate) options: ReadOptions,
}

impl Walk {
    /// The frame of the next section; `None` at the end of the data.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>> {
        let (offset, size) = (self.next, self.payload_size);
        let room = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let head = self.window.bytes(self.payload_offset + offset, HEAD_BYTES.min(room))?;
        if head.len() < HEAD_BYTES.min(room) {
            return Err(Error::UnexpectedEof { offset, what: "a section" });
        }
        Frame::read(head, offset, size, &self.options)
    }

    /// The next section, with its CID held to `limits` if it is to be indexed.
    fn next_section(&mut self, limits: Option<&Limits>) -> Result<Option<Section>> {
        let Some(frame) = self.next_frame()? else { return Ok(None) };
        self.next = frame.end();
        let section = self.with_cid(frame, limits, |parts| frame.section(parts))?;
        self.window.adapt(frame.length);
        Ok(Some(section))
    }

    /// Reads as much of the section as its CID needs.
    pub(crate) fn with_cid<T>(
        &mut self,
        frame: Frame,
        limits: Option<&Limits>,
        look: impl FnOnce(CidParts<'_>) -> T,
    ) -> Result<T> {
        let start = self.payload_offset + frame.cid_offset;
        // One look is enough as a rule; a CID longer than the head takes the whole section, which the limit bounds.
        let mut want = usize::try_from(frame.length).unwrap_or(usize::MAX).min(HEAD_BYTES - varint::MAX_BYTES);
        loop {
            let bytes = self.window.bytes(start, want)?;
            if bytes.len() < want {
                return Err(Error::UnexpectedEof { offset: frame.offset, what: "a section" });
            }
            let Some(parts) = frame.cid(bytes)? else {
                want = usize::try_from(frame.length).unwrap_or(usize::MAX);
                continue;
            };
            if let Some(limits) = limits {
                frame.limit_cid(parts.bytes.len() as u64, limits)?;
            }
            return Ok(look(parts));
        }
    }
}
