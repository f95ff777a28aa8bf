//! Files that are no databases, or damaged ones, and paths that can't be opened.
#![cfg(test)]

use std::fs;
use std::path::Path;

use dagstore_datastore::{Datastore, DatastoreExt, Error, ErrorClass, Namespace, Result};
use dagstore_redb::RedbDatastore;
use futures_util::StreamExt;

const ROWS: Namespace = Namespace::new("rows");

async fn refusal(path: &Path) -> Error {
    let error = RedbDatastore::open(path).await.unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "the path is missing: {error}");
    error
}

/// The bytes of a closed database.
async fn database(path: &Path) -> Vec<u8> {
    let store = RedbDatastore::open(path).await.unwrap();
    for at in 0..200_u8 {
        store.put(ROWS, &[at], &[at; 300]).await.unwrap();
    }
    store.close().await.unwrap();
    fs::read(path).unwrap()
}

#[tokio::test]
async fn files_that_are_no_databases_are_refused_and_left_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.redb");
    for bytes in [&b""[..], b"x", b"redb", &[0; 4096], &[b'a'; 10_000]] {
        fs::write(&path, bytes).unwrap();
        let error = refusal(&path).await;
        assert_eq!(error.class(), ErrorClass::Corrupt, "{} bytes: {error}", bytes.len());
        assert!(error.to_string().contains("backup"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[tokio::test]
async fn paths_that_cant_be_opened_are_refused_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [directory.path().to_path_buf(), directory.path().join("no/rows.redb"), file.join("rows.redb")] {
        let error = refusal(&path).await;
        assert_eq!(error.class(), ErrorClass::Permanent, "{}: {error}", path.display());
    }
    let absent = directory.path().join("absent.redb");
    let opened = RedbDatastore::builder().create_if_missing(false).open(&absent).await;
    assert_eq!(opened.unwrap_err().class(), ErrorClass::Permanent);
    assert!(!absent.exists());
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("theirs.redb");
    let theirs = redb::Database::create(&path).unwrap();
    let transaction = theirs.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("rows")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(theirs);
    let store = RedbDatastore::open(&path).await.unwrap();
    assert_eq!(store.get(ROWS, b"k").await.unwrap_err().class(), ErrorClass::Permanent);
    assert_eq!(store.put(ROWS, b"k", b"").await.unwrap_err().class(), ErrorClass::Permanent);
}

async fn read_all(path: &Path) -> Result<usize> {
    let store = RedbDatastore::open(path).await?;
    let (mut count, mut stream) = (0, store.scan(ROWS, b""));
    while let Some(page) = stream.next().await {
        for (key, value) in page?.iter() {
            assert_eq!(value, [key[0]; 300], "wrong data");
            count += 1;
        }
    }
    drop(stream);
    store.close().await?;
    Ok(count)
}

#[tokio::test]
async fn a_file_that_was_cut_is_never_read_as_if_it_were_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.redb");
    let whole = database(&path).await;
    for tenths in 0..10 {
        let length = whole.len() * tenths / 10;
        fs::write(&path, &whole[..length]).unwrap();
        match read_all(&path).await {
            Ok(count) => assert_eq!(count, 200, "cut to {length} of {} bytes", whole.len()),
            Err(error) => assert_eq!(error.class(), ErrorClass::Corrupt, "cut to {length} bytes: {error:?}"),
        }
    }
}

#[tokio::test]
async fn a_header_with_a_flipped_byte_is_an_error_or_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.redb");
    let whole = database(&path).await;
    for at in 0..320 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        match read_all(&path).await {
            Ok(count) => assert_eq!(count, 200, "byte {at}"),
            Err(error) => {
                let class = error.class();
                assert!(
                    matches!(class, ErrorClass::Corrupt | ErrorClass::Permanent),
                    "byte {at}: {class:?}: {error:?}"
                );
            }
        }
    }
}
