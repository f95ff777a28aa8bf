//! Checks with several tasks at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::support::{Bench, Outcome, Problem, ROWS, Row, ensure, expect_row, expect_rows};
use crate::{Batch, Datastore, Durability, Namespace};

const WRITERS: u8 = 8;
const BATCHES: u32 = 40;

/// Each writer has rows of its own and sees them as soon as its write has returned.
pub(super) async fn concurrent_writers(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_own_rows(Arc::clone(&store), writer))).collect();
    join(writers).await?;
    let mut rows: Vec<Row> = Vec::new();
    for writer in 0..WRITERS {
        rows.extend((1..=BATCHES).map(|batch| (own_key(writer, batch), batch.to_be_bytes().to_vec())));
        rows.push((vec![writer, 0xff], BATCHES.to_be_bytes().to_vec()));
    }
    expect_rows(&*store, ROWS, b"", &rows).await
}

fn own_key(writer: u8, batch: u32) -> Vec<u8> {
    [&[writer][..], &batch.to_be_bytes()].concat()
}

async fn write_own_rows(store: Arc<dyn Datastore>, writer: u8) -> Outcome {
    for number in 1..=BATCHES {
        let mut batch = Batch::new();
        batch.put(ROWS, &own_key(writer, number), &number.to_be_bytes());
        batch.put(ROWS, &[writer, 0xff], &number.to_be_bytes());
        let durability = if number % 5 == 0 { Durability::Synced } else { Durability::Buffered };
        store.write(batch, durability).await?;
        expect_row(&*store, ROWS, &own_key(writer, number), Some(&number.to_be_bytes())).await?;
        expect_row(&*store, ROWS, &[writer, 0xff], Some(&number.to_be_bytes())).await?;
    }
    Ok(())
}

/// Writers stamp the same rows over and over, all of them in each batch: a page never shows two stamps.
pub(super) async fn pages_show_whole_batches(bench: &Bench<'_>) -> Outcome {
    let store = bench.open().await?;
    stamp(&*store, &[ROWS], 0).await?;
    let (writers, done) = spawn_stampers(&store, &[ROWS]);
    let mut problem = None;
    while !done.load(Ordering::Acquire) && problem.is_none() {
        problem = one_stamp_a_page(&*store).await.err();
        tokio::task::yield_now().await;
    }
    join(writers).await?;
    problem.map_or(Ok(()), Err)?;
    one_stamp_a_page(&*store).await
}

async fn one_stamp_a_page(store: &dyn Datastore) -> Outcome {
    let mut stream = store.scan(ROWS, b"");
    while let Some(page) = stream.next().await {
        let page = page?;
        let mut stamps: Vec<_> = page.iter().map(|(_, value)| value.to_vec()).collect();
        stamps.dedup();
        ensure!(stamps.len() <= 1, "a page shows a part of a batch: its rows have {} stamps in turn", stamps.len());
    }
    Ok(())
}

/// A later read never shows less of a batch than an earlier one: the row read second is as new as the first.
pub(super) async fn batches_appear_at_once(bench: &Bench<'_>) -> Outcome {
    const OTHER: Namespace = Namespace::new("other");
    let store = bench.open().await?;
    stamp(&*store, &[ROWS, OTHER], 0).await?;
    let stamper = Arc::clone(&store);
    let done = Arc::new(AtomicBool::new(false));
    let says_done = SetOnDrop(Arc::clone(&done));
    let writer = tokio::spawn(async move {
        let _says_done = says_done;
        for number in 1..=u64::from(BATCHES) * 4 {
            stamp(&*stamper, &[ROWS, OTHER], number).await?;
        }
        Ok(())
    });
    let mut problem = None;
    while !done.load(Ordering::Acquire) && problem.is_none() {
        let first = store.get(ROWS, b"0").await?;
        tokio::task::yield_now().await;
        let second = store.get(OTHER, b"9").await?;
        if second < first {
            problem =
                Some(Problem::new(format!("a batch's last row shows {second:?} after its first showed {first:?}")));
        }
    }
    join(vec![writer]).await?;
    problem.map_or(Ok(()), Err)
}

/// Writes one number into ten rows of each namespace, as one batch.
pub(super) async fn stamp(store: &dyn Datastore, namespaces: &[Namespace], number: u64) -> Outcome {
    let mut batch = Batch::new();
    for namespace in namespaces {
        for digit in b'0'..=b'9' {
            batch.put(*namespace, &[digit], &number.to_be_bytes());
        }
    }
    Ok(store.write(batch, Durability::Buffered).await?)
}

/// Writers that stamp, and a flag that is set when all of them have ended.
pub(super) fn spawn_stampers(
    store: &Arc<dyn Datastore>,
    namespaces: &'static [Namespace],
) -> (Vec<JoinHandle<Outcome>>, Arc<AtomicBool>) {
    let done = Arc::new(AtomicBool::new(false));
    let says_done = Arc::new(SetOnDrop(Arc::clone(&done)));
    let writers = (0..u64::from(WRITERS)).map(|writer| {
        let (store, says_done) = (Arc::clone(store), Arc::clone(&says_done));
        tokio::spawn(async move {
            let _says_done = says_done;
            for number in 0..u64::from(BATCHES) {
                stamp(&*store, namespaces, writer << 32 | number).await?;
            }
            Ok(())
        })
    });
    (writers.collect(), done)
}

/// Says that its owners have ended, also when one of them panics.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(super) async fn join(tasks: Vec<JoinHandle<Outcome>>) -> Outcome {
    for task in tasks {
        task.await.map_err(|error| Problem::new(format!("a task ended badly: {error}")))??;
    }
    Ok(())
}
