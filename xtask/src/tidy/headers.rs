//! Every Rust file opens with a module header that says what it is for, and can be read by the other checks.

use super::Problem;
use super::source::SourceFile;

/// Reports files whose first line is no `//!` with words after it, and files that are no Rust.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let has_header = |file: &SourceFile| {
        let first = file.text.lines().next().unwrap_or_default();
        first.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty())
    };
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if !has_header(file) {
            problems.push(Problem::in_line(&file.path, 1, "begins without a `//!` header that says what it is for"));
        }
        if file.is_unreadable() {
            problems.push(Problem::of(&file.path, "is no Rust: its brackets or quotes are not closed"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::SourceFile;

    #[test]
    fn a_file_without_header_is_reported() {
        for text in ["", "fn a() {}\n", "//!\nfn a() {}\n", "// A comment.\n", "#![no_std]\n//! Late.\n"] {
            assert_eq!(check(&[SourceFile::example("a.rs", text)]).len(), 1, "{text:?}");
        }
    }

    #[test]
    fn a_file_that_no_check_can_read_is_reported() {
        assert_eq!(check(&[SourceFile::example("a.rs", "//! Words.\nfn a( {\n")]).len(), 1);
    }

    #[test]
    fn a_header_or_another_language_is_fine() {
        assert_eq!(check(&[SourceFile::example("a.rs", "//! Words.\n"), SourceFile::example("a.md", "")]), []);
    }
}
