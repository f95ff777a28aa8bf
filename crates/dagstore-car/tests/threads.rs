//! A verified scan on several threads: all blocks once, the first error, cancelling, panics, bounded memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dagstore_car::{CarReader, Error, InspectOptions, ReadOptions, ScanOptions, Section};
use dagstore_fs::ReadAt;
use dagstore_testkit::cars;

const BLOCKS: u64 = 6_000;

fn threads(count: usize) -> ScanOptions {
    ScanOptions::verifying(true).with_threads(NonZeroUsize::new(count).unwrap())
}

fn open(bytes: Vec<u8>) -> CarReader {
    CarReader::open(Arc::new(Bytes::from(bytes)), ReadOptions::default()).unwrap()
}

/// Flips a bit in the middle of a section's data.
fn damage(bytes: &mut [u8], section: &Section) {
    bytes[usize::try_from(section.data_offset + section.data_size / 2).unwrap()] ^= 4;
}

/// Bytes that can only be read at a place, with the longest read.
#[derive(Debug)]
struct Placed {
    bytes: Bytes,
    /// Where reading fails.
    bad_from: u64,
    longest: AtomicU64,
}

impl ReadAt for Placed {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.longest.fetch_max(buffer.len() as u64, Ordering::Relaxed);
        if offset + buffer.len() as u64 > self.bad_from {
            return Err(io::Error::other("a bad sector"));
        }
        self.bytes.read_at(offset, buffer)
    }
}

#[test]
fn every_block_comes_once_from_several_threads() {
    let car = cars::numbered(BLOCKS, 1_000);
    let reader = open(car.bytes);
    let expected: BTreeSet<_> = reader.sections().map(|section| section.unwrap().offset).collect();
    for count in [1, 2, 5] {
        let mut seen = BTreeSet::new();
        let summary = reader.scan(threads(count), |block| {
            assert!(seen.insert(block.offset), "{} comes twice", block.offset);
            ControlFlow::Continue(())
        });
        assert_eq!(summary.unwrap().blocks, BLOCKS);
        assert_eq!(seen, expected);
    }
}

/// Bytes that remember who read them.
#[derive(Debug)]
struct Asked {
    bytes: Bytes,
    readers: Mutex<HashSet<ThreadId>>,
}

impl ReadAt for Asked {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.readers.lock().unwrap().insert(std::thread::current().id());
        self.bytes.read_at(offset, buffer)
    }
}

#[test]
fn others_work_while_one_is_busy_and_nobody_where_there_is_little_to_do() {
    for (blocks, count, expected) in [(BLOCKS, 3, 3), (BLOCKS, 1, 1), (300, 3, 1)] {
        let bytes = cars::numbered(blocks, 1_000).bytes.into();
        let source = Arc::new(Asked { bytes, readers: Mutex::default() });
        let reader = CarReader::open(source.clone(), ReadOptions::default()).unwrap();
        let deadline = Instant::now() + Duration::from_mins(1);
        let scanned = reader.scan(threads(count), |_| {
            // Whoever shows the first block waits for the others to read on.
            while source.readers.lock().unwrap().len() < expected && Instant::now() < deadline {
                std::thread::yield_now();
            }
            ControlFlow::Continue(())
        });
        assert_eq!(scanned.unwrap().blocks, blocks);
        assert_eq!(source.readers.lock().unwrap().len(), expected);
    }
}

#[test]
fn the_first_of_several_errors_is_told_and_all_blocks_before_it_shown() {
    let car = cars::numbered(BLOCKS, 1_000);
    let sections: Vec<_> = open(car.bytes.clone()).sections().map(Result::unwrap).collect();
    for first in [0, 1, 128, 2_900, 5_999] {
        for others in [&[][..], &[1, 40], &[130, 131, 1_000]] {
            let mut bytes = car.bytes.clone();
            damage(&mut bytes, &sections[first]);
            for other in others {
                if let Some(section) = sections.get(first + other) {
                    damage(&mut bytes, section);
                }
            }
            for count in [1, 2, 4] {
                let mut seen = BTreeSet::new();
                let error = open(bytes.clone()).scan(threads(count), |block| {
                    seen.insert(block.offset);
                    ControlFlow::Continue(())
                });
                let Err(Error::Integrity { offset, cid }) = error else { panic!("{error:?}") };
                assert_eq!((offset, &cid), (sections[first].offset, &sections[first].cid));
                assert!(sections[..first].iter().all(|section| seen.contains(&section.offset)), "before {first}");
                assert!(!seen.contains(&offset), "the bad block was shown");
            }
        }
    }
}

#[test]
fn a_bad_block_comes_before_what_is_malformed_behind_it() {
    let car = cars::numbered(BLOCKS, 1_000);
    let sections: Vec<_> = open(car.bytes.clone()).sections().map(Result::unwrap).collect();
    for (bad, malformed) in [(2_000, 2_001), (2_000, 2_300), (2_300, 2_000)] {
        let mut bytes = car.bytes.clone();
        damage(&mut bytes, &sections[bad]);
        bytes[usize::try_from(sections[malformed].offset).unwrap()] = 0;
        for count in [1, 2, 4] {
            let error = open(bytes.clone()).scan(threads(count), |_| ControlFlow::Continue(())).unwrap_err();
            match error {
                Error::Integrity { offset, .. } => assert_eq!((offset, bad < malformed), (sections[bad].offset, true)),
                Error::MalformedSection { offset, .. } => {
                    assert_eq!((offset, bad > malformed), (sections[malformed].offset, true));
                }
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn a_scan_that_is_cancelled_shows_nothing_more() {
    let reader = open(cars::numbered(BLOCKS, 1_000).bytes);
    for count in [1, 2, 4] {
        let mut shown = 0;
        let error = reader.scan(threads(count), |_| {
            shown += 1;
            if shown == 1_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(error, Err(Error::Cancelled)), "{error:?}");
        assert_eq!(shown, 1_000);
    }
}

#[test]
fn a_visitor_that_panics_is_never_called_again_and_its_panic_goes_on() {
    let reader = open(cars::numbered(BLOCKS, 1_000).bytes);
    for count in [1, 4] {
        let mut shown = 0;
        let scan = AssertUnwindSafe(|| {
            reader.scan(threads(count), |_| {
                shown += 1;
                assert!(shown != 500, "as it was told to");
                ControlFlow::Continue(())
            })
        });
        let panic = std::panic::catch_unwind(scan).unwrap_err();
        assert!(panic.downcast_ref::<&str>().is_some_and(|text| text.contains("as it was told to")));
        assert_eq!(shown, 500);
    }
}

#[test]
fn a_source_that_fails_or_has_become_shorter_is_told() {
    let car = cars::numbered(BLOCKS, 1_000);
    let sections: Vec<_> = open(car.bytes.clone()).sections().map(Result::unwrap).collect();
    for count in [1, 3] {
        let source = Placed { bytes: car.bytes.clone().into(), bad_from: 3_000_000, longest: AtomicU64::new(0) };
        let reader = CarReader::open(Arc::new(source), ReadOptions::default()).unwrap();
        let error = reader.scan(threads(count), |_| ControlFlow::Continue(())).unwrap_err();
        assert!(matches!(error, Error::Io { offset, .. } if offset <= 3_000_000), "{error:?}");

        // In the middle of a section, and between two.
        for (last, ends_at) in [(2_900, sections[2_900].offset + 500), (2_900, sections[2_900].offset)] {
            let source = Shrunk { bytes: car.bytes.clone().into(), ends_at };
            let reader = CarReader::open(Arc::new(source), ReadOptions::default()).unwrap();
            let mut shown = 0;
            let error = reader.scan(threads(count), |_| {
                shown += 1;
                ControlFlow::Continue(())
            });
            let expected = sections[last].offset;
            assert!(matches!(error, Err(Error::UnexpectedEof { offset, .. }) if offset == expected), "{error:?}");
            assert_eq!(shown, last);
            let options = InspectOptions::default().with_scan(threads(count));
            let inspection = reader.inspect(options).unwrap();
            assert_eq!((inspection.findings.len(), inspection.block_bytes.count), (1, last as u64));
        }
    }
}

/// Bytes that end earlier than they say.
#[derive(Debug)]
struct Shrunk {
    bytes: Bytes,
    ends_at: u64,
}

impl ReadAt for Shrunk {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.ends_at.saturating_sub(offset)).unwrap();
        let count = buffer.len().min(room);
        self.bytes.read_at(offset, &mut buffer[..count])
    }
}

#[test]
fn no_read_is_longer_than_a_section_may_be() {
    // 40 blocks of 1 MiB with a limit of 2: what a thread holds is bounded by the limit, not by the file.
    let car = cars::numbered(40, 1 << 20);
    let source = Arc::new(Placed { bytes: car.bytes.into(), bad_from: u64::MAX, longest: AtomicU64::new(0) });
    let reader = CarReader::open(source.clone(), ReadOptions::default()).unwrap();
    assert_eq!(reader.scan(threads(3), |_| ControlFlow::Continue(())).unwrap().blocks, 40);
    assert!(source.longest.load(Ordering::Relaxed) <= 1 << 20, "{:?}", source.longest);
}
