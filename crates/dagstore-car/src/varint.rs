//! Unsigned varints as multiformats define them: little-endian groups of seven bits, minimal, at most nine bytes.

/// The longest varint, in bytes: 63 bits, as <https://github.com/multiformats/unsigned-varint> allows.
pub(crate) const MAX_BYTES: usize = 9;

/// Why bytes are no varint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadVarint {
    /// The bytes end before it does.
    Truncated,
    /// It takes more bytes than its value needs.
    NotMinimal,
    /// It takes more than nine bytes.
    TooLong,
}

impl BadVarint {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Truncated => "a varint is cut short",
            Self::NotMinimal => "a varint isn't minimal",
            Self::TooLong => "a varint has more than 63 bits",
        }
    }
}

/// Reads a varint from the front of `bytes`: its value, and how many bytes it took.
pub(crate) fn decode(bytes: &[u8]) -> Result<(u64, usize), BadVarint> {
    let mut value = 0_u64;
    for (at, &byte) in bytes.iter().take(MAX_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let minimal = byte != 0 || at == 0;
            return if minimal { Ok((value, at + 1)) } else { Err(BadVarint::NotMinimal) };
        }
    }
    Err(if bytes.len() < MAX_BYTES { BadVarint::Truncated } else { BadVarint::TooLong })
}

/// Appends the varint of `value`.
pub(crate) fn encode(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_ones_are_told_apart() {
        assert_eq!(decode(&[]), Err(BadVarint::Truncated));
        assert_eq!(decode(&[0x80]), Err(BadVarint::Truncated));
        assert_eq!(decode(&[0x80, 0x00]), Err(BadVarint::NotMinimal));
        assert_eq!(decode(&[0xff; 10]), Err(BadVarint::TooLong));
        assert_eq!(decode(&[0x00, 0xff]), Ok((0, 1)));
    }

    proptest! {
        #[test]
        fn values_come_back(value in 0..=i64::MAX.cast_unsigned(), tail in prop::collection::vec(any::<u8>(), 0..4)) {
            let mut bytes = Vec::new();
            encode(value, &mut bytes);
            let length = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Ok((value, length)));
        }
    }
}
