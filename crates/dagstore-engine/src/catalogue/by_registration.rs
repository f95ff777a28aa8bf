//! From a registration number to the hash of its shard's key: four bytes a shard, because numbers come in order.

use std::collections::HashMap;

use dagstore_types::Registration;

const PAGE: usize = 256;

/// Half a hash for each registration that was put in.
#[derive(Debug, Default)]
pub(super) struct ByRegistration {
    pages: HashMap<u64, Box<Page>>,
}

#[derive(Debug)]
struct Page {
    used: u16,
    /// Zero where there is none: no hash is zero.
    hashes: [u32; PAGE],
}

impl ByRegistration {
    pub(super) fn insert(&mut self, registration: Registration, hash: u32) {
        let new = || Box::new(Page { used: 0, hashes: [0; PAGE] });
        let page = self.pages.entry(page_of(registration)).or_insert_with(new);
        let slot = &mut page.hashes[slot(registration)];
        page.used += u16::from(*slot == 0);
        *slot = hash;
    }

    pub(super) fn get(&self, registration: Registration) -> Option<u32> {
        let page = self.pages.get(&page_of(registration))?;
        Some(page.hashes[slot(registration)]).filter(|hash| *hash != 0)
    }

    pub(super) fn remove(&mut self, registration: Registration) {
        let number = page_of(registration);
        let Some(page) = self.pages.get_mut(&number) else { return };
        let slot = &mut page.hashes[slot(registration)];
        page.used -= u16::from(*slot != 0);
        *slot = 0;
        if page.used == 0 {
            self.pages.remove(&number);
        }
    }
}

fn page_of(registration: Registration) -> u64 {
    registration.0 / PAGE as u64
}

#[expect(clippy::cast_possible_truncation, reason = "smaller than a page")]
fn slot(registration: Registration) -> usize {
    (registration.0 % PAGE as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_and_go_and_leave_no_page() {
        let mut table = ByRegistration::default();
        let numbers = [0, 1, 255, 256, 1 << 40, u64::MAX];
        for round in [7, 9] {
            for number in numbers {
                table.insert(Registration(number), round);
            }
        }
        for number in numbers {
            assert_eq!(table.get(Registration(number)), Some(9));
        }
        assert_eq!(table.get(Registration(2)), None);
        for number in numbers.into_iter().chain(numbers) {
            table.remove(Registration(number));
            assert_eq!(table.get(Registration(number)), None);
        }
        assert!(table.pages.is_empty());
    }
}
