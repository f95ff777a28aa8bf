//! All fingerprints of a file, in order.

use std::sync::Arc;

use crate::content::Content;
use crate::entry::{ENTRY_BYTES, fingerprint_in};
use crate::format::{ENTRIES_PER_PAGE, PAGE_BYTES};
use crate::{Fingerprint, Result};

/// So many pages are read at once.
const PAGES_AT_ONCE: usize = 64;

/// The fingerprints of a file. The first error ends it: nothing comes after.
#[derive(Debug)]
pub(crate) struct Scan {
    content: Arc<Content>,
    /// Pages that were read.
    pages: Vec<[u8; PAGE_BYTES]>,
    /// The number of the first of them.
    first: usize,
    /// How many of them were checked; entries come from the last of these.
    checked: usize,
    /// How many entries the page has that entries come from, and how many of them came.
    in_page: usize,
    used: usize,
    has_failed: bool,
}

impl Scan {
    pub(crate) fn new(content: Arc<Content>) -> Self {
        Self { content, pages: Vec::new(), first: 0, checked: 0, in_page: 0, used: 0, has_failed: false }
    }

    /// Goes on to the next page; `false` at the end.
    fn next_page(&mut self) -> Result<bool> {
        if self.checked == self.pages.len() && !self.read_more()? {
            return Ok(false);
        }
        let page = &self.pages[self.checked];
        self.in_page = self.content.check(page, self.first + self.checked)?.len();
        self.checked += 1;
        self.used = 0;
        Ok(true)
    }

    fn read_more(&mut self) -> Result<bool> {
        self.first += self.pages.len();
        self.checked = 0;
        let left = usize::try_from(self.content.pages() - self.first as u64).unwrap_or(usize::MAX);
        self.pages.resize(left.min(PAGES_AT_ONCE), [0; PAGE_BYTES]);
        if !self.pages.is_empty() {
            self.content.read_pages(self.first, &mut self.pages)?;
        }
        Ok(!self.pages.is_empty())
    }
}

impl Iterator for Scan {
    type Item = Result<Fingerprint>;

    #[inline]
    fn next(&mut self) -> Option<Result<Fingerprint>> {
        if self.used == self.in_page {
            if self.has_failed {
                return None;
            }
            match self.next_page() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    self.has_failed = true;
                    return Some(Err(error));
                }
            }
        }
        let entry = self.pages[self.checked - 1].as_chunks::<ENTRY_BYTES>().0.get(self.used)?;
        self.used += 1;
        Some(Ok(fingerprint_in(entry)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let pages = self.content.pages().saturating_sub((self.first + self.checked) as u64);
        let most = usize::try_from(pages).ok().and_then(|pages| pages.checked_mul(ENTRIES_PER_PAGE));
        (0, most.map(|most| most + self.in_page - self.used + 1))
    }
}
