//! Checksums for made-up index files, so that what is behind them is reached. `docs/format/index.md` has the bytes.

use dagstore_car::MultihashRef;
use dagstore_index::FingerprintKey;

use crate::probes::{PROBES, probe};

const PAGE_BYTES: usize = 1024;
const ENTRY_BYTES: usize = 22;
const ENTRIES_PER_PAGE: usize = 46;
const FINGERPRINT_BYTES: usize = 14;
const FENCE_ENTRY_BYTES: usize = 8;
const TRAILER_BYTES: usize = 16;
const KEY_AT: usize = 16;
const COUNT_AT: usize = 72;

/// Makes a file of these bytes that is right as far as length, magic and checksums go. Entries and rows of the fence whose first
/// byte is the number of a probe become that probe's.
pub(crate) fn sealed(input: &[u8]) -> Vec<u8> {
    let mut file = input.to_vec();
    file.resize(file.len().max(PAGE_BYTES + TRAILER_BYTES), 0);
    let most_pages = (file.len() - TRAILER_BYTES) / PAGE_BYTES;
    let header_pages = usize::from(file[11] % 9).clamp(1, most_pages);
    let header_bytes = header_pages * PAGE_BYTES;
    let pages = (file.len() - header_bytes - TRAILER_BYTES) / (PAGE_BYTES + FENCE_ENTRY_BYTES);
    let fence_at = header_bytes + pages * PAGE_BYTES;
    let trailer_at = fence_at + pages * FENCE_ENTRY_BYTES;
    file.truncate(trailer_at + TRAILER_BYTES);

    seal_header(&mut file[..header_bytes], header_pages, pages);
    let seed = number_at(&file, header_bytes - 4);
    plant_probes(&mut file[header_bytes..trailer_at], pages, key_of(input));
    for number in 0..pages {
        let page = &mut file[header_bytes + number * PAGE_BYTES..][..PAGE_BYTES];
        let seed = crc32c::crc32c_append(seed, &(number as u64).to_be_bytes());
        seal(page, seed);
    }
    let fence = crc32c::crc32c_append(seed, &file[fence_at..trailer_at]);
    let trailer = &mut file[trailer_at..];
    trailer[..4].copy_from_slice(&seed.to_be_bytes());
    trailer[4..8].copy_from_slice(&fence.to_be_bytes());
    trailer[8..12].copy_from_slice(b"end\n");
    seal(trailer, 0);
    file
}

/// The key that stands in a file; zeros where it is too short.
pub(crate) fn key_of(file: &[u8]) -> FingerprintKey {
    let key = file.get(KEY_AT..).and_then(<[u8]>::first_chunk).copied();
    FingerprintKey(key.unwrap_or_default())
}

fn seal_header(header: &mut [u8], header_pages: usize, pages: usize) {
    header[..8].copy_from_slice(b"\x89dagidx\n");
    header[8..10].copy_from_slice(&1_u16.to_be_bytes());
    header[10..12].copy_from_slice(&u16::try_from(header_pages).unwrap_or(1).to_be_bytes());
    seal(&mut header[..16], 0);
    // As many as fill the pages, the last of them in part.
    let in_last = usize::from(header[COUNT_AT + 7]) % ENTRIES_PER_PAGE + 1;
    let entries = pages.checked_sub(1).map_or(0, |before| before * ENTRIES_PER_PAGE + in_last);
    header[COUNT_AT..COUNT_AT + 8].copy_from_slice(&(entries as u64).to_be_bytes());
    seal(header, 0);
}

fn plant_probes(body: &mut [u8], pages: usize, key: FingerprintKey) {
    let (entries, fence) = body.split_at_mut(pages * PAGE_BYTES);
    for page in entries.chunks_exact_mut(PAGE_BYTES) {
        for entry in page.chunks_exact_mut(ENTRY_BYTES) {
            plant(&mut entry[..FINGERPRINT_BYTES], key);
        }
    }
    for row in fence.chunks_exact_mut(FENCE_ENTRY_BYTES) {
        plant(row, key);
    }
}

fn plant(place: &mut [u8], key: FingerprintKey) {
    let number = usize::from(place[0]);
    if number < PROBES {
        let multihash = probe(number);
        let fingerprint = key.fingerprint(MultihashRef::parse(&multihash).expect("a probe is a multihash"));
        place.copy_from_slice(&fingerprint.0[..place.len()]);
    }
}

/// Writes the checksum of a part into its last four bytes.
fn seal(part: &mut [u8], seed: u32) {
    let (body, checksum) = part.split_at_mut(part.len() - 4);
    checksum.copy_from_slice(&crc32c::crc32c_append(seed, body).to_be_bytes());
}

fn number_at(file: &[u8], at: usize) -> u32 {
    file[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
