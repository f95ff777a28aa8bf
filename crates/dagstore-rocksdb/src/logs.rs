//! Logs and manifests, looked at before RocksDB reads them.
//!
//! Both may end in the middle of the last write, because the power went. RocksDB takes every entry whose length leaves the file for
//! such an end, and zeros for room that was never written: one flipped bit in a length then drops all that stands behind it, without
//! a word. Damage that RocksDB notices by itself, by a checksum, is left to it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use dagstore_datastore::{Error, ErrorClass, Result};

use crate::error::{BACKEND, DAMAGED, out_of_reach};

/// Entries are in pieces, none of which is in two blocks.
const BLOCK_BYTES: usize = 32 * 1024;
/// A piece begins with a masked checksum of all behind it but the length, a length of two bytes, and its kind.
const HEAD_BYTES: usize = 7;
/// Kinds: a whole entry, and the first piece of one.
const FULL: u8 = 1;
const FIRST: u8 = 2;
/// A disk writes so many bytes as a whole at least.
const SECTOR_BYTES: usize = 512;

/// Checks the logs and the manifest of the database in the directory.
///
/// # Errors
/// Of class [`ErrorClass::Corrupt`] where what was written stands behind something that would be taken for the end.
pub(crate) fn check_logs(path: &Path) -> Result<()> {
    let unreadable = |error| out_of_reach("open", error);
    let current = fs::read_to_string(path.join("CURRENT")).unwrap_or_default();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (name, path) = (entry.file_name(), entry.path());
        if path.extension().is_none_or(|extension| extension != "log") && name != current.trim_end() {
            continue;
        }
        let hidden = match File::open(&path) {
            // Another process has the database open, and needs it no more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file.and_then(|mut file| hidden_behind(&mut file)).map_err(unreadable)?,
        };
        if let Some(at) = hidden {
            let text = format!("{} is damaged at {at}, and what was written behind it would be lost", name.display());
            return Err(Error::failed(BACKEND, "open", ErrorClass::Corrupt, text).advise(DAMAGED));
        }
    }
    Ok(())
}

/// Where reading would stop before the end of what was written.
fn hidden_behind(file: &mut impl Read) -> io::Result<Option<u64>> {
    let (mut at, mut block) = (0, Vec::new());
    loop {
        block.clear();
        file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        if let Some(stop) = stop_in(&block) {
            file.read_to_end(&mut block)?;
            return Ok(is_hiding(&block, stop).then_some(at + stop as u64));
        }
        if block.len() < BLOCK_BYTES {
            return Ok(None);
        }
        at += BLOCK_BYTES as u64;
    }
}

/// Where a block has zeros instead of a piece, or a piece that leaves it.
fn stop_in(block: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some((head, rest)) = block[at..].split_first_chunk::<HEAD_BYTES>() {
        // Pieces of logs that are used again have four bytes more of a head.
        let more = if matches!(head[6], 5..=8 | 11 | 131) { 4 } else { 0 };
        let length = usize::from(u16::from_le_bytes([head[4], head[5]])) + more;
        if head == &[0; HEAD_BYTES] || rest.len() < length {
            return Some(at);
        }
        at += HEAD_BYTES + length;
    }
    None
}

/// Whether there is more behind `stop` than a last write that was cut. `bytes` begin with a block.
fn is_hiding(bytes: &[u8], stop: usize) -> bool {
    let rest = &bytes[stop..];
    if rest.starts_with(&[0; HEAD_BYTES]) {
        // What was never written is so by whole sectors.
        let sector_end = (stop + 1).next_multiple_of(SECTOR_BYTES).min(bytes.len());
        if bytes[stop..sector_end].iter().any(|byte| *byte != 0) {
            return true;
        }
    } else if is_whole_but_for_its_length(rest) {
        return true;
    }
    (stop + 1..bytes.len()).any(|at| begins_entry(bytes, at))
}

/// Whether the checksum fits all that is there, so that nothing was cut but the length is a wrong one.
fn is_whole_but_for_its_length(piece: &[u8]) -> bool {
    let fits = |(head, rest): (&[u8; HEAD_BYTES], &[u8])| sum_of(head[6], rest) == unmasked(*head);
    piece.split_first_chunk().is_some_and(fits)
}

/// Whether a whole piece is here, and the first of its entry: later ones may be all that came to the disk of a last write.
fn begins_entry(bytes: &[u8], at: usize) -> bool {
    let block_end = (at + 1).next_multiple_of(BLOCK_BYTES).min(bytes.len());
    let Some((head, rest)) = bytes[at..block_end].split_first_chunk::<HEAD_BYTES>() else { return false };
    let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
    matches!(head[6], FULL | FIRST)
        && length > 0
        && rest.get(..length).is_some_and(|piece| sum_of(head[6], piece) == unmasked(*head))
}

/// The checksum over a piece's kind and what is in it.
fn sum_of(kind: u8, piece: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[kind]), piece)
}

/// The checksum of a head as it was before it was masked.
fn unmasked(head: [u8; HEAD_BYTES]) -> u32 {
    u32::from_le_bytes([head[0], head[1], head[2], head[3]]).wrapping_sub(0xa282_ead8).rotate_left(15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: u8 = 4;

    fn piece(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let sum = sum_of(kind, bytes).rotate_right(15).wrapping_add(0xa282_ead8);
        let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
        [&sum.to_le_bytes()[..], &length, &[kind], bytes].concat()
    }

    fn found(bytes: &[u8]) -> Option<u64> {
        hidden_behind(&mut &bytes[..]).unwrap()
    }

    #[test]
    fn a_log_may_be_cut_anywhere() {
        let first = vec![b'x'; BLOCK_BYTES - 2 * HEAD_BYTES - 3 - 5];
        let log =
            [piece(FULL, b"one"), piece(FIRST, &first), vec![0; 5], piece(LAST, b"end"), piece(FULL, b"two")].concat();
        for end in (0..100).chain((100..log.len() - 100).step_by(251)).chain(log.len() - 100..=log.len()) {
            assert_eq!(found(&log[..end]), None, "cut at {end}");
        }
        // The rest of what was taken for the file isn't written yet.
        assert_eq!(found(&[log.clone(), vec![0; 2 * BLOCK_BYTES]].concat()), None);
        // A last write of several blocks, whose first didn't come to the disk.
        let mut lost = [piece(FULL, b"one"), piece(FIRST, &first), vec![0; 5], piece(LAST, b"end")].concat();
        lost[HEAD_BYTES + 3..BLOCK_BYTES].fill(0);
        assert_eq!(found(&lost), None);
    }

    #[test]
    fn an_end_that_is_none_is_found() {
        let log = [piece(FULL, b"one"), piece(FULL, b"two"), piece(FULL, b"three")].concat();
        let second = HEAD_BYTES + 3;
        for (at, change) in
            [(4, &[0xff][..]), (5, &[0xff]), (second + 5, &[0x80]), (2 * second + 5, &[1]), (second, &[0; 10])]
        {
            let mut bytes = log.clone();
            bytes[at..at + change.len()].copy_from_slice(change);
            assert!(found(&bytes).is_some(), "{at}");
        }
        // A sector of zeros, and entries behind it.
        let mut bytes = [piece(FULL, &[b'x'; SECTOR_BYTES]), piece(FULL, &[b'y'; 2 * SECTOR_BYTES]), log].concat();
        let hole = SECTOR_BYTES + HEAD_BYTES;
        bytes[hole..3 * SECTOR_BYTES].fill(0);
        assert_eq!(found(&bytes), Some(hole as u64));
    }
}
