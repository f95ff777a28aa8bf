//! What is told of CARs, whole and damaged: where they end and why.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{
    CarReader, CarWriter, Ending, Error, IndexCodec, InspectOptions, Inspection, Place, ReadOptions, ScanOptions,
    V2Options,
};
use dagstore_testkit::cars;

fn open(bytes: &[u8]) -> (CarReader, Option<Error>) {
    let options = ReadOptions { zero_length_is_end: true, ..ReadOptions::default() };
    CarReader::open_damaged(Arc::new(Bytes::copy_from_slice(bytes)), options).unwrap()
}

/// Inspects it with and without hashing, which must tell the same, and sees that the progress only grows.
fn inspect(bytes: &[u8]) -> Inspection {
    let (reader, _) = open(bytes);
    let mut inspections = [true, false].map(|verify| {
        let scan = ScanOptions::verifying(verify);
        let options = InspectOptions::default().with_scan(scan).with_count_distinct(true);
        let mut done = 0;
        let inspection = reader.inspect_with(options, |now| {
            assert!(now >= done, "{now} after {done}");
            done = now;
        });
        let inspection = inspection.unwrap();
        let done = done.max(reader.header_size());
        assert!(done <= inspection.payload_end, "{done}");
        assert!(!inspection.findings.is_empty() || done == inspection.payload_end, "{done}");
        inspection
    });
    let told = |inspection: &Inspection| {
        let Inspection { payload_end, ending, largest_section, distinct_cids, .. } = inspection;
        (*payload_end, *ending, *largest_section, *distinct_cids, inspection.block_bytes)
    };
    assert_eq!(told(&inspections[0]), told(&inspections[1]));
    inspections[0].verified.take().unwrap();
    inspections.into_iter().next().unwrap()
}

#[test]
fn a_whole_car_ends_with_its_payload() {
    // Enough for several threads.
    for (blocks, size) in [(3, 100), (3000, 1000)] {
        let car = cars::numbered(blocks, size);
        let inspection = inspect(&car.bytes);
        assert_eq!((inspection.ending, inspection.payload_end), (Ending::Whole, car.bytes.len() as u64));
        assert_eq!(inspection.distinct_cids, Some(blocks));
        let first = 59;
        assert_eq!(inspection.largest_section.map(|place| place.offset), Some(first), "the first of many");
        assert!(inspection.findings.is_empty() && inspection.index_range.is_none());
    }
}

#[test]
fn the_largest_section_and_different_cids_are_told() {
    let blocks = [vec![1; 10], vec![2; 5000], vec![1; 10], vec![3; 5000], vec![4; 20]];
    let car = cars::of_blocks(blocks);
    let inspection = inspect(&car.bytes);
    assert_eq!(inspection.distinct_cids, Some(4));
    let offset = 59 + 1 + 36 + 10;
    assert_eq!(inspection.largest_section, Some(Place { offset, bytes: 2 + 36 + 5000 }));
    let empty = CarWriter::new(Vec::new(), &[]).unwrap().finish().unwrap();
    assert_eq!(inspect(&empty).largest_section, None);
}

#[test]
fn zeros_end_the_blocks() {
    for blocks in [0, 3, 3000] {
        let car = cars::numbered(blocks, 1000);
        for behind in [&[0][..], &[0; 1000], &[0, 1, 2, 3]] {
            let inspection = inspect(&[&car.bytes, behind].concat());
            assert_eq!((inspection.ending, inspection.payload_end), (Ending::ZeroLength, car.bytes.len() as u64));
        }
    }
}

#[test]
fn what_is_damaged_is_told_as_far_as_it_goes() {
    for blocks in [3_u64, 3000] {
        let car = cars::numbered(blocks, 1000);
        let before_last = car.bytes.len() as u64 - 1038;
        let inspection = inspect(&car.bytes[..car.bytes.len() - 1]);
        assert_eq!((inspection.ending, inspection.payload_end), (Ending::Damaged, before_last));
        assert_eq!(inspection.block_bytes.count, blocks - 1);
        let [finding] = &inspection.findings[..] else { panic!("{:?}", inspection.findings) };
        assert_eq!((finding.name(), finding.offset()), ("truncated", Some(before_last)));
        // A length that is no number.
        let mut bad = car.bytes.clone();
        let at = usize::try_from(before_last).unwrap();
        bad[at..at + 11].fill(0xff);
        let inspection = inspect(&bad);
        assert_eq!((inspection.ending, inspection.payload_end), (Ending::Damaged, before_last));
        assert_eq!(inspection.findings[0].name(), "malformed");
    }
}

#[test]
fn a_bad_block_is_a_finding_and_the_rest_is_told() {
    let car = cars::numbered(3, 1000);
    let mut bytes = car.bytes.clone();
    bytes[500] ^= 1;
    let (reader, _) = open(&bytes);
    let inspection = reader.inspect(InspectOptions::default()).unwrap();
    let [finding] = &inspection.findings[..] else { panic!("{:?}", inspection.findings) };
    assert_eq!((finding.name(), finding.offset(), finding.cid()), ("differs", Some(59), Some(&car.blocks[0].0)));
    assert_eq!((inspection.ending, inspection.verified, inspection.distinct_cids), (Ending::Whole, Some(2), None));
}

fn v2(car: &cars::TestCar) -> Vec<u8> {
    let (reader, _) = open(&car.bytes);
    let mut bytes = Vec::new();
    reader.wrap(V2Options::default().with_index(IndexCodec::MultihashSorted), &mut bytes).unwrap();
    bytes
}

#[test]
fn an_inline_index_is_told_with_its_place() {
    let bytes = v2(&cars::numbered(3, 1000));
    let inspection = inspect(&bytes);
    let index = inspection.header.v2.unwrap().index_offset;
    assert_eq!(inspection.index_range, Some(index..bytes.len() as u64));
    assert_eq!((inspection.index_findings, inspection.findings.len()), (Some(0), 0));
    let more = inspect(&[&bytes[..], b"x"].concat());
    assert_eq!((more.index_range, more.index_findings), (inspection.index_range, Some(1)));
    assert_eq!(more.findings[0].name(), "index-trailing");
}

/// A CARv2 that was cut anywhere is opened for what is there, and told to be damaged; only one without a payload isn't.
#[test]
fn a_carv2_that_was_cut_is_told_as_far_as_it_goes() {
    let car = cars::numbered(3, 100);
    let bytes = v2(&car);
    let whole = inspect(&bytes);
    let payload = whole.header.v2.unwrap();
    let first_block = 51 + 59;
    let mut opened = 0;
    for length in 0..bytes.len() {
        let source = Arc::new(Bytes::copy_from_slice(&bytes[..length]));
        let strictly = CarReader::open(source.clone(), ReadOptions::default());
        let Ok((reader, damage)) = CarReader::open_damaged(source, ReadOptions::default()) else {
            assert!(length < first_block && strictly.is_err(), "{length}");
            continue;
        };
        opened += 1;
        assert!(length >= first_block, "{length}");
        let told = damage.map(|error| error.to_string());
        assert_eq!(told, strictly.err().map(|error| error.to_string()), "{length}");
        let inspection = reader.inspect(InspectOptions::default()).unwrap();
        let there = (length as u64).min(payload.data_offset + payload.data_size) - payload.data_offset;
        assert_eq!(inspection.block_bytes.count, (there - 59) / 138, "{length}");
        assert_eq!(told.is_some(), length as u64 <= payload.index_offset, "{length}");
        // The sample is cut in the payload, between two blocks, or in the index.
        let is_between = (there - 59).is_multiple_of(138);
        assert_eq!(inspection.ending == Ending::Whole, is_between, "{length}");
        assert_eq!(inspection.findings.is_empty(), is_between && length as u64 <= payload.index_offset, "{length}");
    }
    assert_eq!(opened, bytes.len() - first_block);
}
