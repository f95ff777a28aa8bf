//! Rows on their way out of a datastore.

use futures_util::stream::{self, StreamExt};

use crate::{Result, RowStream};

/// Some consecutive rows of a scan, back to back in one buffer: a scan of a million rows allocates per page, not per row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowPage {
    bytes: Vec<u8>,
    /// Where each key and each value ends.
    ends: Vec<(usize, usize)>,
}

impl RowPage {
    /// A good size for a page, in bytes: engines find their place anew for each, and with a quarter of this a scan of
    /// everything takes half as long again.
    pub const TARGET_BYTES: usize = 1024 * 1024;

    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a row behind the others.
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of all keys and values.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether the page has reached [`TARGET_BYTES`](Self::TARGET_BYTES).
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= Self::TARGET_BYTES
    }

    /// The key of the last row.
    pub fn last_key(&self) -> Option<&[u8]> {
        let (key_end, _) = *self.ends.last()?;
        let start = if self.ends.len() > 1 { self.ends[self.ends.len() - 2].1 } else { 0 };
        Some(&self.bytes[start..key_end])
    }

    /// Whether the page has as many rows as wanted, or is full.
    pub(crate) fn has(&self, limit: usize) -> bool {
        self.len() >= limit || self.is_full()
    }

    /// The rows as `(key, value)`, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(key_end, value_end)| {
            let row = (&self.bytes[start..key_end], &self.bytes[key_end..value_end]);
            start = value_end;
            row
        })
    }
}

/// Where the rows that start with a prefix and come behind some bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start<'a> {
    /// With the prefix.
    First,
    /// Behind this, which starts with the prefix.
    Behind(&'a [u8]),
    /// Behind all of them.
    Nowhere,
}

impl<'a> Start<'a> {
    pub(crate) fn of(prefix: &[u8], after: Option<&'a [u8]>) -> Self {
        match after {
            Some(after) if after.starts_with(prefix) => Self::Behind(after),
            Some(after) if after > prefix => Self::Nowhere,
            _ => Self::First,
        }
    }
}

/// Makes the stream of a scan out of a function that reads one page.
///
/// `read` is given the last key of the page before (`None` at first) and returns the rows behind it, as many as it takes
/// for a page to be [full](RowPage::is_full), or all that are left. So each page is a read of its own: nothing in the
/// database is held open while the caller looks at a page, however long that takes.
///
/// The stream ends behind a page that isn't full, and behind an error. It has no empty pages.
pub fn stream_of_pages<R, F>(read: R) -> RowStream
where
    R: FnMut(Option<Vec<u8>>) -> F + Send + 'static,
    F: Future<Output = Result<RowPage>> + Send,
{
    let first = Some((read, None));
    stream::unfold(first, |state| async move {
        let (mut read, after) = state?;
        let page = match read(after).await {
            Ok(page) if page.is_empty() => return None,
            Ok(page) => page,
            Err(error) => return Some((Err(error), None)),
        };
        let last_key = page.last_key().filter(|_| page.is_full()).map(<[u8]>::to_vec);
        Some((Ok(page), last_key.map(|key| (read, Some(key)))))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use futures_util::FutureExt;

    use super::*;
    use crate::{Error, ErrorClass};

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut page = RowPage::new();
        assert!(page.is_empty() && page.last_key().is_none() && page.iter().next().is_none());
        for (key, value) in [("", "empty key"), ("k", ""), ("last", "v")] {
            page.push(key.as_bytes(), value.as_bytes());
        }
        let rows: Vec<_> = page.iter().collect();
        assert_eq!(rows, [(&b""[..], &b"empty key"[..]), (b"k", b""), (b"last", b"v")]);
        assert_eq!((page.len(), page.last_key()), (3, Some(&b"last"[..])));
        assert!(!page.is_full());
        page.push(b"z", &vec![0; RowPage::TARGET_BYTES]);
        assert!(page.is_full());
    }

    #[test]
    fn rows_begin_within_their_prefix_or_nowhere() {
        for (prefix, after, expected) in [
            ("b", None, Start::First),
            ("b", Some(""), Start::First),
            ("b", Some("a"), Start::First),
            ("b", Some("azz"), Start::First),
            ("b", Some("b"), Start::Behind(b"b")),
            ("b", Some("bb"), Start::Behind(b"bb")),
            ("b", Some("c"), Start::Nowhere),
            ("bb", Some("b"), Start::First),
            ("bb", Some("bc"), Start::Nowhere),
            ("", Some(""), Start::Behind(b"")),
            ("", Some("z"), Start::Behind(b"z")),
        ] {
            let start = Start::of(prefix.as_bytes(), after.map(str::as_bytes));
            assert_eq!(start, expected, "{prefix:?} behind {after:?}");
        }
    }

    #[test]
    fn a_stream_goes_on_behind_full_pages_and_ends_behind_others_and_errors() {
        let full = || {
            let mut page = RowPage::new();
            page.push(b"key", &vec![0; RowPage::TARGET_BYTES]);
            page
        };
        let mut short = RowPage::new();
        short.push(b"last", b"");
        let broken = || Error::failed("test", "scan", ErrorClass::Permanent, "broken");
        for (pages, expected) in [
            (vec![Ok(full()), Ok(full()), Ok(short)], vec![1, 1, 1]),
            (vec![Ok(full()), Ok(RowPage::new())], vec![1]),
            (vec![Ok(full()), Err(broken())], vec![1, -1]),
            (vec![Err(broken())], vec![-1]),
        ] {
            let mut pages = pages.into_iter();
            let mut asked = Vec::new();
            let stream = stream_of_pages(move |after| {
                asked.push(after);
                let allowed: &[Option<Vec<u8>>] = &[None, Some(b"key".to_vec()), Some(b"key".to_vec())];
                assert_eq!(asked, allowed[..asked.len()]);
                ready(pages.next().expect("no page is asked for behind the last"))
            });
            let lengths = stream.map(|page| page.map_or(-1, |page| i64::try_from(page.len()).unwrap()));
            assert_eq!(lengths.collect::<Vec<_>>().now_or_never().unwrap(), expected);
        }
    }
}
