//! What must hold after every event, and what must hold when all is at rest.

use std::collections::{BTreeMap, BTreeSet};

use dagstore_engine::{ShardAccessor, ShardInfo};
use dagstore_index::{Fingerprint, InvertedIndex};
use dagstore_types::{Registration, ShardRecord, ShardState};
use futures_util::{FutureExt, StreamExt, TryStreamExt};

use crate::disk::{Disk, Image, shard_place, shard_rows};
use crate::event::KEYS;
use crate::process::{KEY, name};
use crate::rows::may_follow;
use crate::run::Run;
use crate::source;

impl Run {
    /// What the store says of a key.
    pub(crate) fn info(&self, key: usize) -> Option<ShardInfo> {
        match self.process.as_ref()?.engine.info(&name(key)) {
            Ok(info) => Some(info),
            Err(dagstore_engine::Error::NotFound(_)) => None,
            Err(error) => {
                self.world.breaks("I2", || format!("nothing can be known of {}: {error}", name(key)));
                None
            }
        }
    }

    /// Looks at every key.
    pub(crate) fn check_all(&mut self) {
        for key in 0..KEYS {
            self.check(key);
        }
    }

    /// Looks at one key: I1, I3, I4, I8, I11, I12.
    pub(crate) fn check(&mut self, key: usize) {
        let info = self.info(key);
        self.check_references(key, info.as_ref());
        self.check_durable(key, info.as_ref());
        if let Some(info) = info.as_ref().filter(|info| info.retries > self.setup.retries) {
            self.world.breaks("retries", || format!("tried again more than {} times: {info:?}", self.setup.retries));
        }
        let fact = self.ledger.of(key);
        if let Some((rule, what)) = fact.contradicts(info.as_ref()) {
            self.world.breaks(rule, || what);
        }
        fact.last = info;
    }

    fn check_references(&self, key: usize, info: Option<&ShardInfo>) {
        let Some(process) = &self.process else { return };
        let live = self.accessors.iter().filter(|held| held.process == process.number && held.key == key).count();
        let pending = process.pending_acquires(key);
        let references = info.map_or(0, |info| info.references as usize);
        // A reference that comes back while a step is under way is counted until that has ended.
        let comes_back = info.is_some_and(|info| info.writing);
        if references < live || references > live + pending && !comes_back {
            let name = name(key);
            self.world.breaks("I3", || {
                format!("{name} counts {references} references, and has {live} accessors and {pending} acquires")
            });
        }
        let opening = self.world.sources.lock().of(key).opening;
        if opening > 1 + references {
            self.world.breaks("I11", || format!("{} is being opened {opening} times at once", name(key)));
        }
    }

    /// I12: what the store says of a key is what a crash would leave.
    fn check_durable(&self, key: usize, info: Option<&ShardInfo>) {
        let disk = self.world.disk.lock();
        let differs = info.and_then(|info| {
            let place = shard_place(info.registration.0);
            let record = disk.durable().get(&place).and_then(|value| value.record.as_deref());
            let is_same = record.is_some_and(|record| same(info, record));
            // The answers to a batch are given one after the other, behind its write.
            let is_ahead = info.writing && disk.is_just_told(&place) && is_next(info, record);
            (!is_same && !is_ahead && !disk.is_unsure(&place))
                .then(|| format!("{info:?}\n    is on the disk: {record:?}"))
        });
        let extra = extra_row(&disk, disk.durable(), &name(key), info, false);
        drop(disk);
        if let Some(what) = differs {
            self.world.breaks("I12", || what);
        }
        if let Some(what) = extra {
            self.world.breaks("I12", || what);
        }
    }

    /// What must hold when nothing is under way and nothing fails: the catalogue is what is on the disk, nothing is stuck,
    /// references are accessors, files are those that records name.
    pub(crate) fn check_rest(&mut self) {
        for key in 0..KEYS {
            let info = self.info(key);
            self.check_row_at_rest(key, info.as_ref());
            if let Some(info) = &info {
                let is_stuck =
                    matches!(info.state, ShardState::Initializing | ShardState::Recovering | ShardState::Destroying);
                if is_stuck || info.writing || info.next_try.is_some() {
                    self.world.breaks("stuck", || format!("{info:?}"));
                }
            }
            self.ledger.of(key).is_seen(info.as_ref());
        }
        self.check_files();
        self.check_all();
    }

    fn check_row_at_rest(&self, key: usize, info: Option<&ShardInfo>) {
        let disk = self.world.disk.lock();
        for (image, which) in [(disk.current(), "read from"), (disk.durable(), "durable on")] {
            let differs = info.filter(|info| {
                let record = image.get(&shard_place(info.registration.0)).and_then(|value| value.record.as_deref());
                !record.is_some_and(|record| same(info, record))
            });
            let extra = extra_row(&disk, image, &name(key), info, true);
            if let Some(what) = differs.map(|info| format!("{info:?}")).or(extra) {
                self.world.breaks("I12", || format!("at rest, this isn't what is {which} the disk: {what}"));
            }
        }
    }

    /// I6, I9: after a collection the files are those that records name.
    fn check_files(&self) {
        let named: Vec<_> = (0..KEYS).filter_map(|key| self.info(key)).collect();
        let repo = self.world.repo.lock();
        let files = repo.names();
        let orphan = files.iter().find(|name| {
            !named.iter().any(|info| {
                // One of an earlier attempt names rows that go when the shard is Available again.
                let is_available = matches!(info.state, ShardState::Available | ShardState::Serving);
                let may_name = info.attempt == name.attempt || !is_available && name.attempt < info.attempt;
                info.registration == name.registration && may_name
            })
        });
        let missing = named
            .iter()
            .filter(|info| matches!(info.state, ShardState::Available | ShardState::Serving))
            .find(|info| {
                let is_named = |name: &&dagstore_fs::OwnName| {
                    (info.registration, info.attempt) == (name.registration, name.attempt)
                };
                !files.iter().any(|name| is_named(&name)) && !repo.disturbed.iter().any(|name| is_named(&name))
            });
        let (orphan, missing, temporaries) = (orphan.copied(), missing.cloned(), repo.temporaries);
        drop(repo);
        if let Some(orphan) = orphan {
            self.world.breaks("I9", || format!("the index {orphan} belongs to nobody and is kept"));
        }
        if let Some(missing) = missing {
            self.world.breaks("I6", || format!("an index is gone: {missing:?}"));
        }
        if temporaries > 0 {
            self.world.breaks("I9", || format!("{temporaries} temporary files are kept"));
        }
    }

    /// I7: after a collection the rows of the inverted index are those that the indices of the Available shards name, and
    /// what is told of a block is what they say. A shard that isn't Available may have rows that nobody sees.
    pub(crate) async fn check_rows(&self) {
        let Some(process) = &self.process else { return };
        let shards: Vec<_> = (0..KEYS).filter_map(|key| self.info(key)).collect();
        let is_available = |info: &&ShardInfo| matches!(info.state, ShardState::Available | ShardState::Serving);
        let mut wanted = BTreeMap::new();
        for info in shards.iter().filter(is_available) {
            let fingerprints = self.world.repo.lock().fingerprints(info.registration, info.attempt);
            wanted.insert(info.registration, fingerprints);
        }
        let rows = {
            let disk = self.world.disk.lock();
            [rows_of(disk.current()), rows_of(disk.durable())]
        };
        for rows in &rows {
            for (registration, wanted) in &wanted {
                // What a lost index named is not known any more.
                let Some(wanted) = wanted else { continue };
                if rows.get(registration).unwrap_or(&BTreeSet::new()) != wanted {
                    self.world.breaks("I7", || format!("the rows of registration {registration} aren't its index's"));
                }
            }
            if let Some(gone) = rows.keys().find(|row| !shards.iter().any(|info| info.registration == **row)) {
                self.world.breaks("I9", || format!("registration {gone} is gone and has rows"));
            }
        }
        for car in source::cars() {
            let Some(root) = car.roots.first() else { continue };
            let told: Result<BTreeSet<_>, _> =
                process.engine.locate(root).map(|key| key.map(|k| k.to_string())).try_collect().await;
            let fingerprint = KEY.fingerprint(root.multihash());
            let has = |info: &&ShardInfo| {
                wanted
                    .get(&info.registration)
                    .is_some_and(|wanted| wanted.as_ref().is_none_or(|w| w.contains(&fingerprint)))
            };
            let is_unsure = wanted.values().any(Option::is_none);
            let expected: BTreeSet<_> = shards.iter().filter(has).map(|info| info.key.to_string()).collect();
            if !told.as_ref().is_ok_and(|told| *told == expected || is_unsure && told.is_subset(&expected)) {
                self.world.breaks("I7", || format!("{root} is told to be in {told:?}, and is in {expected:?}"));
            }
        }
    }

    /// I2: what was just opened is what is on the disk.
    pub(crate) fn check_opened(&self) {
        let Some(process) = &self.process else { return };
        let shards = process.engine.shards();
        let disk = self.world.disk.lock();
        let rows: Vec<_> = shard_rows(disk.current()).map(|(_, record)| record.clone()).collect();
        drop(disk);
        let differs = rows.iter().find(|row| !shards.iter().any(|info| same(info, row)));
        if let Some(row) = differs {
            self.world.breaks("I2", || format!("this record was not opened as it is: {row:?}"));
        }
        let quarantined = process.engine.quarantined();
        if shards.len() != rows.len() || !quarantined.is_empty() {
            self.world.breaks("I2", || format!("{} records gave {shards:?} and {quarantined:?}", rows.len()));
        }
        if let Some(info) = shards.iter().find(|info| info.references > 0 || info.state == ShardState::Serving) {
            self.world.breaks("I3", || format!("nobody can hold a reference yet: {info:?}"));
        }
    }

    /// I7: an accessor gives the blocks of one content, all of them, and says so.
    pub(crate) fn check_content(&self, accessor: &ShardAccessor, may_fail: bool) {
        let blocks = accessor.blockstore();
        let Some(car) = blocks.roots().first().and_then(source::car_of_root) else {
            return self.world.breaks("I7", || format!("{} has unknown roots", accessor.key()));
        };
        if blocks.entries() != car.blocks.len() as u64 {
            self.world.breaks("I7", || format!("{} has {} entries", accessor.key(), blocks.entries()));
        }
        for (cid, data) in &car.blocks {
            let read = blocks.get(cid).now_or_never();
            let is_right = match &read {
                Some(Ok(bytes)) => bytes == data,
                Some(Err(_)) => may_fail,
                None => false,
            };
            if !is_right {
                self.world.breaks("I7", || format!("{} gives {read:?} for {cid}", accessor.key()));
            }
        }
    }
}

/// A row of the key that the catalogue doesn't know of; at rest there is no doubt about any.
fn extra_row(disk: &Disk, image: &Image, key: &str, info: Option<&ShardInfo>, is_rest: bool) -> Option<String> {
    let known = info.map(|info| info.registration);
    let mut rows = shard_rows(image);
    let extra = rows.find(|(place, record)| {
        let is_new = disk.is_just_told(place) && may_follow(None, Some(record.state));
        let is_in_doubt = !is_rest && (is_new || disk.is_unsure(place));
        record.key.as_str() == key && Some(record.registration) != known && !is_in_doubt
    });
    extra.map(|(_, record)| format!("a record that nobody knows of: {record:?}"))
}

/// The rows of the inverted index, by registration.
fn rows_of(image: &Image) -> BTreeMap<Registration, BTreeSet<Fingerprint>> {
    let mut rows: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (_, key) in image.keys().filter(|(namespace, _)| *namespace == InvertedIndex::ROWS) {
        let Some((fingerprint, number)) = key.split_first_chunk() else { continue };
        let number = number.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        rows.entry(Registration(number)).or_default().insert(Fingerprint(*fingerprint));
    }
    rows
}

/// Whether the record is what may come behind what is told.
fn is_next(info: &ShardInfo, record: Option<&ShardRecord>) -> bool {
    let is_the_shards = |record: &ShardRecord| {
        (&info.key, &info.url, info.lazy) == (&record.key, &record.url, record.lazy) && info.attempt <= record.attempt
    };
    may_follow(Some(info.state), record.map(|record| record.state)) && record.is_none_or(is_the_shards)
}

/// Whether the record is what is told, but for the difference between Available and Serving, where that may be late.
fn same(info: &ShardInfo, record: &ShardRecord) -> bool {
    let plain = |state: ShardState| if state == ShardState::Serving { ShardState::Available } else { state };
    plain(info.state) == plain(record.state)
        && (&info.key, &info.url, info.lazy, &info.error) == (&record.key, &record.url, record.lazy, &record.error)
        && (info.registration, info.attempt, info.starts) == (record.registration, record.attempt, record.starts)
        && (info.retries, info.next_try) == (record.retries, record.next_try)
}
