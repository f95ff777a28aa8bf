//! One CAR read in every way there is, with the same outcome.

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{CarReader, ReadOptions, Result, ScanOptions, ScanSummary, Scanned, StreamScanner};
use dagstore_fs::ReadAt;

/// Bytes that can't be shared, as a file's.
#[derive(Debug)]
pub(crate) struct Positioned(pub(crate) Bytes);

impl ReadAt for Positioned {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, buffer)
    }
}

/// Blocks and end of a scan.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Offset, size and multihash, in the order they came.
    pub(crate) blocks: Vec<(u64, u64, Vec<u8>)>,
    pub(crate) end: Result<ScanSummary, String>,
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

pub(crate) fn positioned(bytes: &Bytes, options: &ReadOptions, scan: ScanOptions) -> Outcome {
    gather(|visit| {
        let reader = CarReader::open(Arc::new(Positioned(bytes.clone())), options.clone())?;
        reader.scan(scan, visit)
    })
}

/// Pushes the bytes in pieces of these lengths, over and over; with a flush after each piece or without.
pub(crate) fn streamed(
    bytes: &Bytes,
    (options, scan): (&ReadOptions, ScanOptions),
    knows_size: bool,
    pieces: &[usize],
    flush: bool,
) -> Outcome {
    gather(|visit| {
        let size = knows_size.then_some(bytes.len() as u64);
        let mut scanner = StreamScanner::new(options.clone(), scan, size);
        let (mut rest, mut pieces) = (&bytes[..], pieces.iter().cycle());
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
            scanner.push(piece, &mut *visit)?;
            if flush {
                scanner.flush(&mut *visit)?;
            }
            rest = behind;
        }
        scanner.finish(visit)
    })
}

/// Reads it by positions, on one thread and on several, and as a stream in several pieces; all must agree. Returns the
/// outcome with and without hashing.
pub(crate) fn agree(name: &str, bytes: &Bytes, options: &ReadOptions, pieces: &[&[usize]]) -> [Outcome; 2] {
    [true, false].map(|verify| {
        let scan = |threads| ScanOptions::verifying(verify).with_threads(NonZeroUsize::new(threads).unwrap());
        let expected = positioned(bytes, options, scan(1));
        let mut parallel = positioned(bytes, options, scan(3));
        parallel.blocks.sort_unstable();
        assert_eq!(parallel.end, expected.end, "{name}: threads, verify {verify}");
        assert!(expected.blocks.iter().all(|block| parallel.blocks.binary_search(block).is_ok()), "{name}: threads");
        for (number, pieces) in pieces.iter().enumerate() {
            let (flush, scan) = (number % 2 == 1, scan(1 + number % 3));
            let known = streamed(bytes, (options, scan), true, pieces, flush);
            assert_eq!(known, expected, "{name}: a stream of known size in pieces {pieces:?}");
            let unknown = streamed(bytes, (options, scan), false, pieces, flush);
            if expected.end.is_ok() {
                assert_eq!(unknown, expected, "{name}: a stream of unknown size in pieces {pieces:?}");
            } else {
                assert!(unknown.end.is_err(), "{name}: a stream of unknown size takes what positions refuse");
                let same = expected.blocks.iter().zip(&unknown.blocks).all(|(expected, block)| expected == block);
                assert!(same, "{name}: a stream of unknown size shows other blocks");
            }
        }
        expected
    })
}
