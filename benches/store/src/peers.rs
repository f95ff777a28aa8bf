//! Our own benches and those of the Go original, row by row in one run, so that both meet the same machine.

mod rows;
mod sides;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::backend::Backend;
use crate::figure::{Figure, Goal};
use crate::report::Report;
use crate::setup::Setup;
use rows::{Ours, Pair, ROWS, Row, Sizes};
use sides::{Go, Ourselves};

/// What can be chosen of this bench.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Measures this row only; may be given several times.
    #[arg(long = "row", value_parser = names())]
    rows: Vec<String>,
}

fn names() -> Vec<&'static str> {
    ROWS.iter().map(|row| row.name).collect()
}

/// Measures each row on both sides; says so and does nothing where Go is missing.
pub(crate) fn run(setup: &Setup, options: &Options, report: &mut Report) -> Result<()> {
    if !Go::is_there() {
        println!("\npeers: skipped, for there is no Go here: install it (https://go.dev/dl) and have `go` in the PATH");
        return Ok(());
    }
    let place = tempfile::tempdir_in(setup.place())?;
    let go = Go::build(place.path())?;
    let ourselves = Ourselves::new(place.path(), setup.runs())?;
    let sizes = if setup.full { Sizes::FULL } else { Sizes::SMALL };
    for row in ROWS.iter().filter(|row| options.rows.is_empty() || options.rows.iter().any(|name| name == row.name)) {
        eprintln!("peers: {}", row.name);
        let figures = compare(setup, row, &sizes, &go, &ourselves)?;
        report.table(&format!("{}: {}", row.name, (row.title)(&sizes)), figures);
    }
    Ok(())
}

fn compare(setup: &Setup, row: &Row, sizes: &Sizes, go: &Go, ourselves: &Ourselves) -> Result<Vec<Figure>> {
    let theirs = go.figures(row.name, &(row.go)(sizes), setup.runs())?;
    let of_go = |pair: &Pair| {
        let found = theirs.iter().find(|figure| figure.name == pair.go);
        found.map(|figure| figure.median).with_context(|| format!("Go's {} has no figure {:?}", row.name, pair.go))
    };
    let mut figures = Vec::new();
    let ours = &row.ours;
    let backends = setup.backends();
    let backends = if ours.each_backend { backends } else { &backends[backends.len() - 1..] };
    for &backend in backends {
        let told = ourselves.tables(row.name, backend, &(ours.arguments)(sizes, backend))?;
        for pair in row.pairs {
            figures.push(figure(ours, pair, backend, sizes, &told)?.go(of_go(pair)?));
        }
    }
    Ok(figures)
}

/// Our own figure of a pair.
fn figure(ours: &Ours, pair: &Pair, backend: Backend, sizes: &Sizes, told: &[sides::Table]) -> Result<Figure> {
    let what = (ours.what)(pair, sizes, backend);
    let mut tables = told.iter().filter(|table| table.title.starts_with(ours.title));
    let found = tables.find_map(|table| table.figures.iter().find(|figure| figure.what == what));
    let found = found.with_context(|| format!("our own bench has no figure {what:?} under {:?}", ours.title))?;
    ensure!(found.unit == pair.unit, "{what:?} is in {:?} and Go's in {:?}", found.unit, pair.unit);
    let goal = backend.pick(pair.times_go.0, pair.times_go.1).map(Goal::TimesGo);
    let mut figure = Figure::new(what, pair.unit, pair.better).goal(goal);
    found.runs.iter().for_each(|run| figure.run(*run));
    Ok(figure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Better;

    const OURS: Ours =
        Ours { each_backend: true, title: "a:", arguments: |_, _| Vec::new(), what: |pair, _, _| pair.ours.to_owned() };
    const PAIR: Pair =
        Pair { ours: "one", go: "two", unit: "s", better: Better::Less, times_go: (Some(2.0), Some(2.0)) };

    fn told(title: &str, what: &str, unit: &str) -> Vec<sides::Table> {
        let text =
            format!(r#"[{{"title": "{title}", "figures": [{{"what": "{what}", "unit": "{unit}", "runs": [1]}}]}}]"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_figure_is_found_by_its_table_its_name_and_its_unit() {
        let of = |told: &[sides::Table]| figure(&OURS, &PAIR, Backend::Redb, &Sizes::SMALL, told);
        let found = of(&told("a: sizes", "one", "s")).unwrap().go(3.0);
        assert!(found.verdicts()[0].reached);
        for (title, what, unit) in [("b:", "one", "s"), ("a:", "none", "s"), ("a:", "one", "ms")] {
            assert!(of(&told(title, what, unit)).is_err(), "{title} {what} {unit}");
        }
    }
}
