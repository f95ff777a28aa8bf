//! What a bench tells: a table for people, JSON for machines.

use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figure::{Figure, HEADINGS};
use crate::machine::Machine;
use crate::setup::Setup;

/// What a bench has found so far.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    command: String,
    machine: Machine,
    runs: usize,
    tables: Vec<Table>,
    seconds: f64,
    #[serde(skip)]
    start: Instant,
}

/// Figures that belong together.
#[derive(Debug, Serialize)]
struct Table {
    title: String,
    figures: Vec<Figure>,
}

impl Report {
    /// Runs a bench: says what will be run and on what, and writes the JSON file in the end.
    pub(crate) fn of(setup: &Setup, bench: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let mut report = Self::begin(setup)?;
        bench(&mut report)?;
        report.finish(setup)
    }

    fn begin(setup: &Setup) -> Result<Self> {
        let command = command(std::env::args().skip(1));
        let machine = Machine::look(&setup.place())?;
        println!("cargo xtask bench {command}");
        println!("{}; medians of {}", machine.line(), times(setup.runs()));
        Ok(Self { command, machine, runs: setup.runs(), tables: Vec::new(), seconds: 0.0, start: Instant::now() })
    }

    /// Adds figures under a title that says what they are, and prints them.
    pub(crate) fn table(&mut self, title: &str, figures: Vec<Figure>) {
        println!("\n{title}\n");
        print!("{}", markdown(&figures));
        self.tables.push(Table { title: title.to_owned(), figures });
    }

    fn finish(mut self, setup: &Setup) -> Result<()> {
        self.seconds = self.start.elapsed().as_secs_f64();
        println!("\ntook {:.0} s", self.seconds);
        if let Some(path) = &setup.json {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            }
            let text = serde_json::to_string_pretty(&self)? + "\n";
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
            println!("also written to {}", path.display());
        }
        Ok(())
    }
}

fn times(runs: usize) -> String {
    if runs == 1 { "one run".to_owned() } else { format!("{runs} runs") }
}

/// The arguments as a person would give them, without the places of this machine.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let mut kept = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" | "--dir" | "--picture" => drop(arguments.next()),
            place if ["--json=", "--dir=", "--picture="].iter().any(|option| place.starts_with(option)) => {}
            _ => kept.push(argument),
        }
    }
    kept.join(" ")
}

/// A table that reads well as it is and is Markdown, too. Columns that nothing stands in are left out.
fn markdown(figures: &[Figure]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned).to_vec()];
    rows.extend(figures.iter().map(Figure::cells));
    let mut lines = vec![String::new(); rows.len() + 1];
    for column in 0..HEADINGS.len() {
        if rows.iter().skip(1).all(|row| row[column].is_empty()) {
            continue;
        }
        let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let ruled = "-".repeat(width);
        let cells = [&rows[0][column], &ruled].into_iter().chain(rows.iter().skip(1).map(|row| &row[column]));
        for (line, cell) in lines.iter_mut().zip(cells) {
            let padding = " ".repeat(width - cell.chars().count());
            line.extend(["| ", cell, &padding, " "]);
        }
    }
    lines.join("|\n") + "|\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Better;

    #[test]
    fn places_are_left_out_of_the_command() {
        let arguments = ["register", "--json", "a/b", "--runs", "5", "--dir=c", "--picture", "d"].map(str::to_owned);
        assert_eq!(command(arguments.into_iter()), "register --runs 5");
    }

    #[test]
    fn a_table_has_a_line_for_each_figure_and_no_empty_columns() {
        let mut figure = Figure::new("one", "s", Better::Less);
        figure.run(2.0);
        assert_eq!(markdown(&[figure]), "| what | median |\n| ---- | ------ |\n| one  | 2 s    |\n");
    }
}
