//! The name of a shard.

use alloc::sync::Arc;
use core::fmt;

/// The longest key, in bytes. Piece CIDs, the usual keys, take about 64.
pub const MAX_KEY_BYTES: usize = 1024;

/// The name under which a shard is registered: 1 to [`MAX_KEY_BYTES`] bytes of text.
///
/// A key is opaque. It is never cleaned, normalised or used as a path or file name, so `a/../b` and `b` are two
/// shards, and `../../x` is a name like any other. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardKey(Arc<str>);

impl ShardKey {
    /// Checks `text` and takes it as a key.
    ///
    /// # Errors
    /// [`InvalidKey`] when `text` is empty or longer than [`MAX_KEY_BYTES`].
    pub fn new(text: &str) -> Result<Self, InvalidKey> {
        match text.len() {
            0 => Err(InvalidKey::Empty),
            length if length > MAX_KEY_BYTES => Err(InvalidKey::TooLong { length }),
            _ => Ok(Self(Arc::from(text))),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes, UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Prints the key with control characters escaped, so that a hostile key can't drive a terminal.
impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                fmt::Write::write_char(f, character)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShardKey({:?})", &*self.0)
    }
}

impl TryFrom<&str> for ShardKey {
    type Error = InvalidKey;

    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

impl core::str::FromStr for ShardKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        Self::new(text)
    }
}

/// Why a text can't be a shard key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The key has no bytes.
    Empty,
    /// The key is longer than [`MAX_KEY_BYTES`].
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the shard key is empty"),
            Self::TooLong { length } => {
                write!(f, "the shard key has {length} bytes, the most is {MAX_KEY_BYTES}")
            }
        }
    }
}

impl core::error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    #[test]
    fn keys_are_bounded_and_opaque() {
        assert_eq!(ShardKey::new(""), Err(InvalidKey::Empty));
        let long: String = "k".repeat(MAX_KEY_BYTES + 1);
        assert_eq!(ShardKey::new(&long), Err(InvalidKey::TooLong { length: MAX_KEY_BYTES + 1 }));
        assert!(ShardKey::new(&long[1..]).is_ok());
        assert_ne!(ShardKey::new("a/../b").unwrap(), ShardKey::new("b").unwrap());
        assert_eq!(ShardKey::new("../../x").unwrap().as_str(), "../../x");
    }

    #[test]
    fn control_characters_are_escaped_when_printed() {
        assert_eq!(ShardKey::new("a\u{1b}[2Jb\n").unwrap().to_string(), "a\\u{1b}[2Jb\\n");
    }
}
