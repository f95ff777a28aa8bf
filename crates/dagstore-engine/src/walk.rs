//! Walking a shard in pieces, so that a large CAR doesn't keep a thread of the runtime from other work.

use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;

use crate::{Blocking, Error, Result};

/// The most steps of the first piece, so that whoever wants the first few only doesn't wait for many.
const FIRST_PIECE: usize = 16;

/// The most steps of a piece.
const LONGEST_PIECE: usize = 1024;

/// A piece ends when this time is over, or soon after it: what was dropped in the middle of one ends then, too.
const PIECE_TIME: Duration = Duration::from_millis(5);

/// The steps of `walk`, taken in pieces. A walk that is dropped ends with the piece that it is at.
pub(crate) fn in_pieces<T: Send + 'static>(
    blocking: Blocking,
    walk: impl Iterator<Item = Result<T>> + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    let pieces = stream::unfold(Some((walk, FIRST_PIECE)), move |left| async move {
        let (walk, most) = left?;
        let (piece, walk) = match off_the_runtime(blocking, move || piece(walk, most)).await {
            Ok(walked) => walked,
            Err(error) => (vec![Err(error)], None),
        };
        Some((stream::iter(piece), walk.map(|walk| (walk, most.saturating_mul(4).min(LONGEST_PIECE)))))
    });
    pieces.flatten().boxed()
}

/// Some steps of a walk, and the rest of it; `None` at its end.
fn piece<I: Iterator>(mut walk: I, most: usize) -> (Vec<I::Item>, Option<I>) {
    let begin = Instant::now();
    let mut piece = Vec::new();
    while piece.len() < most && begin.elapsed() < PIECE_TIME {
        match walk.next() {
            Some(step) => piece.push(step),
            None => return (piece, None),
        }
    }
    (piece, Some(walk))
}

/// What `work` gives, done where it may block its thread. The runtime is that of the caller, because an accessor may outlive
/// the store's own; where there is none, nobody else is held up.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    blocking: Blocking,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (Blocking::Threads, Ok(runtime)) = (blocking, Handle::try_current()) else { return Ok(work()) };
    runtime.spawn_blocking(work).await.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(_runtime_ends) => Error::Closed,
    })
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, TryStreamExt};

    use super::*;

    #[tokio::test]
    async fn pieces_are_the_walk() {
        for blocking in [Blocking::Threads, Blocking::Inline] {
            let steps: Vec<u32> = in_pieces(blocking, (0..5000).map(Ok)).try_collect().await.unwrap();
            assert_eq!(steps, (0..5000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_walk_needs_no_runtime() {
        let steps = in_pieces(Blocking::Threads, (0..3).map(Ok)).try_collect::<Vec<u32>>().now_or_never();
        assert_eq!(steps.unwrap().unwrap(), [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_walk_goes_no_further_than_it_is_asked_to() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let endless = (0_u64..).map(move |step| {
            sender.send(step).unwrap();
            Ok(step)
        });
        let mut walk = in_pieces(Blocking::Threads, endless);
        walk.next().await.unwrap().unwrap();
        drop(walk);
        assert!(receiver.iter().count() <= FIRST_PIECE);
    }
}
