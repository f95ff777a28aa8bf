//! Checks of looking up a few rows: limits, where they begin, what they see.

use std::sync::atomic::Ordering;

use super::support::{Bench, Outcome, ROWS, Row, ensure, noise, put_all, show};
use super::tasks::{join, spawn_stampers, stamp};
use crate::{Batch, Datastore, DatastoreExt, Durability, Namespace, RowPage, stream_of_rows};

pub(super) async fn first_rows(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let rows: Vec<Row> = (0..300_u16).map(|at| (at.to_be_bytes().to_vec(), noise(u64::from(at), 9))).collect();
    put_all(&*store, ROWS, &rows).await?;
    for limit in [0, 1, 2, 299, 300, 301, usize::MAX] {
        expect(&*store, b"", None, limit, &rows).await?;
        expect(&*store, b"\0", None, limit, &rows[..256]).await?;
        expect(&*store, b"\x01\x07", None, limit, &rows[263..264]).await?;
        expect(&*store, b"\x02", None, limit, &[]).await?;
    }
    Ok(())
}

/// What comes behind may be no row, and may lie outside of the prefix.
pub(super) async fn rows_behind_a_key(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let rows: Vec<Row> = keys().into_iter().map(|key| (key.clone(), key)).collect();
    put_all(&*store, ROWS, &rows).await?;
    let beside = [&b"a\xffa"[..], b"\x01", b"azzz", b"b\0", b"c", b"\xff\xff\xff"].map(<[u8]>::to_vec);
    for prefix in [&b""[..], b"a", b"a\xff", b"b", b"b\xff", b"\xff", b"never"] {
        for after in keys().iter().chain(&beside) {
            for limit in [0, 1, 3, 100] {
                expect(&*store, prefix, Some(after), limit, &rows).await?;
            }
        }
    }
    // From each answer to the next one.
    let (mut seen, mut after): (Vec<Row>, _) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = store.rows(ROWS, b"", after.as_deref(), 2).await?;
        seen.extend(page.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
        ensure!(seen.len() <= rows.len(), "rows come again when they are read two by two");
        after = page.last_key().map(<[u8]>::to_vec);
        if page.len() < 2 {
            break;
        }
    }
    ensure!(seen == rows, "read two by two, {} of {} rows come", seen.len(), rows.len());
    Ok(())
}

/// Many prefixes of the same length, as an index of fingerprints has them.
pub(super) async fn few_rows_of_prefixes(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let mut rows: Vec<Row> = Vec::new();
    for prefix in 0..2_000_u64 {
        for number in 0..prefix % 4 {
            rows.push(([noise(prefix, 14), vec![0; 4], vec![u8::try_from(number).unwrap_or(0)]].concat(), Vec::new()));
        }
    }
    rows.sort();
    store.bulk_load(ROWS, stream_of_rows(rows.clone())).await?;
    for prefix in (0..2_000).chain(5_000..5_500) {
        let prefix = noise(prefix, 14);
        let of_prefix = rows.partition_point(|(key, _)| key[..14] < prefix[..]);
        let expected = &rows[of_prefix..(of_prefix + 4).min(rows.len())];
        for limit in [1, 2, 10] {
            expect(&*store, &prefix, None, limit, expected).await?;
            expect(&*store, &prefix, Some(&[&prefix[..], &[0; 5]].concat()), limit, expected).await?;
        }
    }
    // A long way of deleted rows between two prefixes is no way from one to the other.
    let mut batch = Batch::new();
    rows[10..].iter().for_each(|(key, _)| batch.delete(ROWS, key));
    store.write(batch, Durability::Buffered).await?;
    for at in 0..rows.len() {
        expect(&*store, &rows[at].0[..14], None, 3, &rows[..10]).await?;
    }
    Ok(())
}

pub(super) async fn few_rows_are_a_page_at_most(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let rows: Vec<Row> = (0..40_u8).map(|at| (vec![b'k', at], noise(u64::from(at), 150_000))).collect();
    for part in rows.chunks(20) {
        put_all(&*store, ROWS, part).await?;
    }
    let mut after: Option<Vec<u8>> = None;
    let mut seen: Vec<Row> = Vec::new();
    while seen.len() < rows.len() {
        let page = store.rows(ROWS, b"k", after.as_deref(), usize::MAX).await?;
        let before_last: usize =
            page.iter().take(page.len().max(1) - 1).map(|(key, value)| key.len() + value.len()).sum();
        ensure!(before_last < RowPage::TARGET_BYTES, "an answer has {} bytes and goes on", page.byte_len());
        seen.extend(page.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
        let is_last = seen.len() == rows.len();
        ensure!(page.is_full() || is_last, "an answer ends behind {} rows and isn't full", seen.len());
        after = page.last_key().map(<[u8]>::to_vec);
    }
    ensure!(seen == rows, "the answers' rows aren't the ones that were written");
    Ok(())
}

pub(super) async fn few_rows_of_namespaces(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    put_all(&*store, ROWS, &[(b"ka".to_vec(), vec![1]), (b"kb".to_vec(), vec![2])]).await?;
    let absent = store.rows(Namespace::new("never_written"), b"", None, 10).await?;
    ensure!(absent.is_empty(), "a namespace that was never written to has {} rows", absent.len());
    for neighbour in ["row", "rowsa", "rowt"] {
        put_all(&*store, Namespace::new(neighbour), &[(b"k".to_vec(), vec![]), (b"z".to_vec(), vec![])]).await?;
    }
    let rows = [(b"ka".to_vec(), vec![1]), (b"kb".to_vec(), vec![2])];
    for prefix in [&b""[..], b"k", b"z"] {
        expect(&*store, prefix, None, 10, &rows).await?;
        expect(&*store, prefix, Some(b"k"), 10, &rows).await?;
    }
    Ok(())
}

/// Whatever a lookup keeps for the next one mustn't show what was before.
pub(super) async fn few_rows_see_what_was_written(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let key = |at: u8| [&[7; 14][..], &[0, 0, 0, 0, at]].concat();
    let mut rows: Vec<Row> = Vec::new();
    for at in 0..60_u8 {
        expect(&*store, &[7; 14], None, 100, &rows).await?;
        match at % 3 {
            0 => store.bulk_load(ROWS, stream_of_rows([(key(at), [at])])).await?,
            1 => store.put(ROWS, &key(at), &[at]).await?,
            _ => {
                let mut batch = Batch::new();
                batch.put(ROWS, &key(at), &[at]);
                store.write(batch, Durability::Buffered).await?;
            }
        }
        rows.push((key(at), vec![at]));
        expect(&*store, &[7; 14], None, 100, &rows).await?;
        expect(&*store, &key(at), None, 1, &rows).await?;
        if at % 5 == 4 {
            rows.remove(0);
            let mut batch = Batch::new();
            batch.delete(ROWS, &key(at / 5));
            store.write(batch, Durability::Buffered).await?;
        }
        if at % 20 == 19 {
            store.reopen().await?;
        }
    }
    expect(&*store, &[7; 14], None, 100, &rows).await
}

pub(super) async fn few_rows_show_whole_batches(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    stamp(&*store, &[ROWS], 0).await?;
    let (writers, done) = spawn_stampers(&store, &[ROWS]);
    let mut stamps = 1;
    while !done.load(Ordering::Acquire) && stamps == 1 {
        let page = store.rows(ROWS, b"", None, 10).await?;
        let mut values: Vec<_> = page.iter().map(|(_, value)| value.to_vec()).collect();
        values.dedup();
        stamps = values.len();
        tokio::task::yield_now().await;
    }
    join(writers).await?;
    ensure!(stamps == 1, "an answer shows a part of a batch: its rows have {stamps} stamps in turn");
    Ok(())
}

/// Keys of which each is near another one.
fn keys() -> Vec<Vec<u8>> {
    let keys = [
        &b""[..],
        b"\0",
        b"a",
        b"a\0",
        b"a\xfe",
        b"a\xff",
        b"a\xff\xff",
        b"ab",
        b"b",
        b"b\xff",
        b"b\xff\0",
        b"b\xff\xff",
        b"\xff",
        b"\xff\xff",
    ];
    let mut keys = keys.map(<[u8]>::to_vec).to_vec();
    keys.sort();
    keys
}

/// Checks an answer: the first `limit` of the sorted rows `all` that have the prefix and come behind `after`.
async fn expect(store: &dyn Datastore, prefix: &[u8], after: Option<&[u8]>, limit: usize, all: &[Row]) -> Outcome {
    let page = store.rows(ROWS, prefix, after, limit).await?;
    let wanted = all.iter().filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| after < &key[..]));
    let wanted: Vec<_> = wanted.take(limit).map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
    let found: Vec<_> = page.iter().collect();
    ensure!(
        found == wanted,
        "the first {limit} rows with prefix {} behind {} are {} rows from {} on, not {} from {} on",
        show(prefix),
        after.map_or("nothing".to_owned(), show),
        found.len(),
        found.first().map_or("nowhere".to_owned(), |(key, _)| show(key)),
        wanted.len(),
        wanted.first().map_or("nowhere".to_owned(), |(key, _)| show(key)),
    );
    Ok(())
}
