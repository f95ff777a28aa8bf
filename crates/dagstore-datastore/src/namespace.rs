//! Names for the kinds of rows.

use std::fmt;

/// The name of a kind of rows: 1 to 32 characters of `a` to `z` and `_`.
///
/// Rows of two namespaces never meet. A backend makes a table, a column family or a file of each, or puts the name
/// and a zero byte before the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(&'static str);

impl Namespace {
    /// Names a namespace. Meant for constants, so that a bad name stops the build.
    ///
    /// # Panics
    /// When the name has other characters or another length than the type allows.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes.len() <= 32, "a namespace has 1 to 32 characters");
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at].is_ascii_lowercase() || bytes[at] == b'_', "a namespace has only a to z and _");
            at += 1;
        }
        Self(name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
