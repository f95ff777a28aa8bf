//! The suite fails on mounts that are broken: each fault is planted, and the checks that are there for it must find it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use dagstore_fs::ReadAt;
use dagstore_mount::conformance::{self, Failure};
use dagstore_mount::{Capabilities, Error, Mount, Opened, Result, Stat, Streamed};
use futures_util::stream;

use crate::memory::{Hold, Memory, MemorySource};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LocationChanges,
    LocationWithSpace,
    LocationLost,
    CapabilitiesLost,
    TemplateServesNothing,
    SizeOffByOne,
    StatDiffersEachTime,
    ClaimsToOpen,
    OpensUnsaid,
    OpenedIsAnother,
    ReaderStuckAtStart,
    ReaderNeverEnds,
    ReaderCallsItselfChanged,
    StreamCutShort,
    StreamIgnoresOffset,
    SeekFailsUnsaid,
    StreamFailsPastTheEnd,
    ReadCutShort,
    ReadIgnoresPlace,
    ReadFailsPastTheEnd,
    StreamTakesAnyContent,
    ReadTakesAnyContent,
    OneStreamAtATime,
    StreamOfOtherContent,
    MissingIsEmpty,
    MissingIsUnavailable,
    MissingForEver,
    ValidatorStays,
    FollowsTheChange,
    EndsEarlyInSilence,
    Leaks,
}

use Fault as F;

/// Each fault with the checks that must find it.
const FAULTS: &[(Fault, &[&str])] = &[
    (F::LocationChanges, &["the_location_is_always_the_same"]),
    (F::LocationWithSpace, &["the_location_fits_into_a_url"]),
    (F::LocationLost, &["the_url_makes_the_same_mount"]),
    (F::CapabilitiesLost, &["the_url_makes_the_same_mount"]),
    (F::TemplateServesNothing, &["the_url_makes_the_same_mount"]),
    (F::SizeOffByOne, &["stat_tells_the_size"]),
    (F::StatDiffersEachTime, &["stat_tells_the_size"]),
    (F::ClaimsToOpen, &["opens_or_says_that_it_cannot"]),
    (F::OpensUnsaid, &["opens_or_says_that_it_cannot"]),
    (F::OpenedIsAnother, &["opens_or_says_that_it_cannot"]),
    (F::ReaderStuckAtStart, &["an_open_reader_reads_everywhere"]),
    (F::ReaderNeverEnds, &["an_open_reader_reads_everywhere"]),
    (F::ReaderCallsItselfChanged, &["an_open_reader_reads_everywhere"]),
    (F::StreamCutShort, &["streams_the_whole", "streams_from_any_place"]),
    (F::StreamIgnoresOffset, &["streams_from_any_place"]),
    (F::SeekFailsUnsaid, &["streams_from_any_place"]),
    (F::StreamFailsPastTheEnd, &["streams_nothing_past_the_end"]),
    (F::ReadCutShort, &["reads_at_any_place"]),
    (F::ReadIgnoresPlace, &["reads_at_any_place"]),
    (F::ReadFailsPastTheEnd, &["reads_nothing_past_the_end"]),
    (F::StreamTakesAnyContent, &["another_content_is_told", "streams_are_of_the_content_that_was_asked_for"]),
    (F::ReadTakesAnyContent, &["another_content_is_told", "reads_are_of_the_content_that_was_asked_for"]),
    (F::OneStreamAtATime, &["a_dropped_stream_disturbs_nobody", "streams_side_by_side"]),
    (F::StreamOfOtherContent, &["streams_the_whole"]),
    (F::MissingIsEmpty, &["a_missing_source_is_told"]),
    (F::MissingIsUnavailable, &["a_missing_source_is_told"]),
    (F::MissingForEver, &["a_source_comes_back"]),
    (F::ValidatorStays, &["a_new_validator_tells_of_a_new_content"]),
    (F::FollowsTheChange, &["a_stream_never_mixes_contents"]),
    (F::EndsEarlyInSilence, &["a_source_cut_short_never_looks_whole"]),
    (F::Leaks, &["everything_is_let_go"]),
];

const CONTENT: &[u8] = b"the bytes of a source, as they are";

#[tokio::test(start_paused = true)]
async fn every_fault_is_found_by_its_checks() {
    for (fault, checks) in FAULTS {
        let found: BTreeSet<_> = failures(*fault).await.into_iter().map(|failure| failure.check).collect();
        let missed: Vec<_> = checks.iter().filter(|check| !found.contains(*check)).collect();
        assert!(missed.is_empty(), "{fault:?} was not found by {missed:?}, only by {found:?}");
    }
}

/// The faults are found because of the faults, not because of what is around them.
#[tokio::test(start_paused = true)]
async fn the_mount_without_a_fault_passes() {
    let found = failures(Fault::None).await;
    assert!(found.is_empty(), "{found:?}");
}

/// A check that nothing makes fail shows nothing.
#[test]
fn every_check_has_a_fault() {
    let planted: BTreeSet<_> = FAULTS.iter().flat_map(|(_, checks)| checks.iter().copied()).collect();
    let every = conformance::checks().map(|check| (check, planted.contains(check)));
    let without: Vec<_> = every.filter(|(_, planted)| !planted).collect();
    assert!(without.is_empty(), "{without:?}");
}

async fn failures(fault: Fault) -> Vec<Failure> {
    let memory = Arc::new(Memory::default());
    memory.set(Some(Bytes::from_static(CONTENT)));
    let template = BrokenMount::new(fault, &memory, "");
    let mount = BrokenMount::new(fault, &memory, "a/b");
    let mut found = conformance::failures(&template, &mount, CONTENT).await;
    let memory = Arc::new(Memory::default());
    let mount = BrokenMount::new(fault, &memory, "a/b");
    found.extend(conformance::failures_of_source(&MemorySource { memory, mount }).await);
    found
}

#[derive(Debug, Clone)]
struct BrokenMount {
    fault: Fault,
    memory: Arc<Memory>,
    location: String,
    calls: Arc<AtomicU64>,
    is_revived: bool,
}

impl BrokenMount {
    fn new(fault: Fault, memory: &Arc<Memory>, location: &str) -> Self {
        let (memory, location) = (memory.clone(), location.to_owned());
        Self { fault, memory, location, calls: Arc::default(), is_revived: false }
    }

    fn call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }

    fn look(&self) -> Result<(Bytes, Stat)> {
        let seen = self.memory.look();
        let was_missing = self.calls.load(Ordering::Relaxed) > 1_000_000;
        match self.fault {
            F::MissingForEver if seen.is_err() => {
                self.calls.fetch_add(2_000_000, Ordering::Relaxed);
                seen
            }
            F::MissingForEver if was_missing => Err(Error::NotFound { place: "remembered".to_owned() }),
            F::MissingIsEmpty if seen.is_err() => Ok((Bytes::new(), Stat::new(0, None))),
            F::MissingIsUnavailable => {
                seen.map_err(|_| Error::from_io("somewhere", io::ErrorKind::ConnectionRefused.into()))
            }
            F::TemplateServesNothing if self.is_revived => Ok((Bytes::new(), Stat::new(0, None))),
            F::ValidatorStays => seen.map(|(content, stat)| (content, Stat::new(stat.size, Some("same".to_owned())))),
            _ => seen,
        }
    }

    fn check(&self, stat: &Stat, of: &Stat) -> Result<()> {
        if stat.same_content(of) {
            return Ok(());
        }
        Err(Error::SourceChanged { place: self.location.clone() })
    }
}

#[async_trait]
impl Mount for BrokenMount {
    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::LOCAL;
        capabilities.opens = self.fault != F::OpensUnsaid;
        capabilities.seek = !(self.fault == F::CapabilitiesLost && self.is_revived);
        capabilities
    }

    fn location(&self) -> String {
        match self.fault {
            F::LocationChanges => self.call().to_string(),
            F::LocationWithSpace => "a b".to_owned(),
            F::LocationLost if self.is_revived => "lost".to_owned(),
            _ => self.location.clone(),
        }
    }

    fn instantiate(&self, location: &str) -> Result<Arc<dyn Mount>> {
        Ok(Arc::new(Self { is_revived: true, ..Self::new(self.fault, &self.memory, location) }))
    }

    async fn stat(&self) -> Result<Stat> {
        let (_, mut stat) = self.look()?;
        match self.fault {
            F::SizeOffByOne => stat.size += 1,
            F::StatDiffersEachTime => stat.validator = Some(self.call().to_string()),
            _ => {}
        }
        Ok(stat)
    }

    async fn open(&self) -> Result<Opened> {
        if self.fault == F::ClaimsToOpen {
            return Err(Error::NoLocalReader { place: self.location.clone() });
        }
        let (content, mut stat) = self.look()?;
        if self.fault == F::OpenedIsAnother {
            stat.validator = Some("another".to_owned());
        }
        let hold = Hold::new(&self.memory);
        if self.fault == F::Leaks {
            std::mem::forget(Hold::new(&self.memory));
        }
        Ok(Opened::new(stat, Arc::new(BrokenReader { fault: self.fault, content, _hold: hold })))
    }

    async fn stream(&self, from: u64, of: Option<&Stat>) -> Result<Streamed> {
        let (content, stat) = self.look()?;
        if let Some(of) = of.filter(|_| self.fault != F::StreamTakesAnyContent) {
            self.check(&stat, of)?;
        }
        let past_the_end = from >= stat.size;
        match self.fault {
            F::StreamFailsPastTheEnd if past_the_end => return Err(Error::NotFound { place: "the end".to_owned() }),
            F::SeekFailsUnsaid if from > 0 && !past_the_end => {
                return Err(Error::SequentialOnly { place: self.location.clone(), why: "broken" });
            }
            F::OneStreamAtATime if self.memory.held.load(Ordering::Relaxed) > 0 => {
                return Err(Error::from_io("busy", io::ErrorKind::ResourceBusy.into()));
            }
            _ => {}
        }
        let first = if self.fault == F::StreamIgnoresOffset && !past_the_end { 0 } else { from.min(stat.size) };
        let told = if self.fault == F::StreamOfOtherContent { Stat::new(stat.size + 1, None) } else { stat.clone() };
        let end = stat.size - u64::from(self.fault == F::StreamCutShort && first < stat.size);
        let state = Streaming { mount: self.clone(), content, stat, end, hold: Hold::new(&self.memory) };
        let bytes = stream::try_unfold((state, first), async |(state, at)| {
            let piece = state.piece(at)?;
            let next = at + piece.len() as u64;
            Ok((!piece.is_empty()).then_some((piece, (state, next))))
        });
        Ok(Streamed::new(told, bytes))
    }

    async fn read(&self, at: u64, len: usize, of: &Stat) -> Result<Bytes> {
        let (content, stat) = self.look()?;
        if self.fault != F::ReadTakesAnyContent {
            self.check(&stat, of)?;
        }
        if self.fault == F::ReadFailsPastTheEnd && at >= stat.size {
            return Err(Error::NotFound { place: "the end".to_owned() });
        }
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
        let end = at.saturating_add(len).min(content.len());
        Ok(match self.fault {
            F::ReadCutShort if end > at => content.slice(at..end - 1),
            F::ReadIgnoresPlace => content.slice(..end - at),
            _ => content.slice(at..end),
        })
    }
}

#[derive(Debug)]
struct Streaming {
    mount: BrokenMount,
    content: Bytes,
    stat: Stat,
    end: u64,
    hold: Hold,
}

impl Streaming {
    /// Nothing at the end.
    fn piece(&self, at: u64) -> Result<Bytes> {
        let fault = self.mount.fault;
        if fault == F::Leaks {
            std::mem::forget(Hold::new(&self.hold.0));
        }
        let (now, stat) = self.mount.look()?;
        let content = if fault == F::FollowsTheChange { &now } else { &self.content };
        if fault == F::EndsEarlyInSilence && !stat.same_content(&self.stat) {
            return Ok(Bytes::new());
        }
        let (first, end) = (content.len().min(usize::try_from(at).unwrap()), usize::try_from(self.end).unwrap());
        Ok(content.slice(first..content.len().min(end).min(first + 64 * 1024)))
    }
}

#[derive(Debug)]
struct BrokenReader {
    fault: Fault,
    content: Bytes,
    _hold: Hold,
}

impl ReadAt for BrokenReader {
    fn size(&self) -> u64 {
        self.content.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self.fault {
            F::ReaderStuckAtStart => self.content.read_at(0, buffer),
            F::ReaderNeverEnds if offset >= self.size() => Ok(buffer.len()),
            _ => self.content.read_at(offset, buffer),
        }
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(self.fault != F::ReaderCallsItselfChanged)
    }
}
