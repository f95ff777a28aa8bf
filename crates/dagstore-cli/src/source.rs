//! What a person types for the place of a CAR: a URL, or the path of a file.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use dagstore::mount::{FileMount, Mount, MountUrl, redacted};
use percent_encoding::percent_decode_str;

use crate::exit::{Code, Failure};
use crate::text::shell_word;

/// The ending that isn't part of a key.
const ENDING: &str = ".car";

/// The place of a CAR.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its URL.
    pub(crate) url: String,
    /// The name of the file without `.car`, where there is one.
    pub(crate) name: Option<String>,
}

impl Source {
    /// Tells URLs from paths. What has a scheme is a URL, unless a file has that very name: `a:b.car` is a path where it
    /// exists, but `file:///a` never is.
    pub(crate) fn of(argument: &OsStr) -> Result<Self, Failure> {
        let is_taken_for_url = |url: &&str| is_rooted(url) || std::fs::symlink_metadata(argument).is_err();
        let url = argument.to_str().filter(|text| has_scheme(text)).filter(is_taken_for_url);
        match url {
            Some(url) => Ok(Self { url: url.to_owned(), name: name_in_url(url) }),
            None => Self::of_path(Path::new(argument)),
        }
    }

    /// The key that was given, or the name.
    pub(crate) fn key(&self, given: Option<&str>) -> Result<String, Failure> {
        given.map(str::to_owned).or_else(|| self.name.clone()).ok_or_else(|| {
            let text = format!("{} has no file name that could be the shard's key", redacted(&self.url));
            let advice = format!("dagstore register --key KEY {}", shell_word(&redacted(&self.url)));
            Failure::of_text(Code::Usage, text).advise(advice)
        })
    }

    fn of_path(path: &Path) -> Result<Self, Failure> {
        let mount = FileMount::new(plain(path)).map_err(dagstore::Error::from)?;
        let url = MountUrl::new("file", &mount.location()).map_err(dagstore::Error::from)?;
        let name = path.file_name().and_then(OsStr::to_str).map(without_ending);
        Ok(Self { url: url.as_str().to_owned(), name })
    }
}

/// The path without `..`, where its folder exists: folders that a path merely passes through may go.
fn plain(path: &Path) -> PathBuf {
    let resolved = || {
        let folder = path.parent()?.canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    let has_detour = path.components().any(|component| component == Component::ParentDir);
    has_detour.then(resolved).flatten().unwrap_or_else(|| path.to_owned())
}

fn has_scheme(text: &str) -> bool {
    // Checks the scheme alone: what is wrong with the rest is to be told, not to make a path of it.
    text.split_once(':').is_some_and(|(scheme, _)| MountUrl::new(scheme, "x").is_ok())
}

fn is_rooted(url: &str) -> bool {
    url.split_once(':').is_some_and(|(_, location)| location.starts_with('/'))
}

/// The last part of the path: of URLs whose paths begin at a root, and of others where it can't be data.
fn name_in_url(url: &str) -> Option<String> {
    let (_, location) = url.split_once(':')?;
    let path = location.split(['?', '#']).next()?;
    let name = match path.rsplit_once('/') {
        Some((_, name)) => name,
        None => Some(path).filter(|path| path.ends_with(ENDING))?,
    };
    let name = percent_decode_str(name).decode_utf8().ok()?;
    (!name.is_empty()).then(|| without_ending(&name))
}

fn without_ending(name: &str) -> String {
    name.strip_suffix(ENDING).filter(|rest| !rest.is_empty()).unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn of(argument: &str) -> (String, Option<String>) {
        let source = Source::of(OsStr::new(argument)).unwrap();
        (source.url, source.name)
    }

    #[test]
    fn what_has_a_scheme_is_a_url() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(of("file:///srv/a%20b.car"), ("file:///srv/a%20b.car".to_owned(), some("a b")));
        assert_eq!(
            of("https://h.example/x/y.car?sig=1/2"),
            ("https://h.example/x/y.car?sig=1/2".to_owned(), some("y"))
        );
        assert_eq!(of("bytes:aGk"), ("bytes:aGk".to_owned(), None));
        assert_eq!(of("absent:b.car"), ("absent:b.car".to_owned(), some("b")));
        assert_eq!(of("absent:a/b%20c.car?x"), ("absent:a/b%20c.car?x".to_owned(), some("b c")));
        assert_eq!(of("absent:b"), ("absent:b".to_owned(), None));
        assert_eq!(of("file:///srv/"), ("file:///srv/".to_owned(), None));
        assert_eq!(of("file:///srv/a b"), ("file:///srv/a b".to_owned(), some("a b")));
        assert_eq!(of("file:///srv/%ff.car").1, None);
    }

    #[test]
    fn everything_else_is_a_path() {
        let (url, name) = of("/srv/it's 100%.car");
        assert_eq!((url.as_str(), name.as_deref()), ("file:///srv/it's%20100%25.car", Some("it's 100%")));
        assert!(of("a.car").0.ends_with("/a.car"));
        assert!(of("./a:b.car").0.ends_with("/a:b.car"));
        assert!(of("1:b.car").0.ends_with("/1:b.car"));
        assert_eq!(of("/srv/.car").1.as_deref(), Some(".car"));
        assert_eq!(of("/srv/..").1, None);
        let odd = OsString::from_vec(b"/srv/\xff.car".to_vec());
        assert_eq!(Source::of(&odd).unwrap(), Source { url: "file:///srv/%FF.car".to_owned(), name: None });
    }

    #[test]
    fn a_key_is_needed_where_there_is_no_name() {
        let source = Source { url: "bytes:aGk".to_owned(), name: None };
        assert_eq!(source.key(Some("k")).unwrap(), "k");
        assert_eq!(source.key(None).unwrap_err().code, Code::Usage);
    }
}
