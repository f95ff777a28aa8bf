//! Texts for people: what can't drive a terminal, what can be pasted into a shell, times, sizes.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dagstore::ShardKey;

/// `text` with control characters, and those that turn the direction of writing, escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if drives_a_terminal(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// JSON text with the same characters escaped as JSON does it. They stand inside of strings only.
pub(crate) fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if drives_a_terminal(character) {
            // Writing to a String can't fail; all of these characters are below U+10000.
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn drives_a_terminal(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `text` as one word of a shell's command line.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:@%+=,".contains(character);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text.to_owned();
    }
    let quoted = format!("'{}'", text.replace('\'', r"'\''"));
    if text.starts_with('-') { format!("-- {quoted}") } else { quoted }
}

/// A path as text: bytes that are no UTF-8 as `\xff`, so that two names stay two.
pub(crate) fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String can't fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// A path as one word of a shell's command line, as far as it is text.
pub(crate) fn path_word(path: &Path) -> String {
    shell_word(&path_text(path))
}

/// The key, cut to a width that leaves room for other things in a line.
pub(crate) fn short_key(key: &ShardKey) -> String {
    shorten(&escape(key.as_str()), 40)
}

/// `text`, cut to `most` characters.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

/// A time in milliseconds since 1970 as RFC 3339 has it, in UTC; the end of the year 9999 for any later one.
pub(crate) fn time(unix_ms: u64) -> String {
    const LAST_MS: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms.min(LAST_MS))).to_string()
}

/// The time now, in milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// How long it is from `now_ms` to `at_ms`, in its two largest units at most.
pub(crate) fn from_now(at_ms: u64, now_ms: u64) -> String {
    let seconds = at_ms.saturating_sub(now_ms).div_ceil(1000);
    if seconds == 0 {
        return "due".to_owned();
    }
    let units = [("d", seconds / 86_400), ("h", seconds / 3600 % 24), ("m", seconds / 60 % 60), ("s", seconds % 60)];
    let shown = units.into_iter().skip_while(|(_, count)| *count == 0).take(2).filter(|(_, count)| *count > 0);
    let shown: Vec<_> = shown.map(|(unit, count)| format!("{count}{unit}")).collect();
    format!("in {}", shown.join(" "))
}

/// `count` with its noun, in the plural unless it is one.
pub(crate) fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let digits = count.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let plural = if count == 1 { "" } else { "s" };
    format!("{grouped} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        assert_eq!(escape("a\u{1b}[2Jb\n\u{9b}ü\u{202e}"), "a\\u{1b}[2Jb\\n\\u{9b}ü\\u{202e}");
        let json = serde_json::to_string("\u{7f}\u{9b}\u{202e}\n").unwrap();
        let escaped = escape_json(&json);
        assert_eq!(escaped, r#""\u007f\u009b\u202e\n""#);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), "\u{7f}\u{9b}\u{202e}\n");
    }

    #[test]
    fn paths_that_are_no_text_stay_apart() {
        let path = |bytes: &[u8]| path_text(Path::new(std::ffi::OsStr::from_bytes(bytes)));
        assert_eq!(path(b"a\xff\xfeb.car"), "a\\xff\\xfeb.car");
        assert_eq!(path("ü.car".as_bytes()), "ü.car");
        assert_eq!(path_word(Path::new("it's.car")), r"'it'\''s.car'");
    }

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(shell_word("pieces/a-1.car"), "pieces/a-1.car");
        assert_eq!(shell_word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("-v"), "-- '-v'");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(time(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(time(1_735_689_600_001), "2025-01-01T00:00:00.001Z");
        assert_eq!(time(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert!(time(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn what_is_to_come_is_told_in_two_units() {
        let at = |seconds: u64| from_now(5_000 + seconds * 1000, 5_000);
        let told = [0, 1, 60, 61, 3600, 3661, 86_399, 86_400, 90_000, 8_640_001].map(at);
        let expected =
            ["due", "in 1s", "in 1m", "in 1m 1s", "in 1h", "in 1h 1m", "in 23h 59m", "in 1d", "in 1d 1h", "in 100d"];
        assert_eq!(told, expected);
        assert_eq!((from_now(5_001, 5_000).as_str(), from_now(4_999, 5_000).as_str()), ("in 1s", "due"));
    }

    #[test]
    fn counts_are_grouped_and_agree_with_their_noun() {
        assert_eq!(counted(1_u64, "block"), "1 block");
        assert_eq!(counted(0_u64, "block"), "0 blocks");
        assert_eq!(counted(1_234_567_u64, "block"), "1,234,567 blocks");
        assert_eq!(counted(123_456_usize, "block"), "123,456 blocks");
    }
}
