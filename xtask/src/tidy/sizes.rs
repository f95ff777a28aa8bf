//! Files and functions stay short enough to be read at once; exceptions are named, and can only shrink.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenTree};
use serde::Deserialize;

use super::Problem;
use super::source::{Level, SourceFile, test_lines};

/// What `xtask/sizes.toml` says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sizes {
    /// A file has fewer lines than this, tests aside.
    file_lines: usize,
    /// A function has fewer lines than this.
    function_lines: usize,
    /// Files that have more, by path, with the lines they have.
    #[serde(default)]
    files: BTreeMap<String, usize>,
    /// Functions that have more, by `path::name`, with the lines they have.
    #[serde(default)]
    functions: BTreeMap<String, usize>,
}

/// Reports what is too long, and exceptions that are larger than they need to be.
pub(crate) fn check(files: &[SourceFile], sizes: &Sizes) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut file_limits = Limits::new("file", sizes.file_lines, &sizes.files);
    let mut function_limits = Limits::new("function", sizes.function_lines, &sizes.functions);
    for file in files.iter().filter(|file| file.is_rust()) {
        if !file.is_test {
            problems.extend(file_limits.check(&file.path, &file.path, product_lines(file)));
        }
        for level in file.levels() {
            for function in functions(&level) {
                let key = format!("{}::{}", file.path, function.name);
                let place = format!("{}:{}", file.path, function.first_line);
                problems.extend(function_limits.check(&key, &place, function.lines()));
            }
        }
    }
    problems.extend(file_limits.unused());
    problems.extend(function_limits.unused());
    problems
}

/// Lines of a file without those of its tests.
fn product_lines(file: &SourceFile) -> usize {
    let tests: usize = test_lines(file).into_iter().map(Iterator::count).sum();
    file.text.lines().count().saturating_sub(tests)
}

struct Function {
    name: String,
    first_line: usize,
    last_line: usize,
}

impl Function {
    fn lines(&self) -> usize {
        self.last_line.saturating_sub(self.first_line) + 1
    }
}

/// The functions with a body that stand on a level, from the line of `fn` to the closing brace.
fn functions(level: &Level) -> Vec<Function> {
    let mut found = Vec::new();
    for (index, pair) in level.tokens.windows(2).enumerate() {
        let [TokenTree::Ident(keyword), TokenTree::Ident(name)] = pair else { continue };
        if keyword != "fn" {
            continue;
        }
        let end = level.tokens.iter().skip(index).find(|token| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Punct(punct) => punct.as_char() == ';',
            _ => false,
        });
        if let Some(TokenTree::Group(body)) = end {
            let last_line = body.span_close().end().line;
            found.push(Function { name: name.to_string(), first_line: keyword.span().start().line, last_line });
        }
    }
    found
}

/// One limit with its exceptions, and which of them were met.
struct Limits<'a> {
    what: &'static str,
    limit: usize,
    exceptions: &'a BTreeMap<String, usize>,
    used: Vec<&'a str>,
}

impl<'a> Limits<'a> {
    fn new(what: &'static str, limit: usize, exceptions: &'a BTreeMap<String, usize>) -> Self {
        Self { what, limit, exceptions, used: Vec::new() }
    }

    fn check(&mut self, key: &str, place: &str, lines: usize) -> Option<Problem> {
        let Some((name, allowed)) = self.exceptions.get_key_value(key) else {
            let text = format!("a {} of {lines} lines, the limit is fewer than {}", self.what, self.limit);
            return (lines >= self.limit).then(|| Problem::of(place, text));
        };
        // A second function of the same name in the file may be short.
        if lines < self.limit {
            return None;
        }
        self.used.push(name);
        match lines.cmp(allowed) {
            std::cmp::Ordering::Greater => {
                Some(Problem::of(place, format!("a {} of {lines} lines, sizes.toml allows {allowed}", self.what)))
            }
            std::cmp::Ordering::Less => Some(Problem::of(place, format!("has {lines} lines: lower it in sizes.toml"))),
            std::cmp::Ordering::Equal => None,
        }
    }

    fn unused(&self) -> Vec<Problem> {
        let unused = self.exceptions.keys().filter(|key| !self.used.contains(&key.as_str()));
        unused.map(|key| Problem::of("xtask/sizes.toml", format!("\"{key}\" needs no exception any more"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Sizes, check};
    use crate::tidy::source::SourceFile;

    const LIMITS: &str = "file_lines = 10\nfunction_lines = 5\n";

    fn problems(path: &str, text: &str, exceptions: &str) -> Vec<String> {
        let sizes: Sizes = toml::from_str(&format!("{LIMITS}{exceptions}")).unwrap();
        check(&[SourceFile::example(path, text)], &sizes).iter().map(ToString::to_string).collect()
    }

    fn lines(count: usize) -> String {
        "//!\n".repeat(count)
    }

    #[test]
    fn a_long_file_is_reported() {
        assert_eq!(problems("a.rs", &lines(9), ""), [""; 0]);
        assert_eq!(problems("a.rs", &lines(10), ""), ["a.rs: a file of 10 lines, the limit is fewer than 10"]);
    }

    #[test]
    fn tests_do_not_count() {
        let text = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(9), lines(20));
        assert_eq!(problems("a.rs", &text, ""), [""; 0]);
        assert_eq!(problems("a/tests/b.rs", &lines(20), ""), [""; 0]);
    }

    #[test]
    fn a_long_function_is_reported_wherever_it_stands() {
        let function = "fn b() {\n\n\n\n}\n";
        let short = "fn b() {\n\n\n}\n";
        assert_eq!(problems("a.rs", short, ""), [""; 0]);
        assert_eq!(problems("a.rs", function, "").len(), 1);
        assert_eq!(
            problems("a.rs", &format!("mod m {{ impl A {{\n{function}}} }}"), ""),
            ["a.rs:2: a function of 5 lines, the limit is fewer than 5"]
        );
        assert_eq!(problems("a.rs", "trait T { fn a(); \n fn b(\n\n\n); }\ntype F = fn(\n\n);\n", ""), [""; 0]);
    }

    #[test]
    fn an_exception_holds_and_can_only_shrink() {
        let text = "fn b() {\n\n\n\n\n}\n";
        assert_eq!(problems("a.rs", text, "[functions]\n\"a.rs::b\" = 6\n"), [""; 0]);
        assert_eq!(problems("a.rs", text, "[functions]\n\"a.rs::b\" = 5\n").len(), 1);
        assert_eq!(
            problems("a.rs", text, "[functions]\n\"a.rs::b\" = 7\n"),
            ["a.rs:1: has 6 lines: lower it in sizes.toml"]
        );
        let unneeded = problems("a.rs", text, "[functions]\n\"a.rs::b\" = 6\n\"a.rs::c\" = 6\n");
        assert_eq!(unneeded, ["xtask/sizes.toml: \"a.rs::c\" needs no exception any more"]);
    }

    #[test]
    fn a_file_may_be_an_exception() {
        assert_eq!(problems("a.rs", &lines(12), "[files]\n\"a.rs\" = 12\n"), [""; 0]);
        assert_eq!(problems("a.rs", &lines(13), "[files]\n\"a.rs\" = 12\n").len(), 1);
    }
}
