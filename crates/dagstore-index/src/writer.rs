//! Writes an index file out of sorted entries.

use std::io::{self, BufWriter, Write};

use crate::Result;
use crate::entry::{ENTRY_BYTES, Entry};
use crate::format::{self, ENTRIES_PER_PAGE, FENCE_ENTRY_BYTES, Header, PAGE_BYTES};

/// What is written at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes the whole file and returns its size in bytes. `entries` are as many as the header says, in order; `failed`
/// makes the crate's error of a write that failed.
///
/// Memory is the buffer and the fence, 8 bytes for 46 entries, which is written behind the pages.
pub(crate) fn write_index(
    file: impl Write,
    header: &Header,
    entries: impl Iterator<Item = Result<Entry>>,
    failed: impl Fn(io::Error) -> crate::Error,
) -> Result<u64> {
    let mut writer = IndexWriter::new(file, header).map_err(&failed)?;
    for entry in entries {
        writer.add(entry?).map_err(&failed)?;
    }
    debug_assert_eq!(writer.entries, header.entries);
    writer.finish().map_err(&failed)
}

struct IndexWriter<W: Write> {
    file: BufWriter<W>,
    header_checksum: u32,
    page: [u8; PAGE_BYTES],
    entries_in_page: usize,
    pages: u64,
    entries: u64,
    fence: Vec<u8>,
    bytes: u64,
}

impl<W: Write> IndexWriter<W> {
    fn new(file: W, header: &Header) -> io::Result<Self> {
        let header = header.encode();
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        file.write_all(&header)?;
        Ok(Self {
            file,
            header_checksum: format::header_checksum(&header),
            page: [0; PAGE_BYTES],
            entries_in_page: 0,
            pages: 0,
            entries: 0,
            fence: Vec::new(),
            bytes: header.len() as u64,
        })
    }

    fn add(&mut self, entry: Entry) -> io::Result<()> {
        if self.entries_in_page == ENTRIES_PER_PAGE {
            self.end_page()?;
        }
        let bytes = entry.to_bytes();
        if self.entries_in_page == 0 {
            self.fence.extend_from_slice(&bytes[..FENCE_ENTRY_BYTES]);
        }
        let start = self.entries_in_page * ENTRY_BYTES;
        self.page[start..start + ENTRY_BYTES].copy_from_slice(&bytes);
        self.entries_in_page += 1;
        self.entries += 1;
        Ok(())
    }

    fn end_page(&mut self) -> io::Result<()> {
        format::seal_page(&mut self.page, self.pages, self.header_checksum);
        self.file.write_all(&self.page)?;
        self.page = [0; PAGE_BYTES];
        self.entries_in_page = 0;
        self.pages += 1;
        self.bytes += PAGE_BYTES as u64;
        Ok(())
    }

    fn finish(mut self) -> io::Result<u64> {
        if self.entries_in_page > 0 {
            self.end_page()?;
        }
        let trailer = format::encode_trailer(&self.fence, self.header_checksum);
        self.file.write_all(&self.fence)?;
        self.file.write_all(&trailer)?;
        self.file.flush()?;
        Ok(self.bytes + (self.fence.len() + trailer.len()) as u64)
    }
}
