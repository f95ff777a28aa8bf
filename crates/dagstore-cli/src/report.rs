//! What is told of a shard, the same in every command.

use std::collections::HashMap;

use dagstore::copies::CopyState;
use dagstore::{Dagstore, Quarantined, ShardCopy, ShardError, ShardInfo, ShardKey, ShardState};
use serde::Serialize;

use crate::text::{counted, from_now, now_ms, time};

/// The state that is told of a record that can't be read. The store knows no such state.
pub(crate) const QUARANTINED: &str = "Quarantined";

/// A shard, for programs. `docs/cli.md` explains the fields.
#[derive(Debug, Serialize)]
pub(crate) struct ShardReport {
    /// Only a quarantined record can lack it.
    pub(crate) key: Option<String>,
    pub(crate) state: &'static str,
    pub(crate) url: Option<String>,
    pub(crate) lazy: Option<bool>,
    pub(crate) error: Option<ErrorReport>,
    pub(crate) references: Option<u32>,
    pub(crate) registration: Option<u64>,
    pub(crate) attempt: Option<u32>,
    pub(crate) starts: Option<u32>,
    pub(crate) retries: Option<u32>,
    pub(crate) next_try: Option<String>,
    pub(crate) changed: Option<String>,
    /// None where there is no local copy.
    pub(crate) copy: Option<CopyReport>,
    /// For people.
    #[serde(skip)]
    next_try_ms: Option<u64>,
}

/// The local copy of a shard.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CopyReport {
    /// What there is of it.
    pub(crate) state: &'static str,
    /// How many bytes are there.
    pub(crate) bytes: u64,
    /// How many the source has, as far as that is known.
    pub(crate) size_bytes: Option<u64>,
    pub(crate) pinned: bool,
    pub(crate) in_use: bool,
    pub(crate) last_use: String,
}

/// The local copies of a store by their shards.
pub(crate) struct CopyReports(HashMap<ShardKey, CopyReport>);

/// Why a shard failed, or why its record can't be read.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorReport {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
}

impl ShardReport {
    pub(crate) fn of_shard(info: ShardInfo) -> Self {
        Self {
            key: Some(info.key.as_str().to_owned()),
            state: info.state.name(),
            url: Some(info.url),
            lazy: Some(info.lazy),
            error: info.error.as_ref().map(ErrorReport::of),
            references: Some(info.references),
            registration: Some(info.registration.0),
            attempt: Some(info.attempt.0),
            starts: Some(info.starts),
            retries: Some(info.retries),
            next_try: info.next_try.map(|at| time(at.0)),
            changed: Some(time(info.changed.0)),
            copy: None,
            next_try_ms: info.next_try.map(|at| at.0),
        }
    }

    pub(crate) fn of_quarantined(record: &Quarantined) -> Self {
        Self {
            key: record.key.as_ref().map(|key| key.as_str().to_owned()),
            state: QUARANTINED,
            url: None,
            lazy: None,
            error: Some(ErrorReport { kind: "quarantined", text: record.reason.clone() }),
            references: None,
            registration: record.registration.map(|number| number.0),
            attempt: None,
            starts: None,
            retries: None,
            next_try: None,
            changed: None,
            copy: None,
            next_try_ms: None,
        }
    }

    /// When the store tries again by itself, as people say it.
    pub(crate) fn next_try_from_now(&self) -> Option<String> {
        self.next_try_ms.map(|at| from_now(at, now_ms()))
    }

    /// What was tried so far, where anything went wrong on the way.
    pub(crate) fn tries(&self) -> Option<String> {
        let (attempt, starts, retries) = (self.attempt?, self.starts?, self.retries?);
        let starts = (starts > 0).then(|| format!(", {}", counted(starts, "start")));
        let retries = (retries > 0).then(|| format!(", {retries} {}", if retries == 1 { "retry" } else { "retries" }));
        if self.error.is_none() && starts.is_none() && retries.is_none() {
            return None;
        }
        Some(format!("attempt {attempt}{}{}", starts.unwrap_or_default(), retries.unwrap_or_default()))
    }

    /// Every shard of the store by key, then what is quarantined.
    pub(crate) fn all(store: &Dagstore) -> impl Iterator<Item = Self> {
        let copies = CopyReports::of(store);
        let quarantined = store.quarantined().into_iter().map(|record| Self::of_quarantined(&record));
        let shards = store.shards().into_iter().map(move |info| {
            let copy = copies.find(&info.key);
            Self { copy, ..Self::of_shard(info) }
        });
        shards.chain(quarantined)
    }

    /// The same with the shard's local copy.
    pub(crate) fn with_copy(self, copies: &CopyReports) -> Self {
        let key = self.key.as_deref().and_then(|key| ShardKey::new(key).ok());
        Self { copy: key.and_then(|key| copies.find(&key)), ..self }
    }
}

impl CopyReport {
    pub(crate) fn of(copy: &ShardCopy) -> Self {
        let info = &copy.info;
        Self {
            state: match info.state {
                CopyState::Complete => "complete",
                CopyState::Partial => "partial",
                CopyState::Fetching => "fetching",
                CopyState::Foreign => "adopted",
                CopyState::Chunks => "chunks",
                _ => "other",
            },
            bytes: info.done,
            size_bytes: info.size,
            pinned: info.is_pinned,
            in_use: info.is_in_use,
            last_use: time(info.last_use.0),
        }
    }

    /// In a few words.
    pub(crate) fn text(&self) -> String {
        let pinned = if self.pinned { ", pinned" } else { "" };
        match self.size_bytes.filter(|size| *size != self.bytes) {
            Some(size) => format!("{}, {} of {}{pinned}", self.state, self.bytes, counted(size, "byte")),
            None => format!("{}, {}{pinned}", self.state, counted(self.bytes, "byte")),
        }
    }
}

impl CopyReports {
    /// Of a registration of which there are both, the copy, which is listed before its chunks.
    pub(crate) fn of(store: &Dagstore) -> Self {
        let mut reports = HashMap::new();
        for copy in store.copies() {
            let report = CopyReport::of(&copy);
            if let Some(key) = copy.key {
                reports.entry(key).or_insert(report);
            }
        }
        Self(reports)
    }

    fn find(&self, key: &ShardKey) -> Option<CopyReport> {
        self.0.get(key).cloned()
    }
}

impl ErrorReport {
    fn of(error: &ShardError) -> Self {
        Self { kind: error.kind().name(), text: error.text().to_owned() }
    }
}

/// The states that can be asked for.
pub(crate) fn states() -> Vec<&'static str> {
    ShardState::ALL.into_iter().map(ShardState::name).chain([QUARANTINED]).collect()
}
