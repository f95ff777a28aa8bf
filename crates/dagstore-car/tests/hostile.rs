//! Input that asks for too much: a limit, and bounded memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use common::agree;
use dagstore_car::{
    CarReader, CarWriter, Error, Finding, GoIndex, InspectOptions, Limits, RawCid, ReadOptions, ScanOptions,
    StreamScanner, v2_head,
};
use dagstore_fs::ReadAt;
use dagstore_testkit::cars;

fn open(bytes: Vec<u8>, options: &ReadOptions) -> dagstore_car::Result<CarReader> {
    CarReader::open(Arc::new(Bytes::from(bytes)), options.clone())
}

fn large_headers() -> ReadOptions {
    let limits = Limits { header_bytes: 64 << 20, ..Limits::default() };
    ReadOptions { limits, ..ReadOptions::default() }
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
    bytes
}

fn pieces() -> &'static [&'static [usize]] {
    &[&[usize::MAX], &[100_000]]
}

#[test]
fn a_million_roots() {
    let roots = vec![RawCid::of_data(0x71, b"root"); 1_000_000];
    let bytes = CarWriter::new(Vec::new(), &roots).unwrap().finish().unwrap();
    let refused = open(bytes.clone(), &ReadOptions::default());
    assert!(matches!(refused, Err(Error::Limit { what: "a header", .. })), "{refused:?}");
    let [outcome, _] = agree("roots", &bytes.clone().into(), &ReadOptions::default(), pieces());
    assert!(outcome.end.unwrap_err().contains("Limit"));
    assert_eq!(open(bytes, &large_headers()).unwrap().header().roots.len(), 1_000_000);
}

#[test]
fn lists_a_million_deep() {
    for byte in [0x81, 0xc1, 0xa1] {
        let map = [&b"\xa1\x65roots"[..], &vec![byte; 1_000_000]].concat();
        let bytes = [varint(map.len() as u64), map].concat();
        let refused = open(bytes, &large_headers());
        assert!(
            matches!(refused, Err(Error::Limit { limit: 128 | 0..=2, .. } | Error::MalformedHeader { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn an_identity_digest_of_a_mebibyte_can_be_read_but_not_indexed() {
    let data = vec![7; 1 << 20];
    let cid = RawCid::from_bytes(&[&[1, 0x55, 0][..], &varint(1 << 20), &data].concat()).unwrap();
    let mut writer = CarWriter::new(Vec::new(), &[]).unwrap();
    writer.write(&cid, &data).unwrap();
    let bytes = writer.finish().unwrap();
    let reader = open(bytes.clone(), &ReadOptions::default()).unwrap();
    let section = reader.sections().next().unwrap().unwrap();
    assert_eq!(reader.read_block(section.offset, None).unwrap().data, data);
    for outcome in agree("identity", &bytes.into(), &ReadOptions::default(), pieces()) {
        assert!(outcome.end.unwrap_err().contains("a CID to be indexed"));
    }
    let findings = reader.inspect(InspectOptions::default()).unwrap().findings;
    assert!(matches!(findings[..], [Finding::Car(Error::Limit { .. })]), "{findings:?}");
}

#[test]
fn a_section_is_as_long_as_the_limit_and_not_longer() {
    for (size, fits) in [((4 << 20) - 36, true), ((4 << 20) - 35, false)] {
        let bytes = cars::numbered(1, size).bytes;
        for outcome in agree("4 MiB", &bytes.clone().into(), &ReadOptions::default(), pieces()) {
            assert_eq!(outcome.end.is_ok(), fits, "{:?}", outcome.end);
        }
        let read = open(bytes, &ReadOptions::default()).unwrap().read_block(59, Some(u32::MAX));
        assert!(fits && read.is_ok() || matches!(read, Err(Error::Limit { .. })), "{read:?}");
    }
}

/// A source far larger than the memory: some bytes, then a unit over and over.
#[derive(Debug)]
struct Endless {
    front: Bytes,
    unit: Bytes,
    size: u64,
}

impl ReadAt for Endless {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.size.saturating_sub(offset)).unwrap();
        let wanted = buffer.len().min(room);
        let mut at = offset;
        let mut rest = &mut buffer[..wanted];
        while !rest.is_empty() {
            let front = self.front.read_at(at, rest)?;
            let behind = at.saturating_sub(self.front.size());
            let read = if front > 0 { front } else { self.unit.read_at(behind % self.unit.size(), rest)? };
            at += read as u64;
            rest = &mut rest[read..];
        }
        Ok(wanted)
    }
}

#[test]
fn records_of_two_gibibytes_are_not_read_into_memory() {
    // 0x0400, one bucket, one record as wide as an i32 lets it be; the file takes no space.
    let width = u32::MAX / 2;
    let index = [&[0x80, 0x08, 1, 0, 0, 0][..], &width.to_le_bytes(), &u64::from(width).to_le_bytes()].concat();
    let size = index.len() as u64 + u64::from(width);
    let source = Endless { front: index.into(), unit: Bytes::from_static(&[0]), size };
    let opened = GoIndex::open(Arc::new(source), &Limits::default());
    assert!(matches!(opened, Err(Error::Limit { limit: 2056, .. })), "{opened:?}");
}

/// The most memory that this process ever had, in KiB.
#[cfg(target_os = "linux")]
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// 600 MiB of sections as long as the limit: header, section, and the whole.
#[cfg(target_os = "linux")]
fn large_car() -> (Bytes, Bytes, u64) {
    let block = Bytes::from(cars::numbered(1, (4 << 20) - 36).bytes);
    let (front, unit) = (block.slice(..59), block.slice(59..));
    let size = front.size() + LARGE_SECTIONS * unit.size();
    (front, unit, size)
}

#[cfg(target_os = "linux")]
const LARGE_SECTIONS: u64 = 150;

/// As many threads as they let one have.
#[cfg(target_os = "linux")]
fn many_threads() -> ScanOptions {
    ScanOptions::verifying(true).with_threads(NonZeroUsize::new(64).unwrap())
}

#[cfg(target_os = "linux")]
fn scan_large_car() {
    let (front, unit, size) = large_car();
    let source = Arc::new(Endless { front, unit, size });
    let before = peak_kib();
    let reader = CarReader::open(source, ReadOptions::default()).unwrap();
    let summary = reader.scan(many_threads(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(summary.blocks, LARGE_SECTIONS);
    let grown = (peak_kib() - before) / 1024;
    assert!(grown < 64, "{grown} MiB more");
}

#[cfg(target_os = "linux")]
fn stream_large_car() {
    let (front, unit, size) = large_car();
    let before = peak_kib();
    let visit = |_: dagstore_car::Scanned<'_>| ControlFlow::Continue(());
    let mut scanner = StreamScanner::new(ReadOptions::default(), many_threads(), Some(size));
    scanner.push(&front, visit).unwrap();
    for _ in 0..LARGE_SECTIONS {
        scanner.push(&unit, visit).unwrap();
    }
    assert_eq!(scanner.finish(visit).unwrap().blocks, LARGE_SECTIONS);
    let grown = (peak_kib() - before) / 1024;
    assert!(grown < 64, "{grown} MiB more");
}

/// Which of the two a process is to do that was started to have its memory measured.
#[cfg(target_os = "linux")]
const CHILD: &str = "DAGSTORE_CAR_MEMORY_OF";

#[test]
#[cfg(target_os = "linux")]
fn a_scan_takes_64_mebibytes_whatever_the_size() {
    match std::env::var(CHILD).as_deref() {
        Ok("scan") => return scan_large_car(),
        Ok(_) => return stream_large_car(),
        Err(_) => {}
    }
    for child in ["scan", "stream"] {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "a_scan_takes_64_mebibytes_whatever_the_size"]).env(CHILD, child);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
}

#[test]
fn an_index_of_empty_codes_is_a_limit_in_a_stream_too() {
    let payload = cars::one_block(b"alpha").bytes;
    let mut bytes = [&v2_head(payload.len() as u64)[..], &payload].concat();
    let index_offset = bytes.len() as u64;
    bytes[43..51].copy_from_slice(&index_offset.to_le_bytes());
    bytes.extend([0x81, 0x08, 0xff, 0xff, 0xff, 0x7f]);
    let mut scanner = StreamScanner::new(ReadOptions::default(), ScanOptions::default(), None);
    let pushed = scanner.push(&bytes, |_| ControlFlow::Continue(()));
    assert!(matches!(pushed, Err(Error::Limit { .. } | Error::MalformedIndex { .. })), "{pushed:?}");
}
