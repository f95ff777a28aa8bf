//! Local copies that are kept, given up and adopted.

use std::time::Duration;

use dagstore_engine::{Error, GcOptions};
use dagstore_testkit::{Wired, cars};
use dagstore_transient::{Error as Copy, Reason};
use dagstore_types::ErrorKind;

use super::copies::{car, evict, kind_of, size, world_with};
use super::support::*;

/// Seen red with a kill loop whose processes evict by force and pin then: the pin went by the copy that was still open.
#[tokio::test]
async fn what_was_evicted_by_force_while_it_is_open_is_fetched_again_to_be_pinned() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    let open = engine.acquire("a").await.unwrap();
    engine.evict("a", true).await.unwrap();
    engine.pin("a").await.unwrap();
    let copies = engine.copies();
    assert!(copies.len() == 1 && copies[0].info.is_pinned && copies[0].info.done == size(&car), "{copies:?}");
    drop(open);
    assert_eq!(world.wire.counts().streams, 2);
}

#[tokio::test]
async fn a_pinned_copy_stays_also_after_opening_again() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    assert!(matches!(engine.unpin("a").await, Err(Error::Copy { .. })));
    engine.pin("a").await.unwrap();
    assert_eq!(world.wire.counts().streams, 1, "what isn't there is fetched");
    engine.close().await.unwrap();

    let engine = world.open().await;
    let idle = |dry_run| {
        let mut options = GcOptions::default();
        (options.idle_copies, options.dry_run) = (true, dry_run);
        options
    };
    assert_eq!(engine.gc_with(idle(false)).await.unwrap().copies_removed, 0);
    let kept = engine.evict("a", false).await;
    assert!(matches!(&kept, Err(Error::Copy { source: Copy::Kept { .. }, .. })), "{kept:?}");
    engine.unpin("a").await.unwrap();
    let report = engine.gc_with(idle(true)).await.unwrap();
    assert_eq!((report.copies_removed, report.copy_bytes), (1, size(&car)), "{report:?}");
    assert_eq!(world.copy_files().len(), 2, "nothing was removed yet");
    let report = engine.gc_with(idle(false)).await.unwrap();
    assert_eq!(report.copies_removed, 1, "{report:?}");
    assert_eq!(world.copy_files(), []);
    engine.register("here", "bytes:").lazy().await.unwrap();
    assert!(matches!(engine.pin("here").await, Err(Error::NotCopied(_))));
}

#[tokio::test]
async fn what_is_kept_open_for_nobody_can_be_evicted() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    let shard = engine.acquire("a").await.unwrap();
    let in_use = engine.evict("a", false).await;
    assert!(matches!(in_use, Err(Error::Copy { source: Copy::Kept { reason: Reason::InUse, .. }, .. })), "{in_use:?}");
    drop(shard);
    assert!(engine.is_open(&"a".parse().unwrap()) && engine.evict("a", false).await.unwrap() >= size(&car));

    let (cid, _) = &car.blocks[40];
    let shard = engine.acquire("a").await.unwrap();
    shard.blockstore().get(cid).await.unwrap();
    until("a piece is on disk", || engine.copies().iter().any(|copy| copy.info.done > 0)).await;
    drop(shard);
    assert!(engine.is_open(&"a".parse().unwrap()) && engine.evict("a", false).await.unwrap() > 0);
}

/// A source with something else is no better than one that is gone.
#[tokio::test]
async fn the_copy_of_what_its_source_has_no_more_is_kept_unless_it_is_forced() {
    let car = car();
    let mut world = world_with(&car);
    world.quota_bytes = Some(size(&car) * 3 / 2);
    world.room_deadline = Duration::from_millis(50);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    world.wire.put("a", Wired::new(car.bytes.clone(), 2));
    world.wire.put("b", Wired::new(car.bytes.clone(), 1));
    let kept = |error| matches!(error, Error::Copy { source: Copy::Kept { reason: Reason::MayBeTheLast, .. }, .. });
    assert!(kept(engine.evict("a", false).await.unwrap_err()));
    let mut options = GcOptions::default();
    options.idle_copies = true;
    assert_eq!(engine.gc_with(options).await.unwrap().copies_removed, 0);
    assert_eq!(kind_of(&engine.register("b", "wire:b").await.unwrap_err()), Some(ErrorKind::Storage));
    read_all(&engine, "a", &car).await;
    until("nothing is open", || !engine.is_open(&"a".parse().unwrap())).await;
    engine.evict("a", true).await.unwrap();
    engine.recover("b").await.unwrap();
}

#[tokio::test]
async fn copies_of_shards_that_are_gone_are_removed_and_nothing_else() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    engine.close().await.unwrap();
    let folder = world.copies.as_ref().unwrap().path();
    let copy = world.copy_files();
    std::fs::write(folder.join("notes.copy"), "mine").unwrap();
    // The catalogue forgets the shard, as if its destruction had lost the copy.
    let row = 1_u64.to_be_bytes();
    dagstore_datastore::DatastoreExt::delete(&world.datastore, SHARDS, &row).await.unwrap();

    let engine = world.open().await;
    engine.resumed().await.unwrap();
    let report = engine.gc().await.unwrap();
    assert_eq!((report.copies_removed, report.copy_bytes > size(&car)), (1, true), "{report:?} of {copy:?}");
    assert_eq!(world.copy_files(), [("notes.copy".to_owned(), 4)]);
}

#[tokio::test]
async fn a_users_own_file_serves_and_is_never_removed() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").lazy().await.unwrap();
    let own = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(own.path(), &car.bytes).unwrap();
    engine.adopt("a", own.path()).await.unwrap();
    read_all(&engine, "a", &car).await;
    assert_eq!(world.wire.counts().streams, 0);
    engine.destroy("a").await.unwrap();
    assert_eq!(std::fs::read(own.path()).unwrap(), car.bytes);
    assert_eq!(world.copy_files(), []);
}

/// A file that isn't what was indexed would be read instead of the source for good.
#[tokio::test]
async fn a_file_is_held_against_the_index_before_it_is_adopted() {
    let car = car();
    let world = world_with(&car);
    let engine = world.open().await;
    engine.register("a", "wire:a").await.unwrap();
    evict(&engine).await;
    // With the index the source isn't needed.
    world.wire.remove("a");
    let own = tempfile::NamedTempFile::new().unwrap();
    let mut other = car.bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    // Blocks that no index names, in the place of the last one.
    let identity = [&[0x91, 0x10, 0x01, 0x55, 0x00, 0x86, 0x08][..], &[0; 2060]].concat();
    let lacking = [&car.bytes[..car.bytes.len() - 2 * identity.len()], &identity, &identity].concat();
    for wrong in [&other[..], &lacking, &car.bytes[..car.bytes.len() - 1], &cars::numbered(64, 4096).bytes[..100], &[]]
    {
        std::fs::write(own.path(), wrong).unwrap();
        let refused = engine.adopt("a", own.path()).await.unwrap_err();
        assert!(matches!(refused, Error::Copy { source: Copy::Unfit { .. }, .. }), "{refused:?}");
        assert_eq!(engine.copies(), []);
    }
    std::fs::write(own.path(), &car.bytes).unwrap();
    engine.adopt("a", own.path()).await.unwrap();
    read_all(&engine, "a", &car).await;
}
