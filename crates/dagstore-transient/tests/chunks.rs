//! Reading piecewise: from sources that behave and that don't.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{
    Source, content, disk_use, files, inside, mount, name, only, open_with, read, remote, small_chunks, until,
};
use dagstore_fs::{ReadAt, ReadAtExt};
use dagstore_transient::{Copies, CopyState, Error, Reason};

fn small(directory: &Path) -> Copies {
    open_with(directory, small_chunks())
}

/// Waits until what came is written down.
async fn settled(copies: &Copies, bytes: u64) {
    until("the chunks are written", || copies.list().iter().any(|info| info.done == bytes)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_costs_one_chunk_and_then_none() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(1, 10_500);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = small(directory.path());
    let reader = remote(&copies, 1, &source).await;
    assert_eq!(reader.read(2_100, 300).await.unwrap(), data[2_100..2_400]);
    settled(&copies, 1000).await;
    assert_eq!(reader.read(2_999, 1).await.unwrap(), data[2_999..3_000]);
    assert_eq!(source.reads(), [(2_000, 1000)]);
    // Over the edges of chunks, one of which is there: the missing ones on either side of it are asked for, each side at once.
    assert_eq!(reader.read(500, 4_000).await.unwrap(), data[500..4_500]);
    let mut sides = source.reads()[1..].to_vec();
    sides.sort_unstable();
    assert_eq!(sides, [(0, 2_000), (3_000, 2_000)]);
    settled(&copies, 5_000).await;
    // The last chunk is shorter, and nothing is behind it.
    assert_eq!(reader.read(10_400, 500).await.unwrap(), data[10_400..]);
    assert!(reader.read(10_500, 5).await.unwrap().is_empty());
    assert!(reader.read(u64::MAX, 5).await.unwrap().is_empty());
    settled(&copies, 5_500).await;
    assert_eq!(source.reads()[3..], [(10_000, 500)]);
    let info = copies.list().remove(0);
    assert_eq!((info.state, info.size, info.is_in_use), (CopyState::Chunks, Some(10_500), true));
    drop(reader);
    drop(copies);

    let copies = small(directory.path());
    assert_eq!(copies.list()[0].done, 5_500);
    assert_eq!(copies.used_bytes(), disk_use(directory.path()));
    let reader = remote(&copies, 1, &source).await;
    let local = reader.only_if_local();
    assert_eq!(local.read(500, 4_400).await.unwrap(), data[500..4_900]);
    assert!(matches!(local.read(4_900, 101).await, Err(Error::NotLocal { .. })));
    assert_eq!(source.reads().len(), 4);
}

/// The bytes of `docs/format/chunks.md`, written by hand.
#[tokio::test]
async fn files_that_were_written_by_version_1_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(2, 2_500);
    let source = Source::new(data.clone(), Some("v1"));
    let mut table = b"dagschnk\x00\x01\x00\x00".to_vec();
    table.extend(name(1).key_hash());
    table.extend(name(1).registration.0.to_be_bytes());
    table.extend([0, 0, 0, 1, 0, 0, 0x03, 0xe8, 0, 0, 0, 0, 0, 0, 0x09, 0xc4]);
    table.extend([0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, b'v', b'1']);
    let seed = crc32c::crc32c(&table);
    table.extend(seed.to_be_bytes());
    let entry = |table: &mut Vec<u8>, first: u64, checksum: u32| {
        let mut bytes = first.to_be_bytes().to_vec();
        bytes.extend(checksum.to_be_bytes());
        let begun = crc32c::crc32c_append(seed, &(table.len() as u64).to_be_bytes());
        bytes.extend(crc32c::crc32c_append(begun, &bytes).to_be_bytes());
        table.extend(bytes);
    };
    entry(&mut table, 2, crc32c::crc32c(&data[2_000..]));
    entry(&mut table, 1 << 62 | 0x4d, 0);
    entry(&mut table, 2 << 62 | 1, 0);
    entry(&mut table, 0, crc32c::crc32c(&data[..1_000]));
    let mut file = data[2_000..].to_vec();
    file.extend(&data[..1_000]);
    let stem = name(1).to_string().replace("-00000001", "-00000000");
    std::fs::write(directory.path().join(format!("{stem}.chunks-table")), &table).unwrap();
    std::fs::write(directory.path().join(format!("{stem}.chunks")), &file).unwrap();
    let copies = small(directory.path());
    let info = copies.list().remove(0);
    assert_eq!((info.done, info.is_pinned, info.last_use.0), (1_500, true, 77));
    let reader = remote(&copies, 1, &source).await;
    assert_eq!(reader.read(2_100, 400).await.unwrap(), data[2_100..]);
    assert_eq!(reader.read(0, 1_000).await.unwrap(), data[..1_000]);
    assert!(source.reads().is_empty());
    // What is written now goes behind it, byte for byte.
    reader.read(1_000, 1).await.unwrap();
    settled(&copies, 2_500).await;
    let written = std::fs::read(only(directory.path(), ".chunks-table")).unwrap();
    entry(&mut table, 1, crc32c::crc32c(&data[1_000..2_000]));
    assert_eq!(written[..table.len()], table);
    // The time of use is the last entry: the one before is too long ago.
    assert_eq!((written.len() - table.len(), written[table.len()] >> 6), (16, 1));
    file.extend(&data[1_000..2_000]);
    assert_eq!(std::fs::read(only(directory.path(), ".chunks")).unwrap(), file);
}

#[tokio::test]
async fn sixty_four_threads_share_one_request() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(3, 5_000);
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.read_takes = Duration::from_millis(200));
    let reader = remote(&small(directory.path()), 1, &source).await;
    // Threads of their own, without a runtime.
    let threads: Vec<_> = (0..64)
        .map(|number| {
            let (reader, wanted) = (reader.clone(), data[2_000 + number..2_900].to_vec());
            std::thread::spawn(move || {
                let mut bytes = vec![0; wanted.len()];
                reader.read_exact_at(2_000 + number as u64, &mut bytes).unwrap();
                assert!(bytes == wanted, "{number}");
            })
        })
        .collect();
    until("all threads are done", || threads.iter().all(std::thread::JoinHandle::is_finished)).await;
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(source.reads(), [(2_000, 1_000)]);
}

#[tokio::test]
async fn who_goes_away_takes_nothing_from_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(4, 5_000);
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.read_takes = Duration::from_millis(100));
    let copies = small(directory.path());
    let reader = remote(&copies, 1, &source).await;
    let ask = || {
        let reader = reader.clone();
        tokio::spawn(async move { reader.read(1_000, 10).await })
    };
    let first = ask();
    until("the request is under way", || !source.reads().is_empty()).await;
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    drop(first.await);
    assert_eq!(second.await.unwrap().unwrap(), data[1_000..1_010]);
    // When nobody waits any more, what comes is kept all the same.
    let third = remote(&copies, 1, &source).await;
    let alone = tokio::spawn(async move { third.read(3_000, 10).await });
    until("another request is under way", || source.reads().len() == 2).await;
    drop(reader);
    alone.abort();
    drop(alone.await);
    settled(&copies, 2_000).await;
    assert!(!copies.list()[0].is_in_use);
    assert_eq!(remote(&copies, 1, &source).await.only_if_local().read(3_000, 10).await.unwrap(), data[3_000..3_010]);
    assert_eq!(source.reads().len(), 2);
}

#[tokio::test]
async fn what_fails_once_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(5, 5_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = small(directory.path());
    let reader = remote(&copies, 1, &source).await;
    source.change(|manners| manners.read_fails = true);
    let error = reader.read(0, 10).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    source.change(|manners| (manners.read_fails, manners.read_panics) = (false, true));
    let error = reader.read(0, 10).await.unwrap_err();
    assert!(matches!(error, Error::BrokeOff { .. }), "{error}");
    source.change(|manners| manners.read_panics = false);
    for off_by in [-1_000, -1, 1] {
        source.change(|manners| manners.read_off_by = off_by);
        let error = reader.read(0, 10).await.unwrap_err();
        assert!(matches!(error, Error::WrongSize { .. }), "{off_by}: {error}");
    }
    source.change(|manners| (manners.read_off_by, manners.is_gone) = (0, true));
    let error = reader.read(0, 10).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    assert_eq!(copies.used_bytes(), 0, "room for what never came");
    source.change(|manners| manners.is_gone = false);
    assert_eq!(reader.read(0, 10).await.unwrap(), data[..10]);
    assert_eq!(source.reads().len(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_gives_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(6, 50_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = small(directory.path());
    let reader = remote(&copies, 1, &source).await;
    source.change(|manners| manners.read_takes = Duration::from_hours(1));
    let begun = tokio::time::Instant::now();
    let error = reader.read(0, 10).await.unwrap_err();
    assert!(matches!(error, Error::Idle { .. }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 120);
    source.change(|manners| (manners.read_takes, manners.hangs_at) = (Duration::ZERO, Some(21_000)));
    let begun = tokio::time::Instant::now();
    let error = copies.fetch(name(2), mount(&source), None, None).await.unwrap_err();
    assert!(matches!(error, Error::Idle { .. }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 120);
    source.change(|manners| manners.hangs_at = None);
    assert_eq!(reader.read(0, 10).await.unwrap(), data[..10]);
    assert_eq!(read(&copies.fetch(name(2), mount(&source), None, None).await.unwrap()), data);
    assert_eq!(source.given(), 50_000, "what had come before the source hung was fetched again");
}

#[tokio::test]
async fn another_content_is_an_error_and_the_old_chunks_go() {
    let directory = tempfile::tempdir().unwrap();
    let [old, new] = [content(7, 5_000), content(8, 5_000)];
    let source = Source::new(old.clone(), Some("v1"));
    let copies = small(directory.path());
    let first = remote(&copies, 1, &source).await;
    first.read(0, 3_000).await.unwrap();
    settled(&copies, 3_000).await;
    source.change(|manners| (manners.data, manners.validator) = (new.clone().into(), Some("v2".to_owned())));
    let error = first.read(2_990, 20).await.unwrap_err();
    assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    assert!(files(directory.path()).is_empty(), "the chunks of the old content are kept");
    assert_eq!((copies.used_bytes(), copies.list().len()), (0, 0));

    // One who wants the new content gets it, and takes the files from those who read the old one.
    let second = remote(&copies, 1, &source).await;
    assert_eq!(second.read(0, 5_000).await.unwrap(), new);
    settled(&copies, 5_000).await;
    let mut bytes = [0; 10];
    let error = first.read(10, 10).await.unwrap_err();
    assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    assert_eq!(copies.list()[0].done, 5_000, "a reader of another content took the chunks away");
    source.change(|manners| (manners.data, manners.validator) = (old.clone().into(), Some("v1".to_owned())));
    let third = remote(&copies, 1, &source).await;
    tokio::task::spawn_blocking(move || third.read_exact_at(0, &mut bytes).map(|()| bytes))
        .await
        .unwrap()
        .map(|bytes| assert_eq!(bytes, old[..10]))
        .unwrap();
    settled(&copies, 1_000).await;
    assert_eq!(files(directory.path()).len(), 2);
}

#[tokio::test]
async fn chunks_of_another_size_are_begun_anew() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(9, 5_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = small(directory.path());
    remote(&copies, 1, &source).await.read(0, 3_000).await.unwrap();
    settled(&copies, 3_000).await;
    copies.pin(name(1)).await.unwrap();
    drop(copies);
    let mut settings = small_chunks();
    settings.remote_chunk_bytes = 700;
    let copies = open_with(directory.path(), settings);
    assert_eq!(remote(&copies, 1, &source).await.read(1_000, 1_000).await.unwrap(), data[1_000..2_000]);
    settled(&copies, 1_400).await;
    assert_eq!(copies.used_bytes(), disk_use(directory.path()));
    drop(copies);
    let found = small(directory.path()).list();
    assert!(found.len() == 1 && found[0].done == 1_400 && found[0].is_pinned, "{found:?}");
}

#[tokio::test]
async fn what_can_not_be_held_to_one_content_needs_a_copy() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(10, 5_000), None);
    let copies = small(directory.path());
    let error = copies.remote(name(1), mount(&source), source.now().unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::NeedsCopy { .. }), "{error}");
    source.change(|manners| manners.validator = Some("v1".to_owned()));
    let error = copies.remote(name(1), mount(&source), source.now().unwrap().sequential_only()).await.unwrap_err();
    assert!(matches!(error, Error::NeedsCopy { .. }), "{error}");
    assert!(source.reads().is_empty() && copies.list().is_empty());
}

#[tokio::test]
async fn reads_in_order_read_ahead_and_others_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(11, 100_000);
    let source = Source::new(data.clone(), Some("v1"));
    let mut settings = small_chunks();
    settings.read_ahead_bytes = 8_000;
    let copies = open_with(directory.path(), settings);
    let reader = remote(&copies, 1, &source).await;
    for at in (0..100_000).step_by(500) {
        // A length and a CID are left out between two blocks.
        assert_eq!(reader.read(at as u64, 460).await.unwrap(), data[at..at + 460]);
    }
    let lengths: Vec<_> = source.reads().into_iter().map(|(_, len)| len / 1_000).collect();
    // Its own chunk, and behind it 1, 2, 4 and then 8 more.
    assert_eq!(lengths[..5], [1, 2, 3, 5, 9]);
    assert_eq!(lengths.iter().sum::<usize>(), 100, "every byte once: {lengths:?}");
    drop(reader);
    copies.evict(name(1), true, true).await.unwrap();
    let reader = remote(&copies, 1, &source).await;
    let before = source.reads().len();
    for at in (0..33_u64).rev().map(|number| number * 3_000) {
        reader.read(at, 460).await.unwrap();
    }
    assert!(source.reads()[before..].iter().all(|(_, len)| *len == 1_000));
}

#[test]
fn a_read_that_waits_holds_no_runtime_up() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(12, 5_000);
    let source = Source::new(data.clone(), Some("v1"));
    let check = |reader: &dyn ReadAt, at: u64| {
        let mut bytes = [0; 10];
        reader.read_exact_at(at, &mut bytes).map(|()| assert_eq!(bytes, data[usize::try_from(at).unwrap()..][..10]))
    };
    // On the only worker, and on the thread that has called.
    let several = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let copies = small(directory.path());
    let reader = several.block_on(remote(&copies, 1, &source));
    let (on_worker, wanted) = (reader.clone(), data[..10].to_vec());
    let worker = several.spawn(async move {
        let mut bytes = [0; 10];
        on_worker.read_exact_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, wanted[..]);
    });
    several.block_on(worker).unwrap();
    several.block_on(async { check(&reader, 1_000).unwrap() });
    check(&reader, 2_000).unwrap();
    // On a runtime's only thread it is an error, and on one of those beside it it isn't.
    let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let alone = single.block_on(remote(&copies, 1, &source));
    let error = single.block_on(async { check(&alone, 3_000).unwrap_err() });
    assert!(matches!(inside(&error), Error::WrongThread { .. }), "{error}");
    single.block_on(async { check(&alone, 2_000).expect("what is on disk needs no runtime") });
    let (beside, wanted) = (alone.clone(), data[3_000..3_010].to_vec());
    let blocking = async {
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = [0; 10];
            beside.read_exact_at(3_000, &mut bytes).map(|()| bytes)
        });
        assert_eq!(read.await.unwrap().unwrap(), wanted[..]);
    };
    single.block_on(blocking);
    // Without its runtime nothing comes, but nobody waits for it.
    drop(several);
    let error = check(&reader, 4_000).unwrap_err();
    assert!(matches!(inside(&error), Error::BrokeOff { .. }), "{error}");
}

#[tokio::test]
async fn a_copy_takes_the_place_of_the_chunks_and_of_their_pin() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(13, 20_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = small(directory.path());
    let reader = remote(&copies, 1, &source).await;
    reader.read(0, 3_000).await.unwrap();
    settled(&copies, 3_000).await;
    copies.pin(name(1)).await.unwrap();
    drop(copies.fetch(name(1), mount(&source), None, None).await.unwrap());
    let requests = source.reads().len();
    let info = copies.list();
    assert_eq!(info.len(), 1, "{info:?}");
    assert_eq!((info[0].state, info[0].is_pinned), (CopyState::Complete, true));
    assert!(files(directory.path()).iter().all(|file| !file.contains("chunks")));
    assert_eq!(reader.only_if_local().read(15_000, 10).await.unwrap(), data[15_000..15_010]);
    assert_eq!(reader.read(2_500, 10_000).await.unwrap(), data[2_500..12_500]);
    let blocking = reader.clone();
    tokio::task::spawn_blocking(move || blocking.read_exact_at(0, &mut vec![0; 20_000])).await.unwrap().unwrap();
    assert_eq!(source.reads().len(), requests, "requests though there is a copy");
    copies.unpin(name(1)).await.unwrap();
    let kept = copies.evict(name(1), true, false).await;
    assert!(matches!(kept, Err(Error::Kept { reason: Reason::InUse, .. })), "{kept:?}");
    // One who comes later reads the copy from the start.
    let later = remote(&copies, 1, &source).await;
    drop(reader);
    copies.evict(name(1), true, true).await.unwrap();
    assert_eq!(later.read(0, 20_000).await.unwrap(), data);
    drop(later);
    assert_eq!((source.reads().len(), copies.used_bytes()), (requests, 0));
}

#[tokio::test]
async fn chunks_beside_a_copy_are_removed_by_the_next_opening() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(14, 5_000), Some("v1"));
    let copies = small(directory.path());
    remote(&copies, 1, &source).await.read(0, 3_000).await.unwrap();
    settled(&copies, 3_000).await;
    let kept: Vec<_> = files(directory.path())
        .into_iter()
        .map(|file| (file.clone(), std::fs::read(directory.path().join(file)).unwrap()))
        .collect();
    drop(copies.fetch(name(1), mount(&source), None, None).await.unwrap());
    drop(copies);
    for (file, bytes) in kept {
        std::fs::write(directory.path().join(file), bytes).unwrap();
    }
    // A crash in the middle of a table that was begun.
    let table = only(directory.path(), ".chunks-table");
    let begun = table.with_file_name(table.file_name().unwrap().to_str().unwrap().replacen('1', "2", 1));
    std::fs::write(&begun, &std::fs::read(&table).unwrap()[..4]).unwrap();
    let mut looking = small_chunks();
    looking.read_only = true;
    assert_eq!(open_with(directory.path(), looking).list().len(), 1);
    assert_eq!(files(directory.path()).len(), 5, "who only looks has removed something");
    let copies = small(directory.path());
    assert_eq!((copies.list().len(), files(directory.path()).len()), (1, 2));
    copies.evict(name(1), true, true).await.unwrap();
    assert_eq!(copies.used_bytes(), 0, "what was removed is counted");
}

#[tokio::test]
async fn pins_evictions_and_collections_know_chunks() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(15, 5_000), Some("v1"));
    let copies = small(directory.path());
    for number in 0..4 {
        remote(&copies, number, &source).await.read(0, 2_000).await.unwrap();
    }
    until("all are written", || copies.list().iter().filter(|info| info.done == 2_000).count() == 4).await;
    copies.pin(name(0)).await.unwrap();
    copies.pin(name(1)).await.unwrap();
    copies.unpin(name(1)).await.unwrap();
    drop(copies);
    let copies = small(directory.path());
    let pins: Vec<_> = copies.list().iter().map(|info| info.is_pinned).collect();
    assert_eq!(pins.iter().filter(|is_pinned| **is_pinned).count(), 1);
    let kept = copies.evict(name(0), true, false).await;
    assert!(matches!(kept, Err(Error::Kept { reason: Reason::Pinned, .. })), "{kept:?}");
    let reader = remote(&copies, 2, &source).await;
    let kept = copies.evict(name(2), true, false).await;
    assert!(matches!(kept, Err(Error::Kept { reason: Reason::InUse, .. })), "{kept:?}");
    let told = copies.gc(|found| found.registration == name(3).registration, true).await.unwrap();
    assert_eq!(files(directory.path()).len(), 8);
    let done = copies.gc(|found| found.registration == name(3).registration, false).await.unwrap();
    assert_eq!(told, done);
    let mut reasons: Vec<_> = done.entries.iter().map(|entry| entry.kept.map(|reason| reason.to_string())).collect();
    reasons.sort();
    let expected = [Reason::Named, Reason::InUse, Reason::Pinned].map(|reason| Some(reason.to_string()));
    assert_eq!(
        (reasons.len(), reasons.iter().filter(|reason| expected.contains(reason)).count()),
        (4, 3),
        "{reasons:?}"
    );
    assert_eq!(files(directory.path()).len(), 6);
    assert_eq!(copies.used_bytes(), disk_use(directory.path()));
    // By force under a reader, who asks again.
    let before = copies.used_bytes();
    let freed = copies.evict(name(2), false, true).await.unwrap();
    assert_eq!(before - copies.used_bytes(), freed);
    let requests = source.reads().len();
    reader.read(0, 10).await.unwrap();
    assert_eq!(source.reads().len(), requests + 1);
    assert!(matches!(copies.evict(name(7), true, false).await, Err(Error::NotLocal { .. })));
}

#[tokio::test]
async fn what_is_closed_asks_for_nothing_and_reads_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(16, 5_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = small(directory.path());
    let reader = remote(&copies, 1, &source).await;
    reader.read(0, 1_000).await.unwrap();
    settled(&copies, 1_000).await;
    source.change(|manners| manners.read_takes = Duration::from_hours(1));
    let waiting = reader.clone();
    let waiting = tokio::spawn(async move { waiting.read(1_000, 10).await });
    until("a request is under way", || source.reads().len() == 2).await;
    copies.close().await;
    assert!(matches!(waiting.await.unwrap(), Err(Error::Closed)));
    assert!(matches!(reader.read(2_000, 10).await, Err(Error::Closed)));
    assert!(matches!(copies.remote(name(2), mount(&source), source.now().unwrap()).await, Err(Error::Closed)));
    assert_eq!(reader.read(10, 10).await.unwrap(), data[10..20]);
    assert_eq!(source.reads().len(), 2);
}
