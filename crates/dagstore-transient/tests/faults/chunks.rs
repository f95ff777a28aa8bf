//! Chunks that are damaged on disk.

use std::path::Path;
use std::sync::Arc;

use dagstore_transient::Options;

use crate::common::{Source, content, files, name, only, open_with, remote, small_chunks, until};

const SIZE: usize = 5_500;

/// Files with three chunks of ten bytes, and a pin.
async fn written(directory: &Path, settings: &Options, source: &Arc<Source>) {
    let copies = open_with(directory, settings.clone());
    let reader = remote(&copies, 1, source).await;
    reader.read(0, 15).await.unwrap();
    reader.read(25, 5).await.unwrap();
    until("it is written", || copies.list().first().is_some_and(|info| info.done == 30)).await;
    copies.pin(name(1)).await.unwrap();
}

#[tokio::test]
async fn fault_09_every_flipped_bit_of_the_files_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(9, 45);
    let source = Source::new(data.clone(), Some("v1"));
    let mut settings = small_chunks();
    settings.remote_chunk_bytes = 10;
    written(directory.path(), &settings, &source).await;
    for extension in [".chunks", ".chunks-table"] {
        let path = only(directory.path(), extension);
        let sound = std::fs::read(&path).unwrap();
        let others: Vec<_> = files(directory.path())
            .into_iter()
            .map(|file| (directory.path().join(&file), std::fs::read(directory.path().join(file)).unwrap()))
            .collect();
        for bit in 0..sound.len() * 8 {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            let before = source.reads().len();
            let copies = open_with(directory.path(), settings.clone());
            let reader = remote(&copies, 1, &source).await;
            assert!(reader.read(0, 45).await.unwrap() == data, "{extension}, bit {bit}");
            // What was asked for shows that the flip was seen: two chunks were never there.
            let asked: usize = source.reads()[before..].iter().map(|(_, len)| len).sum();
            assert!(asked > 15 || extension == ".chunks-table", "{extension}, bit {bit}: {asked} bytes were asked for");
            drop(reader);
            copies.close().await;
            for (file, bytes) in &others {
                std::fs::write(file, bytes).unwrap();
            }
        }
        // Cut anywhere, likewise.
        for length in 0..sound.len() {
            std::fs::write(&path, &sound[..length]).unwrap();
            let copies = open_with(directory.path(), settings.clone());
            if extension == ".chunks" {
                assert_eq!(copies.list()[0].done, length as u64 / 10 * 10, "of {length} bytes");
            }
            let reader = remote(&copies, 1, &source).await;
            assert!(reader.read(0, 45).await.unwrap() == data, "{extension}, {length} bytes");
            drop(reader);
            copies.close().await;
            for (file, bytes) in &others {
                std::fs::write(file, bytes).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn fault_09_a_chunk_that_changes_while_it_is_read_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(10, SIZE);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = open_with(directory.path(), small_chunks());
    let reader = remote(&copies, 1, &source).await;
    reader.read(0, 3_000).await.unwrap();
    until("it is written", || copies.list().first().is_some_and(|info| info.done == 3_000)).await;
    let path = only(directory.path(), ".chunks");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1_500] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    for _ in 0..2 {
        assert!(reader.read(0, 1_000).await.unwrap() == data[..1_000]);
        assert!(reader.read(1_000, 1_000).await.unwrap() == data[1_000..2_000], "changed bytes were read");
        until("it is written", || copies.list().first().is_some_and(|info| info.done == 3_000)).await;
    }
    assert_eq!(source.reads()[1..], [(1_000, 1_000)]);
    // Emptied, as a disk would leave it that was repaired.
    std::fs::write(&path, b"").unwrap();
    assert!(reader.read(0, SIZE).await.unwrap() == data);
}
