//! The parts of an index file. `docs/format/index.md` is the description, and this the only place that knows it.

use dagstore_fs::OwnName;
use dagstore_types::{Attempt, Registration};

use crate::entry::ENTRY_BYTES;
use crate::repo::MAX_VALIDATOR_BYTES;
use crate::{Damage, FingerprintKey, IndexMeta};

/// The size of a page; headers are whole pages too, so that a page never lies across two pages of a disk.
pub(crate) const PAGE_BYTES: usize = 1024;

/// The number of entries in a full page.
pub(crate) const ENTRIES_PER_PAGE: usize = 46;

/// What a page contributes to the fence: the first bytes of its first fingerprint.
pub(crate) const FENCE_ENTRY_BYTES: usize = 8;

/// The size of the trailer.
pub(crate) const TRAILER_BYTES: usize = 16;

/// The only version so far.
pub(crate) const VERSION: u16 = 1;

/// The first byte is no text, the last one is changed by transfers that take the file for text.
const MAGIC: [u8; 8] = *b"\x89dagidx\n";
const END_MAGIC: [u8; 4] = *b"end\n";
const PROLOGUE_BYTES: usize = 16;
const VALIDATOR_AT: usize = 80;
const NO_VALIDATOR: u32 = u32::MAX;
const CHECKSUM_BYTES: usize = 4;

const _: () = assert!(ENTRIES_PER_PAGE * ENTRY_BYTES + CHECKSUM_BYTES <= PAGE_BYTES);

/// What the first 16 bytes of a file of any version say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prologue {
    pub(crate) version: u16,
    /// The length of the whole header; at least a page.
    pub(crate) header_bytes: usize,
}

impl Prologue {
    pub(crate) fn decode(page: &[u8; PAGE_BYTES]) -> Result<Self, Damage> {
        if array::<8>(page, 0) != MAGIC {
            return Err(Damage::Magic);
        }
        let header_pages = usize::from(u16::from_be_bytes(array(page, 10)));
        if u32::from_be_bytes(array(page, 12)) != crc32c::crc32c(&page[..12]) || header_pages == 0 {
            return Err(Damage::Header);
        }
        Ok(Self { version: u16::from_be_bytes(array(page, 8)), header_bytes: header_pages * PAGE_BYTES })
    }
}

/// The header of version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) key: FingerprintKey,
    pub(crate) meta: IndexMeta,
    pub(crate) entries: u64,
}

impl Header {
    /// The bytes, whole pages, checksums included.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let validator = self.meta.validator.as_deref().unwrap_or_default().as_bytes();
        debug_assert!(validator.len() <= MAX_VALIDATOR_BYTES);
        let header_pages = (VALIDATOR_AT + validator.len() + CHECKSUM_BYTES).div_ceil(PAGE_BYTES);
        // The validator's bound is that of the builder, 8 KiB, so neither number is ever cut.
        let validator_length = u32::try_from(validator.len()).unwrap_or(NO_VALIDATOR);
        let validator_field = self.meta.validator.as_ref().map_or(NO_VALIDATOR, |_| validator_length);

        let mut bytes = Vec::with_capacity(header_pages * PAGE_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(header_pages).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes.extend_from_slice(&self.key.0);
        bytes.extend_from_slice(&self.meta.name.key_hash());
        bytes.extend_from_slice(&self.meta.name.registration.0.to_be_bytes());
        bytes.extend_from_slice(&self.meta.name.attempt.0.to_be_bytes());
        bytes.extend_from_slice(&validator_field.to_be_bytes());
        bytes.extend_from_slice(&self.meta.car_size.to_be_bytes());
        bytes.extend_from_slice(&self.entries.to_be_bytes());
        bytes.extend_from_slice(validator);
        bytes.resize(header_pages * PAGE_BYTES - CHECKSUM_BYTES, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// Reads the header out of its bytes, which are those that the prologue told of.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(Damage::Header)?;
        if crc32c::crc32c(body) != u32::from_be_bytes(*checksum) || body.len() < VALIDATOR_AT {
            return Err(Damage::Header);
        }
        let validator = match u32::from_be_bytes(array(body, 60)) {
            NO_VALIDATOR => None,
            length => {
                let length = usize::try_from(length).map_err(|_| Damage::Header)?;
                let bytes = body[VALIDATOR_AT..].get(..length).ok_or(Damage::Header)?;
                Some(str::from_utf8(bytes).map_err(|_| Damage::Header)?.to_owned())
            }
        };
        let registration = Registration(u64::from_be_bytes(array(body, 48)));
        let attempt = Attempt(u32::from_be_bytes(array(body, 56)));
        let name = OwnName::from_parts(array(body, 32), registration, attempt);
        Ok(Self {
            key: FingerprintKey(array(body, PROLOGUE_BYTES)),
            meta: IndexMeta { name, car_size: u64::from_be_bytes(array(body, 64)), validator },
            entries: u64::from_be_bytes(array(body, 72)),
        })
    }
}

/// The checksum of an encoded header, which all other checksums start from: so a page, fence or trailer of another
/// file is as wrong as a damaged one.
pub(crate) fn header_checksum(header: &[u8]) -> u32 {
    header.last_chunk().map_or(0, |checksum| u32::from_be_bytes(*checksum))
}

/// Where the parts of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) pages: u64,
    pub(crate) fence_at: u64,
    pub(crate) fence_bytes: u64,
    pub(crate) file_bytes: u64,
}

impl Layout {
    /// The layout for a header's length and count, or `None` where the file would be longer than numbers are.
    pub(crate) fn new(header_bytes: usize, entries: u64) -> Option<Self> {
        let pages = entries.div_ceil(ENTRIES_PER_PAGE as u64);
        let fence_at = pages.checked_mul(PAGE_BYTES as u64)?.checked_add(header_bytes as u64)?;
        let fence_bytes = pages.checked_mul(FENCE_ENTRY_BYTES as u64)?;
        let file_bytes = fence_at.checked_add(fence_bytes)?.checked_add(TRAILER_BYTES as u64)?;
        Some(Self { pages, fence_at, fence_bytes, file_bytes })
    }
}

/// Writes the checksum into a page. It covers the page's number too, so that a page in another's place is wrong.
pub(crate) fn seal_page(page: &mut [u8; PAGE_BYTES], number: u64, header_checksum: u32) {
    let checksum = page_checksum(page, number, header_checksum);
    page[PAGE_BYTES - CHECKSUM_BYTES..].copy_from_slice(&checksum.to_be_bytes());
}

/// Checks a page's checksum.
pub(crate) fn check_page(page: &[u8; PAGE_BYTES], number: u64, header_checksum: u32) -> Result<(), Damage> {
    let expected = page_checksum(page, number, header_checksum);
    if u32::from_be_bytes(array(page, PAGE_BYTES - CHECKSUM_BYTES)) == expected {
        Ok(())
    } else {
        Err(Damage::Page { number })
    }
}

fn page_checksum(page: &[u8; PAGE_BYTES], number: u64, header_checksum: u32) -> u32 {
    let seed = crc32c::crc32c_append(header_checksum, &number.to_be_bytes());
    crc32c::crc32c_append(seed, &page[..PAGE_BYTES - CHECKSUM_BYTES])
}

/// The trailer of a file with this fence.
pub(crate) fn encode_trailer(fence: &[u8], header_checksum: u32) -> [u8; TRAILER_BYTES] {
    let mut trailer = [0; TRAILER_BYTES];
    trailer[..4].copy_from_slice(&header_checksum.to_be_bytes());
    trailer[4..8].copy_from_slice(&crc32c::crc32c_append(header_checksum, fence).to_be_bytes());
    trailer[8..12].copy_from_slice(&END_MAGIC);
    let checksum = crc32c::crc32c(&trailer[..12]);
    trailer[12..].copy_from_slice(&checksum.to_be_bytes());
    trailer
}

/// Checks a trailer, and returns the checksum that the fence must have.
pub(crate) fn decode_trailer(trailer: &[u8; TRAILER_BYTES], header_checksum: u32) -> Result<u32, Damage> {
    let is_right = u32::from_be_bytes(array(trailer, 12)) == crc32c::crc32c(&trailer[..12])
        && u32::from_be_bytes(array(trailer, 0)) == header_checksum
        && array(trailer, 8) == END_MAGIC;
    if is_right { Ok(u32::from_be_bytes(array(trailer, 4))) } else { Err(Damage::Fence) }
}

/// Checks a fence against its trailer's checksum.
pub(crate) fn check_fence(fence: &[u8], expected: u32, header_checksum: u32) -> Result<(), Damage> {
    if crc32c::crc32c_append(header_checksum, fence) == expected { Ok(()) } else { Err(Damage::Fence) }
}

/// The bytes at a place that the caller knows to be there.
fn array<const LENGTH: usize>(bytes: &[u8], at: usize) -> [u8; LENGTH] {
    let mut array = [0; LENGTH];
    array.copy_from_slice(&bytes[at..at + LENGTH]);
    array
}

#[cfg(test)]
mod tests {
    use dagstore_types::ShardKey;

    use super::*;

    fn header(validator: Option<&str>) -> Header {
        let name = OwnName::new(&ShardKey::new("k").unwrap(), Registration(7), Attempt(2));
        let meta = IndexMeta { name, car_size: 1 << 35, validator: validator.map(str::to_owned) };
        Header { key: FingerprintKey([0x11; 16]), meta, entries: 1_000_000 }
    }

    #[test]
    fn headers_come_back() {
        let [long, fits, longest] = [1025, PAGE_BYTES - 84, MAX_VALIDATOR_BYTES].map(|length| "v".repeat(length));
        for (validator, pages) in [
            (None, 1),
            (Some(""), 1),
            (Some("\"é\""), 1),
            (Some(fits.as_str()), 1),
            (Some(&format!("{fits}v")), 2),
            (Some(&long), 2),
            (Some(&longest), 9),
        ] {
            let header = header(validator);
            let bytes = header.encode();
            assert_eq!(bytes.len(), pages * PAGE_BYTES);
            let first = bytes.first_chunk().unwrap();
            assert_eq!(Prologue::decode(first), Ok(Prologue { version: 1, header_bytes: bytes.len() }));
            assert_eq!(Header::decode(&bytes), Ok(header));
        }
    }

    /// The checksum is right in each of these, as it is when somebody makes such a file on purpose.
    #[test]
    fn fields_that_can_not_be_are_refused() {
        for (length, text) in [(945, b"x"), (u32::MAX - 1, b"x"), (1, b"\xff")] {
            let mut bytes = header(Some("x")).encode();
            bytes[60..64].copy_from_slice(&u32::to_be_bytes(length));
            bytes[80..81].copy_from_slice(text);
            let end = bytes.len() - 4;
            let checksum = crc32c::crc32c(&bytes[..end]).to_be_bytes();
            bytes[end..].copy_from_slice(&checksum);
            assert_eq!(Header::decode(&bytes), Err(Damage::Header), "{length}");
        }
        for bytes in [&[][..], &[0; 3], &[0; 84]] {
            assert_eq!(Header::decode(bytes), Err(Damage::Header));
        }
    }

    #[test]
    fn a_header_of_no_pages_is_refused() {
        let mut page = *header(None).encode().first_chunk::<PAGE_BYTES>().unwrap();
        page[10..12].fill(0);
        let checksum = crc32c::crc32c(&page[..12]).to_be_bytes();
        page[12..16].copy_from_slice(&checksum);
        assert_eq!(Prologue::decode(&page), Err(Damage::Header));
    }

    #[test]
    fn layouts_are_exact_and_never_overflow() {
        let bytes = |entries| Layout::new(PAGE_BYTES, entries).map(|layout| (layout.pages, layout.file_bytes));
        assert_eq!(bytes(0), Some((0, 1040)));
        assert_eq!(bytes(1), Some((1, 2072)));
        assert_eq!(bytes(46), Some((1, 2072)));
        assert_eq!(bytes(47), Some((2, 3104)));
        assert_eq!(bytes(u64::MAX), None);
    }

    #[test]
    fn a_page_belongs_to_its_place_and_its_file() {
        let mut page = [7; PAGE_BYTES];
        seal_page(&mut page, 3, 99);
        assert_eq!(check_page(&page, 3, 99), Ok(()));
        assert_eq!(check_page(&page, 4, 99), Err(Damage::Page { number: 4 }));
        assert_eq!(check_page(&page, 3, 98), Err(Damage::Page { number: 3 }));
        assert_eq!(check_page(&[0; PAGE_BYTES], 0, 99), Err(Damage::Page { number: 0 }));
    }

    #[test]
    fn a_trailer_belongs_to_its_fence_and_its_file() {
        let trailer = encode_trailer(b"fence", 99);
        let checksum = decode_trailer(&trailer, 99).unwrap();
        assert_eq!(check_fence(b"fence", checksum, 99), Ok(()));
        assert_eq!(check_fence(b"fencf", checksum, 99), Err(Damage::Fence));
        assert_eq!(check_fence(b"fence", checksum, 98), Err(Damage::Fence));
        assert_eq!(decode_trailer(&trailer, 98), Err(Damage::Fence));
        for at in 0..TRAILER_BYTES {
            let mut damaged = trailer;
            damaged[at] ^= 1;
            assert_eq!(decode_trailer(&damaged, 99), Err(Damage::Fence), "{at}");
        }
    }
}
