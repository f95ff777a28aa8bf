//! The power goes at every moment of a life: two fetches with a break in between, a pin, another content, an eviction.

use std::path::Path;
use std::sync::Arc;

use dagstore_transient::{Copies, Error};

use crate::common::{Source, content, mount, name, open_on, read};
use crate::disk::{Disk, Image};

const FOLDER: &str = "copies";

fn open(disk: &Disk) -> Copies {
    open_on(Arc::new(disk.clone()), Path::new(FOLDER)).unwrap()
}

/// Whatever the cut left: what is there is the content, what isn't can be fetched, and all of it is claimed by somebody.
async fn check(image: &Image, contents: [&Vec<u8>; 2], source: &Arc<Source>) {
    let shown: Vec<_> = image.iter().map(|(path, bytes)| (path, bytes.len())).collect();
    let disk = Disk::of(image);
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
    let disk = Disk::default();
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
    let disk = Disk::default();
    let data = content(3, 60_000);
    let source = Source::new(data.clone(), Some("v1"));
    drop(open(&disk).fetch(name(1), mount(&source), None, None).await.unwrap());
    let mut least = u64::MAX;
    for image in disk.images() {
        let before = source.given();
        let copy = open(&Disk::of(&image)).fetch(name(1), mount(&source), None, None).await.unwrap();
        assert!(read(&copy) == data);
        let again = source.given() - before;
        let largest = image.values().map(Vec::len).max().unwrap_or(0) as u64;
        // A piece of 4,000 bytes may be on its way, beside the 8,000 up to a checkpoint.
        assert!(again + largest <= 60_000 + 12_000, "{again} bytes again, and {largest} were there");
        least = least.min(again);
    }
    assert_eq!(least, 0, "a copy that was complete was never used");
}
