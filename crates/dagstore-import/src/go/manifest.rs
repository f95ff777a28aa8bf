//! What a LevelDB's manifest says of its journal: a reader takes one that is missing for an empty one, and what was written last
//! would be gone without a word.

use std::path::Path;

use super::check::{JOURNAL_BLOCK_BYTES, JOURNAL_HEAD_BYTES, varint};

/// Kinds of a journal's pieces: a whole entry, or the first, a middle or the last of one.
const FULL: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// Checks that the journal of which `CURRENT`'s manifest speaks is there; the error says what is missing. Every entry of the manifest
/// must have been held against its checksum.
pub(super) fn check_presence(folder: &Path) -> Result<(), String> {
    let current = std::fs::read_to_string(folder.join("CURRENT")).map_err(|error| format!("CURRENT: {error}"))?;
    let name = current.trim_end_matches('\n');
    if !name.strip_prefix("MANIFEST-").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err("CURRENT names no manifest".to_owned());
    }
    let bytes = match std::fs::read(folder.join(name)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(format!("{name}, which CURRENT names, is missing"));
        }
        read => read.map_err(|error| format!("{name}: {error}"))?,
    };
    let mut journal = 0;
    for entry in entries(&bytes) {
        journal = journal_of(&entry, journal).ok_or_else(|| format!("{name} has a damaged entry"))?;
    }
    // A LevelDB that was just made has none yet.
    if journal == 0 || folder.join(format!("{journal:06}.log")).is_file() {
        return Ok(());
    }
    Err(format!("{journal:06}.log is missing, the journal with what was written last"))
}

/// The entries of a manifest, put together from their pieces.
fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut entries, mut entry) = (Vec::new(), Vec::new());
    for block in bytes.chunks(JOURNAL_BLOCK_BYTES) {
        let mut rest = block;
        while let Some((head, behind)) = rest.split_first_chunk::<JOURNAL_HEAD_BYTES>() {
            let length = usize::from(u16::from_le_bytes([head[4], head[5]]));
            let Some((piece, behind)) = behind.split_at_checked(length) else { break };
            if matches!(head[6], FULL | FIRST) {
                entry.clear();
            }
            entry.extend_from_slice(piece);
            if matches!(head[6], FULL | LAST) {
                entries.push(std::mem::take(&mut entry));
            }
            rest = behind;
        }
    }
    entries
}

/// The number of the journal behind an entry, before which it was `journal`; `None` where the entry can't be read.
fn journal_of(mut entry: &[u8], mut journal: u64) -> Option<u64> {
    while !entry.is_empty() {
        match varint(&mut entry)? {
            // The name of the order of keys.
            1 => text(&mut entry)?,
            2 => journal = varint(&mut entry)?,
            // The next file, the last sequence number, the journal before this one.
            3 | 4 | 9 => drop(varint(&mut entry)?),
            // Where compaction goes on: a level and a key.
            5 => {
                varint(&mut entry)?;
                text(&mut entry)?;
            }
            // A table that is gone: a level and a number.
            6 => drop((varint(&mut entry)?, varint(&mut entry)?)),
            // A new table: a level, a number, a size, and its first and last key.
            7 => {
                for _ in 0..3 {
                    varint(&mut entry)?;
                }
                text(&mut entry)?;
                text(&mut entry)?;
            }
            _ => return None,
        }
    }
    Some(journal)
}

/// Passes over a length with so many bytes behind it.
fn text(entry: &mut &[u8]) -> Option<()> {
    let bytes = usize::try_from(varint(entry)?).ok()?;
    *entry = entry.get(bytes..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_tell_of_their_journal() {
        for (entry, journal) in [
            (&b""[..], Some(7)),
            (b"\x01\x02lv\x02\x83\x01\x03\x05\x04\x01\x09\x00", Some(131)),
            (b"\x05\x00\x01k\x06\x01\x02\x07\x00\x04\x05\x01a\x01b\x02\x04\x02\x06", Some(6)),
            (b"\x02", None),
            (b"\x08\x01", None),
            (b"\x01\x7fshort", None),
        ] {
            assert_eq!(journal_of(entry, 7), journal, "{entry:?}");
        }
    }

    #[test]
    fn entries_are_put_together_from_their_pieces() {
        let piece = |kind: u8, bytes: &[u8]| {
            let length = u16::try_from(bytes.len()).unwrap().to_le_bytes();
            [&[0; 4], &length[..], &[kind], bytes].concat()
        };
        // The first ends its block but for six bytes, which have no room for a head.
        let long = vec![b'x'; JOURNAL_BLOCK_BYTES - 2 * JOURNAL_HEAD_BYTES - 6 - 3];
        let first_block = [piece(FULL, b"one"), piece(FIRST, &long), vec![0; 6]].concat();
        let bytes = [first_block, piece(3, b"y"), piece(LAST, b"z"), piece(FIRST, b"torn")].concat();
        assert_eq!(entries(&bytes), [b"one".to_vec(), [&long[..], b"yz"].concat()]);
    }
}
