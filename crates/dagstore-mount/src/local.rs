//! Streams and reads of sources that are opened on this machine.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use dagstore_fs::ReadAt;
use futures_util::stream;

use crate::{Error, Opened, Result, Stat, Streamed};

/// How much of a stream is read at once.
const PIECE_BYTES: u64 = 256 * 1024;

/// The bytes of `opened` from `from` on.
pub(crate) fn stream(opened: Opened, from: u64, of: Option<&Stat>, place: String) -> Result<Streamed> {
    let stat = opened.stat.clone();
    check(&stat, of, &place)?;
    let source = Source { opened, place: place.into() };
    let bytes = stream::try_unfold((source, from), async |(source, at)| {
        let wanted = source.opened.stat.size.saturating_sub(at).min(PIECE_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        let piece = source.read(at, wanted).await?;
        Ok(Some((piece, (source, at + wanted))))
    });
    Ok(Streamed::new(stat, bytes))
}

/// Up to `len` bytes of `opened` at `at`.
pub(crate) async fn read(opened: Opened, at: u64, len: usize, of: &Stat, place: String) -> Result<Bytes> {
    check(&opened.stat, Some(of), &place)?;
    let wanted = opened.stat.size.saturating_sub(at).min(len as u64);
    Source { opened, place: place.into() }.read(at, wanted).await
}

fn check(stat: &Stat, of: Option<&Stat>, place: &str) -> Result<()> {
    if of.is_none_or(|of| of.same_content(stat)) {
        return Ok(());
    }
    Err(Error::SourceChanged { place: place.to_owned() })
}

#[derive(Debug)]
struct Source {
    opened: Opened,
    place: Arc<str>,
}

impl Source {
    /// Exactly `wanted` bytes, which are there as far as was known when the source was opened.
    async fn read(&self, at: u64, wanted: u64) -> Result<Bytes> {
        let reader = self.opened.reader.clone();
        let place = self.place.clone();
        if let Some(bytes) = reader.bytes() {
            return slice(bytes, at, wanted).ok_or_else(|| Error::SourceChanged { place: place.to_string() });
        }
        let read = move || read_exactly(&*reader, at, wanted, &place);
        let failed = |error| Error::from_io(&self.place, io::Error::other(error));
        tokio::task::spawn_blocking(read).await.map_err(failed)?
    }
}

fn slice(bytes: &Bytes, at: u64, wanted: u64) -> Option<Bytes> {
    let start = usize::try_from(at).ok()?.min(bytes.len());
    let end = start.checked_add(usize::try_from(wanted).ok()?)?;
    (end <= bytes.len()).then(|| bytes.slice(start..end))
}

fn read_exactly(reader: &dyn ReadAt, at: u64, wanted: u64, place: &str) -> Result<Bytes> {
    let failed = |error| Error::from_io(place, error);
    let length = usize::try_from(wanted).map_err(|error| failed(io::Error::other(error)))?;
    let mut buffer = vec![0; length];
    let count = reader.read_at(at, &mut buffer).map_err(failed)?;
    // Looked at after the bytes were read, so that none of them were written later than what is compared.
    if count < length || !reader.is_unchanged().map_err(failed)? {
        return Err(Error::SourceChanged { place: place.to_owned() });
    }
    Ok(buffer.into())
}
