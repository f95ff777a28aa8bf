//! The page that says what is promised, how it is tested, and what that has shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::campaign::{Entry, FAULTS, FUZZ, KILLLOOPS, LOOPS, Ledger, SIMULATE, STAGES, plant_figure};
use crate::docs::markdown;
use crate::faults::{Fault, Plant};
use crate::harness::Trial;

const INTRODUCTION: &str = include_str!("reliability/introduction.md");
const FOUND: &str = include_str!("reliability/found.md");

/// How often each moment is to be hit at least.
const LEAST_KILLS: u64 = 50;

/// All of `docs/reliability.md`.
pub(crate) fn page(ledger: &Ledger, trials: &[Trial], faults: &[Fault]) -> String {
    let mut text = format!("{INTRODUCTION}\n## Figures of all campaigns\n\n");
    text.push_str(&markdown::table(
        &["stage", "runs", "time", "commit", "what", "what shows a failure"],
        &stages(ledger),
    ));
    text.push_str(&kills(ledger));
    text.push_str(&parts(
        ledger,
        SIMULATE,
        "Crashes of the simulation",
        "what the crash cut off",
        &["crash: "],
        &["crashes"],
    ));
    for (stage, title) in LOOPS.into_iter().zip(["Calls that failed", "Moments at which the power went"]) {
        text.push_str(&parts(ledger, stage, title, "point", &["point: "], &["times"]));
    }
    let heads = ["executions", "seconds"];
    text.push_str(&parts(ledger, FUZZ, "Fuzz targets", "target", &["executions: ", "seconds: "], &heads));
    text.push_str(&original(ledger, faults));
    text.push_str(&planted(trials));
    let _ = write!(text, "\n{FOUND}");
    text
}

/// How many faults of the original were planted by campaigns, in all the ways in which they come back.
fn original(ledger: &Ledger, faults: &[Fault]) -> String {
    let is_planted = |plant: &Plant| ledger.figure(FAULTS, &plant_figure(plant)) > 0;
    let ways = faults.iter().flat_map(|fault| &fault.plants);
    let planted = ways.clone().filter(|plant| is_planted(plant)).count();
    let whole = faults.iter().filter(|fault| fault.plants.iter().all(is_planted)).count();
    format!(
        "\n## Faults of the original\n\nOf {} faults, which come back in {} ways, campaigns have planted {whole} in all their ways, {planted} ways at least once, and seen each red.\n",
        faults.len(),
        ways.count(),
    )
}

/// What was planted in different layers, and what has found it.
fn planted(trials: &[Trial]) -> String {
    let row = |trial: &Trial| {
        let Trial { layer, what, file, command, found, .. } = trial;
        let command = format!("`cargo xtask {}`", command.join(" "));
        vec![format!("{layer} (`{file}`)"), what.clone(), command, found.clone()]
    };
    let rows: Vec<_> = trials.iter().map(row).collect();
    let table = markdown::table(&["layer", "what is wrong then", "found by", "where, and after how long"], &rows);
    format!(
        "\n## Planted on purpose\n\n`cargo xtask harness` plants each of these again (`xtask/harness.toml`), and fails where one isn't found.\n\n{table}"
    )
}

fn stages(ledger: &Ledger) -> Vec<Vec<String>> {
    let row = |(name, entry): (&String, &Entry)| {
        let plain = entry.figures.iter().filter(|(name, _)| !name.contains(": "));
        let what: Vec<_> = plain.map(|(name, figure)| format!("{name} {}", grouped(*figure))).collect();
        let failures = entry.failures.iter().map(|again| format!("`{again}`")).collect::<Vec<_>>().join("<br>");
        let failures = if failures.is_empty() { "none".to_owned() } else { failures };
        let time = format!("{} min {} s", entry.seconds / 60, entry.seconds % 60);
        vec![
            format!("`{name}`"),
            entry.runs.to_string(),
            time,
            format!("`{}`", entry.commit),
            what.join(", "),
            failures,
        ]
    };
    let not_yet = STAGES.iter().filter(|stage| !ledger.0.contains_key(stage.name));
    let none = not_yet.map(|stage| {
        let nothing = ["0", "–", "–", "nothing yet", "–"].map(str::to_owned);
        std::iter::once(format!("`{}`", stage.name)).chain(nothing).collect()
    });
    ledger.0.iter().map(row).chain(none).collect()
}

/// How often processes were killed at each moment, and how many moments are still to be hit.
fn kills(ledger: &Ledger) -> String {
    let all: Vec<_> = KILLLOOPS.iter().map(|stage| part(ledger, stage, "kill: ")).collect();
    if all.iter().all(BTreeMap::is_empty) {
        return String::new();
    }
    let mut text = "\n## Kills at each moment\n\nAll come behind the first acknowledgement; [killpoints.md](killpoints.md) says what the moments are.\n".to_owned();
    for (stage, kills) in KILLLOOPS.iter().zip(&all).filter(|(_, kills)| !kills.is_empty()) {
        let few = kills.values().filter(|count| **count < LEAST_KILLS).count();
        let _ = writeln!(
            text,
            "`{stage}`: {} moments, of each of which at least {LEAST_KILLS} kills are wanted; {few} have fewer.",
            kills.len()
        );
    }
    text.push('\n');
    let names: BTreeSet<_> = all.iter().flat_map(BTreeMap::keys).collect();
    let cell = |kills: &BTreeMap<String, u64>, name: &str| {
        kills.get(name).map_or_else(|| "–".to_owned(), |count| grouped(*count))
    };
    let row = |name: &String| {
        let cells = all.iter().map(|kills| cell(kills, name));
        std::iter::once(format!("`{name}`")).chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = names.into_iter().map(row).collect();
    text.push_str(&markdown::table(&["moment", "redb", "RocksDB"], &rows));
    text
}

/// A table of the figures of a stage whose names begin with these prefixes, one column for each.
fn parts(ledger: &Ledger, stage: &str, title: &str, head: &str, prefixes: &[&str], heads: &[&str]) -> String {
    let columns: Vec<_> = prefixes.iter().map(|prefix| part(ledger, stage, prefix)).collect();
    let row = |name: &String| {
        let cells = columns.iter().map(|column| grouped(column.get(name).copied().unwrap_or_default()));
        std::iter::once(name.clone()).chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = columns.first().into_iter().flat_map(BTreeMap::keys).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads: Vec<&str> = std::iter::once(head).chain(heads.iter().copied()).collect();
    format!("\n## {title}\n\n{}", markdown::table(&heads, &rows))
}

fn part(ledger: &Ledger, stage: &str, prefix: &str) -> BTreeMap<String, u64> {
    let figures = ledger.0.get(stage).into_iter().flat_map(|entry| &entry.figures);
    figures.filter_map(|(name, figure)| Some((name.strip_prefix(prefix)?.to_owned(), *figure))).collect()
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, grouped, page, plant_figure};
    use crate::campaign::{Entry, Ledger};
    use crate::faults::faults;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 12, 123, 1_234, 1_000_000].map(grouped), ["0", "12", "123", "1,234", "1,000,000"]);
    }

    #[test]
    fn a_fault_is_planted_when_it_was_in_all_its_ways() {
        let faults = faults().unwrap();
        let fault = faults.iter().find(|fault| fault.plants.len() == 2).unwrap();
        let mut ledger = Ledger::default();
        for (planted, told) in
            [(1, "0 in all their ways, 1 ways at least"), (2, "1 in all their ways, 2 ways at least")]
        {
            let figures = fault.plants[..planted].iter().map(|plant| (plant_figure(plant), 1)).collect();
            ledger.0.insert(FAULTS.to_owned(), Entry { figures, ..Entry::default() });
            let page = page(&ledger, &[], &faults);
            assert!(page.contains(told), "{told:?} is missing in\n{page}");
        }
    }

    #[test]
    fn what_was_not_run_says_so() {
        let faults = faults().unwrap();
        let empty = page(&Ledger::default(), &[], &faults);
        assert!(empty.contains("| `killloop-redb` | 0 | –") && !empty.contains("`killloop-redb`:"));
        let text = "[killloop-redb]\nruns = 1\nseconds = 61\ncommit = 'c'\n[killloop-redb.figures]\nrounds = 51\n'kill: a' = 50\n'kill: b' = 1\n";
        let ledger: Ledger = toml::from_str(text).unwrap();
        let page = page(&ledger, &[], &faults);
        for wanted in [
            "2 moments, of each of which at least 50 kills are wanted; 1 have fewer.",
            "| `a` | 50 | – |",
            "1 min 1 s",
            "rounds 51 | none |",
        ] {
            assert!(page.contains(wanted), "{wanted:?} is missing in\n{page}");
        }
        assert!(page.contains("| `simulate` | 0 | –"), "{page}");
    }
}
