//! The URL of a mount.

use std::fmt;

use crate::{Error, Result, redacted};

/// The longest mount URL, in bytes.
pub const MAX_URL_BYTES: usize = 8 * 1024;

/// The most of a bad URL that an error repeats, in characters.
const SHOWN_CHARACTERS: usize = 80;

/// A mount's URL: a scheme (RFC 3986: a letter, then letters, digits, `+`, `-`, `.`), a colon, and a location that the
/// scheme's mount understands. Printable ASCII, at most [`MAX_URL_BYTES`]; kept byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MountUrl(String);

impl MountUrl {
    /// Checks `text` and takes it as a URL.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| Err(Error::BadUrl { url: shown(text), why: why.to_owned() });
        if text.len() > MAX_URL_BYTES {
            return bad(&format!("it has {} bytes, the most is {MAX_URL_BYTES}", text.len()));
        }
        let Some((scheme, _)) = text.split_once(':') else {
            return bad("it has no scheme, such as file:");
        };
        if !is_scheme(scheme) {
            return bad("its scheme isn't a letter followed by letters, digits, +, - and .");
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return bad("it has spaces, control characters or letters beyond ASCII; write them as %20 and so on");
        }
        Ok(Self(text.to_owned()))
    }

    /// Puts a URL together.
    ///
    /// # Errors
    /// [`Error::BadUrl`].
    pub fn new(scheme: &str, location: &str) -> Result<Self> {
        Self::parse(&format!("{scheme}:{location}"))
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first colon.
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// The part after the first colon.
    pub fn location(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, location)| location)
    }
}

/// As much of a URL as is fit to print.
pub(crate) fn shown(text: &str) -> String {
    // First of all the secrets: one that is cut in the middle wouldn't look like one any more.
    redacted(text).chars().take(SHOWN_CHARACTERS).collect()
}

/// Whether `text` can be a scheme.
pub(crate) fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

impl fmt::Display for MountUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_checked() {
        let url = MountUrl::parse("x-1+y.z:a:b?c#d").unwrap();
        assert_eq!((url.scheme(), url.location()), ("x-1+y.z", "a:b?c#d"));
        for bad in ["", "file", ":x", "1x:y", "x y:z", "file:///a b", "file:///ü", "file:///a\n"] {
            assert!(matches!(MountUrl::parse(bad), Err(Error::BadUrl { .. })), "{bad:?}");
        }
        let long = format!("file:{}", "x".repeat(MAX_URL_BYTES - 5));
        assert!(MountUrl::parse(&long).is_ok());
        assert!(MountUrl::parse(&format!("{long}x")).is_err());
    }
}
