//! Counts tests from the output of `cargo test`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How many tests passed and failed, and which were skipped for what reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
    failures: Vec<String>,
    /// How long the test programs ran, by their names.
    times: BTreeMap<String, Duration>,
}

impl Tally {
    /// Adds the counts of another run.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
        for (program, time) in other.times {
            *self.times.entry(program).or_default() += time;
        }
    }

    /// How long the test programs of a name ran; nothing where none did.
    pub(crate) fn time_of(&self, program: &str) -> Duration {
        self.times.get(program).copied().unwrap_or_default()
    }

    /// Counts a test that has passed.
    pub(crate) fn add_pass(&mut self) {
        self.passed += 1;
    }

    /// Counts a failure that is no test's own, such as a test program that did not come to its end.
    pub(crate) fn add_failure(&mut self, what: impl Into<String>) {
        self.failed += 1;
        self.failures.push(what.into());
    }

    /// Counts a test whose surroundings are missing: `name: reason`.
    pub(crate) fn add_skip(&mut self, what: impl Into<String>) {
        self.skipped.push(what.into());
    }

    /// Whether no test failed and at least one passed: a run that tests nothing proves nothing.
    pub(crate) fn is_success(&self) -> bool {
        self.failed == 0 && self.passed > 0
    }

    /// Prints each failed and each skipped test, without the line of counts.
    pub(crate) fn print_details(&self) {
        for skipped in &self.skipped {
            println!("skipped: {skipped}");
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        if self.failed == 0 && self.passed == 0 {
            println!("no test has passed, which counts as a failure");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len())
    }
}

/// Reads the output of one `cargo test`, line by line.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    tally: Tally,
    /// The test program that runs, as cargo named it.
    program: String,
    /// Whether it has said how many tests it will run and not yet how they went.
    is_running: bool,
    ignored: usize,
    ignored_names: Vec<String>,
}

impl Reader {
    /// For the output of a program that cargo doesn't name.
    pub(crate) fn of(program: &str) -> Self {
        Self { program: program.to_owned(), ..Self::default() }
    }

    /// Takes in one line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(program) = program_of(line) {
            self.end_program();
            program.clone_into(&mut self.program);
        } else if is_start(line) {
            self.end_program();
            self.is_running = true;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.is_running = false;
            self.tally.passed += count(counts, "passed");
            self.tally.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
            if let Some(time) = time(counts) {
                *self.tally.times.entry(self.program.clone()).or_default() += time;
            }
        } else if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            self.test(name, outcome);
        }
    }

    fn test(&mut self, name: &str, outcome: &str) {
        let name = format!("{}::{name}", self.program);
        let (word, reason) = outcome.split_once(", ").unwrap_or((outcome, "ignored, no reason given"));
        match word {
            "ignored" => self.ignored_names.push(format!("{name}: {reason}")),
            "FAILED" => self.tally.failures.push(name),
            _ => {}
        }
    }

    /// A program that is followed by another one without having said how its tests went has crashed or left.
    fn end_program(&mut self) {
        if std::mem::take(&mut self.is_running) {
            self.tally.add_failure(format!("{}: ended before its tests did", self.program));
        }
    }

    /// The counts, with the log of the tests that found their surroundings missing: one `crate::test: reason` a line.
    ///
    /// To its harness such a test has passed, so it is taken from the passed ones.
    pub(crate) fn finish(mut self, skip_log: &str, cargo_succeeded: bool) -> Tally {
        self.end_program();
        let mut tally = self.tally;
        let logged = skipped_tests(skip_log);
        tally.passed = tally.passed.saturating_sub(logged.len());
        tally.skipped.extend(logged.iter().map(|(test, reasons)| format!("{test}: {}", reasons.join("; "))));
        let unnamed = self.ignored.saturating_sub(self.ignored_names.len());
        tally.skipped.extend(self.ignored_names);
        tally.skipped.extend((0..unnamed).map(|_| "a test whose name was not printed: ignored".to_owned()));
        if !cargo_succeeded && tally.failed == 0 {
            tally.add_failure("cargo test itself: something did not build, or a test program was killed");
        }
        tally
    }
}

/// The tests of a log with their reasons, each once whatever it wrote.
fn skipped_tests(log: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut tests: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (test, reason) = line.split_once(": ").unwrap_or((line, "no reason given"));
        let reasons = tests.entry(test).or_default();
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    tests
}

/// The name in cargo's `Running unittests src/lib.rs (target/debug/deps/name-0123456789abcdef)` or `Doc-tests name`.
fn program_of(line: &str) -> Option<&str> {
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(name);
    }
    let path = line.strip_prefix("Running ")?.strip_suffix(')')?.rsplit_once('(')?.1;
    let name = path.rsplit(['/', '\\']).next()?;
    Some(name.rsplit_once('-').map_or(name, |(name, _)| name))
}

/// Whether a line is a test program's `running 3 tests`.
fn is_start(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next() == Some("running")
        && words.next().is_some_and(|number| number.parse::<usize>().is_ok())
        && matches!(words.next(), Some("test" | "tests"))
        && words.next().is_none()
}

/// The time at the end of `ok. 3 passed; ...; finished in 0.05s`.
fn time(counts: &str) -> Option<Duration> {
    let seconds = counts.rsplit_once("finished in ")?.1.strip_suffix('s')?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

/// The number before `word` in `ok. 3 passed; 0 failed; ...`.
fn count(counts: &str, word: &str) -> usize {
    let part = counts.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word));
    part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Reader, Tally};

    fn read(lines: &[&str], skip_log: &str, cargo_succeeded: bool) -> Tally {
        let mut reader = Reader::default();
        for line in lines {
            reader.line(line);
        }
        reader.finish(skip_log, cargo_succeeded)
    }

    const GOOD: [&str; 4] = [
        "     Running unittests src/lib.rs (target/debug/deps/some_crate-0123456789abcdef)",
        "running 3 tests",
        "test a::b ... ok",
        "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    ];

    #[test]
    fn results_of_several_programs_are_added() {
        let tally = read(&[GOOD, GOOD].concat(), "", true);
        assert_eq!(tally.to_string(), "6 passed, 0 failed, 0 skipped");
        assert!(tally.is_success());
    }

    #[test]
    fn a_failed_test_is_counted_and_named() {
        let lines = [
            "     Running tests/all.rs (target/debug/deps/all-0123456789abcdef)",
            "running 2 tests",
            "test a::b ... FAILED",
            "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        let tally = read(&lines, "", false);
        assert_eq!(tally.to_string(), "1 passed, 1 failed, 0 skipped");
        assert_eq!(tally.failures, ["all::a::b"]);
        assert!(!tally.is_success());
    }

    #[test]
    fn the_times_of_a_program_are_added() {
        let timed = GOOD.map(|line| line.replace("in 0.00s", "in 1.25s"));
        let mut tally = read(&timed.each_ref().map(String::as_str), "", true);
        tally.add(tally.clone());
        assert_eq!(tally.time_of("some_crate"), Duration::from_millis(2500));
        assert_eq!(tally.time_of("another"), Duration::ZERO);
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert!(!read(&["running 0 tests", "test result: ok. 0 passed; 0 failed; 0 ignored"], "", true).is_success());
        assert!(!read(&[], "", true).is_success());
    }

    #[test]
    fn an_ignored_test_is_skipped_with_its_name_and_reason() {
        let lines = [
            "   Doc-tests some",
            "running 3 tests",
            "test slow ... ignored, needs a day",
            "test other ... ignored",
            "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ];
        let tally = read(&lines, "", true);
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 2 skipped");
        assert_eq!(tally.skipped, ["some::slow: needs a day", "some::other: ignored, no reason given"]);
    }

    #[test]
    fn a_logged_skip_is_not_a_passed_test() {
        let log = "crate::one: no server\ncrate::one: no server\ncrate::one: no disk\ncrate::two: no fixtures\n";
        let tally = read(&GOOD, log, true);
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 2 skipped");
        assert_eq!(tally.skipped, ["crate::one: no server; no disk", "crate::two: no fixtures"]);
    }

    #[test]
    fn a_program_that_ends_early_is_a_failure_even_with_exit_code_0() {
        let tally = read(&[&GOOD[..], &["running 7 tests"]].concat(), "", true);
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 0 skipped");
        assert_eq!(tally.failures, ["some_crate: ended before its tests did"]);
        let next = ["   Doc-tests some", "running 0 tests", "test result: ok. 0 passed; 0 failed; 0 ignored"];
        let tally = read(&[&GOOD[..], &["running 7 tests"], &next].concat(), "", true);
        assert_eq!(tally.failures, ["some_crate: ended before its tests did"]);
    }

    #[test]
    fn a_build_failure_is_a_failure() {
        assert_eq!(read(&GOOD, "", false).to_string(), "3 passed, 1 failed, 0 skipped");
    }
}
