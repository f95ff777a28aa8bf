//! Checks of syncing, reopening, closing and opening again.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{join, join3};
use futures_util::{FutureExt, StreamExt};

use super::support::{Bench, Outcome, Problem, ROWS, Row, ensure, expect_row, expect_rows, noise, put_all, puts};
use crate::{Batch, Datastore, DatastoreExt, Durability, Error, Namespace, Result, RowPage, stream_of_rows};

const OTHER: Namespace = Namespace::new("other");

pub(super) async fn sync_and_buffered_writes(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.sync().await?;
    for at in 0..10_u8 {
        store.write(puts(ROWS, [(&[at][..], &b"buffered"[..])]), Durability::Buffered).await?;
        expect_row(&*store, ROWS, &[at], Some(b"buffered")).await?;
    }
    store.sync().await?;
    store.sync().await?;
    expect_row(&*store, ROWS, &[9], Some(b"buffered")).await
}

/// A healthy store needs no reopening, so nothing may be lost by it.
pub(super) async fn reopen_keeps_rows(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.reopen().await?;
    store.put(ROWS, b"synced", b"1").await?;
    store.write(puts(OTHER, [(&b"buffered"[..], &b"2"[..])]), Durability::Buffered).await?;
    let (first, second, read) = join3(store.reopen(), store.reopen(), store.get(ROWS, b"synced")).await;
    first?;
    second?;
    ensure!(read?.as_deref() == Some(b"1"), "a read beside a reopening misses a row");
    expect_row(&*store, ROWS, b"synced", Some(b"1")).await?;
    expect_row(&*store, OTHER, b"buffered", Some(b"2")).await?;
    store.put(ROWS, b"behind", b"3").await?;
    let rows = [(b"behind".to_vec(), b"3".to_vec()), (b"synced".to_vec(), b"1".to_vec())];
    expect_rows(&*store, ROWS, b"", &rows).await
}

pub(super) async fn close_twice(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.put(ROWS, b"key", b"value").await?;
    let (first, second) = join(store.close(), store.close()).await;
    first?;
    second?;
    Ok(store.close().await?)
}

pub(super) async fn calls_after_close(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.put(ROWS, b"key", b"value").await?;
    store.close().await?;
    expect_closed("get", store.get(ROWS, b"key").await)?;
    expect_closed("get of another namespace", store.get(OTHER, b"key").await)?;
    for limit in [0, 1] {
        expect_closed("rows", store.rows(ROWS, b"k", None, limit).await)?;
        expect_closed("rows behind all with the prefix", store.rows(ROWS, b"k", Some(b"z"), limit).await)?;
    }
    for durability in [Durability::Synced, Durability::Buffered] {
        let batch = puts(ROWS, [(&b"key"[..], &b"late"[..])]);
        expect_closed("write", store.write(batch, durability).await)?;
        expect_closed("write of an empty batch", store.write(Batch::new(), durability).await)?;
    }
    for rows in [&[][..], &[(b"key", b"late")]] {
        expect_closed("bulk load", store.bulk_load(ROWS, stream_of_rows(rows.to_vec())).await)?;
    }
    expect_closed("sync", store.sync().await)?;
    expect_closed("reopen", store.reopen().await)?;
    expect_closed("get after the refused reopening", store.get(ROWS, b"key").await)?;
    let mut stream = store.scan(ROWS, b"");
    expect_closed("scan", stream.next().await.unwrap_or(Ok(RowPage::new())))?;
    ensure!(stream.next().await.is_none(), "a scan goes on behind its error");
    Ok(())
}

pub(super) async fn streams_after_close(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let rows: Vec<Row> = (0..24_u8).map(|at| (vec![at], noise(u64::from(at), 100_000))).collect();
    put_all(&*store, ROWS, &rows).await?;
    let (mut begun, mut fresh) = (store.scan(ROWS, b""), store.scan(ROWS, b""));
    let first = begun.next().await.transpose()?;
    ensure!(first.is_some_and(|page| page.len() < rows.len()), "2.4 MB of rows come as one page");
    store.close().await?;
    for (what, stream) in [("begun", &mut begun), ("made", &mut fresh)] {
        let next = stream.next().await.unwrap_or(Ok(RowPage::new()));
        expect_closed(&format!("a stream that was {what} before"), next)?;
        ensure!(stream.next().await.is_none(), "a stream that was {what} before goes on behind its error");
    }
    Ok(())
}

fn expect_closed<T>(what: &str, result: Result<T>) -> Outcome {
    match result {
        Err(Error::Closed { .. }) => Ok(()),
        Err(error) => Err(Problem::new(format!("{what} of a closed store fails as: {error}"))),
        Ok(_) => Err(Problem::new(format!("{what} of a closed store succeeds"))),
    }
}

pub(super) async fn rows_survive_closing(bench: &Bench<'_>) -> Outcome {
    let mut rows: Vec<Row> = Vec::new();
    for round in 0..4_u8 {
        let store = bench.open().await?;
        expect_rows(&*store, ROWS, b"", &rows).await?;
        expect_rows(&*store, OTHER, b"", &rows).await?;
        for at in 0..50 {
            let row = (vec![round, at], noise(u64::from(at), usize::from(at) * 100));
            let mut batch = Batch::new();
            for namespace in [ROWS, OTHER] {
                batch.put(namespace, &row.0, &row.1);
                batch.put(namespace, &[round, at, 0], b"deleted below");
            }
            store.write(batch, if at % 2 == 0 { Durability::Synced } else { Durability::Buffered }).await?;
            rows.push(row);
        }
        let mut batch = Batch::new();
        for at in 0..50 {
            batch.delete(ROWS, &[round, at, 0]);
            batch.delete(OTHER, &[round, at, 0]);
        }
        // The last writes before closing are not synced: closing does that.
        store.write(batch, Durability::Buffered).await?;
        store.close().await?;
    }
    let store = bench.open().await?;
    expect_rows(&*store, ROWS, b"", &rows).await?;
    expect_rows(&*store, OTHER, b"", &rows).await?;
    Ok(store.close().await?)
}

pub(super) async fn close_after_a_dropped_close(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.write(puts(ROWS, [(&b"key"[..], &b"value"[..])]), Durability::Buffered).await?;
    let _ = store.close().now_or_never();
    // The first one is done, under way, or never happened.
    store.close().await?;
    let again = bench.open().await?;
    expect_row(&*again, ROWS, b"key", Some(b"value")).await?;
    Ok(again.close().await?)
}

pub(super) async fn second_opening_is_refused(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.put(ROWS, b"key", b"value").await?;
    for _ in 0..2 {
        match bench.open().await {
            Err(Error::InUse { .. }) => {}
            Err(error) => return Err(Problem::new(format!("a second opening fails as: {error}"))),
            Ok(_) => return Err(Problem::new("a second opening succeeds while the first is open")),
        }
    }
    store.put(ROWS, b"behind", b"the refusals").await?;
    store.close().await?;
    let again = bench.open().await?;
    expect_row(&*again, ROWS, b"key", Some(b"value")).await?;
    expect_row(&*again, ROWS, b"behind", Some(b"the refusals")).await?;
    Ok(again.close().await?)
}

pub(super) async fn dropped_store_frees_its_database(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    store.put(ROWS, b"key", b"value").await?;
    drop(store);
    let begin = Instant::now();
    let again: Arc<dyn Datastore> = loop {
        match bench.open().await {
            Ok(store) => break store,
            Err(Error::InUse { .. }) if begin.elapsed() < bench.patience() => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    };
    expect_row(&*again, ROWS, b"key", Some(b"value")).await?;
    Ok(again.close().await?)
}
