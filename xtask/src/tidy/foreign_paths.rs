//! No file names a place that exists on one machine only.

use super::Problem;
use super::source::SourceFile;

/// Folders of a machine, put together so that this file does not contain them.
const FOLDERS: [&str; 5] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/"), concat!("/tm", "p/")];

/// Reports absolute paths into such folders.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        for (index, line) in file.text.lines().enumerate() {
            for folder in FOLDERS.iter().filter(|folder| names(line, folder)) {
                problems.push(Problem::in_line(&file.path, index + 1, format!("a path of one machine, {folder}")));
            }
        }
    }
    problems
}

/// Whether `line` has `folder` at the beginning of a path, and not as a part of a longer path or an address.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(start, _)| {
        let before = line.get(..start).and_then(|before| before.chars().next_back());
        before.is_none_or(|before| !before.is_alphanumeric() && !"_-.~})>$".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::{FOLDERS, check};
    use crate::tidy::source::SourceFile;

    #[test]
    fn a_path_of_a_machine_is_reported_in_any_kind_of_file() {
        for folder in FOLDERS {
            for text in [format!("see {folder}x"), format!("\"{folder}x\""), format!("file://{folder}x")] {
                assert_eq!(check(&[SourceFile::example("a.md", &text)]).len(), 1, "{text}");
            }
        }
    }

    #[test]
    fn a_part_of_another_path_is_fine() {
        for folder in FOLDERS {
            for text in [format!("https://example.org{folder}x"), format!("$HOME{folder}x"), format!("${{A}}{folder}x")]
            {
                assert_eq!(check(&[SourceFile::example("a.md", &text)]), [], "{text}");
            }
        }
    }
}
