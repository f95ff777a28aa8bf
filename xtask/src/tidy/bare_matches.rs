//! A `matches!` whose answer nobody takes is a test that can't fail.

use proc_macro2::{Delimiter, TokenTree};

use super::Problem;
use super::source::{Level, SourceFile};

/// Reports `matches!(...)` as a statement of its own.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        for level in file.levels().iter().filter(|level| level.delimiter == Some(Delimiter::Brace)) {
            for line in bare_lines(level) {
                problems.push(Problem::in_line(&file.path, line, "`matches!` without `assert!` around it"));
            }
        }
    }
    problems
}

fn bare_lines(level: &Level) -> Vec<usize> {
    let is_bare = |(index, window): (usize, &[TokenTree])| {
        let [name, bang, arguments, end] = window else { return None };
        let is_call = name.to_string() == "matches" && is_punct(bang, '!') && matches!(arguments, TokenTree::Group(_));
        let before = index.checked_sub(1).and_then(|before| level.tokens.get(before));
        let begins = before.is_none_or(|before| is_punct(before, ';') || is_block(before));
        (is_call && begins && is_punct(end, ';')).then(|| name.span().start().line)
    };
    level.tokens.windows(4).enumerate().filter_map(is_bare).collect()
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

fn is_block(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::SourceFile;

    fn lines(text: &str) -> Vec<String> {
        check(&[SourceFile::example("a.rs", text)]).iter().map(|problem| problem.place.clone()).collect()
    }

    #[test]
    fn a_statement_of_matches_is_reported() {
        assert_eq!(lines("fn a() {\n matches!(x, Some(_));\n}"), ["a.rs:2"]);
        assert_eq!(lines("fn a() { b();\n matches!(x, A);\n if c {}\n matches!(y, B);\n}"), ["a.rs:2", "a.rs:4"]);
    }

    #[test]
    fn a_value_that_is_taken_is_fine() {
        let text = "fn a() -> bool { assert!(matches!(x, A)); let b = matches!(x, A); matches!(y, B) }";
        assert_eq!(lines(text), [""; 0]);
    }
}
