//! Who looks at the bytes while they pass.

use std::ops::ControlFlow;

/// Looks at the bytes of a copy while they are fetched, so that they are read once.
pub trait Observer: Send {
    /// The next bytes. They come in order and without a gap from offset 0, those that an earlier fetch left on disk among
    /// them, and all are of one content. Called on a thread for blocking work; the fetch waits, and so does its source.
    ///
    /// `Break` ends the fetch with [`Error::Stopped`](crate::Error::Stopped).
    ///
    /// That all bytes were seen is known when the fetch has succeeded, and
    /// [`Lease::was_observed`](crate::Lease::was_observed) says so.
    fn chunk(&mut self, offset: u64, bytes: &[u8]) -> ControlFlow<()>;
}

impl<F: FnMut(u64, &[u8]) -> ControlFlow<()> + Send> Observer for F {
    fn chunk(&mut self, offset: u64, bytes: &[u8]) -> ControlFlow<()> {
        self(offset, bytes)
    }
}
