//! What is in a CAR, and all that is wrong with it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::chunk::{self, Checks, Odd};
use crate::cid::CidParts;
use crate::distinct::Distinct;
use crate::index::compare;
use crate::parallel::{self, Checked, Wanted};
use crate::section::Frame;
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
    /// Whether different CIDs are counted, which takes some 20 to 40 bytes of memory for each.
    pub count_distinct: bool,
    /// How many findings are listed at most; those at the lowest offsets.
    pub most_findings: usize,
}

impl Default for InspectOptions {
    /// Everything is checked, 100 findings are listed, and different CIDs aren't counted.
    fn default() -> Self {
        let scan = ScanOptions::verifying(true);
        Self { scan, compare_index: true, count_distinct: false, most_findings: 100 }
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

    /// With `count_distinct`.
    #[must_use]
    pub fn with_count_distinct(self, count_distinct: bool) -> Self {
        Self { count_distinct, ..self }
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

impl Finding {
    /// The finding's name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Car(error) => error.name(),
            Self::Index(finding) => finding.name(),
        }
    }

    /// The offset in the payload that it is about; `None` where it is about something else.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Car(error) => error.payload_offset(),
            Self::Index(finding) => finding.offset(),
        }
    }

    /// The CID of the block that it is about, where it is known.
    pub fn cid(&self) -> Option<&RawCid> {
        match self {
            Self::Car(error) => error.cid(),
            Self::Index(finding) => finding.cid(),
        }
    }
}

/// Where the blocks of a payload end, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With the payload.
    Whole,
    /// A section of length zero follows: what is behind it means nothing.
    ZeroLength,
    /// What follows can't be read as a section; a finding tells why.
    Damaged,
}

/// A section of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Where it begins, from the payload's start.
    pub offset: u64,
    /// How long it is, in bytes: its length, CID and data.
    pub bytes: u64,
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
    /// How many different CIDs there are; `None` where they weren't counted.
    pub distinct_cids: Option<u64>,
    /// The longest section, and of several the first.
    pub largest_section: Option<Place>,
    /// Where the last section ends that can be told apart, from the payload's start.
    pub payload_end: u64,
    /// Why it ends there.
    pub ending: Ending,
    /// The format of the inline index; `None` where there is none, or none that can be read.
    pub index_codec: Option<IndexCodec>,
    /// The number of its records.
    pub index_records: Option<u64>,
    /// Where the inline index is in the file, from its first byte to the one behind its last; `None` where there is none that
    /// can be read.
    pub index_range: Option<Range<u64>>,
    /// How much contradicts the payload in the inline index; `None` where it wasn't compared, or there is none.
    pub index_findings: Option<u64>,
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
    /// [`Error::Io`], [`Error::IndexIo`]. All that is wrong with the CAR is a finding.
    pub fn inspect(&self, options: InspectOptions) -> Result<Inspection> {
        self.inspect_with(options, |_| {})
    }

    /// Does what [`inspect`](Self::inspect) does, and tells `progress` how many bytes of the payload are done, which only grows.
    ///
    /// # Errors
    /// Those of [`inspect`](Self::inspect).
    pub fn inspect_with(&self, options: InspectOptions, mut progress: impl FnMut(u64) + Send) -> Result<Inspection> {
        let mut gathering = Gathering::new(self, &options, &mut progress);
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

    fn inspect_data(&self, scan: ScanOptions, gathering: &mut Gathering<'_>) {
        let feed = self.feed();
        let threads = scan.threads_for(self.payload_size(), chunk::most_chunks(&feed.options));
        let checks = Checks { keep_going: true, ..scan.checks(&feed.options.limits) };
        parallel::each_chunk(feed, threads, &checks, |checked| gathering.take(checked));
    }

    fn inspect_cids(&self, gathering: &mut Gathering<'_>) {
        let mut walk = self.walk();
        let limits = self.options().limits.clone();
        loop {
            let frame = match walk.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => {
                    gathering.ended(walk.next, Some(&Ok(())));
                    return;
                }
                Err(error) => {
                    gathering.ended(walk.next, None);
                    gathering.error(error);
                    return;
                }
            };
            walk.next = frame.end();
            let seen = walk.with_cid(frame, None, |cid| {
                gathering.block(frame, cid);
                cid.bytes.len() as u64
            });
            match seen.and_then(|found| frame.limit_cid(found, &limits)) {
                Ok(()) => gathering.done(frame.end() - frame.offset),
                Err(error @ (Error::UnexpectedEof { .. } | Error::Io { .. })) => {
                    gathering.ended(frame.offset, None);
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
        inspection.index_range = self.inline_index_offset().map(|start| start..index.end());
        if options.compare_index {
            let with_identity = self.header().v2.is_some_and(|v2| v2.characteristics.is_fully_indexed());
            let room = options.most_findings - inspection.findings.len().min(options.most_findings);
            let (report, _) = compare(self, &index, with_identity, room)?;
            inspection.index_findings = Some(report.findings.len() as u64 + report.left_out);
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

struct Gathering<'a> {
    inspection: Inspection,
    roots: HashMap<RawCid, bool>,
    errors: Vec<(u64, Error)>,
    most: usize,
    good: u64,
    distinct: Option<Distinct>,
    payload_size: u64,
    /// How many bytes of the payload are done, and who is told.
    done: u64,
    progress: &'a mut (dyn FnMut(u64) + Send),
    /// The source can't be read.
    unread: Option<Error>,
}

impl<'a> Gathering<'a> {
    fn new(reader: &CarReader, options: &InspectOptions, progress: &'a mut (dyn FnMut(u64) + Send)) -> Self {
        let header = reader.header().clone();
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
            distinct_cids: None,
            largest_section: None,
            payload_end: reader.header_size(),
            ending: Ending::Damaged,
            index_codec: None,
            index_records: None,
            index_range: None,
            index_findings: None,
            findings: Vec::new(),
            left_out: 0,
        };
        Self {
            inspection,
            roots,
            errors: Vec::new(),
            most: options.most_findings,
            good: 0,
            distinct: options.count_distinct.then(Distinct::default),
            payload_size: reader.payload_size(),
            done: reader.header_size(),
            progress,
            unread: None,
        }
    }

    fn take(&mut self, checked: Checked<'_>) -> Wanted {
        let mut odd = checked.odd.into_iter().peekable();
        for (number, block) in checked.chunk.blocks().enumerate() {
            let odd = odd.next_if(|(odd, _)| *odd == number).map(|(_, odd)| odd);
            self.good += u64::from(odd.is_none());
            if let Ok(block) = &block {
                self.block(block.frame, block.cid);
            }
            match (odd, block) {
                (Some(Odd::Bad(error)), _) | (None, Err(error)) => self.error(error),
                (Some(Odd::Unverifiable), Ok(block)) => {
                    self.error(Error::Unverifiable { cid: block.cid.into(), offset: block.frame.offset });
                }
                _ => {}
            }
        }
        let end = checked.chunk.sections_end();
        self.ended(end, checked.end.as_ref());
        self.done(end - checked.chunk.start());
        if let Some(Err(error)) = checked.end {
            self.error(error);
        }
        if self.unread.is_some() { Wanted::NoNew } else { Wanted::More }
    }

    /// `bytes` more of the payload are done.
    fn done(&mut self, bytes: u64) {
        self.done += bytes;
        (self.progress)(self.done);
    }

    /// The sections go up to `offset`; behind them is the `end` of all, where it is known to be one.
    fn ended(&mut self, offset: u64, end: Option<&Result<()>>) {
        let inspection = &mut self.inspection;
        inspection.payload_end = inspection.payload_end.max(offset);
        if let Some(Ok(())) = end {
            inspection.ending = if offset < self.payload_size { Ending::ZeroLength } else { Ending::Whole };
        }
    }

    fn block(&mut self, frame: Frame, cid: CidParts<'_>) {
        let inspection = &mut self.inspection;
        inspection.block_bytes.add(frame.length - cid.bytes.len() as u64);
        let place = Place { offset: frame.offset, bytes: frame.end() - frame.offset };
        let rank = |place: Place| (place.bytes, Reverse(place.offset));
        if inspection.largest_section.is_none_or(|largest| rank(largest) < rank(place)) {
            inspection.largest_section = Some(place);
        }
        if let Some(distinct) = &mut self.distinct {
            distinct.add(cid.bytes);
        }
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
        inspection.distinct_cids = self.distinct.as_ref().map(Distinct::count);
        inspection.findings = self.errors.into_iter().map(|(_, error)| Finding::Car(error)).collect();
        (inspection, self.unread)
    }
}
