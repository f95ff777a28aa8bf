//! CARv1 and CARv2: reading at any place, checking blocks against their CIDs, walking a CAR for indexing, writing.
//!
//! * [`CarReader`] opens a CAR over positioned reads; [`CarReader::sections`] iterates, [`CarReader::read_block`] reads one
//!   block, [`CarReader::scan`] is the walk that an index is built by, [`CarReader::inspect`] tells what is in it and all that is wrong.
//! * [`StreamScanner`] is that walk while the bytes of a CAR arrive.
//! * `SectionStream`, with the feature `stream`, gives the sections of an asynchronous stream of bytes.
//! * [`RawCid`] and [`MultihashRef`] are CIDs and multihashes of any digest length, kept as their bytes.
//! * [`check`] says whether data hashes to a multihash.
//! * [`GoIndex`] and [`GoIndexBuilder`] read and write go-car's indices; [`CarReader::compare_index`] holds one against a CAR.
//! * [`CarWriter`], [`V2Writer`], [`CarReader::wrap`] and [`v2_head`] write.
//!
//! The formats: <https://ipld.io/specs/transport/car/>. Whatever is malformed is an [`Error`] with its offset; nothing is
//! allocated from a length field that what is really there doesn't bound; an inline index is checked, never believed.
#![forbid(unsafe_code)]

mod chunk;
mod cid;
mod distinct;
mod error;
mod header;
mod index;
mod inspect;
mod limits;
mod parallel;
mod reader;
mod scan;
mod section;
mod stream;
mod v2;
mod varint;
mod verify;
mod window;
mod writer;
mod writer_v2;

pub use cid::{InvalidCid, MultihashRef, RawCid};
pub use error::Error;
pub use header::Header;
pub use index::{GoIndex, GoIndexBuilder, IndexCodec, IndexFinding, IndexRecord, IndexReport};
pub use inspect::{Ending, Finding, InspectOptions, Inspection, Lengths, Place, Tally};
pub use limits::{Limits, ReadOptions};
pub use reader::{Block, CarReader};
pub use scan::{ScanOptions, ScanSummary, Scanned};
pub use section::{Section, Sections};
#[cfg(feature = "stream")]
pub use stream::SectionStream;
pub use stream::StreamScanner;
pub use v2::{Characteristics, V2Header};
pub use verify::{Verdict, check};
pub use writer::{CarWriter, v2_head};
pub use writer_v2::{V2Options, V2Writer};

/// The crate's result.
pub type Result<T, E = Error> = core::result::Result<T, E>;
