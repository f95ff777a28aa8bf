//! Pairs of acquire and release a second.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use dagstore::{Dagstore, ShardAccessor};
use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::shards;

/// Who else has the shards open.
#[derive(Debug, Clone, Copy)]
pub(super) enum Company {
    /// Another reader, the whole time: a pair changes a count and nothing else.
    Reader,
    /// Another reader, and somebody who reads the trace of all pairs as fast as they can.
    Watcher,
    /// Nobody: each pair may take its shard from Available to Serving and back.
    Nobody,
}

impl Company {
    /// The accessors of the other reader.
    pub(super) async fn acquire(self, store: &Dagstore, shards: usize) -> Result<Vec<ShardAccessor>> {
        let mut held = Vec::new();
        if matches!(self, Self::Reader | Self::Watcher) {
            for number in 0..shards {
                held.push(store.acquire(&shards::key(number)).await?);
            }
        }
        Ok(held)
    }

    /// What reads the trace, until it is aborted.
    pub(super) fn watch(self, runtime: &Runtime, store: &Dagstore) -> Option<JoinHandle<()>> {
        let mut trace = matches!(self, Self::Watcher).then(|| store.trace())?;
        Some(runtime.spawn(async move { while trace.next().await.is_some() {} }))
    }
}

impl fmt::Display for Company {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "also open elsewhere",
            Self::Watcher => "also open elsewhere, traced",
            Self::Nobody => "open nowhere else",
        })
    }
}

/// What a run gave.
pub(super) struct Pairs {
    pub(super) a_second: f64,
    /// How many tasks made at least one pair: where an acquire never lets go of its thread, few tasks have a turn.
    pub(super) tasks_with_a_turn: f64,
}

/// Lets `tasks` tasks acquire and release as fast as they can, each going over the shards in an order of its own.
pub(super) fn measure(
    runtime: &Runtime,
    store: &Dagstore,
    tasks: usize,
    shards: usize,
    duration: Duration,
) -> Result<Pairs> {
    let keys: Arc<[String]> = (0..shards).map(shards::key).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let callers: Vec<_> = (0..tasks)
        .map(|task| {
            let (store, keys, stop) = (store.clone(), keys.clone(), stop.clone());
            runtime.spawn(async move {
                let (mut pairs, mut random) = (0_u64, task as u64);
                while !stop.load(Ordering::Relaxed) {
                    random = shards::split_mix(random);
                    drop(store.acquire(&keys[random as usize % keys.len()]).await?);
                    pairs += 1;
                }
                anyhow::Ok(pairs)
            })
        })
        .collect();
    // Not on one of the runtime's threads, which may have no time for timers.
    thread::sleep(duration);
    stop.store(true, Ordering::Relaxed);
    let seconds = start.elapsed().as_secs_f64();
    let mut made = Vec::with_capacity(tasks);
    for caller in callers {
        made.push(runtime.block_on(caller)??);
    }
    let tasks_with_a_turn = made.iter().filter(|pairs| **pairs > 0).count() as f64;
    Ok(Pairs { a_second: made.iter().sum::<u64>() as f64 / seconds, tasks_with_a_turn })
}
