//! The pages that are printed from the code are what would be printed now.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use super::Problem;
use crate::docs::Page;

/// Reports pages that are missing or say something else.
///
/// # Errors
///
/// When a page is there and can't be read.
pub(crate) fn check(root: &Path, pages: &[Page]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for page in pages {
        let text = match fs::read_to_string(root.join(page.path)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                problems.push(Problem::of(page.path, "is missing: `cargo xtask docs` prints it"));
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", page.path)),
        };
        if text != page.text {
            let lines = text.split_inclusive('\n').zip(page.text.split_inclusive('\n'));
            let line = lines.take_while(|(is, printed)| is == printed).count() + 1;
            let what = "isn't what the code says: change the code and run `cargo xtask docs`";
            problems.push(Problem::in_line(page.path, line, what));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::docs::Page;

    #[test]
    fn a_page_that_is_missing_or_says_something_else_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let pages = [Page { path: "page.md", text: "one\ntwo\n".to_owned() }];
        let problems = |text: &str| {
            std::fs::write(folder.path().join("page.md"), text).unwrap();
            let problems = check(folder.path(), &pages).unwrap();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(check(folder.path(), &pages).unwrap().len(), 1);
        assert_eq!(problems("one\ntwo\n"), [""; 0]);
        for (text, line) in [("one\n2\n", 2), ("one\n", 2), ("one\ntwo\nthree\n", 3), ("one\ntwo", 2), ("", 1)] {
            let found = problems(text);
            assert!(found.len() == 1 && found[0].starts_with(&format!("page.md:{line}: ")), "{text:?}: {found:?}");
        }
    }
}
