//! Records as Go's dagstore writes them: JSON with six fields, to be read and to be written.
//!
//! ```text
//! {"k":"<key>","u":"<mount URL>","t":"<path of the local copy>","s":<state>,"l":<lazy>,"e":"<error text>"}
//! ```
//!
//! They are no [`Codec`]'s: they lack the registration and all else that this store keeps of a shard.

use std::fmt::Write as _;
use std::io;

use dagstore_types::{MAX_KEY_BYTES, ShardError, ShardKey, ShardRecord, ShardState};
use serde::{Deserialize, Serialize};
use serde_json::ser::{CharEscape, Formatter, Serializer};

use crate::{Codec, CodecId, Error, Result};

const NAME: &str = "go-json";

/// The largest record that is read, in bytes.
pub const MAX_RECORD_BYTES: usize = 64 * 1024;

/// A record of Go's dagstore. Key and URL are as they were found: no rule of this store was held against them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoRecord {
    /// The shard's key; Go writes byte keys in base58btc.
    #[serde(rename = "k", alias = "K", default)]
    pub key: String,
    /// The mount's URL.
    #[serde(rename = "u", alias = "U", default)]
    pub url: String,
    /// The path of the local copy, or nothing.
    #[serde(rename = "t", alias = "T", default)]
    pub copy_path: String,
    /// The state's byte: Go knows 0, 1, 2, 3, 128, 240 and 255.
    #[serde(rename = "s", alias = "S", default)]
    pub state: u8,
    /// Whether the shard waits for its first use. The very first version had no such field.
    #[serde(rename = "l", alias = "L", default)]
    pub lazy: bool,
    /// Why the shard failed, or nothing.
    #[serde(rename = "e", alias = "E", default)]
    pub error: String,
}

impl GoRecord {
    /// Reads a record of any version of Go's dagstore. Fields that aren't known are ignored, absent ones are empty, names are
    /// matched in both cases, as Go does it.
    ///
    /// # Errors
    /// [`Error::Decode`] for what Go refuses, for a record of no fields, for a field that stands there twice, where Go takes the
    /// last one, and for more than [`MAX_RECORD_BYTES`]. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_RECORD_BYTES {
            let what = format_args!("it has {} bytes, the most is {MAX_RECORD_BYTES}", bytes.len());
            return Err(Error::decode(NAME, what));
        }
        // A list of fields in their order would be taken for a record, too.
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(Error::decode(NAME, "it is no JSON object"));
        }
        serde_json::from_slice(bytes).map_err(|error| Error::decode(NAME, error))
    }

    /// The state.
    ///
    /// # Errors
    /// [`Error::Decode`] for a byte that stands for none, 255 among them.
    pub fn shard_state(&self) -> Result<ShardState> {
        ShardState::try_from(self.state).map_err(|error| Error::decode(NAME, error))
    }

    /// What Go can know of a record; `None` of a shard that is being destroyed, for Go has no such state and would take it for
    /// one that stays.
    pub fn of(record: &ShardRecord) -> Option<Self> {
        (record.state != ShardState::Destroying).then(|| Self {
            key: record.key.as_str().to_owned(),
            url: record.url.clone(),
            copy_path: record.copy.as_ref().map_or_else(String::new, |copy| copy.path.clone()),
            state: record.state.byte(),
            lazy: record.lazy,
            error: record.error.as_ref().map_or("", ShardError::text).to_owned(),
        })
    }

    /// The bytes that Go writes for this record, to the last escape.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, GoEscapes);
        self.serialize(&mut serializer).map_err(|error| Error::Encode { codec: NAME, source: Box::new(error) })?;
        Ok(bytes)
    }
}

/// The stamp of a record of Go's that can't be one of this store's, and is kept as it was found, in quarantine. Reading one tells
/// what is wrong with it.
#[derive(Debug, Clone, Copy, Default)]
pub struct GoKept;

impl Codec for GoKept {
    fn id(&self) -> CodecId {
        CodecId(3)
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u8 {
        1
    }

    /// Refuses every record: those of this store aren't kept so.
    fn encode(&self, record: &ShardRecord, _out: &mut Vec<u8>) -> Result<()> {
        let why = format!("{} is a record of this store", record.key);
        Err(Error::Encode { codec: NAME, source: why.into() })
    }

    fn decode(&self, _version: u8, bytes: &[u8]) -> Result<ShardRecord> {
        let record = GoRecord::decode(bytes)?;
        record.shard_state()?;
        ShardKey::new(&record.key).map_err(|error| Error::decode(NAME, error))?;
        Err(Error::decode(
            NAME,
            format_args!("a record of Go's dagstore that names no place of this store: {:?}", record.url),
        ))
    }
}

/// The row that keeps a record of Go's as it was found, under the bytes of its key or what stands for it.
pub fn kept_row(key: &[u8], record: &[u8]) -> Vec<u8> {
    let key = &key[..key.len().min(MAX_KEY_BYTES)];
    // Go's "unknown", which no state of this store has.
    let mut row = vec![GoKept.id().0, GoKept.version(), 0xff];
    #[expect(clippy::cast_possible_truncation, reason = "it is at most MAX_KEY_BYTES")]
    row.extend((key.len() as u16).to_be_bytes());
    row.extend(key);
    row.extend(record);
    row
}

/// Escapes as Go's encoding/json does: what could end a script in a web page, and the two line separators of JavaScript.
struct GoEscapes;

impl Formatter for GoEscapes {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut escaped = String::with_capacity(fragment.len());
        for character in fragment.chars() {
            match character {
                // Writing to a String can't fail.
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    let _ = write!(escaped, "\\u{:04x}", u32::from(character));
                }
                _ => escaped.push(character),
            }
        }
        writer.write_all(escaped.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            // Go 1.22 and later have the short forms; every version reads both.
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_is_as_go_writes_it() {
        let record = GoRecord {
            key: "ключ <&> 🚢\u{2028}".into(),
            url: "fs://a<b>&%C3%BC.car?path=a%3Cb%3E".into(),
            copy_path: String::new(),
            state: 240,
            lazy: true,
            error: "say \"no\"\\\n\t\u{1}\u{8}\u{7f}/".into(),
        };
        let bytes = record.encode().unwrap();
        let expected = r#"{"k":"ключ \u003c\u0026\u003e 🚢\u2028","u":"fs://a\u003cb\u003e\u0026%C3%BC.car?path=a%3Cb%3E","t":"","s":240,"l":true,"e":"say \"no\"\\\n\t\u0001\u0008"#
            .to_owned() + "\u{7f}/\"}";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(GoRecord::decode(&bytes).unwrap(), record);
    }

    #[test]
    fn older_forms_and_unknown_fields_are_read() {
        for (text, key, state, lazy) in [
            (r#"{"k":"old","u":"x","t":"","s":2,"i":true,"e":""}"#, "old", 2, false),
            (r#"{"k":"future","s":2,"zz":{"deep":[1,{"x":null}]},"y":1.5e300}"#, "future", 2, false),
            (r#"{"k":"bare","u":"x"}"#, "bare", 0, false),
            (r#"{"K":"caps","U":"x","T":"","S":2,"L":true,"E":""}"#, "caps", 2, true),
        ] {
            let record = GoRecord::decode(text.as_bytes()).unwrap();
            assert_eq!((record.key.as_str(), record.state, record.lazy), (key, state, lazy));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let long = format!(r#"{{"k":"{}"}}"#, "x".repeat(MAX_RECORD_BYTES));
        for text in [
            "",
            "null",
            "[\"k\"]",
            "{\"k\":\"cut",
            "{\"k\":1}",
            "{\"s\":256}",
            "{\"s\":\"2\"}",
            r#"{"k":"\ud800"}"#,
            r#"{"k":"a","k":"b"}"#,
            &long,
        ] {
            assert!(matches!(GoRecord::decode(text.as_bytes()), Err(Error::Decode { .. })), "{text:.40}");
        }
        for state in [7, 255] {
            let record = GoRecord::decode(format!("{{\"s\":{state}}}").as_bytes()).unwrap();
            assert!(record.shard_state().is_err(), "{state}");
        }
    }

    #[test]
    fn what_is_kept_tells_what_is_wrong_with_it() {
        for (record, expected) in [
            ("{\"k\":\"cut", "EOF"),
            (r#"{"k":"x","u":"a:b","s":7}"#, "0x07 is no shard state"),
            (r#"{"k":"","u":"a:b","s":2}"#, "the shard key is empty"),
            (r#"{"k":"x","u":"fs://irrecoverable","s":2}"#, "fs://irrecoverable"),
        ] {
            let row = kept_row(b"x", record.as_bytes());
            let row = crate::Row::split(&row).unwrap();
            assert_eq!((row.shard_key().unwrap().as_str(), row.record), ("x", record.as_bytes()));
            let error = row.decode(&crate::Codecs::default()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let long = "k".repeat(70_000);
        assert_eq!(crate::Row::split(&kept_row(long.as_bytes(), b"")).unwrap().key.len(), MAX_KEY_BYTES);
        assert!(GoKept.encode(&crate::conformance::samples().remove(1), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_shard_that_is_being_destroyed_is_not_told() {
        let record = crate::conformance::samples().remove(1);
        assert_eq!(GoRecord::of(&record).unwrap().state, record.state.byte());
        assert_eq!(GoRecord::of(&ShardRecord { state: ShardState::Destroying, ..record }), None);
    }
}
