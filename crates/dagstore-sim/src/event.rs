//! What a sequence is made of.

use std::time::Duration;

use crate::rng::Rng;

/// How many keys a sequence plays with: few, so that they meet.
pub(crate) const KEYS: usize = 4;

/// The most events that a sequence may be asked to have on the average.
pub const MOST_EVENTS: u64 = 1_000_000;

/// One event, and how long the store is left alone after it.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) what: What,
    pub(crate) then: Then,
    /// Seeds what is drawn while the event lasts, so that dropping another event doesn't change this one.
    pub(crate) salt: u64,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Register {
        key: usize,
        how: How,
    },
    Acquire {
        key: usize,
    },
    /// Has the index built anew.
    Rebuild {
        key: usize,
    },
    /// Drops an accessor; the number is taken modulo how many there are, here and below.
    Release {
        nth: usize,
    },
    /// Reads every block through an accessor.
    Read {
        nth: usize,
    },
    Recover {
        key: usize,
    },
    Destroy {
        key: usize,
    },
    Collect,
    /// Waits for what an earlier process left.
    Resumed,
    /// Drops a future that isn't ready yet.
    Cancel {
        nth: usize,
    },
    Source {
        key: usize,
        fault: SourceFault,
    },
    Datastore {
        fault: DatastoreFault,
    },
    Repo {
        fault: RepoFault,
    },
    /// An index vanishes from the disk, or is damaged.
    LoseIndex {
        nth: usize,
        damaged: bool,
    },
    /// Every fault ends.
    Heal,
    /// The process ends without warning, and another one begins.
    Crash {
        heals: bool,
        looks: bool,
    },
    /// The store is closed and opened again.
    Close {
        keeps_accessors: bool,
    },
    /// Every fault ends, everything is waited for, and then all must be as it should.
    Rest,
}

impl What {
    /// What kind of event it is, for those who count.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Register { .. } => "register",
            Self::Acquire { .. } => "acquire",
            Self::Rebuild { .. } => "rebuild",
            Self::Release { .. } => "release",
            Self::Read { .. } => "read",
            Self::Recover { .. } => "recover",
            Self::Destroy { .. } => "destroy",
            Self::Collect => "collect",
            Self::Resumed => "resumed",
            Self::Cancel { .. } => "cancel",
            Self::Source { .. } => "fault of a source",
            Self::Datastore { .. } => "fault of the datastore",
            Self::Repo { .. } => "fault of the index files",
            Self::LoseIndex { damaged: false, .. } => "index lost",
            Self::LoseIndex { damaged: true, .. } => "index damaged",
            Self::Heal => "heal",
            Self::Crash { .. } => "crash",
            Self::Close { .. } => "close",
            Self::Rest => "rest",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Eager,
    Lazy,
    Detached,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFault {
    Missing,
    Unavailable,
    Junk,
    Truncated,
    /// A block doesn't hash to its CID.
    Corrupt,
    /// Another good content.
    Changed,
    /// Every look and every opening takes so many milliseconds.
    Slow(u64),
    /// Nothing is opened until the gate is.
    Shut,
    /// So many reads fail.
    BadReads(u64),
    Mended,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatastoreFault {
    /// So many writes fail and aren't applied.
    Transient(u64),
    /// So many writes fail and aren't applied, and trying again is said not to help.
    Permanent(u64),
    /// So many writes fail, applied or not, and the handle with them.
    NeedsReopen(u64),
    /// So many writes are applied and reported as failed.
    WrittenButFailed(u64),
    /// As [`NeedsReopen`](Self::NeedsReopen), and so many reopenings fail as well.
    NoReopen(u64),
    /// So many writes fail, applied or not, and trying again is said not to help.
    Corrupt(u64),
    /// Every write takes so many milliseconds.
    Slow(u64),
    /// So many reads fail.
    Reads(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RepoFault {
    Opens(u64),
    Builds(u64),
    Publishes(u64),
    Removes(u64),
    Lists(u64),
}

/// How long the store is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing runs: the next event comes at the same moment.
    Nothing,
    /// Tasks run for so many turns, and no time passes.
    Turns(u64),
    /// So much time passes.
    Time(Duration),
}

/// What a store is opened with in this sequence, and how its surroundings behave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) max_initialising: usize,
    pub(crate) max_starts: u32,
    pub(crate) persist_deadline: Duration,
    /// After how many polls of tasks the sequence itself gets a turn.
    pub(crate) turn: u32,
    /// In a hundred: how many operations take time at all.
    pub(crate) delays: u64,
    /// 0, 1 or 2: as in `RecoveryPolicy`.
    pub(crate) policy: u64,
    /// How often the store tries again by itself; 0 where it doesn't.
    pub(crate) retries: u32,
}

/// A whole sequence.
#[derive(Debug, Clone)]
pub(crate) struct Sequence {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) events: Vec<Event>,
}

impl Sequence {
    /// The sequence of a seed: `events` events on the average, at least half as many.
    pub(crate) fn of(seed: u64, events: u64) -> Self {
        let mut rng = Rng::new(seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1));
        let mut setup = Setup {
            max_initialising: rng.pick(&[1, 2, 4]),
            max_starts: rng.pick(&[1, 2, 3, 3]),
            persist_deadline: Duration::from_millis(rng.pick(&[100, 2000, 10_000])),
            turn: rng.pick(&[1, 2, 61]),
            delays: rng.pick(&[0, 30, 60, 90]),
            policy: rng.below(3),
            retries: 0,
        };
        let count = events / 2 + 1 + rng.below(events.max(1));
        let busy_keys = 1 + rng.index(KEYS);
        let faults = rng.pick(&[0, 6, 12, 24]);
        let mut events: Vec<_> = (0..count).map(|_| event(&mut rng, busy_keys, faults)).collect();
        // Drawn behind all else, so that most sequences stay what they were before there was a rebuild, and retries.
        if rng.percent(25) {
            events.iter_mut().filter(|event| event.salt % 5 == 0).for_each(rebuild_instead);
        }
        setup.retries = rng.pick(&[0, 0, 1, 3]);
        Self { seed, setup, events }
    }

    /// The events of these numbers alone, in their order.
    pub(crate) fn only(&self, kept: &[usize]) -> Self {
        let events = kept.iter().filter_map(|number| self.events.get(*number).cloned()).collect();
        Self { seed: self.seed, setup: self.setup, events }
    }
}

fn event(rng: &mut Rng, keys: usize, faults: u64) -> Event {
    let what = if rng.percent(faults) { fault(rng, keys) } else { usual(rng, keys) };
    let then = match rng.below(100) {
        0..30 => Then::Nothing,
        30..45 => Then::Turns(1 + rng.below(6)),
        45..90 => Then::Time(Duration::from_millis(1 + rng.below(8))),
        90..96 => Then::Time(Duration::from_millis(rng.pick(&[20, 150, 1100]))),
        _ => Then::Time(Duration::from_secs(rng.pick(&[3, 12, 40]))),
    };
    Event { what, then, salt: rng.next() }
}

/// Turns an acquire into a rebuild.
fn rebuild_instead(event: &mut Event) {
    if let What::Acquire { key } = event.what {
        event.what = What::Rebuild { key };
    }
}

fn usual(rng: &mut Rng, keys: usize) -> What {
    let key = rng.index(keys);
    let nth = rng.index(8);
    match rng.below(100) {
        0..24 => What::Register { key, how: rng.pick(&[How::Eager, How::Lazy, How::Detached]) },
        24..46 => What::Acquire { key },
        46..58 => What::Release { nth },
        58..61 => What::Read { nth },
        61..68 => What::Recover { key },
        68..81 => What::Destroy { key },
        81..85 => What::Collect,
        85..86 => What::Resumed,
        86..91 => What::Cancel { nth },
        91..93 => What::LoseIndex { nth, damaged: rng.percent(50) },
        93..94 => What::Heal,
        94..98 => What::Crash { heals: rng.percent(50), looks: rng.percent(20) },
        98..99 => What::Close { keeps_accessors: rng.percent(50) },
        _ => What::Rest,
    }
}

fn fault(rng: &mut Rng, keys: usize) -> What {
    let few = 1 + rng.below(3);
    match rng.below(10) {
        0..5 => {
            let fault = match rng.below(12) {
                0 => SourceFault::Missing,
                1 => SourceFault::Unavailable,
                2 => SourceFault::Junk,
                3 => SourceFault::Truncated,
                4 => SourceFault::Corrupt,
                5 | 6 => SourceFault::Changed,
                7 => SourceFault::Slow(rng.pick(&[5, 50, 2000])),
                8 => SourceFault::Shut,
                9 => SourceFault::BadReads(few),
                _ => SourceFault::Mended,
            };
            What::Source { key: rng.index(keys), fault }
        }
        5..8 => {
            let times = rng.pick(&[1, 1, 2, 5, u64::MAX]);
            let fault = match rng.below(9) {
                0 => DatastoreFault::Transient(times),
                1 => DatastoreFault::Permanent(times),
                2 | 3 => DatastoreFault::NeedsReopen(times),
                4 => DatastoreFault::WrittenButFailed(times),
                5 => DatastoreFault::NoReopen(few),
                6 => DatastoreFault::Corrupt(times),
                7 => DatastoreFault::Slow(rng.pick(&[20, 500, 15_000])),
                _ => DatastoreFault::Reads(few),
            };
            What::Datastore { fault }
        }
        8 => {
            let fault = match rng.below(6) {
                0 => RepoFault::Opens(few),
                1 => RepoFault::Builds(few),
                2 => RepoFault::Publishes(few),
                3 | 4 => RepoFault::Removes(few),
                _ => RepoFault::Lists(few),
            };
            What::Repo { fault }
        }
        _ => What::Heal,
    }
}
