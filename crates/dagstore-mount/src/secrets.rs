//! Secrets in URLs: found, and hidden.

use percent_encoding::percent_decode_str;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Parameters whose value opens a door, in lower case: the signatures of the large object stores, and what tokens and
/// passwords are usually called.
const SECRET_PARAMETERS: [&str; 22] = [
    "access_key",
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "authorization",
    "awsaccesskeyid",
    "client_secret",
    "googleaccessid",
    "jwt",
    "key-pair-id",
    "password",
    "passwd",
    "pwd",
    "secret",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-goog-credential",
];

/// `text`, which may be a URL, fit to be printed: without user information and without the values of parameters that are
/// signatures, tokens or passwords. Works on what is no proper URL, too.
pub fn redacted(text: &str) -> String {
    let (start, end) = authority(text);
    let mut shown = text[..start].to_owned();
    match text[start..end].rsplit_once('@') {
        Some((_, host)) => shown.extend([HIDDEN, "@", host]),
        None => shown.push_str(&text[start..end]),
    }
    let mut rest = &text[end..];
    while !rest.is_empty() {
        let next = rest[1..].find(is_separator).map_or(rest.len(), |next| next + 1);
        let (part, behind) = rest.split_at(next);
        match part.split_once('=') {
            Some((name, _)) if is_secret(name) => shown.extend([name, "=", HIDDEN]),
            _ => shown.push_str(part),
        }
        rest = behind;
    }
    shown
}

/// What is secret in a URL: user information, or the name of a parameter.
pub fn secret_in(url: &str) -> Option<String> {
    let (start, end) = authority(url);
    if url[start..end].contains('@') {
        return Some("user information".to_owned());
    }
    let parameters = url[end..].split(is_separator).filter_map(|part| part.split_once('='));
    let secret = parameters.map(|(name, _)| name).find(|name| is_secret(name));
    secret.map(|name| format!("the parameter {name}"))
}

/// Where user information and host are. Parsers are generous with the slashes in front of it, so this is, too; a file's
/// path isn't one, and may have an `@`.
fn authority(text: &str) -> (usize, usize) {
    let start = text.find(':').map_or(0, |colon| colon + 1);
    let is_file = text[..start].eq_ignore_ascii_case("file:");
    let is_slash = |character: char| matches!(character, '/' | '\\');
    let slashes = text[start..].chars().take_while(|character| is_slash(*character)).count();
    let start = start + if is_file { slashes.min(2) } else { slashes };
    let end = text[start..].find(|character| is_slash(character) || matches!(character, '?' | '#'));
    (start, end.map_or(text.len(), |end| start + end))
}

fn is_separator(character: char) -> bool {
    matches!(character, '?' | '&' | ';' | '#')
}

fn is_secret(name: &str) -> bool {
    let name = name.trim_start_matches(is_separator);
    let name = percent_decode_str(name).decode_utf8_lossy().to_lowercase();
    SECRET_PARAMETERS.contains(&name.as_str()) || name.starts_with("x-goog-signature")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_and_hidden() {
        for (url, shown) in [
            ("https://user:canary@host/a", "https://***@host/a"),
            ("https:user:canary@host/a", "https:***@host/a"),
            (r"https:\\user:canary@host\a", r"https:\\***@host\a"),
            ("https:////canary@host", "https:////***@host"),
            ("https://a@b:canary@host:8/", "https://***@host:8/"),
            ("https://host/a?X-Amz-Signature=canary&b=c", "https://host/a?X-Amz-Signature=***&b=c"),
            ("https://host/a?b=c&%53ig=canary#x", "https://host/a?b=c&%53ig=***#x"),
            ("https://host/#access_token=canary;sig=canary", "https://host/#access_token=***;sig=***"),
            ("https://host/ü?token=canary", "https://host/ü?token=***"),
        ] {
            assert_eq!(redacted(url), shown);
            assert!(secret_in(url).is_some_and(|what| !what.contains("canary")), "{url}");
        }
        for plain in ["https://host/a?b=c&d#e", "file:///a@b", "", "?", "a", "https://host/a@b", "bytes:a=b"] {
            assert_eq!(redacted(plain), plain);
            assert_eq!(secret_in(plain), None, "{plain}");
        }
    }
}
