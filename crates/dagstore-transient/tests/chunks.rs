//! Reading piecewise: from sources that behave and that don't.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Source, content, disk_use, mount, name, only, open_with, options, until};
use dagstore_transient::{Copies, CopyState, Error, Options, RemoteReader};

/// Chunks of 1,000 bytes.
fn settings() -> Options {
    let mut settings = options();
    settings.remote_chunk_bytes = 1000;
    settings.read_ahead_bytes = 0;
    settings
}

fn small(directory: &Path) -> Copies {
    open_with(directory, settings())
}

async fn remote(copies: &Copies, number: u64, source: &Arc<Source>) -> RemoteReader {
    copies.remote(name(number), mount(source), source.now().unwrap()).await.unwrap()
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
    assert_eq!(source.reads()[1..], [(0, 2_000), (3_000, 2_000)]);
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
