//! Times and numbers of bytes, as people write them.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// A time such as `1m 30s`, more than none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Span(pub(crate) Duration);

/// A time that isn't one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSpan {
    #[error("{text:?} is no time such as \"30s\" or \"1m 30s\": {source}")]
    Malformed { text: String, source: humantime::DurationError },
    #[error("the time must be more than 0")]
    Zero,
}

impl FromStr for Span {
    type Err = NoSpan;

    fn from_str(text: &str) -> Result<Self, NoSpan> {
        match humantime::parse_duration(text) {
            Ok(Duration::ZERO) => Err(NoSpan::Zero),
            Ok(duration) => Ok(Self(duration)),
            Err(source) => Err(NoSpan::Malformed { text: text.to_owned(), source }),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = NoSpan;

    fn try_from(text: String) -> Result<Self, NoSpan> {
        text.parse()
    }
}

/// A number of bytes such as `1000000`, `50MB` or `16MiB`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Size(pub(crate) u64);

/// How the file has it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of bytes such as 1000000, \"50MB\" or \"16MiB\"")]
enum Written {
    Number(u64),
    Text(String),
}

/// A number of bytes that isn't one.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no number of bytes such as 1000000, 50MB or 16MiB")]
pub(crate) struct NoSize(String);

impl FromStr for Size {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let unit = match unit.trim().to_ascii_lowercase().trim_end_matches('b') {
            "" => 1,
            "k" => 1000,
            "m" => 1_000_000,
            "g" => 1_000_000_000,
            "t" => 1_000_000_000_000,
            "ki" => 1 << 10,
            "mi" => 1 << 20,
            "gi" => 1 << 30,
            "ti" => 1 << 40,
            _ => 0,
        };
        let bytes = digits.parse::<u64>().ok().filter(|_| unit > 0).and_then(|digits| digits.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| NoSize(text.to_owned()))
    }
}

impl TryFrom<Written> for Size {
    type Error = NoSize;

    fn try_from(written: Written) -> Result<Self, NoSize> {
        match written {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

/// The time as it is written.
pub(crate) fn in_words(time: Duration) -> String {
    humantime::format_duration(time).to_string()
}

/// The time as the file has it.
pub(super) fn in_quotes(time: Duration) -> String {
    format!("\"{}\"", in_words(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_units() {
        let of = |text: &str| text.parse::<Size>().map(|size| size.0).ok();
        let known = ["0", "1000", "50MB", "50mb", "16 MiB", "2k", "3Gi", "1GB", "2TiB", "1t"].map(of);
        let bytes =
            [0, 1000, 50_000_000, 50_000_000, 16 << 20, 2000, 3 << 30, 1_000_000_000, 2 << 40, 1_000_000_000_000];
        assert_eq!(known, bytes.map(Some));
        assert_eq!(["", "MB", "5 parsecs", "-1", "99999999999999999999", "20000000000000GB"].map(of), [None; 6]);
    }
}
