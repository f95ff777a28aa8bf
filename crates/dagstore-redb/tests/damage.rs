//! Files that are no databases, or damaged ones, and paths that can't be opened.
#![cfg(test)]

use std::fs;
use std::path::Path;

use dagstore_datastore::{Datastore, DatastoreExt, Error, ErrorClass, Namespace, Result};
use dagstore_redb::RedbDatastore;
use futures_util::StreamExt;

/// Of redb, where nothing else is asked for.
const PAGE_BYTES: usize = 4096;

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

/// redb doesn't look for damage in what it reads, and panics over some.
#[tokio::test]
async fn damage_anywhere_is_an_error_or_goes_unnoticed_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows.redb");
    let whole = database(&path).await;
    let used = |page: &usize| whole[*page..].iter().take(PAGE_BYTES).any(|byte| *byte != 0);
    let mut panics = 0;
    for page in (0..whole.len()).step_by(PAGE_BYTES).filter(used) {
        // A page begins with what it is, how many rows it has and where they end.
        for at in [page + 2, page + 3, page + 5, page + 8] {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            fs::write(&path, &bytes).unwrap();
            for error in use_it(&path).await {
                panics += usize::from(told(at, &path, &error));
            }
        }
    }
    assert!(panics > 0, "redb met no damage that it panics over");
}

/// The errors of everything that can be done.
async fn use_it(path: &Path) -> Vec<Error> {
    let store = match RedbDatastore::open(path).await {
        Ok(store) => store,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for key in 0..200_u8 {
        errors.extend(store.get(ROWS, &[key]).await.err());
    }
    errors.extend(store.rows(ROWS, b"", None, 1000).await.err());
    errors.extend(store.scan(ROWS, b"").filter_map(async |page| page.err()).collect::<Vec<_>>().await);
    for key in [0, 100, 250] {
        errors.extend(store.put(ROWS, &[key], &[1; 300]).await.err());
    }
    errors.extend(store.reopen().await.err());
    errors.extend(store.close().await.err());
    errors
}

/// Whether it comes from a panic.
fn told(at: usize, path: &Path, error: &Error) -> bool {
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "byte {at}: {text}");
    assert!(
        text.contains("backup") || text.contains("opened again") || error.class() == ErrorClass::Permanent,
        "byte {at}: {text}"
    );
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("panicked"))
}
