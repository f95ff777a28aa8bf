//! A record in as few bytes as it takes, for shards that nothing is done with. It lives in memory only, so it may change
//! with every version of the program.
//!
//! ```text
//! length of all u32 | state u8 | flags u8 | length of the key u16 | key |
//! registration, attempt, starts, changed, retries: LEB128 | URL |
//! [next try: LEB128] [error: kind, text] [copy: path, size: LEB128, validator]
//! ```
//! Texts behind the key have their length in front, as LEB128.

use dagstore_types::{
    Attempt, CopyRecord, ErrorKind, Registration, ShardError, ShardKey, ShardRecord, ShardState, UnixMillis,
};

const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = LENGTH_BYTES + 4;

const LAZY: u8 = 1;
const RECOVERS_ON_ACQUIRE: u8 = 1 << 1;
const HAS_NEXT_TRY: u8 = 1 << 2;
const HAS_ERROR: u8 = 1 << 3;
const HAS_COPY: u8 = 1 << 4;
const HAS_COPY_SIZE: u8 = 1 << 5;
const HAS_COPY_VALIDATOR: u8 = 1 << 6;
const PROVISIONAL: u8 = 1 << 7;

/// Appends the record.
pub(super) fn pack(record: &ShardRecord, recovers_on_acquire: bool, out: &mut Vec<u8>) {
    let start = out.len();
    let copy = record.copy.as_ref();
    let flags = [
        (LAZY, record.lazy),
        (RECOVERS_ON_ACQUIRE, recovers_on_acquire),
        (HAS_NEXT_TRY, record.next_try.is_some()),
        (HAS_ERROR, record.error.is_some()),
        (HAS_COPY, copy.is_some()),
        (HAS_COPY_SIZE, copy.is_some_and(|copy| copy.size.is_some())),
        (HAS_COPY_VALIDATOR, copy.is_some_and(|copy| copy.validator.is_some())),
        (PROVISIONAL, record.provisional),
    ];
    let flags = flags.into_iter().filter(|(_, set)| *set).fold(0, |flags, (flag, _)| flags | flag);
    out.extend([0; LENGTH_BYTES]);
    out.extend([record.state.byte(), flags]);
    #[expect(clippy::cast_possible_truncation, reason = "a key has at most 1,024 bytes")]
    out.extend((record.key.as_bytes().len() as u16).to_le_bytes());
    out.extend(record.key.as_bytes());
    for number in
        [record.registration.0, record.attempt.0.into(), record.starts.into(), record.changed.0, record.retries.into()]
    {
        push_number(out, number);
    }
    push_text(out, &record.url);
    if let Some(time) = record.next_try {
        push_number(out, time.0);
    }
    if let Some(error) = &record.error {
        push_text(out, error.kind().name());
        push_text(out, error.text());
    }
    if let Some(copy) = copy {
        push_text(out, &copy.path);
        if let Some(size) = copy.size {
            push_number(out, size);
        }
        if let Some(validator) = &copy.validator {
            push_text(out, validator);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "every text in a record is bounded by kilobytes")]
    let length = (out.len() - start) as u32;
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// A packed record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a>(&'a [u8]);

impl<'a> Entry<'a> {
    /// The entry that `bytes` begin with.
    pub(super) fn at(bytes: &'a [u8]) -> Self {
        let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Self(&bytes[..length as usize])
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn key(self) -> &'a [u8] {
        let length = u16::from_le_bytes([self.0[6], self.0[7]]);
        &self.0[HEAD_BYTES..HEAD_BYTES + usize::from(length)]
    }

    pub(super) fn shard_key(self) -> ShardKey {
        #[expect(clippy::expect_used, reason = "the entry was packed from a record, whose key is a valid one")]
        ShardKey::new(&String::from_utf8_lossy(self.key())).expect("a packed key is valid")
    }

    pub(super) fn state(self) -> ShardState {
        // Packed from a state, so there is one of this byte.
        ShardState::try_from(self.0[4]).unwrap_or(ShardState::Errored)
    }

    pub(super) fn recovers_on_acquire(self) -> bool {
        self.has(RECOVERS_ON_ACQUIRE)
    }

    /// Which registration and attempt it is, without unpacking the rest.
    pub(super) fn numbers(self) -> (Registration, Attempt) {
        let mut fields = self.fields();
        (Registration(fields.number()), Attempt(fields.number32()))
    }

    pub(super) fn unpack(self) -> ShardRecord {
        let mut fields = self.fields();
        let (registration, attempt) = (Registration(fields.number()), Attempt(fields.number32()));
        let (starts, changed, retries) = (fields.number32(), UnixMillis(fields.number()), fields.number32());
        let url = fields.text();
        let next_try = self.has(HAS_NEXT_TRY).then(|| UnixMillis(fields.number()));
        let error = self.has(HAS_ERROR).then(|| {
            let kind = ErrorKind::from_name(&fields.text()).unwrap_or(ErrorKind::Other);
            ShardError::new(kind, &fields.text())
        });
        let copy = self.has(HAS_COPY).then(|| CopyRecord {
            path: fields.text(),
            size: self.has(HAS_COPY_SIZE).then(|| fields.number()),
            validator: self.has(HAS_COPY_VALIDATOR).then(|| fields.text()),
        });
        let key = self.shard_key();
        let (state, lazy) = (self.state(), self.has(LAZY));
        ShardRecord {
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
            provisional: self.has(PROVISIONAL),
            changed,
        }
    }

    fn has(self, flag: u8) -> bool {
        self.0[5] & flag != 0
    }

    fn fields(self) -> Fields<'a> {
        Fields(&self.0[HEAD_BYTES + self.key().len()..])
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 0x80")]
    out.push(number as u8);
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    push_number(out, text.len() as u64);
    out.extend(text.as_bytes());
}

/// Reads what was pushed, in the same order.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&mut self) -> u64 {
        let mut number = 0;
        let mut shift = 0;
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn number32(&mut self) -> u32 {
        // Pushed from 32 bits.
        u32::try_from(self.number()).unwrap_or(u32::MAX)
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.number()).unwrap_or(usize::MAX).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        for record in dagstore_codec::conformance::samples() {
            for recovers in [false, true] {
                let mut bytes = vec![7];
                pack(&record, recovers, &mut bytes);
                let packed_bytes = bytes.len() - 1;
                bytes.push(7);
                let entry = Entry::at(&bytes[1..]);
                assert_eq!(entry.bytes().len(), packed_bytes);
                assert_eq!((entry.key(), entry.state()), (record.key.as_bytes(), record.state));
                assert_eq!(entry.numbers(), (record.registration, record.attempt));
                assert_eq!(entry.recovers_on_acquire(), recovers);
                assert_eq!(entry.unpack(), record);
            }
        }
    }
}
