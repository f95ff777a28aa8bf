//! A source whose answers a test makes.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use dagstore_mount::{Result, Stat};
use dagstore_mount_net::{Broken, Failure, Limits, Part, Pieces, Source, Tries};
use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

pub(crate) const SIZE: u64 = 8 << 20;
pub(crate) const PIECE: u64 = 256 << 10;

/// What comes of an answer: up to this byte of what was asked for, each piece after a pause, and then a break.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    pub(crate) stat: Stat,
    pub(crate) limits: Limits,
    /// How many bytes an answer has before it breaks.
    pub(crate) breaks_after: u64,
    /// How many bytes it has more, or fewer, than were asked for.
    pub(crate) too_many: i64,
    pub(crate) pause: Duration,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
}

/// First and last byte of what was asked for; all of it is `None`.
pub(crate) type Asked = Option<(u64, u64)>;

impl Scripted {
    pub(crate) fn good() -> Self {
        Self {
            stat: Stat::new(SIZE, Some("one".to_owned())),
            limits: Limits::default(),
            breaks_after: u64::MAX,
            too_many: 0,
            pause: Duration::ZERO,
            asked: Arc::default(),
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    fn answer(&self, first: u64, end: u64) -> Pieces {
        let (end, pause) = (end.strict_add_signed(self.too_many), self.pause);
        let breaks_at = first.saturating_add(self.breaks_after);
        let pieces = (first..end).step_by(usize::try_from(PIECE).unwrap()).map(move |at| {
            let piece = slice(at, end.min(at + PIECE));
            if at >= breaks_at { Err(Broken) } else { Ok(piece) }
        });
        let waited = move |piece| async move {
            tokio::time::sleep(pause).await;
            piece
        };
        stream::iter(pieces).then(waited).boxed()
    }
}

impl Source for Scripted {
    const NO_VALIDATOR: &str = "a test says so";

    fn place(&self) -> &'static str {
        "scripted"
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn validator(of: &Stat) -> Option<&str> {
        of.validator.as_deref()
    }

    async fn stat(&self, _tries: &mut Tries) -> Result<Stat, Failure> {
        Ok(self.stat.clone())
    }

    async fn whole(&self, _of: Option<&Stat>, _tries: &mut Tries) -> Result<(Stat, Pieces), Failure> {
        self.asked.lock().push(None);
        Ok((self.stat.clone(), self.answer(0, self.stat.size)))
    }

    async fn part(&self, part: Part<'_>, _tries: &mut Tries) -> Result<Pieces, Failure> {
        assert_eq!(Some(part.validator), part.of.validator.as_deref());
        self.asked.lock().push(Some((part.first, part.last)));
        Ok(self.answer(part.first, part.last + 1))
    }
}

/// What there is, and one byte more.
static CONTENT: LazyLock<Bytes> = LazyLock::new(|| (0..=SIZE).map(|at| (at / 251 + at).to_le_bytes()[0]).collect());

fn slice(first: u64, end: u64) -> Bytes {
    CONTENT.slice(usize::try_from(first).unwrap()..usize::try_from(end).unwrap())
}

/// What a stream gives, compared with what it should, and its length.
pub(crate) async fn streamed(source: &Scripted, from: u64) -> Result<u64> {
    let mut bytes = dagstore_mount_net::stream(source.clone(), from, None).await?.bytes;
    let mut at = from;
    while let Some(piece) = bytes.try_next().await? {
        assert!(piece == slice(at, at + piece.len() as u64), "at {at}");
        at += piece.len() as u64;
    }
    Ok(at - from)
}
