//! The target `go-index`: any bytes as an index of go-car's.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use dagstore_car::{CarReader, CarWriter, GoIndex, IndexFinding, Limits, MultihashRef, RawCid, ReadOptions};

use crate::files::Positioned;

/// How many different digests are looked up.
const MOST_DIGESTS: usize = 64;

/// An input is an index. What can be opened is read to its end; looking a digest up finds the records that a scan shows, all of
/// them where the index is sorted; held against a CAR, each record is judged.
pub fn go_index(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let limits = Limits::default();
    let [owned, shared] =
        [GoIndex::open(Arc::new(Positioned(bytes.clone())), &limits), GoIndex::open(Arc::new(bytes.clone()), &limits)];
    let told = |result: &dagstore_car::Result<GoIndex>| result.as_ref().err().map(|error| format!("{error:?}"));
    assert_eq!(told(&owned), told(&shared));
    let Ok(index) = owned else { return };
    let records = records(&index, bytes.len() as u64);
    assert!(index.trailing_bytes() <= bytes.len() as u64);
    look_up(&index, &records);
    compare(&index, &records);
}

/// What a record says.
struct Record {
    code: Option<u64>,
    digest: Vec<u8>,
    offset: u64,
}

/// All records, as a scan shows them.
fn records(index: &GoIndex, size: u64) -> Vec<Record> {
    let (mut records, mut place) = (Vec::new(), 0);
    let scanned = index.scan(|record| {
        assert!(record.place > place && record.place + record.digest.len() as u64 + 8 <= size, "places only grow");
        place = record.place;
        records.push(Record { code: record.code, digest: record.digest.to_vec(), offset: record.offset });
        ControlFlow::Continue(())
    });
    scanned.expect("memory can be read");
    assert_eq!(records.len() as u64, index.records());
    if index.records() > 0 {
        let broken = index.scan(|_| ControlFlow::Break(()));
        assert!(matches!(broken, Err(dagstore_car::Error::Cancelled)), "{broken:?}");
    }
    records
}

/// Looks up the digests that are there.
fn look_up(index: &GoIndex, records: &[Record]) {
    let mut wanted: BTreeMap<(Option<u64>, &[u8]), Vec<u64>> = BTreeMap::new();
    for record in records {
        wanted.entry((record.code, &record.digest)).or_default().push(record.offset);
    }
    // Widths may come twice in a malformed index, and then in any order.
    let is_sorted = records.is_sorted_by(|one, next| {
        one.code == next.code && one.digest.len() == next.digest.len() && one.digest <= next.digest
    });
    for ((code, digest), offsets) in wanted.into_iter().take(MOST_DIGESTS) {
        let multihash = multihash(code.unwrap_or(0x12), digest);
        // A code of 64 bits is none that a multihash can have.
        let Ok(multihash) = MultihashRef::parse(&multihash) else { continue };
        let found = index.lookup(multihash, usize::MAX).expect("memory can be read");
        if is_sorted {
            assert_eq!(found, offsets, "a sorted index misses records");
        }
        assert!(found.iter().all(|offset| offsets.contains(offset)), "a look-up finds what isn't there");
        let few = index.lookup(multihash, 1).expect("memory can be read");
        assert_eq!(few[..], found[..found.len().min(1)]);
    }
}

/// Holds the index against a CAR of three blocks, one of them with an identity CID.
fn compare(index: &GoIndex, records: &[Record]) {
    let mut writer = CarWriter::new(Vec::new(), &[]).expect("memory can be written");
    let identity = RawCid::from_bytes(b"\x01\x55\x00\x02ab").expect("a CID");
    for (cid, data) in [(RawCid::of_data(0x55, b"a"), &b"a"[..]), (identity, b"ab"), (RawCid::of_data(0x55, b""), b"")]
    {
        writer.write(&cid, data).expect("memory can be written");
    }
    let car = Bytes::from(writer.finish().expect("memory can be written"));
    let reader = CarReader::open(Arc::new(car), ReadOptions::default()).expect("it was just written");
    let starts: Vec<_> = reader.sections().map(|section| section.expect("it was just written").offset).collect();
    let report = reader.compare_index(index, true, usize::MAX).expect("memory can be read");
    assert_eq!((report.records, report.sections, report.left_out), (records.len() as u64, 3, 0));
    let count = |is: fn(&IndexFinding) -> bool| report.findings.iter().filter(|finding| is(finding)).count();
    let beside = records.iter().filter(|record| !starts.contains(&record.offset)).count();
    assert_eq!(count(|finding| matches!(finding, IndexFinding::NotASection { .. })), beside);
    let others = count(|finding| matches!(finding, IndexFinding::OtherBlock { .. }));
    let again = count(|finding| matches!(finding, IndexFinding::Repeated { .. }));
    let missing = count(|finding| matches!(finding, IndexFinding::Missing { .. }));
    assert_eq!(records.len() - beside - others - again, starts.len() - missing, "{report:?}");
    let few = reader.compare_index(index, true, 1).expect("memory can be read");
    assert_eq!(few.findings.len() as u64 + few.left_out, report.findings.len() as u64);
}

/// The bytes of a multihash.
fn multihash(code: u64, digest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut value in [code, digest.len() as u64] {
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap_or_default());
    }
    bytes.extend_from_slice(digest);
    bytes
}
