//! Positioned reads.

use std::fmt::Debug;
use std::io;

use bytes::Bytes;

/// Bytes of a known size that can be read at any place, from many threads at once.
pub trait ReadAt: Debug + Send + Sync {
    /// The size in bytes, as it was when the reader was opened.
    fn size(&self) -> u64;

    /// Reads up to `buffer.len()` bytes from `offset` on and returns how many were read. Fewer than asked for means
    /// that the end was reached, and 0 that `offset` is at the end or beyond; interruptions are retried inside.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether the bytes are still those that were there when the reader was opened, as far as it can tell without reading
    /// them. What is never written again says yes.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// All of it, where it is in memory or mapped: slices of it share it, without a copy. `None` for everything else.
    fn bytes(&self) -> Option<&Bytes> {
        None
    }
}

/// Conveniences for every [`ReadAt`].
pub trait ReadAtExt: ReadAt {
    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the data ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if self.read_at(offset, buffer)? < buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

impl<R: ReadAt + ?Sized> ReadAtExt for R {}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let count = buffer.len().min(self.len() - start);
        buffer[..count].copy_from_slice(&self[start..start + count]);
        Ok(count)
    }

    fn bytes(&self) -> Option<&Bytes> {
        Some(self)
    }
}
