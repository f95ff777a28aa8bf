//! CARs and indices that are written, read again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io::{Cursor, Seek, SeekFrom, Write};
use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{
    CarReader, Finding, GoIndex, GoIndexBuilder, IndexCodec, IndexFinding, InspectOptions, Limits, MultihashRef,
    RawCid, ReadOptions, V2Options, V2Writer,
};
use proptest::prelude::*;

const CODECS: [Option<IndexCodec>; 3] = [None, Some(IndexCodec::Sorted), Some(IndexCodec::MultihashSorted)];

fn open(bytes: Vec<u8>) -> CarReader {
    CarReader::open(Arc::new(Bytes::from(bytes)), ReadOptions::default()).unwrap()
}

fn open_index(bytes: Vec<u8>) -> dagstore_car::Result<GoIndex> {
    GoIndex::open(Arc::new(Bytes::from(bytes)), &Limits::default())
}

/// A raw block under an identity CID.
fn identity(data: &[u8]) -> RawCid {
    let length = u8::try_from(data.len()).unwrap();
    RawCid::from_bytes(&[&[1, 0x55, 0, length], data].concat()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_written_car_comes_back_without_a_finding(
        blocks in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..100), any::<bool>()), 0..40),
        padding in (0_u32..3_000, 0_u32..3_000),
        codec in prop::sample::select(&CODECS[..]),
        fully_indexed in any::<bool>(),
    ) {
        let blocks: Vec<_> = blocks
            .into_iter()
            .map(|(data, inline)| (if inline { identity(&data) } else { RawCid::of_data(0x55, &data) }, data))
            .collect();
        let roots: Vec<_> = blocks.iter().take(2).map(|(cid, _)| cid.clone()).collect();
        let mut options = V2Options::default().with_padding(padding.0, padding.1).with_fully_indexed(fully_indexed);
        options.index = codec;
        // Behind something else: a CAR begins where its writer is.
        let mut out = Cursor::new(b"in front".to_vec());
        out.seek(SeekFrom::End(0)).unwrap();
        let mut writer = V2Writer::new(out, &roots, options).unwrap();
        for (cid, data) in &blocks {
            writer.write(cid, data).unwrap();
        }
        let mut out = writer.finish().unwrap();
        out.write_all(b"behind").unwrap();
        let bytes = out.into_inner();
        let bytes = bytes.strip_prefix(b"in front").unwrap().strip_suffix(b"behind").unwrap().to_vec();

        let reader = open(bytes.clone());
        prop_assert_eq!(&reader.header().roots, &roots);
        let inspection = reader.inspect(InspectOptions::default()).unwrap();
        prop_assert_eq!(inspection.index_codec, codec);
        prop_assert_eq!(inspection.verified, Some(blocks.len() as u64));
        prop_assert!(inspection.roots_present.iter().all(|is_present| *is_present));
        prop_assert!(inspection.findings.is_empty(), "{:?}", inspection.findings);
        let read: Vec<_> = reader.sections().map(|section| reader.read_block(section.unwrap().offset, None).unwrap()).collect();
        let read: Vec<_> = read.into_iter().map(|block| (block.cid, block.data.to_vec())).collect();
        prop_assert_eq!(read, blocks);
        let mut wrapped = Vec::new();
        reader.wrap(options, &mut wrapped).unwrap();
        prop_assert_eq!(wrapped, bytes);
    }
}

#[test]
fn a_lookup_finds_what_is_there_and_no_more() {
    let cids: Vec<_> = (0..500_u32).map(|number| RawCid::of_data(0x55, &number.to_be_bytes())).collect();
    for codec in [IndexCodec::Sorted, IndexCodec::MultihashSorted] {
        let mut builder = GoIndexBuilder::new(codec);
        for (offset, cid) in (0..).zip(&cids[..400]) {
            builder.add(cid.multihash(), offset);
            if offset % 7 == 0 {
                builder.add(cid.multihash(), 1_000 + offset);
            }
        }
        // The same digest by another function, and a digest that is the beginning of another.
        let other = [&[0x16, 32][..], cids[0].multihash().digest()].concat();
        builder.add(MultihashRef::parse(&other).unwrap(), 5_000);
        let shorter = [&[0x12, 20][..], &cids[1].multihash().digest()[..20]].concat();
        builder.add(MultihashRef::parse(&shorter).unwrap(), 6_000);
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        let index = open_index(bytes).unwrap();
        for (offset, cid) in (0..).zip(&cids) {
            let mut expected = Vec::new();
            if offset < 400 {
                expected.push(offset);
                if offset % 7 == 0 {
                    expected.push(1_000 + offset);
                }
            }
            if offset == 0 && codec == IndexCodec::Sorted {
                expected.push(5_000);
            }
            assert_eq!(index.lookup(cid.multihash(), 10).unwrap(), expected);
            expected.truncate(1);
            assert_eq!(index.lookup(cid.multihash(), 1).unwrap(), expected);
        }
        assert_eq!(index.lookup(MultihashRef::parse(&shorter).unwrap(), 10).unwrap(), [6_000]);
    }
}

#[test]
fn what_is_wrong_with_an_index_is_found() {
    let cids: Vec<_> = (0..4_u8).map(|number| RawCid::of_data(0x55, &[number])).collect();
    let mut writer = dagstore_car::CarWriter::new(Vec::new(), &[]).unwrap();
    for (number, cid) in (0..).zip(&cids) {
        writer.write(cid, &[number]).unwrap();
    }
    let reader = open(writer.finish().unwrap());
    let offsets: Vec<_> = reader.sections().map(|section| section.unwrap().offset).collect();
    let compared = |records: &[(usize, u64)], more: &[u8]| {
        let mut builder = GoIndexBuilder::new(IndexCodec::MultihashSorted);
        for (number, offset) in records {
            builder.add(cids[*number].multihash(), *offset);
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes).unwrap();
        bytes.extend(more);
        reader.compare_index(&open_index(bytes).unwrap(), true, 3).unwrap()
    };
    let right: Vec<_> = (0..).zip(offsets.iter().copied()).collect();
    assert_eq!(compared(&right, b"").findings, []);
    assert_eq!(compared(&right, b"x").findings, [IndexFinding::Trailing { bytes: 1 }]);
    let twice = [&right[..], &right[2..3]].concat();
    assert!(
        matches!(compared(&twice, b"").findings[..], [IndexFinding::Repeated { offset, .. }] if offset == offsets[2])
    );
    let report = compared(&[], b"");
    assert_eq!((report.sections, report.findings.len(), report.left_out), (4, 3, 1));
    let beside = [(0, offsets[0] + 1), (1, offsets[1]), (2, offsets[2]), (3, offsets[3])];
    let report = compared(&beside, b"");
    assert!(
        matches!(&report.findings[..], [IndexFinding::NotASection { .. }, IndexFinding::Missing { cid, .. }] if *cid == cids[0])
    );
}

#[test]
fn a_record_out_of_order_is_found() {
    // 0x0400, one bucket of two records of 9 bytes, the greater digest in front.
    let bytes = [
        &[0x80, 0x08, 1, 0, 0, 0, 9, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0][..],
        &[7, 0, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let index = open_index(bytes.concat()).unwrap();
    let reader = open(dagstore_testkit::cars::of_blocks([]).bytes);
    let report = reader.compare_index(&index, true, 10).unwrap();
    assert!(report.findings.contains(&IndexFinding::Unsorted { place: 27 }), "{:?}", report.findings);
}

#[test]
fn an_inspection_goes_on_behind_bad_blocks_and_tells_the_first_ones() {
    let car = dagstore_testkit::cars::numbered(3_000, 1_000);
    let sections: Vec<_> = open(car.bytes.clone()).sections().map(Result::unwrap).collect();
    let mut bytes = car.bytes;
    for section in sections.iter().skip(1).step_by(10) {
        bytes[usize::try_from(section.data_offset).unwrap()] ^= 1;
    }
    // The version of a CID.
    bytes[usize::try_from(sections[15].offset).unwrap() + 2] = 9;
    let inspection = open(bytes).inspect(InspectOptions::default().with_most_findings(4)).unwrap();
    assert_eq!((inspection.findings.len(), inspection.left_out), (4, 297));
    assert_eq!((inspection.block_bytes.count, inspection.verified), (2_999, Some(2_699)));
    let offsets: Vec<_> = inspection
        .findings
        .iter()
        .map(|finding| match finding {
            Finding::Car(dagstore_car::Error::Integrity { offset, .. }) => (true, *offset),
            Finding::Car(dagstore_car::Error::MalformedSection { offset, .. }) => (false, *offset),
            other => panic!("{other}"),
        })
        .collect();
    let expected = [(true, 1), (true, 11), (false, 15), (true, 21)].map(|(hash, at)| (hash, sections[at].offset));
    assert_eq!(offsets, expected);
}
