//! The walk that an index is built by.

use std::ops::ControlFlow;

use crate::cid::CidParts;
use crate::reader::CarReader;
use crate::section::{Frame, Walk};
use crate::{Error, MultihashRef, Result, Verdict, check};

/// How a CAR is scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ScanOptions {
    /// Whether every block's data is read and hashed.
    pub verify: bool,
}

impl ScanOptions {
    /// With `verify`.
    pub fn verifying(verify: bool) -> Self {
        Self { verify }
    }
}

/// One block on its way into an index.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Scanned<'a> {
    /// The block's multihash.
    pub multihash: MultihashRef<'a>,
    /// From the start of the CARv1 payload to the section's length varint.
    pub offset: u64,
    /// The size of the block's data in bytes.
    pub data_size: u64,
    /// How far the scan is when this block is done, in bytes of the payload.
    pub end: u64,
}

/// What a scan has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ScanSummary {
    /// The number of blocks, duplicates counted.
    pub blocks: u64,
    /// Of these, how many could not be checked (see [`Verdict::Unverifiable`]); 0 where nothing was to be checked.
    pub unverifiable: u64,
}

impl CarReader {
    /// Shows every block to `visit`, in order, until it breaks off. Nothing is allocated per block.
    ///
    /// # Errors
    /// As [`sections`](Self::sections); [`Error::Limit`] for a CID that is too long to be indexed; with `verify`,
    /// [`Error::Integrity`] at the first block that doesn't hash to its CID; [`Error::MalformedIndex`] where a CARv2 has an
    /// inline index that is none, though the blocks are good; [`Error::Cancelled`] when `visit` breaks off.
    pub fn scan(
        &self,
        options: ScanOptions,
        mut visit: impl FnMut(Scanned<'_>) -> ControlFlow<()>,
    ) -> Result<ScanSummary> {
        let mut walk = self.walk();
        let mut summary = ScanSummary::default();
        while let Some(frame) = walk.next_frame()? {
            walk.next = frame.end();
            let (flow, checked) = if options.verify {
                verified(&mut walk, frame, &mut visit)?
            } else {
                (jumped(&mut walk, frame, &mut visit)?, true)
            };
            summary.blocks += 1;
            summary.unverifiable += u64::from(!checked);
            if flow.is_break() {
                return Err(Error::Cancelled);
            }
        }
        self.check_inline_index()?;
        Ok(summary)
    }
}

fn jumped(
    walk: &mut Walk,
    frame: Frame,
    visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let limits = walk.options.limits.clone();
    let flow = walk.with_cid(frame, Some(&limits), |parts| visit(scanned(frame, parts)))?;
    walk.window.adapt(frame.length);
    Ok(flow)
}

/// Reads the whole section and hashes its data. Also tells whether there is a verdict on it.
fn verified(
    walk: &mut Walk,
    frame: Frame,
    visit: &mut impl FnMut(Scanned<'_>) -> ControlFlow<()>,
) -> Result<(ControlFlow<()>, bool)> {
    let limits = walk.options.limits.clone();
    walk.with_cid(frame, Some(&limits), |_| ())?;
    let length = usize::try_from(frame.length).unwrap_or(usize::MAX);
    let section = walk.window.bytes(walk.payload_offset + frame.cid_offset, length)?;
    let truncated = Error::UnexpectedEof { offset: frame.offset, what: "a section" };
    if section.len() < length {
        return Err(truncated);
    }
    let Some(parts) = frame.cid(section)? else { return Err(truncated) };
    let verdict = check(parts.multihash, &section[parts.bytes.len()..]);
    if verdict == Verdict::Differs {
        return Err(Error::Integrity { cid: parts.into(), offset: frame.offset });
    }
    Ok((visit(scanned(frame, parts)), verdict == Verdict::Matches))
}

fn scanned(frame: Frame, parts: CidParts<'_>) -> Scanned<'_> {
    Scanned {
        multihash: parts.multihash,
        offset: frame.offset,
        data_size: frame.length - parts.bytes.len() as u64,
        end: frame.end(),
    }
}
