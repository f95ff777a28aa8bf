//! Bulk loading: sorted rows, in pieces.

use std::mem;

use futures_util::StreamExt;

use crate::{
    Batch, Datastore, Durability, Error, MAX_KEY_BYTES, MAX_VALUE_BYTES, Namespace, Result, RowPage, RowStream,
};

/// How many bytes of rows [`load_by_batches`] writes as one batch. It is what a small write may have to wait for: tens of
/// milliseconds on the slowest of the embedded engines.
pub const LOAD_PIECE_BYTES: usize = 256 * 1024;

/// Holds the rows of a bulk load to their order and their limits. Every backend sends each page through it before it
/// writes any of the page's rows.
#[derive(Debug)]
pub struct LoadCheck {
    backend: &'static str,
    last_key: Option<Vec<u8>>,
}

impl LoadCheck {
    /// A check for one load by the backend of that name.
    pub fn new(backend: &'static str) -> Self {
        Self { backend, last_key: None }
    }

    /// Checks the page that comes next.
    ///
    /// # Errors
    /// [`Error::NotAscending`] for a key that doesn't come behind the one before it, in this page or the last;
    /// [`Error::TooLarge`] for a key or value over the limits.
    pub fn check(&mut self, page: &RowPage) -> Result<()> {
        let mut last = self.last_key.as_deref();
        for (key, value) in page.iter() {
            if let Some(last) = last.filter(|last| *last >= key) {
                let (key, previous) = (key.into(), last.into());
                return Err(Error::NotAscending { backend: self.backend, key, previous });
            }
            check_limits(self.backend, key, value)?;
            last = Some(key);
        }
        self.last_key = last.map(<[u8]>::to_vec);
        Ok(())
    }
}

/// Refuses a key or value over the limits.
pub(crate) fn check_limits(backend: &'static str, key: &[u8], value: &[u8]) -> Result<()> {
    for (what, bytes, limit_bytes) in [("key", key.len(), MAX_KEY_BYTES), ("value", value.len(), MAX_VALUE_BYTES)] {
        if bytes > limit_bytes {
            return Err(Error::TooLarge { backend, what, bytes, limit_bytes });
        }
    }
    Ok(())
}

/// A bulk load by synced batches of about [`LOAD_PIECE_BYTES`] each, one after the other: right for every backend that
/// has nothing better, and what [`Datastore::bulk_load`] does unless it is told otherwise.
///
/// # Errors
/// As [`Datastore::bulk_load`].
pub async fn load_by_batches<D: Datastore + ?Sized>(
    store: &D,
    namespace: Namespace,
    mut rows: RowStream,
) -> Result<()> {
    let mut check = LoadCheck::new(store.name());
    let mut piece = Batch::new();
    while let Some(page) = rows.next().await {
        let page = page?;
        check.check(&page)?;
        for (key, value) in page.iter() {
            piece.put(namespace, key, value);
            if piece.byte_len() >= LOAD_PIECE_BYTES {
                store.write(mem::take(&mut piece), Durability::Synced).await?;
            }
        }
    }
    // An empty batch is a sync, so what was written before the load is durable in every case.
    store.write(piece, Durability::Synced).await
}

/// Puts rows that are sorted already into pages, for a [bulk load](Datastore::bulk_load) of what is in memory. Nothing is
/// checked here, and a page is made when it is asked for.
pub fn stream_of_rows<K, V, I>(rows: I) -> RowStream
where
    K: AsRef<[u8]>,
    V: AsRef<[u8]>,
    I: IntoIterator<Item = (K, V)>,
    I::IntoIter: Send + 'static,
{
    let mut rows = rows.into_iter();
    let pages = std::iter::from_fn(move || {
        let mut page = RowPage::new();
        for (key, value) in rows.by_ref() {
            page.push(key.as_ref(), value.as_ref());
            if page.is_full() {
                break;
            }
        }
        (!page.is_empty()).then_some(Ok(page))
    });
    futures_util::stream::iter(pages).boxed()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn page(keys: &[&str]) -> RowPage {
        let mut page = RowPage::new();
        for key in keys {
            page.push(key.as_bytes(), b"value");
        }
        page
    }

    #[test]
    fn keys_must_ascend_within_a_page_and_from_page_to_page() {
        let mut check = LoadCheck::new("test");
        for good in [page(&[]), page(&["", "a", "aa"]), page(&[]), page(&["ab", "b"])] {
            check.check(&good).unwrap();
        }
        for (bad, key, previous) in
            [(page(&["c", "e", "d"]), "d", "e"), (page(&["b", "c"]), "b", "b"), (page(&["", "c"]), "", "b")]
        {
            let error = check.check(&bad).unwrap_err();
            let Error::NotAscending { key: found, previous: last, .. } = &error else { panic!("{error}") };
            assert_eq!((&**found, &**last), (key.as_bytes(), previous.as_bytes()));
        }
        check.check(&page(&["c"])).unwrap();
    }

    #[test]
    fn rows_become_full_pages_in_their_order() {
        let rows = (0..4_000_u16).map(|at| (at.to_be_bytes(), vec![7_u8; 1_000]));
        let pages: Vec<RowPage> = stream_of_rows(rows).map(|page| page.unwrap()).collect().now_or_never().unwrap();
        assert!(pages.len() > 2 && pages[..pages.len() - 1].iter().all(RowPage::is_full));
        let keys: Vec<_> = pages.iter().flat_map(RowPage::iter).map(|(key, _)| key.to_vec()).collect();
        assert_eq!(keys, (0..4_000_u16).map(|at| at.to_be_bytes().to_vec()).collect::<Vec<_>>());
        assert!(stream_of_rows([(b"", b""); 0]).next().now_or_never().unwrap().is_none());
    }
}
