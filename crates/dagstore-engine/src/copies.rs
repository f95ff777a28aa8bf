//! Local copies of sources that can't be read where they are: where they are kept, and what can be done with them.

use std::collections::HashSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use dagstore_fs::{FileSystem, OwnName};
use dagstore_index::FullIndex;
use dagstore_mount::Stat;
use dagstore_transient::{Copies, CopyInfo, CopyState, Lease, Sources};
use dagstore_types::{Registration, ShardKey, ShardState};
use tokio::task::spawn_blocking;

use crate::catalogue::Found;
use crate::core::Core;
use crate::gc::{GcOptions, GcReport, kept};
use crate::options::{Blocking, Mode, Options};
use crate::place::Place;
use crate::source::{self, NoSource};
use crate::{Engine, Error, Result, ShardAccessor, acquire};

/// Where a store keeps its local copies, and how. Nobody else may use the folder.
#[derive(Debug)]
pub struct LocalCopies {
    /// How their files are written.
    pub file_system: Arc<dyn FileSystem>,
    /// The folder, which is made where there is none.
    pub directory: PathBuf,
    /// Quota and bounds. Whether sources exist is looked after by the store, so
    /// [`sources`](dagstore_transient::Options::sources) is left out here.
    pub options: dagstore_transient::Options,
}

/// A local copy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShardCopy {
    /// The shard that it is of; `None` where that is gone, and the next collection removes the copy.
    pub key: Option<ShardKey>,
    /// What is told of it.
    pub info: CopyInfo,
}

/// Opens the folder of the copies. That of a store that is only looked at is only looked at, too.
pub(crate) async fn open(
    copies: Option<LocalCopies>,
    sources: Arc<StoreSources>,
    options: &Options,
) -> Result<Option<Copies>> {
    let Some(LocalCopies { file_system, directory, options: mut copying }) = copies else { return Ok(None) };
    copying.read_only = options.mode == Mode::Paused;
    copying.sources = Some(sources);
    let open = move || Copies::open(file_system, &directory, copying);
    let opened = match options.blocking {
        Blocking::Inline => open(),
        // A task of this kind ends before its time only with the runtime.
        Blocking::Threads => spawn_blocking(open).await.unwrap_or(Err(dagstore_transient::Error::Closed)),
    };
    opened.map(Some).map_err(Error::Copies)
}

impl Engine {
    /// The local copies, and those that are being made. Answers in a paused store, too.
    pub fn copies(&self) -> Vec<ShardCopy> {
        let copies = self.core.copies.iter().flat_map(Copies::list);
        copies.map(|info| ShardCopy { key: self.core.catalogue.find(info.name.registration), info }).collect()
    }

    /// How many bytes of disk the local copies take, what is promised to those being made included. Never more than the
    /// quota, unless a smaller one was set for a store that has more. Answers in a paused store, too.
    pub fn copies_used_bytes(&self) -> u64 {
        self.core.copies.as_ref().map_or(0, Copies::used_bytes)
    }

    /// Acquires the shard only if all that is read of it is on this machine: nothing is fetched, and no fetch is waited for.
    ///
    /// # Errors
    /// [`Error::NotLocal`]; those of [`acquire`](Self::acquire).
    pub async fn acquire_local(&self, key: &str) -> Result<ShardAccessor> {
        let acquired = acquire::acquire_local(&self.core, key).await;
        self.core.shared.metrics.acquired(&acquired);
        acquired
    }

    /// Keeps a local copy of the shard until it is unpinned; where there is none, it is fetched first. Durable at return.
    ///
    /// # Errors
    /// [`Error::NotCopied`], [`Error::Copy`]; those of [`acquire`](Self::acquire).
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn pin(&self, key: &str) -> Result<()> {
        self.copied(key)?;
        if self.info(key)?.provisional {
            // What fetches it all can as well index it.
            self.rebuild_index(key).await?;
        }
        let mut shard = acquire::acquire(&self.core, key).await?;
        if shard.is_provisional() {
            // It has become so for this acquire.
            drop(shard);
            self.rebuild_index(key).await?;
            shard = acquire::acquire(&self.core, key).await?;
        }
        let (copies, name) = self.copied(key)?;
        // Both are held until it is pinned, so that it isn't evicted meanwhile.
        let mut lease = if shard.shard().lease.is_none() { Some(self.fetch_copy(&shard, name).await?) } else { None };
        let mut pinned = copies.pin(name).await;
        if lease.is_none() && matches!(pinned, Err(dagstore_transient::Error::NotLocal { .. })) {
            // What is open is a copy that was removed by force.
            lease = Some(self.fetch_copy(&shard, name).await?);
            pinned = copies.pin(name).await;
        }
        drop((shard, lease));
        pinned.map_err(of_copy(key)?)
    }

    async fn fetch_copy(&self, shard: &ShardAccessor, name: OwnName) -> Result<Lease> {
        let key = shard.key();
        let place = Place::of(&self.core.registry, &self.info(key.as_str())?.url)?;
        let fetched = source::fetch_copy(&self.core, key, name, &place, &shard.shard().index).await;
        fetched.map_err(|error| match error {
            NoSource::Closing => Error::Closed,
            NoSource::Failed(source) => Error::Failed { key: key.clone(), source },
        })
    }

    /// Lets the local copy of the shard be evicted again. Durable at return.
    ///
    /// # Errors
    /// [`Error::NotCopied`], [`Error::Copy`] where there is no copy; [`Error::NotFound`], [`Error::Paused`],
    /// [`Error::Closed`].
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn unpin(&self, key: &str) -> Result<()> {
        let (copies, name) = self.copied(key)?;
        copies.unpin(name).await.map_err(of_copy(key)?)
    }

    /// Removes the local copy of the shard, and returns how many bytes that were: the shard stays as it is, and what is read
    /// of it is fetched again. A copy that may be the last one, because its source isn't there, stays, as does one that is
    /// pinned or that an accessor has open; with `force` it goes for all that. Of a user's own file only the adoption is forgotten.
    ///
    /// # Errors
    /// As [`unpin`](Self::unpin).
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn evict(&self, key: &str, force: bool) -> Result<u64> {
        let (copies, name) = self.copied(key)?;
        let is_seen = force || self.core.source_still_has(copies, name).await;
        {
            let _closing = self.core.closing_unused.lock();
            if let Some(Found::Awake(cell)) = self.core.catalogue.look(key) {
                cell.close_unused_copy();
            }
        }
        copies.evict(name, is_seen, force).await.map_err(of_copy(key)?)
    }

    /// Uses a user's own file, where it is, as the local copy of the shard. It is never written, renamed or removed. Of a shard
    /// that is indexed the whole file is held against the index first, and the source isn't asked; of another one the source
    /// tells the size that the file must have. Durable at return.
    ///
    /// # Errors
    /// [`Error::Mount`] where the source can't be asked; as [`unpin`](Self::unpin), with [`Error::Copy`] where the file doesn't
    /// fit, or there is a copy already.
    #[tracing::instrument(level = "debug", skip(self))]
    pub async fn adopt(&self, key: &str, path: &Path) -> Result<()> {
        let (copies, name) = self.copied(key)?;
        let info = self.info(key)?;
        let index = match info.state {
            ShardState::Available | ShardState::Serving if !info.provisional => {
                acquire::index_of(&self.core, name).await
            }
            _ => None,
        };
        let stat = if let Some(index) = index {
            let stat = source::content_of(&*index);
            self.hold_against(&info.key, name, index, path).await?;
            stat
        } else {
            let mount = Place::of(&self.core.registry, &info.url)?.mount;
            self.core.unless_closed(mount.stat()).await??
        };
        copies.adopt_foreign(name, path, Some(&stat)).await.map_err(of_copy(key)?)
    }

    /// Whether a file is what was indexed, block by block.
    async fn hold_against(&self, key: &ShardKey, name: OwnName, index: Arc<dyn FullIndex>, path: &Path) -> Result<()> {
        let (core, shard, file) = (self.core.clone(), key.clone(), path.to_owned());
        let comparing = move || source::is_what_was_indexed(&core, &shard, &index, &file);
        let compared = self.core.spawn_blocking(comparing).await.map_err(|_| Error::Closed)?;
        let why = match compared {
            Ok(true) => return Ok(()),
            Ok(false) => "it isn't what was indexed: it has other blocks, or has them elsewhere".to_owned(),
            Err(error) => error.to_string(),
        };
        let source = dagstore_transient::Error::Unfit { name, path: path.to_owned(), why };
        Err(Error::Copy { key: key.clone(), source })
    }

    /// The copies, and the name of this shard's.
    fn copied(&self, key: &str) -> Result<(&Copies, OwnName)> {
        self.core.check_active()?;
        let info = self.info(key)?;
        let is_copied = Place::of(&self.core.registry, &info.url)?.is_copied();
        let copies = self.core.copies.as_ref().filter(|_| is_copied);
        let copies = copies.ok_or_else(|| Error::NotCopied(info.key.clone()))?;
        Ok((copies, OwnName::new(&info.key, info.registration, info.attempt)))
    }
}

fn of_copy(key: &str) -> Result<impl FnOnce(dagstore_transient::Error) -> Error + use<>> {
    let key = ShardKey::new(key)?;
    Ok(move |source| Error::Copy { key, source })
}

/// Looks whether sources exist, for the copies, which are there before the store is.
#[derive(Debug, Default)]
pub(crate) struct StoreSources(OnceLock<Weak<Core>>);

impl StoreSources {
    /// From now on it can look.
    pub(crate) fn bind(&self, core: &Arc<Core>) {
        // There is one store for each of these.
        let _first = self.0.set(Arc::downgrade(core));
    }
}

impl Sources for StoreSources {
    fn still_has(&self, name: OwnName, content: Stat) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            match self.0.get().and_then(Weak::upgrade) {
                Some(core) => core.source_has(name.registration, &content).await,
                None => false,
            }
        })
    }

    fn give_back(&self) {
        if let Some(core) = self.0.get().and_then(Weak::upgrade) {
            core.catalogue.cells().iter().for_each(|cell| cell.close_unused_copy());
        }
    }
}

impl Core {
    /// Whether a copy can be had again from its source. What isn't complete is no copy that could be lost.
    async fn source_still_has(&self, copies: &Copies, name: OwnName) -> bool {
        let Some(content) = copies.content(name) else { return true };
        self.source_has(name.registration, &content).await
    }

    /// Whether the source of this registration has this content, as far as it says within the deadline.
    pub(crate) async fn source_has(&self, registration: Registration, content: &Stat) -> bool {
        let record = self.catalogue.find(registration).and_then(|key| self.catalogue.look(key.as_str()));
        let Some(info) = record.and_then(crate::ShardInfo::of_found) else { return false };
        let Ok(place) = Place::of(&self.registry, &info.url) else { return false };
        let stat = tokio::time::timeout(self.options.stat_deadline, self.unless_closed(place.mount.stat()));
        matches!(stat.await, Ok(Ok(Ok(stat))) if stat.same_content(content))
    }
}

/// Removes copies of shards that are gone, and those of shards that nobody uses where that is wanted.
pub(crate) async fn collect(core: &Core, options: GcOptions) -> Result<GcReport> {
    let mut report = GcReport::default();
    let Some(copies) = &core.copies else { return Ok(report) };
    let before = copies.list();
    let orphans = orphans(core, &before);
    let named = |name: &OwnName| !orphans.contains(&name.registration);
    if !options.dry_run {
        // A pin ends with its shard. A power cut can bring the copy of a shard back that was destroyed, with its pin.
        for info in before.iter().filter(|info| info.is_pinned && orphans.contains(&info.name.registration)) {
            // Where it stays pinned, the collection below says so.
            let _unpinned = copies.unpin(info.name).await;
        }
    }
    let collected = copies.gc(named, options.dry_run).await.map_err(Error::Copies)?;
    for entry in collected.entries {
        match entry.kept {
            None => report.copies_removed += 1,
            // It would be unpinned first.
            Some(dagstore_transient::Reason::Pinned) if options.dry_run => {
                report.copies_removed += 1;
                report.copy_bytes += entry.bytes;
            }
            Some(dagstore_transient::Reason::Named) => {}
            Some(reason) => report.kept.push(kept(&entry.name, &reason)),
        }
    }
    report.copy_bytes += collected.freed_bytes;
    if options.idle_copies {
        for info in before.into_iter().filter(|info| !orphans.contains(&info.name.registration)) {
            collect_idle(core, copies, &info, options, &mut report).await;
        }
    }
    Ok(report)
}

/// The registrations of copies that no record names. A copy is made behind its record, and goes before it.
fn orphans(core: &Core, copies: &[CopyInfo]) -> HashSet<Registration> {
    let mut orphans: HashSet<_> = copies.iter().map(|info| info.name.registration).collect();
    if orphans.is_empty() {
        return orphans;
    }
    // Before the catalogue: a record that is taken up in between is then in both instead of in neither.
    let quarantined = core.quarantine.read().owners();
    for info in copies.iter().filter(|info| quarantined.may_own(info.name)) {
        orphans.remove(&info.name.registration);
    }
    for (_, registration, _) in core.catalogue.states() {
        orphans.remove(&registration);
    }
    orphans
}

async fn collect_idle(core: &Core, copies: &Copies, info: &CopyInfo, options: GcOptions, report: &mut GcReport) {
    // One that is in use is no news, and a user's own file takes no room.
    if info.is_in_use || info.is_pinned || matches!(info.state, CopyState::Fetching | CopyState::Foreign) {
        return;
    }
    let is_seen = options.force || core.source_still_has(copies, info.name).await;
    let removed = if !options.dry_run {
        copies.evict(info.name, is_seen, false).await
    } else if is_seen || info.state != CopyState::Complete {
        Ok(info.done)
    } else {
        Err(dagstore_transient::Error::Kept { name: info.name, reason: dagstore_transient::Reason::MayBeTheLast })
    };
    match removed {
        Ok(bytes) => {
            report.copies_removed += 1;
            report.copy_bytes += bytes;
        }
        Err(error) => {
            let key = core.catalogue.find(info.name.registration);
            report.kept.push(key.map_or_else(|| kept(&info.name, &error), |key| kept(&key, &error)));
        }
    }
}
