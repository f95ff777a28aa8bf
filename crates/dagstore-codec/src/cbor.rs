//! The CBOR codec: deterministic CBOR (RFC 8949, section 4.2), a map with small integers as keys.

use std::fmt;

use dagstore_types::{
    Attempt, CopyRecord, ErrorKind, Registration, ShardError, ShardKey, ShardRecord, ShardState, UnixMillis,
};
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::{Codec, CodecId, Error, Result};

const NAME: &str = "cbor";

/// Records as CBOR maps. Absent fields take no space, unknown ones are refused: a new field is a new version.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cbor;

/// The keys, ascending. Those of version 1 end with `COPY_VALIDATOR`, those of version 2 with `RETRIES`.
mod field {
    pub(super) const KEY: u8 = 0;
    pub(super) const URL: u8 = 1;
    pub(super) const STATE: u8 = 2;
    pub(super) const LAZY: u8 = 3;
    pub(super) const REGISTRATION: u8 = 4;
    pub(super) const ATTEMPT: u8 = 5;
    pub(super) const STARTS: u8 = 6;
    pub(super) const CHANGED: u8 = 7;
    pub(super) const NEXT_TRY: u8 = 8;
    pub(super) const ERROR_KIND: u8 = 9;
    pub(super) const ERROR: u8 = 10;
    pub(super) const COPY_PATH: u8 = 11;
    pub(super) const COPY_SIZE: u8 = 12;
    pub(super) const COPY_VALIDATOR: u8 = 13;
    pub(super) const RETRIES: u8 = 14;
    pub(super) const PROVISIONAL: u8 = 15;
}

impl Codec for Cbor {
    fn id(&self) -> CodecId {
        CodecId(2)
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u8 {
        3
    }

    fn encode(&self, record: &ShardRecord, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        ciborium::into_writer(&Encoded(record), &mut *out).map_err(|error| {
            out.truncate(start);
            Error::Encode { codec: NAME, source: Box::new(error) }
        })
    }

    fn decode(&self, _version: u8, bytes: &[u8]) -> Result<ShardRecord> {
        let mut rest = bytes;
        let fields: Fields = ciborium::from_reader(&mut rest).map_err(|error| Error::decode(NAME, error))?;
        if !rest.is_empty() {
            return Err(Error::decode(NAME, format_args!("{} bytes after the record", rest.len())));
        }
        fields.into_record()
    }
}

struct Encoded<'a>(&'a ShardRecord);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ShardRecord {
            key,
            url,
            state,
            lazy,
            error,
            copy,
            registration,
            attempt,
            starts,
            next_try,
            retries,
            provisional,
            changed,
        } = self.0;
        let size = copy.as_ref().and_then(|copy| copy.size);
        let validator = copy.as_ref().and_then(|copy| copy.validator.as_ref());
        let optional = [
            next_try.is_some(),
            error.is_some(),
            error.is_some(),
            copy.is_some(),
            size.is_some(),
            validator.is_some(),
            *retries > 0,
            *provisional,
        ];
        // ciborium writes a map of unknown length as an indefinite one, which isn't deterministic CBOR.
        let length = 8 + optional.into_iter().filter(|present| *present).count();
        let mut map = serializer.serialize_map(Some(length))?;
        map.serialize_entry(&field::KEY, key.as_str())?;
        map.serialize_entry(&field::URL, url)?;
        map.serialize_entry(&field::STATE, &state.byte())?;
        map.serialize_entry(&field::LAZY, lazy)?;
        map.serialize_entry(&field::REGISTRATION, &registration.0)?;
        map.serialize_entry(&field::ATTEMPT, &attempt.0)?;
        map.serialize_entry(&field::STARTS, starts)?;
        map.serialize_entry(&field::CHANGED, &changed.0)?;
        if let Some(time) = next_try {
            map.serialize_entry(&field::NEXT_TRY, &time.0)?;
        }
        if let Some(error) = error {
            map.serialize_entry(&field::ERROR_KIND, error.kind().name())?;
            map.serialize_entry(&field::ERROR, error.text())?;
        }
        if let Some(copy) = copy {
            map.serialize_entry(&field::COPY_PATH, &copy.path)?;
        }
        if let Some(size) = size {
            map.serialize_entry(&field::COPY_SIZE, &size)?;
        }
        if let Some(validator) = validator {
            map.serialize_entry(&field::COPY_VALIDATOR, validator)?;
        }
        if *retries > 0 {
            map.serialize_entry(&field::RETRIES, retries)?;
        }
        if *provisional {
            map.serialize_entry(&field::PROVISIONAL, provisional)?;
        }
        map.end()
    }
}

#[derive(Default)]
struct Fields {
    key: Option<String>,
    url: Option<String>,
    state: Option<u8>,
    lazy: Option<bool>,
    registration: Option<u64>,
    attempt: Option<u32>,
    starts: Option<u32>,
    changed: Option<u64>,
    next_try: Option<u64>,
    error_kind: Option<String>,
    error: Option<String>,
    copy_path: Option<String>,
    copy_size: Option<u64>,
    copy_validator: Option<String>,
    retries: Option<u32>,
    provisional: Option<bool>,
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map with integers as keys")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = Fields::default();
        let mut last = None;
        while let Some(key) = map.next_key::<u8>()? {
            // Ascending keys are what this codec writes, and they leave no room for one that comes twice.
            if last.is_some_and(|last| last >= key) {
                return Err(M::Error::custom(format_args!("field {key} out of order")));
            }
            last = Some(key);
            match key {
                field::KEY => fields.key = Some(map.next_value()?),
                field::URL => fields.url = Some(map.next_value()?),
                field::STATE => fields.state = Some(map.next_value()?),
                field::LAZY => fields.lazy = Some(map.next_value()?),
                field::REGISTRATION => fields.registration = Some(map.next_value()?),
                field::ATTEMPT => fields.attempt = Some(map.next_value()?),
                field::STARTS => fields.starts = Some(map.next_value()?),
                field::CHANGED => fields.changed = Some(map.next_value()?),
                field::NEXT_TRY => fields.next_try = Some(map.next_value()?),
                field::ERROR_KIND => fields.error_kind = Some(map.next_value()?),
                field::ERROR => fields.error = Some(map.next_value()?),
                field::COPY_PATH => fields.copy_path = Some(map.next_value()?),
                field::COPY_SIZE => fields.copy_size = Some(map.next_value()?),
                field::COPY_VALIDATOR => fields.copy_validator = Some(map.next_value()?),
                field::RETRIES => fields.retries = Some(map.next_value()?),
                field::PROVISIONAL => fields.provisional = Some(map.next_value()?),
                _ => return Err(M::Error::custom(format_args!("unknown field {key}"))),
            }
        }
        Ok(fields)
    }
}

impl Fields {
    fn into_record(self) -> Result<ShardRecord> {
        let missing = |what: &'static str| move || Error::decode(NAME, format_args!("no {what}"));
        let key = self.key.ok_or_else(missing("key"))?;
        let state = self.state.ok_or_else(missing("state"))?;
        let error = match (self.error_kind, self.error) {
            (None, None) => None,
            (Some(name), Some(text)) => {
                let kind = ErrorKind::from_name(&name)
                    .ok_or_else(|| Error::decode(NAME, format_args!("unknown error kind {name:?}")))?;
                Some(ShardError::new(kind, &text))
            }
            _ => return Err(Error::decode(NAME, "half an error")),
        };
        let copy = match (self.copy_path, self.copy_size, self.copy_validator) {
            (None, None, None) => None,
            // An empty path is none in JSON, so a record with one would not survive a change of the codec.
            (Some(path), size, validator) if !path.is_empty() => Some(CopyRecord { path, size, validator }),
            _ => return Err(Error::decode(NAME, "a copy without a path")),
        };
        Ok(ShardRecord {
            key: ShardKey::new(&key).map_err(|error| Error::decode(NAME, error))?,
            url: self.url.ok_or_else(missing("URL"))?,
            state: ShardState::try_from(state).map_err(|error| Error::decode(NAME, error))?,
            lazy: self.lazy.ok_or_else(missing("lazy flag"))?,
            error,
            copy,
            registration: Registration(self.registration.ok_or_else(missing("registration"))?),
            attempt: Attempt(self.attempt.ok_or_else(missing("attempt"))?),
            starts: self.starts.ok_or_else(missing("count of starts"))?,
            next_try: self.next_try.map(UnixMillis),
            retries: self.retries.unwrap_or_default(),
            provisional: self.provisional.unwrap_or_default(),
            changed: UnixMillis(self.changed.ok_or_else(missing("time"))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::check(&Cbor);
    }

    /// Version 1 for ever.
    #[test]
    fn version_1_is_read_as_it_was_written() {
        let bytes = b"\xae\x00\x67../../x\x01\x6dfile:///a.car\x02\x18\xf0\x03\xf5\x04\x07\x05\x02\x06\x01\
            \x07\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x00\x08\x18\x63\x09\x6esource-missing\x0a\x6cno such file\
            \x0b\x69/copies/1\x0c\x0c\x0d\x63\"v\"";
        let record = ShardRecord { retries: 0, provisional: false, ..conformance::samples().remove(1) };
        assert_eq!(Cbor.decode(1, bytes).unwrap(), record);
    }

    /// Version 2 for ever.
    #[test]
    fn version_2_is_read_as_it_was_written() {
        let bytes = b"\xaf\x00\x67../../x\x01\x6dfile:///a.car\x02\x18\xf0\x03\xf5\x04\x07\x05\x02\x06\x01\
            \x07\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x00\x08\x18\x63\x09\x6esource-missing\x0a\x6cno such file\
            \x0b\x69/copies/1\x0c\x0c\x0d\x63\"v\"\x0e\x05";
        let record = ShardRecord { provisional: false, ..conformance::samples().remove(1) };
        assert_eq!(Cbor.decode(2, bytes).unwrap(), record);
    }

    /// Version 3 for ever.
    #[test]
    fn version_3_is_read_as_it_was_written() {
        let bytes = b"\xb0\x00\x67../../x\x01\x6dfile:///a.car\x02\x18\xf0\x03\xf5\x04\x07\x05\x02\x06\x01\
            \x07\x1b\x00\x00\x01\x8b\xcf\xe5\x68\x00\x08\x18\x63\x09\x6esource-missing\x0a\x6cno such file\
            \x0b\x69/copies/1\x0c\x0c\x0d\x63\"v\"\x0e\x05\x0f\xf5";
        let record = conformance::samples().remove(1);
        let mut again = Vec::new();
        Cbor.encode(&record, &mut again).unwrap();
        assert_eq!(again, bytes);
        assert_eq!(Cbor.decode(3, bytes).unwrap(), record);
    }

    #[test]
    fn a_copy_without_a_path_is_refused() {
        let record = conformance::samples().remove(1);
        for (path, is_taken) in [("x", true), ("", false)] {
            let copy = record.copy.clone().map(|copy| CopyRecord { path: path.into(), ..copy });
            let mut bytes = Vec::new();
            Cbor.encode(&ShardRecord { copy, ..record.clone() }, &mut bytes).unwrap();
            assert_eq!(Cbor.decode(2, &bytes).is_ok(), is_taken, "{path:?}");
        }
    }

    #[test]
    fn what_follows_the_record_is_refused() {
        let mut bytes = Vec::new();
        Cbor.encode(&conformance::samples()[0], &mut bytes).unwrap();
        bytes.push(0);
        assert!(Cbor.decode(1, &bytes).is_err());
    }
}
