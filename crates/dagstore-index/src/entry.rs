//! One entry of an index.

use crate::fingerprint::{FINGERPRINT_BYTES, Fingerprint};
use crate::repo::{Location, MAX_OFFSET, MAX_SIZE};
use crate::{Error, Result};

/// The bytes of an entry in a file: fingerprint, 5 bytes offset, 3 bytes size, both big-endian.
pub(crate) const ENTRY_BYTES: usize = FINGERPRINT_BYTES + OFFSET_BYTES + SIZE_BYTES;

const OFFSET_BYTES: usize = 5;
const SIZE_BYTES: usize = 3;

/// Stands in the size's place where the size doesn't fit.
const UNKNOWN_SIZE: u32 = MAX_SIZE + 1;

/// An entry as three numbers: its bytes in a file, filled up with zeros. Their order is the order of the bytes, that
/// is by fingerprint, then offset; and comparing three numbers is several times faster than comparing 22 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry([u64; 3]);

impl Entry {
    pub(crate) fn new(fingerprint: Fingerprint, location: Location) -> Self {
        let mut bytes = [0; ENTRY_BYTES];
        let (front, back) = bytes.split_at_mut(FINGERPRINT_BYTES);
        front.copy_from_slice(&fingerprint.0);
        let (offset, size) = back.split_at_mut(OFFSET_BYTES);
        offset.copy_from_slice(&location.offset.to_be_bytes()[8 - OFFSET_BYTES..]);
        size.copy_from_slice(&location.size.unwrap_or(UNKNOWN_SIZE).to_be_bytes()[4 - SIZE_BYTES..]);
        Self::from_bytes(&bytes)
    }

    /// The first 8 bytes of the fingerprint.
    pub(crate) fn first_word(&self) -> u64 {
        self.0[0]
    }

    pub(crate) fn from_bytes(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let mut padded = [0; 24];
        padded[..ENTRY_BYTES].copy_from_slice(bytes);
        let (words, _) = padded.as_chunks::<8>();
        Self([0, 1, 2].map(|at| u64::from_be_bytes(words[at])))
    }

    pub(crate) fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut padded = [0; 24];
        for (chunk, word) in padded.as_chunks_mut::<8>().0.iter_mut().zip(self.0) {
            *chunk = word.to_be_bytes();
        }
        let mut bytes = [0; ENTRY_BYTES];
        bytes.copy_from_slice(&padded[..ENTRY_BYTES]);
        bytes
    }
}

/// The location of a block, as far as an index can hold it.
pub(crate) fn location(offset: u64, data_size: u64) -> Result<Location> {
    if offset > MAX_OFFSET {
        return Err(Error::OffsetTooLarge { offset });
    }
    let size = u32::try_from(data_size).ok().filter(|size| *size <= MAX_SIZE);
    Ok(Location { offset, size })
}

/// The location in an entry's bytes.
pub(crate) fn location_in(entry: &[u8; ENTRY_BYTES]) -> Location {
    let mut offset = [0; 8];
    offset[8 - OFFSET_BYTES..].copy_from_slice(&entry[FINGERPRINT_BYTES..FINGERPRINT_BYTES + OFFSET_BYTES]);
    let mut size = [0; 4];
    size[4 - SIZE_BYTES..].copy_from_slice(&entry[FINGERPRINT_BYTES + OFFSET_BYTES..]);
    let size = Some(u32::from_be_bytes(size)).filter(|size| *size != UNKNOWN_SIZE);
    Location { offset: u64::from_be_bytes(offset), size }
}

/// The fingerprint in an entry's bytes.
pub(crate) fn fingerprint_in(entry: &[u8; ENTRY_BYTES]) -> Fingerprint {
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&entry[..FINGERPRINT_BYTES]);
    Fingerprint(fingerprint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_are_exact() {
        assert_eq!(location(MAX_OFFSET, 0).unwrap(), Location { offset: MAX_OFFSET, size: Some(0) });
        assert!(matches!(location(MAX_OFFSET + 1, 0), Err(Error::OffsetTooLarge { offset }) if offset == 1 << 40));
        assert_eq!(location(0, 0xff_fffe).unwrap().size, Some(0xff_fffe));
        for data_size in [0xff_ffff, 0x100_0000, 0x1_0000_0000, 0x1_0000_0001, u64::MAX] {
            assert_eq!(location(0, data_size).unwrap().size, None, "{data_size}");
        }
    }

    #[test]
    fn the_bytes_are_as_described() {
        let location = location(0x01_0203_0405, 0x06_0708).unwrap();
        let bytes = Entry::new(Fingerprint([0xaa; 14]), location).to_bytes();
        assert_eq!(bytes[..14], [0xaa; 14]);
        assert_eq!(bytes[14..], [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    proptest! {
        #[test]
        fn entries_come_back_and_order_is_that_of_the_bytes(
            entries in prop::array::uniform2((prop::array::uniform14(any::<u8>()), 0..=MAX_OFFSET, any::<u64>())),
        ) {
            let [one, other] = entries.map(|(fingerprint, offset, data_size)| {
                let (fingerprint, location) = (Fingerprint(fingerprint), location(offset, data_size).unwrap());
                let entry = Entry::new(fingerprint, location);
                let bytes = entry.to_bytes();
                assert_eq!(Entry::from_bytes(&bytes), entry);
                assert_eq!((fingerprint_in(&bytes), location_in(&bytes)), (fingerprint, location));
                entry
            });
            prop_assert_eq!(one.cmp(&other), one.to_bytes().cmp(&other.to_bytes()));
        }
    }
}
