//! Directories of Go's dagstore: the one of the fixtures, where they are, and a small one that is made here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagstore::codec::{Cbor, GoRecord};
use dagstore::datastore::{Datastore, MemoryDatastore};
use dagstore::mount::Registry;
use dagstore::{Dagstore, Databases, ShardState};
use dagstore_import::Error;
use dagstore_import::go::{Compared, Mapping, Outcome, Planned, ReadOptions, compare_index, plan, read, write};
use dagstore_types::UnixMillis;
use rusty_leveldb::{DB, Options};

/// A directory with a LevelDB of these rows; half of them are in a table, half in the journal.
fn directory(rows: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["index", "transients", "datastore"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    let mut database = DB::open(folder.path().join("datastore"), Options::default()).unwrap();
    for (number, (row, value)) in rows.iter().enumerate() {
        database.put(row.as_bytes(), value.as_bytes()).unwrap();
        if number == rows.len() / 2 {
            database.compact_range(b"", b"~").unwrap();
        }
    }
    database.put(b"/inverted/index/\x12\x20", b"[\"a\"]").unwrap();
    database.flush().unwrap();
    database.close().unwrap();
    folder
}

fn memory() -> Databases {
    let records: Arc<dyn Datastore> = Arc::new(MemoryDatastore::new());
    Databases { inverted: Some(records.clone()), records }
}

async fn import(directory: &Path, mapping: &Mapping, into: &Databases) -> Vec<Planned> {
    let (rows, mut files) = read(directory, &ReadOptions::default()).unwrap();
    let mut planned = plan(rows, &mut files, mapping, &Registry::with_defaults(), UnixMillis(7));
    write(into, &Cbor, &mut planned).await.unwrap();
    planned
}

/// Every file with its bytes, its mode and its times.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u32, i64, i64)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            let bytes = if metadata.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
            files.insert(path.clone(), (bytes, metadata.mode(), metadata.mtime(), metadata.mtime_nsec()));
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    files
}

const CAR: &str = "bytes://OqJlcm9vdHOAZ3ZlcnNpb24BAAAA";

#[tokio::test]
async fn every_record_is_taken_or_kept_and_told() {
    let keys = ["a", "b"].map(|end| format!("{}{end}", "k".repeat(1024)));
    let too_long = keys.map(|key| format!(r#"{{"k":"{key}","u":"file://%2Fa.car","s":2}}"#));
    let long = format!(r#"{{"k":"long","u":"file://%2Fa","s":2,"e":"{}"}}"#, "x".repeat(70_000));
    let rows = [
        ("/dagstore", r#"{"k":"","u":"file://%2Fa.car","t":"","s":2,"l":false,"e":""}"#),
        ("/dagstore/cleaned", r#"{"k":"dir/../cleaned","u":"file://%2Fa.car","t":"","s":2,"l":false,"e":""}"#),
        ("/dagstore/cut", r#"{"k":"cut","u":"fs://old.car?pa"#),
        ("/dagstore/errored", r#"{"k":"errored","u":"file://%2Fa.car","t":"","s":240,"l":false,"e":"no \u003c luck"}"#),
        ("/dagstore/lazy", r#"{"k":"lazy","u":"file://%2Fa.car","t":"","s":0,"l":true,"e":""}"#),
        ("/dagstore/long", long.as_str()),
        ("/dagstore/lost", r#"{"k":"lost","u":"fs://irrecoverable","t":"","s":240,"l":false,"e":"x"}"#),
        ("/dagstore/recovering", r#"{"k":"recovering","u":"file://%2Fa.car","t":"","s":128,"l":false,"e":"before"}"#),
        ("/dagstore/too-long-a", too_long[0].as_str()),
        ("/dagstore/too-long-b", too_long[1].as_str()),
        ("/dagstore/twice", r#"{"k":"errored","u":"file://%2Fb.car","t":"","s":240,"l":false,"e":""}"#),
        ("/dagstore/undefined", r#"{"k":"undefined","u":"file://%2Fa.car","t":"","s":7,"l":false,"e":""}"#),
        (
            "/dagstore/unknown",
            r#"{"k":"unknown","u":"lotus://baga","t":"/srv/transients/transient-unknown.complete","s":2,"l":false,"e":""}"#,
        ),
    ];
    let original = directory(&rows);
    fs::write(original.path().join("transients/transient-unknown.complete"), "a copy").unwrap();
    fs::write(original.path().join("index/cleaned.full.idx"), "an index").unwrap();
    let into = memory();
    let planned = import(original.path(), &Mapping::default(), &into).await;

    let outcomes: Vec<_> = planned
        .iter()
        .map(|shard| {
            let told = match &shard.outcome {
                Outcome::Taken(record) => format!("{} {}", record.state, record.lazy),
                Outcome::Quarantined { reason } => reason.clone(),
                Outcome::Present => "present".to_owned(),
            };
            (String::from_utf8(shard.row.name.clone()).unwrap(), told)
        })
        .collect();
    for ((name, told), (expected_name, expected)) in outcomes.iter().zip([
        ("", "the shard key is empty"),
        ("cleaned", "New false"),
        ("cut", "can't decode"),
        ("errored", "Errored false"),
        ("lazy", "New true"),
        ("long", "the most is 65536"),
        ("lost", "Go lost the path"),
        ("recovering", "Recovering false"),
        ("too-long-a", "1025 bytes"),
        ("too-long-b", "1025 bytes"),
        ("twice", "the same key"),
        ("undefined", "0x07 is no shard state"),
        ("unknown", "New false"),
    ]) {
        assert_eq!(name, expected_name);
        assert!(told.contains(expected), "{name}: {told}");
    }
    assert_eq!(outcomes.len(), rows.len());
    assert!(planned[1].index.is_some(), "Go cleans the key for the name of the index, too");
    assert!(planned[12].copy.is_some() && planned[12].notes.iter().any(|note| note.contains("lotus")), "{planned:?}");

    check_store(&into, rows.len()).await;
    // Again changes nothing.
    let before = dagstore_rows(&into).await;
    let again = import(original.path(), &Mapping::default(), &into).await;
    assert!(again.iter().all(|shard| shard.outcome == Outcome::Present));
    assert_eq!(dagstore_rows(&into).await, before);
}

/// In the store, each is a shard or in quarantine; none is missing.
async fn check_store(into: &Databases, records: usize) {
    let store = Dagstore::builder().datastore(into.records.clone()).paused().open().await.unwrap();
    assert_eq!(store.shards().len() + store.quarantined().len(), records);
    let errored = store.info("errored").unwrap();
    assert_eq!((errored.state, errored.error.unwrap().text()), (ShardState::Errored, "no < luck"));
    for (key, reason) in [("cut", "EOF"), ("undefined", "0x07"), ("unknown", "lotus"), ("lost", "irrecoverable")] {
        let kept = store.quarantined();
        let kept = kept.iter().find(|kept| kept.key.as_ref().is_some_and(|found| found.as_str() == key)).unwrap();
        assert!(kept.reason.contains(reason), "{key}: {}", kept.reason);
    }
}

async fn dagstore_rows(databases: &Databases) -> usize {
    databases.records.rows(dagstore::rows::SHARDS, &[], None, usize::MAX).await.unwrap().len()
}

#[tokio::test]
async fn the_directory_is_only_read() {
    let original = directory(&[("/dagstore/a", r#"{"k":"a","u":"file://%2Fa.car","s":2}"#)]);
    fs::write(original.path().join("index/a.full.idx"), "an index").unwrap();
    let set = |mode: u32, file_mode: u32| {
        for (path, _) in tree(original.path()) {
            let mode = if path.is_dir() { mode } else { file_mode };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o555, 0o444);
    let before = tree(original.path());
    let into = memory();
    let planned = import(original.path(), &Mapping::default(), &into).await;
    assert_eq!(planned.len(), 1);
    assert!(tree(original.path()) == before, "something was changed");
    set(0o755, 0o644);
}

/// Not for scratch either, wherever a link leads.
#[test]
fn scratch_in_the_directory_is_refused() {
    let original = directory(&[("/dagstore/a", "{}")]);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(original.path().join("datastore"), &link).unwrap();
    let before = tree(original.path());
    for scratch in [original.path().to_owned(), link] {
        let mut options = ReadOptions::default();
        options.scratch = Some(scratch);
        let error = read(original.path(), &options).unwrap_err();
        assert!(matches!(error, Error::ScratchInside { .. }), "{error}");
    }
    assert!(tree(original.path()) == before, "something was changed");
    let mut options = ReadOptions::default();
    options.scratch = Some(elsewhere.path().to_owned());
    assert_eq!(read(original.path(), &options).unwrap().0.len(), 1);
}

/// The reader passes over what it can't read; so nothing that is damaged may come to it.
#[test]
fn damage_anywhere_is_an_error_and_no_gap() {
    let rows: Vec<_> = (0..200)
        .map(|number| {
            (format!("/dagstore/{number:03}"), format!(r#"{{"k":"{number:03}","u":"file://%2Fa.car","s":2}}"#))
        })
        .collect();
    let rows: Vec<_> = rows.iter().map(|(row, value)| (row.as_str(), value.as_str())).collect();
    let original = directory(&rows);
    let folder = original.path().join("datastore");
    let options = ReadOptions::default();
    assert_eq!(read(original.path(), &options).unwrap().0.len(), 200);
    let (mut damaged, mut files) = (0, 0);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = fs::read(&path).unwrap();
        if name == "LOG" || name == "LOCK" || whole.is_empty() {
            continue;
        }
        files += 1;
        for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            fs::write(&path, &bytes).unwrap();
            match read(original.path(), &options) {
                Err(Error::LevelDb { .. } | Error::NoGoDirectory { .. }) => damaged += 1,
                Err(error) => panic!("{name} at {at}: {error}"),
                Ok((rows, _)) => assert_eq!(rows.len(), 200, "{name} at {at}"),
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(files >= 4 && damaged > 60, "{files} files, {damaged} times damaged");
}

/// An entry whose length leaves the file may be the last one, which was cut; but not where others stand behind it.
#[test]
fn a_length_that_leaves_the_journal_is_no_end_of_it() {
    let original =
        directory(&[("/dagstore/a", "{}"), ("/dagstore/b", "{}"), ("/dagstore/c", "{}"), ("/dagstore/d", "{}")]);
    let folder = original.path().join("datastore");
    let journal = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let journal = journal.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().unwrap();
    let whole = fs::read(&journal).unwrap();
    let mut at = 0;
    while at < whole.len() {
        // Within the block, and beyond it.
        for bit in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at + 5] ^= bit;
            fs::write(&journal, &bytes).unwrap();
            let error = read(original.path(), &ReadOptions::default()).map(|(rows, _)| rows.len()).unwrap_err();
            assert!(error.to_string().contains(&format!("damaged at {at}")), "{error}");
        }
        at += 7 + usize::from(u16::from_le_bytes([whole[at + 4], whole[at + 5]]));
    }
    // One that was cut is an end.
    fs::write(&journal, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(read(original.path(), &ReadOptions::default()).unwrap().0.len(), 4);
}

/// What isn't there can't be damaged, and must be missed all the same: a reader takes a journal that is away for an empty one.
#[test]
fn a_file_that_is_missing_is_an_error_and_no_gap() {
    let original = directory(&[("/dagstore/a", "{}"), ("/dagstore/b", "{}"), ("/dagstore/c", "{}")]);
    let folder = original.path().join("datastore");
    let mut missed = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        match read(original.path(), &ReadOptions::default()) {
            Err(Error::LevelDb { why, .. }) => {
                missed.push(path.extension().map_or(name.clone(), |extension| extension.to_str().unwrap().to_owned()));
                assert!(!name.ends_with(".log") || why.contains(&name), "{name}: {why}");
            }
            Err(error) => assert!(name == "CURRENT" && matches!(error, Error::NoGoDirectory { .. }), "{name}: {error}"),
            Ok((rows, _)) => assert_eq!(rows.len(), 3, "without {name}"),
        }
        fs::write(&path, bytes).unwrap();
    }
    missed.sort();
    assert!(
        matches!(&missed[..], [manifest, table, log] if manifest.starts_with("MANIFEST-") && table == "ldb" && log == "log"),
        "{missed:?}"
    );
    // A name that leads elsewhere is none of a manifest.
    fs::write(folder.join("CURRENT"), "../datastore/MANIFEST-000001\n").unwrap();
    let error = read(original.path(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::LevelDb { why, .. } if why.contains("CURRENT")), "{error}");
}

#[test]
fn limits_and_other_directories_are_told() {
    let rows = [("/dagstore/a", "{}"), ("/dagstore/b", "{}"), ("/other", "{}")];
    let original = directory(&rows);
    let mut options = ReadOptions::default();
    options.max_records = 1;
    let error = read(original.path(), &options).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "records", most: 1, .. }), "{error}");
    let mut options = ReadOptions::default();
    options.max_bytes = 10;
    let error = read(original.path(), &options).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "bytes", most: 10, .. }), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = read(empty.path(), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NoGoDirectory { .. }), "{error}");
}

/// What is imported and exported again is what Go wrote.
#[tokio::test]
async fn an_export_has_the_bytes_of_go() {
    let text = r#"{"k":"a\u003cb","u":"bytes:x","t":"","s":0,"l":true,"e":""}"#;
    let cut = r#"{"k":"cut","#;
    let original = directory(&[("/dagstore/a<b", &text.replace("bytes:x", CAR)), ("/dagstore/cut", cut)]);
    let into = memory();
    import(original.path(), &Mapping::default(), &into).await;
    let mut told = Vec::new();
    let mut tell = |record: &[u8]| {
        told.push(String::from_utf8(record.to_vec()).unwrap());
        Ok(())
    };
    let report = dagstore_import::export(&into, &mut tell).await.unwrap();
    assert_eq!((report.records, report.kept), (2, 1));
    assert_eq!(told[1], cut);
    let (record, wanted) = (GoRecord::decode(told[0].as_bytes()).unwrap(), GoRecord::decode(text.as_bytes()).unwrap());
    assert_eq!((record.key, record.state, record.lazy), (wanted.key, wanted.state, wanted.lazy));
    assert!(told[0].starts_with(r#"{"k":"a\u003cb","u":"bytes:"#), "{}", told[0]);
}

/// The deployment of the fixtures: each shard as `expected.json` has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_whole_deployment_of_go_is_taken() {
    let Some(fixtures) = dagstore_testkit::fixtures("a_whole_deployment_of_go_is_taken") else { return };
    let original = fixtures.join("go-dagstore");
    let before = tree(&original);
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(original.join("expected.json")).unwrap()).unwrap();
    let mapping = Mapping {
        fs_root: Some(original.join("pieces")),
        moved: vec![("/srv/pieces".into(), original.join("pieces"))],
        lazy: false,
    };
    let into = memory();
    let planned = import(&original, &mapping, &into).await;
    let shards = expected["shards"].as_array().unwrap();
    assert_eq!(planned.len(), shards.len());
    let store = Dagstore::builder().datastore(into.records.clone()).open().await.unwrap();
    store.resumed().await.unwrap();
    for shard in shards {
        check_shard(&store, &planned, shard).await;
    }
    assert!(tree(&original) == before, "the directory was changed");
    let (_, mut files) = read(&original, &ReadOptions::default()).unwrap();
    for shard in &planned {
        if let Some(record) = &shard.record {
            let one = dagstore_import::go::GoRow { name: shard.row.name.clone(), value: record.encode().unwrap() };
            plan(vec![one], &mut files, &mapping, &Registry::with_defaults(), UnixMillis(0));
        }
    }
    let unnamed = files.unnamed();
    assert!(unnamed.contains(&"index/destroyed.full.idx".to_owned()), "{unnamed:?}");
    assert!(unnamed.contains(&"transients/transient-nobody.complete".to_owned()), "{unnamed:?}");
    store.close().await.unwrap();
}

async fn check_shard(store: &Dagstore, planned: &[Planned], expected: &serde_json::Value) {
    let key = expected["key"].as_str().unwrap();
    let row = expected["row"].as_str().unwrap().strip_prefix("/dagstore/").unwrap();
    let shard = planned.iter().find(|shard| shard.row.name == row.as_bytes()).unwrap();
    let record = shard.record.as_ref().unwrap();
    assert_eq!(record.key, key);
    assert_eq!(record.url, expected["url"].as_str().unwrap());
    assert_eq!(u64::from(record.state), expected["state_byte"].as_u64().unwrap());
    assert_eq!(record.lazy, expected["lazy"].as_bool().unwrap());
    assert_eq!(record.copy_path, expected["transient_path"].as_str().unwrap());
    assert_eq!(record.error, expected["error"].as_str().unwrap());
    assert_eq!(shard.index.is_some(), expected["index"]["present"].as_bool().unwrap(), "{key}");

    let scheme = record.url.split_once(':').unwrap().0;
    if !["fs", "file", "bytes"].contains(&scheme) || key == "errored-no-such-file" {
        let quarantined = store.quarantined();
        assert!(quarantined.iter().any(|kept| kept.key.as_ref().is_some_and(|found| found.as_str() == key)), "{key}");
        return;
    }
    let info = store.info(key).unwrap();
    assert_eq!(info.lazy, record.lazy);
    let wanted = match (key, expected["state"].as_str().unwrap()) {
        // Go has it Available though its CAR is cut.
        ("last-block-cut", _) | (_, "Errored") => ShardState::Errored,
        (_, _) if info.lazy => ShardState::New,
        _ => ShardState::Available,
    };
    assert_eq!(info.state, wanted, "{key}: {:?}", info.error);
    if info.state == ShardState::Errored {
        return;
    }
    assert!(!store.acquire(key).await.unwrap().index().is_empty(), "{key}");
    if let Some(file) = &shard.index {
        let compared = compare_index(store, key, file).await;
        match (key, expected["index"]["records"].as_u64()) {
            ("index-empty" | "index-torn", None) => {
                assert!(matches!(compared, Compared::Unreadable { .. }), "{key}: {compared:?}");
            }
            (_, Some(records)) => assert_eq!(compared, Compared::Agrees { records }, "{key}"),
            _ => panic!("{key}: {compared:?}"),
        }
    }
}

/// The records that were made by hand: each is read or refused as it should be, and none is lost.
#[tokio::test]
async fn odd_records_are_taken_or_kept() {
    let Some(fixtures) = dagstore_testkit::fixtures("odd_records_are_taken_or_kept") else { return };
    let records: serde_json::Value =
        serde_json::from_slice(&fs::read(fixtures.join("go-dagstore/records.json")).unwrap()).unwrap();
    for record in records["from_the_datastore"].as_array().unwrap() {
        let text = record["json"].as_str().unwrap();
        let read = GoRecord::decode(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(read.encode().unwrap()).unwrap(), text);
    }
    let hand_made = records["hand_made"].as_array().unwrap();
    let rows: Vec<_> = hand_made
        .iter()
        .map(|one| (format!("/dagstore/{}", one["name"].as_str().unwrap()), one["json"].as_str().unwrap()))
        .collect();
    let rows: Vec<_> = rows.iter().map(|(row, json)| (row.as_str(), *json)).collect();
    let original = directory(&rows);
    let planned = import(original.path(), &Mapping::default(), &memory()).await;
    assert_eq!(planned.len(), hand_made.len());
    let kept: Vec<_> = planned
        .iter()
        .filter(|shard| matches!(shard.outcome, Outcome::Quarantined { .. }))
        .map(|shard| String::from_utf8(shard.row.name.clone()).unwrap())
        .collect();
    let expected = [
        "cut-short",
        "empty",
        "empty-key",
        "key-twice",
        "lone-surrogate",
        "not-an-object",
        "null",
        "reserved-state",
        "state-as-text",
        "state-beyond-a-byte",
        "undefined-state",
        "url-irrecoverable",
        "url-unparsable",
    ];
    assert_eq!(kept, expected);
}
