//! Writing a CARv2.

use std::io::{self, Seek, SeekFrom, Write};

use crate::v2::HEAD_BYTES;
use crate::{CarReader, CarWriter, Characteristics, Error, GoIndexBuilder, IndexCodec, RawCid, Result, V2Header};

/// How much of a payload is copied at once.
const PIECE_BYTES: usize = 128 * 1024;

/// What a CARv2 has beside its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct V2Options {
    /// Zeros in front of the payload, in bytes.
    pub data_padding: u32,
    /// Zeros in front of the inline index, in bytes.
    pub index_padding: u32,
    /// The format of the inline index; `None` for none.
    pub index: Option<IndexCodec>,
    /// Whether identity CIDs are in the index, too, and the header says so.
    pub fully_indexed: bool,
}

impl V2Options {
    /// With an inline index.
    #[must_use]
    pub fn with_index(self, index: IndexCodec) -> Self {
        Self { index: Some(index), ..self }
    }

    /// With identity CIDs in the index.
    #[must_use]
    pub fn with_fully_indexed(self, fully_indexed: bool) -> Self {
        Self { fully_indexed, ..self }
    }

    /// With zeros in front of payload and index, in bytes.
    #[must_use]
    pub fn with_padding(self, data_padding: u32, index_padding: u32) -> Self {
        Self { data_padding, index_padding, ..self }
    }

    fn data_offset(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.data_padding)
    }

    fn header(&self, data_size: u64) -> V2Header {
        let mut characteristics = Characteristics([0; 16]);
        if self.fully_indexed && self.index.is_some() {
            characteristics.0[0] |= Characteristics::FULLY_INDEXED;
        }
        let data_offset = self.data_offset();
        let index_offset = self.index.map_or(0, |_| data_offset + data_size + u64::from(self.index_padding));
        V2Header { characteristics, data_offset, data_size, index_offset }
    }

    fn write_index(&self, index: Option<GoIndexBuilder>, out: &mut impl Write) -> io::Result<()> {
        let Some(index) = index else { return Ok(()) };
        pad(out, self.index_padding)?;
        index.write(out)
    }
}

/// Writes a CARv2 block by block. The records of its inline index are held in memory until the end, see [`GoIndexBuilder`]. It neither hashes
/// nor looks for duplicates. Before [`finish`](Self::finish) what was written isn't a CAR, and it isn't durable before
/// its writer is.
#[derive(Debug)]
pub struct V2Writer<W> {
    payload: CarWriter<W>,
    /// Where the CAR begins in the writer.
    start: u64,
    options: V2Options,
    index: Option<GoIndexBuilder>,
}

impl<W: Write + Seek> V2Writer<W> {
    /// Begins a CAR where `out` is.
    ///
    /// # Errors
    /// Whatever `out` says.
    pub fn new(mut out: W, roots: &[RawCid], options: V2Options) -> io::Result<Self> {
        let start = out.stream_position()?;
        out.write_all(&[0; HEAD_BYTES])?;
        pad(&mut out, options.data_padding)?;
        let payload = CarWriter::new(out, roots)?;
        Ok(Self { payload, start, options, index: options.index.map(GoIndexBuilder::new) })
    }

    /// Writes a block.
    ///
    /// # Errors
    /// Whatever the writer says.
    pub fn write(&mut self, cid: &RawCid, data: &[u8]) -> io::Result<()> {
        let offset = self.payload.written_bytes();
        self.payload.write(cid, data)?;
        if let Some(index) = &mut self.index
            && (self.options.fully_indexed || !cid.multihash().is_identity())
        {
            index.add(cid.multihash(), offset);
        }
        Ok(())
    }

    /// Writes index and header, flushes, and gives the writer back, which is at the end of the CAR.
    ///
    /// # Errors
    /// Whatever it says.
    pub fn finish(self) -> io::Result<W> {
        let header = self.options.header(self.payload.written_bytes());
        let mut out = self.payload.finish()?;
        self.options.write_index(self.index, &mut out)?;
        let end = out.stream_position()?;
        out.seek(SeekFrom::Start(self.start))?;
        out.write_all(&header.to_bytes())?;
        out.seek(SeekFrom::Start(end))?;
        out.flush()?;
        Ok(out)
    }
}

impl CarReader {
    /// Writes a CARv2 around this CAR's payload, which is copied as it stands. The records of an inline index are held in
    /// memory meanwhile, see [`GoIndexBuilder`].
    ///
    /// # Errors
    /// As [`go_index`](Self::go_index); [`Error::Io`] where the payload can't be read; [`Error::Write`].
    pub fn wrap(&self, options: V2Options, out: &mut impl Write) -> Result<()> {
        let index = options.index.map(|codec| self.go_index(codec, options.fully_indexed)).transpose()?;
        let written = |source| Error::Write { source };
        out.write_all(&options.header(self.payload_size()).to_bytes()).map_err(written)?;
        pad(out, options.data_padding).map_err(written)?;
        let mut buffer = vec![0; PIECE_BYTES];
        let (mut at, end) = (self.payload_offset(), self.payload_offset() + self.payload_size());
        while at < end {
            let room = usize::try_from(end - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let read = self.source().read_at(at, &mut buffer[..room]);
            let read = read.map_err(|source| Error::Io { offset: at, source })?;
            if read == 0 {
                return Err(Error::UnexpectedEof { offset: at - self.payload_offset(), what: "the payload" });
            }
            out.write_all(&buffer[..read]).map_err(written)?;
            at += read as u64;
        }
        options.write_index(index, out).map_err(written)?;
        out.flush().map_err(written)
    }
}

fn pad(out: &mut impl Write, count: u32) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), count.into()), out).map(drop)
}
