//! The architecture page has one entry for each crate, and each of its entries is a crate.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Problem;

/// Where the page is.
const PAGE: &str = "docs/ARCHITECTURE.md";

/// What an entry must say: what the crate does, what it never does, and where a reader starts.
const WORDS: [&str; 3] = ["Does", "Never", "Start"];

/// Reads the page and compares it with the workspace.
///
/// # Errors
///
/// When the page is there and can't be read.
pub(crate) fn check(root: &Path, crates: &[&str]) -> Result<Vec<Problem>> {
    match fs::read_to_string(root.join(PAGE)) {
        Ok(page) => Ok(compare(&page, crates)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![Problem::of(PAGE, "is missing")]),
        Err(error) => Err(error.into()),
    }
}

fn compare(page: &str, crates: &[&str]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut entries = BTreeMap::new();
    for (line, name, text) in entries_of(page) {
        if !crates.contains(&name) {
            problems.push(Problem::in_line(PAGE, line, format!("`{name}` has an entry and is no crate")));
        } else if entries.insert(name, text).is_some() {
            problems.push(Problem::in_line(PAGE, line, format!("`{name}` has two entries")));
        }
        for word in WORDS.iter().filter(|word| !has_word(text, word)) {
            problems.push(Problem::in_line(PAGE, line, format!("the entry of `{name}` has no \"{word}\"")));
        }
    }
    for name in crates.iter().filter(|name| !entries.contains_key(**name)) {
        problems.push(Problem::of(PAGE, format!("the crate `{name}` has no entry `### {name}`")));
    }
    problems
}

/// Line, name and text of each third-level heading, the text up to the next heading.
fn entries_of(page: &str) -> Vec<(usize, &str, &str)> {
    let mut entries = Vec::new();
    let mut rest = page;
    let mut line_number = 0;
    while let Some(line) = rest.split_inclusive('\n').next() {
        rest = rest.strip_prefix(line).unwrap_or_default();
        line_number += 1;
        if let Some(heading) = line.strip_prefix("### ") {
            let end = rest.find("\n#").unwrap_or(rest.len());
            entries.push((line_number, heading.trim().trim_matches('`'), rest.get(..end).unwrap_or(rest)));
        }
    }
    entries
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|character: char| !character.is_alphanumeric()).any(|found| found == word)
}

#[cfg(test)]
mod tests {
    use super::compare;

    const GOOD: &str = "# Page\n\n### `one`\nDoes this. Never that. Start with it.\n\n## More\n\n### two\n\
                        - **Does** this\n- **Never** that\n- **Start**: there\n";

    #[test]
    fn a_complete_page_is_fine() {
        assert_eq!(compare(GOOD, &["one", "two"]), []);
    }

    #[test]
    fn a_crate_without_entry_and_an_entry_without_crate_are_reported() {
        let texts: Vec<String> = compare(GOOD, &["one", "three"]).iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].contains("ARCHITECTURE.md:8: `two`") && texts[1].contains("`three` has no entry"));
    }

    #[test]
    fn an_entry_must_say_all_three_things() {
        let problems = compare(&GOOD.replace("Never that.", "Nevertheless."), &["one", "two"]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().contains("\"Never\""));
    }

    #[test]
    fn a_second_entry_is_reported() {
        let twice = format!("{GOOD}\n### one\nDoes, Never, Start\n");
        assert_eq!(compare(&twice, &["one", "two"]).len(), 1);
    }
}
