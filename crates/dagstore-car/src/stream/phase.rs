//! Where in a CAR a stream is.

use crate::index::{Need, Structure};
use crate::{Error, Result};

/// What the next bytes are.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// The length and the map of the CARv1 header that begins at `start`.
    Header { start: u64 },
    /// What stands behind the pragma.
    V2Head,
    /// `left` bytes that mean nothing, and `then` something else.
    Skip { left: u64, then: Box<Self> },
    /// Sections. The chunk `wants` so many bytes more before it is looked at.
    Sections { wants: usize },
    /// The inline index.
    Index(Structure),
    /// Nothing of interest.
    #[default]
    Rest,
}

/// Takes some of `bytes`, with what has come of the front of a part of the index in `front`.
pub(super) fn take_index(structure: &mut Structure, front: &mut Vec<u8>, bytes: &[u8]) -> Result<usize> {
    match structure.need() {
        Need::Done => Ok(bytes.len()),
        Need::Skip(count) => {
            let taken = usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len());
            structure.skip(taken as u64);
            Ok(taken)
        }
        Need::Bytes(count) => {
            let taken = super::gather(front, bytes, count);
            if front.len() == count {
                structure.take(front)?;
                front.clear();
            }
            Ok(taken)
        }
    }
}

/// Whether the index was whole.
pub(super) fn end_index(structure: &Structure) -> Result<(), Error> {
    if structure.need() == Need::Done { Ok(()) } else { Err(structure.cut_short()) }
}
