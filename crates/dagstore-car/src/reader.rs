//! An open CAR.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use dagstore_fs::{ReadAt, ReadAtExt};

use crate::header::{self, V1Header};
use crate::parallel::Feed;
use crate::section::{Frame, Sections, Walk};
use crate::v2::{HEAD_BYTES, PRAGMA};
use crate::window::Window;
use crate::{Error, Header, RawCid, ReadOptions, Result, V2Header, index, varint};

/// How much more than a block's data is read with it: its length, and every usual CID.
const ROOM_FOR_CID_BYTES: u64 = 96;

/// How much data is read at first where nobody says how much there is.
const USUAL_BLOCK_BYTES: u64 = 4_000;

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
        match Self::open_damaged(source, options)? {
            (reader, None) => Ok(reader),
            (_, Some(error)) => Err(error),
        }
    }

    /// Opens a CAR as [`open`](Self::open) does, and also a CARv2 that was cut: its payload ends with the file then, and an
    /// index that isn't in the file counts as none. The header tells it like that, and the error what is wrong.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), where there is nothing to go on with.
    pub fn open_damaged(source: Arc<dyn ReadAt>, options: ReadOptions) -> Result<(Self, Option<Error>)> {
        let file_size = source.size();
        let (outer, outer_end) = read_header(&*source, 0, file_size, &options, header::read_known)?;
        if outer.version == 1 {
            let header = Header { version: 1, roots: outer.roots, v2: None };
            let (payload_offset, payload_size) = (0, file_size);
            let reader = Self { source, header, payload_offset, payload_size, first_section: outer_end, options };
            return Ok((reader, None));
        }
        header::check_pragma(&outer, outer_end)?;
        let said = read_v2(&*source)?;
        let (v2, damage) = match (said.check(file_size), said.mended(file_size)) {
            (Ok(()), _) => (said, None),
            (Err(error), Some(mended)) => (mended, Some(error)),
            (Err(error), None) => return Err(error),
        };
        let (payload_offset, payload_size) = (v2.data_offset, v2.data_size);
        let (inner, first_section) =
            match read_header(&*source, payload_offset, payload_size, &options, header::read_inner) {
                Ok(inner) => inner,
                // What the outer header has wrong comes first.
                Err(error) => return Err(damage.unwrap_or(error)),
            };
        let header = Header { version: 2, roots: inner.roots, v2: Some(v2) };
        Ok((Self { source, header, payload_offset, payload_size, first_section, options }, damage))
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

    /// The size of the payload's header in bytes: where its first section begins, if it has one.
    pub fn header_size(&self) -> u64 {
        self.first_section
    }

    /// The size of the whole CAR in bytes.
    pub fn file_size(&self) -> u64 {
        self.source.size()
    }

    /// The sections, in order. The iterator ends after its first error, which names the section's offset; the sections
    /// before it are whole.
    pub fn sections(&self) -> Sections {
        Sections { walk: self.walk(), failed: false }
    }

    /// Reads the block whose section begins at `offset` of the payload. Where the source is in memory or mapped, the data
    /// is a slice of it, without a copy, and keeps all of it alive. Else it is read into a buffer of its own; given the
    /// size of its data, one read is enough.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::UnexpectedEof`], [`Error::MalformedSection`], [`Error::Limit`].
    pub fn read_block(&self, offset: u64, data_size: Option<u32>) -> Result<Block> {
        let room = self.payload_size.checked_sub(offset).filter(|room| *room > 0).ok_or_else(|| ended(offset))?;
        match self.source.bytes() {
            Some(all) => self.shared_block(all, offset, room),
            None => self.owned_block(offset, room, data_size),
        }
    }

    /// The block as a slice of `all`, the whole source.
    fn shared_block(&self, all: &Bytes, offset: u64, room: u64) -> Result<Block> {
        let start = usize::try_from(self.payload_offset + offset).unwrap_or(usize::MAX).min(all.len());
        let end = usize::try_from(room).unwrap_or(usize::MAX).saturating_add(start).min(all.len());
        let frame = self.frame(&all[start..end], offset)?;
        let section = all.get(start..start + frame.total_bytes()).ok_or_else(|| ended(offset))?;
        let (cid, data_start) = frame.split(section)?;
        Ok(Block { cid, data: all.slice(start + data_start..start + section.len()) })
    }

    /// The block in a buffer of its own.
    fn owned_block(&self, offset: u64, room: u64, data_size: Option<u32>) -> Result<Block> {
        let hint = data_size.map_or(USUAL_BLOCK_BYTES, u64::from).min(self.options.limits.section_bytes);
        let mut bytes = Vec::new();
        self.read_up_to(room.min(hint + ROOM_FOR_CID_BYTES), offset, &mut bytes)?;
        let frame = self.frame(&bytes, offset)?;
        let whole = frame.total_bytes();
        if bytes.len() < whole {
            // Bounded: the frame is inside the payload, and its length inside the limit.
            self.read_up_to(whole as u64, offset, &mut bytes)?;
        }
        bytes.truncate(whole);
        let (cid, data_start) = frame.split(&bytes)?;
        let mut data = Bytes::from(bytes);
        data.advance(data_start);
        Ok(Block { cid, data })
    }

    /// The frame of the section that `head` begins with.
    fn frame(&self, head: &[u8], offset: u64) -> Result<Frame> {
        let zero = || Error::MalformedSection { offset, found: "its length is zero".to_owned() };
        if head.is_empty() {
            return Err(ended(offset));
        }
        Frame::read(head, offset, self.payload_size, &self.options)?.ok_or_else(zero)
    }

    /// Checks the structure of the inline index, where there is one.
    pub(crate) fn check_inline_index(&self) -> Result<()> {
        match self.inline_index_offset() {
            None => Ok(()),
            Some(offset) => index::walk(&*self.source, offset, |_| Ok(())).map(drop),
        }
    }

    /// Where the inline index begins, in the file.
    pub(crate) fn inline_index_offset(&self) -> Option<u64> {
        self.header.v2.map(|v2| v2.index_offset).filter(|offset| *offset > 0)
    }

    pub(crate) fn source(&self) -> &Arc<dyn ReadAt> {
        &self.source
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.options
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

    /// The payload's sections in chunks.
    pub(crate) fn feed(&self) -> Feed {
        Feed {
            source: self.source.clone(),
            payload_offset: self.payload_offset,
            payload_size: self.payload_size,
            next: Some(self.first_section),
            options: self.options.clone(),
        }
    }

    /// Reads what `bytes` lacks of the `length` bytes at `offset` of the payload, which the caller has bounded.
    fn read_up_to(&self, length: u64, offset: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let held = bytes.len();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if held == 0 {
            // Memory that comes zeroed from the system is not zeroed again.
            *bytes = vec![0; length];
        } else {
            bytes.resize(length, 0);
        }
        let at = self.payload_offset + offset + held as u64;
        match self.source.read_exact_at(at, &mut bytes[held..]) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(ended(offset)),
            Err(source) => Err(Error::Io { offset: at, source }),
        }
    }
}

fn ended(offset: u64) -> Error {
    Error::UnexpectedEof { offset, what: "a section" }
}

/// Reads the length and the map at `start`, in `room` bytes. Also tells where they end, counted from `start`.
fn read_header(
    source: &dyn ReadAt,
    start: u64,
    room: u64,
    options: &ReadOptions,
    parse: fn(&[u8]) -> Result<V1Header>,
) -> Result<(V1Header, u64)> {
    let failed = |source| Error::Io { offset: start, source };
    let ended = || Error::UnexpectedEof { offset: start.saturating_add(room), what: "the header" };
    let mut bytes = [0; varint::MAX_BYTES];
    let most = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
    let count = source.read_at(start, &mut bytes[..most]).map_err(failed)?;
    let front = header::front(&bytes[..count], start, &options.limits)?.ok_or_else(ended)?;
    if front.end() > room {
        return Err(ended());
    }
    let mut bytes = vec![0; usize::try_from(front.length).unwrap_or(usize::MAX)];
    match source.read_exact_at(start + front.length_bytes as u64, &mut bytes) {
        Ok(()) => Ok((parse(&bytes)?, front.end())),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(ended()),
        Err(error) => Err(failed(error)),
    }
}

/// Reads what follows the pragma.
fn read_v2(source: &dyn ReadAt) -> Result<V2Header> {
    let mut bytes = [0; HEAD_BYTES - PRAGMA.len()];
    let offset = PRAGMA.len() as u64;
    match source.read_exact_at(offset, &mut bytes) {
        Ok(()) => Ok(V2Header::parse(&bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::UnexpectedEof { offset: source.size(), what: "the CARv2 header" })
        }
        Err(source) => Err(Error::Io { offset, source }),
    }
}
