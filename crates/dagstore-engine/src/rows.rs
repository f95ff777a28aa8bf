//! Where the store's rows are, for whoever copies or makes a store without opening it. `docs/format.md` tells their bytes.

use dagstore_datastore::Namespace;
use dagstore_types::Registration;

/// Shard records, by registration number: eight bytes, big-endian. New rows are appended that way, whatever their keys.
pub const SHARDS: Namespace = Namespace::new("shards");

/// What the store knows of itself.
pub const META: Namespace = Namespace::new("meta");

/// The format's version: four bytes, big-endian.
pub const FORMAT: &str = "format";

/// The store's identity: 16 random bytes that name it, then 16 random bytes that key its fingerprints.
pub const IDENTITY: &str = "identity";

/// No registration number from this one on was ever given out: eight bytes, big-endian.
pub const NEXT_REGISTRATION: &str = "next-registration";

/// The key of a record's row.
pub fn shard_row(registration: Registration) -> [u8; 8] {
    registration.0.to_be_bytes()
}

/// The registration whose row has this key; `None` where it is no such row's.
pub fn registration_of(row: &[u8]) -> Option<Registration> {
    row.try_into().ok().map(|bytes| Registration(u64::from_be_bytes(bytes)))
}
