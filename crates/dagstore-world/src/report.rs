//! What was run, and what came of it.

use std::collections::BTreeMap;
use std::fmt;

/// What was run.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How much was run, by operation and by kind of fault, or of cut.
    pub counts: BTreeMap<(&'static str, String), Count>,
    /// How often each point was met: what was done when it failed, or just before the power went.
    pub points: BTreeMap<String, u64>,
    /// What broke a rule first.
    pub failure: Option<Failure>,
}

/// How much was run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count {
    /// Calls that failed, or moments at which the power went.
    pub points: u64,
    /// Machines that were switched on again and looked through.
    pub checks: u64,
}

/// Something that broke a rule.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What was done.
    pub operation: &'static str,
    /// How it was disturbed, in words and in the arguments that do it again.
    pub disturbed: String,
    /// What wasn't as it should be.
    pub what: String,
}

impl Report {
    pub(crate) fn count(&mut self, operation: &'static str, kind: &str, point: Option<&str>, checks: u64) {
        let count = self.counts.entry((operation, kind.to_owned())).or_default();
        count.checks += checks;
        if let Some(point) = point {
            count.points += 1;
            *self.points.entry(point.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (of, count) in other.counts {
            let total = self.counts.entry(of).or_default();
            total.points += count.points;
            total.checks += count.checks;
        }
        for (point, count) in other.points {
            *self.points.entry(point).or_default() += count;
        }
    }

    /// All of it together.
    pub fn total(&self) -> Count {
        self.counts.values().fold(Count::default(), |total, count| Count {
            points: total.points + count.points,
            checks: total.checks + count.checks,
        })
    }

    /// What is added up over campaigns, with its names.
    pub fn figures(&self) -> Vec<(String, u64)> {
        let Count { points, checks } = self.total();
        let totals = [("points", points), ("stores looked through", checks)];
        let named = self.points.iter().map(|(point, count)| (format!("point: {}", point.trim_end()), *count));
        totals.into_iter().map(|(name, count)| (name.to_owned(), count)).chain(named).collect()
    }

    /// The counts by operation.
    fn of_operations(&self) -> BTreeMap<&'static str, Vec<(&str, Count)>> {
        let mut by_operation: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((operation, kind), count) in &self.counts {
            by_operation.entry(*operation).or_default().push((kind.as_str(), *count));
        }
        by_operation
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operation, kinds) in self.of_operations() {
            let shown: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {}", count.points)).collect();
            writeln!(f, "{operation:<24} {}", shown.join(", "))?;
        }
        writeln!(f, "by point:")?;
        for (point, count) in &self.points {
            writeln!(f, "{count:>8} {point}")?;
        }
        let Count { points, checks } = self.total();
        let operations = self.of_operations().len();
        write!(f, "{operations} operations, {points} points, {checks} stores opened again and looked through")?;
        match &self.failure {
            None => Ok(()),
            Some(failure) => write!(f, "\n{failure}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, disturbed, what } = self;
        write!(f, "BROKEN: --operation {operation} {disturbed}: {what}")
    }
}
