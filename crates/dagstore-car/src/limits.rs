//! How much a CAR may ask for.

/// Bounds on what is read. The defaults are half of what the Go programs allow, and can be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest header, in bytes.
    pub header_bytes: u64,
    /// The longest section (CID and data), in bytes.
    pub section_bytes: u64,
    /// The longest CID when indexing, in bytes.
    pub indexed_cid_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 1 << 20, section_bytes: 4 << 20, indexed_cid_bytes: 2 << 10 }
    }
}

/// How a CAR is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Bounds.
    pub limits: Limits,
    /// Whether a section of length zero ends the data, as in pieces padded with zeros; else it is an error.
    pub zero_length_is_end: bool,
}
