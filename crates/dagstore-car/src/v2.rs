//! The CARv2 header: where payload and index are.

use crate::{Error, Result};

/// The first 11 bytes of a CARv2: a header of length 10 that says version 2.
pub(crate) const PRAGMA: [u8; 11] = [0x0a, 0xa1, 0x67, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x02];

/// Pragma and header.
pub(crate) const HEAD_BYTES: usize = 51;

/// The bits in front of a CARv2 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Characteristics(pub [u8; 16]);

impl Characteristics {
    /// The bit that says that the index is full, in the first byte.
    pub(crate) const FULLY_INDEXED: u8 = 0x80;

    /// Whether the inline index lists every section, identity CIDs included. Unknown bits mean nothing here.
    pub fn is_fully_indexed(self) -> bool {
        self.0[0] & Self::FULLY_INDEXED != 0
    }
}

/// Where payload and inline index are in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct V2Header {
    /// What the writer says of the file.
    pub characteristics: Characteristics,
    /// Where the CARv1 payload begins.
    pub data_offset: u64,
    /// How long it is, in bytes.
    pub data_size: u64,
    /// Where the inline index begins; 0 where there is none.
    pub index_offset: u64,
}

impl V2Header {
    /// Reads the 40 bytes behind the pragma, and checks them against the file's size.
    pub(crate) fn read(bytes: &[u8; 40], file_size: u64) -> Result<Self> {
        let header = Self::parse(bytes);
        header.check(file_size)?;
        Ok(header)
    }

    /// Reads the 40 bytes behind the pragma.
    pub(crate) fn parse(bytes: &[u8; 40]) -> Self {
        let mut characteristics = [0; 16];
        characteristics.copy_from_slice(&bytes[..16]);
        let number = |at: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(number)
        };
        Self {
            characteristics: Characteristics(characteristics),
            data_offset: number(16),
            data_size: number(24),
            index_offset: number(32),
        }
    }

    /// How many bytes a CARv2 begins with that belong to the pragma and this header.
    pub const BYTES: usize = HEAD_BYTES;

    /// The header that the first [`BYTES`](Self::BYTES) of a file of `file_size` bytes have; `None` where it isn't a CARv2, or the
    /// header doesn't fit the file.
    pub fn find(front: &[u8], file_size: u64) -> Option<Self> {
        let rest = front.strip_prefix(&PRAGMA[..])?.first_chunk()?;
        Self::read(rest, file_size).ok()
    }

    /// The header of what of the payload is in the file, and without an index that can't be there; `None` where the payload
    /// isn't in the file at all.
    pub(crate) fn mended(self, file_size: u64) -> Option<Self> {
        let room = file_size.checked_sub(self.data_offset).filter(|room| *room > 0)?;
        if self.data_offset < HEAD_BYTES as u64 || self.data_size == 0 {
            return None;
        }
        let mended = Self { data_size: self.data_size.min(room), ..self };
        let without_index = Self { index_offset: 0, ..mended };
        Some(if mended.check(file_size).is_ok() { mended } else { without_index })
    }

    /// Pragma and header.
    pub(crate) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let (pragma, rest) = bytes.split_at_mut(PRAGMA.len());
        pragma.copy_from_slice(&PRAGMA);
        rest[..16].copy_from_slice(&self.characteristics.0);
        for (place, number) in rest[16..].chunks_exact_mut(8).zip([self.data_offset, self.data_size, self.index_offset])
        {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Checks the header against the file's size.
    pub(crate) fn check(&self, file_size: u64) -> Result<()> {
        self.fits(file_size).map_err(|found| Error::MalformedV2Header { found })
    }

    fn fits(&self, file_size: u64) -> Result<(), String> {
        let Self { data_offset, data_size, index_offset, .. } = *self;
        if data_offset < HEAD_BYTES as u64 {
            return Err(format!("data offset {data_offset} is inside the header"));
        }
        if data_size == 0 {
            return Err("data size 0".to_owned());
        }
        let data_end = data_offset.checked_add(data_size).filter(|end| *end <= file_size);
        let Some(data_end) = data_end else {
            return Err(format!("data of {data_size} bytes at {data_offset} in a file of {file_size}"));
        };
        if index_offset != 0 && (index_offset < data_end || index_offset >= file_size) {
            return Err(format!(
                "index offset {index_offset}, where the data ends at {data_end} and the file at {file_size}"
            ));
        }
        Ok(())
    }
}
