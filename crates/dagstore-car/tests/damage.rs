//! Every prefix and every flipped bit of small CARs and indices: an error or the right blocks, never a panic, never wrong
//! data, whichever way they are read.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use common::{Positioned, agree};
use dagstore_car::{
    CarReader, GoIndex, IndexCodec, InspectOptions, Limits, ReadOptions, ScanOptions, V2Options, Verdict, check,
};
use dagstore_testkit::cars::{self, TestCar};

const INDEXED: [IndexCodec; 2] = [IndexCodec::Sorted, IndexCodec::MultihashSorted];

fn open(bytes: impl Into<Bytes>) -> dagstore_car::Result<CarReader> {
    CarReader::open(Arc::new(bytes.into()), ReadOptions::default())
}

fn cases() -> Vec<TestCar> {
    let mut cases = vec![cars::numbered(4, 80), cars::numbered(4, 70).into_v2()];
    cases.extend(INDEXED.map(indexed));
    cases
}

fn indexed(codec: IndexCodec) -> TestCar {
    let mut car = cars::numbered(3, 50);
    let mut bytes = Vec::new();
    open(car.bytes).unwrap().wrap(V2Options::default().with_index(codec).with_padding(3, 5), &mut bytes).unwrap();
    car.bytes = bytes;
    car
}

/// Reads all that can be read; every block that passes its check must be one of the originals. Returns whether the whole
/// CAR was read without an error.
fn read(car: &TestCar, damaged: Vec<u8>) -> bool {
    let damaged = Bytes::from(damaged);
    let [verified, _] = agree("damaged", &damaged, &ReadOptions::default(), &[&[37]]);
    let Ok(reader) = open(damaged.clone()) else { return false };
    let placed = CarReader::open(Arc::new(Positioned(damaged)), ReadOptions::default()).unwrap();
    let inspection = reader.inspect(InspectOptions::default()).unwrap();
    let mut blocks = 0;
    for section in reader.sections() {
        let Ok(section) = section else {
            assert!(!inspection.findings.is_empty() && verified.end.is_err(), "a malformed section that isn't told");
            return false;
        };
        for hint in [None, Some(0), u32::try_from(section.data_size).ok(), Some(u32::MAX)] {
            let block = reader.read_block(section.offset, hint).expect("a section that was iterated");
            assert_eq!(block, placed.read_block(section.offset, hint).unwrap());
            assert_eq!(block.cid, section.cid);
            let original =
                car.blocks.iter().any(|(cid, data)| *data == block.data && cid.multihash() == block.cid.multihash());
            assert!(
                original || check(block.cid.multihash(), &block.data) != Verdict::Matches,
                "wrong data for {}",
                block.cid
            );
        }
        blocks += 1;
    }
    assert!(verified.end.is_ok() || !inspection.findings.is_empty(), "{:?} isn't told", verified.end);
    verified.end.is_ok_and(|summary| summary.unverifiable == 0 && blocks == car.blocks.len())
}

#[test]
fn every_prefix() {
    for car in cases() {
        assert!(read(&car, car.bytes.clone()));
        for length in 0..car.bytes.len() {
            // A CARv1 that is cut between two sections is a shorter CARv1.
            assert!(!read(&car, car.bytes[..length].to_vec()), "{length} of {} bytes", car.bytes.len());
        }
    }
}

#[test]
fn every_flipped_bit() {
    for car in cases() {
        for at in 0..car.bytes.len() {
            for bit in 0..8 {
                let mut damaged = car.bytes.clone();
                damaged[at] ^= 1 << bit;
                read(&car, damaged);
            }
        }
    }
}

/// The findings of an index, or 1 where it is refused. Looks up and shows whatever it says.
fn findings(reader: &CarReader, index: dagstore_car::Result<GoIndex>) -> usize {
    let Ok(index) = index else { return 1 };
    let mut shown = 0;
    index
        .scan(|_| {
            shown += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(shown, index.records());
    for section in reader.sections().map(Result::unwrap) {
        for offset in index.lookup(section.cid.multihash(), 10).unwrap() {
            drop(reader.read_block(offset, None));
        }
    }
    reader.compare_index(&index, true, 10).unwrap().findings.len()
}

#[test]
fn every_flipped_bit_and_every_prefix_of_an_index_is_found() {
    let car = open(cars::numbered(4, 50).bytes).unwrap();
    for codec in INDEXED {
        let mut bytes = Vec::new();
        car.go_index(codec, true).unwrap().write(&mut bytes).unwrap();
        let opened = |bytes: Vec<u8>| GoIndex::open(Arc::new(Bytes::from(bytes)), &Limits::default());
        assert_eq!(findings(&car, opened(bytes.clone())), 0);
        for length in 0..bytes.len() {
            assert!(findings(&car, opened(bytes[..length].to_vec())) > 0, "{codec:?}: {length} of {}", bytes.len());
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(findings(&car, opened(damaged)) > 0, "{codec:?}: bit {bit} of byte {at}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_an_inline_index_is_found() {
    for codec in INDEXED {
        let car = indexed(codec);
        let start = usize::try_from(open(car.bytes.clone()).unwrap().header().v2.unwrap().index_offset).unwrap();
        for at in start..car.bytes.len() {
            for bit in 0..8 {
                let mut damaged = car.bytes.clone();
                damaged[at] ^= 1 << bit;
                let reader = open(damaged).unwrap();
                assert!(findings(&reader, reader.inline_index().map(Option::unwrap)) > 0, "bit {bit} of byte {at}");
                let inspection = reader.inspect(InspectOptions::default()).unwrap();
                assert!(!inspection.findings.is_empty(), "bit {bit} of byte {at}");
                // The blocks are good all the same.
                assert_eq!(inspection.verified, Some(3));
            }
        }
    }
}

#[test]
fn a_read_at_any_offset_is_an_error_or_a_section() {
    for car in cases() {
        let reader = open(car.bytes.clone()).unwrap();
        let placed = CarReader::open(Arc::new(Positioned(car.bytes.clone().into())), ReadOptions::default()).unwrap();
        let offsets: Vec<_> = reader.sections().map(|section| section.unwrap().offset).collect();
        for offset in (0..car.bytes.len() as u64 + 10).chain([u64::MAX, u64::MAX - 1, 1 << 63]) {
            let read = reader.read_block(offset, None);
            assert!(read.is_ok() || !offsets.contains(&offset), "{offset}: {read:?}");
            for hint in [None, Some(0), Some(5_000)] {
                assert_eq!(format!("{:?}", placed.read_block(offset, hint)), format!("{read:?}"), "{offset}");
            }
        }
    }
}

#[test]
fn shared_blocks_are_slices_of_their_source() {
    let car = cars::numbered(3, 1_000);
    let bytes = Bytes::from(car.bytes);
    let inside = bytes.as_ptr_range();
    let reader = open(bytes.clone()).unwrap();
    for section in reader.sections().map(Result::unwrap) {
        let block = reader.read_block(section.offset, None).unwrap();
        assert!(inside.contains(&block.data.as_ptr()), "a copy");
        let placed = CarReader::open(Arc::new(Positioned(bytes.clone())), ReadOptions::default()).unwrap();
        assert!(!inside.contains(&placed.read_block(section.offset, None).unwrap().data.as_ptr()));
    }
    assert_eq!(reader.scan(ScanOptions::verifying(true), |_| ControlFlow::Continue(())).unwrap().blocks, 3);
}
