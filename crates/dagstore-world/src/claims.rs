//! What the store has acknowledged.

use std::collections::BTreeMap;

use dagstore_engine::{Engine, ShardInfo};
use dagstore_transient::CopyState;
use dagstore_types::ShardState;

/// The shard that is on this machine, and that nothing is done to.
pub(crate) const HERE: &str = "a";
/// The shard that is far away, has a pinned copy, and that nothing is done to.
pub(crate) const FAR: &str = "b";
/// The shard that operations are done to.
pub(crate) const SUBJECT: &str = "x";

/// What must be so, whatever happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claims {
    pub(crate) shards: BTreeMap<&'static str, Claim>,
    /// Whether a record may be in quarantine.
    pub(crate) may_be_quarantined: bool,
}

/// What is known of a shard. Whatever isn't said may be either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    /// Whether it is registered.
    pub(crate) exists: Option<bool>,
    /// It is Available, with an index.
    pub(crate) is_available: bool,
    /// Whether its copy is pinned; one that is, is complete.
    pub(crate) is_pinned: Option<bool>,
    /// Its copy is a user's own file.
    pub(crate) is_adopted: bool,
}

impl Claims {
    pub(crate) fn of(&mut self, key: &'static str) -> &mut Claim {
        self.shards.entry(key).or_insert(Claim { exists: Some(false), ..Claim::default() })
    }

    pub(crate) fn subject(&mut self) -> &mut Claim {
        self.of(SUBJECT)
    }

    /// What of it isn't so, right after opening.
    pub(crate) fn hold(&self, engine: &Engine) -> Result<(), String> {
        if let Some(entry) = engine.quarantined().first().filter(|_| !self.may_be_quarantined) {
            return Err(format!("a record is in quarantine: {entry:?}"));
        }
        if let Some(info) = engine.shards().iter().find(|info| !self.shards.contains_key(info.key.as_str())) {
            return Err(format!("nobody has registered {info:?}"));
        }
        for (key, claim) in &self.shards {
            let info = engine.info(key).ok();
            claim
                .holds(info.as_ref())
                .map_err(|what| format!("{key} {what}: {info:?}, of which was told {claim:?}"))?;
            claim.holds_of_copy(key, engine)?;
        }
        Ok(())
    }
}

impl Claim {
    fn holds(self, info: Option<&ShardInfo>) -> Result<(), &'static str> {
        if self.exists == Some(true) && info.is_none_or(|info| info.state == ShardState::Destroying) {
            return Err("is gone");
        }
        if self.exists == Some(false) && info.is_some() {
            return Err("is back");
        }
        let is_available = |info: &ShardInfo| matches!(info.state, ShardState::Available | ShardState::Serving);
        if self.is_available && !info.is_some_and(is_available) {
            return Err("isn't available any more");
        }
        Ok(())
    }

    fn holds_of_copy(self, key: &str, engine: &Engine) -> Result<(), String> {
        let copies = engine.copies();
        let copy = copies.iter().find(|copy| copy.key.as_ref().is_some_and(|of| of.as_str() == key));
        let is_pinned = copy.is_some_and(|copy| copy.info.is_pinned);
        if self.is_pinned.is_some_and(|claimed| claimed != is_pinned) {
            return Err(format!("{key} was pinned: {:?}, and its copy is {copy:?}", self.is_pinned));
        }
        if self.is_pinned == Some(true) && !copy.is_some_and(|copy| copy.info.state == CopyState::Complete) {
            return Err(format!("{key} was pinned, and its copy is {copy:?}"));
        }
        if self.is_adopted && !copy.is_some_and(|copy| copy.info.state == CopyState::Foreign) {
            return Err(format!("{key} has an adopted file, and its copy is {copy:?}"));
        }
        Ok(())
    }
}
