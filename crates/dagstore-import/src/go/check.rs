//! A look at every block and every journal entry of a LevelDB before it is opened: its reader allocates whatever a length says,
//! and passes over what it can't read without a word.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::manifest::check_presence;

/// A table ends with two handles, zeros up to 40 bytes, and this number.
const FOOTER_BYTES: usize = 48;
const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
/// Behind each block: its compression, and a checksum.
const TRAILER_BYTES: usize = 5;
/// No block that Go writes is near it: blocks are 4 KiB, and grow with a large row and with the number of blocks.
const MAX_BLOCK_BYTES: u64 = 64 * 1024 * 1024;
/// Journals are made of blocks of this size, and of entries with a head of seven bytes.
pub(super) const JOURNAL_BLOCK_BYTES: usize = 32 * 1024;
pub(super) const JOURNAL_HEAD_BYTES: usize = 7;

/// Checks every table and every journal in the folder; the error says which one is damaged, and where.
pub(super) fn check_folder(folder: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let checked = match extension {
            Some("ldb" | "sst") => check_table(&path),
            Some("log") => check_journal(&path, true),
            _ if name.starts_with("MANIFEST-") => check_journal(&path, false),
            _ => Ok(()),
        };
        checked.map_err(|why| format!("{name} {why}"))?;
    }
    // What isn't there can't be damaged; a table that is missing is noticed when the LevelDB is opened, but a journal is not.
    check_presence(folder)
}

/// Where a block is.
#[derive(Debug, Clone, Copy)]
struct Handle {
    offset: u64,
    size: u64,
}

fn check_table(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    let footer_at = bytes.checked_sub(FOOTER_BYTES as u64).ok_or("is too short for a table")?;
    let mut footer = [0; FOOTER_BYTES];
    file.read_exact_at(&mut footer, footer_at).map_err(|error| error.to_string())?;
    let (handles, magic) = footer.split_at(FOOTER_BYTES - 8);
    if magic != MAGIC.to_le_bytes() {
        return Err("doesn't end as a table does".to_owned());
    }
    let mut rest = handles;
    let meta = handle(&mut rest).ok_or("has a damaged end")?;
    let index = handle(&mut rest).ok_or("has a damaged end")?;
    let meta = read_block(&file, footer_at, meta)?;
    let index = read_block(&file, footer_at, index)?;
    // Filters have no restarts; they are held against their checksum all the same.
    for value in values(&meta)?.into_iter().chain(values(&index)?) {
        let handle = handle(&mut &value[..]).ok_or("has a damaged index")?;
        read_block(&file, footer_at, handle)?;
    }
    Ok(())
}

/// Reads a block that ends before `end`, and checks it.
fn read_block(file: &File, end: u64, handle: Handle) -> Result<Vec<u8>, String> {
    let Handle { offset, size } = handle;
    let last = offset.checked_add(size).and_then(|last| last.checked_add(TRAILER_BYTES as u64));
    if size > MAX_BLOCK_BYTES || last.is_none_or(|last| last > end) {
        return Err(format!("has a block of {size} bytes at {offset}, which is too large or leaves the file"));
    }
    let mut block = vec![0; usize::try_from(size).map_err(|error| error.to_string())? + TRAILER_BYTES];
    file.read_exact_at(&mut block, offset).map_err(|error| error.to_string())?;
    let sum = block.split_off(block.len() - 4);
    if unmasked(&sum) != crc32c::crc32c(&block) {
        return Err(format!("has a damaged block at {offset}"));
    }
    match block.pop() {
        Some(0) => Ok(block),
        Some(1) => {
            let most = usize::try_from(MAX_BLOCK_BYTES).unwrap_or(usize::MAX);
            if snap::raw::decompress_len(&block).map_err(|error| error.to_string())? > most {
                return Err(format!("has a block at {offset} that is too large when it is unpacked"));
            }
            snap::raw::Decoder::new().decompress_vec(&block).map_err(|error| error.to_string())
        }
        _ => Err(format!("has a block at {offset} in an unknown compression")),
    }
}

/// The values of a block's entries.
fn values(block: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let damaged = || "has a damaged block of handles".to_owned();
    let (entries, count) = block.split_last_chunk::<4>().ok_or_else(damaged)?;
    let restarts = (u32::from_le_bytes(*count) as usize).checked_mul(4).ok_or_else(damaged)?;
    let mut rest = entries.get(..entries.len().checked_sub(restarts).ok_or_else(damaged)?).ok_or_else(damaged)?;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let mut next = || usize::try_from(varint(&mut rest)?).ok();
        let (_shared, unshared, length) = (next(), next(), next());
        let (Some(unshared), Some(length)) = (unshared, length) else { return Err(damaged()) };
        let (_key, behind) = rest.split_at_checked(unshared).ok_or_else(damaged)?;
        let (value, behind) = behind.split_at_checked(length).ok_or_else(damaged)?;
        values.push(value.to_vec());
        rest = behind;
    }
    Ok(values)
}

/// Checks every entry. The last one may be torn where the process died while it wrote it, if `may_be_torn`: it was never
/// confirmed then.
fn check_journal(path: &Path, may_be_torn: bool) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut at = 0;
    while at < bytes.len() {
        let left = JOURNAL_BLOCK_BYTES - at % JOURNAL_BLOCK_BYTES;
        if left < JOURNAL_HEAD_BYTES {
            at += left;
            continue;
        }
        let Some((head, rest)) = bytes[at..].split_first_chunk::<JOURNAL_HEAD_BYTES>() else { break };
        let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
        if head == &[0; JOURNAL_HEAD_BYTES] {
            // Room that was taken and not written yet: nothing may come behind it.
            if rest.iter().any(|byte| *byte != 0) {
                return Err(format!("is damaged at {at}"));
            }
            return Ok(());
        }
        let Some(data) = rest.get(..length) else {
            if length + JOURNAL_HEAD_BYTES > left || is_hiding(&bytes, at) {
                return Err(format!("is damaged at {at}"));
            }
            break;
        };
        let is_whole = fits(*head, data);
        let is_last = at + JOURNAL_HEAD_BYTES + length == bytes.len();
        if !(is_whole || is_last && may_be_torn) || length + JOURNAL_HEAD_BYTES > left {
            return Err(format!("is damaged at {at}"));
        }
        at += JOURNAL_HEAD_BYTES + length;
    }
    if at < bytes.len() && !may_be_torn { Err(format!("is cut short at {at}")) } else { Ok(()) }
}

/// Whether an entry that leaves the file isn't its last one, cut, but one with a wrong length: it is whole but for that, or others
/// stand behind it.
fn is_hiding(bytes: &[u8], at: usize) -> bool {
    let entry = |at: usize| bytes[at..].split_first_chunk::<JOURNAL_HEAD_BYTES>();
    let is_entry = |at: usize| {
        entry(at).is_some_and(|(head, rest)| {
            let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
            length > 0 && rest.get(..length).is_some_and(|data| fits(*head, data))
        })
    };
    entry(at).is_some_and(|(head, rest)| fits(*head, rest)) || (at + 1..bytes.len()).any(is_entry)
}

/// Whether the checksum of an entry's head is that of its data.
fn fits(head: [u8; JOURNAL_HEAD_BYTES], data: &[u8]) -> bool {
    unmasked(&head[..4]) == crc32c::crc32c_append(crc32c::crc32c(&head[6..]), data)
}

/// A checksum as it was before LevelDB masked it.
fn unmasked(sum: &[u8]) -> u32 {
    let sum = u32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
    sum.wrapping_sub(0xa282_ead8).rotate_left(15)
}

fn handle(bytes: &mut &[u8]) -> Option<Handle> {
    Some(Handle { offset: varint(bytes)?, size: varint(bytes)? })
}

pub(super) fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
