//! What is told of a shard, the same in every command.

use dagstore::{Dagstore, Quarantined, ShardError, ShardInfo, ShardState};
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
    /// For people.
    #[serde(skip)]
    next_try_ms: Option<u64>,
}

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
        let quarantined = store.quarantined().into_iter().map(|record| Self::of_quarantined(&record));
        store.shards().into_iter().map(Self::of_shard).chain(quarantined)
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
