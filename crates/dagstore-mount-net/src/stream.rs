//! The bytes of an answer, and streams that go on where they broke.

use std::time::Duration;

use bytes::Bytes;
use dagstore_mount::{Error, Result, Stat};
use futures_util::TryStreamExt;
use tokio::time::Instant;

use crate::{Broken, Failure, Part, Pieces, Source, Tries, bad_answer};

/// How far a stream has to come on before its errors are forgotten.
const PROGRESS: u64 = 1024 * 1024;

/// The bytes of one answer.
pub(crate) struct Body {
    pieces: Pieces,
    /// Where the next byte is in the source, and where the last one is to be.
    at: u64,
    end: u64,
    window: Window,
}

/// What has come since when, for the floor on the rate.
#[derive(Debug, Default)]
struct Window {
    bytes: u64,
    waited: Duration,
}

impl Body {
    pub(crate) fn new(pieces: Pieces, at: u64, end: u64) -> Self {
        Self { pieces, at, end, window: Window::default() }
    }

    /// The next bytes; `None` when all have come.
    pub(crate) async fn next(&mut self, place: &str, size: u64, tries: &mut Tries) -> Result<Option<Bytes>, Failure> {
        loop {
            let begun = Instant::now();
            let idle = tries.limits().idle;
            let piece = tries.wait(place, "a pause in an answer", idle, self.pieces.try_next()).await?;
            self.window.waited += begun.elapsed();
            // However it ended, it ended before it should.
            let piece = piece.map_err(|Broken| Failure::truncated(place, self.at, size))?;
            let Some(piece) = piece else {
                let is_whole = self.at == self.end;
                return if is_whole { Ok(None) } else { Err(Failure::truncated(place, self.at, size)) };
            };
            let count = piece.len() as u64;
            if count > self.end - self.at {
                let why = format!("it sends more bytes than it told, beyond byte {} of {size}", self.end);
                return Err(bad_answer(place, why).into());
            }
            self.at += count;
            self.window.bytes += count;
            self.check_rate(place, tries)?;
            if count > 0 {
                return Ok(Some(piece));
            }
        }
    }

    fn check_rate(&mut self, place: &str, tries: &Tries) -> Result<(), Failure> {
        let limits = tries.limits();
        if self.window.waited < limits.rate_window || self.at == self.end {
            return Ok(());
        }
        let Window { bytes, waited } = std::mem::take(&mut self.window);
        let wanted = waited.as_millis() * u128::from(limits.least_rate) / 1000;
        if u128::from(bytes) < wanted {
            return Err(Failure::timed_out(place, &format!("the next {wanted} bytes"), waited));
        }
        Ok(())
    }
}

/// A stream of one content, over as many answers as it takes.
pub(crate) struct Resuming<S> {
    source: S,
    stat: Stat,
    body: Option<Body>,
    at: u64,
    since: u64,
    tries: Tries,
}

impl<S: Source> Resuming<S> {
    pub(crate) fn new(source: S, stat: Stat, body: Body, tries: Tries) -> Self {
        let at = body.at;
        Self { source, stat, body: Some(body), at, since: at, tries }
    }

    /// The next bytes; `None` when all have come.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.try_next().await {
                Ok(Some(piece)) => {
                    self.at += piece.len() as u64;
                    if self.at - self.since >= PROGRESS {
                        self.since = self.at;
                        self.tries.forget();
                    }
                    return Ok(Some(piece));
                }
                Ok(None) => return Ok(None),
                Err(failure) => self.after(failure).await?,
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<Bytes>, Failure> {
        let body = match &mut self.body {
            Some(body) => body,
            None => self.body.insert(part(&self.source, (self.at, self.stat.size), &self.stat, &mut self.tries).await?),
        };
        body.next(self.source.place(), self.stat.size, &mut self.tries).await
    }

    /// Pauses, and goes on with another answer, where the two are sure to be of one content.
    async fn after(&mut self, failure: Failure) -> Result<()> {
        if held::<S>(&self.stat).is_none() || self.at == self.stat.size {
            return Err(failure.error);
        }
        self.body = None;
        self.tries.pause(self.source.place(), failure).await
    }
}

/// The bytes from `first` up to `end` of the content `of`, asked for once.
pub(crate) async fn part<S: Source>(
    source: &S,
    (first, end): (u64, u64),
    of: &Stat,
    tries: &mut Tries,
) -> Result<Body, Failure> {
    let Some(validator) = held::<S>(of) else {
        return Err(Error::SequentialOnly { place: source.place().to_owned(), why: S::NO_VALIDATOR }.into());
    };
    let pieces = source.part(Part { first, last: end - 1, of, validator }, tries).await?;
    Ok(Body::new(pieces, first, end))
}

/// The validator under which parts of a content are asked for.
fn held<S: Source>(of: &Stat) -> Option<&str> {
    S::validator(of).filter(|_| !of.sequential_only)
}
