//! A CAR that arrives in pieces: the same blocks and errors as when it is read by positions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::ops::ControlFlow;

use bytes::Bytes;
use common::agree;
use dagstore_car::{CarWriter, Error, RawCid, ReadOptions, ScanOptions, StreamScanner, v2_head};
use dagstore_testkit::cars;
use proptest::prelude::*;

const EVERY_BYTE: &[usize] = &[1];
const ALL: &[usize] = &[usize::MAX];

#[test]
fn blocks_are_shown_while_they_arrive() {
    let car = cars::numbered(50, 1_000);
    let mut scanner = StreamScanner::new(ReadOptions::default(), ScanOptions::verifying(true), None);
    let mut shown = 0;
    for (at, byte) in car.bytes.iter().enumerate() {
        let mut visit = |_: dagstore_car::Scanned<'_>| {
            shown += 1;
            ControlFlow::Continue(())
        };
        scanner.push(&[*byte], &mut visit).unwrap();
        scanner.flush(&mut visit).unwrap();
        let whole = scanner.header().map_or(0, |_| at.saturating_sub(58) / 1_038);
        assert!(shown >= whole, "{shown} of {whole} blocks after {at} bytes");
    }
    assert_eq!(scanner.received_bytes(), car.bytes.len() as u64);
    assert_eq!(scanner.finish(|_| ControlFlow::Continue(())).unwrap().blocks, 50);
}

#[test]
fn a_scanner_that_failed_takes_nothing_more() {
    let car = cars::numbered(3, 100);
    let mut scanner = StreamScanner::new(ReadOptions::default(), ScanOptions::default(), None);
    let broken = scanner.push(&car.bytes, |_| ControlFlow::Break(()));
    let broken = broken.and_then(|()| scanner.flush(|_| ControlFlow::Break(())));
    assert!(matches!(broken, Err(Error::Cancelled)), "{broken:?}");
    let visit = |_: dagstore_car::Scanned<'_>| panic!("it was cancelled");
    assert!(matches!(scanner.push(&[], visit), Err(Error::Cancelled)));
    assert!(matches!(scanner.finish(visit), Err(Error::Cancelled)));
}

#[test]
fn a_scanner_whose_visitor_panicked_takes_nothing_more() {
    let car = cars::numbered(3, 100);
    let mut scanner = StreamScanner::new(ReadOptions::default(), ScanOptions::default(), None);
    scanner.push(&car.bytes, |_| ControlFlow::Continue(())).unwrap();
    let flush = std::panic::AssertUnwindSafe(|| scanner.flush(|_| panic!("as it was told to")));
    assert!(std::panic::catch_unwind(flush).is_err());
    let finished = scanner.finish(|_| panic!("once is enough"));
    assert!(matches!(finished, Err(Error::Cancelled)), "{finished:?}");
}

#[test]
fn more_or_fewer_bytes_than_announced_are_an_error() {
    let car = cars::numbered(3, 100).into_v2();
    for (size, is_more) in [(car.bytes.len() as u64 + 1, false), (car.bytes.len() as u64 - 1, true)] {
        let size = Some(size);
        let mut scanner = StreamScanner::new(ReadOptions::default(), ScanOptions::default(), size);
        let visit = |_: dagstore_car::Scanned<'_>| ControlFlow::Continue(());
        let pushed = scanner.push(&car.bytes, visit);
        if is_more {
            assert!(matches!(pushed, Err(Error::Limit { .. })), "{pushed:?}");
        } else {
            pushed.unwrap();
            let end = scanner.finish(visit);
            assert!(matches!(end, Err(Error::UnexpectedEof { .. })), "{end:?}");
        }
    }
}

#[test]
fn large_streams_are_hashed_on_threads_and_stay_in_order() {
    let car = cars::numbered(5_000, 1_000);
    let bytes = Bytes::from(car.bytes);
    let [verified, _] =
        agree("5,000 blocks", &bytes, &ReadOptions::default(), &[&[10_000], &[100_001], ALL, &[70_000, 3]]);
    assert_eq!(verified.blocks.len(), 5_000);
    let mut damaged = bytes.to_vec();
    damaged[2_000_000] ^= 1;
    damaged[2_000_000 + 5_000] ^= 1;
    let [verified, _] = agree("damaged", &damaged.into(), &ReadOptions::default(), &[&[10_000], &[100_001], ALL]);
    assert!(verified.end.unwrap_err().contains("Integrity"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_pieces_of_any_car_damaged_or_not_agree(
        sizes in prop::collection::vec(prop_oneof![8 => 0_usize..300, 1 => 10_000_usize..150_000], 0..30),
        v2 in any::<bool>(),
        zeros in 0_usize..3,
        zero_length_is_end in any::<bool>(),
        pieces in prop::collection::vec(prop_oneof![1_usize..40, 1_000_usize..200_000], 1..6),
        damage in prop::option::of((any::<prop::sample::Index>(), 0_u8..8)),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut writer = CarWriter::new(Vec::new(), &[]).unwrap();
        for (number, size) in sizes.into_iter().enumerate() {
            let data: Vec<u8> = (0..size).map(|at| (at ^ number).to_le_bytes()[0]).collect();
            writer.write(&RawCid::of_data(0x55, &data), &data).unwrap();
        }
        let mut payload = writer.finish().unwrap();
        payload.extend(vec![0; zeros]);
        let mut bytes = if v2 { [&v2_head(payload.len() as u64)[..], &payload].concat() } else { payload };
        if let Some((at, bit)) = damage {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let options = ReadOptions { zero_length_is_end, ..ReadOptions::default() };
        let pieces: &[usize] = &pieces;
        agree("made up", &bytes.into(), &options, &[pieces, pieces, pieces, ALL]);
    }
}

#[test]
fn byte_by_byte_is_enough() {
    for car in [cars::numbered(4, 80), cars::numbered(4, 70).into_v2()] {
        let outcome = agree("small", &car.bytes.into(), &ReadOptions::default(), &[EVERY_BYTE, EVERY_BYTE, ALL, &[7]]);
        assert_eq!(outcome.map(|outcome| outcome.blocks.len()), [4, 4]);
    }
}

/// What is wrong with the length is told, and not that the header is missing.
#[test]
fn a_stream_that_ends_with_the_length_of_its_header_is_no_other_error() {
    let lengths =
        [&[0][..], &[0x80, 0], &[0xff, 0xff, 0xff, 1], &[0xff; 9], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]];
    for (length, error) in lengths.into_iter().zip(["Malformed", "Malformed", "Limit", "Malformed", "Limit"]) {
        let bytes = Bytes::copy_from_slice(length);
        let [outcome, _] = agree("a length", &bytes, &ReadOptions::default(), &[EVERY_BYTE, ALL]);
        assert!(outcome.end.as_ref().is_err_and(|end| end.starts_with(error)), "{outcome:?}");
    }
}
