//! One row's key: 14 bytes fingerprint, then the registration number, in its order.

use dagstore_types::Registration;
use smallvec::SmallVec;

use crate::{FINGERPRINT_BYTES, Fingerprint};

/// Numbers below this one take 5 bytes, big-endian. Others, of which there will hardly ever be one, take 9: this one's first
/// byte, then 8. The order of the bytes is that of the numbers.
const FIRST_LONG: u64 = 0xff_0000_0000;

const SHORT_BYTES: usize = 5;
const LONG_MARK: u8 = 0xff;

/// A row's key.
pub(super) type Row = SmallVec<[u8; FINGERPRINT_BYTES + SHORT_BYTES]>;

pub(super) fn of(fingerprint: Fingerprint, registration: Registration) -> Row {
    let mut row = Row::from_slice(&fingerprint.0);
    let number = registration.0.to_be_bytes();
    if registration.0 < FIRST_LONG {
        row.extend_from_slice(&number[8 - SHORT_BYTES..]);
    } else {
        row.push(LONG_MARK);
        row.extend_from_slice(&number);
    }
    row
}

/// Takes a row's key apart; `None` where it is none.
pub(super) fn parse(row: &[u8]) -> Option<(Fingerprint, Registration)> {
    let (fingerprint, number) = row.split_first_chunk::<FINGERPRINT_BYTES>()?;
    let mut bytes = [0; 8];
    match number {
        [LONG_MARK, long @ ..] if long.len() == 8 => bytes.copy_from_slice(long),
        short if short.len() == SHORT_BYTES => bytes[8 - SHORT_BYTES..].copy_from_slice(short),
        _ => return None,
    }
    Some((Fingerprint(*fingerprint), Registration(u64::from_be_bytes(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_in_the_order_of_their_numbers() {
        let fingerprint = Fingerprint([7; FINGERPRINT_BYTES]);
        let numbers = [0, 1, 255, 256, FIRST_LONG - 1, FIRST_LONG, FIRST_LONG + 1, u64::MAX];
        let rows = numbers.map(|number| of(fingerprint, Registration(number)));
        assert!(rows.is_sorted());
        for (row, number) in rows.iter().zip(numbers) {
            assert_eq!(parse(row), Some((fingerprint, Registration(number))));
            assert_eq!(row.len(), if number < FIRST_LONG { 19 } else { 23 });
        }
        for bad in [&rows[0][..18], &rows[7][..22], &[&rows[0][..], &[0]].concat(), b""] {
            assert_eq!(parse(bad), None);
        }
    }
}
