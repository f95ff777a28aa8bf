//! How a CAR is walked: windows, the number of reads, what hostile input costs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use dagstore_car::{CarReader, CarWriter, Error, RawCid, ReadOptions, ScanOptions, v2_head};
use dagstore_fs::ReadAt;
use dagstore_testkit::cars;
use proptest::prelude::*;

/// A source that counts its reads, with zeros behind its bytes up to a size.
#[derive(Debug)]
struct Counting {
    bytes: Bytes,
    size: u64,
    reads: AtomicU64,
    most_reads: u64,
}

impl Counting {
    fn new(bytes: Vec<u8>) -> Arc<Self> {
        let size = bytes.len() as u64;
        Arc::new(Self { bytes: bytes.into(), size, reads: AtomicU64::new(0), most_reads: u64::MAX })
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl ReadAt for Counting {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= self.most_reads {
            return Err(io::Error::other("too many reads"));
        }
        let room = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = buffer.len().min(room);
        buffer[..count].fill(0);
        self.bytes.read_at(offset, &mut buffer[..count])?;
        Ok(count)
    }
}

/// Offset, size and multihash of every block, as a scan sees them, in the order of their offsets.
fn scanned(reader: &CarReader, verify: bool) -> Vec<(u64, u64, Vec<u8>)> {
    let (mut seen, mut done) = (Vec::new(), 0);
    let summary = reader.scan(ScanOptions::verifying(verify), |block| {
        assert!(block.end > done, "progress from {done} to {}", block.end);
        done = block.end;
        seen.push((block.offset, block.data_size, block.multihash.bytes().to_vec()));
        ControlFlow::Continue(())
    });
    let summary = summary.unwrap();
    assert_eq!((summary.blocks, summary.unverifiable), (seen.len() as u64, 0));
    assert!(seen.is_empty() || done == reader.payload_size(), "done with {done} of {}", reader.payload_size());
    if verify {
        seen.sort_unstable();
    }
    seen
}

/// A raw block under an identity CID: the CID is as long as the data.
fn identity(data: &[u8]) -> RawCid {
    let mut bytes = vec![1, 0x55, 0];
    let mut left = data.len();
    while left >= 0x80 {
        bytes.push(left.to_le_bytes()[0] | 0x80);
        left >>= 7;
    }
    bytes.push(left.to_le_bytes()[0]);
    bytes.extend(data);
    RawCid::from_bytes(&bytes).unwrap()
}

#[test]
fn large_sections_cost_one_read_each() {
    let car = cars::numbered(100, 20_000);
    let source = Counting::new(car.bytes);
    let reader = CarReader::open(source.clone(), ReadOptions::default()).unwrap();
    let before = source.reads();
    assert_eq!(scanned(&reader, false).len(), 100);
    assert!(source.reads() - before <= 102, "{} reads for 100 sections", source.reads() - before);
}

#[test]
fn every_hash_function_in_the_collection_verifies() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/car/made/many-hashes.car");
    let bytes = Bytes::from(std::fs::read(path).unwrap());
    let reader = CarReader::open(Arc::new(bytes), ReadOptions::default()).unwrap();
    assert_eq!(scanned(&reader, true).len(), 12);
}

#[test]
fn only_null_is_null() {
    for other in [&b"\xf8\x16"[..], b"\xf9\x00\x16", b"\xfa\x00\x00\x00\x16", b"\xfb\x00\x00\x00\x00\x00\x00\x00\x16"] {
        let map = [b"\xa2\x65roots", other, b"\x67version\x01"].concat();
        let car = [&[u8::try_from(map.len()).unwrap()][..], &map].concat();
        let opened = CarReader::open(Arc::new(Bytes::from(car)), ReadOptions::default());
        assert!(matches!(opened, Err(Error::MalformedHeader { .. })), "{other:02x?}: {opened:?}");
    }
}

#[test]
fn an_index_of_empty_codes_is_not_walked_to_its_end() {
    // A file of 24 GiB that takes no space on a disk: 0x0401, 2^31 - 1 codes, each zero with no buckets.
    let payload = cars::one_block(b"alpha").bytes;
    let mut bytes = [&v2_head(payload.len() as u64)[..], &payload].concat();
    let index_offset = bytes.len() as u64;
    bytes[43..51].copy_from_slice(&index_offset.to_le_bytes());
    bytes.extend([0x81, 0x08, 0xff, 0xff, 0xff, 0x7f]);
    let size = bytes.len() as u64 + 12 * 0x7fff_ffff;
    let source = Counting { bytes: bytes.into(), size, reads: AtomicU64::new(0), most_reads: 1_000_000 };
    let reader = CarReader::open(Arc::new(source), ReadOptions::default()).unwrap();
    let result = reader.scan(ScanOptions::default(), |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(Error::Limit { .. } | Error::MalformedIndex { .. })), "{result:?}");
}

#[test]
fn texts_are_bounded_and_version_0_has_no_prefix() {
    assert!("z".repeat(100_000).parse::<RawCid>().is_err_and(|error| error.to_string().contains("8192 are the most")));
    let v0: RawCid = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".parse().unwrap();
    let prefixed = multibase::encode(multibase::Base::Base32Lower, v0.as_bytes());
    assert!(prefixed.parse::<RawCid>().is_err());
}

#[test]
fn a_length_can_lie_across_the_end_of_what_is_read_at_once() {
    for boundary in [128 << 10, 256 << 10] {
        for beside in 0..6 {
            // Length and CID take 39 bytes.
            let first = vec![7; boundary - 39 + 3 - beside];
            let car = cars::of_blocks([first, vec![8; 20_000], vec![9; 300_000], vec![1; 10]]);
            let reader = CarReader::open(Counting::new(car.bytes), ReadOptions::default()).unwrap();
            for verify in [false, true] {
                assert_eq!(scanned(&reader, verify).len(), 4, "{beside} beside {boundary}, verify {verify}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn what_is_written_is_walked_across_windows(
        sizes in prop::collection::vec(prop_oneof![4 => 0_usize..2_000, 1 => 10_000_usize..40_000, 1 => 200_000_usize..600_000], 0..40),
        v2 in any::<bool>(),
    ) {
        let mut writer = CarWriter::new(Vec::new(), &[]).unwrap();
        let mut expected = Vec::new();
        for (number, size) in sizes.into_iter().enumerate() {
            let data: Vec<u8> = (0..size).map(|at| (at ^ number).to_le_bytes()[0]).collect();
            let cid = if number % 5 == 4 && size < 2_000 { identity(&data) } else { RawCid::of_data(0x55, &data) };
            expected.push((writer.written_bytes(), data.len() as u64, cid.multihash().bytes().to_vec()));
            writer.write(&cid, &data).unwrap();
        }
        let payload = writer.finish().unwrap();
        let bytes = if v2 { [&v2_head(payload.len() as u64)[..], &payload].concat() } else { payload };
        let reader = CarReader::open(Arc::new(Bytes::from(bytes)), ReadOptions::default()).unwrap();
        prop_assert_eq!(&scanned(&reader, false), &expected);
        prop_assert_eq!(&scanned(&reader, true), &expected);
        let sections: Vec<_> = reader.sections().map(Result::unwrap).collect();
        prop_assert_eq!(sections.len(), expected.len());
        for (section, (offset, size, multihash)) in sections.iter().zip(&expected) {
            prop_assert_eq!((section.offset, section.data_size), (*offset, *size));
            prop_assert_eq!(section.cid.multihash().bytes(), &multihash[..]);
        }
    }
}
