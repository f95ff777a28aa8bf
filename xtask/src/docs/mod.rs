//! `cargo xtask docs`: the pages that are printed from the code, so that they can't say anything else than it does.

mod diagram;
mod faults;
mod fsm;
mod markdown;
mod reliability;
mod svg;
mod words;

use std::path::Path;

use anyhow::{Context, Result};

use crate::campaign::Ledger;
use crate::harness::trials;
use crate::workspace::Workspace;

/// A file that is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Page {
    /// From the root of the workspace.
    pub(crate) path: &'static str,
    /// All of it.
    pub(crate) text: String,
}

/// Every file that is printed.
///
/// # Errors
///
/// When the machine has an arrow that the drawing has no place for, or the list of faults or the ledger
/// can't be read.
pub(crate) fn pages(root: &Path) -> Result<Vec<Page>> {
    let arrows = diagram::arrows();
    Ok(vec![
        Page { path: "docs/faults.md", text: faults::page(&crate::faults::faults()?) },
        Page { path: "docs/fsm.md", text: fsm::page(&arrows) },
        reliability(&Ledger::load(root)?)?,
        Page { path: "docs/fsm.svg", text: svg::draw(&arrows)? },
    ])
}

/// The page of what was tested, with these figures.
///
/// # Errors
///
/// When the list of what is planted can't be read.
pub(crate) fn reliability(ledger: &Ledger) -> Result<Page> {
    Ok(Page { path: "docs/reliability.md", text: reliability::page(ledger, &trials()?, &crate::faults::faults()?) })
}

/// Writes the pages.
///
/// # Errors
///
/// As [`pages`], and when a file can't be written.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    pages(workspace.root())?.iter().try_for_each(|page| print(workspace, page))
}

/// Writes one page.
///
/// # Errors
///
/// When its file can't be written.
pub(crate) fn print(workspace: &Workspace, page: &Page) -> Result<()> {
    let path = workspace.root().join(page.path);
    std::fs::write(&path, &page.text).with_context(|| format!("writing {}", path.display()))?;
    println!("docs: {}", page.path);
    Ok(())
}
