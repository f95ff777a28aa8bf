//! The page of the original's faults.

use crate::docs::markdown;
use crate::faults::Fault;

const INTRODUCTION: &str = include_str!("faults/introduction.md");

/// All of `docs/faults.md`.
pub(crate) fn page(faults: &[Fault]) -> String {
    let row = |fault: &Fault| {
        let tests = fault.plants.iter().map(|plant| format!("`{}`", plant.test));
        let changes = fault.plants.iter().map(|plant| {
            let file = plant.file.strip_prefix("crates/").unwrap_or(&plant.file).replace("/src/", "/");
            format!("`{file}`: {}", plant.what)
        });
        let lines = |lines: Vec<String>| lines.join("<br>");
        vec![fault.number.to_string(), fault.original.clone(), lines(tests.collect()), lines(changes.collect())]
    };
    let rows: Vec<Vec<String>> = faults.iter().map(row).collect();
    let heads = ["", "what the original did", "test", "what brings it back"];
    format!("{INTRODUCTION}\n{}", markdown::table(&heads, &rows))
}
