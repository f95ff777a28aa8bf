//! The record that is persisted for each shard.

use alloc::string::String;

use crate::{Attempt, Registration, ShardError, ShardKey, ShardState, UnixMillis};

/// All that is persisted of one shard.
///
/// A record says nothing about references, waiters or running work: those live in memory and end with the process.
/// Nor does it say whether the shard is indexed: the index repository is asked, so the two can't disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRecord {
    /// The shard's name. Never changes.
    pub key: ShardKey,
    /// The mount's URL, made once at registration. No later write asks the mount for it again.
    pub url: String,
    /// Where the shard is in its life.
    pub state: ShardState,
    /// Whether work waits for the first acquire.
    pub lazy: bool,
    /// Why the shard is Errored, or what was wrong before it began to recover.
    pub error: Option<ShardError>,
    /// The local copy of a remote source.
    pub copy: Option<CopyRecord>,
    /// Which registration this is. Never changes.
    pub registration: Registration,
    /// The last start of work, or a recovery whose work is yet to start; names the files that belong to it.
    pub attempt: Attempt,
    /// How often work was started since the shard was last Available, Errored by its work, or recovered by a person.
    /// Every start that ends in the death of the process stays counted.
    pub starts: u32,
    /// When the store will try again by itself.
    pub next_try: Option<UnixMillis>,
    /// How often the store has tried again by itself since the shard was last Available or recovered by a person.
    pub retries: u32,
    /// Whether the shard, which is Available, has no index of its own yet, and goes by the one inside its CAR, which is believed
    /// only where it proves right.
    pub provisional: bool,
    /// When the record last changed in anything else than this field; a release, which knows no time, leaves it.
    pub changed: UnixMillis,
}

impl ShardRecord {
    /// The record of a shard that was just registered and for which nothing was done yet.
    pub fn new(key: ShardKey, url: String, lazy: bool, registration: Registration, now: UnixMillis) -> Self {
        Self {
            key,
            url,
            state: ShardState::New,
            lazy,
            error: None,
            copy: None,
            registration,
            attempt: Attempt::default(),
            starts: 0,
            next_try: None,
            retries: 0,
            provisional: false,
            changed: now,
        }
    }

    /// Whether this record and `other` say the same, the time of change left out.
    pub fn same_but_for_time(&self, other: &Self) -> bool {
        let Self {
            key,
            url,
            state,
            lazy,
            error,
            copy,
            registration,
            attempt,
            starts,
            next_try,
            retries,
            provisional,
            changed: _,
        } = self;
        (key, url, state, lazy, error, copy)
            == (&other.key, &other.url, &other.state, &other.lazy, &other.error, &other.copy)
            && (registration, attempt, starts, next_try, retries)
                == (&other.registration, &other.attempt, &other.starts, &other.next_try, &other.retries)
            && *provisional == other.provisional
    }
}

/// A local copy of a shard's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRecord {
    /// Where it is. Never empty: no codec reads a copy without a path.
    pub path: String,
    /// Its size in bytes, if known.
    pub size: Option<u64>,
    /// What the source answered as its validator when the copy was made.
    pub validator: Option<String>,
}
