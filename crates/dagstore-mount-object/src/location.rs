//! Where an object is: the part of a URL behind its scheme.

use std::sync::Arc;

use dagstore_mount::{Error, Result, redacted, secret_in};
use object_store::path::Path;
use percent_encoding::percent_decode_str;

/// The longest name that a bucket has anywhere.
const LONGEST_BUCKET: usize = 222;

/// A bucket and a key.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) key: Path,
    /// Fit to be printed.
    pub(crate) shown: Arc<str>,
}

impl Place {
    /// `suffix` is printed behind it.
    pub(crate) fn parse(location: &str, suffix: &str) -> Result<Self> {
        let bad = |why: &str| Error::BadUrl { url: shown(location), why: why.to_owned() };
        if let Some(secret) = secret_in(&format!("x:{location}")) {
            let why = "is a secret, and URLs are kept and printed; name a credential in the mount's template instead";
            return Err(bad(&format!("{secret} {why}")));
        }
        if location.contains(['?', '#']) {
            return Err(bad("a bucket's key has no parameters and no fragment; write ? as %3F and # as %23"));
        }
        let parts = location.strip_prefix("//").and_then(|rest| rest.split_once('/'));
        let (bucket, key) = parts.ok_or_else(|| bad("it isn't of the form //bucket/key"))?;
        if !is_bucket(bucket) {
            return Err(bad("its bucket isn't made of letters, digits, -, _ and ."));
        }
        if !is_encoded(key) {
            return Err(bad("a % isn't followed by two digits of base 16; write it as %25"));
        }
        let key = percent_decode_str(key).decode_utf8().map_err(|_| bad("its key isn't UTF-8"))?;
        let path = Path::parse(&key).ok().filter(|path| !key.is_empty() && path.as_ref() == key);
        let why = "its key has an empty part, . or .. as a part, or a control character, which can't be asked for";
        let path = path.ok_or_else(|| bad(why))?;
        Ok(Self { bucket: bucket.to_owned(), key: path, shown: format!("{location}{suffix}").into() })
    }
}

/// What of a location is fit to be printed: nothing behind a `?` or `#`, whatever it is called.
fn shown(location: &str) -> String {
    let end = location.find(['?', '#']).unwrap_or(location.len());
    redacted(&format!("x:{}", &location[..end]))[2..].to_owned()
}

fn is_bucket(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
    let is_name = (1..=LONGEST_BUCKET).contains(&name.len()) && name.bytes().all(is_known);
    // Neither a part of a path that means another, nor two dots in a name of a host.
    is_name && !name.starts_with('.') && !name.ends_with('.') && !name.contains("..")
}

fn is_encoded(key: &str) -> bool {
    let is_digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = key.as_bytes();
    let mut places = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    places.all(|(place, _)| is_digit(bytes.get(place + 1)) && is_digit(bytes.get(place + 2)))
}
