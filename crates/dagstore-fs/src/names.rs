//! Names of the store's own files.

use std::fmt;

use dagstore_types::{Attempt, Registration, ShardKey};
use sha2::{Digest, Sha256};

/// The name of a file that belongs to one attempt of one registration of one shard:
/// `<key hash>-<registration>-<attempt>`, all in hexadecimal.
///
/// The hash is the first 16 bytes of the key's sha2-256. A late rename can't hit a newer file, because registration and
/// attempt never come again; and a name that doesn't parse is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnName {
    key_hash: [u8; 16],
    /// The registration that the file belongs to.
    pub registration: Registration,
    /// The attempt that made the file.
    pub attempt: Attempt,
}

impl OwnName {
    /// The name for a shard's files of one attempt.
    pub fn new(key: &ShardKey, registration: Registration, attempt: Attempt) -> Self {
        Self { key_hash: Self::hash_key(key), registration, attempt }
    }

    /// A name out of its parts, as they stand in the header of a file.
    pub fn from_parts(key_hash: [u8; 16], registration: Registration, attempt: Attempt) -> Self {
        Self { key_hash, registration, attempt }
    }

    /// The hash that stands for a key in file names.
    pub fn hash_key(key: &ShardKey) -> [u8; 16] {
        let digest = Sha256::digest(key.as_bytes());
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        hash
    }

    /// The hash of the key that the file belongs to.
    pub fn key_hash(&self) -> [u8; 16] {
        self.key_hash
    }

    /// Reads a name back. Only what [`Display`](fmt::Display) wrote is accepted, byte for byte.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (hash, registration, attempt) = (parts.next()?, parts.next()?, parts.next()?);
        if hash.len() != 32 || registration.len() != 16 || attempt.len() != 8 {
            return None;
        }
        let name = Self {
            key_hash: u128::from_str_radix(hash, 16).ok()?.to_be_bytes(),
            registration: Registration(u64::from_str_radix(registration, 16).ok()?),
            attempt: Attempt(u32::from_str_radix(attempt, 16).ok()?),
        };
        (name.to_string() == text).then_some(name)
    }
}

impl fmt::Display for OwnName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = u128::from_be_bytes(self.key_hash);
        write!(f, "{hash:032x}-{:016x}-{:08x}", self.registration.0, self.attempt.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_nothing_else_is_ours() {
        let key = ShardKey::new("../../x").unwrap();
        let name = OwnName::new(&key, Registration(7), Attempt(2));
        let text = name.to_string();
        assert!(text.ends_with("-0000000000000007-00000002"), "{text}");
        assert!(!text.contains('/') && !text.contains('.'));
        assert_eq!(OwnName::parse(&text), Some(name));
        for other in
            [&text[1..], &text.to_uppercase(), "", "notes.txt", &format!("{text}-0"), &format!("+{}", &text[1..])]
        {
            assert_eq!(OwnName::parse(other), None, "{other}");
        }
    }
}
