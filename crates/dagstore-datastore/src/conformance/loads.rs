//! Checks of bulk loads: order, durability, what goes on beside them.

use std::future::poll_fn;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream;

use super::support::{
    Bench, Outcome, Problem, ROWS, Row, all_rows, ensure, expect_row, expect_rows, noise, put_all, show,
};
use crate::{
    Batch, Datastore, DatastoreExt, Durability, Error, ErrorClass, MAX_KEY_BYTES, MAX_VALUE_BYTES, Namespace, Result,
    RowPage, RowStream, stream_of_rows,
};

const OTHER: Namespace = Namespace::new("other");

/// How long a closing that waits for a load is waited for.
const CLOSING: Duration = Duration::from_secs(1);

/// Numbers of rows: none, a few, and more than anybody writes as one piece.
const SIZES: [u32; 4] = [0, 1, 40, 2_400];

fn key(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// So many rows, 300 bytes each, whose values tell loads apart.
fn rows(count: u32, seed: u64) -> Vec<Row> {
    (0..count).map(|at| (key(at), noise(seed << 32 | u64::from(at), 300))).collect()
}

fn stream_of(rows: &[Row]) -> RowStream {
    stream_of_rows(rows.to_vec())
}

fn page(rows: &[Row]) -> RowPage {
    let mut page = RowPage::new();
    for (key, value) in rows {
        page.push(key, value);
    }
    page
}

/// Pages as somebody may make them: of any size.
fn stream_of_pages(pages: Vec<Result<RowPage>>) -> RowStream {
    stream::iter(pages).boxed()
}

pub(super) async fn loaded_rows(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for count in SIZES {
        store.bulk_load(ROWS, stream_of(&rows(count, 1))).await?;
        expect_rows(&*store, ROWS, b"", &rows(count, 1)).await?;
        for at in [0, count / 2, count.saturating_sub(1)] {
            let value = (at < count).then(|| noise(1 << 32 | u64::from(at), 300));
            expect_row(&*store, ROWS, &key(at), value.as_deref()).await?;
        }
        expect_row(&*store, ROWS, &key(count), None).await?;
    }
    expect_rows(&*store, OTHER, b"", &[]).await?;

    // Keys and values of all lengths, in pages of all sizes.
    let mut odd: Vec<Row> = vec![(b"".to_vec(), b"of the empty key".to_vec()), (b"\0".to_vec(), Vec::new())];
    odd.extend((1..200_u8).map(|at| (vec![at; usize::from(at) % 30 + 1], noise(u64::from(at), usize::from(at) * 50))));
    odd.push((vec![0xff; MAX_KEY_BYTES], noise(7, 3 * RowPage::TARGET_BYTES)));
    let mut pages = vec![Ok(RowPage::new()), Ok(page(&odd[..1])), Ok(RowPage::new()), Ok(page(&odd[1..150]))];
    pages.extend(odd[150..].iter().map(|row| Ok(page(slice::from_ref(row)))));
    store.bulk_load(OTHER, stream_of_pages(pages)).await?;
    expect_rows(&*store, OTHER, b"", &odd).await?;
    expect_rows(&*store, ROWS, b"", &rows(2_400, 1)).await
}

/// Of a row that is written and loaded in turn the last one is there, wherever an engine keeps it.
pub(super) async fn loads_and_writes_in_turn(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for count in SIZES {
        for durability in [Durability::Synced, Durability::Buffered] {
            let mut batch = Batch::new();
            for at in 0..count {
                match at % 3 {
                    0 => batch.put(ROWS, &key(at), b"before"),
                    1 => batch.delete(ROWS, &key(at)),
                    _ => {}
                }
            }
            batch.put(ROWS, &key(count), b"beside");
            store.write(batch, durability).await?;
            let mut expected = rows(count, 2);
            store.bulk_load(ROWS, stream_of(&expected)).await?;
            expected.push((key(count), b"beside".to_vec()));
            expect_rows(&*store, ROWS, b"", &expected).await?;

            let mut batch = Batch::new();
            for (at, row) in (0..count).zip(&mut expected) {
                match at % 3 {
                    0 => batch.delete(ROWS, &key(at)),
                    1 => {
                        batch.put(ROWS, &key(at), b"behind");
                        row.1 = b"behind".to_vec();
                    }
                    _ => {}
                }
            }
            store.write(batch, durability).await?;
            let mut at = 0;
            expected.retain(|_| {
                at += 1;
                at == count + 1 || at % 3 != 1
            });
            expect_rows(&*store, ROWS, b"", &expected).await?;
        }
    }
    Ok(())
}

pub(super) async fn repeated_loads(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for count in SIZES {
        let expected = rows(count, 3);
        for _ in 0..3 {
            store.bulk_load(ROWS, stream_of(&expected)).await?;
            expect_rows(&*store, ROWS, b"", &expected).await?;
        }
        let (first, second) =
            join(store.bulk_load(ROWS, stream_of(&expected)), store.bulk_load(ROWS, stream_of(&expected))).await;
        first.and(second)?;
        expect_rows(&*store, ROWS, b"", &expected).await?;
    }
    Ok(())
}

pub(super) async fn unsorted_loads_are_refused(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for count in [4, 2_400] {
        let good = rows(count, 4);
        let whole = |extra: Row| [&good[..], &[extra]].concat();
        let duplicate = whole((key(count - 1), b"wrong".to_vec()));
        let descending = whole((key(count - 2), b"wrong".to_vec()));
        let first = [&[(key(7), b"wrong".to_vec())][..], &good[..]].concat();
        let next_page = vec![Ok(page(&good)), Ok(page(&good[1..]))];
        for (what, rows, loaded, bad) in [
            ("the same key twice", stream_of(&duplicate), &good[..], key(count - 1)),
            ("a key that descends", stream_of(&descending), &good, key(count - 2)),
            ("a first key that is too great", stream_of(&first), &[(key(7), b"wrong".to_vec())], key(0)),
            ("a page that begins again", stream_of_pages(next_page), &good, key(1)),
        ] {
            clear(&*store).await?;
            match store.bulk_load(ROWS, rows).await {
                Err(Error::NotAscending { key: named, .. }) if *named == *bad => {}
                Err(error) => return Err(Problem::new(format!("{what}, {}, fails as: {error}", show(&bad)))),
                Ok(()) => return Err(Problem::new(format!("a load with {what} succeeds"))),
            }
            expect_beginning(&*store, loaded).await?;
            store.bulk_load(ROWS, stream_of(&good)).await?;
            expect_rows(&*store, ROWS, b"", &good).await?;
        }
    }
    Ok(())
}

pub(super) async fn load_limits(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let long_key = vec![0xff; MAX_KEY_BYTES + 1];
    for count in [4, 2_400] {
        let good = rows(count, 5);
        for (what, row) in
            [("key", (long_key.clone(), Vec::new())), ("value", (key(count), vec![0; MAX_VALUE_BYTES + 1]))]
        {
            clear(&*store).await?;
            match store.bulk_load(ROWS, stream_of(&[&good[..], slice::from_ref(&row)].concat())).await {
                Ok(()) => ensure!(false, "a {what} over the limit is loaded"),
                Err(error) => {
                    ensure!(
                        error.class() == ErrorClass::Permanent,
                        "a {what} over the limit fails as {:?}",
                        error.class()
                    );
                }
            }
            expect_beginning(&*store, &good).await?;
            expect_row(&*store, ROWS, &row.0, None).await?;
        }
    }
    Ok(())
}

pub(super) async fn errors_of_the_source(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for count in SIZES {
        clear(&*store).await?;
        let good = rows(count, 6);
        let mut pages: Vec<_> = good.chunks(500).map(|rows| Ok(page(rows))).collect();
        pages.push(Err(Error::failed("source", "read", ErrorClass::Fenced, "as told")));
        let class = store.bulk_load(ROWS, stream_of_pages(pages)).await.err().map(|error| error.class());
        ensure!(class == Some(ErrorClass::Fenced), "an error of the source becomes {class:?}");
        expect_beginning(&*store, &good).await?;
        store.bulk_load(ROWS, stream_of(&good)).await?;
        expect_rows(&*store, ROWS, b"", &good).await?;
    }
    Ok(())
}

pub(super) async fn unpolled_loads_do_nothing(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    drop(store.bulk_load(ROWS, stream_of(&rows(40, 7))));
    store.sync().await?;
    expect_rows(&*store, ROWS, b"", &[]).await
}

pub(super) async fn dropped_loads_leave_a_beginning(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    for (number, polls) in [1, 2, 3, 5, 8, 13, 30, 80].into_iter().enumerate() {
        let whole = rows(2_400, 8 + u64::try_from(number).unwrap_or(0));
        clear(&*store).await?;
        // A source that makes the load wait between pages, so that it is dropped at many places.
        let mut pages = whole.chunks(240).map(|rows| Ok(page(rows))).collect::<Vec<_>>().into_iter();
        let mut is_ready = false;
        let source = stream::poll_fn(move |context| {
            is_ready = !is_ready;
            if is_ready {
                return Poll::Ready(pages.next());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        });
        let mut load = store.bulk_load(ROWS, source.boxed());
        for _ in 0..polls {
            if poll_fn(|context| Poll::Ready(load.as_mut().poll(context))).await.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(load);
        // Whatever is still under way is done before this one.
        store.put(OTHER, b"behind", b"").await?;
        expect_beginning(&*store, &whole).await?;
        store.bulk_load(ROWS, stream_of(&whole)).await?;
        expect_rows(&*store, ROWS, b"", &whole).await?;
    }
    Ok(())
}

/// A load whose source has nothing to give holds nobody up, and no other load.
pub(super) async fn others_go_on_beside_a_load(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let whole = rows(2_400, 20);
    let (is_waiting, others_are_done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    // The load gets its last page when the others are through, or when they obviously wait for it.
    let (last_page, patience) = (page(&whole[2_000..]), bench.patience());
    let (waiting, done) = (Arc::clone(&is_waiting), Arc::clone(&others_are_done));
    let last = async move {
        waiting.store(true, Ordering::Release);
        if comes_true(&done, patience).await {
            return Ok(last_page);
        }
        Err(Error::failed("source", "read", ErrorClass::Permanent, "other calls wait for the end of a load"))
    };
    let source = stream_of_pages(whole[..2_000].chunks(500).map(|rows| Ok(page(rows))).collect());
    let loading = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.bulk_load(ROWS, source.chain(stream::once(last)).boxed()).await }
    });
    ensure!(comes_true(&is_waiting, patience).await, "a load doesn't ask for its rows");
    let others = others(&store).await;
    others_are_done.store(true, Ordering::Release);
    loading.await.map_err(|error| Problem::new(format!("a load ended badly: {error}")))??;
    others?;
    expect_rows(&*store, ROWS, b"", &whole).await?;
    expect_rows(&*store, Namespace::new("another"), b"", &rows(1_500, 21)).await
}

async fn comes_true(flag: &AtomicBool, patience: Duration) -> bool {
    let begin = Instant::now();
    while !flag.load(Ordering::Acquire) && begin.elapsed() < patience {
        tokio::task::yield_now().await;
    }
    flag.load(Ordering::Acquire)
}

async fn others(store: &Arc<dyn Datastore>) -> Outcome {
    for at in 0..20_u8 {
        store.put(OTHER, &[at], b"value").await?;
        expect_row(&**store, OTHER, &[at], Some(b"value")).await?;
        store.get(ROWS, &key(0)).await?;
        expect_rows(&**store, OTHER, &[at], &[(vec![at], b"value".to_vec())]).await?;
        tokio::task::yield_now().await;
    }
    store.sync().await?;
    store.reopen().await?;
    Ok(store.bulk_load(Namespace::new("another"), stream_of(&rows(1_500, 21))).await?)
}

/// What a load acknowledged is there when the store is opened again, with what had been written before it.
pub(super) async fn loads_survive_closing(bench: &Bench<'_>) -> Outcome {
    for (round, count) in (0..).zip(SIZES) {
        let store = bench.open().await?;
        put_all(&*store, ROWS, &rows(count / 2, 30)).await?;
        store.bulk_load(ROWS, stream_of(&rows(count, 31 + round))).await?;
        store.bulk_load(OTHER, stream_of(&rows(count / 3, 40 + round))).await?;
        store.close().await?;
        let store = bench.open().await?;
        expect_rows(&*store, ROWS, b"", &rows(count, 31 + round)).await?;
        expect_rows(&*store, OTHER, b"", &rows(count / 3, 40 + round)).await?;
        store.close().await?;
    }
    Ok(())
}

/// A load under way when the store is closed is done, or fails as later calls do, and leaves a beginning.
pub(super) async fn closing_beside_a_load(bench: &Bench<'_>) -> Outcome {
    let whole = rows(2_400, 50);
    let store = bench.open().await?;
    // The load gets its last rows when the store is closed, or when closing obviously waits for it.
    let (is_closed, last_page) = (Arc::new(AtomicBool::new(false)), page(&whole[2_000..]));
    let closed = Arc::clone(&is_closed);
    let last = async move {
        comes_true(&closed, CLOSING).await;
        Ok(last_page)
    };
    let source = stream_of_pages(whole[..2_000].chunks(500).map(|rows| Ok(page(rows))).collect());
    let mut load = store.bulk_load(ROWS, source.chain(stream::once(last)).boxed());
    let early = poll_fn(|context| Poll::Ready(load.as_mut().poll(context))).await;
    ensure!(early.is_pending(), "a load ended before it got its last rows");
    let closing = async {
        let closed = store.close().await;
        is_closed.store(true, Ordering::Release);
        closed
    };
    let (loaded, closed) = join(load, closing).await;
    closed?;
    let store = bench.open().await?;
    match loaded {
        Ok(()) => expect_rows(&*store, ROWS, b"", &whole).await?,
        Err(Error::Closed { .. }) => expect_beginning(&*store, &whole).await?,
        Err(error) => return Err(Problem::new(format!("a load that meets a closing fails as: {error}"))),
    }
    Ok(store.close().await?)
}

/// Checks that what is there is a beginning of these rows.
async fn expect_beginning(store: &dyn Datastore, rows: &[Row]) -> Outcome {
    let found = all_rows(store, ROWS, b"").await?.len().min(rows.len());
    expect_rows(store, ROWS, b"", &rows[..found]).await
}

/// Deletes all rows.
async fn clear(store: &dyn Datastore) -> Outcome {
    let mut batch = Batch::new();
    for (key, _) in all_rows(store, ROWS, b"").await? {
        batch.delete(ROWS, &key);
    }
    Ok(store.write(batch, Durability::Buffered).await?)
}
