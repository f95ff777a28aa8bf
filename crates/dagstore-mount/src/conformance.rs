//! The suite that every mount passes.

use std::sync::Arc;

use dagstore_fs::ReadAtExt;

use crate::{Mount, MountUrl};

/// Checks that `mount` serves `content`, and that `template` makes the same mount again from its URL.
///
/// # Panics
/// When it doesn't. Meant for tests.
pub async fn check(template: &dyn Mount, mount: &dyn Mount, content: &[u8]) {
    serves(mount, content).await;
    let location = mount.location();
    assert_eq!(location, mount.location(), "a mount always has the same location");
    let url = MountUrl::new("test", &location);
    assert!(url.is_ok(), "the location {location:?} can't stand in a URL: {url:?}");
    let again: Arc<dyn Mount> = match template.instantiate(&location) {
        Ok(again) => again,
        Err(error) => panic!("the template doesn't understand {location:?}: {error}"),
    };
    assert_eq!(again.location(), location, "the location comes back");
    assert_eq!(again.capabilities(), mount.capabilities(), "so do the capabilities");
    serves(&*again, content).await;
}

async fn serves(mount: &dyn Mount, content: &[u8]) {
    let size = content.len() as u64;
    let stat = match mount.stat().await {
        Ok(stat) => stat,
        Err(error) => panic!("stat: {error}"),
    };
    assert_eq!(stat.size, size, "stat tells the size");
    let opened = match mount.open().await {
        Ok(opened) => opened,
        Err(error) => panic!("open: {error}"),
    };
    assert_eq!(opened.stat, stat, "an open source that nobody touched is the one that stat saw");
    assert_eq!(opened.reader.size(), size, "the reader knows the size");
    for start in [0, content.len() / 2, content.len()] {
        let mut buffer = vec![0; content.len() - start];
        let read = opened.reader.read_exact_at(start as u64, &mut buffer);
        assert!(read.is_ok(), "reading from {start}: {read:?}");
        assert_eq!(buffer, &content[start..], "the bytes from {start} on");
    }
    let mut buffer = [0; 8];
    for beyond in [size, size + 1, u64::MAX] {
        let read = opened.reader.read_at(beyond, &mut buffer);
        assert!(matches!(read, Ok(0)), "reading at {beyond}, past the end: {read:?}");
    }
}
