//! The model: what the store has said of each key, and what must follow from it.

use dagstore_engine::ShardInfo;
use dagstore_types::ShardState;

use crate::event::KEYS;

/// What is known of every key.
#[derive(Debug, Default)]
pub(crate) struct Ledger([Fact; KEYS]);

/// What is known of one key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fact {
    /// The registration that the store has said to be durable.
    pub(crate) alive: Option<u64>,
    /// Destructions that are under way, or of which nobody knows whether they happened.
    pub(crate) threats: u32,
    /// Registrations that are under way, or of which nobody knows whether they happened.
    pub(crate) chances: u32,
    /// Registrations up to this number are destroyed for good.
    pub(crate) gone: u64,
    /// What was seen last.
    pub(crate) last: Option<ShardInfo>,
    /// Counts whatever makes `alive`, `threats` or `chances` another.
    pub(crate) changes: u64,
    /// Counts destructions that were asked for.
    pub(crate) destroys: u64,
    /// Errors that the disk had told when the first of those began that are under way: who joins it is told what it met.
    pub(crate) destroying_since: u64,
    /// Counts acquires that were asked for.
    pub(crate) acquires: u64,
}

/// How things were when a call was made.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// The key's count of changes.
    pub(crate) changes: u64,
    /// The key's count of acquires, without those that hold or may hold a reference.
    pub(crate) acquires: u64,
    /// Errors that the disk had told.
    pub(crate) failures: u64,
}

impl Ledger {
    pub(crate) fn of(&mut self, key: usize) -> &mut Fact {
        &mut self.0[key]
    }
}

impl Fact {
    /// A registration begins.
    pub(crate) fn registering(&mut self) {
        self.chances += 1;
        self.changes += 1;
    }

    /// A registration ended without one.
    pub(crate) fn not_registered(&mut self) {
        self.chances = self.chances.saturating_sub(1);
        self.changes += 1;
    }

    /// The store has said that it is registered.
    pub(crate) fn registered(&mut self, info: Option<&ShardInfo>) {
        self.not_registered();
        self.alive = info.filter(|_| self.threats == 0).map(|info| info.registration.0);
    }

    /// A destruction begins, when the disk has told so many errors.
    pub(crate) fn destroying(&mut self, failures: u64) {
        if self.threats == 0 {
            self.destroying_since = failures;
        }
        self.threats += 1;
        self.destroys += 1;
        self.changes += 1;
    }

    /// A destruction was refused, which changes nothing.
    pub(crate) fn not_destroyed(&mut self) {
        self.threats = self.threats.saturating_sub(1);
        self.changes += 1;
    }

    /// The store has said that it is destroyed. `info` is what is there now.
    pub(crate) fn destroyed(&mut self, info: Option<&ShardInfo>) {
        self.not_destroyed();
        self.alive = None;
        let last = self.last.as_ref().map_or(0, |last| last.registration.0);
        let gone = info.map_or(last, |info| info.registration.0 - 1);
        self.gone = self.gone.max(gone);
    }

    /// Everything is known again, and is as it is seen.
    pub(crate) fn is_seen(&mut self, info: Option<&ShardInfo>) {
        self.alive = info.filter(|info| info.state != ShardState::Destroying).map(|info| info.registration.0);
        self.threats = 0;
        self.chances = 0;
        self.changes += 1;
    }

    /// What is wrong with what is seen of the key, if anything.
    pub(crate) fn contradicts(&self, info: Option<&ShardInfo>) -> Option<(&'static str, String)> {
        if let Some(alive) = self.alive.filter(|_| self.threats == 0) {
            let kept = info.filter(|info| info.registration.0 == alive && info.state != ShardState::Destroying);
            if kept.is_none() {
                return Some(("I1", format!("registration {alive} was durable, and now there is {info:?}")));
            }
        }
        let info = info?;
        if info.registration.0 <= self.gone {
            return Some(("I8", format!("registration {} was destroyed and is back", info.registration)));
        }
        let last = self.last.as_ref()?;
        follows(last, info).map(|what| ("I4", what))
    }
}

/// What is wrong with seeing `now` after `last`, if anything.
fn follows(last: &ShardInfo, now: &ShardInfo) -> Option<String> {
    use ShardState::{Available, Destroying, Errored, Initializing, New, Recovering, Serving};
    if now.registration != last.registration {
        let is_newer = now.registration > last.registration;
        return (!is_newer).then(|| format!("registration {} after {}", now.registration, last.registration));
    }
    let same_attempt = now.attempt == last.attempt;
    let allowed = match last.state {
        New => true,
        Initializing => now.state != New,
        Recovering => !matches!(now.state, New | Initializing),
        Available | Serving => match now.state {
            New | Initializing => false,
            Recovering => !same_attempt,
            Available | Serving | Errored | Destroying => true,
        },
        Errored if same_attempt => matches!(now.state, Errored | Destroying),
        Errored => !matches!(now.state, New | Initializing),
        Destroying => now.state == Destroying,
    };
    if now.attempt < last.attempt || !allowed {
        let seen = |info: &ShardInfo| format!("{} (attempt {})", info.state, info.attempt);
        return Some(format!("{} was {} and is {}", now.key, seen(last), seen(now)));
    }
    None
}
