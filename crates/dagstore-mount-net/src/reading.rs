//! The methods of a mount, made of what its source is asked.

use bytes::{Bytes, BytesMut};
use dagstore_mount::{Result, Stat, Streamed};
use futures_util::stream as streams;

use crate::stream::{Body, Resuming, part};
use crate::{Failure, Source, Tries, changed};

/// The most that is set aside for a read before its bytes come.
const SET_ASIDE: usize = 1024 * 1024;

/// [`Mount::stat`](dagstore_mount::Mount::stat) of `source`.
///
/// # Errors
/// As there; what may pass is tried again first.
pub async fn stat<S: Source>(source: &S) -> Result<Stat> {
    let mut tries = Tries::new(source.limits());
    loop {
        match source.stat(&mut tries).await {
            Ok(stat) => return Ok(stat),
            Err(failure) => tries.pause(source.place(), failure).await?,
        }
    }
}

/// [`Mount::stream`](dagstore_mount::Mount::stream) of `source`. What breaks goes on at the next byte, where the source can be held
/// to one content.
///
/// # Errors
/// As there; what may pass is tried again first.
pub async fn stream<S: Source>(source: S, from: u64, of: Option<&Stat>) -> Result<Streamed> {
    let known = match of {
        Some(of) if from < of.size || from == 0 => Some(of.clone()),
        Some(of) => Some(check(&source, of).await?),
        None if from > 0 => Some(stat(&source).await?),
        None => None,
    };
    if let Some(stat) = known.clone().filter(|stat| from > 0 && from >= stat.size) {
        return Ok(Streamed::new(stat, streams::empty()));
    }
    let mut tries = Tries::new(source.limits());
    let (stat, body) = loop {
        match open(&source, from, known.as_ref(), &mut tries).await {
            Ok(opened) => break opened,
            Err(failure) => tries.pause(source.place(), failure).await?,
        }
    };
    let resuming = Resuming::new(source, stat.clone(), body, tries);
    let bytes =
        streams::try_unfold(resuming, async |mut resuming| Ok(resuming.next().await?.map(|piece| (piece, resuming))));
    Ok(Streamed::new(stat, bytes))
}

/// [`Mount::read`](dagstore_mount::Mount::read) of `source`.
///
/// # Errors
/// As there; what may pass is tried again first.
pub async fn read<S: Source>(source: &S, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
    let end = of.size.min(at.saturating_add(len as u64));
    if at >= end {
        check(source, of).await?;
        return Ok(Bytes::new());
    }
    let mut tries = Tries::new(source.limits());
    loop {
        match read_once(source, (at, end), of, &mut tries).await {
            Ok(bytes) => return Ok(bytes),
            Err(failure) => tries.pause(source.place(), failure).await?,
        }
    }
}

/// Looks at the source, and compares.
async fn check<S: Source>(source: &S, of: &Stat) -> Result<Stat> {
    let stat = stat(source).await?;
    if stat.same_content(of) { Ok(stat) } else { Err(changed(source.place())) }
}

/// Begins a stream.
async fn open<S: Source>(
    source: &S,
    from: u64,
    known: Option<&Stat>,
    tries: &mut Tries,
) -> Result<(Stat, Body), Failure> {
    if let Some(of) = known.filter(|_| from > 0) {
        return Ok((of.clone(), part(source, (from, of.size), of, tries).await?));
    }
    let (stat, pieces) = source.whole(known, tries).await?;
    if known.is_some_and(|of| !stat.same_content(of)) {
        return Err(changed(source.place()).into());
    }
    let body = Body::new(pieces, 0, stat.size);
    Ok((stat, body))
}

async fn read_once<S: Source>(
    source: &S,
    (at, end): (u64, u64),
    of: &Stat,
    tries: &mut Tries,
) -> Result<Bytes, Failure> {
    let mut body = part(source, (at, end), of, tries).await?;
    let wanted = usize::try_from(end - at).unwrap_or(usize::MAX);
    let mut bytes = BytesMut::with_capacity(wanted.min(SET_ASIDE));
    while let Some(piece) = body.next(source.place(), of.size, tries).await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}
