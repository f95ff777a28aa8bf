//! The numbers that tell one life of a shard from another.

use core::fmt;

/// The number of a registration: unique in a store and never used again, even after the shard is destroyed.
///
/// Whatever outlives a shard by accident (a late task, a file, an inverted entry) carries the number of the
/// registration that it belonged to, and so can't be taken for a part of another one. The first is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Registration(pub u64);

/// Grows with every start of work within one registration, and with every recovery, so that it never names the same files
/// twice; 0 before the first. Written *before* the work begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Attempt(pub u32);

impl Attempt {
    /// The attempt after this one; `None` after the last one, so that no number ever names two attempts.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// A wall-clock time in milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UnixMillis(pub u64);

impl fmt::Display for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
