//! Every call to the file system fails once, and every one from some call on.

use std::path::Path;
use std::sync::Arc;

use dagstore_fs::ReadAtExt;
use dagstore_testkit::FaultyFileSystem;
use dagstore_transient::{Copies, Lease};

use crate::common::{Source, content, disk_use, files, mount, name, open, open_on, read};

/// A life that touches everything. What it says it has, it has.
async fn live(copies: &Copies, source: &Arc<Source>, data: &[u8]) {
    source.change(|manners| manners.breaks_at = Some(19_000));
    copies.fetch(name(1), mount(source), None, None).await.unwrap_err();
    source.change(|manners| manners.breaks_at = None);
    for _ in 0..2 {
        if let Ok(lease) = copies.fetch(name(1), mount(source), None, None).await {
            check(&lease, data);
        }
        // What failed here is seen by what is there afterwards.
        let _ = copies.pin(name(1)).await;
        let _ = copies.unpin(name(1)).await;
        let _ = copies.evict(name(1), true, false).await;
    }
    let _ = copies.fetch(name(1), mount(source), None, None).await;
}

/// Reading may fail as well, but not lie.
fn check(lease: &Lease, data: &[u8]) {
    let mut bytes = vec![0; data.len()];
    assert_eq!(lease.reader().size(), data.len() as u64);
    if lease.reader().read_exact_at(0, &mut bytes).is_ok() {
        assert!(bytes == data);
    }
}

async fn fail(directory: &Path, call: u64, for_ever: bool) -> bool {
    let data = content(1, 30_000);
    let source = Source::new(data.clone(), Some("v1"));
    let file_system = FaultyFileSystem::new(call, for_ever);
    if let Ok(copies) = open_on(Arc::new(file_system.clone()), directory) {
        live(&copies, &source, &data).await;
        let (used, on_disk) = (copies.used_bytes(), disk_use(directory));
        assert!(used >= on_disk, "call {call}, for ever {for_ever}: {on_disk} bytes on disk, and {used} counted");
        if !for_ever && file_system.has_failed() {
            let lease = copies.fetch(name(1), mount(&source), None, None).await;
            let lease = lease.unwrap_or_else(|error| panic!("call {call} poisoned the next fetch: {error}"));
            check(&lease, &data);
        }
    }
    let copies = open(directory);
    let lease = copies.fetch(name(1), mount(&source), None, None).await;
    let lease = lease.unwrap_or_else(|error| panic!("call {call}, for ever {for_ever}: {error}"));
    assert!(read(&lease) == data);
    drop(lease);
    // The unpinning may be what failed.
    copies.unpin(name(1)).await.unwrap();
    copies.gc(|_| false, false).await.unwrap();
    assert!(files(directory).is_empty(), "call {call}, for ever {for_ever}: {:?}", files(directory));
    file_system.has_failed()
}

#[tokio::test]
async fn any_call_may_fail() {
    for for_ever in [false, true] {
        let mut call = 1;
        loop {
            let directory = tempfile::tempdir().unwrap();
            if !fail(directory.path(), call, for_ever).await {
                break;
            }
            call += 1;
        }
        assert!(call > 80, "a life of {call} calls");
    }
}

/// An adoption that fails at any call leaves nothing that isn't counted.
#[tokio::test]
async fn any_call_of_an_adoption_may_fail() {
    let own = tempfile::NamedTempFile::new().unwrap();
    for for_ever in [false, true] {
        for call in 1.. {
            let directory = tempfile::tempdir().unwrap();
            let file_system = FaultyFileSystem::new(call, for_ever);
            let Ok(copies) = open_on(Arc::new(file_system.clone()), directory.path()) else { continue };
            let adopted = copies.adopt_foreign(name(1), own.path(), None).await;
            let (used, on_disk) = (copies.used_bytes(), disk_use(directory.path()));
            assert!(used >= on_disk, "call {call}, for ever {for_ever}: {on_disk} bytes on disk, and {used} counted");
            if !file_system.has_failed() {
                adopted.unwrap();
                break;
            }
        }
    }
}
