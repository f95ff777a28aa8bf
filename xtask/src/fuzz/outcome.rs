//! What a run of libFuzzer has said.

use std::fmt;
use std::path::{Path, PathBuf};

/// How much is shown of what a run says that has found something, in lines.
const LAST_LINES: usize = 60;

/// How a run went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    executions: u64,
    peak_mib: u64,
    covered: u64,
    inputs: u64,
    found: Option<PathBuf>,
    is_good: bool,
    last_words: String,
}

impl Outcome {
    /// Reads what a run has said. It is good if it has ended well and has run at all.
    pub(super) fn read(text: &str, succeeded: bool) -> Self {
        let mut outcome = Self::default();
        for line in text.lines() {
            outcome.line(line);
        }
        outcome.is_good = succeeded && outcome.executions > 0 && outcome.found.is_none();
        let lines: Vec<&str> = text.lines().collect();
        outcome.last_words = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
        outcome
    }

    /// Whether nothing was found.
    pub(super) fn is_good(&self) -> bool {
        self.is_good
    }

    /// How many inputs were run.
    pub(super) fn executions(&self) -> u64 {
        self.executions
    }

    /// The input that has found something.
    pub(super) fn found(&self) -> Option<&Path> {
        self.found.as_deref()
    }

    /// The end of what was said.
    pub(super) fn last_words(&self) -> &str {
        &self.last_words
    }

    fn line(&mut self, line: &str) {
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.found = Some(path.trim().into());
        } else if let Some(stat) = line.strip_prefix("stat::") {
            let Some((name, value)) = stat.split_once(':') else { return };
            let value = value.trim().parse().unwrap_or_default();
            match name {
                "number_of_executed_units" => self.executions = value,
                "peak_rss_mb" => self.peak_mib = value,
                _ => {}
            }
        } else if line.starts_with('#') {
            // `#1234 DONE cov: 567 ft: 890 corp: 12/345b lim: ...`
            let mut words = line.split_whitespace();
            while let Some(word) = words.next() {
                let number = |text: &str| text.split('/').next().and_then(|count| count.parse().ok());
                match word {
                    "cov:" => self.covered = words.next().and_then(number).unwrap_or(self.covered),
                    "corp:" => self.inputs = words.next().and_then(number).unwrap_or(self.inputs),
                    _ => {}
                }
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { executions, covered, inputs, peak_mib, .. } = self;
        write!(formatter, "{executions} executions, {covered} edges by {inputs} inputs, {peak_mib} MiB at most")
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    const GOOD: &str = "INFO: Seed: 1\n#2\tINITED cov: 10 ft: 12 corp: 1/1b exec/s: 0 rss: 40Mb\n\
        #900\tDONE   cov: 25 ft: 31 corp: 7/90b lim: 4 exec/s: 450 rss: 41Mb\nDone 900 runs in 2 second(s)\n\
        stat::number_of_executed_units: 900\nstat::peak_rss_mb:              41\n";

    #[test]
    fn a_run_is_counted() {
        let outcome = Outcome::read(GOOD, true);
        assert!(outcome.is_good());
        assert_eq!(outcome.to_string(), "900 executions, 25 edges by 7 inputs, 41 MiB at most");
    }

    #[test]
    fn what_was_found_is_told() {
        let text = format!("{GOOD}artifact_prefix='t/'; Test unit written to t/found-crash-1\n");
        let outcome = Outcome::read(&text, false);
        assert!(!outcome.is_good() && !Outcome::read(&text, true).is_good());
        assert_eq!(outcome.found().and_then(|path| path.to_str()), Some("t/found-crash-1"));
        assert!(outcome.last_words().ends_with("found-crash-1"));
    }

    #[test]
    fn a_run_that_did_nothing_is_not_good() {
        assert!(!Outcome::read("INFO: Seed: 1\n", true).is_good());
        assert!(!Outcome::read(GOOD, false).is_good());
    }
}
