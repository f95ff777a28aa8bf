//! Every prefix and every flipped bit of small CARs: an error or the right blocks, never a panic, never wrong data.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that panics has failed, as it should")]

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{CarReader, ReadOptions, ScanOptions, Verdict, check};
use dagstore_testkit::cars::{self, TestCar};

fn cases() -> Vec<TestCar> {
    vec![cars::numbered(4, 80), cars::numbered(4, 70).into_v2()]
}

/// Reads all that can be read; every block that passes its check must be one of the originals. Returns whether the whole
/// CAR was read without an error.
fn read(car: &TestCar, damaged: Vec<u8>) -> bool {
    let Ok(reader) = CarReader::open(Arc::new(Bytes::from(damaged)), ReadOptions::default()) else { return false };
    let mut blocks = 0;
    for section in reader.sections() {
        let Ok(section) = section else { return false };
        for hint in [None, Some(0), u32::try_from(section.data_size).ok(), Some(u32::MAX)] {
            let block = reader.read_block(section.offset, hint).expect("a section that was iterated");
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
    let scanned = reader.scan(ScanOptions::verifying(true), |_| ControlFlow::Continue(()));
    scanned.is_ok_and(|summary| summary.unverifiable == 0 && blocks == car.blocks.len())
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

#[test]
fn a_read_at_any_offset_is_an_error_or_a_section() {
    for car in cases() {
        let reader = CarReader::open(Arc::new(Bytes::from(car.bytes.clone())), ReadOptions::default()).unwrap();
        let offsets: Vec<_> = reader.sections().map(|section| section.unwrap().offset).collect();
        for offset in (0..car.bytes.len() as u64 + 10).chain([u64::MAX, u64::MAX - 1, 1 << 63]) {
            let read = reader.read_block(offset, None);
            assert!(read.is_ok() || !offsets.contains(&offset), "{offset}: {read:?}");
        }
    }
}
