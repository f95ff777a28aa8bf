//! Whether something stays flat.
//!
//! The first third of a series is for warming up. Of the other two the medians are compared: the last one may be above the
//! second by a margin and no more. What grows slowly enough to stay within the margin is found by a longer run.

use std::fmt;

use crate::sample::Sample;

/// How many samples a third must have at least for its median to say something.
const FEWEST: usize = 3;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Open file descriptors.
    Descriptors,
    /// Threads.
    Threads,
    /// Resident memory.
    Resident,
}

/// What is said of one measure of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Which measure.
    pub measure: Measure,
    /// Whether the samples were taken at rest, with the store closed.
    pub at_rest: bool,
    /// The median of the second third.
    pub before: u64,
    /// The median of the last third.
    pub after: u64,
    /// How much more the last one may be.
    pub margin: u64,
    /// Whether there were samples enough to say anything.
    pub is_founded: bool,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Descriptors, Self::Threads, Self::Resident];

    fn of(self, sample: &Sample) -> u64 {
        match self {
            Self::Descriptors => sample.descriptors,
            Self::Threads => sample.threads,
            Self::Resident => sample.resident_kib,
        }
    }

    /// Under load what is in use goes up and down. At rest nothing is, but the allocator keeps what it likes.
    fn margin(self, before: u64, at_rest: bool) -> u64 {
        match (self, at_rest) {
            (Self::Descriptors | Self::Threads, true) => 2,
            (Self::Descriptors, false) => (before / 4).max(16),
            (Self::Threads, false) => (before / 10).max(4),
            (Self::Resident, _) => (before / 8).max(16 << 10),
        }
    }
}

impl Verdict {
    /// Judges a series.
    pub fn of(measure: Measure, at_rest: bool, series: &[Sample]) -> Self {
        let third = series.len() / 3;
        let (rest, last) = series.split_at(series.len() - third);
        let second = &rest[rest.len() - third..];
        let (before, after) = (median(measure, second), median(measure, last));
        let is_founded = third >= FEWEST;
        Self { measure, at_rest, before, after, margin: measure.margin(before, at_rest), is_founded }
    }

    /// Whether it stays flat.
    pub fn is_flat(&self) -> bool {
        self.is_founded && self.after <= self.before.saturating_add(self.margin)
    }
}

fn median(measure: Measure, samples: &[Sample]) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(|sample| measure.of(sample)).collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, after, margin, .. } = self;
        let name = match self.measure {
            Measure::Descriptors => "descriptors",
            Measure::Threads => "threads",
            Measure::Resident => "resident KiB",
        };
        let when = if self.at_rest { "at rest" } else { "under load" };
        let is = match (self.is_founded, self.is_flat()) {
            (false, _) => "too few samples",
            (true, true) => "flat",
            (true, false) => "GROWS",
        };
        write!(f, "{name} {when}: {before}, then {after} (may be {margin} more): {is}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(count: u64, value: impl Fn(u64) -> u64) -> Vec<Sample> {
        (0..count).map(|at| Sample { descriptors: value(at), ..Sample::default() }).collect()
    }

    fn is_flat(series: &[Sample]) -> bool {
        Verdict::of(Measure::Descriptors, true, series).is_flat()
    }

    #[test]
    fn what_warms_up_or_has_a_peak_is_flat_and_what_grows_is_not() {
        assert!(is_flat(&series(30, |_| 20)));
        assert!(is_flat(&series(30, |at| (5 + at).min(15))));
        assert!(is_flat(&series(30, |at| if at == 25 { 500 } else { 20 })));
        assert!(!is_flat(&series(30, |at| 20 + at)));
        assert!(!is_flat(&series(30, |at| 20 + at / 3)));
    }

    #[test]
    fn too_few_samples_are_no_proof() {
        assert!(!is_flat(&series(8, |_| 20)) && is_flat(&series(9, |_| 20)) && !is_flat(&[]));
    }
}
