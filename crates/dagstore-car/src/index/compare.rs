//! An index held against the payload that it is said to be of.

use std::ops::ControlFlow;

use crate::section::Walk;
use crate::{CarReader, Error, GoIndex, IndexRecord, RawCid, Result};

/// What is wrong with an index. Offsets are counted from the start of the CARv1 payload, places from the start of the file
/// that the index is in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexFinding {
    /// A record's offset isn't the beginning of a section.
    #[error("the index record at {place} points to offset {offset}, where no section begins")]
    NotASection {
        /// Where the record is.
        place: u64,
        /// What it says.
        offset: u64,
    },
    /// A record points to a section that has another multihash.
    #[error("the index record at {place} points to offset {offset}, where {cid} is, which has another multihash")]
    OtherBlock {
        /// Where the record is.
        place: u64,
        /// What it says.
        offset: u64,
        /// What is there.
        cid: RawCid,
    },
    /// A section that another record has pointed to already.
    #[error("the index record at {place} points to offset {offset} once more")]
    Repeated {
        /// Where the record is.
        place: u64,
        /// What it says.
        offset: u64,
    },
    /// A record is sorted after a greater one, so look-ups miss records.
    #[error("the index record at {place} isn't in order")]
    Unsorted {
        /// Where the record is.
        place: u64,
    },
    /// No record points to a section.
    #[error("the index has no record for the section at offset {offset}, {cid}")]
    Missing {
        /// Where the section begins.
        offset: u64,
        /// Its CID.
        cid: RawCid,
    },
    /// There is something behind the index.
    #[error("{bytes} bytes after the index")]
    Trailing {
        /// How much.
        bytes: u64,
    },
}

impl IndexFinding {
    /// The finding's name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotASection { .. } => "index-not-a-section",
            Self::OtherBlock { .. } => "index-other-block",
            Self::Repeated { .. } => "index-repeated",
            Self::Unsorted { .. } => "index-unsorted",
            Self::Missing { .. } => "index-missing",
            Self::Trailing { .. } => "index-trailing",
        }
    }

    /// The offset in the payload that it is about, right or wrong; `None` where it is about the index alone.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::NotASection { offset, .. }
            | Self::OtherBlock { offset, .. }
            | Self::Repeated { offset, .. }
            | Self::Missing { offset, .. } => Some(*offset),
            Self::Unsorted { .. } | Self::Trailing { .. } => None,
        }
    }

    /// The CID of the section there, where it belongs to the finding.
    pub fn cid(&self) -> Option<&RawCid> {
        match self {
            Self::OtherBlock { cid, .. } | Self::Missing { cid, .. } => Some(cid),
            _ => None,
        }
    }
}

/// What comparing an index with a payload has given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexReport {
    /// The number of records.
    pub records: u64,
    /// The number of sections in the payload.
    pub sections: u64,
    /// What is wrong: records in their order, then sections without one.
    pub findings: Vec<IndexFinding>,
    /// How many more findings there are than fitted.
    pub left_out: u64,
}

impl CarReader {
    /// Holds an index against the payload: each record must point to a section that has its multihash, and each section
    /// must have a record, identity CIDs only `with_identity`. At most `most_findings` are listed. Takes 9 bytes of memory for each
    /// section, and one read for each record.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::IndexIo`], and those of [`sections`](Self::sections). What is wrong with the index is no error but a finding.
    pub fn compare_index(&self, index: &GoIndex, with_identity: bool, most_findings: usize) -> Result<IndexReport> {
        match compare(self, index, with_identity, most_findings)? {
            (report, None) => Ok(report),
            (_, Some(error)) => Err(error),
        }
    }
}

/// Compares as far as the payload can be read, and tells the error that ends it.
pub(crate) fn compare(
    reader: &CarReader,
    index: &GoIndex,
    with_identity: bool,
    most: usize,
) -> Result<(IndexReport, Option<Error>)> {
    let mut starts = Vec::new();
    let mut ended = None;
    for section in reader.sections() {
        match section {
            Ok(section) => starts.push(section.offset),
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => ended = Some(error),
        }
    }
    let has_record = vec![false; starts.len()];
    let report = IndexReport { sections: starts.len() as u64, ..IndexReport::default() };
    let mut walk = reader.walk();
    walk.window.adapt(u64::MAX);
    let mut comparison = Comparison { walk, starts, has_record, report, most, previous: None };
    let mut failed = None;
    let scanned = index.scan(|record| match comparison.record(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    scanned?;
    comparison.missing(reader, with_identity)?;
    if index.trailing_bytes() > 0 {
        comparison.found(IndexFinding::Trailing { bytes: index.trailing_bytes() });
    }
    Ok((comparison.report, ended))
}

struct Comparison {
    walk: Walk,
    /// Where sections begin, ascending.
    starts: Vec<u64>,
    has_record: Vec<bool>,
    report: IndexReport,
    most: usize,
    /// Hash function and digest of the record before.
    previous: Option<(Option<u64>, Vec<u8>)>,
}

impl Comparison {
    fn record(&mut self, record: IndexRecord<'_>) -> Result<()> {
        let IndexRecord { place, offset, .. } = record;
        self.report.records += 1;
        self.order(record);
        let Ok(number) = self.starts.binary_search(&offset) else {
            self.found(IndexFinding::NotASection { place, offset });
            return Ok(());
        };
        self.walk.next = offset;
        // It was a section when the payload was walked.
        let ended = Error::UnexpectedEof { offset, what: "a section" };
        let Some(frame) = self.walk.next_frame()? else { return Err(ended) };
        let other = self.walk.with_cid(frame, None, |cid| {
            let same_code = record.code.is_none_or(|code| code == cid.multihash.code());
            let same = same_code && cid.multihash.digest() == record.digest;
            (!same).then(|| RawCid::from(cid))
        })?;
        if let Some(cid) = other {
            self.found(IndexFinding::OtherBlock { place, offset, cid });
        } else if std::mem::replace(&mut self.has_record[number], true) {
            self.found(IndexFinding::Repeated { place, offset });
        }
        Ok(())
    }

    fn order(&mut self, record: IndexRecord<'_>) {
        match &mut self.previous {
            Some((code, digest)) if *code == record.code && digest.len() == record.digest.len() => {
                let is_less = record.digest < &digest[..];
                digest.copy_from_slice(record.digest);
                if is_less {
                    self.found(IndexFinding::Unsorted { place: record.place });
                }
            }
            previous => *previous = Some((record.code, record.digest.to_vec())),
        }
    }

    fn missing(&mut self, reader: &CarReader, with_identity: bool) -> Result<()> {
        if self.has_record.iter().all(|has_record| *has_record) {
            return Ok(());
        }
        for (number, section) in reader.sections().take(self.starts.len()).enumerate() {
            let section = section?;
            if !self.has_record[number] && (with_identity || !section.cid.multihash().is_identity()) {
                self.found(IndexFinding::Missing { offset: section.offset, cid: section.cid });
            }
        }
        Ok(())
    }

    fn found(&mut self, finding: IndexFinding) {
        if self.report.findings.len() < self.most {
            self.report.findings.push(finding);
        } else {
            self.report.left_out += 1;
        }
    }
}
