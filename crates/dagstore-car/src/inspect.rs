//! What is in a CAR, and all that is wrong with it.

use std::collections::{BTreeMap, HashMap};

use crate::chunk::{self, Checks, Odd};
use crate::cid::CidParts;
use crate::index::compare;
use crate::parallel::{self, Checked, Wanted};
use crate::{CarReader, Error, Header, IndexCodec, IndexFinding, RawCid, Result, ScanOptions};

/// How many different numbers are counted apart.
const MOST_KINDS: usize = 256;

/// How a CAR is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InspectOptions {
    /// Whether data is hashed, and by how many threads.
    pub scan: ScanOptions,
    /// Whether an inline index is held against the payload, which takes 9 bytes of memory for each section.
    pub compare_index: bool,
    /// How many findings are listed at most; those at the lowest offsets.
    pub most_findings: usize,
}

impl Default for InspectOptions {
    /// Everything is checked, and 100 findings are listed.
    fn default() -> Self {
        Self { scan: ScanOptions::verifying(true), compare_index: true, most_findings: 100 }
    }
}

impl InspectOptions {
    /// With `scan`.
    #[must_use]
    pub fn with_scan(self, scan: ScanOptions) -> Self {
        Self { scan, ..self }
    }

    /// With `compare_index`.
    #[must_use]
    pub fn with_compare_index(self, compare_index: bool) -> Self {
        Self { compare_index, ..self }
    }

    /// With `most_findings`.
    #[must_use]
    pub fn with_most_findings(self, most_findings: usize) -> Self {
        Self { most_findings, ..self }
    }
}

/// Something that isn't as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// A section or the inline index is malformed, or a block isn't what its CID says, or that can't be told.
    #[error(transparent)]
    Car(Error),
    /// The inline index contradicts the payload.
    #[error(transparent)]
    Index(IndexFinding),
}

/// How often each number came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// The numbers, at most 256 of them, and how often each came.
    pub counts: BTreeMap<u64, u64>,
    /// How often others came.
    pub others: u64,
}

impl Tally {
    fn count(&mut self, number: u64) {
        if self.counts.len() < MOST_KINDS || self.counts.contains_key(&number) {
            *self.counts.entry(number).or_default() += 1;
        } else {
            self.others += 1;
        }
    }
}

/// The least, greatest and mean of some lengths, in bytes. All are 0 where there were none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lengths {
    /// How many there were.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
    /// All together.
    pub total: u64,
}

impl Lengths {
    /// The mean, rounded down.
    pub fn mean(&self) -> u64 {
        self.total.checked_div(self.count).unwrap_or_default()
    }

    fn add(&mut self, length: u64) {
        self.min = if self.count == 0 { length } else { self.min.min(length) };
        self.max = self.max.max(length);
        self.total += length;
        self.count += 1;
    }
}

/// What is in a CAR. Everything but header and findings is about the blocks that can be read, bad ones included.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Version, roots, and the header of a CARv2.
    pub header: Header,
    /// For each root, whether it is among the blocks.
    pub roots_present: Vec<bool>,
    /// Sizes of the blocks' data; their `count` is the number of blocks.
    pub block_bytes: Lengths,
    /// Sizes of CIDs.
    pub cid_bytes: Lengths,
    /// Versions of CIDs.
    pub cid_versions: Tally,
    /// Codecs of CIDs.
    pub codecs: Tally,
    /// Hash functions of CIDs.
    pub hash_functions: Tally,
    /// How many blocks were hashed and match their CID; `None` where nothing was to be hashed.
    pub verified: Option<u64>,
    /// The format of the inline index; `None` where there is none, or none that can be read.
    pub index_codec: Option<IndexCodec>,
    /// The number of its records.
    pub index_records: Option<u64>,
    /// What is wrong: first with the payload, by offset, then with the inline index.
    pub findings: Vec<Finding>,
    /// How many more findings there are than fitted.
    pub left_out: u64,
}

impl CarReader {
    /// Reads the whole CAR, and goes on behind what is wrong as far as there is a next section to be found: behind a bad
    /// block or CID, but not behind a length that is malformed.
    ///
    /// # Errors
    /// [`Error::Io`]. All that is wrong with the CAR is a finding.
    pub fn inspect(&self, options: InspectOptions) -> Result<Inspection> {
        let mut gathering = Gathering::new(self.header().clone(), options.most_findings);
        if options.scan.verify {
            self.inspect_data(options.scan, &mut gathering);
        } else {
            self.inspect_cids(&mut gathering);
        }
        let (mut inspection, unread) = gathering.finish(options.scan.verify);
        if let Some(error) = unread {
            return Err(error);
        }
        self.inspect_index(options, &mut inspection)?;
        Ok(inspection)
    }

    fn inspect_data(&self, scan: ScanOptions, gathering: &mut Gathering) {
        let feed = self.feed();
        let threads = scan.threads_for(self.payload_size(), chunk::most_chunks(&feed.options));
        let checks = Checks { keep_going: true, ..scan.checks(&feed.options.limits) };
        parallel::each_chunk(feed, threads, &checks, |checked| gathering.take(checked));
    }

    fn inspect_cids(&self, gathering: &mut Gathering) {
        let mut walk = self.walk();
        let limits = self.options().limits.clone();
        loop {
            let frame = match walk.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => {
                    gathering.error(error);
                    return;
                }
            };
            walk.next = frame.end();
            let seen = walk.with_cid(frame, None, |cid| {
                gathering.block(cid, frame.length - cid.bytes.len() as u64);
                cid.bytes.len() as u64
            });
            match seen.and_then(|found| frame.limit_cid(found, &limits)) {
                Ok(()) => {}
                Err(error @ (Error::UnexpectedEof { .. } | Error::Io { .. })) => {
                    gathering.error(error);
                    return;
                }
                Err(error) => gathering.error(error),
            }
            walk.window.adapt(frame.length);
        }
    }

    fn inspect_index(&self, options: InspectOptions, inspection: &mut Inspection) -> Result<()> {
        let index = match self.inline_index() {
            Ok(None) => return Ok(()),
            Ok(Some(index)) => index,
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => {
                inspection.found(Finding::Car(error), options.most_findings);
                return Ok(());
            }
        };
        inspection.index_codec = Some(index.codec());
        inspection.index_records = Some(index.records());
        if options.compare_index {
            let with_identity = self.header().v2.is_some_and(|v2| v2.characteristics.is_fully_indexed());
            let room = options.most_findings - inspection.findings.len().min(options.most_findings);
            let (report, _) = compare(self, &index, with_identity, room)?;
            inspection.findings.extend(report.findings.into_iter().map(Finding::Index));
            inspection.left_out += report.left_out;
        }
        Ok(())
    }
}

impl Inspection {
    fn found(&mut self, finding: Finding, most: usize) {
        if self.findings.len() < most {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }
}

struct Gathering {
    inspection: Inspection,
    roots: HashMap<RawCid, bool>,
    errors: Vec<(u64, Error)>,
    most: usize,
    good: u64,
    /// The source can't be read.
    unread: Option<Error>,
}

impl Gathering {
    fn new(header: Header, most: usize) -> Self {
        let roots = header.roots.iter().map(|root| (root.clone(), false)).collect();
        let inspection = Inspection {
            header,
            roots_present: Vec::new(),
            block_bytes: Lengths::default(),
            cid_bytes: Lengths::default(),
            cid_versions: Tally::default(),
            codecs: Tally::default(),
            hash_functions: Tally::default(),
            verified: None,
            index_codec: None,
            index_records: None,
            findings: Vec::new(),
            left_out: 0,
        };
        Self { inspection, roots, errors: Vec::new(), most, good: 0, unread: None }
    }

    fn take(&mut self, checked: Checked<'_>) -> Wanted {
        let mut odd = checked.odd.into_iter().peekable();
        for (number, block) in checked.chunk.blocks().enumerate() {
            let odd = odd.next_if(|(odd, _)| *odd == number).map(|(_, odd)| odd);
            self.good += u64::from(odd.is_none());
            if let Ok(block) = &block {
                self.block(block.cid, block.data.len() as u64);
            }
            match (odd, block) {
                (Some(Odd::Bad(error)), _) | (None, Err(error)) => self.error(error),
                (Some(Odd::Unverifiable), Ok(block)) => {
                    self.error(Error::Unverifiable { cid: block.cid.into(), offset: block.frame.offset });
                }
                _ => {}
            }
        }
        if let Some(Err(error)) = checked.end {
            self.error(error);
        }
        if self.unread.is_some() { Wanted::NoNew } else { Wanted::More }
    }

    fn block(&mut self, cid: CidParts<'_>, data_bytes: u64) {
        let inspection = &mut self.inspection;
        inspection.block_bytes.add(data_bytes);
        inspection.cid_bytes.add(cid.bytes.len() as u64);
        inspection.cid_versions.count(cid.version);
        inspection.codecs.count(cid.codec);
        inspection.hash_functions.count(cid.multihash.code());
        if let Some(is_present) = self.roots.get_mut(cid.bytes) {
            *is_present = true;
        }
    }

    fn error(&mut self, error: Error) {
        let Some(offset) = error.payload_offset() else {
            self.unread.get_or_insert(error);
            return;
        };
        self.errors.push((offset, error));
        // Chunks come in any order, so the lowest are only known at the end; until then twice as many are kept.
        if self.errors.len() > self.most.saturating_mul(2).max(64) {
            self.drop_highest();
        }
    }

    fn drop_highest(&mut self) {
        self.errors.sort_by_key(|(offset, _)| *offset);
        let left_out = self.errors.len().saturating_sub(self.most);
        self.inspection.left_out += left_out as u64;
        self.errors.truncate(self.most);
    }

    fn finish(mut self, verify: bool) -> (Inspection, Option<Error>) {
        self.drop_highest();
        let mut inspection = self.inspection;
        inspection.roots_present =
            inspection.header.roots.iter().map(|root| self.roots.get(root).copied().unwrap_or_default()).collect();
        inspection.verified = verify.then_some(self.good);
        inspection.findings = self.errors.into_iter().map(|(_, error)| Finding::Car(error)).collect();
        (inspection, self.unread)
    }
}
