//! Sections that come as an asynchronous stream: those of the iterator, and the same errors.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use dagstore_car::{CarReader, Error, IndexCodec, Limits, ReadOptions, ScanOptions, Section, SectionStream, V2Options};
use dagstore_testkit::cars;
use futures_util::{FutureExt, Stream, StreamExt, stream};

type Outcome = (Vec<Section>, Option<String>);

fn options(zero_length_is_end: bool) -> ReadOptions {
    ReadOptions { zero_length_is_end, ..ReadOptions::default() }
}

/// What the iterator gives, and whether the inline index is one.
fn iterated(bytes: &Bytes, options: &ReadOptions) -> Outcome {
    let limits = Limits { indexed_cid_bytes: u64::MAX, ..options.limits.clone() };
    let reader = match CarReader::open(Arc::new(bytes.clone()), ReadOptions { limits, ..options.clone() }) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(format!("{error:?}"))),
    };
    let (mut sections, mut end) = (Vec::new(), None);
    for section in reader.sections() {
        match section {
            Ok(section) => sections.push(section),
            Err(error) => end = Some(error),
        }
    }
    let end = end.or_else(|| reader.scan(ScanOptions::default(), |_| std::ops::ControlFlow::Continue(())).err());
    (sections, end.map(|error| format!("{error:?}")))
}

/// Pieces of a length, with a wait before each if they are told to.
fn pieces(bytes: &Bytes, length: usize, waits: bool) -> impl Stream<Item = io::Result<Bytes>> + Unpin {
    let (mut rest, mut has_waited) = (bytes.clone(), false);
    stream::poll_fn(move |context| {
        if waits && !std::mem::replace(&mut has_waited, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        has_waited = false;
        let piece = rest.split_to(rest.len().min(length));
        Poll::Ready((!piece.is_empty()).then_some(Ok(piece)))
    })
}

fn streamed(bytes: &Bytes, options: &ReadOptions, size: Option<u64>, length: usize, waits: bool) -> Outcome {
    let stream = SectionStream::new(pieces(bytes, length, waits), options.clone(), size);
    let (mut sections, mut end) = (Vec::new(), None);
    for section in block_on(stream.collect::<Vec<_>>()) {
        assert!(end.is_none(), "something after the error");
        match section {
            Ok(section) => sections.push(section),
            Err(error) => end = Some(format!("{error:?}")),
        }
    }
    (sections, end)
}

/// Polls until it is ready; whoever waits here wakes at once.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        if let Some(value) = work.as_mut().now_or_never() {
            return value;
        }
    }
}

fn agree(name: &str, bytes: &Bytes, zero_length_is_end: bool, lengths: &[usize]) {
    let options = options(zero_length_is_end);
    let expected = iterated(bytes, &options);
    for length in lengths {
        for waits in [false, true] {
            let known = streamed(bytes, &options, Some(bytes.len() as u64), *length, waits);
            assert_eq!(known, expected, "{name}: pieces of {length}, waits {waits}");
            let unknown = streamed(bytes, &options, None, *length, waits);
            if expected.1.is_none() {
                assert_eq!(unknown, expected, "{name}: unknown size, pieces of {length}");
            } else {
                assert!(unknown.1.is_some(), "{name}: unknown size, pieces of {length}");
                assert!(unknown.0.iter().zip(&expected.0).all(|(one, other)| one == other), "{name}: unknown size");
            }
        }
    }
}

fn small() -> Vec<Bytes> {
    let car = cars::of_blocks([vec![1; 40], Vec::new(), vec![2; 150], vec![1; 40]]);
    let reader = CarReader::open(Arc::new(Bytes::from(car.bytes.clone())), ReadOptions::default()).unwrap();
    let mut indexed = Vec::new();
    reader.wrap(V2Options::default().with_index(IndexCodec::MultihashSorted), &mut indexed).unwrap();
    vec![car.bytes.clone().into(), car.into_v2().bytes.into(), indexed.into()]
}

#[test]
fn all_cars_have_the_sections_of_the_iterator() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/car/made");
    let mut count = 0;
    for entry in std::fs::read_dir(own).unwrap() {
        let path = entry.unwrap().path();
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        for zero_length_is_end in [false, true] {
            agree(&path.display().to_string(), &bytes, zero_length_is_end, &[1, 7, usize::MAX]);
        }
        count += 1;
    }
    assert!(count > 50, "{count}");
    for car in [cars::numbered(3_000, 1_000), cars::numbered(4, 3_000_000), cars::numbered(3_000, 100).into_v2()] {
        agree("large", &car.bytes.into(), false, &[10_000, 200_001, usize::MAX]);
    }
}

#[test]
fn what_was_cut_anywhere_ends_as_with_the_iterator() {
    for car in small() {
        for length in 0..=car.len() {
            agree(&format!("{length} bytes"), &car.slice(..length), false, &[1, 50, usize::MAX]);
        }
    }
}

#[test]
fn what_was_flipped_anywhere_ends_as_with_the_iterator() {
    for car in small() {
        for at in 0..car.len() {
            for bit in [0, 3, 7] {
                let mut bytes = car.to_vec();
                bytes[at] ^= 1 << bit;
                agree(&format!("bit {bit} of byte {at}"), &bytes.into(), at % 2 == 0, &[33, usize::MAX]);
            }
        }
    }
}

/// Whoever has to wait for bytes has all the sections that have come.
#[test]
fn sections_are_told_as_soon_as_they_have_come() {
    let car = Bytes::from(cars::numbered(50, 1_000).bytes);
    for whole in 0..50 {
        let come = car.slice(..59 + whole * 1_038 + 500);
        let source = stream::iter([Ok::<_, io::Error>(come)]).chain(stream::pending());
        let mut sections = SectionStream::new(source, options(false), None);
        let mut told = 0;
        while let Some(section) = sections.next().now_or_never() {
            let section = section.unwrap().unwrap();
            assert_eq!((section.data_offset, section.data_size), (59 + told * 1_038 + 38, 1_000));
            told += 1;
        }
        assert_eq!(told, whole as u64);
        assert_eq!(sections.header().unwrap().version, 1);
    }
}

#[test]
fn a_source_that_fails_ends_the_stream_behind_what_has_come() {
    let car = Bytes::from(cars::numbered(5, 1_000).bytes);
    let come = car.slice(..59 + 2 * 1_038 + 500);
    let length = come.len() as u64;
    let broken = || Err(io::Error::other("broken"));
    let source = stream::iter([Ok(come), broken(), Ok(car), broken()]);
    let mut told: Vec<_> = SectionStream::new(source, options(false), None).collect().now_or_never().unwrap();
    let end = told.pop().unwrap();
    assert!(matches!(end, Err(Error::Io { offset, .. }) if offset == length), "{end:?}");
    assert_eq!(told.iter().filter(|section| section.is_ok()).count(), 2);
    assert_eq!(told.len(), 2);
}
