//! The power goes at every moment of a life: two fetches with a break in between, a pin, another content, an eviction.

use std::path::Path;
use std::sync::Arc;

use dagstore_testkit::power::{FileImage, PowerDisk};
use dagstore_transient::{Copies, Error};

use crate::common::{Source, content, mount, name, open_on, read, remote, small_chunks, until};

const FOLDER: &str = "copies";

fn open(disk: &PowerDisk) -> Copies {
    open_on(Arc::new(disk.clone()), Path::new(FOLDER)).unwrap()
}

/// Whatever the cut left: what is there is the content, what isn't can be fetched, and all of it is claimed by somebody.
async fn check(image: &FileImage, contents: [&Vec<u8>; 2], source: &Arc<Source>) {
    let shown: Vec<_> = image.iter().map(|(path, bytes)| (path, bytes.len())).collect();
    let disk = PowerDisk::of(image);
    let copies = open(&disk);
    match copies.local(name(1), None).await {
        Ok(lease) => assert!(contents.contains(&&read(&lease)), "another content: {shown:?}"),
        Err(Error::NotLocal { .. }) => {}
        Err(error) => panic!("{error}: {shown:?}"),
    }
    let stat = source.now().unwrap();
    let fetched = match copies.fetch(name(1), mount(source), Some(&stat), None).await {
        // Durable bytes can't be damaged by a cut, so this is none of the outcomes that are allowed here.
        Err(error) => panic!("{error}: {shown:?}"),
        Ok(lease) => read(&lease),
    };
    assert!(fetched == *contents[1], "another content was fetched: {shown:?}");
    // Where it was pinned when the power went, it still is.
    copies.unpin(name(1)).await.unwrap();
    let report = copies.gc(|_| false, false).await.unwrap();
    assert!(disk.names().is_empty(), "nobody claims {:?}: {report:?}, of {shown:?}", disk.names());
    assert_eq!(copies.used_bytes(), 0, "{shown:?}");
}

#[tokio::test]
async fn fault_10_a_power_cut_at_any_moment_leaves_the_content_or_nothing() {
    let disk = PowerDisk::default();
    let [old, new] = [content(1, 30_000), content(2, 21_000)];
    let source = Source::new(old.clone(), Some("v1"));
    let copies = open(&disk);
    source.change(|manners| manners.breaks_at = Some(19_000));
    copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    source.change(|manners| manners.breaks_at = None);
    drop(copies.fetch(name(1), mount(&source), None, None).await.unwrap());
    copies.pin(name(1)).await.unwrap();
    copies.unpin(name(1)).await.unwrap();
    source.change(|manners| (manners.data, manners.validator) = (new.clone().into(), Some("v2".to_owned())));
    let stat = source.now().unwrap();
    drop(copies.fetch(name(1), mount(&source), Some(&stat), None).await.unwrap());
    copies.evict(name(1), true, false).await.unwrap();
    let images = disk.images();
    assert!(images.len() > 50, "{} images", images.len());
    for image in &images {
        check(image, [&old, &new], &source).await;
    }
}

#[tokio::test]
async fn a_cut_costs_no_more_than_what_came_since_the_last_checkpoint() {
    let disk = PowerDisk::default();
    let data = content(3, 60_000);
    let source = Source::new(data.clone(), Some("v1"));
    drop(open(&disk).fetch(name(1), mount(&source), None, None).await.unwrap());
    let mut least = u64::MAX;
    for image in disk.images() {
        let before = source.given();
        let copy = open(&PowerDisk::of(&image)).fetch(name(1), mount(&source), None, None).await.unwrap();
        assert!(read(&copy) == data);
        let again = source.given() - before;
        let largest = image.values().map(|bytes| bytes.len()).max().unwrap_or(0) as u64;
        // A piece of 4,000 bytes may be on its way, beside the 8,000 up to a checkpoint.
        assert!(again + largest <= 60_000 + 12_000, "{again} bytes again, and {largest} were there");
        least = least.min(again);
    }
    assert_eq!(least, 0, "a copy that was complete was never used");
}

/// A life of chunks: written twice, pinned, of another content, replaced by a copy.
#[tokio::test]
async fn fault_10_a_power_cut_at_any_moment_leaves_chunks_of_the_content_or_none() {
    let disk = PowerDisk::default();
    let [old, new] = [content(4, 5_500), content(5, 4_500)];
    let source = Source::new(old.clone(), Some("v1"));
    let open = |disk: &PowerDisk| Copies::open(Arc::new(disk.clone()), Path::new(FOLDER), small_chunks()).unwrap();
    let copies = open(&disk);
    let written = async |bytes: u64| {
        until("it is written", || copies.list().last().is_some_and(|info| info.done == bytes)).await;
    };
    let reader = remote(&copies, 1, &source).await;
    reader.read(4_200, 10).await.unwrap();
    written(1_000).await;
    reader.read(0, 3_000).await.unwrap();
    written(4_000).await;
    copies.pin(name(1)).await.unwrap();
    copies.unpin(name(1)).await.unwrap();
    source.change(|manners| (manners.data, manners.validator) = (new.clone().into(), Some("v2".to_owned())));
    let reader = remote(&copies, 1, &source).await;
    reader.read(0, 1_500).await.unwrap();
    written(2_000).await;
    reader.read(3_000, 1_500).await.unwrap();
    written(3_500).await;
    drop(copies.fetch(name(1), mount(&source), None, None).await.unwrap());
    drop(reader);
    let images = disk.images();
    assert!(images.len() > 30, "{} images", images.len());
    for image in &images {
        let shown: Vec<_> = image.iter().map(|(path, bytes)| (path, bytes.len())).collect();
        for (data, validator) in [(&new, "v2"), (&old, "v1")] {
            let source = Source::new(data.clone(), Some(validator));
            let disk = PowerDisk::of(image);
            let copies = open(&disk);
            let reader = remote(&copies, 1, &source).await;
            assert!(reader.read(0, data.len()).await.unwrap() == *data, "another content: {shown:?}");
            drop(reader);
            copies.close().await;
            let copies = open(&disk);
            // Where it was pinned when the power went, it still is.
            let _ = copies.unpin(name(1)).await;
            copies.gc(|_| false, false).await.unwrap();
            assert!(disk.names().is_empty(), "nobody claims {:?}, of {shown:?}", disk.names());
            assert_eq!(copies.used_bytes(), 0, "{shown:?}");
        }
    }
}

#[tokio::test]
async fn a_pin_of_chunks_survives_a_power_cut_with_what_it_pins() {
    let disk = PowerDisk::default();
    let source = Source::new(content(6, 5_500), Some("v1"));
    let open = |disk: &PowerDisk| Copies::open(Arc::new(disk.clone()), Path::new(FOLDER), small_chunks()).unwrap();
    let copies = open(&disk);
    let reader = remote(&copies, 1, &source).await;
    reader.read(0, 3_000).await.unwrap();
    until("it is written", || copies.list().last().is_some_and(|info| info.done == 3_000)).await;
    let before = disk.images();
    copies.pin(name(1)).await.unwrap();
    let least = disk.least();
    assert!(!before.contains(&least), "the pin has written nothing");
    let copies = open(&PowerDisk::of(&least));
    let info = copies.list().remove(0);
    assert_eq!((info.is_pinned, info.done), (true, 3_000));
}
