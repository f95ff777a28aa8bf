//! The texts of the workspace, and the Rust among them as trees of tokens.
//!
//! Tokens rather than text: a word in a string or a comment is no code, and no rule has to know about that.

use std::ffi::OsStr;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Ends of names of the files that are read.
const ENDINGS: [&str; 9] = ["rs", "toml", "md", "sh", "yml", "yaml", "cc", "py", "run"];

/// Names of folders that hold nothing of ours.
const SKIPPED_FOLDERS: [&str; 3] = ["target", ".git", "node_modules"];

/// One text file.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// From the root of the workspace, with `/`.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
    /// Whether it is compiled for tests only.
    pub(crate) is_test: bool,
}

impl SourceFile {
    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.has_ending("rs")
    }

    /// Whether it is Rust that can't be read as tokens, so that no check sees what is in it.
    pub(crate) fn is_unreadable(&self) -> bool {
        self.is_rust() && self.text.parse::<TokenStream>().is_err()
    }

    /// Whether it is prose.
    pub(crate) fn is_document(&self) -> bool {
        self.has_ending("md")
    }

    fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension() == Some(OsStr::new(ending))
    }

    /// The token trees of every level, outermost first; nothing where the file is no Rust or can't be read.
    pub(crate) fn levels(&self) -> Vec<Level> {
        let mut levels = Vec::new();
        if let Some(stream) = Some(&self.text).filter(|_| self.is_rust()).and_then(|text| text.parse().ok()) {
            collect_levels(stream, None, &mut levels);
        }
        levels
    }

    /// A file made up for a test.
    #[cfg(test)]
    pub(crate) fn example(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), is_test: is_test_path(path) }
    }
}

/// The tokens between one pair of brackets, or of a whole file.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    /// In order; a pair of brackets further in is one token.
    pub(crate) tokens: Vec<TokenTree>,
    /// The kind of the brackets; none for a whole file.
    pub(crate) delimiter: Option<Delimiter>,
}

/// Reads every text file below `root`.
///
/// # Errors
///
/// When a folder or a file can't be read, or a file is not UTF-8.
pub(crate) fn read_all(root: &Path) -> Result<Vec<SourceFile>> {
    let mut paths = Vec::new();
    collect_paths(root, &mut paths)?;
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        files.push(SourceFile { is_test: is_test_path(&path), path, text });
    }
    mark_test_modules(&mut files);
    Ok(files)
}

fn collect_paths(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED_FOLDERS.iter().any(|skipped| name == *skipped) {
                collect_paths(&path, paths)?;
            }
        } else if kind.is_file() && is_text(&path) {
            paths.push(path);
        }
    }
    Ok(())
}

/// By its ending, or by its whole name where it has none (`.ci/run`).
fn is_text(path: &Path) -> bool {
    let ending = path.extension().or(path.file_name()).unwrap_or_default();
    ENDINGS.iter().any(|text| ending == *text)
}

fn is_test_path(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    name == "tests.rs" || name.ends_with("_tests.rs") || parts.any(|folder| folder == "tests")
}

/// Marks the files of modules that are declared as `#[cfg(test)] mod name;`.
fn mark_test_modules(files: &mut [SourceFile]) {
    let mut test_paths = Vec::new();
    for file in files.iter() {
        let Some(level) = file.levels().into_iter().next() else { continue };
        for name in test_module_names(&level.tokens) {
            let folder = module_folder(&file.path);
            test_paths.push(format!("{folder}/{name}.rs"));
            test_paths.push(format!("{folder}/{name}/"));
        }
    }
    for file in files {
        file.is_test |=
            test_paths.iter().any(|test| file.path == *test || (test.ends_with('/') && file.path.starts_with(test)));
    }
}

/// Where the modules that a file declares have their files.
fn module_folder(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
        _ => path.strip_suffix(".rs").unwrap_or(path).to_owned(),
    }
}

fn test_module_names(tokens: &[TokenTree]) -> Vec<String> {
    let mut names = Vec::new();
    let mut for_tests = false;
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if is_attribute(tokens, index) => for_tests |= is_cfg_test(group),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => for_tests = false,
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                if let (true, Some(name)) = (for_tests, module_name_before(tokens, index)) {
                    names.push(name);
                }
                for_tests = false;
            }
            _ => {}
        }
    }
    names
}

/// The name in `mod name ;`, where the semicolon is at `index`.
fn module_name_before(tokens: &[TokenTree], index: usize) -> Option<String> {
    let name = tokens.get(index.checked_sub(1)?)?;
    let keyword = tokens.get(index.checked_sub(2)?)?;
    (keyword.to_string() == "mod").then(|| name.to_string())
}

/// Whether the brackets at `index` are an attribute's, `#[...]` or `#![...]`.
pub(crate) fn is_attribute(tokens: &[TokenTree], index: usize) -> bool {
    let punct = |back: usize, character| {
        let before = index.checked_sub(back).and_then(|before| tokens.get(before));
        matches!(before, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
    };
    let bracket = matches!(tokens.get(index), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket);
    bracket && (punct(1, '#') || (punct(1, '!') && punct(2, '#')))
}

/// Whether an attribute's brackets hold `cfg(test)` or a `cfg` that demands `test` among others.
fn is_cfg_test(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text.starts_with("cfg(") && !text.contains("not(test") && {
        text.split(|character: char| !(character.is_alphanumeric() || character == '_')).any(|word| word == "test")
    }
}

fn collect_levels(stream: TokenStream, delimiter: Option<Delimiter>, levels: &mut Vec<Level>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let inner: Vec<Group> = tokens
        .iter()
        .filter_map(|token| if let TokenTree::Group(group) = token { Some(group.clone()) } else { None })
        .collect();
    levels.push(Level { tokens, delimiter });
    for group in inner {
        collect_levels(group.stream(), Some(group.delimiter()), levels);
    }
}

/// The line ranges of everything on the outermost level that is compiled for tests only, attributes included.
pub(crate) fn test_lines(file: &SourceFile) -> Vec<RangeInclusive<usize>> {
    let Some(level) = file.levels().into_iter().next() else { return Vec::new() };
    let mut ranges = Vec::new();
    let mut start = None;
    for (index, token) in level.tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) if is_attribute(&level.tokens, index) && is_cfg_test(group) => {
                start = start.or(Some(group.span_open().start().line));
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                ranges.extend(start.take().map(|start| start..=group.span_close().end().line));
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => start = None,
            _ => {}
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::{Level, SourceFile, is_test_path, is_text, mark_test_modules, read_all, test_lines};

    #[test]
    fn levels_come_outermost_first_and_hold_no_comments() {
        let file = SourceFile::example("x.rs", "a { b (c) } // d\n\"e\" /* f */");
        let level = |level: Level| level.tokens.iter().map(ToString::to_string).collect::<String>().replace(' ', "");
        let levels: Vec<String> = file.levels().into_iter().map(level).collect();
        assert_eq!(levels, ["a{b(c)}\"e\"", "b(c)", "c"]);
    }

    #[test]
    fn a_cfg_without_test_marks_no_tests() {
        for attribute in ["cfg(not(test))", "cfg(feature = \"tests\")", "cfg_attr(test, allow(x))"] {
            let file = SourceFile::example("x.rs", &format!("#[{attribute}]\nmod a {{}}\n"));
            assert_eq!(test_lines(&file), [], "{attribute}");
        }
        assert_eq!(test_lines(&SourceFile::example("x.rs", "#[cfg(all(unix, test))]\nmod a {}\n")), [1..=2]);
    }

    #[test]
    fn lines_of_tests_begin_at_their_attribute() {
        let file = SourceFile::example("x.rs", "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n");
        assert_eq!(test_lines(&file), [3..=6]);
    }

    #[test]
    fn files_of_test_modules_are_tests() {
        let mut files = [
            SourceFile::example("c/src/lib.rs", "mod a;\n#[cfg(test)]\nmod cases;"),
            SourceFile::example("c/src/a.rs", "#[cfg(test)] mod more;"),
            SourceFile::example("c/src/cases.rs", ""),
            SourceFile::example("c/src/cases/inner.rs", ""),
            SourceFile::example("c/src/a/more.rs", ""),
        ];
        mark_test_modules(&mut files);
        assert_eq!(files.map(|file| file.is_test), [false, false, true, true, true]);
    }

    #[test]
    fn folders_and_names_of_tests_are_known() {
        for path in ["c/tests/a.rs", "c/tests/b/c.rs", "c/src/tests.rs", "c/src/map_tests.rs"] {
            assert!(is_test_path(path), "{path}");
        }
        assert!(!is_test_path("c/src/latests.rs"));
    }

    #[test]
    fn every_text_of_the_project_is_read_and_nothing_of_the_target_folder() {
        let root = tempfile::tempdir().unwrap();
        for path in ["a/b.rs", ".ci/run", "target/x.rs", "image.png"] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let paths: Vec<String> = read_all(root.path()).unwrap().into_iter().map(|file| file.path).collect();
        assert_eq!(paths, [".ci/run", "a/b.rs"]);
        assert!(!is_text("run.png".as_ref()));
    }
}
