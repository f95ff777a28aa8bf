//! Many callers at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

/// Does `work` for every number, `in_flight` at a time. Each caller is a task of its own, as callers of a store are: one
/// task for all would only ever show one core.
pub(crate) async fn for_each<W, F>(numbers: Range<usize>, in_flight: usize, work: W) -> Result<()>
where
    W: Fn(usize) -> F + Clone + Send + 'static,
    F: Future<Output = Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let (work, next) = (work.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return anyhow::Ok(());
                    }
                    work(number).await?;
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}
