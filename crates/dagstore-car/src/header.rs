//! The header of a CARv1: DAG-CBOR `{roots: [CID...], version: 1}`, read strictly.
//!
//! Accepted beside the canonical form: `version` in front of `roots`, no `roots`, `roots: null`. Refused: indefinite
//! lengths, integers longer than needed, bytes behind the map, duplicate keys, any tag but 42 on a root.

use crate::v2::PRAGMA;
use crate::varint::{self, BadVarint};
use crate::{Error, Limits, RawCid, Result, V2Header};

/// The deepest nesting of CBOR that is looked at.
const MOST_NESTED: u64 = 128;

const UNSIGNED: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;

/// The tag of a CID in DAG-CBOR.
const CID_TAG: u64 = 42;

/// `null`, as a simple value.
const NULL: u64 = 22;

/// What the front of a CAR says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// 1 or 2.
    pub version: u64,
    /// The roots. They need not be among the blocks.
    pub roots: Vec<RawCid>,
    /// The header of a CARv2.
    pub v2: Option<V2Header>,
}

/// What the map of a CARv1 header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct V1Header {
    pub(crate) version: u64,
    pub(crate) roots: Vec<RawCid>,
}

/// What stands in front of the map.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Front {
    pub(crate) length_bytes: usize,
    /// The bytes of the map, at most as many as the limit allows.
    pub(crate) length: u64,
}

impl Front {
    /// The bytes of the map and of what stands in front of it.
    pub(crate) fn end(self) -> u64 {
        self.length_bytes as u64 + self.length
    }
}

/// Reads the length of the header at `start`; `None` where `bytes` end in the middle of it.
pub(crate) fn front(bytes: &[u8], start: u64, limits: &Limits) -> Result<Option<Front>> {
    let (length, length_bytes) = match varint::decode(bytes) {
        Ok(read) => read,
        Err(BadVarint::Truncated) => return Ok(None),
        Err(bad) => return Err(malformed(bad.text().to_owned())),
    };
    let limit = limits.header_bytes;
    if length > limit {
        return Err(Error::Limit { what: "a header", offset: start, found: length, limit });
    }
    if length == 0 {
        return Err(malformed("a header of length zero".to_owned()));
    }
    Ok(Some(Front { length_bytes, length }))
}

/// Reads the map of a version that exists.
pub(crate) fn read_known(bytes: &[u8]) -> Result<V1Header> {
    let header = read(bytes)?;
    if header.version == 1 || header.version == 2 {
        return Ok(header);
    }
    Err(malformed(format!("version {}", header.version)))
}

/// Reads the map inside a CARv2.
pub(crate) fn read_inner(bytes: &[u8]) -> Result<V1Header> {
    let header = read_known(bytes)?;
    if header.version == 1 {
        return Ok(header);
    }
    Err(malformed(format!("version {} inside a CARv2", header.version)))
}

/// Refuses what says version 2 but isn't the pragma, which is `end` bytes long.
pub(crate) fn check_pragma(outer: &V1Header, end: u64) -> Result<()> {
    if outer.roots.is_empty() && end == PRAGMA.len() as u64 {
        return Ok(());
    }
    Err(malformed("version 2, but not the bytes that a CARv2 begins with".to_owned()))
}

/// Reads the map.
fn read(bytes: &[u8]) -> Result<V1Header> {
    let mut cbor = Cbor { bytes, at: 0 };
    let head = cbor.head()?;
    if head.major != MAP {
        return Err(cbor.unexpected(head, "a map"));
    }
    cbor.bound(head, 2)?;
    let (mut version, mut roots) = (None, None);
    for _ in 0..head.value {
        let key = cbor.text()?;
        match key {
            "version" if version.is_none() => version = Some(cbor.unsigned()?),
            "roots" if roots.is_none() => roots = Some(cbor.roots()?),
            "version" | "roots" => {
                return Err(Error::Limit {
                    what: "header keys of one name",
                    offset: cbor.at as u64,
                    found: 2,
                    limit: 1,
                });
            }
            other => return Err(malformed(format!("the key {other:?}"))),
        }
    }
    if cbor.at < bytes.len() {
        return Err(malformed(format!("{} bytes after the map", bytes.len() - cbor.at)));
    }
    let version = version.ok_or_else(|| malformed("no version".to_owned()))?;
    Ok(V1Header { version, roots: roots.unwrap_or_default() })
}

pub(crate) fn malformed(found: String) -> Error {
    Error::MalformedHeader { found }
}

/// Writes the header of a CARv1, without its length.
pub(crate) fn write(roots: &[RawCid], out: &mut Vec<u8>) {
    write_head(MAP, 2, out);
    write_text("roots", out);
    write_head(LIST, roots.len() as u64, out);
    for root in roots {
        write_head(TAG, CID_TAG, out);
        // DAG-CBOR puts the multibase prefix for "binary", a zero, before a CID's bytes.
        write_head(BYTES, root.as_bytes().len() as u64 + 1, out);
        out.push(0);
        out.extend(root.as_bytes());
    }
    write_text("version", out);
    write_head(UNSIGNED, 1, out);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_head(TEXT, text.len() as u64, out);
    out.extend(text.as_bytes());
}

/// The head of an item, in the shortest form.
fn write_head(major: u8, value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    let (information, length) = match value {
        0..24 => (bytes[7], 0),
        24..=0xff => (24, 1),
        0x100..=0xffff => (25, 2),
        0x1_0000..=0xffff_ffff => (26, 4),
        _ => (27, 8),
    };
    out.push(major << 5 | information);
    out.extend(&bytes[8 - length..]);
}

#[derive(Debug, Clone, Copy)]
struct Head {
    major: u8,
    value: u64,
}

struct Cbor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cbor<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(count).ok().and_then(|count| self.at.checked_add(count));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| malformed("the map ends in the middle of something".to_owned()))?;
        self.at += taken.len();
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head> {
        let first = self.take(1)?[0];
        let (major, information) = (first >> 5, first & 0x1f);
        let (length, least) = match information {
            0..24 => return Ok(Head { major, value: information.into() }),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 => return Err(malformed("an indefinite length".to_owned())),
            _ => return Err(malformed(format!("the byte {first:#04x}, which starts nothing in CBOR"))),
        };
        if major == SIMPLE {
            return Err(malformed("a float or a long simple value".to_owned()));
        }
        let value = self.take(length)?.iter().fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
        if value < least {
            return Err(malformed(format!("the integer {value} in {length} bytes more than it needs")));
        }
        Ok(Head { major, value })
    }

    /// Refuses a list or map that announces more than the bytes that are left could hold, at `each` bytes an entry.
    fn bound(&self, head: Head, each: u64) -> Result<()> {
        let limit = (self.bytes.len() - self.at) as u64 / each;
        if head.value > limit {
            let (what, offset) = ("entries announced in the header", self.at as u64);
            return Err(Error::Limit { what, offset, found: head.value, limit });
        }
        Ok(())
    }

    fn text(&mut self) -> Result<&'a str> {
        let head = self.head()?;
        if head.major != TEXT {
            return Err(self.unexpected(head, "a key"));
        }
        std::str::from_utf8(self.take(head.value)?).map_err(|_| malformed("a key that isn't UTF-8".to_owned()))
    }

    fn unsigned(&mut self) -> Result<u64> {
        let head = self.head()?;
        if head.major == UNSIGNED { Ok(head.value) } else { Err(self.unexpected(head, "a number as version")) }
    }

    fn roots(&mut self) -> Result<Vec<RawCid>> {
        let head = self.head()?;
        match (head.major, head.value) {
            (SIMPLE, NULL) => Ok(Vec::new()),
            (LIST, count) => {
                self.bound(head, 1)?;
                let mut roots = Vec::new();
                for _ in 0..count {
                    roots.push(self.root()?);
                }
                Ok(roots)
            }
            _ => Err(self.unexpected(head, "a list as roots")),
        }
    }

    fn root(&mut self) -> Result<RawCid> {
        let tag = self.head()?;
        if (tag.major, tag.value) != (TAG, CID_TAG) {
            return Err(self.unexpected(tag, "a CID (tag 42) as root"));
        }
        let head = self.head()?;
        if head.major != BYTES {
            return Err(self.unexpected(head, "the bytes of a CID"));
        }
        let bytes = self.take(head.value)?;
        let cid = bytes.strip_prefix(&[0]).ok_or_else(|| malformed("a root without the zero in front".to_owned()))?;
        RawCid::from_bytes(cid).map_err(|error| malformed(format!("a root that is no CID: {error}")))
    }

    /// The error for an item that isn't the one wanted. One that is nested too deeply, or announces too much, is an error
    /// of its own.
    fn unexpected(&mut self, head: Head, wanted: &str) -> Error {
        if let Err(error @ Error::Limit { .. }) = self.skip(head) {
            return error;
        }
        let found = match head.major {
            UNSIGNED | 1 => "a number",
            BYTES => "bytes",
            TEXT => "a text",
            LIST => "a list",
            MAP => "a map",
            TAG => "another tag",
            _ if head.value == NULL => "null",
            _ => "a simple value",
        };
        malformed(format!("{found} in place of {wanted}"))
    }

    /// Skips the item whose head was read, without recursion.
    fn skip(&mut self, first: Head) -> Result<()> {
        // How many items are still to come on each level.
        let mut open: Vec<u64> = Vec::new();
        let mut head = first;
        loop {
            match head.major {
                BYTES | TEXT => drop(self.take(head.value)?),
                LIST | MAP | TAG => {
                    let each = if head.major == TAG { 1 } else { head.value };
                    if head.major != TAG {
                        self.bound(head, 1)?;
                    }
                    open.push(if head.major == MAP { each.saturating_mul(2) } else { each });
                    if open.len() as u64 > MOST_NESTED {
                        let (what, offset) = ("nesting in the header", self.at as u64);
                        return Err(Error::Limit { what, offset, found: open.len() as u64, limit: MOST_NESTED });
                    }
                }
                _ => {}
            }
            while open.last() == Some(&0) {
                open.pop();
            }
            match open.last_mut() {
                None => return Ok(()),
                Some(left) => *left -= 1,
            }
            head = self.head()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for count in [0, 1, 5, 300] {
            let roots: Vec<_> = (0..count).map(|number: u32| RawCid::of_data(0x71, &number.to_be_bytes())).collect();
            let mut bytes = Vec::new();
            write(&roots, &mut bytes);
            assert_eq!(read(&bytes).unwrap(), V1Header { version: 1, roots });
        }
    }

    #[test]
    fn the_other_forms_that_are_settled() {
        for accepted in
            [&b"\xa1\x67version\x01"[..], b"\xa2\x65roots\xf6\x67version\x01", b"\xa2\x67version\x01\x65roots\x80"]
        {
            assert_eq!(read(accepted).unwrap(), V1Header { version: 1, roots: Vec::new() });
        }
        for refused in [
            &b"\xbf\x67version\x01\xff"[..],
            b"\xa1\x67version\x18\x01",
            b"\xa1\x67version\x01\x00",
            b"\xa1\x67version\x61\x31",
            b"\xa1\x67version\xf6",
            b"\xa2\x67version\x01\x64blip\x01",
            b"\xa2\x67version\x01\x65roots\xa0",
            b"\xa0",
            b"\x80",
            b"\xf6",
            b"",
        ] {
            assert!(matches!(read(refused), Err(Error::MalformedHeader { .. })), "{refused:?}");
        }
    }

    #[test]
    fn what_asks_for_too_much_is_refused_before_anything_is_allocated() {
        let mut nested = b"\xa1\x65roots".to_vec();
        nested.extend(vec![0x81; 100_000]);
        let mut tags = b"\xa1\x65roots".to_vec();
        tags.extend(vec![0xc1; 100_000]);
        for hostile in [
            &b"\xbb\x10\x00\x00\x00\x00\x00\x00\x00\x67version\x01"[..],
            b"\xa1\x65roots\x9b\x10\x00\x00\x00\x00\x00\x00\x00",
            b"\xa2\x65roots\x80\x65roots\x80",
            &nested,
            &tags,
        ] {
            assert!(matches!(read(hostile), Err(Error::Limit { .. })), "{:?}", read(hostile));
        }
    }
}
