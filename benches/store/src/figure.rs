//! One figure of a bench: what was measured, and what it is set beside.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::statistics::median;

/// A figure, measured several times.
#[derive(Debug)]
pub(crate) struct Figure {
    what: String,
    unit: &'static str,
    better: Better,
    runs: Vec<f64>,
    /// What the raw part underneath did in the same runs.
    raw: Vec<f64>,
    go: Option<f64>,
    goals: Vec<Goal>,
    /// What else was counted, as means over the runs.
    details: Vec<(&'static str, Vec<f64>)>,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    More,
    Less,
}

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// The figure itself, this good or better.
    Value(f64),
    /// So many times as good as the Go original.
    TimesGo(f64),
    /// So many times what the raw part did.
    OfRaw(f64),
}

/// A goal beside what was reached of it.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) goal: String,
    pub(crate) reached: bool,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str, better: Better) -> Self {
        let what = what.into();
        Self { what, unit, better, runs: Vec::new(), raw: Vec::new(), go: None, goals: Vec::new(), details: Vec::new() }
    }

    /// Adds a run.
    pub(crate) fn run(&mut self, value: f64) {
        self.runs.push(value);
    }

    /// Adds a run, and what the raw part did in it.
    pub(crate) fn run_beside(&mut self, value: f64, raw: f64) {
        self.runs.push(value);
        self.raw.push(raw);
    }

    /// Whether it was never measured.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What the last run gave.
    pub(crate) fn last(&self) -> f64 {
        self.runs.last().copied().unwrap_or(f64::NAN)
    }

    /// Leaves the first run out, which only warmed up.
    pub(crate) fn forget_first(&mut self) {
        self.runs.drain(..self.runs.len().min(1));
        self.raw.drain(..self.raw.len().min(1));
    }

    /// Adds something that was counted in a run.
    pub(crate) fn detail(&mut self, name: &'static str, value: f64) {
        match self.details.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.details.push((name, vec![value])),
        }
    }

    /// What the Go original did.
    pub(crate) fn go(mut self, go: impl Into<Option<f64>>) -> Self {
        self.go = go.into();
        self
    }

    /// What is wanted.
    pub(crate) fn goal(mut self, goal: impl Into<Option<Goal>>) -> Self {
        self.goals.extend(goal.into());
        self
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.runs)
    }

    /// The median of the ratios to the raw part, run by run.
    fn of_raw(&self) -> Option<f64> {
        let ratios: Vec<f64> = self.runs.iter().zip(&self.raw).map(|(run, raw)| run / raw).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    /// How many times as good as Go; more is better whatever the unit.
    fn times_go(&self) -> Option<f64> {
        self.go.filter(|_| !self.is_empty()).map(|go| match self.better {
            Better::More => self.median() / go,
            Better::Less => go / self.median(),
        })
    }

    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.goals.iter().map(|goal| self.judge(*goal)).collect()
    }

    fn judge(&self, goal: Goal) -> Verdict {
        match goal {
            Goal::Value(wanted) => {
                let (sign, reached) = match self.better {
                    Better::More => ("at least", self.median() >= wanted),
                    Better::Less => ("at most", self.median() <= wanted),
                };
                Verdict { goal: format!("{sign} {}", number(wanted)), reached }
            }
            Goal::TimesGo(wanted) => {
                let reached = self.times_go().is_some_and(|times| times >= wanted);
                Verdict { goal: format!("{wanted}x Go"), reached }
            }
            Goal::OfRaw(wanted) => {
                let ratio = self.of_raw().unwrap_or(f64::NAN);
                let (sign, reached) = match self.better {
                    Better::More => ("at least", ratio >= wanted),
                    Better::Less => ("at most", ratio <= wanted),
                };
                Verdict { goal: format!("{sign} {wanted}x raw"), reached }
            }
        }
    }

    /// The cells of a table's row, in the order of [`HEADINGS`].
    pub(crate) fn cells(&self) -> Vec<String> {
        let few = self.runs.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let spread = if self.runs.len() > 1 { format!("{}..{}", number(few), number(most)) } else { String::new() };
        let details: Vec<String> =
            self.details.iter().map(|(name, values)| format!("{} {name}", number(median(values)))).collect();
        let times = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{}x", number(ratio)));
        let verdicts: Vec<String> = self
            .verdicts()
            .iter()
            .map(|verdict| format!("{}: {}", verdict.goal, if verdict.reached { "reached" } else { "MISSED" }))
            .collect();
        vec![
            self.what.clone(),
            if self.is_empty() {
                "not measured".to_owned()
            } else {
                format!("{} {}", number(self.median()), self.unit)
            },
            spread,
            details.join(", "),
            times(self.of_raw()),
            self.go.map(number).unwrap_or_default(),
            times(self.times_go()),
            verdicts.join("; "),
        ]
    }
}

/// The columns of the table.
pub(crate) const HEADINGS: [&str; 8] = ["what", "median", "runs", "and", "to the raw part", "Go", "to Go", "goal"];

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("what", &self.what)?;
        map.serialize_entry("unit", self.unit)?;
        map.serialize_entry("more_is_better", &(self.better == Better::More))?;
        map.serialize_entry("median", &self.median())?;
        map.serialize_entry("runs", &self.runs)?;
        map.serialize_entry("raw_runs", &self.raw)?;
        map.serialize_entry("ratio_to_raw", &self.of_raw())?;
        map.serialize_entry("go", &self.go)?;
        map.serialize_entry("times_as_good_as_go", &self.times_go())?;
        map.serialize_entry("goals", &self.verdicts())?;
        for (name, values) in &self.details {
            map.serialize_entry(name, values)?;
        }
        map.end()
    }
}

/// A number with three digits that mean something, and thousands told apart.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if !(100.0..1e15).contains(&size) {
        let places = if size >= 10.0 || size == 0.0 {
            1
        } else if size >= 1.0 {
            2
        } else {
            3
        };
        let text = format!("{value:.places$}");
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    let digits = (value.round().abs() as i64).to_string();
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, wanted) in [
            (0.0, "0"),
            (0.0312, "0.031"),
            (0.5, "0.5"),
            (1.999, "2"),
            (12.34, "12.3"),
            (99.96, "100"),
            (100.0, "100"),
            (1_234_567.8, "1,234,568"),
            (-1_000.0, "-1,000"),
        ] {
            assert_eq!(number(value), wanted);
        }
    }

    #[test]
    fn what_was_not_measured_says_so_beside_what_go_did() {
        let cells = Figure::new("rate", "/s", Better::More).go(10.0).cells();
        assert_eq!((&*cells[1], &*cells[5], &*cells[6]), ("not measured", "10", ""));
    }

    #[test]
    fn goals_are_judged_the_way_that_is_better() {
        let mut more = Figure::new("rate", "/s", Better::More).go(10.0);
        more.run_beside(50.0, 100.0);
        more.run_beside(70.0, 100.0);
        let mut less = Figure::new("time", "s", Better::Less).go(10.0);
        less.run_beside(2.0, 4.0);
        for (goal, of_more, of_less) in [
            (Goal::Value(60.0), true, true),
            (Goal::Value(61.0), false, true),
            (Goal::Value(1.0), true, false),
            (Goal::TimesGo(5.0), true, true),
            (Goal::TimesGo(5.5), true, false),
            (Goal::OfRaw(0.6), true, true),
            (Goal::OfRaw(0.61), false, true),
            (Goal::OfRaw(0.4), true, false),
        ] {
            assert_eq!((more.judge(goal).reached, less.judge(goal).reached), (of_more, of_less), "{goal:?}");
        }
    }
}
