//! Checks of single rows.

use super::support::{Bench, Outcome, ROWS, Row, ensure, expect_row, expect_rows, noise, puts};
use crate::{Batch, DatastoreExt, Durability, ErrorClass, MAX_KEY_BYTES, MAX_VALUE_BYTES, Namespace};

pub(super) async fn absent_rows(bench: &Bench<'_>) -> Outcome {
    const NEVER_WRITTEN: Namespace = Namespace::new("never_written");
    let store = bench.open().await?;
    for round in 0..2 {
        for namespace in [NEVER_WRITTEN, ROWS] {
            expect_row(&*store, namespace, b"key", None).await?;
            expect_row(&*store, namespace, b"", None).await?;
        }
        expect_rows(&*store, NEVER_WRITTEN, b"", &[]).await?;
        if round == 0 {
            expect_rows(&*store, ROWS, b"", &[]).await?;
            store.put(ROWS, b"other", b"value").await?;
        }
    }
    Ok(())
}

pub(super) async fn put_and_get(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.put(ROWS, b"key", b"first").await?;
    store.put(ROWS, b"kez", b"neighbour").await?;
    expect_row(&*store, ROWS, b"key", Some(b"first")).await?;
    for value in [&b"second, and longer"[..], b"3rd", b"3rd"] {
        store.put(ROWS, b"key", value).await?;
        expect_row(&*store, ROWS, b"key", Some(value)).await?;
    }
    expect_row(&*store, ROWS, b"kez", Some(b"neighbour")).await?;
    for absent in [&b"ke"[..], b"key\0", b"keyy", b"KEY", b""] {
        expect_row(&*store, ROWS, absent, None).await?;
    }
    Ok(())
}

pub(super) async fn delete(bench: &Bench<'_>) -> Outcome {
    const NEVER_WRITTEN: Namespace = Namespace::new("never_written");
    let store = bench.open().await?;
    store.delete(NEVER_WRITTEN, b"key").await?;
    expect_rows(&*store, NEVER_WRITTEN, b"", &[]).await?;

    store.write(puts(ROWS, [(&b"a"[..], &b"1"[..]), (b"b", b"2"), (b"c", b"3")]), Durability::Synced).await?;
    store.delete(ROWS, b"b").await?;
    expect_row(&*store, ROWS, b"b", None).await?;
    store.delete(ROWS, b"b").await?;
    store.delete(ROWS, b"absent").await?;
    expect_rows(&*store, ROWS, b"", &[row(b"a", b"1"), row(b"c", b"3")]).await?;

    store.put(ROWS, b"b", b"again").await?;
    expect_row(&*store, ROWS, b"b", Some(b"again")).await?;
    for key in [b"a", b"b", b"c"] {
        store.delete(ROWS, key).await?;
    }
    expect_rows(&*store, ROWS, b"", &[]).await
}

pub(super) async fn empty_keys_and_values(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.put(ROWS, b"", b"of the empty key").await?;
    store.put(ROWS, b"\0", b"of the zero byte").await?;
    store.put(ROWS, b"empty", b"").await?;
    expect_row(&*store, ROWS, b"", Some(b"of the empty key")).await?;
    expect_row(&*store, ROWS, b"empty", Some(b"")).await?;
    let all = [row(b"", b"of the empty key"), row(b"\0", b"of the zero byte"), row(b"empty", b"")];
    expect_rows(&*store, ROWS, b"", &all).await?;
    store.put(ROWS, b"", b"").await?;
    expect_row(&*store, ROWS, b"", Some(b"")).await?;
    store.delete(ROWS, b"").await?;
    expect_row(&*store, ROWS, b"", None).await?;
    expect_rows(&*store, ROWS, b"", &all[1..]).await
}

pub(super) async fn long_keys_and_values(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    // The keys differ in their last byte only.
    let mut rows: Vec<Row> = (0..4_u8)
        .map(|last| (vec![b'k'; MAX_KEY_BYTES - 1], last))
        .map(|(mut key, last)| {
            key.push(last);
            (key, noise(u64::from(last), 1024 * 1024))
        })
        .collect();
    for (key, value) in &rows {
        store.put(ROWS, key, value).await?;
    }
    for (key, value) in &rows {
        expect_row(&*store, ROWS, key, Some(value)).await?;
    }
    expect_rows(&*store, ROWS, b"k", &rows).await?;

    rows[1].1 = noise(99, MAX_VALUE_BYTES);
    store.put(ROWS, &rows[1].0, &rows[1].1).await?;
    rows[2].1 = vec![0; 1024 * 1024];
    store.put(ROWS, &rows[2].0, &rows[2].1).await?;
    expect_row(&*store, ROWS, &rows[1].0, Some(&rows[1].1)).await?;
    expect_rows(&*store, ROWS, b"", &rows).await
}

pub(super) async fn limits(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let (long_key, long_value) = (vec![b'k'; MAX_KEY_BYTES + 1], vec![0; MAX_VALUE_BYTES + 1]);
    let mut long_delete = puts(ROWS, [(&b"before"[..], &b""[..])]);
    long_delete.delete(ROWS, &long_key);
    let batches: [(&str, Batch); 3] = [
        ("key", puts(ROWS, [(&b"before"[..], &b""[..]), (&long_key, b"")])),
        ("deleted key", long_delete),
        ("value", puts(ROWS, [(&b"before"[..], &b""[..]), (b"key", &long_value)])),
    ];
    for (what, batch) in batches {
        match store.write(batch, Durability::Synced).await {
            Ok(()) => ensure!(false, "a {what} over the limit is written"),
            Err(error) => {
                ensure!(error.class() == ErrorClass::Permanent, "a {what} over the limit fails as {:?}", error.class());
            }
        }
    }
    expect_rows(&*store, ROWS, b"", &[]).await?;
    expect_row(&*store, ROWS, &long_key, None).await?;
    store.put(ROWS, b"after", b"a refusal").await?;
    expect_row(&*store, ROWS, b"after", Some(b"a refusal")).await
}

pub(super) async fn namespaces(bench: &Bench<'_>) -> Outcome {
    // Names that are prefixes of each other, and one that engines use themselves.
    const NAMES: [Namespace; 7] = [
        Namespace::new("a"),
        Namespace::new("aa"),
        Namespace::new("a_a"),
        Namespace::new("ab"),
        Namespace::new("default"),
        Namespace::new("_"),
        Namespace::new("abcdefghijklmnopqrstuvwxyz_abcde"),
    ];
    // Keys that look like the end of a name and a key behind it.
    let keys: [&[u8]; 5] = [b"", b"\0a", b"_ak", b"ak", b"k"];
    let store = bench.open().await?;
    let mut batch = Batch::new();
    for namespace in NAMES {
        for key in keys {
            batch.put(namespace, key, namespace.name().as_bytes());
        }
    }
    store.write(batch, Durability::Synced).await?;
    let expected = |namespace: Namespace| keys.map(|key| row(key, namespace.name().as_bytes()));
    for namespace in NAMES {
        expect_rows(&*store, namespace, b"", &expected(namespace)).await?;
        expect_rows(&*store, namespace, b"a", &expected(namespace)[3..4]).await?;
    }
    let mut batch = Batch::new();
    for key in keys {
        batch.delete(NAMES[0], key);
    }
    store.write(batch, Durability::Synced).await?;
    expect_rows(&*store, NAMES[0], b"", &[]).await?;
    for namespace in &NAMES[1..] {
        expect_rows(&*store, *namespace, b"", &expected(*namespace)).await?;
        expect_row(&*store, *namespace, b"k", Some(namespace.name().as_bytes())).await?;
    }
    Ok(())
}

fn row(key: &[u8], value: &[u8]) -> Row {
    (key.to_vec(), value.to_vec())
}
