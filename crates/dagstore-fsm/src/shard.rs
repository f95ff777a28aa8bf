//! A shard as the machine sees it.

use alloc::collections::BTreeSet;

use dagstore_types::{Attempt, Registration, ShardRecord, ShardState, UnixMillis};

use crate::Restart;

/// Somebody who waits for an answer; a number that the caller gives out, unique within the shard. Who has the smaller one
/// is answered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WaiterId(pub u64);

/// One shard: its durable record, the step under way, and what lives in memory only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shard {
    /// Persisted: the durable record, `None` before it is registered and after it is destroyed. Between Available and
    /// Serving it runs ahead of the disk (see [`Effect::WriteBehind`](crate::Effect::WriteBehind)).
    pub(crate) record: Option<ShardRecord>,
    /// Memory: the change that is being made durable.
    pub(crate) step: Option<Step>,
    /// Memory: open accessors, and those being opened.
    pub(crate) references: u32,
    /// Memory: waiters for an accessor, until the work has ended.
    pub(crate) parked: BTreeSet<WaiterId>,
    /// Memory: waiters for the end of the work or of the destruction.
    pub(crate) joined: BTreeSet<WaiterId>,
    /// Memory: recover at the next acquire (restart policy).
    pub(crate) recover_on_acquire: bool,
    /// Memory: a clean-up is under way.
    pub(crate) cleaning: bool,
}

/// A change that is being made durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What to write.
    pub write: Write,
    /// What it is for.
    pub cause: Cause,
}

/// What a step writes: the whole row, so writing it twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The record.
    Put(ShardRecord),
    /// No record.
    Delete(Registration),
}

/// What a step is for, and who is told when it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A registration.
    Register {
        /// Who registers.
        waiter: WaiterId,
        /// Whether it waits for the end of the work.
        wait: bool,
    },
    /// The first acquire of a lazy shard. The acquirer is parked.
    Queue,
    /// A failed shard, or one whose index was lost, begins again. Whoever waits is parked or joined.
    Recover {
        /// The attempt whose files are given up with it.
        given_up: Attempt,
    },
    /// Work begins.
    Initialize {
        /// The task that waits to begin.
        waiter: WaiterId,
    },
    /// Work was ended before it was done, and its start is no longer counted. Nothing is lost where this can't be written:
    /// the start stays counted, as if the process had died.
    Interrupt,
    /// Work is done.
    MakeAvailable,
    /// Work failed, or an accessor found the source unusable.
    Fail,
    /// A destruction begins.
    Destroy {
        /// Who wants it.
        waiter: WaiterId,
    },
    /// A destruction has ended.
    Forget,
}

/// A reference that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The registration to open.
    pub registration: Registration,
    /// The attempt whose files are current.
    pub attempt: Attempt,
    /// The record changed from Available to Serving: write it with the next batch, nobody waits for it.
    pub flipped: bool,
}

impl Cause {
    /// Whether the step tells of something that has happened and can't be taken back. Such a step is written until it
    /// succeeds; one that somebody merely asked for is given up after a while.
    pub fn is_fact(self) -> bool {
        match self {
            Self::MakeAvailable | Self::Fail | Self::Forget => true,
            Self::Register { .. }
            | Self::Queue
            | Self::Recover { .. }
            | Self::Initialize { .. }
            | Self::Interrupt
            | Self::Destroy { .. } => false,
        }
    }
}

impl Shard {
    /// A shard that isn't registered.
    pub fn absent() -> Self {
        Self::default()
    }

    /// A shard of which nothing but its record is known.
    pub fn resting(record: ShardRecord, recovers_on_acquire: bool) -> Self {
        Self { record: Some(record), recover_on_acquire: recovers_on_acquire, ..Self::default() }
    }

    /// A shard as its record and the restart table's outcome leave it. What the outcome wants done is yet to be begun: a
    /// destruction by another [`Event::Destroy`](crate::Event::Destroy).
    pub fn restored(mut record: ShardRecord, outcome: &Restart) -> Self {
        if record.state == ShardState::Serving {
            record.state = ShardState::Available;
        }
        Self::resting(record, matches!(outcome, Restart::RecoverOnAcquire))
    }

    /// The durable record.
    pub fn record(&self) -> Option<&ShardRecord> {
        self.record.as_ref()
    }

    /// The change that is being made durable.
    pub fn step(&self) -> Option<&Step> {
        self.step.as_ref()
    }

    /// The number of open accessors, and of those being opened.
    pub fn references(&self) -> u32 {
        self.references
    }

    /// Whether a clean-up is under way.
    pub fn is_cleaning(&self) -> bool {
        self.cleaning
    }

    /// The number of waiters for an accessor.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    /// [`Event::Acquire`](crate::Event::Acquire) in its usual case, without a waiter and without effects to carry out: in a shard
    /// that is Available or Serving and has no step, counts a reference. `None` in any other case; nothing has changed then.
    pub fn acquire_at_once(&mut self, now: impl FnOnce() -> UnixMillis) -> Option<Counted> {
        if self.step.is_some() {
            return None;
        }
        self.count_reference(now)
    }

    /// [`Event::Release`](crate::Event::Release) without effects to carry out. Says whether the record changed between Available and
    /// Serving; `None` where no reference was counted, which can't happen: accessors are counted when they are asked for.
    pub fn release_at_once(&mut self) -> Option<bool> {
        debug_assert!(self.references > 0, "a reference was released twice");
        self.references = self.references.checked_sub(1)?;
        let record = self.record.as_mut().filter(|record| record.state == ShardState::Serving);
        let flipped = record.filter(|_| self.references == 0).map(|record| record.state = ShardState::Available);
        Some(flipped.is_some())
    }

    /// Counts a reference where the shard is Available or Serving.
    pub(crate) fn count_reference(&mut self, now: impl FnOnce() -> UnixMillis) -> Option<Counted> {
        let record = self.record.as_mut()?;
        let flipped = match record.state {
            ShardState::Serving => false,
            ShardState::Available => {
                record.state = ShardState::Serving;
                record.changed = now();
                true
            }
            ShardState::New
            | ShardState::Initializing
            | ShardState::Recovering
            | ShardState::Errored
            | ShardState::Destroying => return None,
        };
        self.references += 1;
        Some(Counted { registration: record.registration, attempt: record.attempt, flipped })
    }

    /// Whether the shard is nothing but its record: no step, no reference, nobody who waits, nothing being cleaned up. What
    /// [`recovers_on_acquire`](Self::recovers_on_acquire) says is apart from that.
    pub fn is_at_rest(&self) -> bool {
        self.step.is_none()
            && self.references == 0
            && self.parked.is_empty()
            && self.joined.is_empty()
            && !self.cleaning
    }

    /// Whether the next acquire recovers the shard.
    pub fn recovers_on_acquire(&self) -> bool {
        self.recover_on_acquire
    }

    /// Begins a step that leaves `change`'s doing as the record.
    pub(crate) fn put(&mut self, cause: Cause, now: UnixMillis, change: impl FnOnce(&mut ShardRecord)) {
        if let Some(record) = &self.record {
            let mut next = record.clone();
            change(&mut next);
            next.changed = now;
            self.step = Some(Step { write: Write::Put(next), cause });
        }
    }
}
