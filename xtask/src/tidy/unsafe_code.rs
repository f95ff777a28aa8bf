//! Only the crates that `layers.toml` names may contain `unsafe`.

use proc_macro2::TokenTree;

use super::Problem;
use super::source::SourceFile;

/// Reports the keyword in files of any other crate; `allowed` are the crates' folders' names.
pub(crate) fn check(files: &[SourceFile], allowed: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| !file.path.split('/').any(|part| allowed.iter().any(|name| name == part))) {
        for token in file.levels().into_iter().flat_map(|level| level.tokens) {
            if matches!(&token, TokenTree::Ident(word) if word == "unsafe") {
                let line = token.span().start().line;
                problems.push(Problem::in_line(&file.path, line, "`unsafe` in a crate that layers.toml does not name"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::SourceFile;

    const UNSAFE: &str = "//! Not unsafe.\n#![forbid(unsafe_code)]\nfn a() {\n    unsafe { \"unsafe\" }\n}\n";

    #[test]
    fn the_keyword_is_reported_and_nothing_that_looks_like_it() {
        let problems = check(&[SourceFile::example("crates/a/src/lib.rs", UNSAFE)], &["b".to_owned()]);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().starts_with("crates/a/src/lib.rs:4: "));
    }

    #[test]
    fn a_named_crate_may_use_it() {
        assert_eq!(check(&[SourceFile::example("crates/a/src/lib.rs", UNSAFE)], &["a".to_owned()]), []);
    }
}
