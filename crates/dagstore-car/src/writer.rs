//! Writing CARs.

use std::io::{self, Write};

use crate::v2::HEAD_BYTES;
use crate::{Characteristics, RawCid, V2Header, header, varint};

/// Writes a CARv1 block by block. It neither hashes nor looks for duplicates, and isn't durable before its writer is.
#[derive(Debug)]
pub struct CarWriter<W> {
    out: W,
    /// The front of a section, kept to save allocations.
    front: Vec<u8>,
    written_bytes: u64,
}

impl<W: Write> CarWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn new(mut out: W, roots: &[RawCid]) -> io::Result<Self> {
        let mut map = Vec::new();
        header::write(roots, &mut map);
        let mut front = Vec::new();
        varint::encode(map.len() as u64, &mut front);
        front.extend(map);
        out.write_all(&front)?;
        let written_bytes = front.len() as u64;
        Ok(Self { out, front, written_bytes })
    }

    /// Writes a block.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn write(&mut self, cid: &RawCid, data: &[u8]) -> io::Result<()> {
        self.front.clear();
        varint::encode((cid.as_bytes().len() + data.len()) as u64, &mut self.front);
        self.front.extend(cid.as_bytes());
        self.out.write_all(&self.front)?;
        self.out.write_all(data)?;
        self.written_bytes += (self.front.len() + data.len()) as u64;
        Ok(())
    }

    /// The bytes written so far.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// Flushes, and gives the writer back.
    ///
    /// # Errors
    /// Whatever it says.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The first 51 bytes of a CARv2 without an inline index; a CARv1 of `payload_size` bytes follows.
pub fn v2_head(payload_size: u64) -> [u8; HEAD_BYTES] {
    let header = V2Header {
        characteristics: Characteristics([0; 16]),
        data_offset: HEAD_BYTES as u64,
        data_size: payload_size,
        index_offset: 0,
    };
    header.to_bytes()
}
