//! What was done in sequences.

use std::collections::BTreeMap;
use std::fmt;

/// What was done in sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sequences.
    pub sequences: u64,
    /// Events in them.
    pub events: u64,
    /// Events by their kind.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Sequences with a crash.
    pub crashed: u64,
    /// Crashes.
    pub crashes: u64,
    /// Crashes by what they have cut off.
    pub cuts: BTreeMap<Cut, u64>,
    /// Faults that were ordered.
    pub faults: u64,
    /// Answers to calls.
    pub answers: u64,
}

/// What a crash cuts off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// Calls wait for their answers.
    pub has_waiting: bool,
    /// The disk has writes that nobody has synced: each prefix of them may be what is left.
    pub has_unsynced: bool,
}

impl Counts {
    /// Adds those of other sequences.
    pub fn add(&mut self, other: Self) {
        let Self { sequences, events, kinds, crashed, crashes, cuts, faults, answers } = other;
        self.sequences += sequences;
        self.events += events;
        self.crashed += crashed;
        self.crashes += crashes;
        self.faults += faults;
        self.answers += answers;
        for (kind, count) in kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (cut, count) in cuts {
            *self.cuts.entry(cut).or_default() += count;
        }
    }

    /// Counts a crash of this sequence.
    pub(crate) fn crash(&mut self, cut: Cut) {
        self.crashed = 1;
        self.crashes += 1;
        *self.cuts.entry(cut).or_default() += 1;
    }

    /// Every figure with its name, for whoever adds up those of several runs.
    pub fn figures(&self) -> Vec<(String, u64)> {
        let Self { sequences, events, kinds, crashes, cuts, faults, answers, .. } = self;
        let plain = [("sequences", sequences), ("steps", events), ("crashes", crashes)];
        let more = [("faults", faults), ("answers", answers)];
        let plain = plain.into_iter().chain(more).map(|(name, count)| (name.to_owned(), *count));
        let cuts = cuts.iter().map(|(cut, count)| (format!("crash: {cut}"), *count));
        let kinds = kinds.iter().map(|(kind, count)| (format!("step: {kind}"), *count));
        plain.chain(cuts).chain(kinds).collect()
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.has_waiting, self.has_unsynced) {
            (false, false) => "at rest",
            (true, false) => "calls waiting",
            (false, true) => "writes unsynced",
            (true, true) => "calls waiting, writes unsynced",
        })
    }
}
