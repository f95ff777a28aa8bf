//! Reclaiming what belongs to nobody.

use std::sync::Arc;

use dagstore_fs::OwnName;
use dagstore_fsm::{Answer, Event};
use dagstore_types::ShardState;

use crate::cell::Reply;
use crate::core::Core;
use crate::error::with_causes;
use crate::{Error, Result, copies, inverted};

/// What a collection reclaimed, and what it had to leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GcReport {
    /// Index files that no record named.
    pub indices_removed: usize,
    /// Rows of the inverted index that no index named.
    pub rows_removed: u64,
    /// Temporary files of builds that never ended.
    pub temporaries_removed: usize,
    /// Shards whose destruction was finished.
    pub destroyed: usize,
    /// Local copies that were removed.
    pub copies_removed: usize,
    /// How many bytes these were.
    pub copy_bytes: u64,
    /// What was left, and why.
    pub kept: Vec<Kept>,
}

/// What is collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct GcOptions {
    /// Nothing is removed, and it is told what would be. Temporary files and rows aren't looked for then.
    pub dry_run: bool,
    /// Local copies of shards that nobody reads go, too, if their sources are there: what is read of them is fetched again.
    /// Those that are pinned stay.
    pub idle_copies: bool,
    /// Also those copies go whose sources aren't there, though they may be the last ones.
    pub force: bool,
}

/// Something that a collection had to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// A file's name or a shard's key.
    pub what: String,
    /// Why it was left.
    pub why: String,
}

impl GcReport {
    fn add(&mut self, other: Self) {
        self.indices_removed += other.indices_removed;
        self.rows_removed += other.rows_removed;
        self.temporaries_removed += other.temporaries_removed;
        self.destroyed += other.destroyed;
        self.copies_removed += other.copies_removed;
        self.copy_bytes += other.copy_bytes;
        self.kept.extend(other.kept);
    }
}

/// Removes what belongs to no shard, and finishes destructions that could not be finished before.
pub(crate) async fn collect(core: &Arc<Core>, options: GcOptions) -> Result<GcReport> {
    if options.dry_run {
        return preview(core, options).await;
    }
    sweep(core).await?;
    let mut finished = GcReport::default();
    for key in core.catalogue.keys_in(&[ShardState::Destroying]) {
        let Some(cell) = core.catalogue.get(key.as_str()) else { continue };
        // The key may have been registered again since. A cell that is Destroying never becomes anything else.
        if cell.with(|state| state.shard.record().is_none_or(|record| record.state != ShardState::Destroying)) {
            continue;
        }
        let now = core.now();
        match core.ask(&cell, |waiter| Event::Destroy { waiter, now }).await? {
            None | Some(Reply::Answer(Answer::Destroyed)) => finished.destroyed += 1,
            Some(Reply::Answer(Answer::Refused(refusal))) => {
                finished.kept.push(kept(cell.key(), &with_causes(&core.refused(cell.key(), refusal))));
            }
            Some(_) => {}
        }
    }
    match inverted::collect_leftovers(core).await {
        Ok(rows) => finished.rows_removed = rows,
        Err(error) => finished.kept.push(kept(&"rows of the inverted index", &with_causes(&error))),
    }
    finished.add(copies::collect(core, options).await?);
    // Taken last: what a collection has swept that nobody waits for any more is told by the next one.
    let mut report = std::mem::take(&mut *core.swept.lock());
    report.add(finished);
    Ok(report)
}

/// What a collection would remove.
async fn preview(core: &Arc<Core>, options: GcOptions) -> Result<GcReport> {
    let looking = core.clone();
    let looked = core.spawn_blocking(move || {
        let mut report = GcReport::default();
        let names = looking.index_repo.list()?;
        report.indices_removed = unnamed(&looking, names, &mut report.kept).len();
        Ok(report)
    });
    let mut report = looked.await.unwrap_or(Err(Error::Closed))?;
    report.destroyed = core.catalogue.keys_in(&[ShardState::Destroying]).len();
    report.add(copies::collect(core, options).await?);
    Ok(report)
}

/// Removes the store's own files that no record names: of earlier attempts, of shards that are gone, of builds that
/// never ended. A file is named by its registration and attempt, and neither comes again, so nothing that is still to
/// be named can be hit. What was swept, at opening as well, is told by the next collection.
pub(crate) async fn sweep(core: &Arc<Core>) -> Result<()> {
    let one_at_a_time = core.sweeping.clone().lock_owned().await;
    let shared = core.clone();
    // A task, which goes on where nobody waits for it any more.
    let (running, runtime) = (core.tasks.subscribe(), core.runtime.clone());
    let sweep = runtime.spawn(async move {
        let _until_it_has_ended = (one_at_a_time, running);
        let looking = shared.clone();
        let unnamed = shared.spawn_blocking(move || look_through(&looking)).await;
        for name in unnamed.unwrap_or(Err(Error::Closed))? {
            if shared.is_closed() {
                return Err(Error::Closed);
            }
            let removed = remove(&shared, name).await;
            let mut report = shared.swept.lock();
            match removed {
                Ok(()) => report.indices_removed += 1,
                Err(error) => report.kept.push(kept(&name, &with_causes(&error))),
            }
        }
        let mut copies = copies::collect(&shared, GcOptions::default()).await?;
        // A collection looks at the copies once more, and tells of what is left then.
        copies.kept.clear();
        shared.swept.lock().add(copies);
        Ok(())
    });
    sweep.await.unwrap_or(Err(Error::Closed))
}

/// Removes an index, and the rows that it names where its shard is gone. Those of a shard that was Available were
/// looked after when it became so.
async fn remove(core: &Arc<Core>, name: OwnName) -> Result<()> {
    if !core.catalogue.was_available(name.registration) {
        inverted::remove_rows(core, name, None).await?;
    }
    inverted::remove_file(core, name).await?;
    Ok(())
}

/// Removes temporary files, and tells which indices no record names.
fn look_through(core: &Core) -> Result<Vec<OwnName>> {
    let mut report = std::mem::take(&mut *core.swept.lock());
    // Told again if it is still so.
    report.kept.clear();
    // Listed before the catalogue is read: a file made in between isn't in the list.
    let names = core.index_repo.list()?;
    report.temporaries_removed += core.index_repo.remove_temporaries()?;
    let unnamed = unnamed(core, names, &mut report.kept);
    *core.swept.lock() = report;
    Ok(unnamed)
}

/// Those of the names that no record names.
fn unnamed(core: &Core, mut names: Vec<OwnName>, left: &mut Vec<Kept>) -> Vec<OwnName> {
    names.sort_unstable_by_key(|name| name.registration);
    // Before the catalogue: a record that is taken up in between is then in both instead of in neither.
    let quarantined = core.quarantine.read().owners();
    let is_current = current(core, &names);
    let mut unnamed = Vec::new();
    for (name, is_current) in names.into_iter().zip(is_current) {
        if is_current {
            continue;
        }
        if quarantined.may_own(name) {
            left.push(kept(&name, &"it may belong to a record in quarantine"));
            continue;
        }
        unnamed.push(name);
    }
    unnamed
}

/// Which of the names, in the order of their registrations, a record names, or will: those of its attempt and of later ones.
/// Those of earlier ones as well while the shard isn't Available: they name rows that have yet to go.
fn current(core: &Core, names: &[OwnName]) -> Vec<bool> {
    let mut is_current = vec![false; names.len()];
    if names.is_empty() {
        return is_current;
    }
    for (state, registration, attempt) in core.catalogue.states() {
        let is_available = matches!(state, ShardState::Available | ShardState::Serving);
        let first = names.partition_point(|name| name.registration < registration);
        let of_it = names[first..].iter().take_while(|name| name.registration == registration);
        for (name, is_current) in of_it.zip(&mut is_current[first..]) {
            *is_current |= attempt <= name.attempt || (!is_available && core.inverted.is_some());
        }
    }
    is_current
}

pub(crate) fn kept(what: &dyn std::fmt::Display, why: &dyn std::fmt::Display) -> Kept {
    Kept { what: what.to_string(), why: why.to_string() }
}
