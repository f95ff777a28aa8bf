//! Checks of batches: order, wholeness.

use std::future::poll_fn;
use std::task::Poll;

use super::support::{Bench, Outcome, ROWS, Row, ensure, expect_row, expect_rows, puts};
use crate::{Batch, DatastoreExt, Durability, Namespace};

pub(super) async fn later_writes_win(bench: &Bench<'_>) -> Outcome {
    const OTHER: Namespace = Namespace::new("other");
    let store = bench.open().await?;
    for durability in [Durability::Synced, Durability::Buffered] {
        store.put(ROWS, b"put again", b"old").await?;
        store.put(ROWS, b"deleted", b"old").await?;
        let mut batch = Batch::new();
        batch.put(ROWS, b"put twice", b"1");
        batch.put(ROWS, b"deleted", b"1");
        batch.put(OTHER, b"put twice", b"other");
        batch.delete(ROWS, b"put again");
        batch.delete(ROWS, b"deleted");
        batch.put(ROWS, b"put twice", b"2");
        batch.put(ROWS, b"thrice", b"1");
        batch.delete(ROWS, b"thrice");
        batch.put(ROWS, b"thrice", b"3");
        batch.put(ROWS, b"put again", b"new");
        // Absolute values: once more changes nothing.
        for _ in 0..2 {
            store.write(batch.clone(), durability).await?;
            expect_row(&*store, ROWS, b"deleted", None).await?;
            let rows = [(&b"put again"[..], &b"new"[..]), (b"put twice", b"2"), (b"thrice", b"3")];
            let rows: Vec<Row> = rows.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            expect_rows(&*store, ROWS, b"", &rows).await?;
            expect_row(&*store, OTHER, b"put twice", Some(b"other")).await?;
        }
    }
    Ok(())
}

pub(super) async fn empty_batches(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for durability in [Durability::Synced, Durability::Buffered] {
        store.write(Batch::new(), durability).await?;
        store.put(ROWS, b"key", b"value").await?;
        store.write(Batch::new(), durability).await?;
        expect_row(&*store, ROWS, b"key", Some(b"value")).await?;
    }
    Ok(())
}

pub(super) async fn large_batches(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let mut rows: Vec<Row> =
        (0..20_000_u32).map(|at| (at.to_be_bytes().to_vec(), at.to_string().into_bytes())).collect();
    let batch = puts(ROWS, rows.iter().rev().map(|(key, value)| (key.as_slice(), value.as_slice())));
    store.write(batch, Durability::Synced).await?;
    expect_rows(&*store, ROWS, b"", &rows).await?;

    let mut batch = Batch::new();
    for (key, _) in rows.iter().step_by(2) {
        batch.delete(ROWS, key);
    }
    store.write(batch, Durability::Synced).await?;
    let mut at = 0;
    rows.retain(|_| {
        at += 1;
        at % 2 == 0
    });
    expect_rows(&*store, ROWS, b"", &rows).await
}

pub(super) async fn unpolled_writes_do_nothing(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    drop(store.write(puts(ROWS, [(&b"key"[..], &b"value"[..])]), Durability::Synced));
    store.sync().await?;
    expect_rows(&*store, ROWS, b"", &[]).await
}

pub(super) async fn dropped_writes_are_whole(bench: &Bench<'_>) -> Outcome {
    const OTHER: Namespace = Namespace::new("other");
    const ROWS_EACH: usize = 40;
    let store = bench.open().await?;
    for polls in 0..12_u8 {
        for durability in [Durability::Synced, Durability::Buffered] {
            let stamp = [polls, u8::from(durability == Durability::Synced)];
            let mut batch = Batch::new();
            for at in 0..ROWS_EACH {
                let namespace = if at % 2 == 0 { ROWS } else { OTHER };
                batch.put(namespace, &[&stamp[..], &at.to_be_bytes()].concat(), &stamp);
            }
            let mut write = store.write(batch, durability);
            for _ in 0..polls {
                if poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(write);
            // Whatever is still under way is done before this one.
            store.put(ROWS, b"~behind", &stamp).await?;
            let mut found = 0;
            for at in 0..ROWS_EACH {
                let namespace = if at % 2 == 0 { ROWS } else { OTHER };
                found += usize::from(store.get(namespace, &[&stamp[..], &at.to_be_bytes()].concat()).await?.is_some());
            }
            ensure!(
                found == 0 || found == ROWS_EACH,
                "{found} of {ROWS_EACH} rows of a {durability:?} batch are there whose future was dropped after {polls} polls"
            );
        }
    }
    Ok(())
}
