//! The target `car`: a CAR that is read in every way there is.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dagstore_car::{
    CarReader, CarWriter, Error, Finding, GoIndex, IndexCodec, InspectOptions, Limits, RawCid, ReadOptions, Result,
    ScanOptions, ScanSummary, Scanned, StreamScanner, V2Options, Verdict,
};
use sha2::{Digest, Sha256};

use crate::choices::Choices;
use crate::files::Positioned;

/// How many blocks of a CAR are read one by one.
const MOST_BLOCKS: usize = 32;

/// How large a CAR must be to be hashed on several threads.
const MANY_BYTES: usize = 1_100_000;

/// How many blocks that is.
const LARGE_BLOCKS: u8 = 10;

/// An input is a CAR. Read by positions on one thread and on several, from memory and not, and as a stream in pieces, it gives
/// the same blocks and errors; a block that a scan shows hashes to its CID; an inspection finds what a scan refuses.
pub fn car(input: &[u8]) {
    let mut choices = Choices::of(input);
    let options = options(&mut choices);
    let bytes = Bytes::copy_from_slice(input);
    let [verified, jumped] = [true, false].map(|verify| {
        let expected = positioned(&bytes, &options, scan(verify, 1));
        for knows_size in [true, false] {
            stream(&bytes, &options, verify, knows_size, &expected, &mut choices);
        }
        expected
    });
    let Ok(reader) = CarReader::open(Arc::new(Positioned(bytes.clone())), options.clone()) else { return };
    sections(&reader, &jumped);
    let mapped = CarReader::open(Arc::new(bytes.clone()), options.clone()).expect("it was opened by positions");
    blocks([&reader, &mapped], &verified, &mut choices);
    inspection(&reader, &verified);
    if jumped.end.is_ok() && jumped.blocks.len() <= MOST_BLOCKS {
        index(&reader, &options.limits);
        wrapped(&reader, &options, &jumped);
    }
    if choices.below(32) == 0 {
        threads(&reader, &bytes, &options, &verified);
    }
}

fn options(choices: &mut Choices) -> ReadOptions {
    let tight = Limits { header_bytes: 100, section_bytes: 300, indexed_cid_bytes: 40 };
    let limits = if choices.below(8) == 0 { tight } else { Limits::default() };
    ReadOptions { limits, zero_length_is_end: choices.flag() }
}

fn scan(verify: bool, threads: usize) -> ScanOptions {
    ScanOptions::verifying(verify).with_threads(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN))
}

/// Blocks and end of a scan.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Offset, size and multihash, in the order they came.
    blocks: Vec<(u64, u64, Vec<u8>)>,
    end: Result<ScanSummary, String>,
}

fn gather(
    scan: impl FnOnce(&mut (dyn FnMut(Scanned<'_>) -> ControlFlow<()> + Send)) -> Result<ScanSummary>,
) -> Outcome {
    let (mut blocks, mut done) = (Vec::new(), 0);
    let end = scan(&mut |block| {
        assert!(block.end > done, "progress from {done} to {}", block.end);
        done = block.end;
        blocks.push((block.offset, block.data_size, block.multihash.bytes().to_vec()));
        ControlFlow::Continue(())
    });
    Outcome { blocks, end: end.map_err(|error| format!("{error:?}")) }
}

fn positioned(bytes: &Bytes, options: &ReadOptions, scan: ScanOptions) -> Outcome {
    gather(|visit| CarReader::open(Arc::new(Positioned(bytes.clone())), options.clone())?.scan(scan, visit))
}

/// Pushes the bytes in pieces, flushing now and then.
fn stream(
    bytes: &Bytes,
    options: &ReadOptions,
    verify: bool,
    knows_size: bool,
    expected: &Outcome,
    choices: &mut Choices,
) {
    let longest = [2, 40, 1_000, 1 << 20][choices.length_below(4)];
    // Threads are only worth their while now and then.
    let threads = if choices.below(8) == 0 { 3 } else { 1 };
    let found = gather(|visit| {
        let size = knows_size.then_some(bytes.len() as u64);
        let mut scanner = StreamScanner::new(options.clone(), scan(verify, threads), size);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(choices.length_below(longest) + 1));
            scanner.push(piece, &mut *visit)?;
            if choices.below(4) == 0 {
                scanner.flush(&mut *visit)?;
            }
            rest = behind;
        }
        assert_eq!(scanner.received_bytes(), bytes.len() as u64);
        scanner.finish(visit)
    });
    if knows_size || expected.end.is_ok() {
        assert_eq!(&found, expected, "a stream, its size known: {knows_size}");
        return;
    }
    // Without the size other things are found out first.
    assert!(found.end.is_err(), "a stream of unknown size takes what positions refuse: {:?}", expected.end);
    let same = expected.blocks.iter().zip(&found.blocks).all(|(expected, found)| expected == found);
    assert!(same, "a stream of unknown size shows other blocks");
}

/// The iterator gives what a scan shows, and may go on behind what only a scan refuses.
fn sections(reader: &CarReader, jumped: &Outcome) {
    let sections: Vec<_> = reader.sections().map_while(Result::ok).collect();
    let shown = sections.iter().map(|section| {
        let multihash = section.cid.multihash().bytes().to_vec();
        assert!(section.data_offset > section.offset);
        assert_eq!(section.cid.to_string().parse().as_ref(), Ok(&section.cid), "a CID doesn't come back");
        (section.offset, section.data_size, multihash)
    });
    assert!(shown.take(jumped.blocks.len()).eq(jumped.blocks.iter().cloned()), "sections differ from a scan");
    let is_whole = jumped.end.is_ok();
    assert!(!is_whole || sections.len() == jumped.blocks.len(), "sections behind the end of a scan");
}

/// What was shown is there, and hashes to its CID; at any other place, memory and file say the same.
fn blocks([reader, mapped]: [&CarReader; 2], verified: &Outcome, choices: &mut Choices) {
    let mut unverifiable = 0;
    for (offset, size, multihash) in verified.blocks.iter().take(MOST_BLOCKS) {
        let hint = u32::try_from(*size).ok();
        let block = reader.read_block(*offset, hint).expect("a scan has shown it");
        assert_eq!((block.data.len() as u64, block.cid.multihash().bytes()), (*size, &multihash[..]));
        unverifiable += u64::from(!hashes(&block));
        for hint in [None, Some(0), Some(u32::MAX)] {
            assert_eq!(reader.read_block(*offset, hint).ok().as_ref(), Some(&block), "{hint:?}");
            assert_eq!(mapped.read_block(*offset, hint).ok().as_ref(), Some(&block), "{hint:?}, in memory");
        }
    }
    if let Ok(summary) = &verified.end {
        assert_eq!(summary.blocks, verified.blocks.len() as u64);
        assert!(verified.blocks.len() > MOST_BLOCKS || summary.unverifiable == unverifiable, "unverifiable blocks");
    }
    for _ in 0..6 {
        let bound = if choices.below(4) == 0 { u64::MAX } else { reader.payload_size() + 2 };
        let (offset, hint) = (choices.below(bound), [None, Some(0), Some(50)][choices.length_below(3)]);
        let [owned, shared] = [reader, mapped].map(|reader| format!("{:?}", reader.read_block(offset, hint)));
        assert_eq!(owned, shared, "at {offset}");
    }
}

/// Whether the data was found to hash to its CID; it may be impossible to tell, but never differ.
fn hashes(block: &dagstore_car::Block) -> bool {
    let multihash = block.cid.multihash();
    let verdict = dagstore_car::check(multihash, &block.data);
    assert_ne!(verdict, Verdict::Differs, "a scan has shown a block that doesn't hash to its CID");
    match (multihash.code(), multihash.digest().len()) {
        (0x12, 20..) => assert!(Sha256::digest(&block.data).starts_with(multihash.digest()), "sha2-256"),
        (0, _) => assert_eq!(multihash.digest(), &block.data[..], "identity"),
        _ => {}
    }
    verdict == Verdict::Matches
}

/// A CAR without findings is one that a scan takes, and the other way round.
fn inspection(reader: &CarReader, verified: &Outcome) {
    let inspect = |most| reader.inspect(InspectOptions::default().with_scan(scan(true, 1)).with_most_findings(most));
    let [all, few] = [10_000, 2].map(|most| inspect(most).expect("memory can be read"));
    assert_eq!(few.findings.len() as u64 + few.left_out, all.findings.len() as u64 + all.left_out, "findings");
    assert!(few.findings.len() <= 2);
    let is_refused = |finding: &Finding| {
        matches!(
            finding,
            Finding::Car(Error::Integrity { .. } | Error::UnexpectedEof { .. } | Error::MalformedSection { .. })
        )
    };
    match &verified.end {
        Ok(summary) => {
            assert_eq!(all.block_bytes.count, summary.blocks);
            assert_eq!(all.verified, Some(summary.blocks - summary.unverifiable));
            assert!(!all.findings.iter().any(is_refused), "found {:?}, which a scan took", all.findings);
        }
        Err(error) => assert!(!all.findings.is_empty(), "nothing was found, and a scan says {error}"),
    }
}

/// The index that is made of the payload has nothing wrong with it.
fn index(reader: &CarReader, limits: &Limits) {
    for codec in [IndexCodec::Sorted, IndexCodec::MultihashSorted] {
        let mut bytes = Vec::new();
        let builder = reader.go_index(codec, true).expect("a scan took the payload");
        builder.write(&mut bytes).expect("memory can be written");
        let index = GoIndex::open(Arc::new(Bytes::from(bytes)), limits).expect("it was just written");
        let report = reader.compare_index(&index, true, 10).expect("a scan took the payload");
        assert!(report.findings.is_empty() && report.records == report.sections, "{codec:?}: {report:?}");
    }
}

/// A CARv2 around the payload shows the same blocks.
fn wrapped(reader: &CarReader, options: &ReadOptions, jumped: &Outcome) {
    let mut bytes = Vec::new();
    reader.wrap(V2Options::default(), &mut bytes).expect("a scan took the payload");
    assert_eq!(&positioned(&bytes.into(), options, scan(false, 1)), jumped, "wrapped");
}

/// The sections behind so much data that it is hashed on several threads; in front of it, too, where a scan takes them.
fn threads(reader: &CarReader, bytes: &Bytes, options: &ReadOptions, verified: &Outcome) {
    let Some(&(first, ..)) = verified.blocks.first() else { return };
    let place = |offset: u64| usize::try_from(reader.payload_offset() + offset).unwrap_or(usize::MAX).min(bytes.len());
    let header = &bytes[place(0)..place(first)];
    let sections = &bytes[place(first)..place(reader.payload_size())];
    let in_front = if verified.end.is_ok() && !options.zero_length_is_end { sections } else { &[] };
    let many = Bytes::from([header, in_front, large_sections(), sections].concat());
    let [one, mut more] = [1, 3].map(|threads| positioned(&many, options, scan(true, threads)));
    more.blocks.sort_unstable();
    assert_eq!(one.end, more.end, "threads");
    assert!(one.blocks.iter().all(|block| more.blocks.binary_search(block).is_ok()), "blocks of threads");
}

/// Good sections of [`MANY_BYTES`], few and large, so that it is not a test of speed.
fn large_sections() -> &'static [u8] {
    static SECTIONS: OnceLock<Vec<u8>> = OnceLock::new();
    SECTIONS.get_or_init(|| {
        let mut writer = CarWriter::new(Vec::new(), &[]).expect("memory can be written");
        for number in 0..LARGE_BLOCKS {
            let data = vec![number; MANY_BYTES / usize::from(LARGE_BLOCKS)];
            writer.write(&RawCid::of_data(0x55, &data), &data).expect("memory can be written");
        }
        let bytes = Bytes::from(writer.finish().expect("memory can be written"));
        let reader = CarReader::open(Arc::new(bytes.clone()), ReadOptions::default()).expect("it was just written");
        let first = reader.sections().next().and_then(Result::ok).expect("it has blocks");
        bytes[usize::try_from(first.offset).unwrap_or(0)..].to_vec()
    })
}
