//! A batch as the statements want it: each row once, sorted, in pieces.

use std::collections::BTreeMap;

use dagstore_datastore::Batch;

/// How many bytes of rows go into one pair of statements, but for the last of them.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// What one pair of statements is given. All three have the same length, and so have the two for deletions.
#[derive(Debug, Default)]
pub(crate) struct Piece<'a> {
    pub(crate) put_namespaces: Vec<&'a [u8]>,
    pub(crate) put_keys: Vec<&'a [u8]>,
    pub(crate) put_values: Vec<&'a [u8]>,
    pub(crate) delete_namespaces: Vec<&'a [u8]>,
    pub(crate) delete_keys: Vec<&'a [u8]>,
    bytes: usize,
}

/// Takes a batch apart. Of several writes to a row the last counts: a statement can't touch a row twice, and sorted rows
/// are locked in the same order by everybody. An empty batch has no pieces.
pub(crate) fn pieces(batch: &Batch) -> Vec<Piece<'_>> {
    let last: BTreeMap<(&'static str, &[u8]), Option<&[u8]>> =
        batch.iter().map(|write| ((write.namespace.name(), write.key), write.value)).collect();
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for ((namespace, key), value) in last {
        if pieces.last().is_none_or(|piece| piece.bytes >= PIECE_BYTES) {
            pieces.push(Piece::default());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(namespace.as_bytes(), key, value);
        }
    }
    pieces
}

impl<'a> Piece<'a> {
    fn push(&mut self, namespace: &'a [u8], key: &'a [u8], value: Option<&'a [u8]>) {
        self.bytes += namespace.len() + key.len() + value.map_or(0, <[u8]>::len);
        if let Some(value) = value {
            self.put_namespaces.push(namespace);
            self.put_keys.push(key);
            self.put_values.push(value);
        } else {
            self.delete_namespaces.push(namespace);
            self.delete_keys.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use dagstore_datastore::Namespace;

    use super::*;

    const A: Namespace = Namespace::new("a");
    const B: Namespace = Namespace::new("b");

    #[test]
    fn the_last_write_to_a_row_counts() {
        let mut batch = Batch::new();
        batch.put(B, b"k", b"b");
        batch.put(A, b"twice", b"1");
        batch.delete(A, b"gone");
        batch.put(A, b"gone", b"1");
        batch.delete(A, b"gone");
        batch.put(A, b"twice", b"2");
        let pieces = pieces(&batch);
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].put_namespaces, [b"a", b"b"]);
        assert_eq!(pieces[0].put_keys, [&b"twice"[..], b"k"]);
        assert_eq!(pieces[0].put_values, [b"2", b"b"]);
        assert_eq!(
            (&pieces[0].delete_namespaces[..], &pieces[0].delete_keys[..]),
            (&[&b"a"[..]][..], &[&b"gone"[..]][..])
        );
    }

    #[test]
    fn a_large_batch_comes_in_pieces() {
        let mut batch = Batch::new();
        for at in 0..100_u8 {
            batch.put(A, &[at], &vec![at; 100_000]);
        }
        let sizes: Vec<_> = pieces(&batch).iter().map(|piece| piece.put_keys.len()).collect();
        assert_eq!(sizes, [42, 42, 16]);
        assert!(pieces(&Batch::new()).is_empty());
    }
}
