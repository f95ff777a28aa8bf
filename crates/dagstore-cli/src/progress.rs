//! How far long work is, shown on standard error where that is a terminal and nowhere else.

use std::collections::HashMap;
use std::fmt::Write;
use std::future::Future;
use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use dagstore::copies::CopyState;
use dagstore::{Dagstore, ShardKey, ShardState};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tokio::time::MissedTickBehavior;

use crate::text::{counted, short_key};

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_millis(100);

const TEMPLATE: &str = "{prefix}: {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";

const COUNT_TEMPLATE: &str = "{prefix}: {human_pos} of {human_len} shards{msg}, {rate}, {eta} left";

/// Shows how far work is, or nothing at all.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bars: Option<MultiProgress>,
}

/// Whose progress is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watched<'a> {
    /// One shard's.
    Shard(&'a ShardKey),
    /// That of all shards that are being worked on.
    All,
}

impl Progress {
    /// Shows progress where a person can see it, unless everything is for programs.
    pub(crate) fn new(json: bool) -> Self {
        let is_seen = !json && std::io::stderr().is_terminal();
        Self { bars: is_seen.then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr())) }
    }

    /// Shows nothing while `work` prints.
    pub(crate) fn suspend<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.bars {
            Some(bars) => bars.suspend(work),
            None => work(),
        }
    }

    /// Shows how many of so many shards are done, until the value is dropped. Of one or none there is nothing to show.
    pub(crate) fn count(&self, doing: &'static str, shards: usize) -> Count {
        let bar = self.bars.as_ref().filter(|_| shards > 1).map(|bars| {
            let bar = bars.add(ProgressBar::new(u64::try_from(shards).unwrap_or(u64::MAX)));
            if let Ok(style) = ProgressStyle::with_template(COUNT_TEMPLATE) {
                bar.set_style(style.with_key("rate", show_rate));
            }
            bar.set_prefix(doing);
            bar.tick();
            (bars.clone(), bar)
        });
        Count { bar, failed: 0 }
    }

    /// Shows one line that changes, until the value is dropped.
    pub(crate) fn line(&self) -> Line {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            (bars.clone(), bar)
        });
        Line { bar }
    }

    /// Shows how many bytes of what has the name are done, until the value is dropped.
    pub(crate) fn bytes(&self, name: String) -> Bytes {
        let bar = self.bars.as_ref().map(|bars| {
            let bar = new_bar(bars);
            bar.set_prefix(name);
            (bars.clone(), bar)
        });
        Bytes { bar }
    }

    /// Waits for `work`, and shows meanwhile how far the store is with what is watched.
    pub(crate) async fn watch<T>(&self, store: &Dagstore, watched: Watched<'_>, work: impl Future<Output = T>) -> T {
        let Some(bars) = &self.bars else { return work.await };
        let mut work = pin!(work);
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut bar = None;
        loop {
            tokio::select! {
                biased;
                value = &mut work => {
                    if let Some(bar) = bar {
                        bars.remove(&bar);
                    }
                    return value;
                }
                _ = ticks.tick() => {
                    if let Some(state) = watched.state(store) {
                        state.show(bar.get_or_insert_with(|| new_bar(bars)));
                    }
                }
            }
        }
    }
}

/// One line that tells what is being done.
#[derive(Debug)]
pub(crate) struct Line {
    bar: Option<(MultiProgress, ProgressBar)>,
}

impl Line {
    /// Tells this, in the place of what was told before.
    pub(crate) fn say(&self, text: String) {
        if let Some((_, bar)) = &self.bar {
            bar.set_message(text);
            bar.tick();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some((bars, bar)) = &self.bar {
            bar.finish_and_clear();
            bars.remove(bar);
        }
    }
}

/// How many bytes are done.
#[derive(Debug)]
pub(crate) struct Bytes {
    bar: Option<(MultiProgress, ProgressBar)>,
}

impl Bytes {
    /// So many there are.
    pub(crate) fn of(&mut self, total_bytes: u64) {
        if let Some((_, bar)) = &self.bar {
            bar.set_length(total_bytes);
        }
    }

    /// So many are done.
    pub(crate) fn set(&mut self, done_bytes: u64) {
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done_bytes);
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some((bars, bar)) = &self.bar {
            bar.finish_and_clear();
            bars.remove(bar);
        }
    }
}

/// How many of many shards are done.
#[derive(Debug)]
pub(crate) struct Count {
    bar: Option<(MultiProgress, ProgressBar)>,
    failed: usize,
}

impl Count {
    /// One more is done, or has failed.
    pub(crate) fn one(&mut self, is_good: bool) {
        self.failed += usize::from(!is_good);
        if let Some((_, bar)) = &self.bar {
            if !is_good {
                bar.set_message(format!(", {} failed", self.failed));
            }
            bar.inc(1);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Some((bars, bar)) = &self.bar {
            bar.finish_and_clear();
            bars.remove(bar);
        }
    }
}

fn show_rate(state: &ProgressState, text: &mut dyn Write) {
    // Where this fails a bar lacks a word.
    let _ = write!(text, "{:.1} a second", state.per_sec());
}

fn new_bar(bars: &MultiProgress) -> ProgressBar {
    let bar = bars.add(ProgressBar::no_length());
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        bar.set_style(style);
    }
    bar
}

struct State {
    name: String,
    done_bytes: u64,
    total_bytes: u64,
}

impl State {
    fn show(&self, bar: &ProgressBar) {
        bar.set_prefix(self.name.clone());
        bar.set_length(self.total_bytes);
        bar.set_position(self.done_bytes);
    }
}

impl Watched<'_> {
    /// How far the work is; `None` where none is being done, or its size isn't known yet.
    fn state(self, store: &Dagstore) -> Option<State> {
        let (name, parts) = match self {
            Self::Shard(key) => {
                let info = store.info(key.as_str()).ok()?;
                let indexing = info.progress.as_ref().map(of_indexing);
                // What is indexed already is fetched without another look at all of it. Whatever waits for its turn to be indexed
                // isn't, so it isn't looked for among the copies either, of which there may be many.
                let is_indexed = matches!(info.state, ShardState::Available | ShardState::Serving);
                let fetch = || fetches(store).find(|(of, _)| of == key).map(|(_, part)| part);
                let part = indexing.or_else(|| is_indexed.then(fetch).flatten());
                (short_key(key), part.into_iter().collect::<Vec<_>>())
            }
            Self::All => {
                let indexed: HashMap<_, _> = store
                    .shards()
                    .into_iter()
                    .filter_map(|shard| Some((shard.key, of_indexing(&shard.progress?))))
                    .collect();
                let fetched = fetches(store).filter(|(key, _)| !indexed.contains_key(key)).map(|(_, part)| part);
                let parts: Vec<_> = indexed.values().copied().chain(fetched).collect();
                (counted(parts.len(), "shard"), parts)
            }
        };
        let sum = |bytes: fn(&Part) -> u64| parts.iter().map(bytes).fold(0, u64::saturating_add);
        let (done_bytes, total_bytes) = (sum(|part| part.done_bytes), sum(|part| part.total_bytes));
        (total_bytes > 0).then_some(State { name, done_bytes, total_bytes })
    }
}

/// How far the work on one shard is.
#[derive(Debug, Clone, Copy)]
struct Part {
    done_bytes: u64,
    total_bytes: u64,
}

fn of_indexing(progress: &dagstore::Progress) -> Part {
    Part { done_bytes: progress.done_bytes(), total_bytes: progress.total_bytes() }
}

/// The local copies that are being fetched, as far as their sizes are known.
fn fetches(store: &Dagstore) -> impl Iterator<Item = (ShardKey, Part)> {
    let fetching = store.copies().into_iter().filter(|copy| copy.info.state == CopyState::Fetching);
    fetching.filter_map(|copy| {
        let part = Part { done_bytes: copy.info.done, total_bytes: copy.info.size? };
        Some((copy.key?, part))
    })
}
