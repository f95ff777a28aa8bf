//! An open CAR.

use std::sync::Arc;

use bytes::Bytes;
use dagstore_fs::{ReadAt, ReadAtExt};

use crate::header::{self, V1Header, malformed};
use crate::section::{Frame, Sections, Walk};
use crate::v2::{HEAD_BYTES, PRAGMA};
use crate::window::Window;
use crate::{Error, Header, RawCid, ReadOptions, Result, V2Header, inline_index, varint};

/// How much more than a block's data is read with it: its length, and every usual CID.
const ROOM_FOR_CID_BYTES: u64 = 96;

/// An open CAR, over positioned reads. Many threads can read it at once.
#[derive(Debug)]
pub struct CarReader {
    source: Arc<dyn ReadAt>,
    header: Header,
    payload_offset: u64,
    payload_size: u64,
    /// Where the first section begins, in the payload.
    first_section: u64,
    options: ReadOptions,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its CID, as it stands in the CAR.
    pub cid: RawCid,
    /// Its data, not checked against the CID.
    pub data: Bytes,
}

impl CarReader {
    /// Reads the headers, and checks them against each other and against the size of the file. Neither blocks nor an
    /// inline index are looked at.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnexpectedEof`], [`Error::MalformedHeader`], [`Error::MalformedV2Header`],
    /// [`Error::Limit`].
    pub fn open(source: Arc<dyn ReadAt>, options: ReadOptions) -> Result<Self> {
        let file_size = source.size();
        let (outer, outer_end) = read_header(&*source, 0, file_size, &options)?;
        if outer.version == 1 {
            let header = Header { version: 1, roots: outer.roots, v2: None };
            let (payload_offset, payload_size) = (0, file_size);
            return Ok(Self { source, header, payload_offset, payload_size, first_section: outer_end, options });
        }
        let v2 = read_v2(&*source, &outer, outer_end)?;
        let (payload_offset, payload_size) = (v2.data_offset, v2.data_size);
        let (inner, first_section) = read_header(&*source, payload_offset, payload_size, &options)?;
        if inner.version != 1 {
            return Err(malformed(format!("version {} inside a CARv2", inner.version)));
        }
        let header = Header { version: 2, roots: inner.roots, v2: Some(v2) };
        Ok(Self { source, header, payload_offset, payload_size, first_section, options })
    }

    /// What the headers say.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Where the CARv1 payload begins in the file; 0 in a CARv1.
    pub fn payload_offset(&self) -> u64 {
        self.payload_offset
    }

    /// The size of the CARv1 payload in bytes.
    pub fn payload_size(&self) -> u64 {
        self.payload_size
    }

    /// The sections, in order. The iterator ends after its first error, which names the section's offset; the sections
    /// before it are whole.
    pub fn sections(&self) -> Sections {
        Sections { walk: self.walk(), failed: false }
    }

    /// Reads the block whose section begins at `offset` of the payload. Given the size of its data, one read is enough.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnexpectedEof`], [`Error::MalformedSection`], [`Error::Limit`].
    pub fn read_block(&self, offset: u64, data_size: Option<u32>) -> Result<Block> {
        let ended = || Error::UnexpectedEof { offset, what: "a section" };
        let room = self.payload_size.checked_sub(offset).filter(|room| *room > 0).ok_or_else(ended)?;
        let hint = u64::from(data_size.unwrap_or(0)).min(self.options.limits.section_bytes);
        let mut bytes = self.read(offset, room.min(hint + ROOM_FOR_CID_BYTES))?;
        let zero = || Error::MalformedSection { offset, found: "its length is zero".to_owned() };
        let frame = Frame::read(&bytes, offset, self.payload_size, &self.options)?.ok_or_else(zero)?;
        let whole = frame.end() - offset;
        if (bytes.len() as u64) < whole {
            // Bounded: the frame is inside the payload, and its length inside the limit.
            bytes = self.read(offset, whole)?;
        }
        bytes.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
        let start = usize::try_from(frame.cid_offset - offset).unwrap_or(usize::MAX);
        let parts = frame.cid(bytes.get(start..).unwrap_or_default())?.ok_or_else(ended)?;
        let data_start = start + parts.bytes.len();
        let cid = parts.into();
        Ok(Block { cid, data: Bytes::from(bytes).slice(data_start..) })
    }

    /// Checks the structure of the inline index, where there is one.
    pub(crate) fn check_inline_index(&self) -> Result<()> {
        match self.header.v2.map(|v2| v2.index_offset) {
            None | Some(0) => Ok(()),
            Some(offset) => inline_index::check(&*self.source, offset),
        }
    }

    pub(crate) fn walk(&self) -> Walk {
        Walk {
            window: Window::new(self.source.clone(), self.payload_offset + self.payload_size),
            payload_offset: self.payload_offset,
            payload_size: self.payload_size,
            next: self.first_section,
            options: self.options.clone(),
        }
    }

    /// Reads `length` bytes at `offset` of the payload, which the caller has bounded.
    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        let at = self.payload_offset + offset;
        match self.source.read_exact_at(at, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(Error::UnexpectedEof { offset, what: "a section" })
            }
            Err(source) => Err(Error::Io { offset: at, source }),
        }
    }
}

/// Reads the length and the map at `start`, in `room` bytes. Also tells where they end, counted from `start`.
fn read_header(source: &dyn ReadAt, start: u64, room: u64, options: &ReadOptions) -> Result<(V1Header, u64)> {
    let failed = |source| Error::Io { offset: start, source };
    let ended = Error::UnexpectedEof { offset: start.saturating_add(room), what: "the header" };
    let mut front = [0; varint::MAX_BYTES];
    let most = usize::try_from(room).unwrap_or(usize::MAX).min(front.len());
    let count = source.read_at(start, &mut front[..most]).map_err(failed)?;
    let (length, length_bytes) = match varint::decode(&front[..count]) {
        Ok(read) => read,
        Err(varint::BadVarint::Truncated) => return Err(ended),
        Err(bad) => return Err(malformed(bad.text().to_owned())),
    };
    let limit = options.limits.header_bytes;
    if length > limit {
        return Err(Error::Limit { what: "a header", offset: start, found: length, limit });
    }
    if length == 0 {
        return Err(malformed("a header of length zero".to_owned()));
    }
    let end = length_bytes as u64 + length;
    if end > room {
        return Err(ended);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    match source.read_exact_at(start + length_bytes as u64, &mut bytes) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(ended),
        Err(error) => return Err(failed(error)),
    }
    let header = header::read(&bytes)?;
    if header.version == 1 || header.version == 2 {
        return Ok((header, end));
    }
    Err(malformed(format!("version {}", header.version)))
}

/// Reads what follows the pragma.
fn read_v2(source: &dyn ReadAt, outer: &V1Header, outer_end: u64) -> Result<V2Header> {
    if !outer.roots.is_empty() || outer_end != PRAGMA.len() as u64 {
        return Err(malformed("version 2, but not the bytes that a CARv2 begins with".to_owned()));
    }
    let mut bytes = [0; HEAD_BYTES - PRAGMA.len()];
    match source.read_exact_at(outer_end, &mut bytes) {
        Ok(()) => V2Header::read(&bytes, source.size()),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::UnexpectedEof { offset: source.size(), what: "the CARv2 header" })
        }
        Err(source) => Err(Error::Io { offset: outer_end, source }),
    }
}
