//! Nothing unfinished stays: no macros that stand for missing code, no notes to come back, no ignored tests.

use proc_macro2::TokenTree;

use super::Problem;
use super::source::{Level, SourceFile, is_attribute};

/// Macros that no finished code calls.
const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Notes to oneself, put together so that this file does not contain them.
const NOTES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// A documentation test that is never compiled.
const IGNORED_EXAMPLE: &str = concat!("``", "`ignore");

/// Reports leftovers in code, and notes in code and configuration; documents may write about notes.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !file.is_document()) {
        for level in file.levels() {
            problems.extend(in_level(file, &level));
        }
        for (index, line) in file.text.lines().enumerate() {
            let words = || line.split(|character: char| !character.is_alphanumeric());
            for note in NOTES.iter().filter(|note| words().any(|word| word == **note)) {
                problems.push(Problem::in_line(&file.path, index + 1, format!("a note `{note}`")));
            }
            if file.is_rust() && line.contains(IGNORED_EXAMPLE) {
                problems.push(Problem::in_line(&file.path, index + 1, "an example that is never compiled"));
            }
        }
    }
    problems
}

fn in_level(file: &SourceFile, level: &Level) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, token) in level.tokens.iter().enumerate() {
        let line = token.span().start().line;
        match token {
            TokenTree::Ident(word)
                if MACROS.iter().any(|name| word == name) && is_bang(level.tokens.get(index + 1)) =>
            {
                problems.push(Problem::in_line(&file.path, line, format!("`{word}!`")));
            }
            TokenTree::Group(attribute)
                if is_attribute(&level.tokens, index) && ignores(&attribute.stream().to_string()) =>
            {
                problems.push(Problem::in_line(&file.path, line, "an ignored test"));
            }
            _ => {}
        }
    }
    problems
}

fn is_bang(token: Option<&TokenTree>) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == '!')
}

/// Whether an attribute is `ignore`, or `cfg_attr` with it.
fn ignores(attribute: &str) -> bool {
    let mut words = attribute.split(|character: char| !(character.is_alphanumeric() || character == '_'));
    match words.next() {
        Some("ignore") => true,
        Some("cfg_attr") => words.any(|word| word == "ignore"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{IGNORED_EXAMPLE, NOTES, check};
    use crate::tidy::source::SourceFile;

    fn problems(text: &str) -> usize {
        check(&[SourceFile::example("a.rs", text)]).len()
    }

    #[test]
    fn macros_for_missing_code_are_reported() {
        for name in super::MACROS {
            assert_eq!(problems(&format!("fn a() {{ {name}!() }}")), 1, "{name}");
            assert_eq!(problems(&format!("fn {name}() {{ let a = \"{name}!\"; }}")), 0, "{name}");
        }
    }

    #[test]
    fn notes_are_reported_in_code_and_configuration() {
        for note in NOTES {
            assert_eq!(problems(&format!("// {note}: later\n")), 1, "{note}");
            assert_eq!(check(&[SourceFile::example("a.toml", &format!("# {note}\n"))]).len(), 1);
            assert_eq!(check(&[SourceFile::example("a.md", note)]), []);
        }
    }

    #[test]
    fn ignored_tests_and_examples_are_reported() {
        assert_eq!(problems("#[test]\n#[ignore = \"slow\"]\nfn a() {}"), 1);
        assert_eq!(problems("#[test]\n#[cfg_attr(windows, ignore)]\nfn a() {}"), 1);
        assert_eq!(problems(&format!("/// {IGNORED_EXAMPLE}\n/// ```\nfn a() {{}}")), 1);
        assert_eq!(problems("#[must_use]\nfn ignore() { let a = [ignore]; }"), 0);
    }
}
