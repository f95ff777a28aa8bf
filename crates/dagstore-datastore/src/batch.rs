//! Writes that belong together.

use crate::load::check_limits;
use std::sync::Arc;

use crate::{Namespace, Result};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;

/// The longest value, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Writes that are applied as a whole or not at all, in the order in which they were added.
///
/// A batch holds absolute values, so writing it twice is the same as writing it once: after an unknown outcome it
/// can simply be written again.
///
/// Cloning shares what was added: the copy that is written again after a failure costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Batch(Arc<Rows>);

#[derive(Debug, Clone, Default)]
struct Rows {
    /// Keys and values back to back, so that a batch of a thousand records is two allocations.
    bytes: Vec<u8>,
    writes: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    namespace: Namespace,
    key_end: usize,
    /// `None` deletes.
    value_end: Option<usize>,
}

/// One write of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'a> {
    /// Where the row lives.
    pub namespace: Namespace,
    /// The row's key.
    pub key: &'a [u8],
    /// The new value, or `None` to delete the row.
    pub value: Option<&'a [u8]>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds: the row `key` has `value`.
    pub fn put(&mut self, namespace: Namespace, key: &[u8], value: &[u8]) {
        let rows = Arc::make_mut(&mut self.0);
        rows.bytes.extend_from_slice(key);
        let key_end = rows.bytes.len();
        rows.bytes.extend_from_slice(value);
        rows.writes.push(Entry { namespace, key_end, value_end: Some(rows.bytes.len()) });
    }

    /// Adds: there is no row `key`.
    pub fn delete(&mut self, namespace: Namespace, key: &[u8]) {
        let rows = Arc::make_mut(&mut self.0);
        rows.bytes.extend_from_slice(key);
        rows.writes.push(Entry { namespace, key_end: rows.bytes.len(), value_end: None });
    }

    /// The number of writes.
    pub fn len(&self) -> usize {
        self.0.writes.len()
    }

    /// Whether there are no writes.
    pub fn is_empty(&self) -> bool {
        self.0.writes.is_empty()
    }

    /// The bytes of all keys and values.
    pub fn byte_len(&self) -> usize {
        self.0.bytes.len()
    }

    /// Refuses a batch with a key or value over the limits. A backend calls it before it applies anything.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) with the first key or value that is over its limit.
    pub fn check_limits(&self, backend: &'static str) -> Result<()> {
        self.iter().try_for_each(|write| check_limits(backend, write.key, write.value.unwrap_or_default()))
    }

    /// The writes, in order.
    pub fn iter(&self) -> impl Iterator<Item = Write<'_>> {
        let mut start = 0;
        self.0.writes.iter().map(move |entry| {
            let key = &self.0.bytes[start..entry.key_end];
            let value = entry.value_end.map(|end| &self.0.bytes[entry.key_end..end]);
            start = entry.value_end.unwrap_or(entry.key_end);
            Write { namespace: entry.namespace, key, value }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_come_out_as_they_went_in() {
        const A: Namespace = Namespace::new("a");
        const B: Namespace = Namespace::new("b");
        let mut batch = Batch::new();
        batch.put(A, b"k", b"value");
        batch.delete(B, b"gone");
        batch.put(B, b"", b"");
        let writes: Vec<_> = batch.iter().collect();
        assert_eq!(
            writes,
            [
                Write { namespace: A, key: b"k", value: Some(b"value") },
                Write { namespace: B, key: b"gone", value: None },
                Write { namespace: B, key: b"", value: Some(b"") },
            ]
        );
        assert_eq!((batch.len(), batch.byte_len()), (3, 10));
    }
}
