//! What the original did to copies and to those who waited for them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_transient::{CopyState, Error, Reason};
use dagstore_types::{Attempt, Registration, ShardKey};

use crate::common::{Seen, Source, content, files, mount, name, only, open, read, until};

#[tokio::test]
async fn fault_09_a_copy_that_was_cut_or_emptied_is_not_believed() {
    for length in [0, 1, 19_999] {
        let directory = tempfile::tempdir().unwrap();
        let data = content(9, 20_000);
        let source = Source::new(data.clone(), Some("v1"));
        drop(open(directory.path()).fetch(name(1), mount(&source), None, None).await.unwrap());
        let copy = only(directory.path(), ".copy");
        std::fs::write(&copy, &data[..length]).unwrap();
        let copies = open(directory.path());
        let found = copies.local(name(1), None).await;
        assert!(matches!(found, Err(Error::NotLocal { .. })), "a copy cut to {length} bytes: {found:?}");
        let lease = copies.fetch(name(1), mount(&source), None, None).await.unwrap();
        assert_eq!(read(&lease), data, "cut to {length}");
    }
}

#[tokio::test]
async fn fault_09_a_copy_that_is_cut_while_the_store_is_open_is_fetched_anew() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(9, 20_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = open(directory.path());
    drop(copies.fetch(name(1), mount(&source), None, None).await.unwrap());
    let copy = only(directory.path(), ".copy");
    std::fs::write(&copy, &data[..100]).unwrap();
    let lease = copies.fetch(name(1), mount(&source), None, None).await.unwrap();
    assert_eq!(read(&lease), data, "the copy was cut to 100 bytes");
}

#[tokio::test]
async fn fault_09_what_is_on_disk_of_a_fetch_is_held_against_its_checksum() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(9, 50_000);
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.breaks_at = Some(30_000));
    let copies = open(directory.path());
    copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
    source.change(|manners| manners.breaks_at = None);
    let partial = only(directory.path(), ".part");
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[500..600].fill(0);
    std::fs::write(&partial, bytes).unwrap();
    let seen = Seen::default();
    let error = copies.fetch(name(1), mount(&source), None, Some(seen.observer())).await.err();
    assert!(matches!(error, Some(Error::Damaged { .. })), "zeros in a partial copy: {error:?}");
    assert!(seen.bytes().is_empty(), "what can't be unseen was shown before it was checked");
    assert_eq!(read(&copies.fetch(name(1), mount(&source), None, None).await.unwrap()), data);
}

#[tokio::test]
async fn fault_11_a_finished_copy_is_found_again_whatever_the_record_says() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(11, 20_000);
    let source = Source::new(data.clone(), Some("v1"));
    drop(open(directory.path()).fetch(name(1), mount(&source), None, None).await.unwrap());
    let copies = open(directory.path());
    let next_attempt = OwnName::from_parts(name(1).key_hash(), name(1).registration, Attempt(7));
    let lease = copies.fetch(next_attempt, mount(&source), None, None).await.unwrap();
    assert_eq!((read(&lease), source.streams()), (data, 1), "fetched again");
    assert_eq!(files(directory.path()).len(), 2);
}

#[tokio::test]
async fn fault_16_a_fetch_that_failed_is_no_reason_for_the_next_to_fail() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(16, 20_000);
    let source = Source::new(data.clone(), Some("v1"));
    let copies = open(directory.path());
    source.change(|manners| manners.is_gone = true);
    for _ in 0..2 {
        let error = copies.fetch(name(1), mount(&source), None, None).await.unwrap_err();
        assert!(matches!(error, Error::Source { .. }), "{error}");
    }
    let left = (copies.list(), copies.used_bytes(), files(directory.path()).len());
    assert_eq!(left, (Vec::new(), 0, 0), "something is left of fetches that failed");
    source.change(|manners| manners.is_gone = false);
    let lease = copies.fetch(name(1), mount(&source), None, None).await;
    assert_eq!(read(&lease.expect("a fetch behind one that failed")), data);
}

#[tokio::test]
async fn fault_17_who_goes_away_takes_nothing_from_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let data = content(17, 20_000);
    let source = Source::new(data.clone(), Some("v1"));
    source.change(|manners| manners.hangs_at = Some(10_000));
    let copies = open(directory.path());
    let ask = || {
        let (copies, mount) = (copies.clone(), mount(&source));
        tokio::spawn(async move { copies.fetch(name(1), mount, None, None).await })
    };
    let first = ask();
    source.hangs.notified().await;
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    drop(first.await);
    source.change(|manners| manners.hangs_at = None);
    let lease = second.await.unwrap().expect("a fetch that one of two didn't wait for");
    assert_eq!((read(&lease), source.streams()), (data, 1));
}

#[tokio::test]
async fn fault_18_a_fetch_that_ends_early_or_late_is_none() {
    for (announced, told) in [(20_001, "only 20000"), (19_999, "at least 20000")] {
        let directory = tempfile::tempdir().unwrap();
        let source = Source::new(content(18, 20_000), Some("v1"));
        source.change(|manners| manners.announced = Some(announced));
        let copies = open(directory.path());
        let fetched = copies.fetch(name(1), mount(&source), None, None).await;
        let Err(error) = fetched else { panic!("{announced} bytes were announced, and 20000 taken for all") };
        assert!(matches!(error, Error::WrongSize { .. }) && error.to_string().ends_with(told), "{error}");
        assert!(!files(directory.path()).iter().any(|file| file.ends_with(".copy")));
        assert!(matches!(copies.local(name(1), None).await, Err(Error::NotLocal { .. })));
    }
}

#[tokio::test]
async fn fault_19_a_fetch_goes_on_when_the_first_who_wanted_it_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let source = Source::new(content(19, 50_000), Some("v1"));
    let copies = open(directory.path());
    let ask = tokio::spawn({
        let (copies, mount) = (copies.clone(), mount(&source));
        async move { copies.fetch(name(1), mount, None, None).await }
    });
    until("the fetch has begun", || source.streams() > 0).await;
    ask.abort();
    drop(ask.await);
    let is_complete = || copies.list().first().is_some_and(|info| info.state == CopyState::Complete);
    until("the fetch goes on to its end", is_complete).await;
    drop(copies.local(name(1), None).await.unwrap());
    assert_eq!(source.streams(), 1);
}

#[tokio::test]
async fn fault_20_a_users_own_file_is_used_where_it_is_and_never_deleted() {
    let [directory, elsewhere] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let file = elsewhere.path().join("mine.car");
    let data = content(20, 20_000);
    std::fs::write(&file, &data).unwrap();
    let source = Source::new(data.clone(), Some("v1"));
    let stat = source.now().unwrap();
    let copies = open(directory.path());
    copies.adopt_foreign(name(1), &file, Some(&stat)).await.unwrap();
    let again = copies.adopt_foreign(name(1), &file, None).await;
    assert!(matches!(again, Err(Error::Kept { reason: Reason::Exists, .. })), "{again:?}");
    drop(copies);
    let copies = open(directory.path());
    let lease = copies.fetch(name(1), mount(&source), Some(&stat), None).await.unwrap();
    assert_eq!((read(&lease), source.streams()), (data.clone(), 0));
    assert_eq!(lease.path(), file.canonicalize().unwrap());
    drop(lease);
    copies.gc(|_| false, false).await.unwrap();
    assert_eq!(std::fs::read(&file).ok().as_ref(), Some(&data), "a user's file was deleted by a collection");
    copies.adopt_foreign(name(1), &file, Some(&stat)).await.unwrap();
    copies.evict(name(1), true, true).await.unwrap();
    assert_eq!(std::fs::read(&file).ok().as_ref(), Some(&data), "a user's file was deleted by an eviction");
    // One that was changed serves no longer, and stays as well.
    copies.adopt_foreign(name(1), &file, Some(&stat)).await.unwrap();
    let changed = content(21, 20_000);
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, &changed).unwrap();
    assert!(matches!(copies.local(name(1), None).await, Err(Error::Unfit { .. })));
    let lease = copies.fetch(name(1), mount(&source), Some(&stat), None).await.unwrap();
    assert_eq!((read(&lease), std::fs::read(&file).unwrap()), (data, changed));
}

#[tokio::test]
async fn fault_20_a_file_that_does_not_fit_is_not_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let copies = open(&directory.path().join("copies"));
    let file = directory.path().join("mine.car");
    std::fs::write(&file, content(20, 100)).unwrap();
    let inside = directory.path().join("copies/x.car");
    std::fs::write(&inside, content(20, 100)).unwrap();
    let other = dagstore_mount::Stat::new(101, None);
    let absent = directory.path().join("absent");
    for (path, stat) in [(&file, Some(&other)), (&inside, None), (&absent, None), (&directory.path().into(), None)] {
        let adopted = copies.adopt_foreign(name(1), path, stat).await;
        assert!(matches!(adopted, Err(Error::Unfit { .. })), "{}: {adopted:?}", path.display());
    }
    assert!(copies.list().is_empty());
}

#[tokio::test]
async fn fault_21_a_collection_removes_what_is_provably_its_own_and_unnamed() {
    let directory = tempfile::tempdir().unwrap();
    let sources: Vec<_> = (0..4).map(|number| Source::new(content(number, 20_000), Some("v1"))).collect();
    let copies = open(directory.path());
    for (number, source) in (0..3).zip(&sources) {
        drop(copies.fetch(name(number), mount(source), None, None).await.unwrap());
    }
    sources[3].change(|manners| manners.breaks_at = Some(10_000));
    copies.fetch(name(3), mount(&sources[3]), None, None).await.unwrap_err();
    copies.pin(name(2)).await.unwrap();
    drop(copies);
    let stem = OwnName::from_parts([1; 16], Registration(9), Attempt(0)).to_string();
    let others = ["notes.txt", "x.copy", "y.part", "z.meta"].map(str::to_owned);
    let strays = [format!("{stem}.copy"), format!("{stem}.part"), format!("{stem}.meta")];
    for file in others.iter().chain(&strays) {
        std::fs::write(directory.path().join(file), b"somebody's").unwrap();
    }
    std::fs::create_dir(directory.path().join("folder")).unwrap();
    let before = files(directory.path());
    // The same folder, spelled differently.
    let copies = open(&directory.path().join("folder/.."));
    let named = |found: &OwnName| found.registration == Registration(1);
    let told = copies.gc(named, true).await.unwrap();
    assert_eq!(files(directory.path()), before, "a dry run removed something");
    let done = copies.gc(named, false).await.unwrap();
    assert_eq!(told, done);
    let kept = |number: u64| {
        let number = OwnName::from_parts(name(number).key_hash(), name(number).registration, Attempt(1)).to_string();
        done.entries.iter().find(|entry| entry.name == number).unwrap().kept
    };
    assert_eq!([0, 1, 2, 3].map(kept), [None, Some(Reason::Named), Some(Reason::Pinned), None]);
    let left: BTreeSet<_> = files(directory.path()).into_iter().collect();
    for file in others.iter().chain(&strays).chain(&["folder".to_owned()]) {
        assert!(left.contains(file), "{file} was removed");
    }
    assert_eq!(left.len(), others.len() + strays.len() + 1 + 4, "{left:?}");
    let unknown = done.entries.iter().filter(|entry| entry.kept == Some(Reason::NotProvablyOurs)).count();
    assert_eq!(unknown, strays.len());
}

#[tokio::test]
async fn fault_31_no_part_of_a_key_is_in_a_file_name() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("copies");
    let copies = open(&folder);
    let long = "k".repeat(900);
    for (number, key) in (1..).zip(["../../escape", "a/b", "..", "/etc/x", &long]) {
        let data = content(number, 100);
        let own = OwnName::new(&ShardKey::new(key).unwrap(), Registration(number), Attempt(0));
        let source: Arc<Source> = Source::new(data.clone(), Some("v1"));
        let lease = copies.fetch(own, mount(&source), None, None).await.unwrap();
        assert_eq!(read(&lease), data);
        assert_eq!(lease.path(), folder.join(format!("{own}.copy")));
    }
    assert_eq!(files(directory.path()), ["copies"]);
    assert_eq!(files(&folder).len(), 10);
    for file in files(&folder) {
        let mode = std::fs::metadata(folder.join(&file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
}
