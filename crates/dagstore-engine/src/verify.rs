//! Verifying a shard: every block against its CID, against the full index, and against the inverted index.

use std::sync::Arc;

use dagstore_car::{CarReader, MultihashRef, RawCid, Section, Sections, Verdict};
use dagstore_index::Location;
use dagstore_types::Registration;
use futures_util::{Stream, StreamExt, stream};

use crate::accessor::OpenShard;
use crate::core::Core;
use crate::indexer::{Candidate, Indexer, is_indexed};
use crate::{Engine, Error, Result, ShardAccessor, walk};

/// What is looked at of each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Verify {
    /// Whether the indices name it, where it is.
    Index,
    /// Its data as well, which is read and hashed.
    #[default]
    Data,
}

/// How far the verification is, and what it has found since it was last told.
#[derive(Debug)]
#[non_exhaustive]
pub struct Verified {
    /// Blocks that are done.
    pub blocks: u64,
    /// Bytes of the CARv1 payload that are done.
    pub done_bytes: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Something that is wrong with a shard.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The block, where it is one.
    pub cid: Option<RawCid>,
    /// Where the block's section begins, in bytes from the start of the CARv1 payload.
    pub offset: Option<u64>,
    /// What is wrong.
    pub problem: Problem,
}

/// What can be wrong with a shard.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The data doesn't hash to the CID.
    #[error("its data doesn't hash to its CID")]
    Differs,
    /// Nobody can tell: the hash function is unknown, or the digest too short to vouch for anything.
    #[error("its data can't be checked, because its hash is unknown or too short")]
    Unverifiable,
    /// The block, or what follows in the CAR, can't be read.
    #[error("the CAR can't be read")]
    Unreadable(#[source] dagstore_car::Error),
    /// The full index doesn't have the block.
    #[error("the full index doesn't name it")]
    NotIndexed,
    /// The full index has the block at another place, or with another size.
    #[error("the full index has it at another place, or with another size")]
    Misindexed,
    /// The full index can't be read where the block should be.
    #[error("the full index can't be read")]
    IndexUnreadable(#[source] dagstore_index::Error),
    /// The full index has more or fewer entries than the CAR has blocks.
    #[error("the full index has {entries} entries, and the CAR {blocks} blocks to be indexed")]
    Entries {
        /// Entries of the index.
        entries: u64,
        /// Blocks of the CAR that are to be indexed.
        blocks: u64,
    },
    /// The inverted index doesn't tell the shard for the block.
    #[error("the inverted index doesn't tell this shard for it")]
    NotInverted,
}

impl Problem {
    /// The problem's name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Differs => "differs",
            Self::Unverifiable => "unverifiable",
            Self::Unreadable(_) => "unreadable",
            Self::NotIndexed => "not-indexed",
            Self::Misindexed => "misindexed",
            Self::IndexUnreadable(_) => "index-unreadable",
            Self::Entries { .. } => "entries",
            Self::NotInverted => "not-inverted",
        }
    }
}

impl Engine {
    /// Verifies a shard of this store, block by block in the order of the CAR: the stream tells how far it is at each. Nothing is
    /// changed. The inverted index is looked at where the store has one. Whoever wants a lower rate reads the stream slowly: it
    /// is ahead by a piece at most, of some milliseconds. An error ends the stream, and is none of the shard's.
    ///
    /// The stream's errors: [`Error::Provisional`], [`Error::InvertedIncomplete`], [`Error::InvertedWaits`], [`Error::Index`] where the inverted index can't be read,
    /// [`Error::Closed`].
    pub fn verify<'a>(
        &self,
        shard: &'a ShardAccessor,
        what: Verify,
    ) -> impl Stream<Item = Result<Verified>> + Send + Unpin + use<'a> {
        let open = shard.shard();
        let registration = open.index.meta().name.registration;
        let core = self.core.clone();
        let incomplete = core.inverted.as_ref().and_then(|inverted| inverted.check_complete().err());
        let refused = if open.provisional.is_some() {
            Some(Err(Error::Provisional(open.key.clone())))
        } else {
            incomplete.map(Err)
        };
        let sections = refused.is_none().then(|| open.reader.sections());
        let indexer = core.options.indexer.clone();
        let checks = Checks { shard: open.clone(), sections, what, indexer, blocks: 0, to_index: 0, done_bytes: 0 };
        let checked = walk::in_pieces(open.blocking, checks).then(move |step| {
            let core = core.clone();
            async move {
                open.look_after_copy().await;
                with_row(&core, registration, step?).await
            }
        });
        stream::iter(refused).chain(checked).boxed()
    }
}

/// The same, with what the inverted index has to say.
async fn with_row(core: &Arc<Core>, registration: Registration, step: Step) -> Result<Verified> {
    let Step { mut verified, block } = step;
    if let (Some(inverted), Some((cid, offset))) = (&core.inverted, block) {
        let before = registration.0.checked_sub(1).map(Registration);
        let found = core.unless_closed(inverted.index.find(cid.multihash(), before, 1)).await??;
        if found.first() != Some(&registration) {
            verified.findings.push(Finding::of(cid, offset, Problem::NotInverted));
        }
    }
    Ok(verified)
}

/// The part of the verification that blocks its thread.
struct Checks {
    shard: Arc<OpenShard>,
    /// `None` at the end.
    sections: Option<Sections>,
    what: Verify,
    indexer: Option<Arc<dyn Indexer>>,
    blocks: u64,
    /// Blocks that the full index should have.
    to_index: u64,
    done_bytes: u64,
}

/// What was checked of a block.
struct Step {
    verified: Verified,
    /// Where it is one that is indexed.
    block: Option<(RawCid, u64)>,
}

impl Iterator for Checks {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = match self.sections.as_mut()?.next() {
            Some(Ok(section)) => self.block(section),
            Some(Err(error)) => {
                // Behind it nothing can be told apart, nor counted.
                self.sections = None;
                self.shard.doubt_copy();
                self.step(vec![Finding::of_shard(Problem::Unreadable(error))], None)
            }
            None => {
                self.sections = None;
                let (entries, blocks) = (self.shard.index.len(), self.to_index);
                let differs = (entries != blocks).then_some(Problem::Entries { entries, blocks });
                self.step(differs.into_iter().map(Finding::of_shard).collect(), None)
            }
        };
        Some(Ok(step))
    }
}

impl Checks {
    fn step(&self, findings: Vec<Finding>, block: Option<(RawCid, u64)>) -> Step {
        Step { verified: Verified { blocks: self.blocks, done_bytes: self.done_bytes, findings }, block }
    }

    fn block(&mut self, section: Section) -> Step {
        let Section { offset, data_size, .. } = section;
        let candidate = Candidate { shard: &self.shard.key, multihash: section.cid.multihash(), offset, data_size };
        let is_indexed = is_indexed(self.indexer.as_deref(), &candidate);
        self.blocks += 1;
        self.to_index += u64::from(is_indexed);
        self.done_bytes = section.data_offset + section.data_size;
        let of_data = if self.what == Verify::Data { check_data(&self.shard.reader, &section) } else { None };
        if matches!(of_data, Some(Problem::Differs | Problem::Unreadable(_))) {
            self.shard.doubt_copy();
        }
        let of_index = if is_indexed { check_index(&self.shard, &section) } else { None };
        let problems = [of_data, of_index].into_iter().flatten();
        let findings = problems.map(|problem| Finding::of(section.cid.clone(), offset, problem)).collect();
        self.step(findings, is_indexed.then_some((section.cid, offset)))
    }
}

fn check_data(reader: &CarReader, section: &Section) -> Option<Problem> {
    let size = u32::try_from(section.data_size).ok();
    match reader.read_block(section.offset, size) {
        Err(error) => Some(Problem::Unreadable(error)),
        Ok(block) => match dagstore_car::check(section.cid.multihash(), &block.data) {
            Verdict::Matches => None,
            Verdict::Differs => Some(Problem::Differs),
            Verdict::Unverifiable => Some(Problem::Unverifiable),
        },
    }
}

/// Of a multihash that comes several times, only the first place is looked at: a hostile CAR may have millions of it. The number
/// of entries tells whether one of the others is missing.
fn check_index(shard: &OpenShard, section: &Section) -> Option<Problem> {
    let multihash = section.cid.multihash();
    match shard.find_first(multihash) {
        Err(error) => Some(Problem::IndexUnreadable(error)),
        Ok(None) => Some(Problem::NotIndexed),
        Ok(Some(first)) if first.offset == section.offset => {
            let is_size = first.size.is_none_or(|size| u64::from(size) == section.data_size);
            (!is_size).then_some(Problem::Misindexed)
        }
        Ok(Some(first)) if first.offset < section.offset && is_at(&shard.reader, first, multihash) => None,
        Ok(Some(_)) => Some(Problem::Misindexed),
    }
}

fn is_at(reader: &CarReader, place: Location, multihash: MultihashRef<'_>) -> bool {
    reader.read_block(place.offset, place.size).is_ok_and(|block| block.cid.multihash() == multihash)
}

impl Finding {
    fn of(cid: RawCid, offset: u64, problem: Problem) -> Self {
        Self { cid: Some(cid), offset: Some(offset), problem }
    }

    fn of_shard(problem: Problem) -> Self {
        Self { cid: None, offset: None, problem }
    }
}
