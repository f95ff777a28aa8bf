//! `cargo xtask docs`: the pages that are printed from the code, so that they can't say anything else than it does.

mod diagram;
mod faults;
mod fsm;
mod markdown;
mod svg;
mod words;

use anyhow::{Context, Result};

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
/// When the machine has an arrow that the drawing has no place for, or the list of faults can't be read.
pub(crate) fn pages() -> Result<Vec<Page>> {
    let arrows = diagram::arrows();
    Ok(vec![
        Page { path: "docs/faults.md", text: faults::page(&crate::faults::faults()?) },
        Page { path: "docs/fsm.md", text: fsm::page(&arrows) },
        Page { path: "docs/fsm.svg", text: svg::draw(&arrows)? },
    ])
}

/// Writes the pages.
///
/// # Errors
///
/// As [`pages`], and when a file can't be written.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    for page in pages()? {
        let path = workspace.root().join(page.path);
        std::fs::write(&path, page.text).with_context(|| format!("writing {}", path.display()))?;
        println!("docs: {}", page.path);
    }
    Ok(())
}
