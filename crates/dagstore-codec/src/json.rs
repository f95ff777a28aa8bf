//! The JSON codec: readable by people, and by the Go original in the six fields that it knows.

use std::borrow::Cow;

use dagstore_types::{
    Attempt, CopyRecord, ErrorKind, Registration, ShardError, ShardKey, ShardRecord, ShardState, UnixMillis,
};
use serde::{Deserialize, Serialize};

use crate::{Codec, CodecId, Error, Result};

const NAME: &str = "json";

/// Records as JSON objects. The fields `k`, `u`, `t`, `s`, `l` and `e` are the Go original's; unknown ones are ignored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

/// Version 3; version 2 had no `pv`, and version 1 no `rt`. A new field is a new version, or an older program would drop it when it writes the record again.
#[derive(Serialize, Deserialize)]
struct Fields<'a> {
    #[serde(rename = "k")]
    key: Cow<'a, str>,
    #[serde(rename = "u")]
    url: Cow<'a, str>,
    #[serde(rename = "t", default)]
    copy_path: Cow<'a, str>,
    #[serde(rename = "s")]
    state: u8,
    #[serde(rename = "l", default)]
    lazy: bool,
    #[serde(rename = "e", default)]
    error: Cow<'a, str>,
    #[serde(rename = "ek", default, skip_serializing_if = "Option::is_none")]
    error_kind: Option<Cow<'a, str>>,
    #[serde(rename = "sz", default, skip_serializing_if = "Option::is_none")]
    copy_size: Option<u64>,
    #[serde(rename = "cv", default, skip_serializing_if = "Option::is_none")]
    copy_validator: Option<Cow<'a, str>>,
    #[serde(rename = "r")]
    registration: u64,
    #[serde(rename = "a")]
    attempt: u32,
    #[serde(rename = "n")]
    starts: u32,
    #[serde(rename = "nt", default, skip_serializing_if = "Option::is_none")]
    next_try: Option<u64>,
    #[serde(rename = "rt", default, skip_serializing_if = "is_zero")]
    retries: u32,
    #[serde(rename = "pv", default, skip_serializing_if = "is_false")]
    provisional: bool,
    #[serde(rename = "c")]
    changed: u64,
}

impl Codec for Json {
    fn id(&self) -> CodecId {
        CodecId(1)
    }

    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> u8 {
        3
    }

    fn encode(&self, record: &ShardRecord, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        serde_json::to_writer(&mut *out, &Fields::of(record)).map_err(|error| {
            out.truncate(start);
            Error::Encode { codec: NAME, source: Box::new(error) }
        })
    }

    fn decode(&self, _version: u8, bytes: &[u8]) -> Result<ShardRecord> {
        let fields: Fields<'_> = serde_json::from_slice(bytes).map_err(|error| Error::decode(NAME, error))?;
        fields.into_record()
    }
}

impl<'a> Fields<'a> {
    fn of(record: &'a ShardRecord) -> Self {
        let copy = record.copy.as_ref();
        Self {
            key: record.key.as_str().into(),
            url: record.url.as_str().into(),
            copy_path: copy.map_or("", |copy| &copy.path).into(),
            state: record.state.byte(),
            lazy: record.lazy,
            error: record.error.as_ref().map_or("", ShardError::text).into(),
            error_kind: record.error.as_ref().map(|error| error.kind().name().into()),
            copy_size: copy.and_then(|copy| copy.size),
            copy_validator: copy.and_then(|copy| copy.validator.as_deref()).map(Into::into),
            registration: record.registration.0,
            attempt: record.attempt.0,
            starts: record.starts,
            next_try: record.next_try.map(|time| time.0),
            retries: record.retries,
            provisional: record.provisional,
            changed: record.changed.0,
        }
    }

    fn into_record(self) -> Result<ShardRecord> {
        let key = ShardKey::new(&self.key).map_err(|error| Error::decode(NAME, error))?;
        let state = ShardState::try_from(self.state).map_err(|error| Error::decode(NAME, error))?;
        let error = match self.error_kind {
            Some(name) => {
                let kind = ErrorKind::from_name(&name)
                    .ok_or_else(|| Error::decode(NAME, format_args!("unknown error kind {name:?}")))?;
                Some(ShardError::new(kind, &self.error))
            }
            None if self.error.is_empty() => None,
            None => Some(ShardError::new(ErrorKind::Other, &self.error)),
        };
        let (size, validator) = (self.copy_size, self.copy_validator.map(Into::into));
        let copy = (!self.copy_path.is_empty()).then(|| CopyRecord { path: self.copy_path.into(), size, validator });
        Ok(ShardRecord {
            key,
            url: self.url.into(),
            state,
            lazy: self.lazy,
            error,
            copy,
            registration: Registration(self.registration),
            attempt: Attempt(self.attempt),
            starts: self.starts,
            next_try: self.next_try.map(UnixMillis),
            retries: self.retries,
            provisional: self.provisional,
            changed: UnixMillis(self.changed),
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::check(&Json);
    }

    /// Version 1 for ever.
    #[test]
    fn version_1_is_read_as_it_was_written() {
        let bytes = br#"{"k":"../../x","u":"file:///a.car","t":"/copies/1","s":240,"l":true,"e":"no such file","ek":"source-missing","sz":12,"cv":"\"v\"","r":7,"a":2,"n":1,"nt":99,"c":1700000000000}"#;
        let record = ShardRecord { retries: 0, provisional: false, ..conformance::samples().remove(1) };
        assert_eq!(Json.decode(1, bytes).unwrap(), record);
    }

    /// Version 2 for ever.
    #[test]
    fn version_2_is_read_as_it_was_written() {
        let bytes = br#"{"k":"../../x","u":"file:///a.car","t":"/copies/1","s":240,"l":true,"e":"no such file","ek":"source-missing","sz":12,"cv":"\"v\"","r":7,"a":2,"n":1,"nt":99,"rt":5,"c":1700000000000}"#;
        let record = ShardRecord { provisional: false, ..conformance::samples().remove(1) };
        assert_eq!(Json.decode(2, bytes).unwrap(), record);
    }

    /// Version 3 for ever.
    #[test]
    fn version_3_is_read_as_it_was_written() {
        let bytes = br#"{"k":"../../x","u":"file:///a.car","t":"/copies/1","s":240,"l":true,"e":"no such file","ek":"source-missing","sz":12,"cv":"\"v\"","r":7,"a":2,"n":1,"nt":99,"rt":5,"pv":true,"c":1700000000000}"#;
        let record = conformance::samples().remove(1);
        assert_eq!(Json.decode(3, bytes).unwrap(), record);
        let mut again = Vec::new();
        Json.encode(&record, &mut again).unwrap();
        assert_eq!(again, bytes);
    }
}
