//! Checks of scans: order, prefixes, pages.

use futures_util::StreamExt;

use super::support::{Bench, Outcome, ROWS, Row, all_rows, ensure, expect_rows, noise, put_all, rest_of, show};
use crate::{Batch, DatastoreExt, Durability, Namespace, RowPage};

pub(super) async fn scan_order(bench: &Bench<'_>) -> Outcome {
    let mut keys: Vec<Vec<u8>> = vec![b"".to_vec(), b"a".to_vec(), b"a\0".to_vec(), b"aa".to_vec(), b"b".to_vec()];
    // All single bytes: a signed comparison would put 80 before 7f.
    keys.extend((0..=255).map(|byte| vec![byte]));
    keys.extend((0..=255).map(|byte| vec![byte, 0xff]));
    keys.extend((0..200).map(|seed| noise(seed, usize::try_from(seed % 20).unwrap_or(0))));
    keys.sort();
    keys.dedup();
    let rows: Vec<Row> = keys.into_iter().map(|key| (key.clone(), key)).collect();

    let store = bench.open().await?;
    let mut shuffled = rows.clone();
    shuffled.sort_by_key(|(key, _)| {
        noise(key.iter().fold(1, |seed: u64, byte| seed.wrapping_mul(257).wrapping_add(u64::from(*byte))), 6)
    });
    for part in shuffled.chunks(100) {
        put_all(&*store, ROWS, part).await?;
    }
    expect_rows(&*store, ROWS, b"", &rows).await
}

pub(super) async fn prefixes(bench: &Bench<'_>) -> Outcome {
    let keys: [&[u8]; 16] = [
        b"",
        b"\0",
        b"\0\0",
        b"a",
        b"a\0",
        b"a\xfe",
        b"a\xff",
        b"a\xff\xff",
        b"a\xff\xffz",
        b"ab",
        b"b",
        b"\xfe\xff",
        b"\xff",
        b"\xff\xfe",
        b"\xff\xff",
        b"\xff\xff\xff\x01",
    ];
    let mut rows: Vec<Row> = keys.iter().map(|key| (key.to_vec(), [b"value of ", *key].concat())).collect();
    rows.sort();
    let store = bench.open().await?;
    put_all(&*store, ROWS, &rows).await?;
    let neighbours = [Namespace::new("row"), Namespace::new("rowsa"), Namespace::new("rowt")];
    for neighbour in neighbours {
        put_all(&*store, neighbour, &[(b"a neighbour".to_vec(), vec![]), (b"\xff\xff\xff".to_vec(), vec![])]).await?;
    }
    let others: [&[u8]; 6] = [b"c", b"a\xff\xff\xff", b"a\xff\xffzz", b"\xff\xff\xff", b"\xfe", b"\x7f"];
    for prefix in keys.iter().chain(&others) {
        let expected: Vec<Row> = rows.iter().filter(|(key, _)| key.starts_with(prefix)).cloned().collect();
        expect_rows(&*store, ROWS, prefix, &expected).await?;
    }
    Ok(())
}

pub(super) async fn pages_of_large_rows(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    // Below a page, about a page, and over a page.
    let sizes = [10_000, RowPage::TARGET_BYTES - 3, RowPage::TARGET_BYTES, RowPage::TARGET_BYTES + 1, 0, 900_000];
    let mut rows: Vec<Row> = Vec::new();
    for group in [b'a', b'b', 0xff] {
        rows.extend((0..18_u8).map(|at| (vec![group, at], noise(u64::from(at), sizes[usize::from(at) % sizes.len()]))));
    }
    for part in rows.chunks(16) {
        put_all(&*store, ROWS, part).await?;
    }
    for (prefix, range) in [(&b""[..], 0..54), (b"a", 0..18), (b"b", 18..36), (b"\xff", 36..54), (b"b\x07", 25..26)] {
        expect_rows(&*store, ROWS, prefix, &rows[range]).await?;
    }
    Ok(())
}

pub(super) async fn pages_of_small_rows(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let rows: Vec<Row> =
        (0..140_000_u64).map(|at| ([at.to_be_bytes(), (!at).to_be_bytes()].concat(), Vec::new())).collect();
    for part in rows.chunks(10_000) {
        put_all(&*store, ROWS, part).await?;
    }
    expect_rows(&*store, ROWS, b"", &rows).await?;
    expect_rows(&*store, ROWS, &0x00ab_u64.to_be_bytes()[..7], &rows[..256]).await
}

/// Reads one page, writes around it, and reads the rest.
pub(super) async fn scan_while_writing(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let key = |number: u32| number.to_be_bytes().to_vec();
    let rows: Vec<Row> = (0..2_000).map(|at| (key(at * 10), noise(u64::from(at), 1_000))).collect();
    put_all(&*store, ROWS, &rows).await?;

    let mut stream = store.scan(ROWS, b"");
    let mut seen: Vec<Row> = Vec::new();
    while seen.is_empty() {
        let Some(page) = stream.next().await else { break };
        seen.extend(page?.iter().map(|(key, value)| (key.to_vec(), value.to_vec())));
    }
    ensure!(!seen.is_empty() && seen[..] == rows[..seen.len()], "the first page is not the first {} rows", seen.len());

    // Before the page's end rows vanish; behind it new ones come, too.
    let mut batch = Batch::new();
    for at in (0..2_000).step_by(4) {
        if at >= 1_000 {
            batch.put(ROWS, &key(at * 10 + 5), b"new");
        }
        batch.delete(ROWS, &key((at + 1) * 10));
        batch.put(ROWS, &key((at + 2) * 10), b"other");
    }
    store.write(batch, Durability::Synced).await?;
    let last = seen.last().map(|(key, _)| key.clone());
    seen.extend(rest_of(stream, b"", last).await?);

    for (at, row) in rows.iter().enumerate().filter(|(at, _)| at % 4 == 0 || at % 4 == 3) {
        let times = seen.iter().filter(|seen| *seen == row).count();
        ensure!(times == 1, "row {at}, which nobody wrote meanwhile, is seen {times} times");
    }
    for (key, value) in &seen {
        let is_old = rows.binary_search_by(|row| row.0.cmp(key)).is_ok_and(|at| rows[at].1 == *value);
        ensure!(is_old || value == b"new" || value == b"other", "row {} has a value that it never had", show(key));
    }
    ensure!(all_rows(&*store, ROWS, b"").await?.len() == 1_750, "the writes are not all there in a scan behind them");
    Ok(())
}

pub(super) async fn scans_see_what_was_written(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let mut rows: Vec<Row> = Vec::new();
    for at in 0..50_u8 {
        let durability = if at % 2 == 0 { Durability::Buffered } else { Durability::Synced };
        let mut batch = Batch::new();
        batch.put(ROWS, &[at], b"value");
        store.write(batch, durability).await?;
        rows.push((vec![at], b"value".to_vec()));
        expect_rows(&*store, ROWS, b"", &rows).await?;
    }
    // A stream that isn't polled yet holds no older state than that of its call.
    let stream = store.scan(ROWS, b"");
    store.delete(ROWS, &[0]).await?;
    let seen = rest_of(stream, b"", None).await?;
    ensure!(seen == rows || seen == rows[1..], "a stream shows neither the state of its call nor a later one");
    Ok(())
}
