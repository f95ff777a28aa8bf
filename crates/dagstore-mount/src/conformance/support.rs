//! What the checks share.

use bytes::Bytes;
use futures_util::TryStreamExt;

use crate::{Error, Mount, Result, Stat};

/// Nothing, or what is wrong.
pub(super) type Outcome<T = ()> = core::result::Result<T, String>;

/// What is checked.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) template: &'a dyn Mount,
    pub(super) mount: &'a dyn Mount,
    pub(super) content: &'a [u8],
}

impl Subject<'_> {
    pub(super) fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// Places in the content: both ends, the middle, and beside them.
    pub(super) fn places(&self) -> Vec<usize> {
        let length = self.content.len();
        let mut places = vec![0, 1, length / 2, length.saturating_sub(1), length];
        places.retain(|place| *place <= length);
        places.dedup();
        places
    }

    pub(super) async fn stat(&self) -> Outcome<Stat> {
        self.mount.stat().await.map_err(|error| format!("stat: {error}"))
    }
}

/// Ends a check unless something holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}
pub(super) use ensure;

/// A whole stream.
pub(super) async fn stream(mount: &dyn Mount, from: u64, of: Option<&Stat>) -> Result<Vec<u8>> {
    let pieces: Vec<Bytes> = mount.stream(from, of).await?.bytes.try_collect().await?;
    Ok(pieces.concat())
}

/// Bytes are told by their number: contents can be long.
pub(super) fn told(bytes: &Result<impl AsRef<[u8]>>) -> String {
    match bytes {
        Ok(bytes) => format!("{} bytes", bytes.as_ref().len()),
        Err(error) => format!("the error {error:?}"),
    }
}

pub(super) fn is_changed<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::SourceChanged { .. }))
}

pub(super) fn is_sequential_only<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::SequentialOnly { .. }))
}
