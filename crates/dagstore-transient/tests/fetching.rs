//! Fetching from sources that behave and that don't.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use std::ops::ControlFlow;
use std::sync::Arc;

use common::{Seen, Source, content, files, mount, name, only, open, open_with, options, read, until};
use dagstore_fs::OwnName;
use dagstore_mount::Stat;
use dagstore_transient::{Copies, CopyState, Error, Reason};
use dagstore_types::Attempt;

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_who_ask_at_once_share_one_stream() {
    let directory = tempfile::tempdir().unwrap();
    let copies = open(directory.path());
    let (data, seen) = (content(1, 100_000), Seen::default());
    let source = Source::new(data.clone(), Some("v1"));
    let asks = (0..64).map(|number| {
        let (copies, mount, observer) = (copies.clone(), mount(&source), (number == 0).then(|| seen.observer()));
        tokio::spawn(async move { copies.fetch(name(1), mount, None, observer).await.unwrap() })
    });
    for ask in asks.collect::<Vec<_>>() {
        let lease = ask.await.unwrap();
        assert_eq!(read(&lease), data);
        assert_eq!(lease.record().path, lease.path().to_str().unwrap());
        assert_eq!((lease.record().size, lease.record().validator.as_deref()), (Some(100_000), Some("v1")));
    }
    assert_eq!(source.streams(), 1, "streams");
    assert_eq!(source.given(), 100_000);
    assert_eq!(files(directory.path()).len(), 2);
    assert!(seen.bytes().is_empty() || seen.bytes() == data);
}

#[tokio::test]
async fn what_broke_off_is_gone_on_with_and_shown_from_the_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let (data, first, second) = (content(2, 50_000), Seen::default(), Seen::default());
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.breaks_at = Some(30_500));
    let copies = open(directory.path());
    let error = copies.fetch(name(1), mount(&source), None, Some(first.observer())).await.unwrap_err();
    assert!(matches!(error, Error::Source { .. }), "{error}");
    assert_eq!(first.bytes(), data[..30_500]);
    let info = copies.list().remove(0);
    assert_eq!((info.state, info.size, info.done), (CopyState::Partial, Some(50_000), 30_500));
    drop(copies);

    source.change(|manners| manners.breaks_at = None);
    let copies = open(directory.path());
    let later = OwnName::from_parts(name(1).key_hash(), name(1).registration, Attempt(2));
    let lease = copies.fetch(later, mount(&source), None, Some(second.observer())).await.unwrap();
    assert!(lease.was_observed());
    assert_eq!((read(&lease), second.bytes()), (data.clone(), data));
    assert_eq!(source.given(), 50_000, "bytes that were fetched in all");
    assert_eq!(files(directory.path()).len(), 2);
}

#[tokio::test]
async fn a_partial_copy_that_was_taken_away_is_fetched_anew() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(12, 50_000);
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.breaks_at = Some(30_000));
    let copies = open(directory.path());
    copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    source.change(|manners| manners.breaks_at = None);
    std::fs::remove_file(only(directory.path(), ".part")).unwrap();
    let error = copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(read(&copies.fetch(name(1), mount(&source), None, None).await.unwrap()), data);
}

#[tokio::test]
async fn a_source_without_validator_is_fetched_from_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(3, 50_000);
    let source = Source::new(data.clone(), None);
    source.change(|manners| manners.breaks_at = Some(30_000));
    let copies = open(directory.path());
    copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    assert!(files(directory.path()).is_empty(), "what can't be gone on with is kept");
    assert!(copies.list().is_empty());
    assert_eq!(copies.used_bytes(), 0);
    source.change(|manners| manners.breaks_at = None);
    let lease = copies.fetch(name(1), mount(&source), None, None).await.unwrap();
    assert_eq!((read(&lease), source.given()), (data, 80_000));
}

#[tokio::test]
async fn a_source_that_changed_in_between_is_begun_anew_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(4, 50_000), Some("v1"));
    source.change(|manners| manners.breaks_at = Some(30_000));
    let copies = open(directory.path());
    let old = source.now().unwrap();
    copies.fetch(name(1), mount(&source), Some(&old), None).await.unwrap_err();
    let new = content(5, 50_000);
    source.change(|manners| {
        (manners.data, manners.validator, manners.breaks_at) = (new.clone().into(), Some("v2".to_owned()), None);
    });
    let error = copies.fetch(name(1), mount(&source), Some(&old), None).await.unwrap_err();
    assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    assert!(files(directory.path()).is_empty(), "the partial copy of the old content is kept");
    let seen = Seen::default();
    let lease = copies.fetch(name(1), mount(&source), None, Some(seen.observer())).await.unwrap();
    assert_eq!((read(&lease), seen.bytes()), (new.clone(), new));
    // A complete copy of another content than the one that is wanted stays, as long as the source has no better one.
    let error = copies.fetch(name(1), mount(&source), Some(&old), None).await.unwrap_err();
    assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    assert_eq!(copies.list()[0].state, CopyState::Complete);
    drop(lease);
    copies.local(name(1), Some(&Stat::new(50_000, Some("v2".to_owned())))).await.unwrap();
    assert!(matches!(copies.local(name(1), Some(&old)).await, Err(Error::NotLocal { .. })));
}

#[tokio::test]
async fn another_content_that_is_wanted_replaces_the_copy_under_its_readers() {
    let directory = tempfile::tempdir().unwrap();
    let [old, new] = [content(6, 20_000), content(7, 30_000)];
    let source = Source::new(old.clone(), Some("v1"));
    let copies = open(directory.path());
    let first = copies.fetch(name(1), mount(&source), None, None).await.unwrap();
    source.change(|manners| (manners.data, manners.validator) = (new.clone().into(), Some("v2".to_owned())));
    let wanted = source.now().unwrap();
    let second = copies.fetch(name(1), mount(&source), Some(&wanted), None).await.unwrap();
    assert_eq!((read(&first), read(&second)), (old, new));
    assert!(copies.used_bytes() >= 50_000, "the old one is on disk as long as it is open");
    drop(first);
    assert!(copies.used_bytes() < 50_000);
    assert_eq!(files(directory.path()).len(), 2);
}

#[tokio::test]
async fn a_source_that_hangs_is_left_by_cancelling() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(8, 50_000);
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.hangs_at = Some(21_000));
    let copies = open(directory.path());
    let ask = tokio::spawn({
        let (copies, mount) = (copies.clone(), mount(&source));
        async move { copies.fetch(name(1), mount, None, None).await }
    });
    source.hangs.notified().await;
    assert!(matches!(copies.evict(name(1), true, true).await, Err(Error::Kept { reason: Reason::BeingFetched, .. })));
    assert!(copies.cancel(name(1)).await);
    assert!(!copies.cancel(name(1)).await);
    assert!(matches!(ask.await.unwrap(), Err(Error::Cancelled { .. })));
    assert_eq!(copies.list()[0].done, 21_000);
    source.change(|manners| manners.hangs_at = None);
    assert_eq!(read(&copies.fetch(name(1), mount(&source), None, None).await.unwrap()), data);
    assert_eq!(source.given(), 50_000);
    copies.close().await;
    assert!(matches!(copies.fetch(name(1), mount(&source), None, None).await, Err(Error::Closed)));
}

#[tokio::test]
async fn who_waited_for_the_fetch_of_another_is_not_failed_by_what_that_one_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(8, 50_000), Some("v1"));
    let before = source.now().unwrap();
    source.change(|manners| manners.validator = Some("v2".to_owned()));
    let copies = open(directory.path());
    let asked = copies.fetch(name(1), mount(&source), Some(&before), None);
    let waited = copies.fetch(name(1), mount(&source), None, None);
    let (asked, waited) = tokio::join!(asked, waited);
    assert!(matches!(asked, Err(Error::SourceChanged { .. })), "{asked:?}");
    assert_eq!(read(&waited.unwrap()), content(8, 50_000));
    copies.evict(name(1), true, true).await.unwrap();
    let stops = Box::new(|_: u64, _: &[u8]| ControlFlow::Break(()));
    let asked = copies.fetch(name(1), mount(&source), None, Some(stops));
    let waited = copies.fetch(name(1), mount(&source), None, None);
    let (asked, waited) = tokio::join!(asked, waited);
    assert!(matches!(asked, Err(Error::Stopped { .. })), "{asked:?}");
    assert_eq!(read(&waited.unwrap()), content(8, 50_000));
}

#[tokio::test]
async fn an_observer_can_stop_and_one_that_panics_breaks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(9, 50_000);
    let source = Source::new(data.clone(), Some("v1"));
    // The source hangs: a stop is heard all the same.
    source.change(|manners| manners.hangs_at = Some(8_000));
    let copies = open(directory.path());
    let stops = |offset: u64, _: &[u8]| if offset < 4_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
    let error = copies.fetch(name(1), mount(&source), None, Some(Box::new(stops))).await.unwrap_err();
    assert!(matches!(error, Error::Stopped { at: 8_000, .. }), "{error}");
    source.change(|manners| manners.hangs_at = None);
    let panics = |_: u64, _: &[u8]| -> ControlFlow<()> { panic!("planted") };
    let error = copies.fetch(name(1), mount(&source), None, Some(Box::new(panics))).await.unwrap_err();
    assert!(matches!(error, Error::BrokeOff { .. }), "{error}");
    let lease = copies.fetch(name(1), mount(&source), None, None).await.unwrap();
    assert_eq!(read(&lease), data);
    assert!(!lease.was_observed());
}

#[tokio::test]
async fn an_empty_source_has_an_empty_copy() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(Vec::new(), Some("v1"));
    let copies = open(directory.path());
    assert!(read(&copies.fetch(name(1), mount(&source), None, None).await.unwrap()).is_empty());
    drop(copies);
    assert!(read(&open(directory.path()).local(name(1), None).await.unwrap()).is_empty());
}

#[tokio::test]
async fn pins_and_uses_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(10, 5_000), Some("v1"));
    let mut settings = options();
    settings.use_step = std::time::Duration::ZERO;
    let file_system = || Arc::new(dagstore_fs::RealFileSystem);
    let copies = Copies::open(file_system(), directory.path(), settings.clone()).unwrap();
    assert!(matches!(copies.pin(name(1)).await, Err(Error::NotLocal { .. })));
    drop(copies.fetch(name(1), mount(&source), None, None).await.unwrap());
    copies.pin(name(1)).await.unwrap();
    assert!(matches!(copies.evict(name(1), true, false).await, Err(Error::Kept { reason: Reason::Pinned, .. })));
    let before = copies.list().remove(0);
    // A use may still be being written down.
    copies.close().await;
    drop(copies);
    let copies = Copies::open(file_system(), directory.path(), settings.clone()).unwrap();
    assert_eq!(copies.list(), std::slice::from_ref(&before));
    until("another millisecond", || dagstore_fs::Clock::now(&dagstore_fs::SystemClock) > before.last_use).await;
    drop(copies.local(name(1), None).await.unwrap());
    let used = copies.list()[0].last_use;
    assert!(used > before.last_use);
    let sidecar = only(directory.path(), ".meta");
    let is_on_disk = || {
        let time = std::fs::read(&sidecar).ok().and_then(|bytes| Some(bytes.get(60..68)?.to_owned()));
        time.is_some_and(|time| time == used.0.to_be_bytes())
    };
    until("the use is written down", is_on_disk).await;
    copies.unpin(name(1)).await.unwrap();
    assert!(matches!(copies.evict(name(1), false, false).await, Err(Error::Kept { reason: Reason::MayBeTheLast, .. })));
    let lease = copies.local(name(1), None).await.unwrap();
    assert!(matches!(copies.evict(name(1), true, false).await, Err(Error::Kept { reason: Reason::InUse, .. })));
    copies.evict(name(1), true, true).await.unwrap();
    assert_eq!(read(&lease), content(10, 5_000));
    assert!(files(directory.path()).is_empty());
    drop(lease);
    assert_eq!(copies.used_bytes(), 0);
}

#[tokio::test]
async fn a_listing_shows_how_far_a_fetch_is() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(11, 50_000), Some("v1"));
    source.change(|manners| manners.hangs_at = Some(12_000));
    let copies = open(directory.path());
    let asking = copies.clone();
    let asked = mount(&source);
    tokio::spawn(async move { asking.fetch(name(1), asked, None, None).await });
    until("12,000 bytes are written", || copies.list().first().is_some_and(|info| info.done == 12_000)).await;
    let info = copies.list().remove(0);
    assert_eq!((info.state, info.size, info.is_in_use), (CopyState::Fetching, Some(50_000), true));
    copies.pin(name(1)).await.unwrap();
    copies.close().await;
    assert!(only(directory.path(), ".part").exists());
    drop(copies);
    assert!(open(directory.path()).list()[0].is_pinned);
}

#[tokio::test]
async fn a_look_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(12, 50_000), Some("v1"));
    let copies = open(directory.path());
    copies.fetch(name(1), mount(&source), None, None).await.unwrap();
    source.change(|manners| manners.breaks_at = Some(12_000));
    copies.fetch(name(2), mount(&source), None, None).await.unwrap_err();
    let (listed, used) = (copies.list(), copies.used_bytes());
    drop(copies);
    // What a crash leaves in the middle of a checkpoint.
    std::fs::write(only(directory.path(), ".part").with_extension("meta-new"), b"dags").unwrap();
    let before = files(directory.path());
    let look_at = |directory: &std::path::Path| {
        let mut options = options();
        options.read_only = true;
        open_with(directory, options)
    };
    let look = look_at(directory.path());
    assert_eq!((look.list().len(), look.used_bytes()), (2, used));
    for (seen, was) in look.list().into_iter().zip(listed) {
        assert_eq!((seen.name, seen.state, seen.done, seen.size), (was.name, was.state, was.done, was.size));
    }
    assert!(matches!(look.fetch(name(2), mount(&source), None, None).await, Err(Error::Closed)));
    assert!(matches!(look.local(name(1), None).await, Err(Error::Closed)));
    assert!(matches!(look.pin(name(1)).await, Err(Error::Closed)));
    assert!(matches!(look.evict(name(1), true, true).await, Err(Error::Closed)));
    assert!(matches!(look.gc(|_| false, false).await, Err(Error::Closed)));
    assert_eq!(files(directory.path()), before);
    assert_eq!(open(directory.path()).list().len(), 2);
    assert_ne!(files(directory.path()), before);
    // A folder that isn't there isn't made.
    let absent = directory.path().join("absent");
    let look = look_at(&absent);
    assert_eq!((look.list().len(), look.used_bytes(), absent.exists()), (0, 0, false));
}
