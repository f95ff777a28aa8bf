//! The states of a shard.

use core::fmt;

/// The state of a shard. The byte values are those of the Go original, so its records can be read.
///
/// ```text
/// New ──────────► Initializing ───────► Available ◄──► Serving
///                      │                  │  ▲            │
///                      ▼                  ▼  │            │
///                   Errored ──────────► Recovering ◄──────┘
/// (any state but Serving, without open accessors) ──► Destroying ──► gone
/// ```
///
/// `dagstore-fsm` has the whole table, `docs/fsm.md` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ShardState {
    /// Registered, nothing done yet. A lazy shard rests here until it is first acquired.
    New = 0x00,
    /// Being fetched and indexed for the first time.
    Initializing = 0x01,
    /// Indexed, without open accessors. Acquire answers at once.
    Available = 0x02,
    /// Indexed, with at least one open accessor. Destroy is refused.
    Serving = 0x03,
    /// Destroy was accepted, clean-up is under way; a restart finishes it.
    Destroying = 0x40,
    /// Being initialised again, after an error or because its index was lost.
    Recovering = 0x80,
    /// Failed. The record keeps the error; recover or destroy leads out.
    Errored = 0xf0,
}

impl ShardState {
    /// Every state, in the order of their bytes.
    pub const ALL: [Self; 7] = [
        Self::New,
        Self::Initializing,
        Self::Available,
        Self::Serving,
        Self::Destroying,
        Self::Recovering,
        Self::Errored,
    ];

    /// The byte that is persisted.
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// The state's name, as it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Initializing => "Initializing",
            Self::Available => "Available",
            Self::Serving => "Serving",
            Self::Destroying => "Destroying",
            Self::Recovering => "Recovering",
            Self::Errored => "Errored",
        }
    }
}

impl fmt::Display for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<u8> for ShardState {
    type Error = UnknownState;

    fn try_from(byte: u8) -> Result<Self, UnknownState> {
        Self::ALL.into_iter().find(|state| state.byte() == byte).ok_or(UnknownState(byte))
    }
}

/// A byte that stands for no state; 0xff, the original's "unknown", is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownState(pub u8);

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x} is no shard state", self.0)
    }
}

impl core::error::Error for UnknownState {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_originals_and_come_back() {
        let bytes = ShardState::ALL.map(ShardState::byte);
        assert_eq!(bytes, [0x00, 0x01, 0x02, 0x03, 0x40, 0x80, 0xf0]);
        for state in ShardState::ALL {
            assert_eq!(ShardState::try_from(state.byte()), Ok(state));
        }
        assert_eq!(ShardState::try_from(0xff), Err(UnknownState(0xff)));
    }
}
